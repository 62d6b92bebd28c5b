//! What must hold when the storm is over, and how it went: numbers, and what should not have happened.

use std::collections::BTreeMap;
use std::fmt;

use embedded_azure::Report;
use serde::Serialize;

use super::care::Care;
use super::faults::Faults;
use super::judge::Moves;
use super::run::{Storm, StormOptions};
use super::world::{BYSTANDER, Place, consumers, places, signers};
use crate::clock::{Clock, SystemClock};
use crate::report::text::InWords;
use crate::store::{StoreError, evidence as document, evidence_names, peek};
use rekey_core::evidence::{self, Found};
use rekey_core::journal::{Change, ChangeStep, Regeneration};
use rekey_core::model::{Fingerprint, Key, KeyType, PerKey, ServiceId};

/// How a storm went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StormSummary {
    /// What it was made from; the same seed plays the same storm.
    pub seed: u64,
    /// Rotations that were completed.
    pub rotations: u64,
    /// How often time passed and every service was looked after.
    pub rounds: u64,
    /// Runs over one service.
    pub runs: u64,
    /// How many of them ended well, and were compared with what the embedded Azure knows to be true.
    pub judged: u64,
    /// Who was given another key, by what the embedded Azure has on record, and was judged.
    pub moves: Moves,
    /// How many of them were killed.
    pub kills: u64,
    /// How runs ended.
    pub endings: BTreeMap<&'static str, u64>,
    /// How often what went wrong.
    pub faults: BTreeMap<&'static str, u64>,
    /// Client calls made.
    pub client_calls: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that were refused and whose key was not replaced from outside. None should be.
    pub refused_unexplained: u64,
    /// Keys that were replaced because a worker asked for it.
    pub regenerations: u64,
    /// Requests to Azure Resource Manager.
    pub arm_requests: u64,
    /// Requests to the journal's storage.
    pub storage_requests: u64,
    /// The days that went by.
    pub virtual_days: i64,
    /// One number for what came of every run and when: equal for equal storms.
    pub schedule: String,
    /// How long it took. The one figure that no two storms share.
    pub elapsed_ms: i64,
    /// What should not have happened.
    pub violations: Vec<String>,
}

impl StormSummary {
    /// The same without how long it took: what two storms of one seed must have in common.
    #[must_use]
    pub fn without_time(self) -> Self {
        Self { elapsed_ms: 0, ..self }
    }
}

impl fmt::Display for StormSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&str, u64>| {
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "the storm of seed {}, {} days in {} ms", self.seed, self.virtual_days, self.elapsed_ms)?;
        writeln!(f, "{:>10}  rotations, with {} regenerations", self.rotations, self.regenerations)?;
        writeln!(f, "{:>10}  runs in {} rounds: {}", self.runs, self.rounds, list(&self.endings))?;
        writeln!(f, "{:>10}  of them ended well, and were compared with what is true", self.judged)?;
        let Moves { moved, moved_back, repaired } = self.moves;
        writeln!(f, "{moved:>10}  moves to another key, {moved_back} of them back, and {repaired} repairs")?;
        writeln!(
            f,
            "{:>10}  requests to Azure, {} to the storage",
            self.arm_requests, self.storage_requests
        )?;
        writeln!(f, "            faults: {}", list(&self.faults))?;
        writeln!(f, "{:>10}  client calls", self.client_calls)?;
        writeln!(f, "{:>10}  of them refused", self.refused)?;
        write!(
            f,
            "{:>10}  of these not explained by what others did to the keys or the settings",
            self.refused_unexplained
        )
    }
}

/// Counts, and finds what should not have happened.
pub(super) async fn check(
    options: &StormOptions,
    storm: &Storm,
    (faults, care): (&Faults, &Care),
    hung: bool,
) -> StormSummary {
    let report = storm.azure.report();
    let regenerations: u64 = report.instances.values().map(|service| service.regenerations).sum();
    let mut violations = Vec::new();
    if hung {
        violations.push(format!(
            "no rotation was completed for long; after {} rounds it was given up",
            storm.rounds
        ));
    }
    if report.refused_unexplained > 0 {
        violations.push(format!(
            "{} client calls were refused without a cause outside",
            report.refused_unexplained
        ));
    }
    violations.extend(storm.failed_in_calm.iter().cloned());
    violations.extend(storm.untrue.iter().cloned());
    violations.extend(storm.unsettled().map(|service| format!("{service} does not come to rest")));
    violations.extend(signers().into_iter().filter_map(|(name, service)| trouble_of(storm, &name, &service)));
    violations.extend(places().into_iter().filter_map(|(place, _)| emptied(storm, &place)));
    violations.extend(lost_settings(storm, faults));
    for service in &storm.config.instances {
        let unproved = unproved(storm, &service.id).await;
        let unproved = unproved.unwrap_or_else(|error| vec![error.to_string()]);
        violations.extend(unproved.into_iter().map(|what| format!("{}: {what}", service.id.name())));
    }
    let most = most_regenerations(storm, faults, options);
    if regenerations > most {
        violations.push(format!("{regenerations} regenerations; {most} at most were called for"));
    }
    let happened = faults.counts().iter().chain(care.counts()).map(|(what, count)| (*what, *count)).collect();
    summary(options, storm, happened, &report, violations)
}

