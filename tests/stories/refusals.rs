//! What Azure refuses for good, and operations that cannot be asked: no run ends well while it is so, nothing is sent
//! again in vain, and it goes on by itself once it is cured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;

use super::common::proxy::{Answer, Bend, Proxy, Straight};
use super::common::{DAY, HOUR, MINUTE, Story, count, untrue};
use super::{SECONDARY, all_hold, settled};
use embedded_azure::{KeysOff, Options, World};
use rekey_core::intent::Intent;
use rekey_core::journal::Event;
use rekey_core::plan::{BlockedBy, Decision, WaitFor};
use signalr_rekey::clock::Clock;
use signalr_rekey::report::{Ending, RunReport};
use signalr_rekey::store::{ETag, Found, Lease, MemoryStore, Store, StoreError, Stored};

/// A story whose worker reaches Azure through a proxy.
struct Bent {
    story: Story,
    proxy: Proxy,
}

impl Bent {
    async fn new() -> Self {
        let story = Story::of(World::default(), Options::default()).await;
        let proxy = Proxy::start(story.sim.base(), Straight).await;
        Self { story, proxy }
    }

    /// One of which the first grace is over, so that the next run regenerates a key.
    async fn ripe() -> Self {
        let bent = Self::new().await;
        bent.run(Intent::operator(false), 9 * MINUTE).await;
        bent.story.clock.advance(bent.story.config.instances[0].policy.grace);
        bent
    }

    async fn run(&self, intent: Intent, time: Duration) -> RunReport {
        let (store, clock) = (self.story.store.clone(), self.story.clock.clone());
        let rekey = self.story.worker(&self.proxy.base, store, clock);
        rekey.run(&self.story.order(intent, time)).await.remove(0)
    }

    async fn tick(&self) -> RunReport {
        self.run(Intent::operator(false), 9 * MINUTE).await
    }

    /// The timer at work every ten minutes.
    async fn watch(&self, time: Duration) -> RunReport {
        let end = self.story.clock.now() + time;
        loop {
            let report = self.tick().await;
            if self.story.clock.now() >= end {
                return report;
            }
            self.story.clock.advance(10 * MINUTE);
        }
    }

    /// As `signalr-rekey unblock` does.
    async fn unblock(&self) {
        let (store, clock) = (self.story.store.clone(), self.story.clock.clone());
        let id = &self.story.config.instances[0].id;
        let mut lease = Lease::acquire(store, clock, id, "a person").await.unwrap();
        lease.record(Event::Unblocked {}).unwrap();
        lease.release().await.unwrap();
    }

    /// Cured, it comes to its end, and nobody was ever cut off.
    async fn comes_to_its_end(&self, why: &str) {
        self.proxy.bend(Straight);
        let report = self.watch(6 * HOUR).await;
        assert!(settled(std::slice::from_ref(&report)), "{why}: {report:#?}");
        assert_eq!((all_hold(&self.story), self.story.refused()), (SECONDARY, 0), "{why}");
    }
}

/// Refuses what contains a text.
fn refuse(text: &'static str, status: u16, code: &'static str, message: &'static str) -> impl Bend {
    move |request: &str| request.contains(text).then(|| Answer::refusal(status, code, message))
}

