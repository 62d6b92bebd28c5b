//! What events mean: one pure function from an event to a [`Notice`].
//!
//! Start at [`classify`]. [`read`](read()) makes [`Event`]s of what was delivered: events of Event Grid in both of its
//! schemas, and alerts of Azure Monitor. A notice is a hint, whatever it says: it may cause a check or a rotation of an
//! service that is configured, and nothing of it is written anywhere.

mod read;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

pub use read::{Malformed, Misread, read};

use crate::model::{AppId, KeyType, PerKey, ServiceId, holds_a_secret, is_unseen, likest};
use crate::plan::Approving;

/// What we read of an event. Its data also holds the claims of whoever acted; those are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Event {
    /// `id`: the same in every delivery of the event.
    pub id: Option<String>,
    /// `eventType`, or `type` of a CloudEvent; the `schemaId` of an alert, if it has one.
    pub kind: String,
    /// `eventTime`, or `time`, or `firedDateTime`.
    pub time: Option<DateTime<Utc>>,
    /// What it happened to, in every way in which it says so: `subject`, `topic` or `source`, `data.resourceUri`,
    /// `data.authorization.scope`; the `alertTargetIDs` of an alert.
    pub resources: Vec<String>,
    /// `data.operationName`, else `data.authorization.action`; `alertContext.operationName`.
    pub operation: Option<String>,
    /// The data of our own bridge's events.
    pub bridge: Bridge,
    /// What an alert says besides; nothing if it is none.
    pub alert: Option<Alert>,
}

impl Event {
    /// Whether it is an alert of Azure Monitor.
    pub fn is_alert(&self) -> bool {
        self.alert.is_some()
    }
}

/// The data of an event of our own bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bridge {
    /// `data.instance`: a resource id.
    pub instance: Option<String>,
    /// `data.keyTypes`: which keys; both if it is missing.
    pub key_types: Option<Vec<String>>,
    /// `data.key`: the fingerprint of the key that the rotation replaces which is approved.
    pub key: Option<String>,
    /// `data.by`: who approves it.
    pub by: Option<String>,
    /// `data.deadline`: when the keys will be regenerated; UTC if it has no offset.
    pub deadline: Option<String>,
    /// What else `data` has: the names of its members.
    pub others: Vec<String>,
}

/// What an alert of Azure Monitor says besides its targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Alert {
    pub service_health: bool,
    /// Its service, its impacted services or its title name SignalR.
    pub names_signalr: bool,
}

/// What an event means to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A key was regenerated through Azure Resource Manager; of a service that is not named, if there is none.
    Regenerated { instance: Option<ServiceId> },
    /// A regeneration failed or was cancelled. Whether the key is the old one, only a check tells.
    RegenerationFailed { instance: Option<ServiceId> },
    /// A service was written or deleted, or is said to be unwell: local authentication may be switched off.
    InstanceChanged { instance: ServiceId },
    /// An app was written, swapped or deleted, or its settings were edited.
    AppChanged { app: AppId },
    /// Azure says that something is wrong with SignalR, or in a subscription.
    ServiceHealth {
        /// Whether it names SignalR: then it may mean every service.
        signalr: bool,
        subscriptions: Vec<String>,
    },
    /// Keys are going to be regenerated.
    Announced {
        instance: ServiceId,
        keys: PerKey<bool>,
        /// When, if that is known.
        deadline: Option<DateTime<Utc>>,
    },
    /// The keys of a service are in strange hands.
    Compromised { instance: ServiceId },
    /// A rotation is approved.
    Approved { instance: ServiceId, approving: Approving },
    /// It calls for nothing.
    Ignored(Ignored),
    /// It is one of our own bridge's and cannot be understood.
    Unreadable {
        /// What is wrong with it.
        fault: BridgeFault,
    },
}

/// What is wrong with an event of our own bridge. Nothing of what was written is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeFault {
    /// Its type ends like one of ours, and begins otherwise.
    AlmostOurs,
    /// Its type begins like ours, and is none.
    UnknownType,
    /// It names no service.
    NoInstance,
    /// What it names is no resource id of a service.
    NotAnInstance,
    /// It has a member that is not known, and may be meant for this one.
    Misspelt(&'static str),
    /// It has a member that is not known.
    UnknownMember,
    /// A key type that is none.
    NotAKeyType,
    /// An empty list of key types.
    NoKeyTypes,
    /// A deadline that is no time.
    NotATime,
    /// An approval that does not say of which key, or of none that can be.
    NoKey,
    /// An approval that does not say who gives it, on one short line.
    NoName,
    /// An approval without a time, which could be sent again for ever.
    NoTime,
}

/// Why an event calls for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Somebody read keys, as we do all the time: a check because of it would cause the next.
    Reading,
    OtherAction,
    /// It has nothing to do with us.
    Unrelated,
}

const REGENERATE: &str = "microsoft.signalrservice/signalr/regeneratekey/action";

