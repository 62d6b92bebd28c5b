//! The URL of a long-running operation, which is a secret of sorts: it carries a signature.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where Azure tells how an operation goes (docs: Track asynchronous Azure operations). About 3.3 kB long since 2024,
/// with signature parameters: used to the letter, stored in the journal, never logged. The header that it came from says how
/// its answers are read. Its clones share one text: the journal, each event that tells of it, and the poll have it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperationUrl {
    /// `Azure-AsyncOperation`: 200 with a `status` throughout.
    AsyncOperation(#[serde(serialize_with = "exposed", deserialize_with = "secret")] Arc<SecretString>),
    /// `Location`: 202 while it runs, 200 or 204 when it is done.
    Location(#[serde(serialize_with = "exposed", deserialize_with = "secret")] Arc<SecretString>),
}

impl OperationUrl {
    /// From an `Azure-AsyncOperation` header.
    pub fn async_operation(url: impl Into<String>) -> Self {
        Self::AsyncOperation(Arc::new(SecretString::from(url.into())))
    }

    /// From a `Location` header.
    pub fn location(url: impl Into<String>) -> Self {
        Self::Location(Arc::new(SecretString::from(url.into())))
    }

    /// The URL to the letter. For the request to Azure; for nothing else.
    pub fn expose(&self) -> &str {
        match self {
            Self::AsyncOperation(url) | Self::Location(url) => url.expose_secret(),
        }
    }
}

impl fmt::Debug for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsyncOperation(_) => "OperationUrl(AsyncOperation, [redacted])",
            Self::Location(_) => "OperationUrl(Location, [redacted])",
        })
    }
}

impl PartialEq for OperationUrl {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.expose() == other.expose()
    }
}

impl Eq for OperationUrl {}

fn exposed<S: Serializer>(url: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.expose_secret())
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<SecretString>, D::Error> {
    String::deserialize(deserializer).map(|url| Arc::new(SecretString::from(url)))
}
