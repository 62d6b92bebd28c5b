//! `agent`: keeps the files of an app on this machine on the key that a Key Vault secret holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use crate::agent::{Agent, Ended, Memory, Teller, Told, Unkept};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, AGENT_FILE, AgentConfig, Environment};
use crate::report::cause;
use crate::report::text::{agent as words, readable};
use crate::terminal::{self, Exit, stopped};
use rekey_core::time::delta;

/// The arguments of `agent`.
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Do what is to be done now and end, for cron and pipelines
    #[arg(long)]
    once: bool,
}

/// However often it failed, it is tried again after this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

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
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let made =
        Agent::new(config.clone(), environment, Arc::clone(&clock), random(), teller(args.once, &clock));
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
    poll(&agent, &mut memory, &config, &*clock).await
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
async fn poll(agent: &Agent, memory: &mut Memory, config: &AgentConfig, clock: &dyn Clock) -> Exit {
    let mut failures = 0;
    let mut stop = std::pin::pin!(stopped());
    loop {
        let ended = agent.round(memory, false).await;
        failures = if ended == Ended::Well { 0 } else { failures + 1 };
        let until = clock.now() + delta(wait(config.every, failures, random()));
        if failures > 0 {
            terminal::complain(&words::next_round(readable(until)));
        }
        tokio::select! {
            () = &mut stop => {
                terminal::complain(words::STOPPED);
                return Exit::Done;
            }
            () = clock.sleep_until(until) => {}
        }
    }
}

/// How long to wait for the next round: about as long as was configured, and twice as long after each failure.
fn wait(every: Duration, failures: u32, random: u64) -> Duration {
    let doubled = every.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let wait = doubled.min(LONGEST_WAIT).max(every);
    let [least, most] = JITTER;
    let share = least + u32::try_from(random % u64::from(most - least + 1)).unwrap_or_default();
    wait.saturating_mul(share) / 100
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
    fn who_fails_waits_longer_each_time_and_nobody_waits_exactly() {
        let minute = Duration::from_secs(60);
        let waits = |failures| [0, 15, 30].map(|random| wait(minute, failures, random).as_secs());
        assert_eq!(waits(0), [51, 60, 69]);
        assert_eq!(waits(1), [51, 60, 69], "once is no habit");
        assert_eq!(waits(3), [204, 240, 276]);
        assert_eq!(waits(60), [3060, 3600, 4140]);
        let day = Duration::from_secs(86_400);
        assert_eq!(wait(day, 9, 15), day, "never sooner than was configured");
    }
}
