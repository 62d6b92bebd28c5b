//! The answers for machines: every field that `plan`, `rotate`, `status` and `history` print with `--json`. A thing has the
//! same name in each of them. `docs/json.md` tells what each field means.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::instances::{Seen, chosen, complain_of_unseen, look_with, onlooker};
use crate::config::{Environment, ServiceConfig};
use crate::engine::Preview;
use crate::report::text::brief::called;
use crate::report::text::snapshot::{notes, warnings};
use crate::report::text::{InWords, command as words, readable, rounded};
use crate::report::{json, text};
use crate::terminal::{self, Exit};
use rekey_core::journal::{Entry, Gate, Held, Journal, KeyRecord, Origin, Watch, Wave};
use rekey_core::model::{ConsumerId, Fingerprint, KeyType, PerKey, Section, printable};
use rekey_core::plan::{
    self, Awaited, Consumer, Decision, Due, Forecast, Foreseen, Holding, SettingFault, Snapshot, Standing,
    Step, Unknown, Unseen, WaitFor,
};

/// An answer: what there is to say of each service.
#[derive(Serialize)]
pub(super) struct Answer<One> {
    pub(super) instances: Vec<One>,
}

/// Answers with a look at each service that was named: as JSON with what the command adds, or as `print` has it.
pub(super) async fn answer<More: Default + Serialize>(
    (named, json): (&[String], bool),
    environment: &Environment,
    more: impl Fn(&ServiceConfig, &Preview) -> More,
    print: impl Fn(&ServiceConfig, &Preview),
) -> Exit {
    let answered = async {
        let rekey = onlooker(environment)?;
        let seen = look_with(&rekey, &chosen(&rekey.config, named)?).await;
        Ok(tell(&seen, Shape::of(json), more, print))
    };
    answered.await.unwrap_or_else(|exit| exit)
}

/// What an answer looks like.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    Json,
    /// One object, on one line: there will be others.
    JsonLine,
}

impl Shape {
    pub(super) const fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Tells what was seen. What could not be looked at is complained of, and the others are shown all the same. The exit code says
/// whether all is well.
pub(super) fn tell<More: Default + Serialize>(
    seen: &[Seen],
    shape: Shape,
    more: impl Fn(&ServiceConfig, &Preview) -> More,
    print: impl Fn(&ServiceConfig, &Preview),
) -> Exit {
    let exit = complain_of_unseen(seen);
    let answer = || Answer { instances: seen.iter().map(|seen| Service::of(seen, &more)).collect() };
    match shape {
        Shape::Json => terminal::json(&answer()),
        Shape::JsonLine => terminal::json_line(&answer()),
        Shape::Text => {
            let shown = seen.iter().filter_map(|seen| Some((&seen.instance, seen.found.as_ref().ok()?)));
            shown.for_each(|(instance, preview)| print(instance, preview));
        }
    }
    exit
}

/// The warnings and notes of a look, but for what was told as trouble already, a line of the command, and the watches.
pub(super) fn tell_rest(instance: &ServiceConfig, preview: &Preview, between: Option<String>) {
    let Preview { snapshot, journal, decision, .. } = preview;
    let trouble = preview.trouble();
    let told = |warning: &String| trouble.iter().any(|trouble| trouble.contains(warning.as_str()));
    let ahead = Ahead::of(instance, snapshot, journal, decision);
    let warnings = warnings(snapshot).into_iter().filter(|warning| !told(warning)).chain(ahead.warning);
    for warning in warnings {
        terminal::tell(&format!("  warning: {warning}"));
    }
    for note in notes(snapshot).into_iter().chain(ahead.note) {
        terminal::tell(&format!("  note: {note}"));
    }
    if let Some(line) = between {
        terminal::tell(&line);
    }
    for watch in watches(&preview.journal, preview.snapshot.at) {
        terminal::tell(&format!("  {}", watch.text));
    }
}

/// What windows, freezes and a pause make of the next rotation.
#[derive(Default)]
struct Ahead {
    /// When it may begin; of a service that has nothing to do before it is due.
    begins: Option<DateTime<Utc>>,
    warning: Option<String>,
    note: Option<String>,
}

impl Ahead {
    fn of(instance: &ServiceConfig, snapshot: &Snapshot, journal: &Journal, decision: &Decision) -> Self {
        let (policy, now) = (&instance.policy, snapshot.at);
        let Decision::Settled { next: Some(_) } = decision else {
            let urgent = plan::urgent(snapshot, journal, policy, now);
            return Self { note: urgent.map(|urgent| urgent.in_words()), ..Self::default() };
        };
        let Some(opening) = plan::next_opening(journal, policy, now) else { return Self::default() };
        let later = opening.begins.filter(|begins| *begins > opening.due);
        let never = opening.begins.is_none();
        Self {
            begins: opening.begins,
            note: later.map(|begins| words::next_begins(readable(begins))),
            warning: never.then(|| {
                let next = text::run::opens_at(opening.opens);
                let (due, every) = (readable(opening.due), rounded(policy.rotate_every));
                words::next_never_begins(words::no_window_in_time(due, every, next))
            }),
        }
    }
}

/// One configured service, with what a command adds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service<More> {
    pub(super) instance: String,
    pub(super) name: String,
    /// Why nothing else is known of it.
    pub(super) error: Option<String>,
    pub(super) trouble: Vec<String>,
    pub(super) keys: Option<PerKey<KeyFields>>,
    pub(super) consumers: Vec<ConsumerFields>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) watches: Vec<WatchFields>,
    #[serde(flatten)]
    pub(super) next: Next,
    /// When the next rotation may begin, where there is nothing to do before it is due.
    pub(super) next_begins: Option<DateTime<Utc>>,
    /// Who is waited for that only others can change, or whose readers nobody sees.
    pub(super) waiting_for: Vec<AwaitedFields>,
    pub(super) wave: Option<WaveFields>,
    #[serde(flatten)]
    pub(super) more: More,
}

