//! What one value says about who holds which key, wherever the value is kept, and the same value with another key.
//!
//! Start at [`Marks::values`]. What a value is, is decided by the value alone: a connection string as Microsoft's SDK reads
//! it, or a text in which keys stand, each in a connection string or by itself. Both are found by [`Marks::read`], and
//! [`Marks::with_key`] changes what it found and nothing else.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Marks;
use super::text::{Decoded, Span, Text, is_word, may_be_several};
use crate::azure::services::names_a_service;
use rekey_core::model::{
    ConnectionString, Fingerprint, Key, KeyPair, KeyType, Malformed, Reference, is_placeholder,
};
use rekey_core::plan::{Holding, SettingFault};
use secrecy::zeroize::Zeroizing;

/// What a value turned out to be.
pub(super) enum Value {
    Holds(Holding),
    Reference(Reference),
    /// Where the key belongs in a string of ours; or one that may be ours.
    Placeholder {
        ours: bool,
    },
    Fault(SettingFault),
    Other,
}

/// What was found in a file.
pub(crate) struct InFile {
    /// The keys of ours that can be replaced, each once.
    pub(crate) keys: Vec<Key>,
    /// What may be a key of ours and cannot be replaced.
    pub(crate) faults: Vec<SettingFault>,
}

/// What was found in a value.
#[derive(Default)]
struct Found {
    /// The keys of ours that can be replaced, and what holds each of them.
    keys: Vec<(Span, Holding)>,
    /// What the value is besides.
    others: Vec<Value>,
}

/// A key in a text, or what stands where one was looked for, by its place in the plain text.
type Candidate = (Range<usize>, Result<Holding, SettingFault>);

/// Whose a connection string is.
enum Claim {
    Ours(Holding),
    Placeholder { ours: bool },
    OtherServicesHost,
    None,
}

impl Found {
    fn other(value: Value) -> Self {
        Self { keys: vec![], others: vec![value] }
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.others.is_empty()
    }

    /// Adds a fault; the same is told once.
    fn add(&mut self, fault: SettingFault) {
        let is_same = |other: &Value| matches!(other, Value::Fault(known) if *known == fault);
        if !self.others.iter().any(is_same) {
            self.others.push(Value::Fault(fault));
        }
    }
}

