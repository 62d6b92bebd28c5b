//! What may be said of a panic: where it happened. Its message may hold anything, a key among it, and is shown nowhere.

use std::any::Any;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

thread_local! {
    /// Where this thread panicked last. A panic is caught on the thread that raised it, so nobody else's is found here.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Panicked {
    pub(crate) location: Option<String>,
}

/// Replaces the process's panic hook by one that logs the location and not the message.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string);
        let shown = location.clone().unwrap_or_else(|| "unknown".into());
        // When a thread is torn down its locals are gone; the line below still tells the place.
        let _ = LOCATION.try_with(|last| last.replace(location));
        tracing::error!(panicked_at = %shown, "{}", crate::report::text::command::A_PANIC);
    }));
}

/// Runs a future to its end or its panic.
pub async fn catch<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|payload| Panicked::of(payload.as_ref()))
}

impl Panicked {
    /// The panic that this thread has just caught. The payload is not looked at: it is the proof that there was one.
    pub(crate) fn of(_payload: &(dyn Any + Send)) -> Self {
        Self { location: LOCATION.try_with(RefCell::take).ok().flatten() }
    }
}
