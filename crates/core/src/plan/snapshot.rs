//! What one check of a service and its apps has shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{ConsumerId, Fingerprint, KeyType, KeyValueId, Malformed, PerKey, Section, printable};
use chrono::{DateTime, Utc};

/// One check of a service: its keys, who holds which, and what could not be seen. It holds no key material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When the check began.
    pub at: DateTime<Utc>,
    /// The keys that Azure listed.
    pub keys: PerKey<Fingerprint>,
    /// Every setting that holds a key of the service, once for each key that it holds, or connects to it by identity.
    pub consumers: Vec<Consumer>,
    /// Of those, the ones of which it is only known that they may hold each of the keys that they stand with: nobody can tell
    /// with what their processes were started. For every decision that is as good as holding all of them.
    pub may_hold: BTreeSet<ConsumerRef>,
    /// What could not be seen. With anything here no run ends well.
    pub unknown: Vec<Unknown>,
    /// Every app all of whose settings could be read, with the keys that it holds, or, where that cannot be told, may hold.
    pub seen: BTreeMap<ConsumerId, Vec<Fingerprint>>,
    /// Of those with several dictionaries that hold keys, which these are: of them it would not show that one is missing.
    pub dictionaries: BTreeMap<ConsumerId, BTreeSet<String>>,
    /// Apps that were seen before and cannot be read, which does not pass by itself: they may hold any key.
    pub blurred: BTreeSet<ConsumerId>,
    /// Apps that are out of sight, and were last seen with a key that the service no longer has: unless somebody gave them
    /// another, they are cut off.
    pub lost: BTreeSet<ConsumerId>,
    /// Consumers that were last seen with a key that is valid still, or may have been: of these it is as likely that they work.
    pub may_work: BTreeSet<ConsumerId>,
    /// Apps that were there before and are surely deleted.
    pub gone: Vec<ConsumerId>,
    /// Apps whose strings were seen, with the names of settings besides that refer to something of which nobody can tell
    /// whether it is another.
    pub references: Vec<(ConsumerId, Vec<String>)>,
    /// Whether a part of it is Azure's answer to a write of ours, and was not read since: good for knowing who is to be
    /// repaired, not for believing that anybody left a key.
    pub echoed: bool,
    /// How long somebody whom no check shows may go on with a key after its last consumer left it, for each consumer that such
    /// may read: a secret that holds one, say.
    pub readers_within: BTreeMap<ConsumerId, Duration>,
    /// Executions of jobs that run and may have been started with either key, or were seen to and are not seen to have ended; and
    /// those that have, with when, as long as that keeps a key.
    pub executions: Vec<Execution>,
    /// All executions that run, whatever they were started with: who is given another key goes on, in these, with the one before.
    pub running: Vec<Execution>,
    /// Container apps that somebody changed since they were seen to hold what they hold now, and when: nobody can tell whether
    /// they held something else in between.
    pub changed: BTreeMap<ConsumerId, DateTime<Utc>>,
    /// Who was last given what another consumer holds in a state that this is not in any more: it was changed since, in whatever.
    pub given_before: BTreeSet<(ConsumerId, ConsumerId)>,
    /// Those that only others can change, as they are configured. What was said of them is among `consumers`, or `unknown`.
    pub external: Vec<External>,
    /// Secrets that hold a key, or lately held one, and that nothing that is configured leads to any more: whoever reads them
    /// without being seen goes on with it.
    pub left_behind: Vec<ConsumerId>,
    /// The keys that the service was just now seen to refuse, where it was asked.
    pub refused: PerKey<bool>,
    /// Who is given what another consumer holds, a secret say, with that one: they are moved together.
    pub reads: BTreeSet<(ConsumerId, ConsumerId)>,
}

