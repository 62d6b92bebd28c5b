//! Who takes part: the apps of the usual demo, or one consumer of every kind.
//!
//! Start at [`Cast`]. What only others can change is played here too: it takes the key that an app beside it has, and says
//! so to `OnReport`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use embedded_azure::{AppId, EmbeddedAzure, Key, KeyType, World};

use super::{Trouble, setup};

/// Who takes part.
pub(super) struct Cast {
    pub(super) world: World,
    /// The names, as the embedded Azure reports them, of those who sign calls, each with the kinds of the consumers that its
    /// key comes from.
    signers: Vec<(String, Vec<&'static str>)>,
    /// Those that only others can change: their kinds and names.
    pub(super) others: Vec<(&'static str, &'static str)>,
    /// How long a regeneration takes: a minute in Azure.
    pub(super) regenerate_takes: Duration,
    /// What `rekey.toml` has besides what the world tells.
    more: &'static str,
}

/// What is in none of the world's lists: for whom secrets and key-values are, and what is no resource of Azure.
const MORE: &str = r#"vault_secrets = [{ id = "https://kv-demo.vault.azure.net/secrets/signalr", readers_within = "0s" }]
app_configuration = [{ endpoint = "https://cs-demo.azconfig.io", key = "Azure:SignalR:ConnectionString", label = "prod", readers_within = "0s" }]
reporters = ["iis-01"]
manual = [{ name = "partner-gateway", owner = "chat team" }]
"#;

impl Cast {
    /// A web app with a slot, and a function app.
    pub(super) fn usual() -> Self {
        Self::of(World::default(), "", vec![], Duration::from_secs(2))
    }

    /// One consumer of every kind.
    pub(super) fn of_every_kind() -> Result<Self, Trouble> {
        let world = serde_json::from_str(include_str!("every_kind.json"));
        let world = world.map_err(|error| Trouble::of("the world of every kind cannot be read", &error))?;
        let others = vec![("reporter", "iis-01"), ("manual", "partner-gateway")];
        Ok(Self::of(world, MORE, others, Duration::from_secs(1)))
    }

    fn of(
        world: World,
        more: &'static str,
        others: Vec<(&'static str, &'static str)>,
        regenerate_takes: Duration,
    ) -> Self {
        let mut signers = Vec::new();
        for service in &world.signalr {
            for app in world.apps_of(service).iter().map(AppId::name) {
                let kinds = match app.as_str() {
                    "by-vault" => vec!["appService", "keyVaultSecret"],
                    "by-store" => vec!["appService", "keyValue"],
                    _ => vec!["appService"],
                };
                signers.push((app, kinds));
            }
            let containers = world.containers_of(service).into_iter();
            signers.extend(containers.map(|id| (named(&id), vec!["containerApp"])));
            let sites = world.static_web_apps_of(service).into_iter();
            signers.extend(sites.map(|id| (named(&id), vec!["staticWebApp"])));
        }
        Self { world, signers, others, regenerate_takes, more }
    }

    /// The whole of rekey.toml.
    pub(super) fn rekey_toml(&self) -> String {
        format!("{}{}", setup::rekey_toml(&self.world), self.more)
    }

    /// Who signs calls.
    pub(super) fn names(&self) -> Vec<String> {
        self.signers.iter().map(|(name, _)| name.clone()).collect()
    }

    /// How many consumers of each kind hold the key of a service that is in use; `reported` is what those that only others can
    /// change said last. Somebody who holds another key is told.
    pub(super) fn consumers(
        &self,
        sim: &EmbeddedAzure,
        service: &str,
        in_use: KeyType,
        reported: &BTreeMap<&'static str, Key>,
    ) -> Result<BTreeMap<&'static str, usize>, Trouble> {
        let mut consumers = BTreeMap::new();
        for (name, kinds) in &self.signers {
            let runs = sim.with(|state| state.runs_with(name));
            let runs = runs.map_err(|error| Trouble::of("a consumer cannot be seen", &error))?;
            if runs.iter().map(|(of, key)| (of.as_str(), *key)).ne([(service, Some(in_use))]) {
                return Err(Trouble::new(format!("{name} runs with another key than the others: {runs:?}")));
            }
            kinds.iter().for_each(|kind| *consumers.entry(*kind).or_default() += 1);
        }
        let keys = sim.keys(service).map_err(|error| Trouble::of("the keys cannot be read", &error))?;
        for (kind, name) in &self.others {
            if reported.get(name) != Some(&keys[in_use]) {
                return Err(Trouble::new(format!("{name} has not reported the key that the others hold")));
            }
            *consumers.entry(*kind).or_default() += 1;
        }
        Ok(consumers)
    }
}

/// How the embedded Azure names in reports what is no site: `containerApps/NAME`.
fn named(id: &impl Display) -> String {
    let id = id.to_string();
    let parts: Vec<&str> = id.rsplit('/').take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}
