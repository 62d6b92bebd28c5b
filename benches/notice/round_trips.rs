//! Round trips from the notice to the first write, counted by the embedded Azure, in a process that has done something
//! before and in a new one of the program, with Blob Storage. The least is what is left when all is asked side by side that
//! does not need another's answer: the keys, then what the apps hold, the intent on record, and the write; and in a new
//! process its token before those.

use super::common::round_trips::{Counted, Scene};
use super::table::Figure;

/// The figures, and what was asked one after another.
pub(crate) async fn counted(runs: usize) -> ([Figure; 3], String) {
    let scene = Scene::new().await;
    let (mut warm, mut cold) = (scene.warm().await, scene.process().await);
    // On a busy machine more can be counted than there are, never fewer.
    for _ in 1..runs {
        warm = least(warm, scene.warm().await);
        cold = least(cold, scene.process().await);
    }
    let figures = [
        figure("warm, Azure Resource Manager alone", &warm.arm, 2, 3),
        figure("warm, in all", &warm.all, 4, 5),
        figure("a new process, in all", &cold.all, 5, 5),
    ];
    let told = |name: &str, chain: &[String]| format!("{name}: {}", chain.join("; "));
    (figures, [told("warm", &warm.all), told("new", &cold.all)].join("\n"))
}

fn least(one: Counted, other: Counted) -> Counted {
    let shorter = |one: Vec<String>, other: Vec<String>| if other.len() < one.len() { other } else { one };
    Counted { arm: shorter(one.arm, other.arm), all: shorter(one.all, other.all) }
}

fn figure(name: &str, chain: &[String], least: usize, goal: usize) -> Figure {
    let trips = chain.len();
    Figure {
        name: name.into(),
        ours: trips.to_string(),
        floor: least.to_string(),
        ratio: trips as f64 / least as f64,
        goal: format!("<= {goal}"),
        reached: trips <= goal,
    }
}
