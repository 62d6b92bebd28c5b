//! Lists that are part of a line: whoever reads the line at night reads it on one screen, however much has failed.
//!
//! Start at [`faults`]. A line that has two such lists, and the words around them, stays below a kilobyte. Nothing is lost by
//! that: what cannot be seen or written has a line of its own in the log and in `status`, and `--json` has all of it.

use rekey_core::model::{ConsumerId, ContainerAppKind};
use rekey_core::plan::Unknown;

use std::collections::BTreeSet;

use super::InWords;
use crate::engine::act::RewriteError;
use crate::report::cause;

/// How much of a line one list takes, in characters.
pub(crate) const MOST: usize = 450;

/// How much of it names take that stand behind a cause.
const OF_NAMES: usize = 120;

sentences! {
    THE_SAME_FOR = "the same for ";
    and_more(count) = "and {count} more";
    ONE_MORE_CAUSE = "1 more has another cause: `signalr-rekey status` names it";
    more_causes(count) = "{count} more have other causes: `signalr-rekey status` names them";
}

/// Something that failed, in words.
pub(crate) struct Fault {
    /// Of what.
    who: String,
    told: String,
    /// What all have in common that failed for the same reason.
    cause: String,
}

/// What failed, each cause once with those of whom it is the same, as far as there is room; the rest is counted.
pub(crate) fn faults<'a, T>(all: impl IntoIterator<Item = &'a T>) -> String
where
    Fault: From<&'a T>,
    T: 'a,
{
    let mut groups: Vec<(Fault, Vec<String>)> = Vec::new();
    for fault in all.into_iter().map(Fault::from) {
        match groups.iter_mut().find(|(first, _)| first.cause == fault.cause) {
            Some((_, others)) => others.push(fault.who),
            None => groups.push((fault, Vec::new())),
        }
    }
    let whole: usize = groups.iter().map(|(first, _)| first.told.chars().count()).sum();
    let (mut told, mut room, mut left, alone) = (Vec::new(), MOST, 0, groups.len() == 1);
    for (Fault { told: first, .. }, others) in groups {
        // The first is always told: beside others one that is too long by itself is cut where Azure's prose is.
        let length = first.chars().count();
        if !told.is_empty() && whole > MOST && length > room {
            left += 1 + others.len();
            continue;
        }
        room = room.saturating_sub(length + OF_NAMES.min(others.len() * OF_NAMES));
        told.push(if alone { first } else { shortened(&first, MOST) });
        if !others.is_empty() {
            told.push(format!("{THE_SAME_FOR}{}", names(others, OF_NAMES)));
        }
    }
    told.extend((left > 0).then(|| if left == 1 { ONE_MORE_CAUSE.to_owned() } else { more_causes(left) }));
    told.join("; ")
}

/// As many names as there is room for; the rest is counted.
pub(crate) fn names(all: impl IntoIterator<Item = String>, most: usize) -> String {
    let (mut told, mut room, mut left): (Vec<String>, usize, usize) = (Vec::new(), most, 0);
    for name in all {
        let length = name.chars().count() + 2;
        if left == 0 && (told.is_empty() || length <= room) {
            room = room.saturating_sub(length);
            told.push(name);
        } else {
            left += 1;
        }
    }
    let more = (left > 0).then(|| and_more(left));
    told.join(", ") + &more.map(|more| format!(" {more}")).unwrap_or_default()
}

/// Those in full if there is room for all, else their names.
pub(crate) fn named<'a, T: InWords + 'a>(all: &[&'a T], name: impl Fn(&'a T) -> String) -> String {
    let told: Vec<String> = all.iter().map(|one| one.in_words()).collect();
    let told = told.join(", ");
    if told.chars().count() <= MOST {
        return told;
    }
    // A consumer has a name, however many places of it are meant.
    let mut known = BTreeSet::new();
    let called = all.iter().map(|one| name(one)).filter(|one| known.insert(one.clone()));
    names(called, MOST)
}