const TAGS: &str = "Microsoft.Resources/tags/write";

/// How the types of our own bridge begin, in lower case.
const BRIDGE: &str = "signalrrekey.";

/// What is behind that in the type of an approval.
const APPROVED: &str = "rotationapproved";

/// What the data of the others may have, the one that is most missed first.
const ANNOUNCES: [&str; 3] = ["deadline", "keyTypes", "instance"];

/// Says what an event means. Types, operations and resource ids compare without regard to case, for Azure mixes it. Alerts
/// mean the same with the common alert schema and without it.
///
/// | event | notice |
/// |---|---|
/// | `Microsoft.Resources.ResourceActionSuccess`, operation `Microsoft.SignalRService/SignalR/regenerateKey/action` | [`Regenerated`](Notice::Regenerated) |
/// | the same with `…ActionFailure` or `…ActionCancel` | [`RegenerationFailed`](Notice::RegenerationFailed) |
/// | an action that reads keys or settings (`listKeys`, `config/list`) | [`Ignored::Reading`] |
/// | the swap of an app's slots | [`AppChanged`](Notice::AppChanged) |
/// | any other action, failed writes, failed deletes, a write of tags (`Microsoft.Resources/tags/write`) | [`Ignored::OtherAction`] |
/// | `Microsoft.Resources.ResourceWriteSuccess`, `…DeleteSuccess`, `Microsoft.ResourceNotifications.Resources.…`, of or below an instance | [`InstanceChanged`](Notice::InstanceChanged) |
/// | the same of or below an app | [`AppChanged`](Notice::AppChanged) |
/// | `Microsoft.Web.AppUpdated`, `Microsoft.Web.SlotSwapCompleted` | [`AppChanged`](Notice::AppChanged) |
/// | alert on the operation `…/regenerateKey/action` | [`Regenerated`](Notice::Regenerated) |
/// | alert of Service Health | [`ServiceHealth`](Notice::ServiceHealth) |
/// | any other alert, with an instance among its targets | [`InstanceChanged`](Notice::InstanceChanged) |
/// | `SignalRRekey.RegenerationAnnounced`, data `{instance, keyTypes?, deadline?}` | [`Announced`](Notice::Announced) |
/// | `SignalRRekey.KeysExposed`, data `{instance}` | [`Compromised`](Notice::Compromised) |
/// | `SignalRRekey.RotationApproved`, data `{instance, key, by}` | [`Approved`](Notice::Approved) |
/// | one of these that names no service, or keys or a deadline that are none; an approval without key, name or time; an announcement or approval with another member in its data, which may be meant for one of these; another `SignalRRekey.…`, or a type that ends like one of ours | [`Unreadable`](Notice::Unreadable) |
/// | everything else | [`Ignored::Unrelated`] |
pub fn classify(event: &Event) -> Notice {
    if let Some(said) = &event.alert {
        return alert(event, said);
    }
    let kind = event.kind.to_lowercase();
    if let Some(bridged) = kind.strip_prefix(BRIDGE) {
        return bridge(bridged, event).unwrap_or_else(|fault| Notice::Unreadable { fault });
    }
    match kind.as_str() {
        "microsoft.resources.resourceactionsuccess" => action(event),
        "microsoft.resources.resourceactionfailure" | "microsoft.resources.resourceactioncancel" => {
            if is_regeneration(event) {
                return Notice::RegenerationFailed { instance: instance(event) };
            }
            Notice::Ignored(Ignored::OtherAction)
        }
        "microsoft.resources.resourcewritesuccess"
        | "microsoft.resources.resourcedeletesuccess"
        | "microsoft.resourcenotifications.resources.createdorupdated"
        | "microsoft.resourcenotifications.resources.deleted" => changed(event),
        "microsoft.web.appupdated" | "microsoft.web.slotswapcompleted" => changed(event),
        // A slip of the pen in a report of a leak must not pass for somebody else's event.
        other
            if [".keysexposed", ".regenerationannounced", ".rotationapproved"]
                .iter()
                .any(|ours| other.ends_with(ours)) =>
        {
            Notice::Unreadable { fault: BridgeFault::AlmostOurs }
        }
        other if other.starts_with("microsoft.resources.") => Notice::Ignored(Ignored::OtherAction),
        _ => Notice::Ignored(Ignored::Unrelated),
    }
}

fn action(event: &Event) -> Notice {
    if is_regeneration(event) {
        return Notice::Regenerated { instance: instance(event) };
    }
    let operation = event.operation.as_deref().unwrap_or_default().to_lowercase();
    if operation.ends_with("/listkeys/action") || operation.ends_with("/config/list/action") {
        return Notice::Ignored(Ignored::Reading);
    }
    let swaps = operation.starts_with("microsoft.web/sites/") && operation.contains("slotsswap");
    match app(event).filter(|_| swaps) {
        Some(app) => Notice::AppChanged { app },
        None => Notice::Ignored(Ignored::OtherAction),
    }
}

