//! The journal's storage: why it could not be read or written.

use std::fmt;

use rekey_core::journal::{Condition, Illegal};

use super::{InWords, readable};
use crate::report::cause;
use crate::store::{LockError, LockHolder, Meaning, Refusal, StoreError};

/// What can be done all the same while the storage is out of reach.
const WITHOUT_STORAGE: &str = "the service was not touched. If apps are cut off, `signalr-rekey rotate --without-journal` repairs them without the storage";

/// The same while no journal can be gone by.
const WITHOUT_JOURNAL: &str =
    "If apps are cut off, `signalr-rekey rotate --without-journal` repairs them meanwhile";

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str(
                "another run wrote the journal of the service in the meantime; that run carries on",
            ),
            Self::Held { holder, until, .. } => write!(
                f,
                "another run ({holder}) is working on this service until {} at the latest",
                readable(*until)
            ),
            Self::StrangeLease { holder, claims, until } => write!(
                f,
                "the journal has a lease of {holder} until {}, longer than any run takes one; it is ignored after {}, and \
                 `unblock` ends it at once",
                readable(*claims),
                readable(*until)
            ),
            Self::Unreadable { name, detail } => write!(
                f,
                "cannot read the journal {name} ({detail}); it was left as it is, and the service was not touched. \
                 {WITHOUT_JOURNAL}"
            ),
            Self::OfAnother { name, found, wanted } => write!(
                f,
                "the journal {name} belongs to {found}, not to {wanted}; it was left as it is, and the service was not touched. \
                 Put back the file that belongs there, or rename this one. {WITHOUT_JOURNAL}"
            ),
            Self::TwoJournals { old, new } => write!(
                f,
                "an older release writes the journal {old}, and this one {new}: nothing is done to the service by this one. \
                 Stop the older one, and delete the journal that is out of date. {WITHOUT_JOURNAL}"
            ),
            Self::Unavailable(why) => f.write_str(&cause::advised(
                &format!("cannot use the journal's storage: {why}"),
                WITHOUT_STORAGE,
            )),
            Self::Refused(refusal) => write!(f, "{refusal}; {WITHOUT_STORAGE}"),
            Self::Illegal(Illegal { event, unmet }) => write!(
                f,
                "the journal does not allow the event {event:?} ({}); nothing more is done to this service. Run \
                 `signalr-rekey status`, and compare it with the keys in Azure. {WITHOUT_JOURNAL}",
                unmet.in_words()
            ),
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
            "no access: give yourself, or the app's identity, the role Storage Blob Data Contributor on it"
        }
        Meaning::NotLetIn => {
            "it does not let this host in: check its firewall, its networks, and whether it allows keys of this kind"
        }
        Meaning::NoAccountKeys => {
            "it accepts no account keys: configure it by its account name, and give the identity the role Storage Blob Data \
             Contributor"
        }
        Meaning::NotAuthenticated => {
            "it does not accept the key, signature or token: renew the connection string, or check the identity's tenant"
        }
        Meaning::BlobLease => {
            "something else holds a blob lease on the journal (signalr-rekey never takes one): break it (`az storage blob lease \
             break`)"
        }
        Meaning::Immutable => {
            "an immutability policy or a legal hold forbids changing the journal: remove it from the container signalr-rekey"
        }
        Meaning::Archived => {
            "the journal is archived: set its tier to Hot (`az storage blob set-tier`), and take the container signalr-rekey \
             out of the lifecycle rule"
        }
        Meaning::ContainerGoes => {
            "the container signalr-rekey is being deleted: once it is gone, the next run creates it again"
        }
        Meaning::AccountDisabled => "the account is disabled: enable it, or its subscription",
        Meaning::Other => "the same request will be refused again until what it says is resolved",
    }
}

/// What is wrong where it is not met.
impl InWords for Condition {
    fn in_words(&self) -> String {
        match self {
            Self::NeverSeen => "the service is already known",
            Self::Seen => "the service was never seen",
            Self::NoneInFlight => "a regeneration is in flight",
            Self::InFlight => "no regeneration is in flight",
            Self::NotAccepted => "Azure has taken it on already",
            Self::HasOperation => "there is no operation to ask about",
            Self::AnotherKey => "the key did not change",
            Self::NotBeingReplaced => "a regeneration of that key is in flight, so the change is ours",
            Self::Stays => "that key is about to be replaced",
            Self::Held => "no consumer held that key",
            Self::NotHeld => "a consumer holds that key",
            Self::NotVerified => "that key is verified already",
            Self::BeingGivenOut => "it is not on record that the key would be given to consumers",
            Self::Unrepaired => "no key changed from outside since everybody held a valid one",
            Self::Blind => "nothing was out of sight",
            Self::InSight => "something is out of sight already",
            Self::News => "that is on record already",
            Self::AppsInSight => "one of them was never seen, or is out of sight already",
            Self::InOrder => "it ends before it begins",
            Self::Room => "too many times are watched already",
        }
        .into()
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { holder, until } => {
                write!(f, "{holder} has the lock of its settings until {} at the latest", readable(*until))
            }
            Self::Store(_) => f.write_str("the lock of its settings cannot be taken"),
        }
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "another run ({run})"),
            Self::Faster => f.write_str("another run (one that was faster)"),
            Self::Unreadable => f.write_str("another run (its lock cannot be read)"),
        }
    }
}
