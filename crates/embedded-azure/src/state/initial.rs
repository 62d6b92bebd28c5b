//! The vaults and stores of a world as it begins.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::placeholders::{self, Placeholders};
use crate::random::IdMaker;
use crate::stores::{AccessKey, Item, KeyValue, Name, Store};
use crate::vaults::{Content, Vault, Version};
use crate::world::{World, WorldError, app_configurations};

pub(super) fn vaults(
    world: &World,
    pairs: &Placeholders,
    versions: &mut IdMaker,
    now: DateTime<Utc>,
) -> Result<Vec<Vault>, WorldError> {
    let mut vaults = Vec::new();
    for (spec, id) in world.vaults.iter().zip(world.vault_ids()) {
        let mut vault = Vault { id, secrets: BTreeMap::new() };
        for (name, secret) in &spec.secrets {
            let value = placeholders::fill(&secret.value, pairs, &format!("{}/{name}", spec.name))?;
            let content = Content {
                content_type: secret.content_type.clone(),
                tags: secret.tags.clone(),
                enabled: secret.enabled,
                exp: secret.exp,
                ..Content::of(value)
            };
            vault.add(name, Version::new(versions.version(), content, now));
        }
        vaults.push(vault);
    }
    Ok(vaults)
}

pub(super) fn stores(
    world: &World,
    pairs: &Placeholders,
    etags: &mut IdMaker,
    now: DateTime<Utc>,
) -> Result<Vec<Store>, WorldError> {
    let mut stores = Vec::new();
    for (spec, id) in world.app_configurations.iter().zip(world.app_configuration_ids()) {
        let access_key = spec
            .access_key
            .clone()
            .map(|app_configurations::AccessKey { id, secret }| AccessKey { id, secret: secret.into() });
        let sync_id = etags.opaque(8);
        let (key_values, before) = (BTreeMap::new(), BTreeMap::new());
        let mut store = Store { id, key_values, before, access_key, sync_id, written: 0 };
        for one in &spec.key_values {
            let name = Name::new(&one.key, one.label.as_deref());
            let value = placeholders::fill(&one.value, pairs, &format!("{}/{name}", spec.name))?;
            let (content_type, tags) = (one.content_type.clone(), one.tags.clone());
            let item = Item { content_type, tags, ..Item::of(value) };
            let (etag, planted) = (etags.etag(), Vec::new());
            let found = KeyValue { etag, item, locked: one.locked, modified: now, planted };
            store.key_values.insert(name, found);
        }
        stores.push(store);
    }
    Ok(stores)
}