#[tokio::test]
async fn a_regeneration_that_is_refused_for_good_fails_every_run_until_it_is_cured() {
    for (status, code, advice) in [
        (409, "ScopeLocked", "a read-only lock forbids this"),
        (409, "ReadOnlyDisabledSubscription", "the subscription is disabled"),
        (409, "MissingSubscriptionRegistration", "az provider register --namespace Microsoft.SignalRService"),
        (403, "RequestDisallowedByPolicy", "an Azure Policy forbids this"),
        (403, "DenyAssignmentAuthorizationFailed", "a deny assignment forbids this"),
        (
            403,
            "AuthorizationFailed",
            "give the identity Microsoft.SignalRService/SignalR/regeneratekey/action",
        ),
        (404, "SubscriptionNotFound", "has no such subscription"),
        (401, "InvalidAuthenticationTokenTenant", "belongs to another tenant"),
        (400, "BadRequest", "trying again will not help"),
    ] {
        let bent = Bent::ripe().await;
        bent.proxy.bend(refuse("/regenerateKey", status, code, "No"));
        for tick in 0..18 {
            let report = bent.tick().await;
            let text = report.summary();
            assert!(report.ending.is_failure(), "{code}, run {tick}: {text}");
            assert!(text.contains(code) && text.contains(advice), "{code}, run {tick}: {text}");
            bent.story.clock.advance(10 * MINUTE);
        }
        // After 1, 2, 4, 8, 16, 32 and 64 minutes, as runs every ten minutes find them.
        let sent = bent.proxy.count("/regenerateKey");
        assert!((5..=8).contains(&sent), "{code}: sent {sent} times in three hours");
        let journal = bent.story.journal().await;
        assert!(journal.failures().is_some_and(|failures| failures.lasting), "{code}");
        bent.comes_to_its_end(code).await;
    }
}

#[tokio::test]
async fn a_regeneration_that_azure_is_too_busy_for_is_no_failure_before_half_an_hour() {
    let bent = Bent::ripe().await;
    bent.proxy.bend(refuse("/regenerateKey", 409, "Conflict", "Another operation is in progress."));
    let first = bent.tick().await.ending;
    let waits = |ending: &Ending| {
        matches!(ending, Ending::Decided(Decision::Waiting { reason: WaitFor::RegenerateAgain { .. }, .. }))
    };
    assert!(waits(&first), "{first}");
    let last = bent.watch(3 * HOUR).await.ending;
    let blocked = matches!(last, Ending::Decided(Decision::Blocked(BlockedBy::RegenerationFails { .. })));
    assert!(blocked, "busy for three hours is not just busy: {last}");
    bent.comes_to_its_end("busy").await;
}

#[tokio::test]
async fn an_operation_that_fails_for_a_lasting_reason_is_told_like_a_refusal() {
    let bent = Bent::ripe().await;
    let failed = r#"{"status":"Failed","error":{"code":"RequestDisallowedByPolicy","message":"No"}}"#;
    // It is taken on and comes to nothing: the simulated Azure never hears of it.
    bent.proxy.bend(move |request: &str| {
        let mut accepted = Answer::new(202, "application/json", "{}");
        accepted.headers.insert("azure-asyncoperation", "/operationStatuses/1".parse().unwrap());
        match () {
            () if request.contains("/regenerateKey") => Some(accepted),
            () if request.contains("/operationStatuses/") => {
                Some(Answer::new(200, "application/json", failed))
            }
            () => None,
        }
    });
    for _ in 0..2 {
        let text = bent.tick().await.summary();
        assert!(text.contains(": blocked: ") && text.contains("RequestDisallowedByPolicy"), "{text}");
    }
    bent.story.clock.advance(HOUR);
    bent.comes_to_its_end("policy").await;
}

#[tokio::test]
async fn a_lock_that_refuses_reads_fails_the_run_and_is_not_asked_again_and_again() {
    for text in ["/listKeys", "/config/appsettings/list"] {
        let bent = Bent::ripe().await;
        bent.proxy.bend(refuse(text, 409, "ScopeLocked", "locked: rg-demo"));
        let before = bent.proxy.count(text);
        let report = bent.tick().await;
        let said = report.summary();
        assert!(report.ending.is_failure() && said.contains("ScopeLocked"), "{text}: {said}");
        assert!(said.contains("a read-only lock forbids this: remove it"), "{text}: {said}");
        let apps = if text == "/listKeys" { 1 } else { 3 };
        assert!(bent.proxy.count(text) - before <= apps, "{text}: asked more than once");
        assert_eq!(bent.proxy.count("/regenerateKey"), 0);
        bent.comes_to_its_end(text).await;
    }
}

