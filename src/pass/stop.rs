//! Asking passes to stop, and knowing when they have.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks the passes of a process to end where they are: at their waits, and between two steps. The lease is given back, and
/// the next run carries on. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Asks, once and for all.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it is asked.
    pub async fn asked(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }
}

/// How many passes are at work in this process. Clones share it.
#[derive(Clone, Debug)]
pub struct AtWork(Arc<watch::Sender<usize>>);

impl Default for AtWork {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl AtWork {
    /// Counts a pass for as long as the answer lives.
    pub(super) fn begin(&self) -> AtWorkGuard {
        self.0.send_modify(|passes| *passes += 1);
        AtWorkGuard(self.clone())
    }

    /// Ends when no pass is at work.
    pub async fn rest(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|passes| *passes == 0).await;
    }
}

/// A pass that is at work.
#[derive(Debug)]
pub(super) struct AtWorkGuard(AtWork);

impl Drop for AtWorkGuard {
    fn drop(&mut self) {
        self.0.0.send_modify(|passes| *passes -= 1);
    }
}
