//! What the fuzz targets call, one function for each, and what `tests/corpora.rs` replays. Each takes any bytes, and panics
//! where something does not hold that is promised of such input.
//!
//! Only with the feature `fuzzing`, which what is deployed is built without. How to run them stands in `fuzz/README.md`.

mod answer;
mod connection_string;
mod document;
mod envelope;
mod journal;
mod notice;
mod still;

pub use answer::answer;
pub use connection_string::connection_string;
pub use document::document;
pub use envelope::envelope;
pub use journal::journal;
pub use notice::notice;

pub(crate) use answer::next_answer;

/// A target: its name, which is that of its folder of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("answer", answer),
    ("connection_string", connection_string),
    ("document", document),
    ("envelope", envelope),
    ("journal", journal),
    ("notice", notice),
];

/// Made-up keys as Azure made them until 2024 and since, which seeds plant by these names. Nothing that is said to anybody
/// may hold one.
const PLANTED: [(&str, &str); 2] = [
    ("@KEY@", "cGxhbnRlZC1rZXktb2YtNDQtY2hhcmFjdGVycy0yMDIxAA=="),
    ("@KEY84@", "PlantedKeyOf84Characters0123456789abcdefghijklmnopqrstuvwxyzJQQJ99BCACYeBjFXJ3w3AAAA"),
];

/// The input with the keys planted.
fn plant(text: &str) -> String {
    PLANTED.iter().fold(text.to_owned(), |text, (name, key)| text.replace(name, key))
}

/// That a text which people read holds no planted key.
fn assert_harmless(said: &str) {
    for (name, key) in PLANTED {
        assert!(!said.contains(key), "{name} is repeated: {said}");
    }
}