#[tokio::test]
async fn settings_that_may_not_be_written_are_sent_once_a_run_and_each_run_fails() {
    const PUT: &str = "/config/appsettings";
    let share =
        "Creation of storage file share failed with: 'The remote server returned an error: (403) Forbidden.'";
    for (status, code, message, advice) in [
        (409, "ReadOnlyDisabledSubscription", "The subscription is disabled.", "enable it again"),
        (409, "ScopeLocked", "locked: rg-demo", "a read-only lock forbids this: remove it"),
        (403, "RequestDisallowedByPolicy", "No", "az policy exemption create"),
        (400, "BadRequest", share, "the app's own content share is not usable"),
    ] {
        let bent = Bent::new().await;
        bent.tick().await;
        bent.story.force("sr-demo", &[super::PRIMARY, SECONDARY]).unwrap();
        bent.story.clock.advance(2 * MINUTE);
        let writes = move |request: &str| {
            let is_write = request.starts_with("PUT ") && request.ends_with(PUT);
            is_write.then(|| Answer::refusal(status, code, message))
        };
        bent.proxy.bend(writes);
        for intent in [Intent::operator(false), Intent::check()] {
            let before = bent.proxy.count("PUT ");
            let report = bent.run(intent, MINUTE).await;
            let text = report.summary();
            assert!(report.ending.is_failure(), "{code}: {text}");
            assert!(text.contains(code) && text.contains(advice), "{code}: {text}");
            assert_eq!(bent.proxy.count("PUT ") - before, 3, "{code}: one write for each app");
        }
        bent.proxy.bend(Straight);
        assert!(bent.run(Intent::check(), MINUTE).await.ending.is_repaired(), "{code}");
    }
}

/// Storage that is read, and whose writes end as they are told to.
#[derive(Debug)]
struct Unwritable {
    inner: Arc<MemoryStore>,
    changed: bool,
    writes: AtomicUsize,
}

#[async_trait]
impl Store for Unwritable {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.inner.get(name).await
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Option<&ETag>) -> Result<Stored, StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        if self.changed {
            return Err(StoreError::Changed);
        }
        Err(StoreError::Unavailable("the account is read-only".into()))
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_fails_the_run_soon_and_says_why() {
    for (changed, why) in [(true, "another run wrote the journal"), (false, "the account is read-only")] {
        let story = Story::new().await;
        story.tick().await;
        story.force("sr-demo", &[super::PRIMARY]).unwrap();
        let store = Arc::new(Unwritable { inner: story.store.clone(), changed, writes: AtomicUsize::new(0) });
        let worker = story.worker(&story.sim.base().parse().unwrap(), store.clone(), story.clock.clone());
        let before = story.sim.requests().len();
        let start = story.clock.now();
        let report = worker.run(&story.order(Intent::operator(false), 9 * MINUTE)).await.remove(0);
        let text = report.summary();
        assert!(report.ending.is_failure() && text.contains(why), "{text}");
        assert!(
            text.contains(": failed: cut off, "),
            "who is cut off was seen before the lease was asked for: {text}"
        );
        let asked = story.sim.requests().len() - before;
        assert!(asked <= 1 + 5 * 7, "{asked} requests: more than a token and five looks");
        assert!(story.clock.now() - start < TimeDelta::minutes(1), "it went on until its time was over");
    }
}

/// What the URL of an operation answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Url {
    Forbidden,
    BadRequest,
    Html,
    NullStatus,
    Unavailable,
    Updating,
    OnAnotherHost,
}

