//! A rotation and a recovery, watched, on an Azure that is built in. Start at `Stage`.
//!
//! ```text
//! embedded Azure, apps under traffic  <--HTTP--  signalr-rekey handler (a process of its own)
//!                                                        ^ envelopes over HTTP
//!                                        stand-in for the Functions host (embedded_azure::functions_host)
//! ```
//!
//! Nothing is staged but Azure and the host: the handler is the real program with its real clients. `story` tells what
//! is played, `cast` who takes part, `timeline` shows it, `live` shows it to a browser, `summary` is what remains; `setup`
//! is what the program needs for it. `storm` is another play altogether: in virtual time, and within this process.
//!
//! Guarantee: the handler is given no credentials and no settings of the operator's, so no real Azure is touched.
//!
//! Caveat: if the demo is killed by a signal that cannot be caught, the handler stays, idle on loopback.

mod cast;
mod handler;
mod live;
pub mod setup;
pub mod storm;
mod story;
mod summary;
mod timeline;

use std::error::Error;
use std::fmt;

use embedded_azure::functions_host::HostError;

pub(crate) use self::live::Live;
pub(crate) use self::story::Stage;
#[cfg(test)]
pub(crate) use self::summary::Recovery;
pub(crate) use self::summary::{Rotation, Summary};
pub(crate) use self::timeline::Timeline;

use crate::report::cause;

/// Why the demo cannot go on: a sentence, its causes, and what the handler said last.
#[derive(Debug)]
pub struct Trouble {
    pub(crate) what: String,
    pub(crate) handler: Vec<String>,
}

impl Trouble {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), handler: Vec::new() }
    }

    /// With the causes of an error.
    pub(crate) fn of(what: &str, error: &(dyn Error + 'static)) -> Self {
        Self::new(cause::because(what, Some(error)))
    }
}

impl From<HostError> for Trouble {
    fn from(error: HostError) -> Self {
        Self::new(cause::told(&error))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.handler.is_empty() {
            f.write_str("\nthe last lines of the handler:")?;
        }
        self.handler.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
