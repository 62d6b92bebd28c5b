//! `demo --storm`: months of rotations in which everything goes wrong that can, on an Azure that is built in, in virtual
//! time and from one seed. Start at `storm`.
//!
//! ```text
//! round: let time pass -> weather (what others do, what goes wrong) -> one pass over each instance, maybe killed
//! ```
//!
//! Each pass is a fresh process in all that matters: it has a new name and remembers nothing but what is in the store.
//! `weather` is what happens to it, and `spell` what of it lasts; `ledger` is the store that fails with the weather,
//! `judge` what must hold: of every run that ends well, and in the end.
//!
//! Guarantee: the same seed plays the same storm. Everything runs on one thread, and one pass at a time; the weather is
//! drawn from one stream, and no fault depends on which of two requests of one pass came first.

mod crew;
mod judge;
mod ledger;
mod spell;
mod summary;
mod weather;
mod world;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

pub use self::summary::StormSummary;

use self::crew::Crew;
use self::weather::Weather;
use super::Trouble;
use crate::report::cause;
use rekey_core::intent::Intent;
use rekey_core::model::ServiceId;
use rekey_core::policy::Policy;

/// What kind of storm.
#[derive(Clone, Debug)]
pub struct StormOptions {
    /// Where everything in it comes from.
    pub seed: u64,
    /// How many rotations it lasts, of all instances together.
    pub rotations: u64,
    /// What the worker is told. A grace shorter than the life of client tokens must be found out.
    pub policy: Policy,
    /// The interval between two client calls of an app.
    pub tick: Duration,
    /// Whether workers leave out the apps that they cannot read, instead of saying so: it must be found out.
    pub blind: bool,
}

impl StormOptions {
    /// A storm of this seed and length, under the usual policy.
    #[must_use]
    pub fn new(seed: u64, rotations: u64) -> Self {
        Self { seed, rotations, policy: Policy::default(), tick: Duration::from_secs(600), blind: false }
    }
}

/// A storm in which no rotation is completed in this many rounds in a row hangs. A rotation takes about thirty.
const PATIENCE: u64 = 3000;

/// Plays a storm to its end, on this thread. `hear` is told how far it is after each rotation.
pub fn storm(options: &StormOptions, hear: impl Fn(u64)) -> Result<StormSummary, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cause::because("the storm cannot be started", Some(&error)))?;
    runtime.block_on(Box::pin(play(options, hear))).map_err(|trouble| trouble.to_string())
}

async fn play(options: &StormOptions, hear: impl Fn(u64)) -> Result<StormSummary, Trouble> {
    let mut crew = Crew::new(options).await?;
    crew.blind = options.blind;
    let mut weather = Weather::new(options.seed);
    let mut rng = Rng::with_seed(options.seed ^ 0x0bad_5eed);
    let mut last = (0, 0);
    while crew.rotations() < options.rotations && crew.rounds - last.1 < PATIENCE {
        crew.let_time_pass(&mut rng);
        let kill = weather.turn(&mut crew);
        round(&mut crew, &mut rng, kill).await?;
        weather.calm_down(&crew);
        if crew.rotations() > last.0 {
            last = (crew.rotations(), crew.rounds);
            hear(last.0);
        }
    }
    let hung = crew.rotations() < options.rotations;
    weather.clear(&mut crew);
    crew.settle().await?;
    Ok(judge::judge(options, &crew, &weather, hung).await)
}

/// One pass over each instance, in an order that is drawn.
async fn round(crew: &mut Crew, rng: &mut Rng, mut kill: Option<weather::Kill>) -> Result<(), Trouble> {
    crew.rounds += 1;
    let mut instances: Vec<ServiceId> = crew.config.instances.iter().map(|known| known.id.clone()).collect();
    rng.shuffle(&mut instances);
    for instance in instances {
        let purpose = match rng.u8(0..100) {
            0..8 => Intent::check(),
            8..16 => Intent::regenerated(None),
            16..20 => Intent::stand_in(),
            _ => Intent::timer(),
        };
        crew.pass(&instance, purpose, kill.take_if(|kill| kill.passes_left == 0)).await?;
        if let Some(kill) = &mut kill {
            kill.passes_left = kill.passes_left.saturating_sub(1);
        }
    }
    Ok(())
}

/// Plays it beside the program's own runtime, which goes on to hear signals.
pub(super) async fn beside(
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

/// What does not depend on the storm: hears nothing.
fn silent() -> crate::engine::Narrator {
    Arc::new(|_, _| {})
}
