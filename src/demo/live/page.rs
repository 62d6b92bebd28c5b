//! The last minute as a picture, what happened in it, and how things stand.

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::{Activity, ActivityKind, KeyType, Report};
use maud::{Markup, html};
use rekey_core::model::Key;

use super::{Lane, Live, Seen, Span, WINDOW, With};
use crate::clock::{Clock, SystemClock};
use crate::demo::Trouble;
use crate::demo::timeline::Who;
use crate::overview::page::{Page, Rendered, STYLE, document};
use crate::report::text::readable;

/// How this page looks besides.
const MORE: &str = include_str!("live.css");

const WIDTH: f64 = 760.0;
/// Where the time begins: what is left of it is for the names of the apps.
const LEFT: f64 = 182.0;
const RIGHT: f64 = WIDTH - 8.0;
/// How high the calls of a second are drawn at most.
const CALLS: f64 = 56.0;
/// How high a lane is.
const LANE: f64 = 20.0;
/// How many signs of a name have room.
const NAME: usize = 28;

/// How many of the services, of who signs with a key, and of the last requests are listed.
const SERVICES: usize = 50;
const SIGNERS: usize = 12;
const REQUESTS: usize = 20;

impl Live {
    /// All of it as of now. One that moves asks for itself again each second.
    pub(super) async fn page(&self, moves: bool) -> Rendered {
        let now = SystemClock.now();
        let report = self.sim.report();
        let standing = match &self.play {
            Some(play) => of_services(Self::standing(play).await),
            None => self.of_azure_itself(&report),
        };
        let what = if self.play.is_some() { "The demo" } else { "The embedded Azure" };
        let head = html! { @if moves { meta http-equiv="refresh" content="1"; } };
        let body = html! {
            a.skip href="#services" { "Skip to the services" }
            header {
                h1 { (what) ", live" }
                p {
                    "As of " time datetime=(readable(now)) { (readable(now)) } ". "
                    @if moves { a href="?still" { "Hold it still" } } @else { a href="?" { "Let it move" } }
                }
            }
            section.live aria-label="Traffic" {
                @if let Some(over) = self.play.as_ref().and_then(|play| play.timeline.conclusion()) {
                    h2 { "The demo is over" }
                    pre { (over) }
                }
                (counts(&self.seen.lock(), &report))
                (picture(&self.seen.lock(), now, moves))
                h2 { "What happened" }
                (self.happened())
            }
            main id="services" { (standing) }
        };
        let title = format!("{} of {} client calls refused: {what}, live", report.refused, report.calls);
        document(&title, &format!("{STYLE}{MORE}"), &head, &body)
    }

    /// What happened last, the latest first.
    fn happened(&self) -> Markup {
        let line = |at: DateTime<Utc>, who: Who, what: &str| {
            html! {
                li {
                    time datetime=(readable(at)) { (at.format("%H:%M:%S%.3f").to_string()) } " "
                    (format!("{:<7}", who.name())) " " (what)
                }
            }
        };
        html! {
            ol tabindex="0" aria-label="What happened" {
                @if let Some(play) = &self.play {
                    @for told in play.timeline.lately().iter().rev() { (line(told.at, told.who, &told.what)) }
                } @else {
                    @for activity in self.seen.lock().marks.iter().rev() {
                        (line(activity.at, Who::of(activity), &activity.to_string()))
                    }
                }
            }
        }
    }

