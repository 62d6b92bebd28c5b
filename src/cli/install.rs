//! What a program has on an operator's own machine: `completions` for the shell, and `man` pages.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::report::cause;
use crate::report::text::command as text;
use crate::terminal::{self, Exit};

/// The arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// The arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Where they go; `man signalr-rekey` finds them in /usr/local/share/man/man1
    folder: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs, mut program: Command) -> Exit {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, &name, &mut script);
    // For bash, clap_complete labels each command by another name than it looks for, where the program's has a hyphen.
    let (labelled, sought) = (name.replace('-', "__subcmd__"), name.replace('-', "__"));
    let script = String::from_utf8_lossy(&script).replace(&labelled, &sought);
    terminal::note(io::Write::write_all(&mut io::stdout().lock(), script.as_bytes()));
    Exit::Done
}

pub(super) fn man(args: &ManArgs, program: &Command) -> Exit {
    let folder = args.folder.display();
    match write(args, program) {
        Ok(pages) => {
            terminal::say(&text::man_written(pages, folder));
            Exit::Done
        }
        Err(error) => {
            terminal::complain(&cause::because(&text::man_not_written(folder), Some(&error)));
            Exit::Failed
        }
    }
}

/// A page for the program and one for each of its commands; how many that are.
fn write(args: &ManArgs, program: &Command) -> io::Result<usize> {
    std::fs::create_dir_all(&args.folder)?;
    let mut named = program.clone().disable_help_subcommand(true);
    named.build();
    // By itself clap_mangen does not say what a flag's value is.
    let with_values = |mut command: Command| {
        let usage = command.render_usage().to_string();
        command.override_usage(usage.trim_start_matches("Usage: ").to_owned())
    };
    clap_mangen::generate_to(named.mut_subcommands(with_values), &args.folder)?;
    Ok(program.get_subcommands().count() + 1)
}
