//! What a rotation costs where apps get their string through one Key Vault secret. The least is: `listKeys` once and two
//! regenerations with their polls; the secret read once, written once, and its versions listed once, for there is no condition
//! to write on; and of each reader its settings, what its reference leads to, and one write, without which it fetches nothing.
//! What it asks besides is counted here: all of it is looked at once more after the write, or nobody would know that the
//! readers have the new key.

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_azure::{Secret, SignalR, Site, Vault, World};
use signalr_rekey::config::SecretConfig;

use super::common::DAY;
use super::table::Figure;
use super::{Ending, SETTING, Story, run, since};
use embedded_azure::Options;
use rekey_core::plan::Decision;
use rekey_core::policy::FirstRotation;

const REFERENCE: &str = "@Microsoft.KeyVault(VaultName=kv-bench;SecretName=signalr)";

/// The requests of one rotation with so many readers, beside the least possible.
pub(super) async fn figure(readers: usize) -> Figure {
    let story = story(readers).await;
    let rekey = story.rekey();
    // The first makes sure of what the processes run with, which no later one has to.
    for ending in ["first", "second"] {
        super::rotate(&rekey, &story).await;
        let settled = run(&rekey, &story).await;
        assert!(matches!(settled, Ending::Decided(Decision::Settled { .. })), "{ending}: {settled}");
        story.clock.advance(DAY);
    }
    let before = requests(&story);
    super::rotate(&rekey, &story).await;
    let requests = since(requests(&story), &before);
    let count = |operation: &str| -> u64 {
        requests.iter().filter(|(name, _)| name.starts_with(operation)).map(|(_, count)| count).sum()
    };
    let n = readers as u64;
    // What the formula says of each kind, one by one.
    assert_eq!(count("KeyVault_SetSecret"), 1, "{requests:?}");
    assert_eq!(count("KeyVault_GetSecretVersions"), 1, "{requests:?}");
    assert_eq!(count("WebApps_Update"), n, "{requests:?}");
    let (ours, floor) = (requests.values().sum::<u64>(), 1 + 2 + count("SignalR_Operation") + 3 + 3 * n);
    // Looked at once more after the write, and once more before a key dies (docs/performance.md).
    let goal = 12 + count("SignalR_Operation") + 6 * n;
    assert_eq!(ours, goal, "{requests:?}");
    Figure {
        name: format!("1 secret, {readers} readers"),
        ours: ours.to_string(),
        floor: floor.to_string(),
        ratio: ours as f64 / floor as f64,
        goal: format!("<= {goal}"),
        reached: ours <= goal,
    }
}

async fn story(readers: usize) -> Story {
    let mut story = Story::of(world(readers), Options::default()).await;
    let instance = &mut story.config.instances[0];
    instance.policy.first_rotation = FirstRotation::Now;
    instance.policy.rotate_every = DAY;
    instance.policy.grace = Duration::from_secs(3);
    instance.apps.iter_mut().for_each(|app| app.settings = vec![SETTING.to_owned()]);
    let id = "https://kv-bench.vault.azure.net/secrets/signalr".parse().unwrap();
    instance.vault_secrets = vec![SecretConfig { id, readers_within: Duration::ZERO, unused: false }];
    story
}

fn world(readers: usize) -> World {
    let group = || "rg-bench".to_owned();
    let site = |reader: usize| Site {
        group: group(),
        name: format!("app-{reader:03}"),
        kind: "app".into(),
        settings: BTreeMap::from([(SETTING.to_owned(), REFERENCE.to_owned())]),
        ..Site::default()
    };
    let secrets = BTreeMap::from([("signalr".to_owned(), Secret::new("{primary:sr-bench}"))]);
    World {
        signalr: vec![SignalR { group: group(), name: "sr-bench".into(), ..SignalR::default() }],
        sites: (0..readers).map(site).collect(),
        vaults: vec![Vault { group: group(), name: "kv-bench".into(), secrets }],
        ..World::default()
    }
}

/// Those to Azure Resource Manager and to the vault.
fn requests(story: &Story) -> BTreeMap<&'static str, u64> {
    let report = story.sim.report();
    report.arm_requests.into_iter().chain(report.vault_requests).collect()
}
