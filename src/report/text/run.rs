//! A run: what is decided, waited for and in the way, what it tells on the way, and how it ended.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rekey_core::intent::Known;
use rekey_core::journal::{AfterGate, Event, Pause, WATCHES, Watch};
use rekey_core::model::{ConsumerId, KeyType, PerKey, printable};
use rekey_core::plan::{
    Announced, Awaited, BlockedBy, Covered, Decision, Due, Execution, Forecast, Gated, Heeded, Holding, Part,
    Standing, Step, Unknown, Unseen, Urgent, WaitFor, WavesDiffer,
};

use super::brief::called;
use super::journal::{cause, told};
use super::snapshot::{changed_since, cut_off_by_keys, gone};
use super::{InWords, brief, file_name, listed, readable, rounded};
use crate::report::{Ending, LostOperation, RunEvent, RunReport};

sentences! {
    UNCHANGED_SUCCESS = "Azure reports success, but the key is unchanged";
    more_failed(count, names) = "{count} more failed, each with an error of its own in the log: {names}";
    not_proved(why) = "what was changed is done and on record, but its evidence could not be written, and is tried again by the \
        next run: {why}";
    evidence_left_out(why, changes, entries) = "{why}. Left out for lack of room, as the next document tells: {changes} changes, \
        {entries} steps and moves";
    document_not_made(why) = "the document could not be made: {why}";
    old_key_lost() = "the process that replaced it ended before it was tried";
    ENDING_PROCESS = "this process is ending; the next delivery carries on";

    // Beside a key that is waited for.
    WHICH_IS_COMPROMISED = ", which is compromised,";
    COMPROMISED = " and which is compromised and stays valid until they have left it";

    // What the processes of a deployment tell each other, and could not be read or written.
    not_heard(why) = "cannot read whether another run asks for a check: {why}";
    unrecorded(why) = "cannot record that RotateKeys has run: {why}";
    not_recalled(why) = "cannot read what earlier runs of RotateKeys have left, so all apps are read: {why}";
    silence_unknown(why) = "cannot read whether RotateKeys still runs: {why}";

    // The watch.
    watching_the_data_plane(every) = "checking the keys against the service every {every}; Functions unloads this process \
        while nothing calls it, and then only RotateKeys checks, unless alwaysReady keeps an instance of the group http";
    refused_in_use(name, detail) = "{name}: the service refuses a key that consumers hold ({detail}); checking them";
    watch_learned_nothing(detail) = "the watch could not check the key: {detail}";
    not_repaired_by_watch(summary) = "the watch could not repair it; RotateKeys carries on: {summary}";
}

words! {
    impl InWords for Decision {
        Self::Do(step) => "{}", step.in_words();
        Self::Waiting { reason: reason @ WaitFor::Grace(_), until } => "waiting until {} {}",
            readable(*until), reason.in_words();
        Self::Waiting { reason: reason @ WaitFor::External { .. }, until } => "waiting for {}; late from {} on",
            reason.in_words(), readable(*until);
        Self::Waiting { reason: reason @ WaitFor::Approval { due, .. }, until } =>
            "waiting for approval since {}, late from {} on: {}", readable(due.since), readable(*until), reason.in_words();
        Self::Waiting { reason, until } => "waiting until {}: {}", readable(*until), reason.in_words();
        Self::Blocked(by) if by.passes() => "{}", by.in_words();
        Self::Blocked(by) => "blocked: {}", by.in_words();
        Self::Settled { next: Some(next) } => "settled; the next rotation is due at {}", readable(*next);
        Self::Settled { next: None } => "settled; no consumer holds a key of this service";
    }
}

words! {
    impl InWords for Step {
        Self::Repoint { to, consumers, repair: true, .. } => "repair with the {to} key: {}", listed(consumers, ", ");
        Self::Repoint { to, consumers, part: Part::Back(number), .. } =>
            "move wave {number}, which did not come back, to the {to} key that it had: {}", listed(consumers, ", ");
        Self::Repoint { to, consumers, part: Part::Wave { number, .. }, .. } =>
            "repoint wave {number} to the {to} key: {}", listed(consumers, ", ");
        Self::Repoint { to, consumers, repair: false, .. } => "repoint to the {to} key: {}", listed(consumers, ", ");
        Self::Follow(key_type) => "follow the regeneration of the {key_type} key";
        Self::Verify(key_type) => "verify that the service accepts the {key_type} key";
        Self::Regenerate(key_type) => "regenerate the {key_type} key, which no consumer holds";
        Self::Gate(Gated::Wave(number)) => "check that wave {number} is well with its new key";
        Self::Gate(Gated::Repaired) => "check that those are well who were repaired";
    }
}

