//! Secrets of named vaults and key-values of named stores that hold a key of a service and that no app refers to: what is
//! behind them, and who reads it, shows nowhere in Azure.

use std::collections::BTreeSet;

use futures::FutureExt;
use serde_json::Value;

use super::others::Other;
use super::{Known, Read, named_unread};
use crate::azure::arm::{Arm, ArmErrorKind, Barrier};
use crate::azure::consumers::app_configuration::{self, KeyValue};
use crate::azure::consumers::key_vault::Secret;
use crate::azure::consumers::{Contents, Place, key_vault};
use crate::azure::discovery::{at_once, by_value};
use crate::report::cause;
use crate::report::text::{InWords, snapshot};
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, KeyValueId, SecretId};
use rekey_core::plan::{Holding, SettingFault};

/// Which vaults and stores are looked through, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    vaults: Vec<String>,
    stores: Vec<String>,
}

/// What was given is no name of a vault or store.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a vault or store, which has letters, digits and hyphens: correct --vault or --app-configuration"
)]
pub struct StrangeName(String);

impl Named {
    /// Reads what was given: names, for a host may be anybody's.
    pub fn read(vaults: &[String], stores: &[String]) -> Result<Self, StrangeName> {
        let is_name = |name: &String| {
            !name.is_empty() && name.bytes().all(|sign| sign.is_ascii_alphanumeric() || sign == b'-')
        };
        match vaults.iter().chain(stores).find(|name| !is_name(name)) {
            Some(strange) => Err(StrangeName(strange.clone())),
            None => Ok(Self { vaults: vaults.to_vec(), stores: stores.to_vec() }),
        }
    }
}

/// What they hold. It may hold key material; it is shown nowhere.
pub(super) struct Stores {
    secrets: Vec<(SecretId, Secret)>,
    key_values: Vec<(KeyValueId, KeyValue)>,
    /// The secrets that could not be read, and why: each may hold a key of any service.
    pub(super) closed: Vec<(SecretId, String)>,
    /// The secrets that nobody can read, for they are disabled.
    pub(super) unread: Vec<(String, String)>,
    /// What could not be listed, and why.
    pub(super) unlisted: Vec<(String, String)>,
}

impl Stores {
    pub(super) async fn read(arm: &Arm, named: &Named) -> Self {
        let (mut ids, mut key_values, mut unlisted) = (Vec::new(), Vec::new(), Vec::new());
        for vault in &named.vaults {
            match key_vault::list(arm, vault).await {
                Ok(found) => ids.extend(found),
                Err(error) => unlisted.push((format!("a secret of the vault {vault}"), cause::told(&error))),
            }
        }
        for store in &named.stores {
            match app_configuration::list(arm, store).await {
                Ok(found) => key_values.extend(found),
                Err(error) => {
                    unlisted.push((format!("a key-value of the store {store}"), cause::told(&error)))
                }
            }
        }
        let asked = ids.into_iter().map(|id| {
            async move {
                let read = Place::of_secret(id.clone()).read(arm).await;
                (id, read)
            }
            .boxed()
        });
        let (mut secrets, mut closed, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for (id, read) in at_once(asked).await {
            match read {
                Ok(Contents::Secret(secret)) => secrets.push((id, secret)),
                Ok(_) => {}
                Err(error) if error.kind() == ArmErrorKind::Barred(Barrier::SecretDisabled) => {
                    unread.push((id.to_string(), cause::told(&error)));
                }
                Err(error) => closed.push((id, cause::told(&error))),
            }
        }
        Self { secrets, key_values, closed, unread, unlisted }
    }

    /// Those that hold a key of a service, or a text with one that cannot be replaced, or that could not be read, and that none of
    /// these apps refers to.
    pub(super) fn of(&self, known: &Known, apps: &[Read]) -> Vec<Other> {
        let journal = Journal::default();
        let marks = known.marks(&journal);
        let followed: BTreeSet<SecretId> = apps
            .iter()
            .flat_map(|(app, read, _)| read.followed(&by_value(app)))
            .map(|one| one.reference.secret)
            .collect();
        let read: BTreeSet<KeyValueId> = apps
            .iter()
            .flat_map(|(app, read, _)| read.readers(&by_value(app), &[]))
            .map(|one| one.of)
            .collect();
        let secrets = self.secrets.iter().filter(|(id, _)| !followed.contains(id));
        let secrets =
            secrets.map(|(id, secret)| (ConsumerId::KeyVaultSecret(id.clone()), secret.shows(marks)));
        let key_values = self.key_values.iter().filter(|(id, _)| !read.contains(id));
        // What leads to a secret is given with it.
        let key_values = key_values.filter(|(_, one)| !one.is_reference());
        let key_values = key_values.map(|(id, one)| (ConsumerId::KeyValue(id.clone()), one.shows(marks)));
        let closed = self.closed.iter().filter(|(id, _)| !followed.contains(id)).map(|(id, why)| {
            let seen = vec![named_unread(why), snapshot::KEPT_READERS.to_owned()];
            Other { holds: true, id: ConsumerId::KeyVaultSecret(id.clone()), seen }
        });
        secrets.chain(key_values).filter_map(|(id, shown)| kept(id, &shown)).chain(closed).collect()
    }
}

fn kept(id: ConsumerId, shown: &[Result<Holding, SettingFault>]) -> Option<Other> {
    let is_key = |one: &&Result<Holding, SettingFault>| !matches!(one, Ok(Holding::Identity));
    let said = |one: &Result<Holding, SettingFault>| match one {
        Ok(holding) => snapshot::kept(&holding.in_words()),
        Err(_) => snapshot::KEPT_OUT_OF_REACH.to_owned(),
    };
    let mut seen: Vec<String> = shown.iter().filter(is_key).map(said).collect();
    if seen.is_empty() {
        return None;
    }
    seen.dedup();
    seen.push(snapshot::KEPT_READERS.to_owned());
    Some(Other { holds: true, id, seen })
}

/// How a consumer is written in a list of an entry.
pub(super) fn entry(id: &ConsumerId) -> String {
    // A string of JSON is one of TOML too.
    let text = |text: &str| Value::from(text).to_string();
    match id {
        ConsumerId::KeyVaultSecret(secret) => {
            format!("{{ id = {}, readers_within = \"24h\" }}", text(&secret.to_string()))
        }
        ConsumerId::KeyValue(at) => {
            let (endpoint, key) = (text(&format!("https://{}", at.host())), text(at.key()));
            let label = at.label().map(|label| format!(", label = {}", text(label))).unwrap_or_default();
            format!("{{ endpoint = {endpoint}, key = {key}{label}, readers_within = \"24h\" }}")
        }
        other => format!("\"{other}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_alone_are_taken() {
        let text = |text: &str| vec![text.to_owned()];
        assert!(Named::read(&text("kv-demo"), &text("cs-demo")).is_ok());
        for strange in ["", "kv.example.org", "https://kv", "a/b", "a b"] {
            assert_eq!(Named::read(&text(strange), &[]), Err(StrangeName(strange.into())));
            assert_eq!(Named::read(&[], &text(strange)), Err(StrangeName(strange.into())));
        }
    }
}
