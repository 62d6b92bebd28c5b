//! Files: read whole, and replaced whole.
//!
//! Start at [`replace`]. A new text is written to a file beside the old one, with its mode and owner, brought to the disk,
//! and renamed over it, so that whoever reads it meanwhile, or after a crash, has the one or the other. A copy of the old text
//! is made in the same way before, and stays until the exchange is over.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use crate::report::text::agent as words;

/// What the copy of the old text is called, behind the name of its file.
pub(super) const COPY: &str = ".rekey-old";

/// What a text is called that is being written.
const UNFINISHED: &str = ".rekey-new";

/// The largest file that is read: configuration is far smaller.
pub(super) const LARGEST: u64 = 4 << 20;

/// Why a file was not replaced.
#[derive(Debug)]
pub(super) enum Unplaced {
    /// It was changed since it was read.
    Changed,
    /// It cannot be written, or what is beside it.
    Failed(io::Error),
}

impl From<io::Error> for Unplaced {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A path beside another.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(suffix);
    path.with_file_name(name)
}

/// Reads a text, in memory that is wiped. What is no regular file is not opened: a pipe would be waited for without an end.
pub(super) fn read(path: &Path, largest: u64) -> io::Result<Zeroizing<String>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other(words::NO_REGULAR_FILE));
    }
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path)?.take(largest + 1).read_to_string(&mut text)?;
    if read as u64 > largest {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// What lies beside a file from an exchange that was begun: a text that was never finished, and a copy of the old one.
pub(super) fn left_beside(path: &Path) -> [(PathBuf, bool); 2] {
    [UNFINISHED, COPY].map(|suffix| {
        let path = beside(path, suffix);
        let is_there = fs::symlink_metadata(&path).is_ok();
        (path, is_there)
    })
}

/// Takes away what lies beside a file.
pub(super) fn tidy(path: &Path) -> io::Result<()> {
    for (left, is_there) in left_beside(path) {
        if is_there {
            fs::remove_file(left)?;
        }
    }
    sync_folder(path)
}

/// Replaces a file whose text was just read. The copy of an exchange that was begun before stays: it is what the app still
/// works with.
pub(super) fn replace(path: &Path, seen: &str, text: &str) -> Result<(), Unplaced> {
    let like = fs::metadata(path)?;
    let [(unfinished, is_left), (copy, is_copied)] = left_beside(path);
    if is_left {
        fs::remove_file(&unfinished)?;
    }
    if !is_copied {
        write(&unfinished, seen, Some(&like))?;
        fs::rename(&unfinished, &copy)?;
        sync_folder(path)?;
    }
    write(&unfinished, text, Some(&like))?;
    if *read(path, LARGEST)? != *seen {
        fs::remove_file(&unfinished)?;
        return Err(Unplaced::Changed);
    }
    fs::rename(&unfinished, path)?;
    Ok(sync_folder(path)?)
}

/// Puts the copy of the old text back in its place.
pub(super) fn put_back(path: &Path) -> io::Result<()> {
    fs::rename(beside(path, COPY), path)?;
    sync_folder(path)
}

/// Writes a file of our own, whole or not at all.
pub(super) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = beside(path, UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write(&unfinished, text, None)?;
    fs::rename(&unfinished, path)?;
    sync_folder(path)
}

/// Writes a new file and brings it to the disk. Until it has the owner and the mode of another, only we can read it.
fn write(path: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    for_owner_alone(&mut options);
    let mut file = options.open(path)?;
    if let Some(like) = like {
        same_owner(&file, like)?;
    }
    file.write_all(text.as_bytes())?;
    if let Some(like) = like {
        file.set_permissions(like.permissions())?;
    }
    file.sync_all()
}

#[cfg(unix)]
fn same_owner(file: &File, like: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    fchown(file, Some(like.uid()), Some(like.gid()))
}

/// A new file has the rights of its folder there.
#[cfg(not(unix))]
fn same_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Makes a new file one that its owner alone can read.
#[cfg(unix)]
pub(super) fn for_owner_alone(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

/// The rights of its folder are those of a new file there.
#[cfg(not(unix))]
pub(super) fn for_owner_alone(_: &mut OpenOptions) {}

/// Makes a folder that its owner alone can enter, if there is none.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Brings to the disk what was renamed or removed in the folder of a file.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A folder cannot be opened like a file there, and a rename is brought to the disk by the file system.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, "old", "new").unwrap();
        assert_eq!(*read(&path, LARGEST).unwrap(), "new");
        assert_eq!(names(folder.path()), [".env", ".env.rekey-old"]);
        for name in names(folder.path()) {
            let mode = fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640, "{name}");
        }
        // Of a second exchange on top, the copy is still the first text.
        replace(&path, "new", "newer").unwrap();
        put_back(&path).unwrap();
        assert_eq!(*read(&path, LARGEST).unwrap(), "old");
        assert_eq!(names(folder.path()), [".env"]);
    }

    /// All of it, the bits that make a program run as another among them; the copy of the old text has it too.
    #[cfg(unix)]
    #[test]
    fn a_file_keeps_every_bit_of_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run-with-key");
        fs::write(&path, "old").unwrap();
        let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for mode in [0o4750, 0o2750, 0o6755, 0o1640] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            replace(&path, "old", "new").unwrap();
            assert_eq!((mode_of(&path), mode_of(&beside(&path, COPY))), (mode, mode));
            put_back(&path).unwrap();
            assert_eq!(mode_of(&path), mode);
        }
    }

    #[test]
    fn what_others_write_meanwhile_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.config");
        fs::write(&path, "edited").unwrap();
        assert!(matches!(replace(&path, "old", "new"), Err(Unplaced::Changed)));
        assert_eq!(*read(&path, LARGEST).unwrap(), "edited");
        tidy(&path).unwrap();
        assert_eq!(names(folder.path()), ["web.config"]);
    }

    #[test]
    fn what_a_crash_left_unfinished_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::write(folder.path().join("a.rekey-new"), "half a te").unwrap();
        replace(&path, "old", "new").unwrap();
        assert_eq!(*read(&path, LARGEST).unwrap(), "new");
        assert_eq!(*read(&folder.path().join("a.rekey-old"), LARGEST).unwrap(), "old");
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::write(&path, [0xff, 0xfe, 0x41, 0]).unwrap();
        assert_eq!(read(&path, LARGEST).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
