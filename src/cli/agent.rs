//! `agent`: keeps the files of an app on this machine on the key that a Key Vault secret holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use crate::agent::{Agent, Ended, Memory, Teller, Told, Unkept};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, AGENT_FILE, Environment};
use crate::report::cause;
use crate::report::text::{agent as words, readable};
use crate::terminal::{self, Exit, stopped};

/// The arguments of `agent`.
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Do what is to be done now and end, for cron and pipelines
    #[arg(long)]
    once: bool,
}

/// Both ends of what a wait is drawn from, in hundredths of it: agents that were started at once do not stay together.
const JITTER: [u32; 2] = [85, 115];

pub(super) async fn agent(args: AgentArgs, environment: &Environment) -> Exit {
    match environment.config() {
        Some(_) => run(args, environment).await,
        None => run(args, &environment.configured_by(PathBuf::from(AGENT_FILE))).await,
    }
}

async fn run(args: AgentArgs, environment: &Environment) -> Exit {
    config::name_file(environment);
    let config = match config::load_agent(environment) {
        Ok(config) => config,
        Err(faults) => {
            terminal::complain(&faults.to_string());
            return Exit::Wrong;
        }
    };
    let mut memory = match Memory::open(&config.state) {
        Ok(memory) => memory,
        Err(error) => {
            terminal::complain(&cause::told(&error));
            return if matches!(error, Unkept::Locked(_)) { Exit::Unfinished } else { Exit::Failed };
        }
    };
    let (clock, every): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), config.every);
    let made = Agent::new(config, environment, Arc::clone(&clock), random(), teller(args.once, &clock));
    let agent = match made {
        Ok(agent) => agent,
        Err(error) => {
            terminal::complain(&cause::told(&error));
            return Exit::Wrong;
        }
    };
    if args.once {
        return once(&agent, &mut memory).await;
    }
    memory.try_at_once();
    poll(&agent, &mut memory, every, &*clock).await
}

async fn once(agent: &Agent, memory: &mut Memory) -> Exit {
    match agent.round(memory, true).await {
        Ended::Well => {
            terminal::say(words::IN_ORDER);
            Exit::Done
        }
        Ended::Badly => Exit::Failed,
    }
}

/// Goes on until it is asked to stop, which it does between two rounds.
async fn poll(agent: &Agent, memory: &mut Memory, every: Duration, clock: &dyn Clock) -> Exit {
    let mut stop = std::pin::pin!(stopped());
    loop {
        agent.round(memory, false).await;
        tokio::select! {
            () = &mut stop => {
                terminal::complain(words::STOPPED);
                return Exit::Done;
            }
            () = clock.sleep(wait(every, random())) => {}
        }
    }
}

/// How long to wait for the next round.
fn wait(every: Duration, random: u64) -> Duration {
    let [least, most] = JITTER;
    let share = least + u32::try_from(random % u64::from(most - least + 1)).unwrap_or_default();
    every.saturating_mul(share) / 100
}

/// What nobody can foretell.
fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

/// What was done goes to stdout and what failed to stderr; a process that goes on says when, for not everything that keeps
/// its output does.
fn teller(once: bool, clock: &Arc<dyn Clock>) -> Teller {
    let clock = Arc::clone(clock);
    Box::new(move |told| {
        let time = if once { String::new() } else { format!("{} ", readable(clock.now())) };
        match told {
            Told::Done(what) => terminal::say(&format!("{time}{what}")),
            Told::Failed(why) => terminal::complain(&format!("{time}{why}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_exactly() {
        let waits = [0, 15, 30, 31].map(|random| wait(Duration::from_secs(60), random).as_secs());
        assert_eq!(waits, [51, 60, 69, 51]);
    }
}
