//! The page, and the same for machines.
//!
//! One HTML document that asks for nothing else: no script, no font, no picture from anywhere, and a policy that would refuse them.
//! Whatever comes from outside (names of apps, what Azure said) is escaped by the templates. It has no links to itself either: who
//! opens it has a function key in the address, which is not known here and would be lost.

mod picture;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rekey_core::model::PerKey;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ConsumerOverview, KeyOverview, RunOverview, ServiceOverview, State};
use crate::report::text::{overview as words, readable};

/// The version of the answer for machines: it changes when a field goes, or means something else.
pub const SCHEMA_VERSION: u32 = 1;

/// How many services are shown in full, those that need somebody first. Of the others there is a row.
const IN_FULL: usize = 100;

/// Up to how many services all are shown opened.
const OPENED: usize = 3;

/// What is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    schema_version: u32,
    /// As of when.
    at: DateTime<Utc>,
    /// Those that need somebody first.
    services: Vec<ServiceOverview>,
}

/// The page as it is sent.
#[derive(Debug)]
pub struct Rendered {
    pub body: String,
    /// The headers that keep a browser from loading, storing or framing anything.
    pub headers: [(&'static str, String); 5],
}

impl Page {
    /// Of what is known, as of now.
    pub fn new(known: Vec<ServiceOverview>, at: DateTime<Utc>) -> Self {
        let mut services: Vec<ServiceOverview> = known.into_iter().map(|one| one.as_of(at)).collect();
        services.sort_by_key(|one| (one.condition.state, !one.condition.is_cut_off()));
        Self { schema_version: SCHEMA_VERSION, at, services }
    }

    /// As HTML.
    pub fn render(&self) -> Rendered {
        let body = html! {
            a.skip href="#services" { (words::SKIP) }
            (self.header())
            main id="services" { (self.in_whole()) }
        };
        document(&self.title(), STYLE, &html! {}, &body)
    }

    pub(crate) fn title(&self) -> String {
        let needing = self.services.iter().filter(|one| one.condition.state <= State::Unknown).count();
        words::page_title(needing, self.services.len())
    }

    fn header(&self) -> Markup {
        html! {
            header {
                h1 { "Access keys of Azure SignalR Service" }
                p { "As of " (time(self.at)) ". " (self.counts()) }
            }
        }
    }

    /// All of it below its header.
    pub(crate) fn in_whole(&self) -> Markup {
        html! {
            (self.table())
            @for (number, service) in self.services.iter().enumerate().take(IN_FULL) {
                (in_full(number, service, self.services.len() <= OPENED))
            }
            @if self.services.len() > IN_FULL {
                p { (words::in_full(IN_FULL)) }
            }
        }
    }

    fn counts(&self) -> Markup {
        let of = |state: State| self.services.iter().filter(|one| one.condition.state == state).count();
        let states = State::ALL.map(|state| (state, of(state)));
        html! {
            @for (state, count) in states.into_iter().filter(|(_, count)| *count > 0) {
                span class={ "state " (state.name()) } { (count) " " (state.name()) } " "
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            div.wide role="region" aria-label="Services" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Service" }
                        th scope="col" { "Condition" }
                        th scope="col" { "Since" }
                        th scope="col" { "Next rotation due" }
                        th scope="col" { "Consumers" }
                    } }
                    tbody {
                        @for (number, service) in self.services.iter().enumerate() {
                            tr {
                                th scope="row" {
                                    @if number < IN_FULL {
                                        a href={ "#service-" (number) } { (service.name) }
                                    } @else { (service.name) }
                                }
                                td { (badge(service.condition.state)) }
                                td { (or_unknown(service.condition.since)) }
                                td { (or_unknown(service.next_due)) }
                                td { (service.consumers.len() + service.consumers_left_out) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn in_full(number: usize, service: &ServiceOverview, opened: bool) -> Markup {
    let condition = &service.condition;
    let opened = opened || condition.state <= State::Unknown;
    html! {
        details id={ "service-" (number) } open[opened] {
            summary { h2 { (service.name) } " " (badge(condition.state)) }
            p.id { (service.instance.to_string()) }
            p { (condition.message) }
            @if let Some(at) = service.at { p.id { (words::told_at(readable(at))) } }
            @if let Some(what) = &condition.what_to_do { p.do { strong { "What to do: " } (what) } }
            @if let Some(keys) = &service.keys { (of_keys(keys)) }
            @if let Some(pause) = &service.paused {
                p { (words::paused(&pause.by, &pause.why)) (time(pause.since)) ", until " (time(pause.until)) }
            }
            (of_windows(service))
            @if !service.consumers.is_empty() { (of_consumers(&service.consumers)) }
            @if service.consumers_left_out > 0 { p { (words::left_out(service.consumers_left_out)) } }
            @if service.timeline.from.is_some() {
                h3 { "Rotations" }
                (picture::draw(&service.timeline, &service.name))
            }
            @if !service.runs.is_empty() { (of_runs(&service.runs)) }
        }
    }
}

fn of_keys(keys: &PerKey<KeyOverview>) -> Markup {
    html! {
        h3 { "Keys" }
        div.wide role="region" aria-label="Keys" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Key" } th scope="col" { "Fingerprint" } th scope="col" { (words::MADE) }
                th scope="col" { "Origin" } th scope="col" { "Held by consumers" } th scope="col" { "Due" }
            } }
            tbody { @for (key_type, key) in keys.iter() {
                tr {
                    th scope="row" { (key_type.to_string()) }
                    td { code { (key.fingerprint.to_string()) } }
                    td { (time(key.created)) }
                    td { (words::origin(key.origin)) }
                    td { (key.held) @if let Some(since) = key.held_since { " since " (time(since)) } }
                    td { @if let Some(due) = key.due { (time(due)) } }
                }
            } }
        } }
    }
}

fn of_windows(service: &ServiceOverview) -> Markup {
    let windows = &service.windows;
    html! {
        @if !windows.windows.is_empty() || !windows.freezes.is_empty() {
            h3 { "Windows and freezes" }
            ul {
                @for window in &windows.windows { li { "Window: " (window) } }
                @for freeze in &windows.freezes { li { "Freeze: " (freeze) } }
                @if let Some(next) = windows.next { li { (words::NEXT_WINDOW) (time(next)) } }
                @match (service.next_due, service.next_begins) {
                    (Some(due), Some(begins)) if due < begins => { li { (words::NEXT_BEGINS) (time(begins)) } }
                    (Some(_), None) => { li { (words::NEXT_NEVER_BEGINS) } }
                    _ => {}
                }
            }
        }
    }
}

fn of_consumers(consumers: &[ConsumerOverview]) -> Markup {
    html! {
        h3 { "Consumers" }
        div.wide role="region" aria-label="Consumers" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Consumer" } th scope="col" { "Kind" }
                th scope="col" { "Holds" } th scope="col" { "Seen" }
            } }
            tbody { @for consumer in consumers {
                tr {
                    th scope="row" title=(consumer.id) { (consumer.name) }
                    td { (consumer.kind) }
                    td { @for held in &consumer.holds { span class={ "key " (held) } { (held) } " " } }
                    td { (or_unknown(consumer.observed)) }
                }
            } }
        } }
    }
}

