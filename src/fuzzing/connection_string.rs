//! Connection strings as apps hold them.

use crate::model::{ConnectionString, Key};

/// As short as no key, so that it is told from what stands around it, and with the signs of base64.
const NEW: &str = "bmV3/w+A==";

/// Below this a "key" may well stand in the host too, or in a fingerprint.
const TELLING: usize = 16;

/// A text is taken as it is, and another key changes the characters of the key alone.
pub fn connection_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
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