impl<More: Default> Service<More> {
    /// What a look at it showed, with what a command adds; why it could not be looked at, if so.
    fn of(Seen { instance, found }: &Seen, more: impl FnOnce(&ServiceConfig, &Preview) -> More) -> Self {
        match found {
            Ok(preview) => {
                let Preview { snapshot, decision, journal, .. } = preview;
                let (trouble, more) = (preview.trouble(), more(instance, preview));
                let mut seen = Self::seen(instance, snapshot, journal, trouble, decision, more);
                // The step is decided, and the last run did not do it.
                if let Some(Standing::HeldBack { .. }) = preview.standing {
                    seen.next.held_by = Some(HeldBy { r#type: "health", ..HeldBy::default() });
                }
                seen
            }
            Err(error) => Self::unseen(instance, Some(error.clone()), More::default()),
        }
    }
}

impl<More> Service<More> {
    /// What a check showed of it.
    pub(super) fn seen(
        instance: &ServiceConfig,
        snapshot: &Snapshot,
        journal: &Journal,
        trouble: Vec<String>,
        decision: &Decision,
        more: More,
    ) -> Self {
        let ahead = Ahead::of(instance, snapshot, journal, decision);
        Self {
            trouble,
            keys: Some(keys(snapshot, journal)),
            consumers: consumers(snapshot),
            warnings: warnings(snapshot).into_iter().chain(ahead.warning).collect(),
            notes: notes(snapshot).into_iter().chain(ahead.note).collect(),
            next_begins: ahead.begins,
            watches: watches(journal, snapshot.at),
            next: Next::of(decision),
            waiting_for: waiting_for(decision),
            wave: journal.wave().map(WaveFields::of),
            ..Self::unseen(instance, None, more)
        }
    }

    /// One that could not be looked at.
    pub(super) fn unseen(instance: &ServiceConfig, error: Option<String>, more: More) -> Self {
        Self {
            instance: instance.id.to_string(),
            name: instance.id.name().to_owned(),
            // What is out of sight is no good news.
            trouble: error.iter().cloned().collect(),
            error,
            keys: None,
            consumers: vec![],
            warnings: vec![],
            notes: vec![],
            watches: vec![],
            next: Next::default(),
            next_begins: None,
            waiting_for: vec![],
            wave: None,
            more,
        }
    }
}

/// A time in which the keys are looked at every few seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WatchFields {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    pub(super) text: String,
}

/// Those that are not over, the next one first.
fn watches(journal: &Journal, now: DateTime<Utc>) -> Vec<WatchFields> {
    let fields =
        |watch: &Watch| WatchFields { from: watch.from, until: watch.until, text: text::run::watch(watch) };
    let ahead = journal.watches().iter().filter(|watch| now < watch.until);
    let mut watches: Vec<WatchFields> = ahead.map(fields).collect();
    watches.sort_by_key(|watch| watch.from);
    watches
}

/// The wave that was moved last.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WaveFields {
    number: u32,
    key_type: KeyType,
    consumers: Vec<String>,
    moved: DateTime<Utc>,
    gate: &'static str,
}

impl WaveFields {
    fn of(wave: &Wave) -> Self {
        let gate = match &wave.gate {
            Gate::Open => "open",
            Gate::Passed { .. } => "passed",
            Gate::Failed { .. } => "failed",
        };
        let consumers = wave.apps.iter().map(ConsumerId::to_string).collect();
        Self { number: wave.number, key_type: wave.to, consumers, moved: wave.moved, gate }
    }
}

