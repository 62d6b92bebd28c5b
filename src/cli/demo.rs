//! `signalr-rekey demo`: what [`crate::demo`] plays, as a command.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;

use super::Exit;
use crate::demo::storm::StormOptions;
use crate::demo::{self, Rotation, Stage, Summary, Timeline, Trouble};
use crate::loopback::Door;
use crate::terminal::{self, complain, stopped};

/// The arguments of `demo`.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct DemoArgs {
    /// Answer in JSON, and show no timeline; --quiet shows none either
    #[arg(long)]
    pub(super) json: bool,

    /// Show it in a browser on this machine, too: the traffic as a moving picture, and the status page; until ctrl-c
    #[arg(long, conflicts_with_all = ["json", "storm"])]
    pub(super) web: bool,

    /// Play with one consumer of every kind: settings, a Key Vault secret, a key-value of App Configuration, a container app, a
    /// static web app, a machine that reports, and what a person changes
    #[arg(long, conflicts_with = "storm")]
    pub(super) every_kind: bool,

    /// Play months of rotations instead, in virtual time, with everything going wrong that can
    #[arg(long)]
    pub(super) storm: bool,

    /// What the storm is made from: the same seed plays the same storm
    #[arg(long, value_name = "N", default_value_t = 1, requires = "storm")]
    pub(super) seed: u64,

    /// How many rotations the storm lasts, of all services together
    #[arg(long, value_name = "R", default_value_t = 100, requires = "storm")]
    pub(super) rotations: u64,
}

/// Plays the story and says how it went.
pub(super) async fn demo(args: DemoArgs) -> Exit {
    if args.storm {
        return storm(args).await;
    }
    match watched(args).await {
        Ok(exit) => exit,
        Err(trouble) => {
            complain(&trouble.to_string());
            Exit::Failed
        }
    }
}

async fn watched(args: DemoArgs) -> Result<Exit, Trouble> {
    let timeline = Arc::new(Timeline::start(args.json || terminal::is_quiet(), terminal::say));
    let mut stage = Stage::build(&timeline, args.every_kind).await?;
    // Nobody is answered any more when it is dropped.
    let _shown = if args.web { Some(show(&stage).await?) } else { None };
    let played = unless_stopped(Box::pin(stage.play())).await;
    timeline.end();
    let exit = played.map(|summary| {
        timeline.conclude(&summary.to_string());
        conclude(&summary, args.json)
    });
    if args.web && exit.is_ok() {
        terminal::mention(WEB_STAYS);
        stopped().await;
    }
    stage.close().await;
    exit
}

/// Shows what is on the stage to a browser, until dropped.
async fn show(stage: &Stage) -> Result<JoinSet<()>, Trouble> {
    let door = Door::open().await.map_err(|error| Trouble::of(WEB_NO_PORT, &error))?;
    terminal::say(door.url());
    terminal::mention(WEB_READY);
    Ok(stage.live()?.show(door))
}

const WEB_NO_PORT: &str = "the demo cannot be shown to a browser on this machine";
const WEB_READY: &str =
    "the demo is at this address, for a browser on this machine; keep the address to yourself";
const WEB_STAYS: &str = "\nthe demo is over; its apps go on, and the page stays until ctrl-c";

/// Plays a storm, and says what should not have happened and how to see it again.
async fn storm(args: DemoArgs) -> Exit {
    let DemoArgs { json, seed, rotations, .. } = args;
    let progress = terminal::Progress::start(json);
    let shown = progress.shown();
    let hear = move |done| shown.set(&format!("{done} of {rotations} rotations"));
    let played = unless_stopped(demo::storm::beside(StormOptions::new(seed, rotations), hear)).await;
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
        let apart = if terminal::is_quiet() { "" } else { "\n" };
        terminal::say(&format!("{apart}{summary}"));
    }
    let Rotation { refused, client_calls, .. } = summary.rotation;
    if refused == 0 {
        return Exit::Done;
    }
    complain(&format!(
        "{refused} of {client_calls} client calls were refused during the rotation because of their key; none should have \
         been"
    ));
    Exit::Failed
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
    use super::*;
    use crate::demo::Recovery;

    fn summary(refused: u64) -> Summary {
        let rotation =
            Rotation { client_calls: 5225, refused, restarts: 3, arm_requests: 27, elapsed_ms: 15_092 };
        Summary {
            consumers: std::collections::BTreeMap::new(),
            rotation,
            recovery: Recovery { outage_ms: 1030, notice_to_settings_ms: 24 },
        }
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
