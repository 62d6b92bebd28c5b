//! The texts from before an exchange that is under way, and the way back to them.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use super::files::{self, LARGEST, Unplaced};
use crate::azure::consumers::Marks;
use crate::report::cause;
use crate::report::text::agent as words;
use rekey_core::model::Key;

/// The text of a file from before an exchange.
pub(super) struct OldText {
    pub(super) path: PathBuf,
    text: Zeroizing<String>,
    /// The key in it.
    pub(super) old: Key,
}

impl OldText {
    /// That of a file; none if there is no copy, or no other key than the wanted one in it.
    pub(super) fn of(path: &Path, marks: Marks<'_>, wanted: &Key) -> Result<Option<Self>, String> {
        let [_, (copy, true)] = files::left_beside(path) else { return Ok(None) };
        let unread = |error| cause::because(&words::copy_unreadable(copy.display()), Some(&error));
        let text = files::read(&copy, LARGEST).map_err(unread)?;
        let old = marks.in_file(&text).keys.into_iter().find(|key| key != wanted);
        Ok(old.map(|old| Self { path: path.to_owned(), text, old }))
    }

    /// Puts it back; or, where somebody has changed the file since, the old key alone.
    pub(super) fn put_back(&self, marks: Marks<'_>, wanted: &Key) -> io::Result<()> {
        let now = files::read(&self.path, LARGEST)?;
        let placed = marks.file_with_key(&self.text, wanted);
        if placed.is_some_and(|placed| *placed == *now) || *now == *self.text {
            return files::put_back(&self.path);
        }
        let text = marks.file_with_key(&now, &self.old).ok_or(io::ErrorKind::InvalidData)?;
        match files::replace(&self.path, &now, &text) {
            Ok(()) => files::tidy(&self.path),
            Err(Unplaced::Changed) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(Unplaced::Failed(error)) => Err(error),
        }
    }
}
