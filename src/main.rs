//! The program: reads the command line and the environment, runs, and leaves with a code that says how it went.

use std::process::ExitCode;

use signalr_rekey::{cli, config::Environment, panics};

fn main() -> ExitCode {
    panics::install_hook();
    cli::run(std::env::args_os(), &Environment::of_process())
}
