//! `init`: a `rekey.toml` from what there is, for the operator to review.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use clap::Args;

use crate::azure::arm::ArmError;
use crate::clock::{Clock, SystemClock};
use crate::compose::{compose, silent};
use crate::config::{Config, Environment, config_path, load_from};
use crate::init::{self, Found, Named, Scope, ScopeError, is_misnamed};
use crate::report::cause;
use crate::report::text::command as words;
use crate::terminal::{self, Exit};

/// The arguments of `init`.
#[derive(Debug, Args)]
#[command(
    after_help = "It reads and changes nothing in Azure. Review the file before anything is rotated by it."
)]
pub(super) struct InitArgs {
    /// Look for services in this resource group alone: its id, or its name. Their apps are found in all groups
    #[arg(long, value_name = "NAME|ID")]
    resource_group: Option<String>,
    /// Look in this subscription; needed where there are several
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// Look through the secrets of this vault too, by its name; may be given several times
    #[arg(long, value_name = "NAME")]
    vault: Vec<String>,
    /// Look through the key-values of this App Configuration store too, by its name; may be given several times
    #[arg(long, value_name = "NAME")]
    app_configuration: Vec<String>,
    /// The file to write, in this folder if it has no path; - for stdout
    #[arg(long, value_name = "FILE", default_value = "rekey.toml")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// How long Azure may take to show everything.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// A configuration that names nothing real, behind which the environment is read as always.
const NOTHING: &str = "[[instance]]\n\
    id = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/none\"\n\
    apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/none\"]\n";

pub(super) async fn init(args: InitArgs, environment: &Environment) -> Exit {
    match try_init(&args, environment).await {
        Ok(()) => Exit::Done,
        Err((exit, complaint)) => {
            terminal::complain(&complaint);
            exit
        }
    }
}

async fn try_init(args: &InitArgs, environment: &Environment) -> Result<(), (Exit, String)> {
    if !args.force && !is_stdout(&args.output) && args.output.exists() {
        return Err((Exit::Wrong, there_already(&args.output)));
    }
    let wrong = |error: &(dyn Error + 'static)| (Exit::Wrong, cause::told(error));
    let named = Named::read(&args.vault, &args.app_configuration).map_err(|error| wrong(&error))?;
    let config: Config = load_from(NOTHING, "rekey.toml", environment).map_err(|faults| wrong(&faults))?;
    let composed = compose(config, environment, Arc::new(SystemClock), silent());
    let arm = composed.map_err(|error| wrong(&error))?.arm.until(SystemClock.now() + PATIENCE);
    let failed = |error: &(dyn Error + 'static)| (Exit::Failed, cause::told(error));
    let scope = Scope::find(&arm, args.resource_group.as_deref(), args.subscription.as_deref()).await;
    let refused = |error: &ArmError| if is_misnamed(error) { wrong(error) } else { failed(error) };
    let scope = scope.map_err(|error| match &error {
        ScopeError::Arm(error) => refused(error),
        ScopeError::Several(_) | ScopeError::None | ScopeError::Unclear(_) => wrong(&error),
    })?;
    let found = Found::look(&arm, scope.and(named)).await.map_err(|error| refused(&error))?;
    found.summary().iter().for_each(|line| terminal::complain(line));
    let Some(text) = init::write(&found) else {
        return Err((Exit::Failed, words::INIT_NOTHING_FOUND.to_owned()));
    };
    save(&args.output, &text, args.force).map_err(|error| failed(&error))?;
    if !is_stdout(&args.output) {
        terminal::complain(&written(&args.output, &config_path(environment)));
    }
    match found.lacks() {
        None => Ok(()),
        Some(lacks) => Err((Exit::Failed, lacks.to_owned())),
    }
}

/// Where the file is; and that other commands read another one, if so.
fn written(path: &Path, read: &Path) -> String {
    let full = |path: &Path| {
        path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
    };
    let (path, read) = (full(path), full(read));
    let path_shown = path.display();
    if path == read {
        return words::init_written(path_shown);
    }
    // REKEY_CONFIG might hold anything, a secret too.
    let read = Some(read.display().to_string()).filter(|name| !name.contains(['=', ';']));
    let read = read.unwrap_or_else(|| words::THE_FILE.into());
    words::init_written_and_another_read(path_shown, &read)
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn there_already(path: &Path) -> String {
    words::init_there_already(path.display())
}

fn save(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if is_stdout(path) {
        terminal::say(text.trim_end());
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).create_new(!force);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(error.kind(), there_already(path)),
        kind => io::Error::new(kind, cause::because(&words::init_not_written(path.display()), Some(&error))),
    })
}