/// What is decided.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Next {
    pub(super) decision: Option<&'static str>,
    pub(super) text: Option<String>,
    pub(super) until: Option<DateTime<Utc>>,
    held_by: Option<HeldBy>,
}

/// What the operator said that holds a rotation back.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeldBy {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The key that the rotation replaces which is to be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Fingerprint>,
}

impl HeldBy {
    fn of(decision: &Decision) -> Option<Self> {
        let of = |r#type, until| Self { r#type, until, ..Self::default() };
        let approval =
            |due: &Due| Self { key: Some(due.key.clone()), since: Some(due.since), ..of("approval", None) };
        Some(match decision {
            Decision::Waiting { reason: WaitFor::Window, until } => of("window", Some(*until)),
            Decision::Waiting { reason: WaitFor::Freeze, until } => of("freeze", Some(*until)),
            Decision::Waiting { reason: WaitFor::Pause(pause), until } => Self {
                since: Some(pause.at),
                by: Some(pause.by.clone()),
                why: Some(pause.why.clone()),
                ..of("pause", Some(*until))
            },
            Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. }
            | Decision::Blocked(plan::BlockedBy::NotApproved(due)) => approval(due),
            Decision::Waiting { reason: WaitFor::Home { held, .. }, until } => {
                return Self::of(&Decision::Waiting { reason: (**held).clone(), until: *until });
            }
            Decision::Blocked(plan::BlockedBy::NeverOpens { opens }) => of("window", *opens),
            Decision::Waiting { reason: WaitFor::Gate(plan::Gated::Wave(_)), until } => {
                of("gate", Some(*until))
            }
            Decision::Waiting { reason: WaitFor::BetweenWaves(_), until } => of("betweenWaves", Some(*until)),
            Decision::Waiting { reason: WaitFor::Announced(_), until } => of("announced", Some(*until)),
            Decision::Blocked(
                plan::BlockedBy::Unhealthy { .. } | plan::BlockedBy::UnhealthyBefore { .. },
            ) => of("health", None),
            Decision::Blocked(plan::BlockedBy::WavesDiffer(_)) => of("waves", None),
            _ => return None,
        })
    }
}

/// One of those.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AwaitedFields {
    kind: &'static str,
    id: String,
    /// The key that it is to leave.
    key_type: KeyType,
    since: DateTime<Utc>,
    late: Option<DateTime<Utc>>,
    /// The longest that it is waited for, of readers whom nobody sees.
    until: Option<DateTime<Utc>>,
    owner: Option<String>,
    ticket: Option<String>,
}

/// Who is waited for.
fn waiting_for(decision: &Decision) -> Vec<AwaitedFields> {
    let fields = |(key_type, one): (KeyType, &Awaited)| AwaitedFields {
        kind: one.consumer.kind(),
        id: one.consumer.to_string(),
        key_type,
        since: one.since,
        late: Some(one.late),
        until: None,
        owner: one.owner.clone(),
        ticket: one.ticket.clone(),
    };
    let unseen = |key_type: KeyType, one: &Unseen| AwaitedFields {
        kind: one.consumer.kind(),
        id: one.consumer.to_string(),
        key_type,
        since: one.since,
        late: None,
        until: Some(one.until),
        owner: None,
        ticket: None,
    };
    match decision {
        Decision::Waiting { reason: WaitFor::Readers { key_type, who }, .. } => {
            who.iter().map(|one| unseen(*key_type, one)).collect()
        }
        _ => decision.awaits().map(fields).collect(),
    }
}

impl Next {
    pub(super) fn of(decision: &Decision) -> Self {
        let until = match decision {
            Decision::Waiting { until, .. } => Some(*until),
            Decision::Settled { next } => *next,
            Decision::Blocked(plan::BlockedBy::RegenerationFails { again, .. }) => Some(*again),
            Decision::Do(_) | Decision::Blocked(_) => None,
        };
        Self {
            decision: Some(decision.name()),
            text: Some(decision.in_words()),
            until,
            held_by: HeldBy::of(decision),
        }
    }
}

/// One of the two keys. What the journal does not know is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyFields {
    fingerprint: Fingerprint,
    created: Option<DateTime<Utc>>,
    origin: Option<Origin>,
    verified: Option<bool>,
    held: Option<&'static str>,
    held_since: Option<DateTime<Utc>>,
}