/// A consumer as people call it: by its kind, but for apps of App Service, and its name.
pub(crate) fn called(consumer: &ConsumerId) -> String {
    let name = consumer.name();
    match consumer {
        ConsumerId::AppService(_) => name,
        ConsumerId::KeyVaultSecret(_) => format!("Key Vault secret {name}"),
        ConsumerId::KeyValue(_) => format!("App Configuration key-value {name}"),
        ConsumerId::ContainerApp(app) => match app.kind() {
            ContainerAppKind::App => format!("container app {}", app.name()),
            ContainerAppKind::Job => format!("job {}", app.name()),
        },
        ConsumerId::StaticWebApp(_) => format!("static web app {name}"),
        ConsumerId::Reporter(_) => format!("reporter {name}"),
        ConsumerId::Manual(_) => format!("manual consumer {name}"),
    }
}

/// A text without what lies in its middle: at its beginning stands what failed, and at its end what to do.
fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let (head, tail) = (most / 2, most - most / 2);
    let head: String = text.chars().take(head).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head} … {tail}")
}

/// What is said of a consumer, without what is said of it alone: its name, the names of its settings, requests and times.
fn in_common(text: &str, consumer: &ConsumerId) -> String {
    let (name, id) = (consumer.name().to_lowercase(), consumer.to_string().to_lowercase());
    let is_of_it = |word: &&str| !word.to_lowercase().contains(&name);
    let text = text.to_lowercase().replace(&id, "");
    let words: Vec<&str> = text.split(' ').filter(is_of_it).collect();
    without_particulars(&words.join(" "))
}

/// A text without names, requests and times.
pub(crate) fn without_particulars(text: &str) -> String {
    let before = std::iter::once("").chain(text.split(' '));
    let words = text.split(' ').zip(before).filter(|(word, before)| {
        let is_name = matches!(*before, "of" | "app" | "(x-ms-correlation-request-id");
        // Behind a colon stands the status.
        let is_time = word.starts_with(|sign: char| sign.is_ascii_digit()) && !before.ends_with(':');
        !is_name && !is_time
    });
    words.map(|(word, _)| word).collect::<Vec<_>>().join(" ")
}

impl From<&Unknown> for Fault {
    fn from(unknown: &Unknown) -> Self {
        let consumer = unknown.consumer();
        let why = match unknown {
            Unknown::Unreadable { detail, passing, .. } => {
                format!("{passing} {}", in_common(detail, consumer))
            }
            Unknown::Reference { fault, why, passing, .. } => {
                format!("{fault:?} {passing} {}", in_common(why, consumer))
            }
            Unknown::KeyValueReference { why, passing, .. } => {
                format!("{passing} {}", in_common(why, consumer))
            }
            Unknown::Setting { fault, .. } => format!("{fault:?}"),
            // What is told of each is of it alone: another that may be meant, or where it is now.
            Unknown::Vanished { .. } | Unknown::NeverSeen { .. } => consumer.to_string(),
            Unknown::NoConsumer { .. }
            | Unknown::OnlyReferences { .. }
            | Unknown::NeverReported { .. }
            | Unknown::ExternalStale { .. } => String::new(),
        };
        let cause = format!("{:?} {} {why}", std::mem::discriminant(unknown), consumer.kind());
        Self { who: called(consumer), told: unknown.in_words(), cause }
    }
}

impl From<&RewriteError> for Fault {
    fn from(error: &RewriteError) -> Self {
        let (consumer, cause) = match error {
            RewriteError::Arm { consumer, error } => {
                let message = in_common(error.message(), consumer);
                (
                    consumer.clone(),
                    format!("{} {:?} {:?} {message}", error.operation(), error.status(), error.code()),
                )
            }
            RewriteError::Locked { place, error } => {
                let consumer = place.consumer();
                let why = in_common(&cause::told(error), &consumer);
                (consumer, why)
            }
            RewriteError::Overwritten { place } | RewriteError::NotKept { place, .. } => {
                (place.consumer(), place.consumer().kind().to_owned())
            }
        };
        Self { who: called(&consumer), told: cause::told(error), cause }
    }
}

#[cfg(test)]
mod tests {
    use rekey_core::model::AppId;
    use rekey_core::plan::SettingFault;

