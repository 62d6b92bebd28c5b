//! Being asked to stop.

use std::process;

use super::output::complain;
use crate::pass::Stop;
use crate::report::text::command::output::STOPPING;

/// Ends at ctrl-c or where the system asks to stop. Where it cannot be listened for, the signal ends the process.
pub(crate) async fn stopped() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupted => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

/// The code of a process that was stopped at once: that of a shell for SIGINT, 128 and the signal's number.
pub(super) const INTERRUPTED: i32 = 130;

/// At the first signal asks the runs to stop, so that they give their leases back; the second ends the process.
pub(super) async fn stop_at_signal(stop: Stop) {
    stopped().await;
    complain(STOPPING);
    stop.ask();
    stopped().await;
    process::exit(INTERRUPTED);
}
