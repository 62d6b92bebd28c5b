//! The journal's storage as the weather lets it be: it fails, loses answers, and counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::store::{ETag, Found, MemoryStore, Store, StoreError, Stored};

/// A store in memory behind the weather.
#[derive(Debug)]
pub(super) struct Ledger {
    inner: MemoryStore,
    requests: AtomicU64,
    plan: Mutex<Plan>,
}

/// What is to go wrong.
#[derive(Debug, Default)]
struct Plan {
    /// How many requests fail from now on, and whether they take effect all the same.
    failing: u64,
    late: bool,
    /// At the end of how many requests the worker is killed, whether the last of them takes effect, and who kills.
    kill: Option<(u64, bool, Arc<Notify>)>,
}

/// What becomes of one request.
enum Fate {
    Fine,
    Fails { late: bool },
    Killed { late: bool },
}

impl Ledger {
    pub(super) const fn new(inner: MemoryStore) -> Self {
        let plan = Plan { failing: 0, late: false, kill: None };
        Self { inner, requests: AtomicU64::new(0), plan: Mutex::new(plan) }
    }

    /// The store itself, where no weather is.
    pub(super) fn calm(&self) -> &dyn Store {
        &self.inner
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The next requests fail; `late` says whether they take effect all the same.
    pub(super) fn fail(&self, requests: u64, late: bool) {
        let mut plan = self.plan();
        (plan.failing, plan.late) = (requests, late);
    }

    /// The worker is killed at its `nth` request, before or after it takes effect.
    pub(super) fn kill(&self, nth: u64, late: bool, killer: Arc<Notify>) {
        self.plan().kill = Some((nth, late, killer));
    }

    /// Nobody is killed any more.
    pub(super) fn spare(&self) {
        self.plan().kill = None;
    }

    /// Nothing is to go wrong any more.
    pub(super) fn clear(&self) {
        *self.plan() = Plan::default();
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> Fate {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut plan = self.plan();
        if let Some((left, late, killer)) = &mut plan.kill {
            *left = left.saturating_sub(1);
            if *left == 0 {
                killer.notify_one();
                let late = *late;
                plan.kill = None;
                return Fate::Killed { late };
            }
        }
        if plan.failing == 0 {
            return Fate::Fine;
        }
        plan.failing -= 1;
        Fate::Fails { late: plan.late }
    }

    async fn meet<T>(&self, act: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let (late, killed) = match self.fate() {
            Fate::Fine => return act.await,
            Fate::Fails { late } => (late, false),
            Fate::Killed { late } => (late, true),
        };
        if late {
            // Its answer is lost, whatever it was.
            drop(act.await);
        }
        if killed {
            std::future::pending::<()>().await;
        }
        Err(StoreError::Unavailable("the storm is over the storage account".into()))
    }
}

#[async_trait]
impl Store for Ledger {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.meet(self.inner.get(name)).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        self.meet(self.inner.put(name, body, expected)).await
    }
}
