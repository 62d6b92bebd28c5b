//! What there is to tell of a run.

use std::fmt;

use serde_json::{Value, json};

use crate::report::{Ending, RunReport};
use rekey_core::journal::Event;
use rekey_core::model::{ConsumerId, ServiceId};
use rekey_core::plan::Decision;

/// What is told of a run. It holds no key material: what runs tell holds none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What kind of thing happened.
    pub kind: Kind,
    /// To which service.
    pub instance: ServiceId,
    /// One line for people.
    pub text: String,
    ending: &'static str,
    apps: Vec<String>,
    took_ms: u128,
}

/// The kinds of things that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apps held an invalid key, and have a good one now.
    Repaired,
    /// A rotation is over: the key that was left is dead.
    Rotated,
    /// A run failed; the next one carries on.
    Failed,
    /// Nothing goes on until a person does something.
    Blocked,
    /// A key was regenerated from outside, and nobody held it.
    DriftFound,
}

impl Kind {
    /// The type of the CloudEvent.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Repaired => "SignalRRekey.Repaired",
            Self::Rotated => "SignalRRekey.Rotated",
            Self::Failed => "SignalRRekey.Failed",
            Self::Blocked => "SignalRRekey.Blocked",
            Self::DriftFound => "SignalRRekey.DriftFound",
        }
    }

    /// The kind whose events are of this type.
    pub(super) fn of_type(event_type: &str) -> Option<Self> {
        let all = [Self::Repaired, Self::Rotated, Self::Failed, Self::Blocked, Self::DriftFound];
        all.into_iter().find(|kind| kind.event_type() == event_type)
    }

    /// Whether the next run will find the same.
    pub(super) const fn lasts(self) -> bool {
        matches!(self, Self::Failed | Self::Blocked)
    }
}

/// What there is to tell of a run; mostly nothing.
#[must_use]
pub fn announce(report: &RunReport) -> Option<Announcement> {
    let apps = report.recorded.iter().filter_map(|event| match event {
        Event::Repointed { apps, .. } => Some(apps),
        _ => None,
    });
    Some(Announcement {
        kind: kind(report)?,
        instance: report.service.clone(),
        text: report.summary(),
        ending: report.ending.name(),
        apps: apps.flatten().map(ConsumerId::to_string).collect(),
        took_ms: report.took.as_millis(),
    })
}

fn kind(report: &RunReport) -> Option<Kind> {
    let happened = |fits: fn(&Event) -> bool| report.recorded.iter().any(fits);
    match &report.ending {
        ending if ending.is_failure() && !matches!(ending, Ending::Decided(_)) => Some(Kind::Failed),
        Ending::Decided(Decision::Blocked(_)) | Ending::Postponed { .. } => Some(Kind::Blocked),
        _ if happened(|event| matches!(event, Event::Repointed { repaired: true, .. })) => {
            Some(Kind::Repaired)
        }
        _ if happened(|event| matches!(event, Event::KeyChanged { .. })) => Some(Kind::DriftFound),
        Ending::Decided(Decision::Settled { .. }) => {
            happened(|event| matches!(event, Event::Regenerated { .. })).then_some(Kind::Rotated)
        }
        _ => None,
    }
}

impl Announcement {
    /// The data of the CloudEvent.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({
            "text": self.text,
            "instance": self.instance.to_string(),
            "ending": self.ending,
            "apps": self.apps,
            "tookMs": u64::try_from(self.took_ms).unwrap_or(u64::MAX),
        })
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.event_type(), self.text)
    }
}
