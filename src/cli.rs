//! The command line. Start at [`run`].
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or nothing to do |
//! | 1 | something failed or is blocked; what and why is on stderr |
//! | 2 | the command line or the configuration is wrong; nothing was done |
//! | 3 | not finished in the time that was given, or another run is at work; the next run carries on |

mod acknowledge;
mod agent;
mod approve;
#[cfg(feature = "simulator")]
mod demo;
mod doctor;
mod handler;
mod history;
mod init;
#[cfg(feature = "command-line")]
mod install;
mod instances;
mod machine;
mod notice;
mod pause;
mod plan;
mod report;
mod rotate;
#[cfg(feature = "simulator")]
pub mod simulate;
mod standing;
mod status;
mod unblock;
#[cfg(feature = "command-line")]
mod waves;
mod web;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::azure::arm::WAITS;
use crate::clock::SystemClock;
use crate::config::{self, Config, Environment, Faults};
use crate::report::cause;
use crate::report::telemetry::{self, Logs, Output};
use crate::terminal::{self, Exit};

/// Rotates the access keys of Azure SignalR Service so that no call is refused because of a key
#[derive(Debug, Parser)]
#[command(version, after_help = help(), arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// The configuration; else REKEY_CONFIG, else rekey.toml here; of `agent` else agent.toml here
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Only the answer, and what is wrong
    #[arg(short, long, global = true)]
    quiet: bool,

    /// Log on stderr what is asked of Azure and what it answers, too
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
}

/// How to begin. A build without the embedded Azure has no demo to begin with.
fn help() -> String {
    let demo = if cfg!(feature = "simulator") {
        "  signalr-rekey demo                 watch a rotation under traffic, on an Azure that is built in\n"
    } else {
        ""
    };
    format!("How to begin:\n{demo}{HELP}")
}

const HELP: &str = "  signalr-rekey init                 a rekey.toml from what is found, for you to review
  signalr-rekey doctor               what would keep a rotation from going well, and what fixes it
  signalr-rekey plan                 what would be done to your services, and why; changes nothing
  signalr-rekey rotate --now         rotate them, as yourself (az login), and wait until it is done

In Azure, the Functions host starts `signalr-rekey handler`; see docs/deploy.md.

Exit codes: 0 done, 1 failed or blocked, 2 wrong command line or configuration, 3 not finished in time, or
another run is at work.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a rekey.toml from what is found in a resource group or subscription, for review
    Init(init::InitArgs),
    /// Look for everything that would keep a rotation from going well, and say what repairs it; change nothing
    Doctor(doctor::DoctorArgs),
    /// Say what would be done to each service now, and why; change nothing
    Plan(plan::PlanArgs),
    /// Show each instance: its keys, who holds which, and what happens next
    Status(status::StatusArgs),
    /// Show what was done to each instance, from the journal
    History(history::HistoryArgs),
    /// Show what was changed in a time, for auditors, from the evidence of it; or check that evidence
    Report(report::ReportArgs),
    /// Say what an event would do, or fire it at a handler on this machine
    Notice(notice::NoticeArgs),
    /// Do what is due, and wait until it is done
    Rotate(rotate::RotateArgs),
    /// After you have looked: let what was refused, or came to nothing, be tried again at once
    Unblock(unblock::UnblockArgs),
    /// Let rotations rest until a time; repairs go on
    Pause(pause::PauseArgs),
    /// End a pause before its time
    Resume(pause::ResumeArgs),
    /// Approve the rotation that is due, where approval = "required"
    Approve(approve::ApproveArgs),
    /// Say for a consumer that nobody can see, or that only others can change, that it has left the old key
    Acknowledge(acknowledge::AcknowledgeArgs),
    /// On the machine of an app: keep its files on the key of a Key Vault secret, and report that
    Agent(agent::AgentArgs),
    /// Serve the Functions host: RotateKeys (timer), OnKeyNotice (Event Grid), OnAlert, OnReport and Status (HTTP)
    Handler,
    /// Watch a rotation and a recovery under traffic, on an Azure that is built in; less than a minute
    #[cfg(feature = "simulator")]
    Demo(demo::DemoArgs),
    /// Serve the embedded Azure over HTTP, for development
    #[cfg(feature = "simulator")]
    Simulate(Box<simulate::SimulateArgs>),
    /// Write completions for a shell to stdout
    #[cfg(feature = "command-line")]
    Completions(install::CompletionsArgs),
    /// Write the man pages into a folder
    #[cfg(feature = "command-line")]
    Man(install::ManArgs),
}

/// The set variable by which the Functions host tells a custom handler where to listen.
const HANDLER_PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// Parses the arguments and runs the command.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match parse(arguments, environment) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake.
            terminal::note(error.print());
            return if error.use_stderr() { Exit::Wrong.into() } else { told(Exit::Done).into() };
        }
    };
    let exit = dispatch(cli, environment).unwrap_or_else(|error| {
        terminal::complain(&cause::told(&error));
        Exit::Failed
    });
    told(exit).into()
}

/// How a command ended: not well if its answer did not get out.
fn told(exit: Exit) -> Exit {
    match terminal::lost() {
        Some(why) => {
            terminal::complain(&why);
            if exit == Exit::Wrong { exit } else { Exit::Failed }
        }
        None => exit,
    }
}

