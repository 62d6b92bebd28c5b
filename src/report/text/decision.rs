//! What is decided, what is waited for, and what stands in the way.

use rekey_core::plan::{BlockedBy, Covered, Decision, Standing, Step, WaitFor};

use super::{InWords, listed, readable};

impl InWords for Decision {
    fn in_words(&self) -> String {
        match self {
            Self::Do(step) => step.in_words(),
            Self::Waiting { reason, until } => {
                format!("waiting until {}: {}", readable(*until), reason.in_words())
            }
            Self::Blocked(by) => format!("blocked: {}", by.in_words()),
            Self::Settled { next: Some(next) } => {
                format!("settled; the next rotation is due at {}", readable(*next))
            }
            Self::Settled { next: None } => "settled; no app holds a key of this instance".into(),
        }
    }
}

impl InWords for Step {
    fn in_words(&self) -> String {
        match self {
            Self::Repoint { to, consumers, repair } => {
                let verb = if *repair { "repair" } else { "repoint" };
                format!("{verb} to the {to} key: {}", listed(consumers, ", "))
            }
            Self::Follow { key_type } => format!("follow the regeneration of the {key_type} key"),
            Self::Verify { key_type } => format!("verify that the service accepts the {key_type} key"),
            Self::Regenerate { key_type } => format!("regenerate the {key_type} key, which nobody holds"),
        }
    }
}

impl InWords for WaitFor {
    fn in_words(&self) -> String {
        match self {
            Self::Grace { key_type } => {
                format!("clients may still hold the {key_type} key, which is regenerated after its grace")
            }
            Self::Operation { key_type } => {
                format!("Azure is still regenerating the {key_type} key; the next run asks again")
            }
            Self::LostOperation { key_type } => format!(
                "a regeneration of the {key_type} key was sent, and Azure cannot be asked how it goes; the keys tell when it \
                 can no longer be running"
            ),
            Self::Acceptance { key_type } => format!("the service does not accept the {key_type} key yet"),
            Self::RegenerateAgain { key_type, detail } => format!(
                "regenerating the {key_type} key came to nothing and is tried again; Azure said: {}",
                cause(detail)
            ),
        }
    }
}

impl InWords for BlockedBy {
    fn in_words(&self) -> String {
        match self {
            Self::Unknown(unknown) => {
                format!("no key may be regenerated while this is not known: {}", listed(unknown, "; "))
            }
            Self::KeyRefused { key_type, since, detail } => format!(
                "the service still refuses the {key_type} key made at {}: {detail}. Nobody was moved to it. Check \
                 whether local authentication is switched off (disableLocalAuth), or whether this host is kept out \
                 by network rules; then set verify = \"control-plane\"",
                readable(*since)
            ),
            Self::RegenerationFails { key_type, again, detail } => format!(
                "the {key_type} key cannot be regenerated: {}. Both keys stay valid. It is tried again at {}; \
                 `unblock` tries at once",
                cause(detail),
                readable(*again)
            ),
            Self::JournalDisagrees => {
                "the journal speaks of other keys than Azure lists; run the pass again, and if this stays, report it"
                    .into()
            }
        }
    }
}

impl InWords for Covered {
    fn in_words(&self) -> String {
        match self {
            Self::Asked { at } => {
                format!("the rotation that it asks for was asked for at {}", readable(*at))
            }
            Self::NobodyHolds => "no app holds a key that will be regenerated, so it cuts nobody off".into(),
        }
    }
}

impl InWords for Standing {
    fn in_words(&self) -> String {
        match self {
            Self::NotRegenerated { key_type, at, detail } => format!(
                "regenerating the {key_type} key failed at {}, and the next run tries it again: {}",
                readable(*at),
                cause(detail)
            ),
            Self::NotAccepted { key_type, at, detail } => format!(
                "the service refused the {key_type} key at {}, and the next run asks again: {detail}",
                readable(*at)
            ),
            Self::NotGivenOut { key_type, at } => format!(
                "the run of {} was to give the {key_type} key to these apps and did not get it done: its log says why, and \
                 the next run tries again",
                readable(*at)
            ),
        }
    }
}

/// Why a regeneration failed: what Azure said, or what is known without its word.
pub(super) fn cause(detail: &str) -> &str {
    if detail == rekey_core::journal::UNCHANGED {
        "how it went could not be asked, and the key is unchanged after the longest time that it can take"
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
        let waiting = Decision::Waiting { reason: WaitFor::Grace { key_type }, until };
        insta::assert_snapshot!(waiting.in_words(), @"waiting until 1970-01-01T02:00:00Z: clients may still hold the Secondary key, which is regenerated after its grace");
        let app = AppId::new("s", "g", "app-0", None);
        let consumers =
            vec![ConsumerRef { app: app.into(), section: Section::AppSettings, name: "SignalR".into() }];
        let repair = Decision::Do(Step::Repoint { to: key_type, consumers, repair: true });
        insta::assert_snapshot!(repair.in_words(), @"repair to the Secondary key: app-0 (app setting SignalR)");
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