    /// The keys of each service and who signs with them, and what was asked last.
    fn of_azure_itself(&self, report: &Report) -> Markup {
        let mut requests = self.sim.requests();
        let requests = requests.split_off(requests.len().saturating_sub(REQUESTS));
        html! {
            h2.alone { "Services" }
            div.wide role="region" aria-label="Services" tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Service" } th scope="col" { "Key" } th scope="col" { "Fingerprint" }
                    th scope="col" { "Signing with it" }
                } }
                tbody { @for name in report.instances.keys().take(SERVICES) { (self.of_service(name, report)) } }
            } }
            @if report.instances.len() > SERVICES {
                p { "And " (report.instances.len() - SERVICES) " services more." }
            }
            h2.alone { "Last requests" }
            div.wide role="region" aria-label="Last requests" tabindex="0" { table {
                thead { tr {
                    th scope="col" { "At" } th scope="col" { "Operation" } th scope="col" { "Of" }
                    th scope="col" { "Answered" }
                } }
                tbody { @for request in requests.iter().rev() { tr {
                    td { time datetime=(readable(request.at)) { (request.at.format("%H:%M:%S%.3f").to_string()) } }
                    th scope="row" { (request.method) " " (request.operation) }
                    td { (request.resource) }
                    td { @match request.status { Some(status) => (status), None => "not" } }
                } } }
            } }
        }
    }

    fn of_service(&self, name: &str, report: &Report) -> Markup {
        let apps = report.instances.get(name).into_iter().flat_map(|of| of.apps.keys());
        let signing: Vec<(&String, With)> = apps
            .map(|app| {
                let runs = self.sim.with(|state| state.runs_with(app)).unwrap_or_default();
                let keys: Vec<_> =
                    runs.into_iter().filter(|(of, _)| of == name).map(|(_, key)| key).collect();
                (app, With::of(&keys))
            })
            .collect();
        let who = |with: With| {
            let all: Vec<&str> =
                signing.iter().filter(|(_, of)| *of == with).map(|(app, _)| app.as_str()).collect();
            let more = all.len().saturating_sub(SIGNERS);
            html! {
                (all.iter().take(SIGNERS).copied().collect::<Vec<_>>().join(", "))
                @if more > 0 { " and " (more) " more" }
            }
        };
        let keys = self.sim.keys(name).ok();
        let is_invalid = signing.iter().any(|(_, with)| *with == With::Invalid);
        html! {
            @for key_type in KeyType::ALL { tr {
                th scope="row" { (name) }
                td { (key_type.name()) }
                td { @match &keys {
                    Some(keys) => { code { (Key::new(keys[key_type].expose()).fingerprint().to_string()) } }
                    None => { span.none { "deleted" } }
                } }
                td { (who(With::Key(key_type))) }
            } }
            @if is_invalid { tr {
                th scope="row" { (name) }
                td { span.key.stale { "invalid" } }
                td {}
                td { (who(With::Invalid)) }
            } }
        }
    }
}

/// The status page of the handler. A run tells at its end.
fn of_services(standing: Result<Option<Page>, Trouble>) -> Markup {
    html! {
        h2.alone { "What the status page shows" }
        @match standing {
            Ok(Some(page)) => (page.in_whole()),
            Ok(None) => p { "The first run is at work. What a run has found is shown here when it ends." },
            Err(trouble) => p { (trouble.to_string()) },
        }
    }
}

fn counts(seen: &Seen, report: &Report) -> Markup {
    html! {
        p {
            b { (report.calls) } " client calls, of them "
            b class=[(report.refused > 0).then_some("stale")] { (report.refused) } " refused because of a key; "
            b { (seen.connections()) } " connections of apps to services; "
            b { (report.arm_requests_total) } " requests to Azure Resource Manager"
        }
    }
}

/// Where a time is.
fn x(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    let part = |time: TimeDelta| time.as_seconds_f64() / WINDOW.as_seconds_f64();
    RIGHT - part(now - at).clamp(0.0, 1.0) * (RIGHT - LEFT)
}

/// A place as it is written: a tenth of a pixel is fine enough.
fn shown(place: f64) -> String {
    format!("{place:.1}")
}

fn picture(seen: &Seen, now: DateTime<Utc>, moves: bool) -> Markup {
    let lanes: Vec<(f64, &Lane, &[Span])> = seen
        .lanes
        .iter()
        .zip(0_u32..)
        .map(|((lane, of), row)| (CALLS + 12.0 + f64::from(row) * LANE, lane, &of.spans[..]))
        .collect();
    let bottom = lanes.last().map_or(CALLS + 12.0, |(y, ..)| y + LANE);
    let (calls, refused) = seen
        .seconds
        .values()
        .fold((0, 0), |(calls, refused), one| (calls + one.calls, refused + one.refused));
    let told = format!(
        "The last minute: {calls} client calls, {refused} of them refused. Each app has a lane that shows which key it signs with"
    );
    html! {
        div.wide role="region" aria-label="The last minute" tabindex="0" {
            svg viewBox={ "0 0 " (WIDTH) " " (bottom + 24.0) } role="img" aria-label=(told) {
                clipPath id="minute" { rect x=(LEFT) y="0" width=(RIGHT - LEFT) height=(bottom + 4.0) {} }
                text x="0" y=(CALLS / 2.0 + 4.0) { "Calls a second" }
                @for (y, (service, app), _) in &lanes {
                    text x="0" y=(y + 12.0) { (short(app)) title { (app) " at " (service) } }
                }
                g clip-path="url(#minute)" { g class=[moves.then_some("flow")] {
                    (bars(seen, now))
                    @for (y, _, spans) in &lanes { @for span in *spans { (lane(span, *y, now)) } }
                    @for activity in &seen.marks { (mark(activity, &lanes, now, bottom)) }
                } }
                line.axis x1=(LEFT) x2=(RIGHT) y1=(bottom + 4.0) y2=(bottom + 4.0) {}
                text x=(LEFT) y=(bottom + 18.0) { "a minute ago" }
                text x=((LEFT + RIGHT) / 2.0) y=(bottom + 18.0) text-anchor="middle" { "30 s ago" }
                text x=(RIGHT) y=(bottom + 18.0) text-anchor="end" { "now" }
            }
        }
        p.none {
            "Lanes: the key that an app signs with, P or S; red: an invalid one, or refused calls. Upright lines: in a lane its \
             settings were changed, or it restarted; through all of them a key was regenerated."
            @if seen.others > 0 { " Apps without a lane: " (seen.others) "." }
        }
    }
}

