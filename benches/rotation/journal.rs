//! What keeping the journal costs in time: the same passes with Blob Storage (Azurite) and with memory, in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use signalr_rekey::engine::Engine;
use signalr_rekey::store::Store;

use super::common::{DAY, azurite};
use super::{Listed, Story, rotate, run, story};

/// How often each is timed.
const ROUNDS: usize = 15;

/// What one kind of pass took with each store.
pub(super) struct Cost {
    pub(super) what: &'static str,
    pub(super) blob: Duration,
    pub(super) memory: Duration,
}

/// An idle run and a whole rotation of one instance with one app, at the median.
pub(super) async fn costs(rounds: usize) -> [Cost; 2] {
    let (in_blob, in_memory) = (Worker::start(true).await, Worker::start(false).await);
    let (mut idle, mut rotation) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..rounds.min(ROUNDS) {
        for (which, worker) in [&in_blob, &in_memory].into_iter().enumerate() {
            let started = Instant::now();
            run(&worker.rekey, &worker.story).await;
            idle[which].push(started.elapsed());
            worker.story.clock.advance(DAY);
            let started = Instant::now();
            rotate(&worker.rekey, &worker.story).await;
            rotation[which].push(started.elapsed());
        }
    }
    let cost =
        |what, [blob, memory]: [Vec<Duration>; 2]| Cost { what, blob: median(blob), memory: median(memory) };
    [cost("an idle pass", idle), cost("a rotation", rotation)]
}

struct Worker {
    story: Story,
    rekey: Engine,
}

impl Worker {
    async fn start(blob: bool) -> Self {
        let story = story(1, Listed::ByValue, Duration::from_secs(3)).await;
        let memory: Arc<dyn Store> = story.store.clone();
        let store = if blob { azurite::store(story.clock.clone()) } else { memory };
        let rekey = Engine { store, ..story.rekey() };
        run(&rekey, &story).await;
        Self { story, rekey }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