impl Snapshot {
    /// A check that has shown the keys, and nothing else yet.
    pub fn of_keys(at: DateTime<Utc>, keys: PerKey<Fingerprint>) -> Self {
        Self {
            at,
            keys,
            consumers: vec![],
            may_hold: BTreeSet::new(),
            unknown: vec![],
            seen: BTreeMap::new(),
            dictionaries: BTreeMap::new(),
            blurred: BTreeSet::new(),
            lost: BTreeSet::new(),
            may_work: BTreeSet::new(),
            gone: vec![],
            references: vec![],
            echoed: false,
            readers_within: BTreeMap::new(),
            executions: vec![],
            running: vec![],
            changed: BTreeMap::new(),
            given_before: BTreeSet::new(),
            external: vec![],
            left_behind: vec![],
            refused: PerKey::default(),
            reads: BTreeSet::new(),
        }
    }

    /// The consumers one of whose keys fits, each once.
    pub fn holders(&self, fits: impl Fn(&Holding) -> bool) -> Vec<ConsumerRef> {
        let fitting = self.consumers.iter().filter(|consumer| fits(&consumer.holds));
        let mut known = BTreeSet::new();
        fitting.map(|consumer| &consumer.at).filter(|at| known.insert(*at)).cloned().collect()
    }

    /// Whether a consumer holds that key.
    pub fn is_held(&self, key_type: KeyType) -> bool {
        self.consumers.iter().any(|consumer| consumer.holds == Holding::Valid(key_type))
    }

    /// Whether a consumer surely holds what it stands with here, and nothing else.
    pub fn is_sure(&self, at: &ConsumerRef) -> bool {
        !self.may_hold.contains(at) && !self.unknown.iter().any(|unknown| unknown.is_of_what_runs(at))
    }

    /// The executions of a job that are waited for, with their ends.
    pub fn executions_of(&self, job: &ConsumerId) -> BTreeMap<String, DateTime<Utc>> {
        let of_it = self.executions.iter().filter(|execution| execution.job == *job);
        of_it.map(|execution| (execution.name.clone(), execution.until)).collect()
    }

    /// The consumers that we can write and that hold that key.
    pub fn writable_holders(&self, key_type: KeyType) -> Vec<ConsumerRef> {
        let holders = self.holders(|holding| *holding == Holding::Valid(key_type));
        holders.into_iter().filter(|consumer| !consumer.app.is_external()).collect()
    }

    /// Whether something that could not be seen may hold that key.
    pub fn may_be_held_unseen(&self, key_type: KeyType) -> bool {
        self.unknown.iter().any(|unknown| unknown.may_hold(&self.keys[key_type]))
    }

    /// Who is cut off, or very probably so; those first that can be repaired.
    pub fn cut_off(&self) -> Vec<CutOff> {
        let texts = self.unknown.iter().filter_map(|unknown| match unknown {
            Unknown::Setting { app, name, fault: SettingFault::StaleKeyInOtherText } => {
                Some(CutOff::InOtherText { app: app.clone(), name: name.clone() })
            }
            _ => None,
        });
        let lost = self.lost.iter().cloned().map(|app| match self.may_work.contains(&app) {
            true => CutOff::Perhaps(app),
            false => CutOff::OutOfSight(app),
        });
        let external = self.unknown.iter().filter_map(|unknown| match unknown {
            Unknown::ExternalStale { consumer, owner, ticket, .. } => {
                let (consumer, owner, ticket) = (consumer.clone(), owner.clone(), ticket.clone());
                Some(CutOff::External { consumer, owner, ticket })
            }
            _ => None,
        });
        let stale = self.stale().into_iter().map(|at| match self.may_hold.contains(&at) {
            true if self.may_work.contains(&at.app) => CutOff::AsLikelyNot(at),
            true => CutOff::MayBe(at),
            false => CutOff::Stale(at),
        });
        stale.chain(texts).chain(lost).chain(external).collect()
    }

    /// Whether all of it was seen, with valid keys alone. Who may hold one was not.
    pub fn is_seen_well(&self, app: &ConsumerId) -> bool {
        let is_of_it = |unknown: &Unknown| unknown.consumer() == app;
        let mut of_it = self.consumers.iter().filter(|consumer| consumer.at.app == *app).peekable();
        of_it.peek().is_some()
            && of_it.all(|one| !matches!(one.holds, Holding::Stale(_)) && !self.may_hold.contains(&one.at))
            && !self.lost.contains(app)
            && !self.unknown.iter().any(is_of_it)
    }

