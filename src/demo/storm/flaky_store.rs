//! The journal's storage, which fails, loses answers and counts; and the death of a worker at a request to it or to Azure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use embedded_azure::{EmbeddedAzure, FaultKind};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::{ETag, Found, MemoryStore, Store, StoreError, Stored, peek};
use rekey_core::journal::Journal;
use rekey_core::model::ServiceId;

/// A store in memory, before which requests go wrong.
#[derive(Debug)]
pub(super) struct FlakyStore {
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

impl FlakyStore {
    pub(super) const fn new(inner: MemoryStore) -> Self {
        let plan = Plan { failing: 0, late: false, kill: None };
        Self { inner, requests: AtomicU64::new(0), plan: Mutex::new(plan) }
    }

    /// The store itself, before which nothing goes wrong.
    pub(super) fn reliable(&self) -> &dyn Store {
        &self.inner
    }

    /// The journal of a service, whatever goes wrong.
    pub(super) async fn peek(&self, service: &ServiceId) -> Option<Journal> {
        peek(self.reliable(), service).await.ok()
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

    fn plan(&self) -> parking_lot::MutexGuard<'_, Plan> {
        self.plan.lock()
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
impl Store for FlakyStore {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        self.meet(self.inner.get(name)).await
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        self.meet(self.inner.put(name, body, expected)).await
    }

    async fn list_evidence(&self) -> Result<Option<Vec<String>>, StoreError> {
        self.meet(self.inner.list_evidence()).await
    }
}

/// A worker is to be killed.
pub(super) struct Kill {
    /// How many runs of the round are spared.
    pub(super) runs_left: u8,
    pub(super) at: At,
    pub(super) nth: u64,
    /// Whether the request at which it is killed takes effect.
    pub(super) late: bool,
}

#[derive(Clone, Copy)]
pub(super) enum At {
    Azure,
    Storage,
}

impl Kill {
    /// Lies in wait. What is returned is notified when the worker is to be dropped.
    pub(super) fn arm(&self, azure: &EmbeddedAzure, store: &FlakyStore) -> Arc<Notify> {
        let killed = Arc::new(Notify::new());
        let Self { nth, late, .. } = *self;
        match self.at {
            At::Storage => store.kill(nth % 7 + 1, late, Arc::clone(&killed)),
            At::Azure => {
                let (death, fault) = (Arc::clone(&killed), Self::fault(late));
                azure.before("*", usize::try_from(nth).unwrap_or(1), move |state| {
                    state.spoil(fault);
                    death.notify_one();
                });
            }
        }
        killed
    }

    /// Lets go of a worker that came through.
    pub(super) fn disarm(azure: &EmbeddedAzure, store: &FlakyStore) {
        azure.clear_hooks();
        store.spare();
    }

    const fn fault(late: bool) -> FaultKind {
        if late { FaultKind::TimeoutAfter } else { FaultKind::TimeoutBefore }
    }
}
