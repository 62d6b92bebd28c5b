//! `demo --storm`: months of rotations in which everything goes wrong that can, on an Azure that is built in, in virtual
//! time and from one seed. Start at [`storm`].
//!
//! ```text
//! round: let time pass -> faults (what others do, what goes wrong) -> one run over each service, maybe killed
//! ```
//!
//! Each run is a fresh process in all that matters: it has a new name and remembers nothing but what is in the store.
//! `world` is what it goes over. `faults` is what happens to it, and `lasting` what of it lasts; `others` are those whom no
//! worker can change; `held` is what holds rotations back, and `care` has those who see to it; `flaky_store` is the store that
//! fails with it, `run` has the workers and compares what they say with what is true, `judge` goes by what they did, and
//! `invariants` is what must hold in the end.
//!
//! Guarantee: the same seed plays the same storm. Everything is on one thread, and one run at a time; the faults are drawn
//! from one stream, and none depends on which of two requests of one run came first.

mod care;
mod faults;
mod flaky_store;
mod held;
mod invariants;
mod judge;
mod lasting;
mod others;
mod run;
mod world;

use chrono::TimeDelta;
use fastrand::Rng;

pub use self::invariants::StormSummary;
pub use self::judge::Moves;
pub use self::run::{Bent, StormOptions};

use self::care::Care;
use self::faults::Faults;
use self::flaky_store::Kill;
use self::others::Others;
use self::run::Storm;
use super::Trouble;
use crate::clock::Clock;
use crate::report::cause;
use rekey_core::intent::Intent;
use rekey_core::model::ServiceId;

/// A storm in which no rotation is completed in this many rounds in a row hangs. A rotation takes about thirty.
const PATIENCE: u64 = 3000;

/// Plays a storm to its end, on this thread. `hear` is told how far it is after each rotation.
pub fn storm(options: &StormOptions, hear: impl Fn(u64)) -> Result<StormSummary, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cause::because("the storm cannot be started", Some(&error)))?;
    runtime.block_on(Box::pin(play(options, hear))).map_err(|trouble| trouble.to_string())
}

async fn play(options: &StormOptions, hear: impl Fn(u64)) -> Result<StormSummary, Trouble> {
    let mut storm = Storm::new(options).await?;
    let mut faults = Faults::new(options.seed);
    let mut rng = Rng::with_seed(options.seed ^ 0x0bad_5eed);
    let mut others = Others::new(options.seed, &storm.azure, storm.clock.now());
    let mut care = Care::new(options.seed);
    let mut last = (0, 0);
    // A worker that is wrong has been found out.
    let is_found = |storm: &Storm| options.bent.is_some() && !storm.untrue.is_empty();
    while storm.rotations() < options.rotations && storm.rounds - last.1 < PATIENCE && !is_found(&storm) {
        let next = storm.next_round(&mut rng);
        others.until(&storm, next).await;
        storm.begin_round();
        others.begin_round(&storm);
        care.begin_round(&mut storm).await?;
        let kill = faults.begin_round(&mut storm);
        round(&mut storm, &mut rng, kill).await?;
        faults.end_round(&storm);
        if storm.rotations() > last.0 {
            last = (storm.rotations(), storm.rounds);
            hear(last.0);
        }
    }
    let hung = storm.rounds - last.1 >= PATIENCE;
    faults.end(&mut storm);
    if !is_found(&storm) {
        settle(&mut storm, &mut others).await?;
    }
    Ok(invariants::check(options, &storm, (&faults, &care), hung).await)
}

/// Runs with nothing going wrong, and with everybody doing what he is waited for, until all is settled or so much time has
/// gone by that every freeze is over, and a window has been open for a day.
async fn settle(storm: &mut Storm, others: &mut Others) -> Result<(), Trouble> {
    let end = storm.clock.now() + TimeDelta::days(8);
    while storm.clock.now() < end && !storm.run_in_calm().await? {
        Care::see_to_all(storm).await;
        let now = storm.clock.now();
        let next = storm.rests_until().filter(|until| now < *until).unwrap_or(now + TimeDelta::minutes(10));
        others.until(storm, next.min(end)).await;
    }
    // So that nothing hides behind the last request.
    others.until(storm, storm.clock.now() + TimeDelta::hours(2)).await;
    Ok(())
}

/// One run over each service, in an order that is drawn.
async fn round(storm: &mut Storm, rng: &mut Rng, mut kill: Option<Kill>) -> Result<(), Trouble> {
    storm.rounds += 1;
    let mut services: Vec<ServiceId> = storm.config.instances.iter().map(|known| known.id.clone()).collect();
    rng.shuffle(&mut services);
    for service in services {
        let purpose = match rng.u8(0..100) {
            0..8 => Intent::check(),
            8..16 => Intent::regenerated(None),
            16..20 => Intent::stand_in(),
            _ => Intent::timer(),
        };
        storm.run(&service, purpose, kill.take_if(|kill| kill.runs_left == 0)).await?;
        if let Some(kill) = &mut kill {
            kill.runs_left = kill.runs_left.saturating_sub(1);
        }
    }
    Ok(())
}

/// Plays it beside the program's own runtime, which goes on to hear signals.
pub(crate) async fn beside(
    options: StormOptions,
    hear: impl Fn(u64) + Send + 'static,
) -> Result<StormSummary, Trouble> {
    let (done, end) = tokio::sync::oneshot::channel();
    // A thread of its own, not one of the runtime's: those are waited for when somebody stops the demo.
    let played = std::thread::Builder::new().name("storm".into());
    let spawned = played.spawn(move || {
        // Whoever waited may be gone.
        let _ = done.send(storm(&options, hear));
    });
    spawned.map_err(|error| Trouble::of("the storm cannot be started", &error))?;
    let ended = end.await.map_err(|_| Trouble::new("the storm broke off"))?;
    ended.map_err(Trouble::new)
}