    /// The consumers that hold a key that is neither of the two.
    pub fn stale(&self) -> Vec<ConsumerRef> {
        self.holders(|holding| matches!(holding, Holding::Stale(_)))
    }
}

/// Somebody whose calls are refused, because the key that he holds is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutOff {
    /// A consumer that can be repaired.
    Stale(ConsumerRef),
    /// A consumer that can be repaired, and may hold an invalid key: it was last seen with one, and nothing tells that it has left
    /// it.
    MayBe(ConsumerRef),
    /// The same, and it was as much seen with a key that is valid still.
    AsLikelyNot(ConsumerRef),
    /// A consumer that was stale and has been written since, and was not read after that: most probably it is well.
    Unconfirmed(ConsumerRef),
    /// An app with the key where it cannot be replaced.
    InOtherText {
        app: ConsumerId,
        /// The name of the setting.
        name: String,
    },
    /// An app that is out of sight, and was last seen with a key that is invalid now.
    OutOfSight(ConsumerId),
    /// The same, and it was as much seen with a key that is valid still.
    Perhaps(ConsumerId),
    /// What only others can change, and last was said to hold a key that is invalid now.
    External {
        consumer: ConsumerId,
        /// Whom people ask about it.
        owner: Option<String>,
        /// Where people find what is to be done.
        ticket: Option<String>,
    },
    /// An app of a service that has no keys; it was last seen with one.
    OfNoKeys(ConsumerId),
    /// Apps that could not be checked in time, after a key was regenerated from outside.
    Unchecked,
}

impl CutOff {
    /// Which app, if that is known.
    pub const fn app(&self) -> Option<&ConsumerId> {
        match self {
            Self::Stale(ConsumerRef { app, .. })
            | Self::MayBe(ConsumerRef { app, .. })
            | Self::AsLikelyNot(ConsumerRef { app, .. })
            | Self::Unconfirmed(ConsumerRef { app, .. })
            | Self::InOtherText { app, .. }
            | Self::OutOfSight(app)
            | Self::Perhaps(app)
            | Self::External { consumer: app, .. }
            | Self::OfNoKeys(app) => Some(app),
            Self::Unchecked => None,
        }
    }
}

/// One setting of one app that connects to the service, one secret, or one consumer that only others can change, and one of the
/// keys that it holds. A text may hold several: then it stands here for each of them, and holds all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Where it is.
    pub at: ConsumerRef,
    pub holds: Holding,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerRef {
    pub app: ConsumerId,
    /// The dictionary that the setting is in; none of what is no app.
    pub section: Option<Section>,
    /// The setting's name, or that of a container app's secret; empty for what is no app. Of a setting in another environment
    /// of a static web app than production it has that one's name behind it. Of an app that reads a key-value by itself, and
    /// has it in no setting, it is the URL of that.
    pub name: String,
}

impl ConsumerRef {
    /// What it is of its app, like `app setting AzureSignalR`, as people are told it.
    pub fn entry(&self) -> String {
        let name = printable(&self.name);
        match (&self.app, self.section) {
            (_, Some(section)) => format!("{} {name}", section.entry()),
            (ConsumerId::ContainerApp(_), None) => format!("secret {name}"),
            (ConsumerId::AppService(_) | ConsumerId::StaticWebApp(_), None) => name.into_owned(),
            (ConsumerId::KeyVaultSecret(_), None) => "Key Vault secret".to_owned(),
            (ConsumerId::KeyValue(_), None) => "App Configuration key-value".to_owned(),
            (ConsumerId::Reporter(_), None) => "reporter".to_owned(),
            (ConsumerId::Manual(_), None) => "manual consumer".to_owned(),
        }
    }
}

/// What a consumer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    Valid(KeyType),
    /// A key that is neither of the two: the app is failing.
    Stale(Fingerprint),
    /// No key: it connects by identity, and is left alone.
    Identity,
}

/// A consumer that only others can change, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    pub id: ConsumerId,
    /// How long after it was asked for another key it may take.
    pub within: Duration,
    /// Whom people ask about it.
    pub owner: Option<String>,
    /// Where people find what is to be done.
    pub ticket: Option<String>,
}