fn of_runs(runs: &[RunOverview]) -> Markup {
    html! {
        h3 { "Last runs" }
        ul.runs { @for run in runs {
            li class=[run.failed.then_some("failed")] { (time(run.at)) " " (run.summary) }
        } }
    }
}

fn badge(state: State) -> Markup {
    html! { span class={ "state " (state.name()) } { (state.name()) } }
}

fn time(at: DateTime<Utc>) -> Markup {
    let told = readable(at);
    html! { time datetime=(told) { (told) } }
}

fn or_unknown(at: Option<DateTime<Utc>>) -> Markup {
    html! { @match at { Some(at) => (time(at)), None => span.none { "not known" } } }
}

impl State {
    const ALL: [Self; 6] =
        [Self::Blocked, Self::Repairing, Self::Unknown, Self::Waiting, Self::Rotating, Self::Ready];

    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repairing => "Repairing",
            Self::Blocked => "Blocked",
            Self::Unknown => "Unknown",
            Self::Waiting => "Waiting",
            Self::Rotating => "Rotating",
            Self::Ready => "Ready",
        }
    }
}

/// How all pages look.
pub(crate) const STYLE: &str = include_str!("page/page.css");

/// A whole page, which asks for nothing but what is in it. `head` is what its head has besides.
pub(crate) fn document(title: &str, style: &str, head: &Markup, body: &Markup) -> Rendered {
    let named = format!("sha256-{}", STANDARD.encode(Sha256::digest(style)));
    let policy = format!(
        "default-src 'none'; style-src '{named}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("content-security-policy", policy),
        ("cache-control", "no-store".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                (head)
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    Rendered { body: whole.into_string(), headers }
}