// What stands behind `waiting until …`.
words! {
    impl InWords for WaitFor {
        Self::Grace(key_type) => "(grace period of the {key_type} key) before regenerating it";
        Self::Executions { key_type, who } =>
            "executions of jobs may run with the {key_type} key until they end, and it is regenerated after them and their grace \
            period: {}. `az containerapp job stop` ends one sooner", listed(who, ", ");
        Self::Readers { key_type, who } =>
            "whoever reads these without being seen may go on with the {key_type} key, and it is regenerated after them and the \
            grace period: {}. `signalr-rekey acknowledge` ends the wait for those who have left it", listed(who, ", ");
        Self::Operation(key_type) => "Azure is still regenerating the {key_type} key; the next run checks again";
        Self::LostOperation(key_type) =>
            "Azure cannot be asked about the regeneration of the {key_type} key that was sent; by then the listed keys show \
            how it ended";
        Self::Acceptance(key_type) => "the service does not accept the {key_type} key yet; it is tried again";
        Self::RegenerateAgain { key_type, detail } =>
            "regenerating the {key_type} key failed and is retried then: {}", cause(detail);
        Self::Gate(Gated::Wave(number)) => "wave {number} is restarting, and is checked then (gate_after, settle_within)";
        Self::Gate(Gated::Repaired) => "those who were repaired are restarting, and are checked then (gate_after, settle_within)";
        Self::Announced(key_type) => "the announced regeneration of the {key_type} key has come: nobody is moved to a key that others \
            are about to regenerate";
        Self::BetweenWaves(number) => "the pause before wave {number} (pause_between_waves)";
        Self::Window => "the next window opens, in which apps that work may be moved (windows, or REKEY_WINDOWS)";
        Self::Freeze => "the freeze is over and a window is open, so that apps that work may be moved (freezes, or REKEY_FREEZES)";
        Self::Pause(Pause { at, by, why, .. }) =>
            "rotations are paused since {}, as {by} said: {why}. Stale apps are repaired all the same; signalr-rekey resume ends \
            the pause", readable(*at);
        Self::Home { home, held } =>
            "the rotation is done, and its apps return to the {home} key (home) when this is over: {}", held.in_words();
        Self::Approval { due: Due { key_type, key, .. }, expired } =>
            "the rotation that replaces the {key_type} key ({key}){}. signalr-rekey approve INSTANCE approves it, and so does an event \
            SignalRRekey.RotationApproved with this key. Stale apps are repaired all the same", expired_at(*expired);
        Self::External { key_type, who, compromised } =>
            "these to take the {} key in place of the {key_type} key, which they alone still hold{}, and to report it: {}",
            key_type.other(), if *compromised { COMPROMISED } else { "" }, asked(who);
    }
}

impl InWords for Execution {
    fn in_words(&self) -> String {
        let Self { job, name, began, until, told } = self;
        let began = began.map_or(String::new(), |began| format!("began at {}, ", readable(began)));
        let untold = if *told {
            ""
        } else {
            "it ran, and Azure does not list it any more, so nobody knows whether it has ended; "
        };
        format!("{} of {} ({untold}{began}ends by {})", printable(name), job.name(), readable(*until))
    }
}

impl InWords for Unseen {
    fn in_words(&self) -> String {
        let Self { consumer, until, .. } = self;
        format!("{} (until {})", called(consumer), readable(*until))
    }
}

