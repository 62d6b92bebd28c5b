//! Time as an argument. Nothing in this crate asks the operating system for the time but [`SystemClock`].

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use rekey_core::time::delta;

/// Tells the time and waits. Everything that needs either is handed one of these.
#[async_trait]
pub trait Clock: Debug + Send + Sync {
    fn now(&self) -> DateTime<Utc>;

    /// Waits until `time`; at once if it has passed.
    async fn sleep_until(&self, time: DateTime<Utc>);

    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + delta(duration)).await;
    }
}

/// A clock as who sends again what failed takes it ([`backon`]): it waits by ours.
pub(crate) fn sleeper(clock: &Arc<dyn Clock>) -> impl Fn(Duration) -> BoxFuture<'static, ()> + use<> {
    let clock = Arc::clone(clock);
    move |wait| {
        let clock = Arc::clone(&clock);
        async move { clock.sleep(wait).await }.boxed()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        if let Ok(wait) = (time - Utc::now()).to_std() {
            tokio::time::sleep(wait).await;
        }
    }
}
