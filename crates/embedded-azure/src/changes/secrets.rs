//! What is done to secrets: by other people, and, where both do the same, by whoever asks a vault.

use chrono::TimeDelta;

use super::{EditError, Unknown, enumerate};
use crate::activity::ActivityKind;
use crate::clock::delta;
use crate::ids::Key;
use crate::state::State;
use crate::vaults::{Content, Secret, Vault, Version};
use crate::world::vaults::is_secret_name;

impl State {
    /// Gives a secret a new version with a value alone, as a person does in the portal, or makes one. The placeholders of
    /// the world file stand for the keys of this moment.
    pub fn set_secret(&mut self, vault: &str, name: &str, value: &str) -> Result<(), EditError> {
        let at = self.vault(vault)?;
        if !is_secret_name(name) {
            return Err(EditError::BadName(name.to_owned()));
        }
        if self.vaults[at].deleted(name).is_some() {
            return Err(EditError::Deleted(name.to_owned()));
        }
        let value = self.fill(value, &format!("{vault}/{name}"))?;
        let planted = self.invalid_keys_in(&[&value]);
        self.add_version(at, name, Content::of(value), planted);
        Ok(())
    }

    /// Enables or disables a version of a secret, the newest if none is named.
    pub fn enable_secret(
        &mut self,
        vault: &str,
        name: &str,
        version: Option<&str>,
        enabled: bool,
    ) -> Result<(), Unknown> {
        let at = self.vault(vault)?;
        let now = self.now.timestamp();
        let unknown = self.unknown_secret(at, version.unwrap_or(name));
        let secret = self.vaults[at].secret_mut(name);
        let version = secret.and_then(|secret| secret.version_mut(version)).ok_or(unknown)?;
        version.content.enabled = enabled;
        version.updated = now;
        self.secret_changed(at, name, if enabled { "enabled" } else { "disabled" });
        Ok(())
    }

    /// Deletes a secret, which can be recovered.
    pub fn delete_secret(&mut self, vault: &str, name: &str) -> Result<(), Unknown> {
        let at = self.vault(vault)?;
        let now = self.now.timestamp();
        let unknown = self.unknown_secret(at, name);
        self.vaults[at].secret_mut(name).ok_or(unknown)?.deleted = Some(now);
        self.secret_changed(at, name, "deleted");
        Ok(())
    }

    /// Takes a deletion back.
    pub fn recover_secret(&mut self, vault: &str, name: &str) -> Result<(), Unknown> {
        let at = self.vault(vault)?;
        let unknown = self.unknown_secret(at, name);
        let secret = self.vaults[at].secrets.get_mut(&name.to_lowercase());
        secret.filter(|secret| secret.deleted.is_some()).ok_or(unknown)?.deleted = None;
        self.secret_changed(at, name, "recovered");
        Ok(())
    }

    /// Ends a deleted secret for good.
    pub fn purge_secret(&mut self, vault: &str, name: &str) -> Result<(), Unknown> {
        let at = self.vault(vault)?;
        self.vaults[at].deleted(name).ok_or_else(|| self.unknown_secret(at, name))?;
        self.vaults[at].secrets.remove(&name.to_lowercase());
        self.secret_changed(at, name, "purged");
        Ok(())
    }

    /// The value of a secret's newest version, enabled or not.
    pub fn secret(&self, vault: &str, name: &str) -> Result<String, Unknown> {
        let secret = self.present(vault, name)?;
        Ok(secret.version(None).map(|version| version.content.expose().to_owned()).unwrap_or_default())
    }

    /// How long the newest version of a secret lives from when it was made, in seconds, if it has an end.
    pub fn secret_lifetime(&self, vault: &str, name: &str) -> Result<Option<i64>, Unknown> {
        let newest = self.present(vault, name)?.version(None);
        Ok(newest.and_then(|version| Some(version.content.exp? - version.created)))
    }

    /// Whether the newest version of a secret is enabled.
    pub fn is_secret_enabled(&self, vault: &str, name: &str) -> Result<bool, Unknown> {
        Ok(self.present(vault, name)?.version(None).is_some_and(|version| version.content.enabled))
    }

    /// Lets the clocks of vaults, by which versions have their times, be fast by so many seconds, or slow.
    pub fn skew_vaults(&mut self, seconds: i64) {
        self.vaults_are_fast_by = seconds;
    }

    /// The ids of a secret's versions, the oldest first.
    pub fn secret_versions(&self, vault: &str, name: &str) -> Result<Vec<String>, Unknown> {
        let versions = &self.present(vault, name)?.versions;
        Ok(versions.iter().map(|version| version.id.clone()).collect())
    }

    /// Asks the platform to fetch the references of an app again, as a person does in the portal (docs: Use Key Vault references,
    /// Rotation). It is done after [`refresh_takes`](crate::Options::refresh_takes).
    pub fn refresh_references(&mut self, app: &str) -> Result<(), Unknown> {
        let at = self.app(app)?;
        self.begin_refresh(at);
        Ok(())
    }

    pub(crate) fn begin_refresh(&mut self, app: usize) {
        let done = self.now + delta(self.options.refresh_takes);
        self.apps[app].refreshed_at.get_or_insert(done);
    }

    /// Adds a version to a secret that is not deleted, or makes it.
    pub(crate) fn add_version(&mut self, at: usize, name: &str, content: Content, planted: Vec<Key>) {
        let id = self.versions.version();
        let now = self.now + TimeDelta::seconds(self.vaults_are_fast_by);
        let old = self.vaults[at].secret(name).and_then(|secret| secret.version(None));
        let old = old.map(|version| version.content.expose().to_owned());
        let place = format!("{}/{name}", self.vaults[at].id.name());
        let new = content.expose().to_owned();
        self.hand_over(&place, old.as_deref(), [new.as_str()]);
        let version = Version { planted, ..Version::new(id, content, now) };
        self.announce_secret(at, name, &version);
        self.vaults[at].add(name, version);
        self.secret_changed(at, name, "has a new version");
    }

    pub(crate) fn secret_changed(&self, at: usize, name: &str, deed: &'static str) {
        let secret = format!("{}/{name}", self.vaults[at].id.name());
        self.tell(ActivityKind::SecretChanged { secret, deed });
    }

    pub(crate) fn vault(&self, name: &str) -> Result<usize, Unknown> {
        let fits = |vault: &Vault| vault.id.name().eq_ignore_ascii_case(name);
        self.vaults.iter().position(fits).ok_or_else(|| {
            let known = self.vaults.iter().map(|vault| vault.id.name());
            Unknown { kind: "vault", name: name.to_owned(), known: enumerate(known) }
        })
    }

    fn present(&self, vault: &str, name: &str) -> Result<&Secret, Unknown> {
        let at = self.vault(vault)?;
        self.vaults[at].secret(name).ok_or_else(|| self.unknown_secret(at, name))
    }

    fn unknown_secret(&self, at: usize, name: &str) -> Unknown {
        let state = |secret: &Secret| if secret.deleted.is_some() { " (deleted)" } else { "" };
        let known: Vec<String> = self.vaults[at]
            .secrets
            .values()
            .map(|secret| format!("{}{}", secret.name, state(secret)))
            .collect();
        let known = enumerate(known.iter().map(String::as_str));
        Unknown { kind: "secret or version", name: name.to_owned(), known }
    }
}