fn summary(
    options: &StormOptions,
    storm: &Storm,
    faults: BTreeMap<&'static str, u64>,
    report: &Report,
    violations: Vec<String>,
) -> StormSummary {
    StormSummary {
        seed: options.seed,
        rotations: storm.rotations(),
        rounds: storm.rounds,
        runs: storm.runs,
        judged: storm.judged,
        moves: storm.judge.counts,
        kills: storm.kills,
        endings: storm.endings.clone(),
        faults,
        client_calls: report.calls,
        refused: report.refused,
        refused_unexplained: report.refused_unexplained,
        regenerations: report.instances.values().map(|service| service.regenerations).sum(),
        arm_requests: report.arm_requests_total,
        storage_requests: storm.store.requests(),
        virtual_days: (report.now - report.started).num_days(),
        schedule: format!("{:016x}", storm.schedule()),
        elapsed_ms: (SystemClock.now() - storm.started).num_milliseconds(),
        violations,
    }
}

/// What the evidence of a service does not prove: its chain is whole, and leads each key from the first that was seen to the one
/// that the embedded Azure has now.
async fn unproved(storm: &Storm, service: &ServiceId) -> Result<Vec<String>, StoreError> {
    let store = storm.store.reliable();
    let journal = peek(store, service).await?;
    let mut found = Found::new();
    for name in evidence_names(store).await?.unwrap_or_default() {
        if evidence::is_of(&name, service) {
            let body = document(store, &name).await?;
            found.insert(name, body.ok_or_else(|| "it is listed, and not there".to_owned()));
        }
    }
    let Ok(next) = evidence::next(&journal, service) else {
        return Ok(vec!["what is next cannot be written".into()]);
    };
    let flaws = evidence::verify(journal.evidence(), next.as_ref(), &found);
    let mut wrong: Vec<String> = flaws.iter().map(InWords::in_words).collect();
    let documents = found.values().flatten().filter_map(|body| evidence::read(body).ok());
    let mut records: Vec<_> =
        documents.map(|record| (record.chain, record.sequence, record.change)).collect();
    records.sort_by_key(|(chain, sequence, _)| (*chain, *sequence));
    let written = records.into_iter().map(|(.., change)| change);
    let kept = journal.evidence();
    let changes: Vec<Change> = written.chain(kept.waiting().chain(kept.open()).cloned()).collect();
    let report = storm.azure.report();
    let regenerated = report.instances.get(service.name()).map_or(0, |of| of.regenerations);
    if changes.is_empty() && regenerated > 0 {
        wrong.push(format!("there is no evidence of any of {regenerated} regenerations"));
    }
    let Ok(keys) = storm.azure.keys(service.name()) else { return Ok(vec!["it has no keys".into()]) };
    let fingerprint = |key: &embedded_azure::Key| Key::new(key.expose()).fingerprint();
    let has = PerKey { primary: fingerprint(&keys.primary), secondary: fingerprint(&keys.secondary) };
    wrong.extend(untold(&changes, &has));
    Ok(wrong)
}

/// How which keys came about no change tells, of all that there were up to those that a service has.
fn untold(changes: &[Change], has: &PerKey<Fingerprint>) -> Vec<String> {
    let mut untold = Vec::new();
    for key_type in KeyType::ALL {
        let steps = changes.iter().flat_map(|change| &change.steps);
        let mut steps = steps.filter_map(|step| replaced(step, key_type)).peekable();
        while let Some((_, new)) = steps.next() {
            let old = steps.peek().map_or(&has[key_type], |(old, _)| old);
            if old != new {
                untold.push(format!("no evidence tells how the {key_type} key {old} came about"));
            }
        }
    }
    untold
}

/// The key that a step replaced, and the one in its place.
fn replaced(step: &ChangeStep, of: KeyType) -> Option<(&Fingerprint, &Fingerprint)> {
    match step {
        ChangeStep::Regeneration(Regeneration { key, old, new: Some(new), .. })
        | ChangeStep::ChangedFromOutside { key, old, new, .. } => (*key == of).then_some((old, new)),
        _ => None,
    }
}

