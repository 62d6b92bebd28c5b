//! Values: the few ways to take one out of the TOML document with its place, and the reading of single ones, alike from the
//! file and from app settings. Each refusal is a sentence that says what to write instead, and repeats nothing of the value:
//! whatever stands in the wrong place may be a secret, a short one too. Each way reports what does not fit and goes on, so
//! that all faults are found in one reading.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::fault::{At, Origin, Report, Sourced};
use crate::azure::http::is_loopback;

/// A value of the document and its place.
pub(super) struct Node<'d> {
    pub(super) at: At,
    value: &'d DeValue<'d>,
}

/// A table of the document and its place.
pub(super) struct Fields<'d> {
    pub(super) at: At,
    table: &'d DeTable<'d>,
}

impl<'d> Node<'d> {
    fn new(path: String, spanned: &'d Spanned<DeValue<'d>>) -> Self {
        Self { at: At { offset: spanned.span().start, path }, value: spanned.get_ref() }
    }

    /// The text; anything else is a fault.
    pub(super) fn text(&self, wanted: &str, report: &mut Report<'_>) -> Option<&'d str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.refuse(wanted, report);
        }
        text
    }

    /// The digits, if it is a number where a text belongs.
    pub(super) fn number(&self) -> Option<&'d str> {
        match self.value {
            DeValue::Integer(integer) => Some(integer.as_str()),
            DeValue::Float(float) => Some(float.as_str()),
            _ => None,
        }
    }

    /// true or false; anything else is a fault.
    pub(super) fn flag(&self, report: &mut Report<'_>) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.refuse("true or false, without quotes", report);
        }
        flag
    }

    /// The elements of a list; anything else is a fault.
    pub(super) fn items(&self, wanted: &str, report: &mut Report<'_>) -> Option<Vec<Node<'d>>> {
        let Some(array) = self.value.as_array() else {
            self.refuse(wanted, report);
            return None;
        };
        let item = |(index, spanned)| Node::new(format!("{}[{index}]", self.at.path), spanned);
        Some(array.iter().enumerate().map(item).collect())
    }

    /// Whether it is a list with something in it.
    pub(super) fn has_items(&self) -> bool {
        self.value.as_array().is_some_and(|array| !array.is_empty())
    }

    /// The table, if it is one.
    pub(super) fn fields(&self) -> Option<Fields<'d>> {
        Some(Fields { at: self.at.clone(), table: self.value.as_table()? })
    }

    /// Says that the kind of value is wrong.
    pub(super) fn refuse(&self, wanted: &str, report: &mut Report<'_>) {
        let found = self.value.type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        report.at(&self.at, format!("this is {article} {found}; write {wanted}"));
    }
}

impl<'d> Fields<'d> {
    /// The document itself.
    pub(super) fn root(document: &'d Spanned<DeTable<'d>>) -> Self {
        Self { at: At::default(), table: document.get_ref() }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<Node<'d>> {
        self.table.get(name).map(|value| Node::new(self.path(name), value))
    }

    /// Reports every key that is not known here; `elsewhere` are the keys of other tables and where they belong.
    pub(super) fn refuse_unknown(
        &self,
        known: &[&str],
        elsewhere: &[(&[&str], &str)],
        report: &mut Report<'_>,
    ) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let home = elsewhere.iter().find(|(names, _)| names.contains(&name));
            let meant = nearest(name, known);
            // A name that resembles none of ours is not repeated: it may be a secret that lost its place.
            let path = if home.is_some() || meant.is_some() { self.path(name) } else { self.at.path.clone() };
            let at = At { offset: key.span().start, path };
            let sentence = match (home, meant) {
                (Some((_, place)), _) => format!("this key belongs {place}"),
                (None, Some(meant)) => format!("this key is not known; did you mean `{meant}`?"),
                (None, None) => format!("this key is not known; known here are {}", known.join(", ")),
            };
            report.at(&at, sentence);
        }
    }

    fn path(&self, name: &str) -> String {
        if self.at.path.is_empty() { name.into() } else { format!("{}.{name}", self.at.path) }
    }
}