/// The Functions host, which may be configured without arguments, goes past the parser: building it for all commands takes
/// time that a cold start does not have.
fn parse(arguments: Vec<OsString>, environment: &Environment) -> Result<Cli, clap::Error> {
    let for_the_host = match &arguments[..] {
        [] | [_] => environment.get(HANDLER_PORT).is_some(),
        [_, only] => only == "handler",
        _ => false,
    };
    if for_the_host {
        return Ok(Cli { command: Command::Handler, config: None, quiet: false, verbose: false });
    }
    Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches))
}

fn dispatch(cli: Cli, environment: &Environment) -> std::io::Result<Exit> {
    let environment = &with_config(environment, cli.config);
    if cli.quiet {
        terminal::hush();
    }
    let _logs = start_log(&cli.command, (cli.quiet, cli.verbose), environment);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(workers()).build()?;
    let exit = runtime.block_on(async {
        match cli.command {
            Command::Handler => handler::handler(environment).await,
            Command::Plan(args) => plan::plan(args, environment).await,
            Command::Doctor(args) => doctor::doctor(args, environment).await,
            Command::Init(args) => init::init(args, environment).await,
            Command::Rotate(args) => rotate::rotate(args, environment).await,
            Command::Status(args) => status::status(args, environment).await,
            Command::History(args) => history::history(args, environment).await,
            Command::Report(args) => report::report(args, environment).await,
            Command::Notice(args) => notice::notice(args, environment).await,
            Command::Unblock(args) => unblock::unblock(args, environment).await,
            Command::Pause(args) => pause::pause(args, environment).await,
            Command::Resume(args) => pause::resume(args, environment).await,
            Command::Approve(args) => approve::approve(args, environment).await,
            Command::Agent(args) => agent::agent(args, environment).await,
            Command::Acknowledge(args) => acknowledge::acknowledge(args, environment).await,
            #[cfg(feature = "command-line")]
            Command::Completions(args) => install::completions(&args, Cli::command()),
            #[cfg(feature = "command-line")]
            Command::Man(args) => install::man(&args, &Cli::command()),
            #[cfg(feature = "simulator")]
            Command::Demo(args) => demo::demo(args).await,
            #[cfg(feature = "simulator")]
            Command::Simulate(args) => {
                warn_of_open_door(&args);
                match simulate::simulate(*args).await {
                    Ok(()) => Exit::Done,
                    Err(error) => {
                        terminal::complain(&cause::told(&error));
                        Exit::Wrong
                    }
                }
            }
        }
    });
    // A name that is being looked up keeps nobody from leaving.
    runtime.shutdown_background();
    Ok(exit)
}

/// The embedded Azure asks nobody who he is.
#[cfg(feature = "simulator")]
fn warn_of_open_door(args: &simulate::SimulateArgs) {
    if !args.listen.ip().is_loopback() {
        terminal::complain(&format!(
            "warning: {} is open to others. The embedded Azure is for development: anybody who reaches it can read its keys, regenerate them and change its world; 127.0.0.1 is only for you",
            args.listen
        ));
    }
}

/// The work is waiting for Azure: two threads are plenty, and each costs memory that Functions bills.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2))
}

fn with_config(environment: &Environment, config: Option<PathBuf>) -> Environment {
    config.map_or_else(|| environment.clone(), |file| environment.configured_by(file))
}

/// The handler logs for the host; the other commands answer on stdout, and log only that they wait for Azure, unless asked.
fn start_log(command: &Command, (quiet, verbose): (bool, bool), environment: &Environment) -> Option<Logs> {
    // What is typed is meant more than what is set.
    let typed = if verbose { Some("debug") } else { quiet.then_some("warn") };
    let set = environment.get("RUST_LOG");
    // A storm waits in virtual time, and nobody with it: what is logged of it has no time but that.
    let is_timed = match command {
        #[cfg(feature = "simulator")]
        Command::Demo(args) => !args.storm,
        _ => true,
    };
    let waits = if is_timed { format!("off,{WAITS}=info") } else { "off".to_owned() };
    let is_plain = environment.get("NO_COLOR").is_some_and(|set| !set.is_empty());
    let (shape, filter) = match command {
        Command::Handler => (Output::of_handler(is_plain), typed.or(set)),
        _ if quiet => (Output::Text { is_plain, is_timed }, Some("off")),
        _ => (Output::Text { is_plain, is_timed }, typed.or(set).or(Some(&waits))),
    };
    let logs = telemetry::init(shape, filter, Arc::new(SystemClock));
    logs.inspect_err(|error| terminal::complain(&cause::told(error))).ok()
}

/// The configuration, or its faults on stderr. What is said from now on names its file.
fn load(environment: &Environment) -> Result<Config, Exit> {
    config::name_file(environment);
    config::load(environment).map_err(|faults: Faults| {
        terminal::complain(&faults.to_string());
        Exit::Wrong
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_parser_the_host_gets_what_the_parser_would_give() {
        let environment = Environment::from_iter([(HANDLER_PORT, "7071")]);
        for arguments in [&["signalr-rekey"][..], &["signalr-rekey", "handler"]] {
            let cli = parse(arguments.iter().map(OsString::from).collect(), &environment).unwrap();
            assert!(
                matches!(cli, Cli { command: Command::Handler, config: None, quiet: false, verbose: false }),
                "{arguments:?}"
            );
        }
        let parsed = Cli::try_parse_from(["signalr-rekey", "handler"]).unwrap();
        assert!(matches!(
            parsed,
            Cli { command: Command::Handler, config: None, quiet: false, verbose: false }
        ));
    }
}