words! {
    impl InWords for BlockedBy {
        Self::Unknown(unknown) if unknown.iter().all(Unknown::is_awaited) =>
            "not everybody has left the old key yet; the next run checks again: {}", brief::faults(unknown);
        Self::Unknown(unknown) if !unknown.iter().any(Unknown::lasts) =>
            "Azure was too busy to show everything; the next run checks again: {}", brief::faults(unknown);
        Self::Unknown(unknown) => "no key is regenerated until this is resolved: {}", brief::faults(unknown);
        Self::KeyRefused { key_type, since, detail } =>
            "the service still refuses the {key_type} key made at {}: {detail}. No consumer was moved to it. Check whether \
            access keys are disabled (disableLocalAuth); if network rules keep this host out, allow it or set verify = \
            \"control-plane\"", readable(*since);
        Self::RegenerationFails { key_type, again, detail } =>
            "cannot regenerate the {key_type} key: {}. Both keys stay valid. The next attempt is at {}; `unblock` retries \
            at once", cause(detail), readable(*again);
        Self::Unhealthy { wave, to, then: AfterGate::RollBack, detail } =>
            "wave {wave} did not come back with the {to} key, and has the {} key again, which is valid: {detail}. No other app \
            is moved. See to it, then: `signalr-rekey unblock INSTANCE` tries again with the {to} key. `rotate --now` asks for another: at \
            once, or once all have the {to} key, if some have it already",
            to.other();
        Self::Unhealthy { wave, to, detail, .. } =>
            "wave {wave} did not come back with the {to} key, and keeps it (on_unhealthy = \"stop\"): {detail}. No other app is \
            moved; the {} key stays valid. See to it, then: `signalr-rekey unblock INSTANCE` goes on with the next wave", to.other();
        Self::UnhealthyBefore { wave, detail } =>
            "wave {wave} is not moved, because it is not well already, with a key that works: {detail}. The next run checks \
            again. Repair the app, or correct or take out its health in {}", file_name();
        Self::WavesDiffer(differ) =>
            "these can only be moved together and are in different waves: {}. Write the same wave with each of them, or with one \
            alone", listed(differ, "; ");
        Self::NeverOpens { opens } =>
            "a rotation is due or under way, and windows and freezes leave no time for it before the next would be (rotate_every): {}. Write \
            a window, or end a freeze. Stale apps are repaired all the same", opens_at(*opens);
        Self::NotApproved(Due { key_type, key, since }) =>
            "the rotation that replaces the {key_type} key ({key}) is due since {}, and nobody has approved it until the next \
            would be (rotate_every). signalr-rekey approve INSTANCE approves it. Stale apps are repaired all the same",
            readable(*since);
        Self::JournalDisagrees =>
            "the journal and Azure disagree about the current keys; nothing was changed. Run rotate again; if it persists, \
            report it with status --json";
        Self::ExternalLate { key_type, who, others, compromised } =>
            "late: these still hold the {key_type} key, and have not reported that they have the {} key: {}. {}The {key_type} key{} \
            stays valid. Have them changed and reported (docs/reporters.md); where one has left it without a report, \
            `signalr-rekey acknowledge` says so", key_type.other(), asked(who), in_time(others),
            if *compromised { WHICH_IS_COMPROMISED } else { "" };
    }
}

impl InWords for WavesDiffer {
    fn in_words(&self) -> String {
        let named = |(app, wave): &(ConsumerId, u32)| format!("{} (wave {wave})", app.name());
        let waves = self.waves.iter().map(named).collect::<Vec<_>>().join(", ");
        if self.by.is_empty() {
            return waves;
        }
        format!("{waves}, by {}", self.by.iter().map(called).collect::<Vec<_>>().join(", "))
    }
}

words! {
    impl InWords for Covered {
        Self::Asked { at, compromised: false } =>
            "nothing to do: a rotation for this was already requested at {}", readable(*at);
        Self::Asked { at, compromised: true } =>
            "nothing to do: by its time the event means keys of before {}, when a rotation for compromised keys was \
            requested. If keys were leaked since, send the event again with the time of that leak", readable(*at);
        Self::NobodyHolds =>
            "nothing to do: no consumer holds a key that will be regenerated, so no app will be cut off";
    }
}

// What becomes of an approval that an event gives.
words! {
    impl InWords for Heeded {
        Self::Recorded { until } => "on record; the rotation may begin until {}", readable(*until);
        Self::Already { by, at } => "nothing to do: {by} approved this rotation at {} already", readable(*at);
        Self::Over => "nothing is approved: no app holds that key any more, so the rotation that is meant is over";
        Self::NotAsked => "nothing is approved: no rotation that replaces this key waits for an approval now";
        Self::Expired { at } =>
            "nothing is approved: by its time it was given at {}, which is too long ago. Approve the rotation anew, with an event \
            of now or signalr-rekey approve INSTANCE", readable(*at);
        Self::Ahead { at } =>
            "nothing is approved: by its time it is given at {}, which is still to come, so it would be good each time that it is sent \
            again. Send one with the time of now, or run signalr-rekey approve INSTANCE", readable(*at);
        Self::Unknown => "nothing is approved: the service is not known to have had such a key. Take the key from plan";
    }
}