/// Two for each rotation, complete or begun; and one for each that was sent for nothing, whose key was replaced by
/// others meanwhile, or which a key that others replaced or took calls for.
fn most_regenerations(storm: &Storm, faults: &Faults, options: &StormOptions) -> u64 {
    let begun =
        options.rotations.max(storm.rotations()) + u64::try_from(storm.services().count()).unwrap_or(0);
    let causes = [
        "outside regeneration",
        "string planted",
        "kill",
        "failure",
        "regeneration that fails",
        "operation out of reach",
    ];
    let caused: u64 = causes.iter().filter_map(|cause| faults.counts().get(cause)).sum();
    2 * begun + caused
}

/// Why somebody is not as he should be: signing with a valid key of the service, which the embedded Azure knows; now, and when he
/// starts anew.
fn trouble_of(storm: &Storm, name: &str, service: &str) -> Option<String> {
    let signs = storm.azure.with(|state| [state.signs(name), state.runs_with(name)]);
    let [to_sign, runs] = signs.map(Result::ok);
    let (to_sign, runs) = (to_sign?, runs?);
    if !to_sign.iter().any(|(of, _)| of == service) {
        return Some(format!("{name} is to sign with no key of {service} any more"));
    }
    // What is scaled to zero runs with none.
    let mut keys = to_sign.iter().chain(&runs).filter(|(of, _)| of == service);
    keys.any(|(_, valid)| valid.is_none()).then(|| format!("{name} has an invalid key of {service}"))
}

/// Where there is no connection string any more.
fn emptied(storm: &Storm, place: &Place) -> Option<String> {
    place.read(&storm.azure).is_none().then(|| format!("nothing is left of {place:?}"))
}

/// What others wrote into settings and is not there any more.
fn lost_settings(storm: &Storm, faults: &Faults) -> Vec<String> {
    let holds = |app: &str, name: &str, value: &str| {
        storm.azure.settings(app).is_ok_and(|settings| settings.get(name).is_some_and(|found| found == value))
    };
    let lost = |app: &str, name: &str| format!("{app}: {name} is not as it was written");
    let (name, value) = BYSTANDER;
    let bystanders = consumers();
    let bystanders = bystanders.iter().filter(|consumer| !holds(&consumer.app, name, value));
    let edited = faults.kept();
    let edited = edited.iter().filter(|((app, name), value)| !holds(app, name, value));
    bystanders
        .map(|consumer| lost(&consumer.app, name))
        .chain(edited.map(|((app, name), _)| lost(app, name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use rekey_core::journal::{Asked, AskedBy};

    use super::*;

    fn key(name: &str) -> Fingerprint {
        Key::new(name).fingerprint()
    }

    fn change(steps: Vec<ChangeStep>) -> Change {
        let at = chrono::DateTime::UNIX_EPOCH;
        let asked = Asked {
            by: AskedBy::Schedule,
            at: None,
            compromised: false,
            approved_by: None,
            approved_at: None,
        };
        let (moves, finished, none) = (vec![], true, 0);
        let (changes_left_out, steps_left_out, moves_left_out) = (none, none, none);
        Change {
            began: at,
            ended: at,
            finished,
            asked,
            steps,
            moves,
            changes_left_out,
            steps_left_out,
            moves_left_out,
        }
    }

    fn replaced(key_type: KeyType, old: &str, new: &str) -> ChangeStep {
        let done = chrono::DateTime::UNIX_EPOCH;
        ChangeStep::ChangedFromOutside { key: key_type, old: key(old), new: key(new), done }
    }

    #[test]
    fn a_key_that_no_evidence_tells_of_is_found_out() {
        let has = PerKey { primary: key("p2"), secondary: key("s1") };
        let first =
            || change(vec![replaced(KeyType::Primary, "p0", "p1"), replaced(KeyType::Secondary, "s0", "s1")]);
        let second = || change(vec![replaced(KeyType::Primary, "p1", "p2")]);
        assert_eq!(untold(&[first(), second()], &has), Vec::<String>::new());
        let told = |key_type: KeyType, name: &str| {
            format!("no evidence tells how the {key_type} key {} came about", key(name))
        };
        assert_eq!(untold(&[first()], &has), [told(KeyType::Primary, "p2")]);
        let later = change(vec![replaced(KeyType::Primary, "p2", "p3")]);
        let has_more = PerKey { primary: key("p3"), ..has.clone() };
        assert_eq!(untold(&[first(), later], &has_more), [told(KeyType::Primary, "p2")]);
    }
}
