//! The journal's storage: why it could not be read or written.

use std::fmt;

use super::readable;
use crate::store::{LockError, Meaning, Refusal, StoreError};

/// What can be done all the same while the storage is out of reach.
const WITHOUT_STORAGE: &str =
    "Are apps cut off, `signalr-rekey rotate --without-journal` repairs them without the storage";

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => {
                f.write_str("another worker wrote the journal of the instance in between; it carries on")
            }
            Self::Held { holder, until, .. } => write!(
                f,
                "another worker ({holder}) is at work on the instance until {} at the latest",
                readable(*until)
            ),
            Self::StrangeLease { holder, claims, until } => write!(
                f,
                "the journal has a lease of {holder} until {}, longer than any run of ours takes one: it is not believed \
                 after {}; `unblock` ends it at once",
                readable(*claims),
                readable(*until)
            ),
            Self::Unreadable { name, detail } => write!(
                f,
                "the journal {name} cannot be read ({detail}); it is left as it is and nothing is done to the instance"
            ),
            Self::OfAnother { name, found, wanted } => write!(
                f,
                "the journal {name} is that of {found}, not of {wanted}; it is left as it is and nothing is done to the \
                 instance. Put back the file that belongs there, or rename this one"
            ),
            Self::TwoJournals { old, new } => write!(
                f,
                "an older release writes the journal {old}, and this one {new}: nothing is done to the service by this one. \
                 Stop the older one, and delete the journal that is out of date"
            ),
            Self::Unavailable(why) => write!(
                f,
                "the journal's storage failed: {why}; nothing is done to the instance. {WITHOUT_STORAGE}"
            ),
            Self::Refused(refusal) => {
                write!(f, "{refusal}; nothing is done to the instance. {WITHOUT_STORAGE}")
            }
            Self::Illegal(illegal) => illegal.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (account, advice, said) = (self.account(), advice(self.meaning()), self.said());
        write!(f, "the storage {account} refuses the journal: {advice} ({said})")
    }
}

/// What to do about a refusal.
const fn advice(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::NoRole => {
            "no access to it: give yourself, or the identity of the app, the role Storage Blob Data Contributor on it"
        }
        Meaning::NotLetIn => {
            "it does not let this host in: look at its firewall and its networks, and at whether it takes such keys"
        }
        Meaning::NoAccountKeys => {
            "it takes no account keys: configure it by its account name, and give the identity the role Storage Blob \
             Data Contributor"
        }
        Meaning::NotAuthenticated => {
            "it does not take the key, signature or token: renew the connection string, or check the tenant of the \
             identity"
        }
        Meaning::BlobLease => {
            "somebody else has a blob lease on the journal, which signalr-rekey never takes: break it \
             (`az storage blob lease break`)"
        }
        Meaning::Immutable => {
            "an immutability policy or a legal hold keeps the journal as it is: take it off the container \
             signalr-rekey"
        }
        Meaning::Archived => {
            "the journal is archived: give it the tier Hot (`az storage blob set-tier`), and take the container \
             signalr-rekey out of the lifecycle rule"
        }
        Meaning::ContainerGoes => {
            "the container signalr-rekey is being deleted: when it is gone, the next run makes it again"
        }
        Meaning::AccountDisabled => "the account is not at work: enable it, or its subscription",
        Meaning::Other => "read what it said; the same request will be refused again",
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { holder, until } => write!(
                f,
                "another run ({holder}) has the lock of its settings until {} at the latest",
                readable(*until)
            ),
            Self::Store(_) => f.write_str("the lock of its settings cannot be taken"),
        }
    }
}