/// How a value is written, alike in the file and among the app settings.
pub(super) trait Form {
    /// What is read.
    type Value;

    /// One that is sensible.
    fn example(&self) -> &'static str;

    /// Reads it; what is wrong with it, in a sentence.
    fn parse(&self, text: &str) -> Result<Self::Value, String>;

    /// A value as it is written.
    fn written(&self, value: Self::Value) -> String;

    /// Takes it out of the file.
    fn of_file(
        &self,
        fields: &Fields<'_>,
        name: &str,
        report: &mut Report<'_>,
    ) -> Option<Sourced<Self::Value>>;
}

/// A duration, with an example of a sensible one.
#[derive(Clone, Copy)]
pub(super) struct Lasting(pub(super) &'static str);

/// A duration that may be none: `0s`.
#[derive(Clone, Copy)]
pub(super) struct OrZero(pub(super) Lasting);

/// A list of texts that are read one by one, with an example of one; among the app settings they are joined by `;`.
#[derive(Clone, Copy)]
pub(super) struct Several<T> {
    pub(super) example: &'static str,
    pub(super) read: fn(&str) -> Result<T, String>,
    pub(super) write: fn(&T) -> String,
}

/// One of a few words, the first of which is the usual one.
#[derive(Clone, Copy)]
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl Form for Lasting {
    type Value = Duration;

    fn example(&self) -> &'static str {
        self.0
    }

    fn parse(&self, text: &str) -> Result<Duration, String> {
        duration(text, self.0)
    }

    fn written(&self, value: Duration) -> String {
        humantime::format_duration(value).to_string()
    }

    fn of_file(&self, fields: &Fields<'_>, name: &str, report: &mut Report<'_>) -> Option<Sourced<Duration>> {
        lasting(self, self.0, fields, name, report)
    }
}

impl Form for OrZero {
    type Value = Duration;

    fn example(&self) -> &'static str {
        self.0.example()
    }

    fn parse(&self, text: &str) -> Result<Duration, String> {
        let text = text.trim();
        if is_number(text) {
            return Err(no_unit(text, NONE, self.example()));
        }
        let is_zero = humantime::parse_duration(text).is_ok_and(|duration| duration.is_zero());
        if is_zero { Ok(Duration::ZERO) } else { self.0.parse(text) }
    }

    fn written(&self, value: Duration) -> String {
        self.0.written(value)
    }

    fn of_file(&self, fields: &Fields<'_>, name: &str, report: &mut Report<'_>) -> Option<Sourced<Duration>> {
        lasting(self, NONE, fields, name, report)
    }
}

/// How many, or all.
#[derive(Clone, Copy)]
pub(super) struct OrAll;

const ALL: &str = "all";

impl Form for OrAll {
    type Value = u32;

    fn example(&self) -> &'static str {
        "5"
    }

    fn parse(&self, text: &str) -> Result<u32, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case(ALL) {
            return Ok(0);
        }
        let number = text.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| format!("this is not a number of apps; write {}, or {ALL}", self.example()))
    }

    fn written(&self, value: u32) -> String {
        if value == 0 { ALL.to_owned() } else { value.to_string() }
    }

    fn of_file(&self, fields: &Fields<'_>, name: &str, report: &mut Report<'_>) -> Option<Sourced<u32>> {
        let node = fields.get(name)?;
        let text = match node.number() {
            Some(number) => number,
            None => node.text("a number without quotes, such as 5, or \"all\"", report)?,
        };
        sourced(node, self.parse(text), report)
    }
}

/// Whether or not: `true` or `false`.
pub(super) struct YesNo;

impl Form for YesNo {
    type Value = bool;