/// An execution of a job that goes on with the key that it was started with. Nobody can give it another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The job.
    pub job: ConsumerId,
    pub name: String,
    /// When it began, as far as that is told.
    pub began: Option<DateTime<Utc>>,
    /// When it will have ended, at the latest. It does not move while the execution runs.
    pub until: DateTime<Utc>,
    /// Whether Azure tells of it. If not, it is on record as one that ran, and nobody knows whether it has ended.
    pub told: bool,
}

/// Something that must be known before a key may be regenerated, and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// An app's settings could not be read.
    Unreadable {
        app: ConsumerId,
        /// What Azure said.
        detail: String,
        /// Whether that passes by itself: Azure was busy. Then it is as if this check had not been taken.
        passing: bool,
    },
    /// An app that Azure does not find, and that was never found: its id may be mistyped, and the app that is meant may hold
    /// any key.
    NeverSeen {
        /// The app, as it is configured.
        app: ConsumerId,
        /// A site that may be meant.
        meant: Option<ConsumerId>,
    },
    /// An app that was there and is not found under its id any more. It may have been moved, and hold what it held.
    Vanished {
        /// The app, as it is configured.
        app: ConsumerId,
        /// Where it is now, or why that cannot be told.
        whereabouts: Whereabouts,
        /// The keys that it last held, or may have held.
        held: Vec<Fingerprint>,
    },
    /// A configured app holds no connection string of the service.
    NoConsumer { app: ConsumerId },
    /// An app shows nothing of the service but references, of which nobody can tell where they lead.
    OnlyReferences { app: ConsumerId, names: Vec<String> },
    /// A setting refers to a secret, and what the app is given of it cannot be told, or is not what it must be.
    Reference {
        app: ConsumerId,
        name: String,
        /// What is wrong with it, as far as that tells what to do.
        fault: ReferenceFault,
        /// Why not, with what Azure said.
        why: String,
        /// Whether that passes by itself.
        passing: bool,
    },
    /// A setting refers to a key-value of App Configuration, and what the app is given of it cannot be told, or is not what it
    /// must be.
    KeyValueReference {
        app: ConsumerId,
        name: String,
        /// To which.
        to: KeyValueId,
        /// Why not.
        why: String,
        /// Whether that passes by itself.
        passing: bool,
    },
    /// Nothing was ever said of what a consumer holds that only others can change.
    NeverReported {
        consumer: ConsumerId,
        /// Whom people ask about it.
        owner: Option<String>,
        /// Where people find what is to be done.
        ticket: Option<String>,
    },
    /// Such a consumer was last said to hold a key that is neither of the two. It is to get another, from nobody of us, and
    /// until that is said nobody knows which.
    ExternalStale {
        consumer: ConsumerId,
        /// The key.
        held: Fingerprint,
        /// When that was first said.
        since: DateTime<Utc>,
        owner: Option<String>,
        ticket: Option<String>,
    },
    /// A setting is not what the service's must be, or another must not be.
    Setting {
        app: ConsumerId,
        name: String,
        /// What is wrong with it.
        fault: SettingFault,
    },
}

/// Why what an app is given by a reference cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceFault {
    /// The identity by which the platform reads for the app may not read it.
    NotAllowed,
    /// The app does not have that identity.
    NoIdentity,
    /// It is not written as references are.
    Syntax,
    /// The platform does not find the vault.
    NoVault,
    /// There is no such secret.
    NoSecret,
    /// There is no such version of it.
    NoVersion,
    /// Nothing: what was written has not reached it yet.
    Awaited,
    /// Something else: what Azure said tells.
    Other,
}