impl Marks<'_> {
    /// What a value is. It may be many things: each key that it holds, and what stands in the way besides.
    pub(super) fn values(&self, value: &str) -> Vec<Value> {
        let Found { keys, others } = self.read(value);
        let mut known = BTreeSet::new();
        let held = keys.into_iter().map(|(_, holds)| holds).filter(|holds| {
            known.insert(match holds {
                Holding::Valid(key_type) => (Some(*key_type), None),
                Holding::Stale(fingerprint) => (None, Some(fingerprint.clone())),
                Holding::Identity => (None, None),
            })
        });
        let all: Vec<Value> = held.map(Value::Holds).chain(others).collect();
        if all.is_empty() { vec![Value::Other] } else { all }
    }

    /// The value with another key in the place of those of ours that can be replaced, or of the invalid ones `only`; none
    /// where there are none.
    pub fn with_key(&self, value: &str, key: &Key, only_stale: bool) -> Option<Zeroizing<String>> {
        let is_meant = |holds: &Holding| !only_stale || matches!(holds, Holding::Stale(_));
        let keys = self.read(value).keys.into_iter();
        replaced(value, keys.filter(|(_, holds)| is_meant(holds)).map(|(span, _)| span).collect(), key)
    }

    /// What stands in a file: it has many lines, and is never one connection string.
    pub(crate) fn in_file(&self, text: &str) -> InFile {
        let Found { keys, others } = self.read_file(text);
        let plain = Decoded::read(text);
        let mut held: Vec<Key> = Vec::new();
        for (_, holds) in keys {
            let is_it = |word: &str| match &holds {
                Holding::Valid(key_type) => self.key_type(&Key::new(word)) == Some(*key_type),
                Holding::Stale(fingerprint) => Key::new(word).fingerprint() == *fingerprint,
                Holding::Identity => false,
            };
            let key = plain.keys(is_it).first().map(|at| Key::new(plain.part(at)));
            held.extend(key.filter(|key| !held.contains(key)));
        }
        let fault = |value| match value {
            Value::Fault(fault) => Some(fault),
            _ => None,
        };
        InFile { keys: held, faults: others.into_iter().filter_map(fault).collect() }
    }

    /// A file's text with another key in the place of those of ours that can be replaced.
    pub(crate) fn file_with_key(&self, text: &str, key: &Key) -> Option<Zeroizing<String>> {
        let spans = self.read_file(text).keys.into_iter().map(|(span, _)| span);
        replaced(text, spans.collect(), key)
    }

    /// Whether a key of ours, current or former, stands in a text, in whatever form.
    pub(crate) fn is_told_in(&self, text: &str) -> bool {
        self.hidden_in(&Text::read(text)).is_some()
    }

    fn read_file(&self, text: &str) -> Found {
        let text = Decoded::read(text);
        let strings = self.strings_in(&text).collect();
        self.of_text(&text, strings, None)
    }

    /// Whether another service's key is in a value, or is told of: it names another service, and is no string of ours.
    pub(super) fn is_anothers(&self, value: &str) -> bool {
        let anothers = |string: &ConnectionString| string.key().is_some() && !self.is_ours(string);
        match ConnectionString::parse(value) {
            Ok(string) => anothers(&string),
            Err(_) => {
                let text = Decoded::read(value);
                text.strings().any(|(string, _)| anothers(&string)) || self.names_another(&text)
            }
        }
    }

    fn read(&self, value: &str) -> Found {
        if value.trim_start().starts_with('@')
            && let Some(reference) = Reference::read(value)
        {
            // Nobody writes a key into one; where it is seen all the same, it counts, and is left alone.
            let hidden = self.hidden_in(&Text::read(value)).map(Value::Fault);
            return Found::other(hidden.unwrap_or(Value::Reference(reference)));
        }
        let text = Decoded::read(value);
        let strings = || -> Vec<Candidate> { self.strings_in(&text).collect() };
        match ConnectionString::parse(value) {
            Ok(string) => {
                // One string with a sign in its key that divides others is one all the same: so the SDK reads it.
                let is_several = string.key().is_some_and(|key| may_be_several(key.expose()))
                    && text.strings().count() > 1;
                let inner = if is_several { strings() } else { vec![] };
                if inner.is_empty() {
                    self.of_string(&text, &string)
                } else {
                    self.of_text(&text, inner, None)
                }
            }
            Err(why) => self.of_text(&text, strings(), Some(why)),
        }
    }

    /// A connection string, in other parts of which may be keys as well.
    fn of_string(&self, text: &Decoded<'_>, string: &ConnectionString) -> Found {
        let claim = self.claim(string);
        if matches!(claim, Claim::OtherServicesHost) {
            return Found::other(Value::Fault(SettingFault::OtherServicesHost));
        }
        let ours = matches!(claim, Claim::Ours(_));
        let key = string.key_range().filter(|_| ours);
        let (mut found, _) = self.collect(text, key.as_slice(), vec![]);
        match (claim, key) {
            (Claim::Ours(holding), Some(at)) => found.keys.insert(0, (Span::as_it_is(at), holding)),
            // It holds no key only if it holds none anywhere.
            (Claim::Ours(holding), None) if found.is_empty() => found.others.push(Value::Holds(holding)),
            (Claim::Placeholder { ours }, _) => found.others.push(Value::Placeholder { ours }),
            _ => {}
        }
        found
    }

    /// A text that is no connection string, and the strings in it.
    fn of_text(&self, text: &Decoded<'_>, strings: Vec<Candidate>, why: Option<Malformed>) -> Found {
        let value = text.written;
        let is_one = begins_as_a_string(value) && text.strings().count() <= 1;
        let has_strings = !is_one && strings.iter().any(|(_, holds)| holds.is_ok());
        let (mut found, rest) = self.collect(text, &[], strings);
        // Of a key that nobody remembers it is only known that it is ours where no other service is told of.
        if rest.names_a_key_of(&self.host.to_lowercase()) && (found.is_empty() || !self.names_another(text)) {
            found.add(SettingFault::StaleKeyInOtherText);
        }
        let attempted = why.filter(|_| !has_strings && ConnectionString::attempted_key(value).is_some());
        if let Some(why) = attempted.filter(|_| !found.is_empty()) {
            return Found::other(Value::Fault(SettingFault::InvalidString(why)));
        }
        match Reference::read(value) {
            Some(reference) if found.is_empty() || reference.names_signalr() => {
                found.others.push(Value::Reference(reference));
            }
            None if found.is_empty() => found.others.push(of_name(value)),
            _ => {}
        }
        found
    }

    /// All keys of ours in a text, those of its strings too, which stand in order, but for where a key is `taken`, in the text
    /// as it is written. Besides, what is left of the text without them: what is found in that cannot be replaced.
    fn collect(&self, text: &Decoded<'_>, taken: &[Range<usize>], strings: Vec<Candidate>) -> (Found, Text) {
        if taken.is_empty() && strings.is_empty() {
            // Nearly all values hold no key.
            let whole = Text::read(text.written);
            if self.hidden_in(&whole).is_none() {
                return (Found::default(), whole);
            }
        }
        let mut taken = taken.to_vec();
        taken.extend(strings.iter().map(|(at, _)| text.written_at(at)));
        let is_free = |at: &Range<usize>| {
            let at = text.written_at(at);
            let next = taken.partition_point(|other| other.end <= at.start);
            taken.get(next).is_none_or(|other| at.end <= other.start)
        };
        let bare = text.keys(|word| self.is_known(word)).into_iter().filter(is_free);
        let bare: Vec<Candidate> = self.bare(text, bare.collect());
        taken.extend(bare.iter().map(|(at, _)| text.written_at(at)));
        let mut found = Found::default();
        for (at, holds) in strings.into_iter().chain(bare) {
            match holds {
                Err(fault) => found.add(fault),
                Ok(holds) => match text.span(&at).filter(|span| self.can_be_written(text, &at, span)) {
                    Some(span) => found.keys.push((span, holds)),
                    None => found.add(irreplaceable(&holds)),
                },
            }
        }
        let rest = Text::read(&text.without(&taken));
        self.hidden_in(&rest).into_iter().for_each(|fault| found.add(fault));
        (found, rest)
    }

    /// The keys of the connection strings of ours in a text, and what stands in the place of one, or in another's string.
    fn strings_in<'t>(&'t self, text: &'t Decoded<'_>) -> impl Iterator<Item = Candidate> + 't {
        text.strings().filter_map(|(string, at)| match self.claim(&string) {
            // Where the key is more than a word, it is not sure where the string ends.
            Claim::Ours(holding) => is_word(text.part(&at)).then_some((at, Ok(holding))),
            Claim::OtherServicesHost => Some((at, Err(SettingFault::OtherServicesHost))),
            Claim::Placeholder { ours: true } => Some((at, Err(SettingFault::Placeholder))),
            Claim::Placeholder { ours: false } | Claim::None => None,
        })
    }

    /// What the keys of ours are that stand in a text by themselves, in order.
    ///
    /// A current key is ours wherever it stands. A former one that stands next to the host of another service was put there
    /// wrongly, or the journal is not ours, as in a connection string.
    fn bare(&self, text: &Decoded<'_>, keys: Vec<Range<usize>>) -> Vec<Candidate> {
        let hosts: Vec<(Range<usize>, bool)> =
            text.hosts().filter_map(|(at, host)| Some((at, self.whose(host)?))).collect();
        let is_next_to_anothers = |key: &Range<usize>| {
            let next = hosts.partition_point(|(at, _)| at.start < key.start);
            let before = next.checked_sub(1).and_then(|before| hosts.get(before));
            let before = before.map(|(at, ours)| (key.start.saturating_sub(at.end), *ours));
            let behind = hosts.get(next).map(|(at, ours)| (at.start.saturating_sub(key.end), *ours));
            before.into_iter().chain(behind).min().is_some_and(|(_, ours)| !ours)
        };
        let holds = |at: Range<usize>| {
            let key = Key::new(text.part(&at));
            let holds = match self.key_type(&key) {
                Some(key_type) => Ok(Holding::Valid(key_type)),
                None if is_next_to_anothers(&at) => Err(SettingFault::OtherServicesHost),
                None => Ok(Holding::Stale(key.fingerprint())),
            };
            (at, holds)
        };
        keys.into_iter().map(holds).collect()
    }

    /// A key of ours, current or former, in what is left of a text.
    fn hidden_in(&self, text: &Text) -> Option<SettingFault> {
        let holds = |keys: &KeyPair| keys.iter().any(|(_, key)| text.contains(key.expose()));
        if self.keys.is_some_and(holds) {
            return Some(SettingFault::KeyInOtherText);
        }
        let is_former = |word: &str| self.remembers(&Key::new(word).fingerprint());
        text.has_word(is_former).then_some(SettingFault::StaleKeyInOtherText)
    }

    fn is_known(&self, word: &str) -> bool {
        let key = Key::new(word);
        self.key_type(&key).is_some() || self.remembers(&key.fingerprint())
    }

    fn key_type(&self, key: &Key) -> Option<KeyType> {
        let of_key = |keys: &KeyPair| KeyType::ALL.into_iter().find(|key_type| keys[*key_type] == *key);
        self.keys.and_then(of_key)
    }

    fn remembers(&self, fingerprint: &Fingerprint) -> bool {
        self.journal.remembers(fingerprint)
    }

    /// Whether each of the keys can be written in the place of one.
    fn can_be_written(&self, text: &Decoded<'_>, at: &Range<usize>, span: &Span) -> bool {
        let takes = |keys: &KeyPair| text.takes(at, span, &[keys.primary.expose(), keys.secondary.expose()]);
        self.keys.map_or_else(|| span.takes_any(), takes)
    }

    /// Whether a host of some service is that of ours.
    fn whose(&self, host: &str) -> Option<bool> {
        let ours = self.is_our_host(host);
        (ours || names_a_service(&host.to_lowercase())).then_some(ours)
    }

    fn names_another(&self, text: &Decoded<'_>) -> bool {
        text.hosts().any(|(_, host)| self.whose(host) == Some(false))
    }

    /// Whether a connection string is the service's.
    fn is_ours(&self, string: &ConnectionString) -> bool {
        matches!(self.claim(string), Claim::Ours(_))
    }

    /// Whose a connection string is: ours by a host of it, or, behind a custom domain or a gateway, by its key.
    ///
    /// A current key makes any string ours, for both keys are nobody else's; so are those of a replica, whose host we
    /// cannot tell from another service's. A former key does not where `Endpoint` names another service: keys are
    /// never moved between services, so that either the string was put together wrongly, or the journal is not ours
    /// (a restore under the wrong name), and with it we would write our key over the valid one of that service, which would
    /// write its own over ours, without end. It is told, not claimed. A host that is no service's may be anything that
    /// leads to ours, and with a former key of ours it is.
    fn claim(&self, string: &ConnectionString) -> Claim {
        let of_another = names_a_service(string.host()) && !self.is_our_host(string.host());
        let ours = string.hosts().any(|host| self.is_our_host(host));
        let Some(key) = string.key() else {
            return if ours { Claim::Ours(Holding::Identity) } else { Claim::None };
        };
        if let Some(key_type) = self.key_type(&key) {
            return Claim::Ours(Holding::Valid(key_type));
        }
        if string.has_placeholder() {
            return Claim::Placeholder { ours };
        }
        let fingerprint = key.fingerprint();
        let remembered = self.remembers(&fingerprint);
        match (ours || remembered, of_another) {
            (true, false) => Claim::Ours(Holding::Stale(fingerprint)),
            (true, true) => Claim::OtherServicesHost,
            (false, _) => Claim::None,
        }
    }

    pub(super) fn is_our_host(&self, host: &str) -> bool {
        !self.host.is_empty() && host.eq_ignore_ascii_case(self.host)
    }
}