fn bars(seen: &Seen, now: DateTime<Utc>) -> Markup {
    // The second that is under way has not had all of its calls.
    let whole = || seen.seconds.iter().filter(|(second, _)| **second < now.timestamp());
    let most = whole().map(|(_, one)| one.calls).max().unwrap_or(0).max(1);
    let height = |count: u64| {
        #[allow(clippy::cast_precision_loss, reason = "it is a height in a picture")]
        let part = count as f64 / most as f64;
        part * CALLS
    };
    let place = |second: i64| DateTime::from_timestamp(second, 0).map_or(LEFT, |at| x(at, now));
    html! {
        @for (second, one) in whole() {
            @let (from, until) = (place(*second), place(second + 1));
            @let refused = if one.refused > 0 { height(one.refused).max(3.0) } else { 0.0 };
            @let answered = height(one.calls - one.refused);
            @let width = shown((until - from - 1.0).max(0.0));
            rect.calls x=(shown(from)) y=(shown(CALLS - answered)) width=(width) height=(shown(answered)) {
                title { (one.calls - one.refused) " calls answered" }
            }
            @if one.refused > 0 {
                rect.refused x=(shown(from)) y=(shown((CALLS - answered - refused).max(0.0))) width=(width) height=(shown(refused)) {
                    title { (one.refused) " calls refused" }
                }
            }
        }
    }
}

fn lane(span: &Span, y: f64, now: DateTime<Utc>) -> Markup {
    let (from, until) = (x(span.from, now), x(span.until, now));
    let (class, sign, told) = match span.with {
        With::Key(KeyType::Primary) => ("with-primary", "P", "signs with the Primary key"),
        With::Key(KeyType::Secondary) => ("with-secondary", "S", "signs with the Secondary key"),
        With::Invalid => ("with-invalid", "!", "signs with an invalid key"),
        With::Nothing => return html! {},
    };
    html! {
        rect class=(class) x=(shown(from)) y=(y) width=(shown(until - from)) height=(LANE - 4.0) { title { (told) } }
        @if span.refused {
            rect.refused x=(shown(from)) y=(y + LANE - 9.0) width=(shown(until - from)) height="5" {
                title { "calls are refused" }
            }
        }
        @if until - from > 16.0 { text.on x=(shown(until - 12.0)) y=(y + 12.0) { (sign) } }
    }
}

/// What is about a service goes through all lanes, what is about an app is in its own.
fn mark(activity: &Activity, lanes: &[(f64, &Lane, &[Span])], now: DateTime<Utc>, bottom: f64) -> Markup {
    if now - activity.at > WINDOW {
        return html! {};
    }
    let ends: Vec<(f64, f64)> = match &activity.what {
        ActivityKind::RegenerationInEffect { .. } | ActivityKind::Forced { .. } => vec![(0.0, bottom)],
        ActivityKind::SettingsChanged { app, .. } | ActivityKind::Restarted { app } => {
            let own = lanes.iter().filter(|(_, (_, name), _)| name == app);
            own.map(|(y, ..)| (y - 1.0, y + LANE - 3.0)).collect()
        }
        _ => vec![],
    };
    let at = shown(x(activity.at, now));
    let class = if ends == [(0.0, bottom)] { "mark all" } else { "mark" };
    html! {
        @for (from, until) in ends {
            line class=(class) x1=(at) x2=(at) y1=(shown(from)) y2=(shown(until)) { title { (activity.to_string()) } }
        }
    }
}

/// A name as far as there is room for it.
fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_moves_by_a_second_in_a_second() {
        let second = (RIGHT - LEFT) / WINDOW.as_seconds_f64();
        assert!(MORE.contains(&format!("translateX(-{second}px)")), "{second}");
    }

    #[test]
    fn a_name_ends_where_there_is_no_more_room() {
        assert_eq!(short("chat-web/staging"), "chat-web/staging");
        assert_eq!(short(&"ä".repeat(29)), format!("{}…", "ä".repeat(27)));
    }
}
