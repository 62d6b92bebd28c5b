//! Connection strings as apps hold them.

use chrono::DateTime;

use super::{PLANTED, assert_harmless, plant};
use crate::azure::arm::Settings;
use crate::observe::survey::{Dictionaries, Marks, by_value};
use crate::report::text::snapshot::warnings;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{AppId, ConnectionString, Key, KeyPair, PerKey, Section};
use rekey_core::plan::Snapshot;

/// As short as no key, so that it is told from what stands around it, and with the signs of base64.
const NEW: &str = "bmV3/w+A==";

/// Below this a "key" may well stand in the host too, or in a fingerprint.
const TELLING: usize = 16;

/// A text is taken as it is, and another key changes the characters of the key alone. A planted key that stands in it in
/// the clear is seen, whatever is around it, and nothing that is said of it repeats it.
pub fn connection_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    parse(text);
    let [first, second] = PLANTED.map(|(_, key)| Key::new(key));
    let keys = KeyPair { primary: first, secondary: second };
    let value = plant(text);
    for (name, is_current) in [("X", true), ("AzureSignalRConnectionString", true), ("X", false)] {
        let shown = shown(name, &value, &keys, is_current);
        if keys.iter().any(|(_, key)| stands_alone(&value, key.expose())) {
            assert!(!shown.consumers.is_empty() || !shown.unknown.is_empty(), "a key is not seen");
        }
        assert_harmless(&format!("{shown:?} {:?}", warnings(&shown)));
    }
}

/// What a setting shows of an instance with these keys, or that had them once.
fn shown(name: &str, value: &str, keys: &KeyPair, is_current: bool) -> Snapshot {
    let mut journal = Journal::default();
    let known = PerKey::from_fn(|key_type| keys[key_type].fingerprint());
    // On a journal without events the first is always taken.
    let _ = journal.apply(Event::Adopted { keys: known }, DateTime::UNIX_EPOCH);
    let settings: Settings = [(name, value)].into_iter().collect();
    let read: Dictionaries = [(Section::AppSettings, settings)].into_iter().collect();
    let host = "chat.service.signalr.net";
    let marks = Marks { keys: Some(keys).filter(|_| is_current), host, journal: &journal };
    read.shown(&by_value(&AppId::new("s", "g", "web", None)), marks)
}

/// Whether a key stands in a text with none of the signs around it that keys have.
fn stands_alone(text: &str, key: &str) -> bool {
    let is_of_keys = |sign: char| sign.is_alphanumeric() || "+/=-_".contains(sign);
    text.match_indices(key).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + key.len()..].chars().next();
        !before.is_some_and(|sign| is_of_keys(sign) && sign != '=') && !after.is_some_and(is_of_keys)
    })
}

fn parse(text: &str) {
    let Ok(parsed) = ConnectionString::parse(text) else { return };
    assert_eq!(parsed.expose(), text, "the text is kept as it is");
    assert_eq!(parsed.host(), parsed.host().to_lowercase());
    let changed = parsed.with_key(&Key::new(NEW));
    assert_eq!(changed.host(), parsed.host());
    let Some(old) = parsed.key() else {
        assert_eq!(changed.expose(), text, "without a key nothing changes");
        return;
    };
    // All places, overlapping ones too: the key may be as odd as `==`.
    let mut places =
        (0..text.len()).filter(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(old.expose())));
    let spliced = |at: usize| [&text[..at], NEW, &text[at + old.expose().len()..]].concat();
    assert!(places.any(|at| spliced(at) == changed.expose()), "more than a key changed");
    assert_eq!(changed.key(), Some(Key::new(NEW)));
    let read = ConnectionString::parse(changed.expose());
    let read = read.map(|read| (read.host().to_owned(), read.key()));
    assert_eq!(read, Ok((parsed.host().to_owned(), Some(Key::new(NEW)))), "it reads back");
    assert_eq!(changed.with_key(&old).expose(), text, "the old key makes the old text");
    let said = format!("{parsed:?}");
    assert!(
        old.expose().len() < TELLING || parsed.host().contains(old.expose()) || !said.contains(old.expose())
    );
}
