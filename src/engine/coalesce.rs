//! At most one piece of work running and one queued for each key, however many ask for it.
//!
//! Who asks while nothing runs starts the work. Who asks while it runs came too late for it (what he knows of may have
//! happened after it looked) and shares the one that follows. So a thousand copies of one event cost two runs.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{Instrument, Span};

/// What is asked for, several of which can be one.
pub(super) trait Merge {
    /// Takes in what another asks for.
    fn merge(&mut self, other: Self);
}

/// The work that is running and queued.
pub(super) struct Coalescer<K, W, T> {
    work: Arc<dyn Fn(K, W) -> BoxFuture<'static, T> + Send + Sync>,
    /// What is queued, for each key whose work is running.
    queue: Arc<Mutex<Queue<K, W, T>>>,
}

type Queue<K, W, T> = HashMap<K, Option<Queued<W, T>>>;

struct Queued<W, T> {
    wanted: W,
    done: watch::Sender<Option<T>>,
    /// Of who asked first.
    span: Span,
}

/// Work that was asked for.
pub(super) struct Asked<T> {
    /// Gives its outcome.
    pub(super) done: watch::Receiver<Option<T>>,
    /// Whether somebody else had asked for it before.
    pub(super) shared: bool,
}

impl<K, W, T> Coalescer<K, W, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    W: Merge + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Nothing runs yet. `work` must not panic: what was queued behind it would wait for ever.
    pub(super) fn new(work: impl Fn(K, W) -> BoxFuture<'static, T> + Send + Sync + 'static) -> Self {
        Self { work: Arc::new(work), queue: Arc::default() }
    }

    /// Asks for work. Its outcome comes through what is returned; the work goes on whether anybody waits for it or not.
    /// Its lines in the log are those of who asked for it first. `behind` is called if the work is the first that is queued
    /// behind what runs.
    pub(super) fn ask(&self, key: K, wanted: W, behind: impl FnOnce()) -> Asked<T> {
        let mut queue = self.queue.lock();
        if let Some(queued) = queue.get_mut(&key) {
            return match queued {
                Some(queued) => {
                    queued.wanted.merge(wanted);
                    Asked { done: queued.done.subscribe(), shared: true }
                }
                None => {
                    let (done, receiver) = watch::channel(None);
                    *queued = Some(Queued { wanted, done, span: Span::current() });
                    behind();
                    Asked { done: receiver, shared: false }
                }
            };
        }
        queue.insert(key.clone(), None);
        let (done, receiver) = watch::channel(None);
        let (work, queue) = (Arc::clone(&self.work), Arc::clone(&self.queue));
        let mut next = Some(Queued { wanted, done, span: Span::current() });
        tokio::spawn(async move {
            while let Some(Queued { wanted, done, span }) = next {
                let outcome = work(key.clone(), wanted).instrument(span).await;
                done.send_replace(Some(outcome));
                next = take_next(&queue, &key);
            }
        });
        Asked { done: receiver, shared: false }
    }
}

/// What is queued; if nothing is, the key is free again.
fn take_next<K: Eq + Hash, W, T>(queue: &Mutex<Queue<K, W, T>>, key: &K) -> Option<Queued<W, T>> {
    let mut queue = queue.lock();
    let next = queue.get_mut(key).and_then(Option::take);
    if next.is_none() {
        queue.remove(key);
    }
    next
}

/// Waits for an outcome.
pub(super) async fn outcome<T: Clone>(mut receiver: watch::Receiver<Option<T>>) -> Option<T> {
    // An error says that the work was dropped with the runtime.
    receiver.wait_for(Option::is_some).await.ok()?.clone()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;

    impl Merge for Vec<u32> {
        fn merge(&mut self, other: Self) {
            self.extend(other);
        }
    }

    struct Bench {
        coalescer: Coalescer<&'static str, Vec<u32>, Vec<u32>>,
        gate: Arc<Semaphore>,
        most: Arc<AtomicUsize>,
        runs: Arc<AtomicUsize>,
    }

    /// Work that ends when the test says so, and answers what it was asked.
    fn bench() -> Bench {
        let (gate, most, runs) =
            (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (pass, at_once, count) = (Arc::clone(&gate), Arc::clone(&most), Arc::clone(&runs));
        let running = Arc::<AtomicUsize>::default();
        let coalescer = Coalescer::new(move |_, wanted| {
            let (pass, at_once, count, running) =
                (Arc::clone(&pass), Arc::clone(&at_once), Arc::clone(&count), Arc::clone(&running));
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                at_once.fetch_max(now, Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
                pass.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                wanted
            }
            .boxed()
        });
        Bench { coalescer, gate, most, runs }
    }

    #[tokio::test]
    async fn a_thousand_askers_share_two_runs() {
        let bench = bench();
        let behind = std::cell::Cell::new(0);
        let all: Vec<_> =
            (0..1000).map(|n| bench.coalescer.ask("one", vec![n], || behind.set(behind.get() + 1))).collect();
        assert_eq!(behind.get(), 1, "what runs is told once");
        bench.gate.add_permits(2);
        let shared = all.iter().filter(|asked| asked.shared).count();
        assert_eq!(shared, 998, "the first of each run asked for it");
        let outcomes = futures::future::join_all(all.into_iter().map(|asked| outcome(asked.done))).await;
        assert_eq!(outcomes[0], Some(vec![0]));
        let rest: Vec<u32> = (1..1000).collect();
        assert!(outcomes[1..].iter().all(|outcome| *outcome == Some(rest.clone())));
        assert_eq!((bench.runs.load(Ordering::SeqCst), bench.most.load(Ordering::SeqCst)), (2, 1));
    }

    #[tokio::test]
    async fn keys_run_side_by_side_and_are_forgotten() {
        let bench = bench();
        let (one, other) =
            (bench.coalescer.ask("one", vec![1], || {}), bench.coalescer.ask("other", vec![2], || {}));
        bench.gate.add_permits(2);
        assert_eq!((outcome(one.done).await, outcome(other.done).await), (Some(vec![1]), Some(vec![2])));
        while !bench.coalescer.queue.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        let again = bench.coalescer.ask("one", vec![3], || {});
        bench.gate.add_permits(1);
        assert_eq!(outcome(again.done).await, Some(vec![3]));
    }
}
