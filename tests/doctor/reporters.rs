//! Machines that report, and what persons change.

use rekey_core::journal::Event;
use rekey_core::model::{ConsumerId, Fingerprint, Key, KeyType};
use rekey_core::plan::External;
use signalr_rekey::doctor::{Check, Finding, Report, Severity};
use signalr_rekey::store::Lease;

use super::common::{HOUR, MINUTE, Story};
use super::{bad, examine, instance};
use rekey_core::intent::{Cause, Intent};

async fn story() -> Story {
    let mut story = Story::new().await;
    let one = |id: &str| {
        let id = id.parse().unwrap();
        External { id, within: HOUR, owner: None, ticket: None }
    };
    story.config.instances[0].external = vec![one("reporter:iis-01"), one("manual:gateway")];
    story
}

async fn record(story: &Story, event: Event) {
    let id = &story.config.instances[0].id;
    let mut lease = Lease::acquire(story.store.clone(), story.clock.clone(), id, "a test").await.unwrap();
    lease.record(event).unwrap();
    lease.release().await.unwrap();
}

fn of<'r>(report: &'r Report, subject: &str) -> &'r Finding {
    let found: Vec<_> = report.findings.iter().filter(|finding| finding.subject == subject).collect();
    let [finding] = found[..] else { panic!("{found:#?}") };
    assert_eq!(finding.check, Check::Consumer);
    assert_eq!(finding.instances.iter().map(ToString::to_string).collect::<Vec<_>>(), [instance()]);
    finding
}

#[tokio::test]
async fn the_last_report_of_each_is_told_with_its_age_and_who_never_reported_is_an_error() {
    let story = story().await;
    let report = examine(&story).await;
    assert_eq!(bad(&report, Check::Consumer).len(), 2, "{report:#?}");
    for (subject, name) in [("reporter iis-01", "iis-01"), ("manual consumer gateway", "gateway")] {
        let finding = of(&report, subject);
        assert_eq!(finding.severity, Severity::Error);
        let fix = finding.fix.as_ref().unwrap();
        assert_eq!(
            *fix,
            format!(
                "signalr-rekey acknowledge {} {name} --key Primary, or --key Secondary: the one that it holds",
                instance()
            ),
            "{fix}"
        );
    }

    story.tick().await;
    let consumer = |text: &str| text.parse::<ConsumerId>().unwrap();
    let holds: Fingerprint = story.key("sr-demo", KeyType::Primary).fingerprint();
    let reported = Event::Reported { consumer: consumer("reporter:iis-01"), fingerprint: holds.clone() };
    record(&story, reported).await;
    let by = "ada".to_owned();
    let said = Event::Acknowledged { consumer: consumer("manual:gateway"), fingerprint: holds, by };
    record(&story, said).await;
    story.clock.advance(3 * HOUR);
    let report = examine(&story).await;
    let machine = of(&report, "reporter iis-01");
    assert_eq!(machine.severity, Severity::Ok);
    assert!(machine.what.contains("the Primary key of sr-demo; its last report is of "), "{machine:?}");
    assert!(machine.what.ends_with(", 3 h ago"), "{machine:?}");
    let gateway = of(&report, "manual consumer gateway");
    assert!(gateway.what.contains("ada acknowledged it at "), "{gateway:?}");

    let fingerprint = Key::new("of somebody else").fingerprint();
    record(&story, Event::Reported { consumer: consumer("reporter:iis-01"), fingerprint }).await;
    let report = examine(&story).await;
    let machine = of(&report, "reporter iis-01");
    assert!(machine.severity == Severity::Error && machine.what.contains("cut off"), "{machine:?}");
}

/// Who is waited for, and takes longer than he may, keeps a key from being regenerated: that is an error of its own, with the
/// command that ends it by a person's word.
#[tokio::test]
async fn who_is_late_is_an_error_with_the_command_that_ends_the_wait() {
    let mut story = story().await;
    story.config.instances[0].external.remove(1);
    story.tick().await;
    let fingerprint = story.key("sr-demo", KeyType::Primary).fingerprint();
    let consumer: ConsumerId = "reporter:iis-01".parse().unwrap();
    record(&story, Event::Reported { consumer, fingerprint }).await;
    story.run(Intent::rotation(Cause::Operator, None), 9 * MINUTE).await;
    for _ in 0..30 {
        story.clock.advance(10 * MINUTE);
        story.tick().await;
    }
    let waits = story.tick().await.pop().unwrap();
    assert!(waits.summary().contains("blocked: late: "), "{}", waits.summary());
    let report = examine(&story).await;
    let finding = of(&report, "reporter iis-01");
    assert_eq!(finding.severity, Severity::Error, "{finding:?}");
    assert!(finding.what.starts_with("late: "), "{finding:?}");
    assert!(finding.what.contains("the Primary key of sr-demo"), "{finding:?}");
    let fix = finding.fix.as_deref().unwrap();
    assert!(
        fix.ends_with(&format!("signalr-rekey acknowledge {} iis-01 --key Secondary", instance())),
        "{fix}"
    );
    assert_eq!(report.errors, 1, "{report:#?}");
}