words! {
    impl InWords for Urgent {
        Self::Compromised(key_type) =>
            "this waits for no pause, approval or window: the {key_type} key, which consumers hold, is compromised";
        Self::Announced { key_type, at } =>
            "this waits for no pause, approval or window: a regeneration of the {key_type} key, which consumers hold, is announced \
            for {}", readable(*at);
    }
}

words! {
    impl InWords for Standing {
        Self::NotRegenerated { key_type, at, detail } =>
            "regenerating the {key_type} key failed at {}; the next run retries: {}", readable(*at), cause(detail);
        Self::NotAccepted { key_type, at, detail } =>
            "the service refused the {key_type} key at {}; the next run tries it again: {detail}", readable(*at);
        Self::NotBack { at, detail } =>
            "those who were repaired did not come back, as was seen at {}; they have a key that works: {detail}. See to the app; \
            then `signalr-rekey unblock INSTANCE`", readable(*at);
        Self::HeldBack { wave, at, detail } =>
            "wave {wave} was not moved at {}, because it was not well before; the next run checks again: {detail}", readable(*at);
        Self::NotGivenOut { key_type, at } =>
            "the run of {} did not manage to give the {key_type} key to these apps: its log says why, and the next run \
            retries", readable(*at);
    }
}

words! {
    impl Display for RunEvent {
        Self::Recorded { event, in_flight } => "{}", told(event, *in_flight);
        Self::Gone(app) => "{}", gone(app);
        Self::ChangedSince { app, at } => "{}", changed_since(app, *at);
        Self::Unseen(unknown) => "{}", unknown.in_words();
        Self::Waiting(decision) => "{}", decision.in_words();
        Self::Covered(covered) => "{}", covered.in_words();
        Self::Known(Known::Explained) => "nothing to do: this is known already";
        Self::AppsNotRead { ago, every } =>
            "this run checked the keys alone, which are the ones on record, and nothing is due. It did not read what the apps \
            hold: an earlier run did, {} ago, and a later one does, {} after that at the latest (full_check_every)",
            rounded(*ago), rounded(*every);
        Self::Watching { watch, every } => "keys are checked every {} seconds from {} until {}",
            every.as_secs(), readable(watch.from), readable(watch.until);
        Self::NotCalled { why } => "cannot ask the run at work to check again: {why}";
        Self::NotAccepted { key_type, why } => "{key_type} key: {why}";
        Self::NotProved { why, .. } => "the evidence of what was changed could not be written: {why}";
        Self::Late { why } | Self::NotWritten { why } => "{why}";
        Self::OperationLost(LostOperation::RunsForEver) =>
            "Azure says that the regeneration is still running, after the longest time that one takes. The listed keys will \
            show how it ended";
        Self::OperationLost(LostOperation::Failed { why }) => "{why}. The listed keys will show how it ended";
        Self::StoodIn(ending) => "in place of the timer: {ending}";
        Self::TimerSilent { since, every } =>
            "the timer is silent: RotateKeys last ran at {}, but should run every {}. Until it does, keys are rotated only \
            when a notice comes. Check that the function RotateKeys is enabled, and restart the function app",
            readable(*since), rounded(*every);
        Self::Hurries(urgent) => "{}", urgent.in_words();
        Self::NotWellYet { why, until } => "not well yet; it has until {} (settle_within): {why}", readable(*until);
        Self::Heeded { key, heeded } => "approval of the rotation that replaces the key {key}: {}", heeded.in_words();
        Self::Foreseen(_) | Self::Known(Known::Puzzling) | Self::Postponed { .. } | Self::Checked(_) | Self::Alarmed(_) | Self::CutOff(_)
            | Self::ClaimSettled | Self::Called { .. } | Self::Assessed { .. } | Self::RotationOver { .. } | Self::Polled | Self::WritersAsked | Self::Written { .. } => "";
    }
}

