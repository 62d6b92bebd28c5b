//! The TOML document with the place of each value, and the few ways to take a value out of it. Each way reports what
//! does not fit and goes on, so that all faults are found in one reading.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{At, Report};
use super::values::nearest;

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
