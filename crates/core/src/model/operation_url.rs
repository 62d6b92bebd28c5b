//! The URL of a long-running operation, which is a secret of sorts: it carries a signature.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where Azure tells how an operation goes (docs: Track asynchronous Azure operations). About 3.3 kB long since 2024,
/// with signature parameters: used to the letter, stored in the journal, never logged.
#[derive(Clone)]
pub struct OperationUrl {
    kind: OperationKind,
    url: SecretString,
}

/// Which header it came from, and so how its answers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// `Azure-AsyncOperation`: 200 with a `status` throughout.
    AsyncOperation,
    /// `Location`: 202 while it runs, 200 or 204 when it is done.
    Location,
}

impl OperationUrl {
    /// Takes a URL to the letter.
    pub fn new(kind: OperationKind, url: impl Into<String>) -> Self {
        Self { kind, url: url.into().into() }
    }

    /// From an `Azure-AsyncOperation` header.
    pub fn async_operation(url: &str) -> Self {
        Self::new(OperationKind::AsyncOperation, url)
    }

    /// From a `Location` header.
    pub fn location(url: &str) -> Self {
        Self::new(OperationKind::Location, url)
    }

    /// How its answers are read.
    pub fn kind(&self) -> OperationKind {
        self.kind
    }

    /// The URL to the letter. For the request to Azure; for nothing else.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

impl fmt::Debug for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationUrl({:?}, [redacted])", self.kind)
    }
}

impl PartialEq for OperationUrl {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.expose()) == (other.kind, other.expose())
    }
}

impl Eq for OperationUrl {}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Stored {
    AsyncOperation(String),
    Location(String),
}

impl Serialize for OperationUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let url = self.expose().to_owned();
        let stored = match self.kind {
            OperationKind::AsyncOperation => Stored::AsyncOperation(url),
            OperationKind::Location => Stored::Location(url),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OperationUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::AsyncOperation(url) => Self::async_operation(&url),
            Stored::Location(url) => Self::location(&url),
        })
    }
}