/// A text with another key in some places; none where there are none.
fn replaced(value: &str, mut spans: Vec<Span>, key: &Key) -> Option<Zeroizing<String>> {
    spans.sort_by_key(|span| span.at.start);
    let mut text = Zeroizing::new(String::with_capacity(value.len() + spans.len() * key.expose().len()));
    let mut at = 0;
    for span in &spans {
        text.push_str(&value[at..span.at.start]);
        text.push_str(&span.written(key.expose())?);
        at = span.at.end;
    }
    text.push_str(&value[at..]);
    (!spans.is_empty()).then_some(text)
}

/// A key of ours where no other can be written for sure.
const fn irreplaceable(holds: &Holding) -> SettingFault {
    match holds {
        Holding::Stale(_) => SettingFault::StaleKeyInOtherText,
        Holding::Valid(_) | Holding::Identity => SettingFault::KeyInOtherText,
    }
}

/// Whether a text begins as a connection string does: it is meant as one then, and not as a text around one.
fn begins_as_a_string(value: &str) -> bool {
    const PARTS: [&str; 4] = ["endpoint", "accesskey", "version", "authtype"];
    let first = value.split('=').next().unwrap_or_default().trim();
    PARTS.iter().any(|part| first.eq_ignore_ascii_case(part))
}

/// A text that holds no key: one that something else fills in, or anything.
fn of_name(value: &str) -> Value {
    let whole = is_placeholder(value);
    let is_filled_in = whole || ConnectionString::attempted_key(value).is_some_and(is_placeholder);
    if is_filled_in { Value::Placeholder { ours: false } } else { Value::Other }
}

#[cfg(test)]
mod tests;