words! {
    impl Display for Ending {
        Self::Decided(decision) => "{}", decision.in_words();
        Self::Repaired => "OK: every consumer holds a valid key";
        Self::Known => "nothing to do: the keys are the ones on record";
        Self::OutOfTime { cut_off } if cut_off.is_empty() => "out of time; the next run carries on";
        Self::OutOfTime { .. } =>
            "failed: out of time before every stale consumer was repaired; the next run carries on";
        Self::Recorded => "rotation request recorded; the next run carries on";
        Self::HandedOver { holder } =>
            "another run ({holder}) has checked since; every consumer holds a valid key";
        Self::Awaited { until } =>
            "a notice says that a key was regenerated, but Azure still lists the previous keys; a new key may take until {} \
            to appear", readable(*until);
        Self::Unseen(unknown) => "failed: {}", BlockedBy::Unknown(unknown.clone()).in_words();
        Self::Stopped => "stopped; the next run carries on";
        Self::Busy { holder, until, cut_off } if cut_off.is_empty() =>
            "another run ({holder}) is working on this service until {} at the latest", readable(*until);
        Self::Busy { holder, until, .. } =>
            "another run ({holder}) has the lease of this service until {} at the latest. If it is at work it repairs them; if it \
            died, the next run after that does", readable(*until);
        Self::Postponed { until } =>
            "rotation request deferred by min_rotation_interval; accepted again after {}", readable(*until);
        Self::Unwatched { at } =>
            "failed: the keys will not be watched around {}: {WATCHES} announced times are on record already",
            readable(*at);
        Self::NeverFinished { ending, runs } =>
            "failed: {}; this is run {runs} in a row that did not finish", how(ending);
        Self::Unavailable(why) | Self::Failed(why) => "failed: {why}";
    }
}

/// Those who are waited for.
fn asked(who: &[Awaited]) -> String {
    let who: Vec<&Awaited> = who.iter().collect();
    brief::named(&who, |one| called(&one.consumer))
}

/// Those who are waited for beside others who are late.
fn in_time(others: &[Awaited]) -> String {
    let Some(next) = others.iter().map(|one| one.late).min() else { return String::new() };
    format!("Also waited for, and late from {} on: {}. ", readable(next), asked(others))
}

fn expired_at(expired: Option<DateTime<Utc>>) -> String {
    expired.map_or_else(String::new, |at| {
        format!("; an approval of it ended at {} and is needed anew", readable(at))
    })
}

pub(crate) fn opens_at(opens: Option<DateTime<Utc>>) -> String {
    opens.map_or_else(|| "none opens ever".to_owned(), |at| format!("the next opens at {}", readable(at)))
}

/// What a rotation would do once it is approved, a line for each step.
pub(crate) fn once_approved(forecast: &Forecast) -> Vec<String> {
    let steps = forecast.steps.iter().filter(|step| !step.decision.asks_for_approval());
    steps.map(|step| format!("{}: {}", readable(step.at), step.decision.in_words())).collect()
}

/// When and why keys are watched.
pub(crate) fn watch(watch: &Watch) -> String {
    let why = match watch.keys {
        Some(PerKey { primary: true, secondary: false }) => "a regeneration of the Primary key is announced",
        Some(PerKey { primary: false, secondary: true }) => {
            "a regeneration of the Secondary key is announced"
        }
        _ if Announced::is_behind(watch) => "a regeneration is announced",
        _ => "a notice says that a key was regenerated, which Azure did not show yet",
    };
    let (from, until) = (readable(watch.from), readable(watch.until));
    format!("keys are watched closely from {from} until {until}: {why}")
}

/// How much of a line the names of those take that were repaired.
const OF_REPAIRED: usize = 120;

impl RunReport {
    /// What happened, line by line.
    pub fn lines(&self) -> Vec<String> {
        self.events.iter().map(ToString::to_string).collect()
    }

    /// One line for people: the service, who is cut off if anybody is, and how the run ended.
    pub fn summary(&self) -> String {
        let (name, ending) = (self.service.name(), self.ending.to_string());
        let repaired = self.repaired().unwrap_or_default();
        if self.cut_off.is_empty() || !self.ending.is_failure() {
            return format!("{name}: {ending}{repaired}");
        }
        // What alerts look for stays in front.
        let said = ending.split_once(": ").filter(|(word, _)| matches!(*word, "failed" | "blocked"));
        let (word, rest) = said.unwrap_or(("failed", &ending));
        format!("{name}: {word}: {}; {rest}{repaired}", cut_off_by_keys(&self.cut_off))
    }