fn changed(event: &Event) -> Notice {
    // A tag keeps nobody from anything, and those on services may be ours.
    if event.operation.as_deref().is_some_and(|operation| operation.eq_ignore_ascii_case(TAGS)) {
        return Notice::Ignored(Ignored::OtherAction);
    }
    if let Some(instance) = instance(event) {
        return Notice::InstanceChanged { instance };
    }
    app(event).map_or(Notice::Ignored(Ignored::Unrelated), |app| Notice::AppChanged { app })
}

fn alert(event: &Event, said: &Alert) -> Notice {
    if is_regeneration(event) {
        return Notice::Regenerated { instance: instance(event) };
    }
    if let Some(instance) = instance(event) {
        return Notice::InstanceChanged { instance };
    }
    if !said.service_health {
        return Notice::Ignored(Ignored::Unrelated);
    }
    let subscription = |resource: &String| {
        let rest = resource.get("/subscriptions/".len()..)?;
        let is_one = resource.to_lowercase().starts_with("/subscriptions/");
        is_one.then(|| rest.split('/').next().unwrap_or_default().to_owned())
    };
    let subscriptions = event.resources.iter().filter_map(subscription).collect();
    Notice::ServiceHealth { signalr: said.names_signalr, subscriptions }
}

fn bridge(kind: &str, event: &Event) -> Result<Notice, BridgeFault> {
    let data = &event.bridge;
    let meant = |data| meant(data, if kind == APPROVED { read::APPROVALS } else { ANNOUNCES });
    let instance = || {
        let named = data.instance.as_deref();
        let named = named.ok_or_else(|| meant(data).unwrap_or(BridgeFault::NoInstance))?;
        ServiceId::from_prefix(named).map_err(|_| BridgeFault::NotAnInstance)
    };
    match kind {
        // A deadline that is not known for one would be lost in silence, and the keys not watched around it.
        "regenerationannounced" if !data.others.is_empty() => {
            Err(meant(data).unwrap_or(BridgeFault::UnknownMember))
        }
        "regenerationannounced" => Ok(Notice::Announced {
            instance: instance()?,
            keys: announced(data.key_types.as_deref())?,
            deadline: data.deadline.as_deref().map(deadline).transpose()?,
        }),
        APPROVED if !data.others.is_empty() => Err(meant(data).unwrap_or(BridgeFault::UnknownMember)),
        APPROVED => Ok(Notice::Approved {
            instance: instance()?,
            approving: Approving {
                key: data.key.as_deref().and_then(|key| key.parse().ok()).ok_or(BridgeFault::NoKey)?,
                by: data.by.as_deref().and_then(name_of_person).ok_or(BridgeFault::NoName)?,
                at: event.time.ok_or(BridgeFault::NoTime)?,
            },
        }),
        "keysexposed" => Ok(Notice::Compromised { instance: instance()? }),
        _ => Err(BridgeFault::UnknownType),
    }
}

/// The longest name of a person that is put on record.
const LONGEST_NAME: usize = 100;

/// The name of a person, on one line; nothing if it is none that can be put on record, as a key is none.
pub fn name_of_person(text: &str) -> Option<String> {
    let name = text.trim();
    let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(is_unseen);
    let is_name = is_name && !holds_a_secret(name);
    is_name.then(|| name.to_owned())
}

/// Which member a misspelt one is meant for. What was written is not repeated.
fn meant(data: &Bridge, known: [&'static str; 3]) -> Option<BridgeFault> {
    let candidates = || known.map(|name| (name.to_owned(), name)).into_iter();
    let meant = data.others.iter().find_map(|other| likest(other, candidates()));
    meant.map(BridgeFault::Misspelt)
}

fn announced(key_types: Option<&[String]>) -> Result<PerKey<bool>, BridgeFault> {
    let Some(named) = key_types else { return Ok(PerKey { primary: true, secondary: true }) };
    let mut keys = PerKey::<bool>::default();
    for name in named {
        let key_type: KeyType = name.parse().map_err(|_| BridgeFault::NotAKeyType)?;
        keys[key_type] = true;
    }
    if keys == PerKey::default() { Err(BridgeFault::NoKeyTypes) } else { Ok(keys) }
}

fn deadline(text: &str) -> Result<DateTime<Utc>, BridgeFault> {
    read::deadline(text).ok_or(BridgeFault::NotATime)
}

fn is_regeneration(event: &Event) -> bool {
    event.operation.as_deref().is_some_and(|operation| operation.eq_ignore_ascii_case(REGENERATE))
}

fn instance(event: &Event) -> Option<ServiceId> {
    event.resources.iter().find_map(|text| ServiceId::from_prefix(text).ok())
}

/// The most exact of the resources: a site's own topic may come with the slot in another member.
fn app(event: &Event) -> Option<AppId> {
    let apps = event.resources.iter().filter_map(|text| AppId::from_prefix(text).ok());
    apps.max_by_key(|app| app.slot().is_some())
}