/// What is wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingFault {
    /// It should hold a connection string of the service and is a Key Vault reference.
    KeyVaultReference,
    /// The same with an App Configuration reference.
    AppConfigurationReference,
    /// It begins like a reference and is not written as one.
    MistypedReference,
    /// It was named in the configuration and is not there.
    Missing,
    /// It was named in the configuration and holds something else.
    NotOurs,
    /// The configuration names others of its app, and not this one, which holds a key of the service.
    Unnamed,
    /// It holds a key of the service in such a way that another cannot be put in its place for sure.
    KeyInOtherText,
    /// The same with a key that is neither of the two: the app is failing, and cannot be given another key.
    StaleKeyInOtherText,
    /// A variable of a container app holds a key of the service in the open, in the template, and not in a secret.
    InTemplate,
    /// In the place of a key, or of a whole connection string, stands a text that something else replaces.
    Placeholder,
    /// A connection string with a key of the service, or with its host, that no version of Microsoft's SDK takes.
    InvalidString(Malformed),
    /// It is locked where it is kept: it can be read, and not written.
    Locked,
    /// A connection string that names another service's host names this one's too, or holds a former key of it.
    OtherServicesHost,
}

/// Where an app is that is not found under its id any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// A site of its name has this id.
    Moved(ConsumerId),
    /// Nobody can tell, and why.
    Unclear(String),
}

impl Unknown {
    /// What it is of.
    pub const fn consumer(&self) -> &ConsumerId {
        match self {
            Self::Unreadable { app, .. }
            | Self::NeverSeen { app, .. }
            | Self::Vanished { app, .. }
            | Self::NoConsumer { app }
            | Self::OnlyReferences { app, .. }
            | Self::Reference { app, .. }
            | Self::KeyValueReference { app, .. }
            | Self::Setting { app, .. } => app,
            Self::NeverReported { consumer, .. } | Self::ExternalStale { consumer, .. } => consumer,
        }
    }

    /// Whether it is of what a consumer refers to, which is out of sight: what it holds cannot be told by its settings.
    pub const fn is_of_reference(&self) -> bool {
        matches!(self, Self::Reference { .. } | Self::KeyValueReference { .. })
    }

    /// Whether it is that nobody can tell with what the processes of a consumer run that refers to something, or reads secrets
    /// when it starts.
    fn is_of_what_runs(&self, at: &ConsumerRef) -> bool {
        match self {
            Self::Reference { app, .. } if matches!(app, ConsumerId::ContainerApp(_)) => *app == at.app,
            Self::Reference { app, name, .. } | Self::KeyValueReference { app, name, .. } => {
                *app == at.app && *name == at.name
            }
            _ => false,
        }
    }

    /// Whether it stays until somebody does something about it.
    pub fn lasts(&self) -> bool {
        !matches!(
            self,
            Self::Unreadable { passing: true, .. }
                | Self::Reference { passing: true, .. }
                | Self::KeyValueReference { passing: true, .. }
        )
    }

    /// Whether it is only that something takes its time. Azure has shown it, and was not too busy.
    pub const fn is_awaited(&self) -> bool {
        matches!(self, Self::Reference { fault: ReferenceFault::Awaited, passing: true, .. })
    }

    /// Whether it is of an app that was there and is not found any more.
    pub fn is_of_missing(&self) -> bool {
        matches!(self, Self::Vanished { .. })
    }

    /// Whether that key of the service may be held by what could not be seen. An app that has vanished may hold what it
    /// last held, and nothing else; all others may hold any.
    pub fn may_hold(&self, key: &Fingerprint) -> bool {
        match self {
            Self::Vanished { held, .. } => held.contains(key),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Key;

    /// What its secret holds is one thing, and what the processes of an app run with another.
    #[test]
    fn nobody_is_sure_of_an_app_with_replicas_of_before() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/containerApps/api";
        let app = ConsumerId::ContainerApp(id.parse().unwrap());
        let at = ConsumerRef { app: app.clone(), section: None, name: "signalr".into() };
        let keys = PerKey::from_fn(|key_type| Key::new(format!("{key_type:?}")).fingerprint());
        let mut snapshot = Snapshot::of_keys(DateTime::UNIX_EPOCH, keys);
        snapshot.consumers.push(Consumer { at: at.clone(), holds: Holding::Valid(KeyType::Primary) });
        assert!(snapshot.is_sure(&at));
        let (fault, why) = (ReferenceFault::Awaited, "replicas of before are there".to_owned());
        let name = "another, signalr".to_owned();
        snapshot.unknown.push(Unknown::Reference { app, name, fault, why, passing: true });
        assert!(!snapshot.is_sure(&at));
    }
}