    /// What was repaired, if anything: how long that took, and which key each holds now, which is another if the run went on to
    /// rotate. Of who was written only those are told who were seen with a valid key after that, and no other.
    fn repaired(&self) -> Option<String> {
        let snapshot = self.seen.as_ref()?;
        let repaired = self.recorded.iter().filter_map(|event| match event {
            Event::Repointed { apps, repaired: true, .. } => Some(apps),
            _ => None,
        });
        let is_cut_off = |app: &ConsumerId| self.cut_off.iter().any(|who| who.app() == Some(app));
        let well: BTreeSet<&ConsumerId> =
            repaired.flatten().filter(|app| snapshot.is_seen_well(app) && !is_cut_off(app)).collect();
        let mut of_keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for app in well {
            let of_it = |key_type: &KeyType| {
                let holds = Holding::Valid(*key_type);
                snapshot.consumers.iter().any(|one| one.at.app == *app && one.holds == holds)
            };
            let held: Vec<&str> =
                KeyType::ALL.iter().filter(|key| of_it(key)).map(|key| key.as_str()).collect();
            of_keys.entry(held.join(" and the ")).or_default().push(called(app));
        }
        let told = of_keys.into_iter().map(|(held, apps)| {
            let hold = if apps.len() == 1 { "holds" } else { "hold" };
            format!("{} now {hold} the {held} key", brief::names(apps, OF_REPAIRED))
        });
        let told: Vec<String> = told.collect();
        let took = rounded(self.repaired_in.unwrap_or(self.took));
        (!told.is_empty()).then(|| format!(" (repaired in {took}: {})", told.join("; ")))
    }

    /// Writes it into the log.
    pub(crate) fn log(&self) {
        if self.ending.is_failure() {
            tracing::error!("{}", self.summary());
        } else {
            tracing::info!("{}", self.summary());
        }
    }
}

/// How a run ended, without the word that alerts look for.
fn how(ending: &Ending) -> String {
    let told = ending.to_string();
    told.strip_prefix("failed: ").unwrap_or(&told).to_owned()
}

#[cfg(test)]
mod tests {
    use rekey_core::model::{AppId, KeyType, Section};
    use rekey_core::plan::{ConsumerRef, CutOff};

    use super::*;

    #[test]
    fn decisions_read_as_sentences() {
        let key_type = KeyType::Secondary;
        let until = DateTime::from_timestamp(7200, 0).unwrap();
        let waiting = Decision::Waiting { reason: WaitFor::Grace(key_type), until };
        insta::assert_snapshot!(waiting.in_words(), @"waiting until 1970-01-01T02:00:00Z (grace period of the Secondary key) before regenerating it");
        let app = AppId::new("s", "g", "app-0", None).into();
        let consumers =
            vec![ConsumerRef { app, section: Some(Section::AppSettings), name: "SignalR".into() }];
        let repair = Decision::Do(Step::Repoint { to: key_type, consumers, repair: true, part: Part::All });
        insta::assert_snapshot!(repair.in_words(), @"repair with the Secondary key: app-0 (app setting SignalR)");
    }

    /// A run that never finishes has the ending of its last in it, which may have failed by itself.
    #[test]
    fn what_failed_is_said_once() {
        let cut_off = vec![CutOff::Unchecked];
        for ending in [Ending::OutOfTime { cut_off }, Ending::Stopped, Ending::unseen(vec![])] {
            let told = Ending::NeverFinished { ending: Box::new(ending), runs: 3 }.to_string();
            assert!(told.starts_with("failed: ") && told.matches("failed: ").count() == 1, "{told}");
        }
    }

    /// Each time Azure gives it another id and another time.
    #[test]
    fn that_azure_was_too_busy_for_an_app_is_told_once_in_a_run() {
        let unseen = |app: &str, detail: &str, passing| {
            let app = AppId::new("s", "g", app, None).into();
            RunEvent::Unseen(Unknown::Unreadable { app, detail: detail.into(), passing })
        };
        let first = unseen("web", "429 (x-ms-correlation-request-id a)", true);
        assert!(first.says_the_same(&unseen("web", "429 (x-ms-correlation-request-id b)", true)));
        for other in [unseen("other", "429", true), unseen("web", "403", false)] {
            assert!(!first.says_the_same(&other) && !other.says_the_same(&first), "{other}");
        }
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
