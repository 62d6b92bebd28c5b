//! What is decided, what is waited for, and what stands in the way.

use rekey_core::plan::{BlockedBy, Covered, Decision, Standing, Step, WaitFor};

use super::{InWords, listed, readable};

impl InWords for Decision {
    fn in_words(&self) -> String {
        match self {
            Self::Do(step) => step.in_words(),
            Self::Waiting { reason, until } => {
                let colon = if matches!(reason, WaitFor::Grace(_)) { "" } else { ":" };
                format!("waiting until {}{colon} {}", readable(*until), reason.in_words())
            }
            Self::Blocked(by) => format!("blocked: {}", by.in_words()),
            Self::Settled { next: Some(next) } => {
                format!("settled; the next rotation is due at {}", readable(*next))
            }
            Self::Settled { next: None } => "settled; no consumer holds a key of this service".into(),
        }
    }
}

impl InWords for Step {
    fn in_words(&self) -> String {
        match self {
            Self::Repoint { to, consumers, repair } => {
                let does = if *repair { "repair with" } else { "repoint to" };
                format!("{does} the {to} key: {}", listed(consumers, ", "))
            }
            Self::Follow(key_type) => format!("follow the regeneration of the {key_type} key"),
            Self::Verify(key_type) => format!("verify that the service accepts the {key_type} key"),
            Self::Regenerate(key_type) => {
                format!("regenerate the {key_type} key, which no consumer holds")
            }
        }
    }
}

/// What stands behind `waiting until …`.
impl InWords for WaitFor {
    fn in_words(&self) -> String {
        match self {
            Self::Grace(key_type) => {
                format!("(grace period of the {key_type} key) before regenerating it")
            }
            Self::Operation(key_type) => {
                format!("Azure is still regenerating the {key_type} key; the next run checks again")
            }
            Self::LostOperation(key_type) => format!(
                "Azure cannot be asked about the regeneration of the {key_type} key that was sent; by then the listed keys show \
                 how it ended"
            ),
            Self::Acceptance(key_type) => {
                format!("the service does not accept the {key_type} key yet; it is tried again")
            }
            Self::RegenerateAgain { key_type, detail } => {
                format!("regenerating the {key_type} key failed and is retried then: {}", cause(detail))
            }
        }
    }
}

impl InWords for BlockedBy {
    fn in_words(&self) -> String {
        match self {
            Self::Unknown(unknown) => {
                format!("no key is regenerated until this is resolved: {}", listed(unknown, "; "))
            }
            Self::KeyRefused { key_type, since, detail } => format!(
                "the service still refuses the {key_type} key made at {}: {detail}. No consumer was moved to it. Check whether \
                 access keys are disabled (disableLocalAuth); if network rules keep this host out, allow it or set verify = \
                 \"control-plane\"",
                readable(*since)
            ),
            Self::RegenerationFails { key_type, again, detail } => format!(
                "cannot regenerate the {key_type} key: {}. Both keys stay valid. The next attempt is at {}; `unblock` retries \
                 at once",
                cause(detail),
                readable(*again)
            ),
            Self::JournalDisagrees => {
                "the journal and Azure disagree about the current keys; nothing was changed. Run rotate \
                again; if it persists, report it with status --json"
                    .into()
            }
        }
    }
}

impl InWords for Covered {
    fn in_words(&self) -> String {
        match self {
            Self::Asked(at) => {
                format!("nothing to do: a rotation for this was already requested at {}", readable(*at))
            }
            Self::NobodyHolds => {
                "nothing to do: no consumer holds a key that will be regenerated, so no app will be cut off"
                    .into()
            }
        }
    }
}

impl InWords for Standing {
    fn in_words(&self) -> String {
        match self {
            Self::NotRegenerated { key_type, at, detail } => format!(
                "regenerating the {key_type} key failed at {}; the next run retries: {}",
                readable(*at),
                cause(detail)
            ),
            Self::NotAccepted { key_type, at, detail } => format!(
                "the service refused the {key_type} key at {}; the next run tries it again: {detail}",
                readable(*at)
            ),
            Self::NotGivenOut { key_type, at } => format!(
                "the run of {} did not manage to give the {key_type} key to these apps: its log says why, and the next run \
                 retries",
                readable(*at)
            ),
        }
    }
}

/// Why a regeneration failed: what Azure said, or what is known without its word.
pub(super) fn cause(detail: &str) -> &str {
    if detail == rekey_core::journal::UNCHANGED {
        "Azure could not be asked how it went, and the key is unchanged after the longest time that a regeneration takes"
    } else {
        detail
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rekey_core::model::{AppId, KeyType, Section};
    use rekey_core::plan::ConsumerRef;

    use super::*;

    #[test]
    fn decisions_read_as_sentences() {
        let key_type = KeyType::Secondary;
        let until = DateTime::from_timestamp(7200, 0).unwrap();
        let waiting = Decision::Waiting { reason: WaitFor::Grace(key_type), until };
        insta::assert_snapshot!(waiting.in_words(), @"waiting until 1970-01-01T02:00:00Z (grace period of the Secondary key) before regenerating it");
        let app = AppId::new("s", "g", "app-0", None).into();
        let consumers = vec![ConsumerRef { app, section: Section::AppSettings, name: "SignalR".into() }];
        let repair = Decision::Do(Step::Repoint { to: key_type, consumers, repair: true });
        insta::assert_snapshot!(repair.in_words(), @"repair with the Secondary key: app-0 (app setting SignalR)");
    }

    #[test]
    fn a_cause_that_only_the_keys_tell_is_told_in_words() {
        let reason = WaitFor::RegenerateAgain {
            key_type: KeyType::Primary,
            detail: rekey_core::journal::UNCHANGED.into(),
        };
        assert!(
            reason.in_words().contains("the key is unchanged after the longest time"),
            "{}",
            reason.in_words()
        );
    }
}