    use super::*;
    use crate::report::{Ending, RunReport};
    use rekey_core::plan::{ConsumerRef, CutOff};

    fn app(n: usize) -> ConsumerId {
        AppId::new(
            "00000000-0000-0000-0000-000000000001",
            "rg-production",
            &format!("chat-frontend-{n:02}"),
            None,
        )
        .into()
    }

    /// Forty, each in one of five ways, as Azure says it of each in words of its own.
    fn failing() -> Vec<Unknown> {
        let one = |n: usize| {
            let (app, name) = (app(n), "Azure__SignalR__ConnectionString".to_owned());
            let refused = |code: &str| {
                format!(
                    "cannot read the app settings of chat-frontend-{n:02}: 403 {code}, The client '11111111-2222' with object id \
                     '11111111-2222' does not have authorization to perform action over scope '{app}/config/appsettings' or the \
                     scope is invalid (x-ms-correlation-request-id 0000-{n}); give the identity the role that docs/security.md names"
                )
            };
            match n % 5 {
                0 => Unknown::Unreadable { detail: refused("AuthorizationFailed"), passing: false, app },
                1 => Unknown::Unreadable {
                    detail: refused("DenyAssignmentAuthorizationFailed"),
                    passing: false,
                    app,
                },
                2 => Unknown::Setting { app, name, fault: SettingFault::Placeholder },
                3 => Unknown::Setting { app, name, fault: SettingFault::KeyInOtherText },
                _ => Unknown::NoConsumer { app },
            }
        };
        (0..40).map(one).collect()
    }

    #[test]
    fn forty_that_fail_in_five_ways_are_a_line_below_a_kilobyte_that_names_and_counts() {
        let service = "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat"
            .parse()
            .unwrap();
        let mut report = RunReport::that_ended(service, Ending::unseen(failing()), vec![]);
        let line = report.summary();
        assert!(line.len() < 1000, "{}: {line}", line.len());
        assert_eq!(line.matches("AuthorizationFailed, The client").count(), 1, "each cause once: {line}");
        assert!(line.contains("the same for chat-frontend-05, "), "{line}");
        assert!(line.contains("have other causes") && line.contains("`signalr-rekey status`"), "{line}");
        let named = (0..40).filter(|n| line.contains(&format!("chat-frontend-{n:02}"))).count();
        assert!(named >= 5, "{named}: {line}");
        let at = |n| ConsumerRef { app: app(n), section: None, name: "AzureSignalRConnectionString".into() };
        report.cut_off = (0..40).map(|n| CutOff::Stale(at(n))).collect();
        let line = report.summary();
        assert!(
            line.len() < 1400 && line.contains("cut off, because") && line.contains("more"),
            "{}: {line}",
            line.len()
        );
    }

    #[test]
    fn one_that_is_left_is_one_and_nobody_is_named_twice() {
        let causes: Vec<Unknown> = failing().into_iter().step_by(8).collect();
        let told = |all: &[Unknown]| faults(all);
        let line = (1..=causes.len()).map(|n| told(&causes[..n])).find(|line| line.contains("; 1 more "));
        assert!(line.unwrap().contains("1 more has another cause: `signalr-rekey status` names it"));
        let at = |n: usize| ConsumerRef { app: app(0), section: None, name: format!("AzureSignalR{n:0100}") };
        let all: Vec<CutOff> = (0..9).map(|n| CutOff::Stale(at(n))).collect();
        let all: Vec<&CutOff> = all.iter().collect();
        assert_eq!(named(&all, |who| called(who.app().unwrap())), app(0).name());
    }

    #[test]
    fn few_are_told_in_full() {
        let all = &failing()[2..5];
        let whole: Vec<String> = all.iter().map(InWords::in_words).collect();
        assert!(faults(&all[..1]) == whole[0] && faults(&all[2..]) == whole[2]);
        assert_eq!(names(["a", "b"].map(str::to_owned), MOST), "a, b");
        assert_eq!(names(["a", "b", "c"].map(str::to_owned), 4), "a and 2 more");
    }
}