    fn example(&self) -> &'static str {
        "true"
    }

    fn parse(&self, text: &str) -> Result<bool, String> {
        choice(text, &[("true", true), ("false", false)])
    }

    fn written(&self, value: bool) -> String {
        value.to_string()
    }

    fn of_file(&self, fields: &Fields<'_>, name: &str, report: &mut Report<'_>) -> Option<Sourced<bool>> {
        let node = fields.get(name)?;
        let flag = node.flag(report)?;
        sourced(node, Ok(flag), report)
    }
}

impl<T> Form for Several<T> {
    type Value = Vec<T>;

    fn example(&self) -> &'static str {
        self.example
    }

    /// That there is none of them is said by a word: punctuation alone is a list that lost what stood in it.
    fn parse(&self, text: &str) -> Result<Vec<T>, String> {
        if text.trim().eq_ignore_ascii_case(NO_ONE) {
            return Ok(Vec::new());
        }
        let parts: Vec<&str> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(format!("nothing stands in this list; write {}, or {NO_ONE}", self.example));
        }
        parts.into_iter().map(self.read).collect()
    }

    fn written(&self, value: Vec<T>) -> String {
        if value.is_empty() {
            return NO_ONE.to_owned();
        }
        value.iter().map(self.write).collect::<Vec<_>>().join("; ")
    }

    /// An empty list says that there is none of them, over what another place says; and so does the word for it.
    fn of_file(&self, fields: &Fields<'_>, name: &str, report: &mut Report<'_>) -> Option<Sourced<Vec<T>>> {
        let node = fields.get(name)?;
        let wanted = quoted(self.example);
        if node.value.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case(NO_ONE)) {
            return Some(Sourced { value: Vec::new(), origin: Origin::File(node.at) });
        }
        let items = node.items(&format!("a list: {name} = [ {wanted} ]"), report)?;
        let mut value = Vec::new();
        for item in items {
            let Some(text) = item.text(&wanted, report) else { continue };
            match (self.read)(text) {
                Ok(one) => value.push(one),
                Err(sentence) => report.at(&item.at, sentence),
            }
        }
        Some(Sourced { value, origin: Origin::File(node.at) })
    }
}

/// How it is written that there is none of a list.
const NO_ONE: &str = "none";

/// How it is written that there is no such time.
const NONE: &str = "0s";

/// Takes a duration out of the file; `zero` is what is meant by a zero.
fn lasting(
    form: &impl Form<Value = Duration>,
    zero: &str,
    fields: &Fields<'_>,
    name: &str,
    report: &mut Report<'_>,
) -> Option<Sourced<Duration>> {
    let node = fields.get(name)?;
    if let Some(number) = node.number() {
        report.at(&node.at, no_unit(number, &quoted(zero), &quoted(form.example())));
        return None;
    }
    let text = node.text(&quoted(form.example()), report)?;
    sourced(node, form.parse(text), report)
}

impl<T: Copy + PartialEq> Form for OneOf<T> {
    type Value = T;

    fn example(&self) -> &'static str {
        self.0.first().map_or("", |(word, _)| word)
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        choice(text, self.0)
    }

    fn written(&self, value: T) -> String {
        self.0.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word).to_owned()
    }

    fn of_file(&self, fields: &Fields<'_>, name: &str, report: &mut Report<'_>) -> Option<Sourced<T>> {
        let node = fields.get(name)?;
        let words: Vec<String> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let text = node.text(&words.join(" or "), report)?;
        sourced(node, self.parse(text), report)
    }
}

/// A value of the file; what is wrong with it is reported there.
pub(super) fn sourced<T>(
    node: Node<'_>,
    value: Result<T, String>,
    report: &mut Report<'_>,
) -> Option<Sourced<T>> {
    match value {
        Ok(value) => Some(Sourced { value, origin: Origin::File(node.at) }),
        Err(sentence) => {
            report.at(&node.at, sentence);
            None
        }
    }
}

/// Ten years. Times that far away no longer fit a date.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A sensible age of keys. An age of many years is one too: it is how rotations by age are paused.
pub(super) const AGE: &str = "30d";