fn keys(snapshot: &Snapshot, journal: &Journal) -> PerKey<KeyFields> {
    PerKey::from_fn(|key_type| {
        let fingerprint = snapshot.keys[key_type].clone();
        let known = journal.keys().map(|keys| &keys[key_type]);
        let known = known.filter(|record: &&KeyRecord| record.fingerprint == fingerprint);
        let (held, held_since) = known.map_or((None, None), |record| held(record.held));
        KeyFields {
            fingerprint,
            created: known.map(|record| record.created),
            origin: known.map(|record| record.origin),
            verified: known.map(|record| record.verified),
            held,
            held_since,
        }
    })
}

const fn held(held: Held) -> (Option<&'static str>, Option<DateTime<Utc>>) {
    match held {
        Held::Never => (Some("never"), None),
        Held::Now => (Some("now"), None),
        Held::Left(at) => (Some("left"), Some(at)),
        Held::Unknown(at) => (Some("unknown"), Some(at)),
    }
}

/// One place that holds a key, or may.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumerFields {
    kind: &'static str,
    id: String,
    section: Option<&'static str>,
    name: Option<String>,
    holds: Holds,
    /// Whether it surely does.
    certain: bool,
    why: Option<String>,
    fingerprint: Option<Fingerprint>,
}

/// What it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Holds {
    Primary,
    Secondary,
    Stale,
    Identity,
    Reference,
    Placeholder,
    Invalid,
    Unknown,
}

const fn section(section: Section) -> &'static str {
    match section {
        Section::AppSettings => "appSettings",
        Section::ConnectionStrings => "connectionStrings",
        Section::FunctionSettings => "functionAppSettings",
    }
}

/// Those that were seen, and those that could not be, each with why.
fn consumers(snapshot: &Snapshot) -> Vec<ConsumerFields> {
    let seen = snapshot.consumers.iter().map(|consumer| of_consumer(consumer, snapshot));
    seen.chain(snapshot.unknown.iter().flat_map(of_unknown)).collect()
}

fn of_consumer(consumer: &Consumer, snapshot: &Snapshot) -> ConsumerFields {
    let (holds, why, fingerprint) = match &consumer.holds {
        Holding::Valid(key_type) => {
            let holds = match key_type {
                KeyType::Primary => Holds::Primary,
                KeyType::Secondary => Holds::Secondary,
            };
            (holds, None, Some(snapshot.keys[*key_type].clone()))
        }
        Holding::Stale(fingerprint) => {
            (Holds::Stale, Some(words::HOLDS_STALE.to_owned()), Some(fingerprint.clone()))
        }
        Holding::Identity => (Holds::Identity, None, None),
    };
    ConsumerFields {
        kind: consumer.at.app.kind(),
        id: consumer.at.app.to_string(),
        section: consumer.at.section.map(section),
        name: Some(printable(&consumer.at.name).into_owned()).filter(|name| !name.is_empty()),
        holds,
        certain: snapshot.is_sure(&consumer.at),
        why,
        fingerprint,
    }
}

/// The places of which it is not clear what they hold, a line for each, in the words of the list of consumers.
pub(super) fn unseen(snapshot: &Snapshot) -> Vec<String> {
    let line = |unknown: &Unknown, place: ConsumerFields| {
        let holds = match place.holds {
            Holds::Stale => words::HOLDS_STALE_TEXT,
            Holds::Reference => words::HOLDS_REFERENCE,
            Holds::Placeholder => words::HOLDS_PLACEHOLDER,
            Holds::Invalid => words::HOLDS_INVALID,
            Holds::Primary | Holds::Secondary | Holds::Identity | Holds::Unknown => words::HOLDS_UNSEEN,
        };
        let consumer = unknown.consumer();
        let what = match consumer {
            ConsumerId::ContainerApp(_) => "secret",
            _ => "setting",
        };
        let is_whole = matches!(consumer, ConsumerId::KeyValue(_) | ConsumerId::KeyVaultSecret(_));
        let within = place.name.filter(|_| !is_whole);
        let within = within.map_or(String::new(), |name| format!(" ({what} {name})"));
        format!("{}{within} {holds}", called(consumer))
    };
    let told = |unknown: &Unknown| match unknown {
        Unknown::NeverReported { consumer: consumer @ ConsumerId::Manual(_), .. } => {
            vec![words::holds_unsaid(called(consumer))]
        }
        Unknown::NeverReported { consumer, .. } => vec![words::holds_unreported(called(consumer))],
        Unknown::ExternalStale { consumer, held, .. } => {
            vec![words::holds_reported_stale(called(consumer), held)]
        }
        other => of_unknown(other).into_iter().map(|place| line(other, place)).collect(),
    };
    snapshot.unknown.iter().flat_map(told).collect()
}

