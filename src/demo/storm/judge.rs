//! What must hold when the storm is over.

use super::StormOptions;
use super::crew::Crew;
use super::summary::StormSummary;
use super::weather::{Consumer, Weather, consumers};
use super::world::BYSTANDER;
use crate::clock::{Clock, SystemClock};
use crate::sim::Report;

/// Counts, and finds what should not have happened.
pub(super) async fn judge(
    options: &StormOptions,
    crew: &Crew,
    weather: &Weather,
    hung: bool,
) -> StormSummary {
    let report = crew.sim.report();
    let regenerations: u64 = report.instances.values().map(|instance| instance.regenerations).sum();
    let mut violations = Vec::new();
    if hung {
        violations.push(format!(
            "no rotation was completed for long; after {} rounds it was given up",
            crew.rounds
        ));
    }
    if report.refused_unexplained > 0 {
        violations.push(format!(
            "{} client calls were refused without a cause outside",
            report.refused_unexplained
        ));
    }
    violations.extend(crew.failed_in_calm.iter().cloned());
    violations.extend(crew.untrue.iter().cloned());
    violations.extend(crew.unsettled().map(|instance| format!("{instance} does not come to rest")));
    violations.extend(consumers(crew).into_iter().filter_map(|consumer| trouble_of(crew, &consumer)));
    violations.extend(lost_settings(crew, weather));
    for instance in &crew.config.instances {
        if let Err(error) = crate::store::peek(crew.ledger.calm(), &instance.id).await {
            violations.push(error.to_string());
        }
    }
    let most = most_regenerations(crew, weather, options);
    if regenerations > most {
        violations.push(format!("{regenerations} regenerations; {most} at most were called for"));
    }
    summary(options, crew, weather, &report, violations)
}

fn summary(
    options: &StormOptions,
    crew: &Crew,
    weather: &Weather,
    report: &Report,
    violations: Vec<String>,
) -> StormSummary {
    StormSummary {
        seed: options.seed,
        rotations: crew.rotations(),
        rounds: crew.rounds,
        passes: crew.passes,
        judged: crew.judged,
        kills: crew.kills,
        endings: crew.endings.clone(),
        weather: weather.counts().clone(),
        client_calls: report.calls,
        refused: report.refused,
        refused_unexplained: report.refused_unexplained,
        regenerations: report.instances.values().map(|instance| instance.regenerations).sum(),
        arm_requests: report.arm_requests_total,
        storage_requests: crew.ledger.requests(),
        virtual_days: (report.now - report.started).num_days(),
        schedule: format!("{:016x}", crew.schedule()),
        elapsed_ms: (SystemClock.now() - crew.started).num_milliseconds(),
        violations,
    }
}

/// Two for each rotation, complete or begun; and one for each that was sent for nothing, whose key was replaced by
/// others meanwhile, or which a key that others replaced or took calls for.
fn most_regenerations(crew: &Crew, weather: &Weather, options: &StormOptions) -> u64 {
    let begun =
        options.rotations.max(crew.rotations()) + u64::try_from(crew.instances().count()).unwrap_or(0);
    let causes = [
        "outside regeneration",
        "string planted",
        "kill",
        "failure",
        "regeneration that fails",
        "operation out of reach",
    ];
    let caused: u64 = causes.iter().filter_map(|cause| weather.counts().get(cause)).sum();
    2 * begun + caused
}

/// Why a consumer is not as it should be: signing with a valid key of its instance, which the simulator knows.
fn trouble_of(crew: &Crew, consumer: &Consumer) -> Option<String> {
    let Consumer { app, setting, instance } = consumer;
    let signs = crew.sim.with(|state| state.signs(app)).ok()?;
    let mut keys = signs.iter().filter(|(of, _)| of == instance).map(|(_, valid)| valid).peekable();
    if keys.peek().is_none() {
        return Some(format!("{app}: {setting} holds no connection string any more"));
    }
    keys.any(Option::is_none).then(|| format!("{app}: {setting} holds a key of {instance} that is dead"))
}

/// What others wrote into settings and is not there any more.
fn lost_settings(crew: &Crew, weather: &Weather) -> Vec<String> {
    let holds = |app: &str, name: &str, value: &str| {
        crew.sim.settings(app).is_ok_and(|settings| settings.get(name).is_some_and(|found| found == value))
    };
    let lost = |app: &str, name: &str| format!("{app}: {name} is not as it was written");
    let (name, value) = BYSTANDER;
    let bystanders = consumers(crew);
    let bystanders = bystanders.iter().filter(|consumer| !holds(&consumer.app, name, value));
    let edited = weather.kept();
    let edited = edited.iter().filter(|((app, name), value)| !holds(app, name, value));
    bystanders
        .map(|consumer| lost(&consumer.app, name))
        .chain(edited.map(|((app, name), _)| lost(app, name)))
        .collect()
}
