//! The kinds of places that hold keys.
//!
//! Start at [`ConsumerKind`], which is all that the rest of the program knows of them. A [`Place`] implements it; all that there
//! are yet are those of App Service. What a value says of a service, wherever it is kept, is read by [`Marks`].

pub mod app_service;
mod text;
mod value;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;

pub use self::app_service::{Dictionary as Contents, Place};
use super::arm::{Arm, ArmError, Operation};
use crate::config::AppConfig;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, Key, KeyPair};
use rekey_core::plan::{Snapshot, Whereabouts};

/// A place of one kind: what is read in one request, and written in one.
#[allow(
    async_fn_in_trait,
    reason = "called on `Place` alone, of whose futures it is known that they are `Send`"
)]
pub trait ConsumerKind: Sized {
    /// What was read of it, with its version where the store keeps one. It may hold key material; its `Debug` does not.
    type Contents;

    /// The operations of Azure's contract that places of this kind are read and written by. Roles, the doctor and the
    /// documents go by what they need.
    fn operations() -> Vec<Operation>;

    /// By which of them it is read.
    fn reading(&self) -> Operation;

    /// By which of them it is written.
    fn writing(&self) -> Operation;

    /// The places of an app that can hold consumers, by what was configured of it.
    fn of(app: &AppConfig) -> Vec<Self>;

    /// Reads what it holds; or why not.
    async fn read(&self, arm: &Arm) -> Result<Self::Contents, ArmError>;

    /// Adds what that shows of a service. The names of those values are answered that refer to something of which nobody can
    /// tell whether it is a key of ours.
    fn shows(
        &self,
        contents: &Self::Contents,
        app: &AppConfig,
        marks: Marks<'_>,
        out: &mut Snapshot,
    ) -> Vec<String>;

    /// Looks for what Azure does not find under its id: whether it was deleted, moved, or never there. `there` are consumers
    /// that were read just now, and vouch for a list.
    async fn look_for(&self, arm: &Arm, there: &BTreeSet<ConsumerId>) -> Missing;

    /// Writes another key into its consumers and changes nothing else: conditionally where the store can, else merged into
    /// what is read just before (or was read so lately that it can stand for that), and compared with the answer.
    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&Self::Contents>,
        change: &Change<'_>,
    ) -> Result<Written<Self::Contents>, ArmError>;

    /// Whether a place that is written whole, on no condition, shows that another service's keys are in it: whoever rotates
    /// those writes it too, and may be configured elsewhere. `marks` tell which are ours.
    fn holds_anothers(&self, contents: &Self::Contents, marks: Marks<'_>) -> bool;

    /// What must follow a write until readers really use the new value.
    fn settling(&self) -> Settling;

    /// Whether writing it restarts the site of this name, which may be the one that we run in.
    fn restarts(&self, site: &str) -> bool;
}

/// What is known of a service, to recognise its keys and connection strings by.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// Its keys, if they could be listed. Without them a string is still known by its host.
    pub keys: Option<&'a KeyPair>,
    /// Its host; may be empty.
    pub host: &'a str,
    /// What is remembered of it.
    pub journal: &'a Journal,
}

/// What could be found out of a consumer that Azure does not find.
#[derive(Debug)]
pub struct Missing {
    /// What became of it.
    pub absence: Absence,
    /// What may be meant by its id.
    pub meant: Option<ConsumerId>,
}

/// What became of a consumer that is not found under its id.
#[derive(Debug)]
pub enum Absence {
    /// All places that it could be in were listed, and it is in none: it was deleted.
    Deleted,
    /// It is somewhere, or may be.
    Elsewhere(Whereabouts),
}

/// Another key for the consumers of one place.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The names of the consumers.
    pub names: &'a [&'a str],
    /// By what a value is known to be the service's: by the time of the write it may be another's, and is left alone then.
    pub marks: Marks<'a>,
    pub key: &'a Key,
    /// Whether invalid keys alone are replaced: a valid one beside them is given another only once the service accepted that.
    pub only_stale: bool,
}

/// What came of a write that Azure took.
#[derive(Debug)]
pub enum Written<C> {
    /// It holds the new key already, and nothing was sent: readers are not restarted for nothing.
    Already(C),
    /// It was written. This is what Azure answered: what was asked for, and no sight of the place.
    Accepted(C),
    /// Azure's answer does not hold the new key: somebody else writes the place at the same time.
    Overwritten,
}

/// What must follow a write until readers really use the new value, and how that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Nothing must: the platform hands the new value to its readers.
    ByItself {
        /// It is observed by reading the place again, not before so long: until then an editor who had read it before the
        /// write may replace it.
        read_back_after: TimeDelta,
        /// No reader works on with the old value for longer; that cannot be observed.
        at_most: Duration,
    },
}

impl Settling {
    /// How long after a write the place is read again.
    pub const fn read_back_after(self) -> TimeDelta {
        match self {
            Self::ByItself { read_back_after, .. } => read_back_after,
        }
    }

    /// How long a reader may work on with the old value.
    pub const fn at_most(self) -> Duration {
        match self {
            Self::ByItself { at_most, .. } => at_most,
        }
    }
}
