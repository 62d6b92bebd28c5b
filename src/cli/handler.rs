//! `handler`: the custom handler that the Functions host starts.

use std::sync::Arc;
use std::time::Duration;

use super::{HANDLER_PORT, load};
use crate::azure::credentials::is_in_azure;
use crate::clock::{Clock, SystemClock};
use crate::compose::{compose, silent};
use crate::config::{Environment, Metrics};
use crate::doctor::{Circumstances, FirstRun};
use crate::engine::{Dispatcher, Engine};
use crate::handler::{self, Budgets, Hosting, Patience};
use crate::report::cause;
use crate::report::text::{command as words, metrics};
use crate::schedule;
use crate::terminal::{self, Exit, INTERRUPTED, stopped};
use rekey_core::time::delta;

/// Serves until it is killed, asked to stop, or its host is gone. It never leaves with 0: the host does not restart what
/// does.
pub(super) async fn handler(environment: &Environment) -> Exit {
    let parent = Parent::of_now();
    let config = match load(environment) {
        Ok(config) => config,
        Err(wrong) => return wrong,
    };
    let port = match port(environment) {
        Ok(port) => port,
        Err(why) => {
            terminal::complain(&why);
            return Exit::Wrong;
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let budgets = Budgets::from(&config);
    let (instances, watch) = (config.instances.len(), config.watch);
    let rekey = match compose(config, environment, Arc::clone(&clock), silent()) {
        Ok(rekey) => rekey,
        Err(error) => {
            terminal::complain(&cause::told(&error));
            return Exit::Wrong;
        }
    };
    if let Metrics::Wrong(faults) = &rekey.config.metrics {
        faults.iter().for_each(|fault| tracing::error!("{}", metrics::wrong(fault)));
    }
    let fault = schedule::no_timer(environment, clock.now());
    if let Some(fault) = &fault {
        tracing::error!("{fault}");
    }
    let service = Dispatcher::new(rekey.clone());
    // On a developer's machine there is no platform whose settings could be wrong.
    let as_deployed = is_in_azure(&|name| environment.get(name).map(ToOwned::to_owned));
    let circumstances = Circumstances { environment: environment.clone(), as_deployed };
    let runner = FirstRun::new(Arc::clone(&service), rekey.clone(), circumstances);
    let served = async {
        let listener = handler::listen(port).await?;
        let address = listener.local_addr()?;
        if let Some(every) = watch {
            tokio::spawn(Arc::clone(&service).watch(every));
        }
        tracing::info!(%address, instances, version = env!("CARGO_PKG_VERSION"), "serving the Functions host");
        let warm = rekey.clone();
        tokio::spawn(async move { warm.warm_up().await });
        let hosting = Hosting { fault, ..Hosting::default() };
        let router = handler::router_with(Arc::new(runner), Arc::clone(&clock), budgets, hosting);
        handler::serve_until(listener, router, Patience::default(), leave(&rekey, parent, &*clock)).await
    };
    match served.await {
        Ok(()) => tracing::warn!("{}", words::HANDLER_ENDS),
        Err(error) => {
            let what = words::handler_cannot_serve(port);
            terminal::complain(&cause::because(&what, Some(&error)));
        }
    }
    Exit::Failed
}

/// How long what is at work may go on once the process is to end. A request to Azure takes half a minute at most, and what
/// it did is recorded in seconds; of a process that is killed before, the lease ends by itself within two minutes.
const LONGEST_LEAVE: Duration = Duration::from_secs(60);

/// How long the webhook may take after that.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Ends when this process is to end and nothing is at work in it any more: no settings are half written, what was begun
/// is on record, and the leases are given back.
async fn leave(rekey: &Engine, parent: Parent, clock: &dyn Clock) {
    let why = tokio::select! {
        () = stopped() => words::HANDLER_ASKED_TO_STOP,
        () = parent.gone(clock) => words::HANDLER_NO_PARENT,
    };
    tracing::warn!("{}", words::handler_ending(why));
    rekey.stop.ask();
    let rested = tokio::select! {
        rested = rested(rekey.at_rest(), clock) => rested,
        // Whoever asks again means at once.
        () = stopped() => std::process::exit(INTERRUPTED),
    };
    if !rested {
        let longest = humantime::format_duration(LONGEST_LEAVE);
        tracing::error!("{}", words::handler_ends_all_the_same(longest));
        return;
    }
    if let Some(notifier) = &rekey.notifier {
        // Dropped announcements are told of in the log by whoever dropped them.
        let _ = tokio::time::timeout(LAST_WORDS, notifier.drain()).await;
    }
    if let Some(metrics) = &rekey.metrics {
        metrics.flush(clock.now() + delta(LAST_WORDS)).await;
    }
}

/// Whether what is at work came to its end in time.
async fn rested(at_rest: impl Future<Output = ()>, clock: &dyn Clock) -> bool {
    tokio::select! {
        biased;
        () = at_rest => true,
        () = clock.sleep(LONGEST_LEAVE) => false,
    }
}

/// The process that started this one.
///
/// The host kills its handler when it stops, but not always: one that gives up on a timer's run, or is killed itself,
/// leaves it behind. Linux could tell by a signal (`PR_SET_PDEATHSIG`), which comes when the *thread* ends that started
/// us, and the host's threads come and go.
#[derive(Clone, Copy, Debug)]
struct Parent(Option<u32>);

/// How often it is looked for. It costs a system call; what an orphan does in a second is what any run may do.
const LOOK_FOR_PARENT: Duration = Duration::from_secs(1);

impl Parent {
    fn of_now() -> Self {
        #[cfg(unix)]
        return Self(Some(std::os::unix::process::parent_id()));
        #[cfg(not(unix))]
        return Self(None);
    }

    /// Ends when it is gone: its children are another's then.
    async fn gone(self, clock: &dyn Clock) {
        if self.0.is_none() {
            return std::future::pending().await;
        }
        while Self::of_now().0 == self.0 {
            clock.sleep(LOOK_FOR_PARENT).await;
        }
    }
}

fn port(environment: &Environment) -> Result<u16, String> {
    let Some(text) = environment.get(HANDLER_PORT) else {
        return Err(words::handler_no_port(HANDLER_PORT));
    };
    text.parse().map_err(|_| words::handler_strange_port(HANDLER_PORT))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use chrono::{DateTime, Utc};

    use super::*;

    /// Time passes as soon as somebody waits for it.
    #[derive(Debug)]
    struct Leaping(Mutex<DateTime<Utc>>);

    #[async_trait::async_trait]
    impl Clock for Leaping {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }

        async fn sleep_until(&self, time: DateTime<Utc>) {
            *self.0.lock().unwrap() = time;
        }
    }

    #[tokio::test]
    async fn what_never_ends_keeps_nobody_for_longer_than_a_minute() {
        let clock = Leaping(Mutex::new(DateTime::UNIX_EPOCH));
        assert!(rested(std::future::ready(()), &clock).await);
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH, "who is at rest is waited for no longer");
        assert!(!rested(std::future::pending(), &clock).await);
        assert_eq!((clock.now() - DateTime::UNIX_EPOCH).to_std(), Ok(LONGEST_LEAVE));
    }
}
