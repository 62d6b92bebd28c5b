//! What the Functions host and its bill see of the handler, beside a bare axum server: how long it takes from the start
//! to the first answered ping, how many notices that concern nobody it takes in a second, how much memory it holds.
//!
//! Start at [`main`]. Both sides are processes of their own on loopback, run in turns on the same machine, and the
//! figure is the median of the ratios of pairs, so that what else the machine does meets both. The bare server
//! ([`bare`]) is this executable run once more. For that reason nothing here uses the crate's library: the floor would
//! carry it.
//!
//! | module | |
//! |---|---|
//! | `bare` | the floor: a server with the same dependencies and nothing in it |
//! | `server` | one process of either side: start it, know its port and memory, kill it |
//! | `client` | the host's side: HTTP/1.1 over kept connections |
//! | `figures` | the measurements |

#![allow(clippy::print_stdout, reason = "the table is the answer")]

mod bare;
mod client;
mod figures;
mod server;
#[path = "../table/mod.rs"]
mod table;

use std::io;
use std::process::ExitCode;

use figures::Effort;

fn main() -> ExitCode {
    let outcome = match bare::port() {
        Some(port) => bare::serve(port),
        None => measure(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("the measurement broke off: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> io::Result<()> {
    let effort = if table::measuring() { Effort::FULL } else { Effort::QUICK };
    println!("\nthe handler, beside a bare axum server\n{}", table::head());
    let found = figures::all(&effort)?;
    found.figures.iter().for_each(|figure| println!("{figure}"));
    println!("{}", found.note);
    Ok(())
}
