//! What one setting's value says about who holds which key.

use crate::arm::Settings;
use crate::config::AppConfig;
use crate::journal::Journal;
use crate::model::{ConnectionString, KeyPair, KeyType, Section, looks_like_key_vault_reference};
use crate::plan::{Consumer, ConsumerRef, Holding, Snapshot, Unknown};

/// What a value is compared with.
pub(super) struct Seen<'a> {
    pub(super) keys: &'a KeyPair,
    pub(super) host: &'a str,
    pub(super) journal: &'a Journal,
}

/// What a value turned out to be.
enum Value {
    Holds(Holding),
    KeyVaultReference,
    KeyInOtherText,
    Other,
}

impl Seen<'_> {
    /// Adds what one dictionary of an app shows.
    pub(super) fn settings(
        &self,
        app: &AppConfig,
        section: Section,
        settings: &Settings,
        out: &mut Snapshot,
    ) {
        let named = match section {
            Section::AppSettings => &app.settings,
            Section::ConnectionStrings => &app.connection_strings,
        };
        let by_value = app.settings.is_empty() && app.connection_strings.is_empty();
        for (name, value) in settings.exposed() {
            let is_named = named.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
            if by_value || is_named {
                self.add(app, section, name, self.value(value.unwrap_or_default()), is_named, out);
            }
        }
        let there = |wanted: &String| settings.exposed().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        for name in named.iter().filter(|wanted| !app.may_hold_none && !there(wanted)) {
            out.unknown.push(Unknown::Missing { app: app.id.clone(), name: name.clone() });
        }
    }

    fn add(
        &self,
        app: &AppConfig,
        section: Section,
        name: &str,
        value: Value,
        named: bool,
        out: &mut Snapshot,
    ) {
        let (id, text) = (app.id.clone(), name.to_owned());
        match value {
            Value::Holds(holds) => {
                out.consumers.push(Consumer { at: ConsumerRef { app: id, section, name: text }, holds });
            }
            // References are common for other secrets; only one that is meant for us stands in the way.
            Value::KeyVaultReference if named || name.to_lowercase().contains("signalr") => {
                out.unknown.push(Unknown::KeyVaultReference { app: id, name: text });
            }
            Value::KeyInOtherText => out.unknown.push(Unknown::KeyInOtherText { app: id, name: text }),
            Value::KeyVaultReference | Value::Other if named => {
                out.unknown.push(Unknown::NotOurs { app: id, name: text });
            }
            Value::KeyVaultReference | Value::Other => {}
        }
    }

    fn value(&self, value: &str) -> Value {
        if looks_like_key_vault_reference(value) {
            return Value::KeyVaultReference;
        }
        let holding = ConnectionString::parse(value).ok().and_then(|parsed| self.holding(&parsed));
        if let Some(holding) = holding {
            return Value::Holds(holding);
        }
        let contains =
            self.keys.iter().any(|(_, key)| !key.expose().is_empty() && value.contains(key.expose()));
        if contains { Value::KeyInOtherText } else { Value::Other }
    }

    /// What a connection string holds, if it is the instance's: by its host, or, behind a custom domain or a gateway,
    /// by its key.
    pub(super) fn holding(&self, string: &ConnectionString) -> Option<Holding> {
        let ours = !self.host.is_empty() && string.host().eq_ignore_ascii_case(self.host);
        let Some(key) = string.key() else { return ours.then_some(Holding::Identity) };
        if let Some(key_type) = KeyType::ALL.into_iter().find(|key_type| self.keys[*key_type] == key) {
            return Some(Holding::Valid(key_type));
        }
        let fingerprint = key.fingerprint();
        (ours || self.journal.remembers(&fingerprint)).then_some(Holding::Stale(fingerprint))
    }
}
