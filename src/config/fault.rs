//! What is wrong with the configuration, and where.

use std::fmt;

/// One fault: its place, and a sentence that says what to write instead.
///
/// Guarantee: it holds no value that was written, nor a name that resembles none of ours: either may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    place: Place,
    sentence: String,
}

/// How many faults are gathered. Nobody repairs more in one go, and a file that is something else altogether has one in
/// every line.
const MOST_FAULTS: usize = 100;

/// Every fault that was found, those of the file first and in its order. It is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl Fault {
    /// The setting that it is a fault of, if it is one.
    pub fn setting(&self) -> Option<&str> {
        match &self.place {
            Place::Setting(name) => Some(name),
            Place::Whole | Place::File { .. } => None,
        }
    }

    /// What is wrong, and what to write instead.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a fault:")?,
            count => write!(f, "the configuration has {count} faults:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))?;
        if self.0.len() < MOST_FAULTS { Ok(()) } else { f.write_str("\n  and perhaps more: fix these first") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { file, line, column, path } => {
                write!(f, "{file}:{line}:{column}: ")?;
                if !path.is_empty() {
                    write!(f, "{path}: ")?;
                }
            }
            Place::Setting(name) => write!(f, "{name}: ")?,
            Place::Whole => {}
        }
        f.write_str(&self.sentence)
    }
}

/// Where a fault is. The order is that of the report: the file from top to bottom, then the settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Whole,
    File { file: String, line: usize, column: usize, path: String },
    Setting(String),
}

/// A place in the file: where it begins, and the way to it (`instance[1].apps[0]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) offset: usize,
    pub(super) path: String,
}

/// Where a value came from, and so whom to blame for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(At),
    Setting(&'static str),
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

/// Gathers the faults of one load.
pub(super) struct Report<'text> {
    file: &'text str,
    text: &'text str,
    faults: Vec<Fault>,
}

impl<'text> Report<'text> {
    pub(super) fn new(file: &'text str, text: &'text str) -> Self {
        Self { file, text, faults: Vec::new() }
    }

    /// A fault of the file.
    pub(super) fn at(&mut self, at: &At, sentence: impl Into<String>) {
        // Finding the line goes through the text: not for what is not gathered.
        if self.faults.len() >= MOST_FAULTS {
            return;
        }
        let (line, column) = self.position(at.offset);
        let place = Place::File { file: self.file.into(), line, column, path: at.path.clone() };
        self.push(Fault { place, sentence: sentence.into() });
    }

    /// That there is no file.
    pub(super) fn whole(&mut self, sentence: impl Into<String>) {
        self.push(Fault { place: Place::Whole, sentence: sentence.into() });
    }

    /// A fault of an app setting.
    pub(super) fn setting(&mut self, name: impl Into<String>, sentence: impl Into<String>) {
        self.push(Fault { place: Place::Setting(name.into()), sentence: sentence.into() });
    }

    /// A fault of wherever a value came from. A default is never at fault by itself: the caller blames what was
    /// written beside it; should nothing be, the head of the file stands for it.
    pub(super) fn origin(&mut self, origin: &Origin, sentence: impl Into<String>) {
        match origin {
            Origin::Default => self.at(&At::default(), sentence),
            Origin::File(at) => self.at(at, sentence),
            Origin::Setting(name) => self.setting(*name, sentence),
        }
    }

    /// The line of a place, for a sentence that points at another one.
    pub(super) fn line(&self, at: &At) -> usize {
        self.position(at.offset).0
    }

    /// The value if nothing was found, else all that was found.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.into_faults()),
        }
    }

    /// All that was found.
    pub(super) fn into_faults(mut self) -> Faults {
        self.faults.sort_by(|left, right| left.place.cmp(&right.place));
        Faults(self.faults)
    }

    /// The same fault of a default that many services share is said once.
    fn push(&mut self, fault: Fault) {
        if self.faults.len() < MOST_FAULTS && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Line and column, both from one, the column in characters as editors count.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
