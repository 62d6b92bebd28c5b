//! The configuration: a file that is not there.

use std::io;

use crate::report::cause;

/// No file anywhere.
pub(crate) fn no_file(name: &str, folder: &str) -> String {
    format!("cannot find {name} in {folder}; put it next to host.json or set REKEY_CONFIG")
}

/// A file that was named and is not there.
pub(crate) fn not_found(name: &str) -> String {
    format!("cannot find {name}; give the path of a TOML file")
}

/// A file that is there; without an error it is no text.
pub(crate) fn not_read(name: &str, error: Option<&io::Error>) -> String {
    match error {
        Some(error) => {
            cause::because(&format!("cannot read {name}; give the path of a TOML file"), Some(error))
        }
        None => format!("cannot read {name}: it is not UTF-8; give the path of a TOML file"),
    }
}