/// What may be said of a URL that may be a secret. None is kept that has no host.
pub(super) fn host_of(url: &str) -> String {
    let url = Url::parse(url).ok();
    url.and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// A duration such as `30d`; `example` is what a sensible one looks like.
pub(crate) fn duration(text: &str, example: &str) -> Result<Duration, String> {
    let text = text.trim();
    if is_number(text) {
        return Err(no_unit(text, example, example));
    }
    let parsed = humantime::parse_duration(text);
    let parsed = parsed.map_err(|_| format!("this is not a duration; write {example}"))?;
    if parsed.is_zero() {
        return Err(format!("zero is too short; write {example}"));
    }
    if parsed > LONGEST {
        let pause = if example == AGE { ", or 3650d to pause rotations by age" } else { "" };
        return Err(format!("more than ten years is too long; write {example}{pause}"));
    }
    Ok(parsed)
}

/// Which unit was meant nobody knows: 3600 are an hour of seconds, and 30 as likely days as minutes.
fn no_unit(number: &str, zero: &str, example: &str) -> String {
    let good = if number.chars().all(|sign| "0.".contains(sign)) { zero } else { example };
    format!("a number alone has no unit: put s, m, h or d behind it, as in {good}")
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_digit())
}

/// A duration as people write it: in days rather than in months and a rest.
pub(super) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    // Who is told of thousands of minutes counts them first.
    let is_exact = |unit: u64| seconds >= unit && seconds.is_multiple_of(unit) && seconds / unit < 1000;
    let exact = units.iter().find(|(unit, _)| is_exact(*unit));
    match exact {
        Some((unit, name)) if duration.subsec_nanos() == 0 => format!("{}{name}", seconds / unit),
        _ if seconds >= 86_400 => {
            let hours = (seconds + 1800) / 3600;
            let rest = if hours.is_multiple_of(24) { String::new() } else { format!(" {}h", hours % 24) };
            format!("{}d{rest}", hours / 24)
        }
        _ => crate::report::text::rounded(duration),
    }
}

/// One of a few words, in any case.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let text = text.trim();
    let fits = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(text);
    choices.iter().find(fits).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        format!("this is not known here{}; write {}", meant(text, &words), words.join(" or "))
    })
}

/// The base URL of Azure Resource Manager. Tokens are sent to it, so plain http goes to loopback alone.
pub(super) fn resource_manager(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "write a base URL such as https://management.azure.com";
    let url = Url::parse(text.trim()).map_err(|_| format!("this is not a URL; {EXAMPLE}"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err("tokens go over https only; write https:// (http is only for 127.0.0.1)".into());
        }
        _ => return Err(format!("this is not an https URL; {EXAMPLE}")),
    }
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !plain || url.fragment().is_some() || url.path() != "/" {
        return Err(format!("a base URL has no user, path, query or fragment; {EXAMPLE}"));
    }
    Ok(url)
}

/// A URL that is asked how an app is: nothing goes with it, so plain http is for loopback alone only lest its answer be
/// somebody else's.
pub(super) fn health_url(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "write a URL such as https://NAME.azurewebsites.net/health";
    let url = Url::parse(text.trim()).map_err(|_| format!("this is not a URL; {EXAMPLE}"))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(format!("this is not an https URL (http is only for 127.0.0.1); {EXAMPLE}"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("this URL has no user, password or fragment; {EXAMPLE}"));
    }
    Ok(url)
}

/// The known name that was most likely meant.
pub(super) fn nearest<'name>(name: &str, known: &[&'name str]) -> Option<&'name str> {
    // Below this, Jaro-Winkler's suggestions have little in common with what was written.
    const ALIKE: f64 = 0.8;
    let lower = name.to_lowercase();
    let score = |known: &str| strsim::jaro_winkler(&lower, &known.to_lowercase());
    let scored = known.iter().map(|known| (score(known), *known));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}

/// The same for people, in brackets; nothing if none is near.
pub(crate) fn meant(name: &str, known: &[&str]) -> String {
    nearest(name, known).map_or(String::new(), |word| format!(" (did you mean {word}?)"))
}
