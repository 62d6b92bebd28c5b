//! How many round trips lie between a notice of a forced regeneration and the first write.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use common::round_trips::{Asked, Scene, chain};

/// In a process that has its token: to Azure Resource Manager; with storage, and the question whether the key works.
const WARM: (usize, usize) = (3, 5);

/// In a new process, with its token, storage and that question.
const COLD: usize = 5;

/// How often it is counted: on a machine that stalls, requests that were sent side by side can be answered one after
/// another. Fewer than there are can never be counted.
const TIMES: usize = 3;

/// What is asked one after another, counted again where it is more than expected.
async fn chained(expected: usize, count: impl AsyncFn() -> Vec<String>) -> Vec<String> {
    let mut chain = count().await;
    for _ in 1..TIMES {
        if chain.len() > expected {
            chain = count().await;
        }
    }
    chain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_process_writes_after_three_round_trips_to_arm() {
    let scene = Scene::new().await;
    let arm = chained(WARM.0, async || scene.warm().await.arm).await;
    assert!(arm.len() <= WARM.0, "{arm:#?}");
    let all = chained(WARM.1, async || scene.warm().await.all).await;
    assert!(all.len() <= WARM.1, "{all:#?}");
}

/// All that is read goes out together: the keys; all else; whether the keys work, and the lease; the intent; the secret; the list of
/// its versions; that it was written; and the settings of its readers.
const OF_A_SECRET: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_of_a_secret_are_written_after_eight() {
    let scene = Scene::of_a_secret().await;
    let all = chained(OF_A_SECRET, async || scene.warm().await.all).await;
    assert!(all.len() <= OF_A_SECRET, "{all:#?}");
    assert!(all.iter().any(|what| what.starts_with("KeyVault_GetSecretVersions")), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_writes_after_five_with_its_token() {
    let scene = Scene::new().await;
    let all = chained(COLD, async || scene.cold().await.all).await;
    assert!(all.len() <= COLD, "{all:#?}");
    assert!(all.iter().any(|what| what.starts_with("Entra_Token")), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_of_the_program_needs_no_more() {
    let scene = Scene::new().await;
    let all = chained(COLD, async || scene.process().await.all).await;
    assert!(all.len() <= COLD, "{all:#?}");
}

#[test]
fn a_chain_is_of_what_began_after_the_answer_before() {
    let asked = |what: &str, begun, answered| Asked { what: what.into(), begun, answered };
    let all = [
        asked("a", 1, 4),
        // Beside it, and as long.
        asked("b", 2, 3),
        // After both.
        asked("c", 5, 9),
        // After those, and before the last was answered.
        asked("d", 6, 7),
        asked("e", 8, 11),
        asked("f", 10, 12),
    ];
    let to = |last: &str| chain(&all, |one| one.what == last).len();
    assert_eq!(["a", "b", "c", "d", "e", "f", "none"].map(to), [1, 1, 2, 2, 3, 3, 0]);
    assert_eq!(chain(&all, |_| true).len(), 3);
}
