//! `demo`: a rotation and a recovery, watched, on an Azure that is built in. Start at [`DemoArgs`].
//!
//! ```text
//! embedded Azure (sim), apps under traffic  <--HTTP--  signalr-rekey handler (a process of its own)
//!                                                        ^ envelopes over HTTP
//!                                        stand-in for the Functions host (sim::functions_host)
//! ```
//!
//! Nothing is staged but Azure and the host: the handler is the real program with its real clients. `story` tells what
//! is played, `timeline` shows it, `summary` is what remains. `storm` is another play altogether: in virtual time, and
//! within this process.
//!
//! Guarantee: the handler is given no credentials and no settings of the operator's, so no real Azure is touched.
//!
//! Caveat: if the demo is killed by a signal that cannot be caught, the handler stays, idle on loopback.

mod handler;
/// The storm.
pub mod storm;
mod story;
mod summary;
mod timeline;

use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::summary::Summary;
use self::timeline::Timeline;
use crate::report::cause;
use crate::sim::functions_host::HostError;
use crate::terminal::{self, Exit, complain, stopped};

/// The arguments of `demo`.
#[derive(Args, Clone, Copy, Debug)]
pub struct DemoArgs {
    /// Answer in JSON, and show no timeline
    #[arg(long)]
    pub json: bool,

    /// Play months of rotations instead, in virtual time, with everything going wrong that can
    #[arg(long)]
    pub storm: bool,

    /// What the storm is made from: the same seed plays the same storm
    #[arg(long, value_name = "N", default_value_t = 1, requires = "storm")]
    pub seed: u64,

    /// How many rotations the storm lasts, of all instances together
    #[arg(long, value_name = "R", default_value_t = 100, requires = "storm")]
    pub rotations: u64,
}

/// Plays the story and says how it went.
pub(crate) async fn demo(args: DemoArgs) -> Exit {
    if args.storm {
        return storm(args).await;
    }
    let timeline = Arc::new(Timeline::start(args.json));
    let played = unless_stopped(Box::pin(story::play(&timeline))).await;
    timeline.end();
    match played {
        Ok(summary) => conclude(&summary, args.json),
        Err(trouble) => {
            complain(&trouble.to_string());
            Exit::Failed
        }
    }
}

/// Plays a storm, and says what should not have happened and how to see it again.
async fn storm(args: DemoArgs) -> Exit {
    let DemoArgs { json, seed, rotations, storm: _ } = args;
    let progress = terminal::Progress::start(json);
    let shown = progress.shown();
    let hear = move |done| shown.set(&format!("{done} of {rotations} rotations"));
    let played = unless_stopped(storm::beside(storm::StormOptions::new(seed, rotations), hear)).await;
    drop(progress);
    match played {
        Ok(summary) => {
            if json {
                terminal::json(&summary);
            } else {
                terminal::say(&summary.to_string());
            }
            summary.violations.iter().for_each(|violation| complain(violation));
            if summary.violations.is_empty() {
                return Exit::Done;
            }
            complain(&format!(
                "to see it again: signalr-rekey demo --storm --seed {seed} --rotations {rotations}"
            ));
        }
        Err(trouble) => complain(&trouble.to_string()),
    }
    Exit::Failed
}

fn conclude(summary: &Summary, json: bool) -> Exit {
    if json {
        terminal::json(summary);
    } else {
        terminal::say(&format!("\n{summary}"));
    }
    let summary::Rotation { refused, client_calls, .. } = summary.rotation;
    if refused == 0 {
        return Exit::Done;
    }
    complain(&format!(
        "{refused} of {client_calls} client calls were refused during the rotation because of their key; none should have \
         been"
    ));
    Exit::Failed
}

/// Why the demo cannot go on: a sentence, its causes, and what the handler said last.
#[derive(Debug)]
struct Trouble {
    what: String,
    handler: Vec<String>,
}

impl Trouble {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), handler: Vec::new() }
    }

    /// With the causes of an error.
    fn of(what: &str, error: &(dyn Error + 'static)) -> Self {
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

/// Plays on until somebody wants it to stop. Then what was played is dropped, and the handler with it.
async fn unless_stopped<T>(play: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    /// Ctrl-c reaches the handler as well; its end may be noticed before the signal is.
    const AT_ONCE: Duration = Duration::from_millis(200);
    let mut stop = pin!(stopped());
    let played = tokio::select! {
        biased;
        () = &mut stop => return Err(Trouble::new("the demo was stopped")),
        played = play => played,
    };
    match played {
        Err(_) if tokio::time::timeout(AT_ONCE, stop).await.is_ok() => {
            Err(Trouble::new("the demo was stopped"))
        }
        played => played,
    }
}

#[cfg(test)]
mod tests {
    use super::summary::{Recovery, Rotation};
    use super::*;

    fn summary(refused: u64) -> Summary {
        let rotation =
            Rotation { client_calls: 5225, refused, restarts: 3, arm_requests: 27, elapsed_ms: 15_092 };
        Summary { rotation, recovery: Recovery { outage_ms: 1030, notice_to_settings_ms: 24 } }
    }

    #[test]
    fn one_refused_call_is_one_too_many() {
        assert_eq!(conclude(&summary(0), true), Exit::Done);
        assert_eq!(conclude(&summary(1), true), Exit::Failed);
    }

    #[tokio::test]
    async fn trouble_tells_its_causes_and_the_handlers_last_lines() {
        let cause = std::io::Error::other("the disk is full");
        let mut trouble = Trouble::of("rekey.toml cannot be written", &cause);
        trouble.handler = vec!["one".into(), "two".into()];
        let told = unless_stopped(async { Err::<(), _>(trouble) }).await.unwrap_err().to_string();
        insta::assert_snapshot!(told, @r"
        rekey.toml cannot be written; caused by: the disk is full
        the last lines of the handler:
          one
          two
        ");
    }
}
