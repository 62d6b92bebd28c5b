//! The timeline as a picture: inline SVG, one row for each key, and one for outages.
//!
//! A rotation takes hours and comes once a month, so time is not drawn to scale: a quiet time is as wide as the logarithm of its
//! length. Each thing has a title for who points at it, and all of it stands in a list beside the picture for who cannot see it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use rekey_core::model::KeyType;

use crate::overview::timeline::{Span, Timeline};
use crate::report::text::{overview as words, readable};

const WIDTH: f64 = 760.0;
/// Where the time begins: what is left of it is for the names of the rows.
const LEFT: f64 = 84.0;
/// How far apart the times below the picture are at least.
const APART: f64 = 104.0;
/// How many times something began or ended in are drawn: the latest.
const TIMES: usize = 60;

/// The times at which something began or ended, each with its place.
struct Scale(Vec<(DateTime<Utc>, f64)>);

impl Scale {
    fn of(timeline: &Timeline) -> Self {
        let lives = timeline.lives.iter().flat_map(|life| [life.from, life.until]).flatten();
        let spans = timeline.held.iter().chain(&timeline.graces).chain(&timeline.outages);
        let spans = spans.flat_map(|span| [Some(span.from), span.until]).flatten();
        let moves = timeline.moves.iter().map(|one| one.at);
        let ends = [timeline.from, timeline.to].into_iter().flatten();
        let times: BTreeSet<DateTime<Utc>> = lives.chain(spans).chain(moves).chain(ends).collect();
        let times: Vec<DateTime<Utc>> = times.into_iter().rev().take(TIMES).rev().collect();
        let mut places = vec![0.0];
        for pair in times.windows(2) {
            #[allow(clippy::cast_precision_loss, reason = "it is a place in a picture")]
            let seconds = (pair[1] - pair[0]).num_seconds() as f64;
            places.push(places[places.len() - 1] + (1.0 + seconds / 10.0).ln() + 0.3);
        }
        let whole = places.last().copied().filter(|whole| *whole > 0.0).unwrap_or(1.0);
        let at = |place: f64| LEFT + place / whole * (WIDTH - LEFT - 8.0);
        Self(times.into_iter().zip(places).map(|(time, place)| (time, at(place))).collect())
    }

    /// Where a time is; what is before the first is at the left edge.
    fn at(&self, time: DateTime<Utc>) -> f64 {
        let before = self.0.iter().rfind(|(known, _)| *known <= time);
        before.map_or(LEFT, |(_, place)| *place)
    }

    fn from(&self, time: Option<DateTime<Utc>>) -> f64 {
        time.map_or(LEFT, |time| self.at(time))
    }

    fn until(&self, time: Option<DateTime<Utc>>) -> f64 {
        time.map_or(WIDTH - 8.0, |time| self.at(time))
    }

    /// Those that are far enough apart to be written.
    fn written(&self) -> Vec<(DateTime<Utc>, f64)> {
        let mut written: Vec<(DateTime<Utc>, f64)> = vec![];
        for (time, place) in &self.0 {
            if written.last().is_none_or(|(_, last)| last + APART <= *place) && place + APART <= WIDTH {
                written.push((*time, *place));
            }
        }
        written
    }
}

const fn row(key_type: KeyType) -> f64 {
    match key_type {
        KeyType::Primary => 20.0,
        KeyType::Secondary => 62.0,
    }
}

const OUTAGES: f64 = 104.0;

pub(super) fn draw(timeline: &Timeline, name: &str) -> Markup {
    let scale = Scale::of(timeline);
    html! {
        div.wide role="region" aria-label="Rotations" tabindex="0" {
            svg viewBox={ "0 0 " (WIDTH) " 140" } role="img" aria-label=(words::picture_of(name)) {
                text x="0" y="34" { "Primary" }
                text x="0" y="76" { "Secondary" }
                text x="0" y="114" { "Outages" }
                @for life in &timeline.lives {
                    (bar("life", &scale, (life.from, life.until), row(life.key_type), 22.0,
                        &words::life(&life.fingerprint, words::origin(life.origin))))
                }
                @for span in &timeline.held { (key_bar("held", &scale, span, 4.0, words::HELD)) }
                @for span in &timeline.graces { (key_bar("grace", &scale, span, 4.0, "grace period")) }
                @for span in &timeline.outages {
                    (bar("outage", &scale, (Some(span.from), span.until), OUTAGES, 12.0, "outage"))
                }
                @for one in &timeline.moves {
                    @let x = shown(scale.at(one.at));
                    @let (from, to) = (row(one.key_type.other()) + 11.0, row(one.key_type) + 11.0);
                    line.move x1=(x) x2=(x) y1=(from) y2=(to) {
                        title { (words::moved(readable(one.at), one.consumers.join(", "), one.key_type)) }
                    }
                }
                line.axis x1=(LEFT) x2=(WIDTH - 8.0) y1="122" y2="122" {}
                @for (time, x) in scale.written() {
                    text x=(shown(x)) y="136" { (time.format("%m-%d %H:%M:%S").to_string()) }
                }
            }
        }
        p.none { (words::NOT_TO_SCALE) }
        @if !timeline.moves.is_empty() || !timeline.outages.is_empty() {
            ul {
                @for span in &timeline.outages {
                    li { (words::outage(span.key_type, readable(span.from), ended(span.until))) }
                }
                @for one in timeline.moves.iter().rev().take(6) {
                    li { (words::moved(readable(one.at), one.consumers.join(", "), one.key_type)) }
                }
            }
        }
    }
}

fn ended(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| words::NOT_OVER.to_owned(), |at| words::over_at(readable(at)))
}

fn key_bar(class: &str, scale: &Scale, span: &Span, height: f64, what: &str) -> Markup {
    bar(class, scale, (Some(span.from), span.until), row(span.key_type) + 9.0, height, what)
}

fn bar(
    class: &str,
    scale: &Scale,
    (from, until): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    y: f64,
    height: f64,
    what: &str,
) -> Markup {
    let (x, end) = (scale.from(from), scale.until(until));
    let edge = |time: Option<DateTime<Utc>>| time.map_or_else(String::new, readable);
    html! {
        rect class=(class) x=(shown(x)) y=(y) width=(shown((end - x - 1.0).max(1.5))) height=(height) {
            title { (what) ": " (edge(from)) " – " (edge(until)) }
        }
    }
}

/// A place as it is written: a tenth of a pixel is fine enough.
fn shown(place: f64) -> String {
    format!("{place:.1}")
}