fn of_unknown(unknown: &Unknown) -> Vec<ConsumerFields> {
    let one = |app: &ConsumerId, name: Option<&String>, holds| ConsumerFields {
        kind: app.kind(),
        id: app.to_string(),
        section: None,
        name: name.map(|name| printable(name).into_owned()),
        holds,
        certain: false,
        why: Some(unknown.in_words()),
        fingerprint: None,
    };
    match unknown {
        Unknown::Unreadable { app, .. }
        | Unknown::NeverSeen { app, .. }
        | Unknown::Vanished { app, .. }
        | Unknown::NoConsumer { app } => vec![one(app, None, Holds::Unknown)],
        Unknown::OnlyReferences { app, names } => {
            names.iter().map(|name| one(app, Some(name), Holds::Reference)).collect()
        }
        // It is followed, and what is at its end cannot be told.
        Unknown::Reference { app, name, .. } | Unknown::KeyValueReference { app, name, .. } => {
            vec![one(app, Some(name), Holds::Unknown)]
        }
        Unknown::NeverReported { consumer, .. } => vec![one(consumer, None, Holds::Unknown)],
        Unknown::ExternalStale { consumer, held, .. } => {
            vec![ConsumerFields { fingerprint: Some(held.clone()), ..one(consumer, None, Holds::Stale) }]
        }
        Unknown::Setting { app, name, fault } => vec![one(app, Some(name), of_fault(*fault))],
    }
}

fn of_fault(fault: SettingFault) -> Holds {
    match fault {
        SettingFault::KeyVaultReference
        | SettingFault::AppConfigurationReference
        | SettingFault::MistypedReference => Holds::Reference,
        SettingFault::Missing
        | SettingFault::NotOurs
        | SettingFault::Unnamed
        | SettingFault::InTemplate
        | SettingFault::Locked
        | SettingFault::KeyInOtherText => Holds::Unknown,
        SettingFault::StaleKeyInOtherText => Holds::Stale,
        SettingFault::Placeholder => Holds::Placeholder,
        SettingFault::InvalidString(_) | SettingFault::OtherServicesHost => Holds::Invalid,
    }
}

/// One event of the journal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventFields {
    at: DateTime<Utc>,
    event: Value,
    text: String,
}

pub(super) fn events(journal: &Journal) -> Vec<EventFields> {
    let fields = |entry: &Entry| EventFields {
        at: entry.at,
        event: json::event(&entry.event),
        text: entry.event.in_words(),
    };
    journal.history().map(fields).collect()
}

/// What `plan` adds: what would be done from here on, and how it would end.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planned {
    steps: Vec<StepFields>,
    end: Option<EndFields>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepFields {
    at: DateTime<Utc>,
    key_type: Option<KeyType>,
    consumers: Vec<Place>,
    restarts: Vec<String>,
    #[serde(flatten)]
    next: Next,
}

/// Where a consumer is, in the fields that say so in a [`ConsumerFields`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    kind: &'static str,
    id: String,
    section: Option<&'static str>,
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndFields {
    at: DateTime<Utc>,
    #[serde(flatten)]
    next: Next,
}

impl Planned {
    pub(super) fn of(forecast: &Forecast) -> Self {
        let endless = || Next { text: Some(words::FORECAST_ENDLESS.to_owned()), ..Next::default() };
        let next = forecast.end.as_ref().map_or_else(endless, Next::of);
        let end = EndFields { at: forecast.over, next };
        Self { steps: forecast.steps.iter().map(step).collect(), end: Some(end) }
    }
}

fn step(foreseen: &Foreseen) -> StepFields {
    let (key_type, consumers) = match &foreseen.decision {
        Decision::Do(Step::Repoint { to, consumers, .. }) => (Some(*to), consumers.as_slice()),
        Decision::Do(Step::Follow(key_type) | Step::Verify(key_type) | Step::Regenerate(key_type)) => {
            (Some(*key_type), &[][..])
        }
        Decision::Do(Step::Gate(_))
        | Decision::Waiting { .. }
        | Decision::Blocked(_)
        | Decision::Settled { .. } => (None, &[][..]),
    };
    let place = |at: &plan::ConsumerRef| Place {
        kind: at.app.kind(),
        id: at.app.to_string(),
        section: at.section.map(section),
        name: at.section.map(|_| printable(&at.name).into_owned()),
    };
    StepFields {
        at: foreseen.at,
        key_type,
        consumers: consumers.iter().map(place).collect(),
        restarts: foreseen.restarts().into_iter().map(ConsumerId::to_string).collect(),
        next: Next::of(&foreseen.decision),
    }
}