impl Bend for Url {
    fn before(&mut self, request: &str) -> Option<Answer> {
        let json = |body| Answer::new(200, "application/json", body);
        if !request.contains("/operationStatuses/") {
            return None;
        }
        match self {
            Self::Forbidden => Some(Answer::refusal(403, "AuthorizationFailed", "no")),
            Self::BadRequest => Some(Answer::refusal(400, "BadRequest", "no")),
            Self::Html => Some(Answer::new(200, "text/html", "<html>502</html>")),
            Self::NullStatus => Some(json(r#"{"status":null}"#)),
            Self::Unavailable => Some(Answer::refusal(503, "ServiceUnavailable", "no")),
            Self::Updating => Some(json(r#"{"status":"Updating"}"#)),
            Self::OnAnotherHost => None,
        }
    }

    fn after(&mut self, request: &str, answer: &mut Answer) {
        if *self == Self::OnAnotherHost && request.contains("/regenerateKey") {
            let elsewhere = "https://eastus.management.example/operationStatuses/1";
            answer.headers.insert("azure-asyncoperation", elsewhere.parse().unwrap());
            answer.headers.remove("location");
        }
    }
}

#[tokio::test]
async fn an_operation_that_cannot_be_asked_ends_by_the_keys_and_is_not_sent_twice() {
    for url in [
        Url::Forbidden,
        Url::BadRequest,
        Url::Html,
        Url::NullStatus,
        Url::Unavailable,
        Url::Updating,
        Url::OnAnotherHost,
    ] {
        let bent = Bent::ripe().await;
        bent.proxy.bend(url);
        let (mut asked, mut failed) = (0, 0);
        let start = bent.story.clock.now();
        let longest = bent.story.config.instances[0].policy.longest_operation;
        while bent.story.journal().await.in_flight().is_some() || asked == 0 {
            let report = bent.run(Intent::operator(false), MINUTE).await;
            failed += usize::from(report.ending.is_failure());
            asked += 1;
            bent.story.clock.advance(MINUTE);
            assert!(bent.story.clock.now() < start + longest + 15 * MINUTE, "{url:?}: never: {report:#?}");
        }
        let well = matches!(url, Url::Updating | Url::OnAnotherHost);
        assert_eq!(failed > 0, !well, "{url:?}: {failed} of {asked} runs failed");
        assert_eq!(bent.proxy.count("/regenerateKey"), 1, "{url:?}");
        let asks = bent.proxy.count("/operationStatuses/");
        assert_eq!(asks == 0, url == Url::OnAnotherHost, "{url:?}: asked {asks} times");
        let journal = bent.story.journal().await;
        assert_eq!(count(&journal, |event| matches!(event, Event::Regenerated { .. })), 1, "{url:?}");
        // It stays so, and all the same every rotation comes to its end.
        let report = bent.watch(DAY).await;
        assert!(settled(std::slice::from_ref(&report)), "{url:?}: {report:#?}");
        assert_eq!((all_hold(&bent.story), bent.story.refused()), (SECONDARY, 0), "{url:?}");
        assert_eq!(bent.proxy.count("/regenerateKey"), 2, "{url:?}: one for each key");
    }
}

#[tokio::test]
async fn an_operation_that_never_took_place_is_sent_again_only_when_it_can_no_longer_be_running() {
    for (url, unblocks) in [(Url::Forbidden, false), (Url::Forbidden, true), (Url::Updating, true)] {
        let bent = Bent::ripe().await;
        let longest = bent.story.config.instances[0].policy.longest_operation;
        let mut inner = url;
        // Azure takes it on and never does it.
        bent.proxy.bend(move |request: &str| {
            let mut accepted = Answer::new(202, "application/json", "{}");
            accepted.headers.insert("azure-asyncoperation", "/operationStatuses/1".parse().unwrap());
            request.contains("/regenerateKey").then_some(accepted).or_else(|| inner.before(request))
        });
        let start = bent.story.clock.now();
        bent.run(Intent::operator(false), MINUTE).await;
        if unblocks {
            bent.unblock().await;
            let ending = bent.run(Intent::operator(false), MINUTE / 2).await.ending;
            let waits = matches!(
                ending,
                Ending::Decided(Decision::Waiting { reason: WaitFor::LostOperation(_), .. })
            );
            assert!(waits, "{url:?}: no longer blocked: {ending}");
        }
        while bent.proxy.count("/regenerateKey") < 2 {
            bent.run(Intent::operator(false), MINUTE).await;
            bent.story.clock.advance(MINUTE / 4);
            assert!(bent.story.clock.now() < start + 2 * longest, "{url:?}: never tried again");
        }
        assert!(bent.story.clock.now() > start + longest, "{url:?}: sent again too soon");
        assert_eq!(bent.story.refused(), 0);
    }
}

#[tokio::test]
async fn an_operation_whose_role_was_missing_is_confirmed_once_it_can_be_asked() {
    let bent = Bent::ripe().await;
    bent.proxy.bend(Url::Forbidden);
    let text = bent.run(Intent::operator(false), MINUTE).await.summary();
    assert!(text.contains(": failed: ") && text.contains("operationStatuses/read"), "{text}");
    bent.story.clock.advance(2 * MINUTE);
    bent.proxy.bend(Straight);
    bent.tick().await;
    let journal = bent.story.journal().await;
    assert_eq!(count(&journal, |event| matches!(event, Event::Regenerated { confirmed: true, .. })), 1);
}

/// Switches access keys off, or on again.
fn switch(story: &Story, off: bool) {
    story.sim.with(|state| state.disable_local_auth("sr-demo", off)).unwrap();
}

/// Every kind of run fails, says who is cut off and why, and changes nothing.
async fn assert_nothing_ends_well(story: &Story) {
    let changes =
        || story.requests("SignalR_RegenerateKey") + story.requests("WebApps_UpdateApplicationSettings");
    let before = changes();
    for intent in [Intent::operator(false), Intent::operator(true), Intent::check()] {
        let reports = story.run(intent, 9 * MINUTE).await;
        let told = reports[0].summary();
        assert!(reports[0].ending.is_failure() && !reports[0].ending.is_answered(), "{told}");
        assert!(
            told.starts_with("sr-demo: failed: cut off, because their key is invalid: chat-web ("),
            "{told}"
        );
        for words in ["chat-web/staging (", "chat-func (", "disableLocalAuth", "enable keys again"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("report this") && !told.contains("=true"), "{told}");
        assert_eq!(untrue(&story.sim, &story.config, &reports), Vec::<String>::new());
    }
    let deadline = story.clock.now() + TimeDelta::minutes(1);
    let preview = story.rekey().preview(&story.config.instances[0], deadline).await;
    assert!(preview.is_err(), "plan and status know no better");
    assert_eq!(changes(), before);
}

#[tokio::test]
async fn keys_that_are_switched_off_while_nothing_is_due_fail_every_run_and_come_back_as_new_ones() {
    for keys_off in [KeysOff::Empty, KeysOff::Refused] {
        let story = Story::of(World::default(), Options { keys_off, ..Options::default() }).await;
        assert!(settled(&story.watch(6 * HOUR).await));
        let before = story.keys("sr-demo").unwrap();
        switch(&story, true);
        assert_nothing_ends_well(&story).await;
        story.clock.advance(DAY);
        assert_nothing_ends_well(&story).await;
        switch(&story, false);
        let after = story.keys("sr-demo").unwrap();
        assert!(before.iter().all(|(key_type, key)| *key != after[key_type]), "both are new");
        let reports = story.tick().await;
        all_hold(&story);
        assert_eq!(untrue(&story.sim, &story.config, &reports), Vec::<String>::new());
        assert!(settled(&story.watch(6 * HOUR).await), "{:?}", story.told);
        assert_eq!(story.sim.report().refused_unexplained, 0);
    }
}

#[tokio::test]
async fn keys_that_are_switched_off_in_the_middle_of_a_rotation_are_no_different() {
    for keys_off in [KeysOff::Empty, KeysOff::Refused] {
        let story = Story::of(World::default(), Options { keys_off, ..Options::default() }).await;
        story.tick().await;
        story.clock.advance(story.config.instances[0].policy.grace);
        story
            .sim
            .after("SignalR_RegenerateKey", 1, |state| state.disable_local_auth("sr-demo", true).unwrap());
        let reports = story.tick().await;
        assert!(reports[0].ending.is_failure(), "{reports:#?}");
        assert!(
            reports[0].summary().contains("cut off, because their key is invalid: chat-web ("),
            "{reports:#?}"
        );
        story.clock.advance(HOUR);
        assert_nothing_ends_well(&story).await;
        switch(&story, false);
        story.tick().await;
        all_hold(&story);
        assert!(settled(&story.watch(9 * HOUR).await), "{:?}", story.told);
        assert_eq!(story.sim.report().refused_unexplained, 0);
    }
}
