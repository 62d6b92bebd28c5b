use std::time::Duration;

use rekey_core::model::AppId;
use rekey_core::policy::Policy;

use super::*;
use crate::config::AppConfig;

const TICK: TimeDelta = TimeDelta::minutes(5);

fn service(name: &str, apps: usize) -> ServiceConfig {
    let app = |n| AppConfig {
        id: AppId::new("s", "g", &format!("{name}-{n}"), None),
        settings: vec![],
        connection_strings: vec![],
        may_hold_none: false,
    };
    ServiceConfig {
        id: id(name),
        apps: (0..apps).map(app).collect(),
        vault_secrets: vec![],
        container_apps: vec![],
        static_web_apps: vec![],
        app_configuration: vec![],
        external: vec![],
        health: BTreeMap::new(),
        policy: Policy::default(),
    }
}

fn id(name: &str) -> ServiceId {
    ServiceId::new("s", "g", name)
}

fn services(number: usize, apps: usize) -> Vec<ServiceConfig> {
    (0..number).map(|n| service(&format!("sr-{n:04}"), apps)).collect()
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

/// Who is read at each tick of so many minutes after all were read.
fn hours(services: &[ServiceConfig], interval: TimeDelta, minutes: i64) -> Vec<BTreeSet<ServiceId>> {
    let mut read: BTreeMap<_, _> = services.iter().map(|service| (service.id.clone(), at(0))).collect();
    let ticks = (1..).map(|tick| at(0) + interval * tick).take_while(|now| *now <= at(minutes));
    let tick = |now| {
        let turns = turns(services, &read, interval, now);
        read.extend(turns.iter().map(|service| (service.clone(), now)));
        turns
    };
    ticks.map(tick).collect()
}

#[test]
fn what_fits_a_quarter_of_the_bucket_is_read_at_every_run() {
    for (number, apps) in [(7, 3), (1, 24), (10, 2), (50, 0)] {
        let services = services(number, apps);
        assert!(hours(&services, TICK, 60).iter().all(|turns| turns.len() == number), "{number} × {apps}");
    }
    assert_eq!(hours(&services(8, 3), TICK, 5)[0].len(), 7, "one more than fits");
}

#[test]
fn what_does_not_fit_is_read_once_in_full_check_every_and_as_much_of_it_in_each_run() {
    let twenty = TimeDelta::minutes(20);
    // The last three are the row of a hundred apps in `docs/deploy.md`.
    let (minute, quarter) = (TimeDelta::minutes(1), TimeDelta::minutes(15));
    for (number, apps, interval) in [
        (100, 3, TICK),
        (1000, 3, TICK),
        (7, 30, TICK),
        (100, 3, twenty),
        (1, 100, minute),
        (1, 100, TICK),
        (1, 100, quarter),
    ] {
        let services = services(number, apps);
        let (named, runs) = (format!("{number} × {apps} at {interval}"), hours(&services, interval, 180));
        let hour = 60 / usize::try_from(interval.num_minutes()).unwrap();
        let all: Vec<_> = runs[..hour].iter().flatten().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), number, "{named}: each in the first hour");
        assert_eq!(all.len(), number, "{named}: and none twice");
        let even = number.div_ceil(hour);
        let most = runs.iter().map(BTreeSet::len).max().unwrap();
        assert!(most <= even.max(50 / (1 + 2 * apps)), "{named}: {most} in a run");
    }
}

#[test]
fn what_does_not_fit_keeps_nobody_else_from_being_read() {
    let services = [services(6, 3), vec![service("big", 60)]].concat();
    let runs = hours(&services, TICK, 60);
    let (with, without): (Vec<_>, Vec<_>) = runs.iter().partition(|turns| turns.contains(&id("big")));
    assert!(without.iter().all(|turns| turns.len() == 6), "{runs:?}");
    assert_eq!(with, [&BTreeSet::from([id("big")])], "once in the hour it takes what there is");
}

#[test]
fn whose_time_comes_first_is_first_and_who_was_not_read_is_in_any_case() {
    let services = services(20, 3);
    let mut read: BTreeMap<_, _> = services.iter().map(|service| (service.id.clone(), at(30))).collect();
    read.insert(id("sr-0019"), at(20));
    read.insert(id("sr-0018"), at(10));
    let seven = ["sr-0018", "sr-0019", "sr-0000", "sr-0001", "sr-0002", "sr-0003", "sr-0004"];
    assert_eq!(turns(&services, &read, TICK, at(40)), seven.map(id).into());
    let (sixth, new): (Vec<_>, Vec<_>) = read.keys().cloned().partition(|service| *service < id("sr-0010"));
    read.retain(|service, _| sixth.contains(service));
    assert_eq!(turns(&services, &read, TICK, at(40)), new.into_iter().collect(), "and takes all there is");
}

#[test]
fn nobody_is_read_later_than_his_own_full_check_every_says() {
    let mut services = services(100, 3);
    services[50].policy.full_check_every = Duration::from_secs(600);
    services[51].policy.full_check_every = Duration::from_secs(8 * 60);
    services[52].policy.full_check_every = Duration::from_secs(13 * 60);
    services[60].policy.full_check_every = Duration::ZERO;
    services[70].apps = service("big", 400).apps;
    let runs = hours(&services, TICK, 180);
    for (n, service) in services.iter().enumerate() {
        let most = match n {
            51 | 60 => 1,
            50 | 52 => 2,
            _ => 12,
        };
        let ticks: Vec<_> = (0..runs.len()).filter(|tick| runs[*tick].contains(&service.id)).collect();
        let gaps = ticks.windows(2).map(|pair| pair[1] - pair[0]).chain([ticks[0] + 1]);
        assert!(gaps.max().unwrap() <= most, "{n}: {ticks:?}");
    }
}

#[test]
fn what_a_notice_came_upon_is_read_at_the_next_run_and_no_more_after_that() {
    let (checks, service) = (FullChecks::default(), id("sr-0000"));
    let read = |minutes| BTreeMap::from([(service.clone(), at(minutes))]);
    let report = |ending| RunReport::that_ended(service.clone(), ending, vec![]);
    let checks_of = |minutes| {
        checks.0.lock().read = read(minutes);
        checks.rests(&service)
    };
    assert_eq!(checks_of(0), Some(at(0)));
    checks.note(Source::Notice, &report(Ending::Repaired), at(5));
    assert_eq!(checks_of(0), Some(at(0)), "all is well");
    checks.note(Source::Notice, &report(Ending::Unseen(vec![])), at(5));
    assert_eq!(checks_of(0), None);
    assert_eq!(checks_of(6), Some(at(6)), "it was read since");
    checks.note(Source::Timer, &report(Ending::Stopped), at(7));
    assert_eq!(checks.end(), BTreeMap::new());
}
