//! What is done to key-values of App Configuration: by other people, and, where both do the same, by whoever asks a store.

use super::{EditError, Unknown, enumerate};
use crate::activity::ActivityKind;
use crate::ids::Key;
use crate::state::State;
use crate::stores::{Item, KeyValue, Name, Store};
use crate::world::app_configurations::is_key;

impl State {
    /// Gives a key-value another value, as a person does in the portal, or makes one. Its content type and tags stay. The
    /// placeholders of the world file stand for the keys of this moment.
    pub fn set_key_value(
        &mut self,
        store: &str,
        key: &str,
        label: Option<&str>,
        value: &str,
    ) -> Result<(), EditError> {
        let (at, name) = (self.store(store)?, Name::new(key, label));
        if !is_key(key) {
            return Err(EditError::BadKey(key.to_owned()));
        }
        let found = self.unlocked(at, &name)?;
        let old = found.map(|found| found.item.clone());
        let value = self.fill(value, &format!("{store}/{name}"))?;
        let planted = self.invalid_keys_in(&[&value]);
        let item = Item { value: Some(value.into()), ..old.unwrap_or_else(|| Item::of(String::new())) };
        self.write_key_value(at, &name, item, planted);
        Ok(())
    }

    /// Says what the value of a key-value is: that of a reference to a Key Vault secret makes it one.
    pub fn set_content_type(
        &mut self,
        store: &str,
        key: &str,
        label: Option<&str>,
        content_type: Option<&str>,
    ) -> Result<(), EditError> {
        let (at, name) = (self.store(store)?, Name::new(key, label));
        let found = self.unlocked(at, &name)?.ok_or_else(|| self.unknown_key_value(at, &name))?;
        let (item, planted) = (found.item.clone(), found.planted.clone());
        let item = Item { content_type: content_type.map(str::to_owned), ..item };
        self.write_key_value(at, &name, item, planted);
        Ok(())
    }

    /// Deletes a key-value.
    pub fn delete_key_value(&mut self, store: &str, key: &str, label: Option<&str>) -> Result<(), EditError> {
        let (at, name) = (self.store(store)?, Name::new(key, label));
        self.unlocked(at, &name)?;
        self.remove_key_value(at, &name).map(drop).ok_or_else(|| self.unknown_key_value(at, &name).into())
    }

    /// Locks a key-value, which then cannot be changed, or unlocks it.
    pub fn lock_key_value(
        &mut self,
        store: &str,
        key: &str,
        label: Option<&str>,
        locked: bool,
    ) -> Result<(), Unknown> {
        let (at, name) = (self.store(store)?, Name::new(key, label));
        self.stores[at].get(&name).ok_or_else(|| self.unknown_key_value(at, &name))?;
        self.set_lock(at, &name, locked);
        Ok(())
    }

    /// The value of a key-value.
    pub fn key_value(&self, store: &str, key: &str, label: Option<&str>) -> Result<String, Unknown> {
        let (at, name) = (self.store(store)?, Name::new(key, label));
        let found = self.stores[at].get(&name).ok_or_else(|| self.unknown_key_value(at, &name))?;
        Ok(found.item.expose().unwrap_or_default().to_owned())
    }

    /// Writes a key-value that is not locked, or makes it.
    pub(crate) fn write_key_value(&mut self, at: usize, name: &Name, item: Item, planted: Vec<Key>) {
        let old = self.stores[at].get(name).and_then(|found| found.item.expose()).map(str::to_owned);
        let place = format!("{}/{name}", self.stores[at].id.name());
        let new = item.expose().map(str::to_owned);
        self.hand_over(&place, old.as_deref(), new.as_deref());
        let (etag, modified) = (self.etags.etag(), self.now);
        let written = KeyValue { etag: etag.clone(), item, locked: false, modified, planted };
        let store = &mut self.stores[at];
        let old = store.key_values.insert(name.clone(), written);
        store.before.insert(name.clone(), old);
        self.key_value_changed(at, name, "written");
        self.announce_key_value(at, name, &etag, false);
    }

    /// Takes a key-value away that is not locked.
    pub(crate) fn remove_key_value(&mut self, at: usize, name: &Name) -> Option<KeyValue> {
        let gone = self.stores[at].key_values.remove(name)?;
        self.stores[at].before.insert(name.clone(), Some(gone.clone()));
        self.key_value_changed(at, name, "deleted");
        self.announce_key_value(at, name, &gone.etag, true);
        Some(gone)
    }

    /// Locks a key-value or unlocks it. That it has another ETag then is no documented rule: what a client remembers of it is
    /// not what there is.
    pub(crate) fn set_lock(&mut self, at: usize, name: &Name, locked: bool) {
        let (etag, now) = (self.etags.etag(), self.now);
        let store = &mut self.stores[at];
        if let Some(found) = store.key_values.get_mut(name) {
            store.before.insert(name.clone(), Some(found.clone()));
            found.locked = locked;
            found.etag = etag;
            found.modified = now;
            self.key_value_changed(at, name, if locked { "locked" } else { "unlocked" });
        }
    }

    fn key_value_changed(&mut self, at: usize, name: &Name, deed: &'static str) {
        self.stores[at].written += 1;
        let key_value = format!("{}/{name}", self.stores[at].id.name());
        self.tell(ActivityKind::KeyValueChanged { key_value, deed });
    }

    pub(crate) fn store(&self, name: &str) -> Result<usize, Unknown> {
        let fits = |store: &Store| store.id.name().eq_ignore_ascii_case(name);
        self.stores.iter().position(fits).ok_or_else(|| {
            let known = self.stores.iter().map(|store| store.id.name());
            Unknown { kind: "App Configuration store", name: name.to_owned(), known: enumerate(known) }
        })
    }

    /// A key-value, if it is there; one that is locked is refused.
    fn unlocked(&self, at: usize, name: &Name) -> Result<Option<&KeyValue>, EditError> {
        match self.stores[at].get(name) {
            Some(found) if found.locked => Err(EditError::Locked(name.to_string())),
            found => Ok(found),
        }
    }

    fn unknown_key_value(&self, at: usize, name: &Name) -> Unknown {
        let known: Vec<String> = self.stores[at].key_values.keys().map(ToString::to_string).collect();
        let known = enumerate(known.iter().map(String::as_str));
        Unknown { kind: "key-value", name: name.to_string(), known }
    }
}
