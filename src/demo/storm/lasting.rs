//! Faults that last some rounds, and keep workers from reading an app, from writing it, or from understanding it.

use std::sync::Arc;

use embedded_azure::{BarrierKind, KeyType, State};

use super::run::Storm;
use super::world::{CONFIGURED, Consumer, FOLLOWED, KEY, READERS, STORE, VAULT};
use crate::config::AppConfig;
use rekey_core::model::AppId;

/// One of them, under way.
pub(super) struct Lasting {
    until: u64,
    kind: Kind,
    consumer: Consumer,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A read-only lock on the app.
    LockOnApp,
    /// The same on everything.
    LockOnGroup,
    /// A lock that keeps from deleting alone: nothing comes of it.
    DeleteLock,
    /// A policy against what the app is set to.
    Policy,
    /// A deny assignment on writing the app's settings.
    DenyAssignment,
    /// The role on the app is missing.
    NoRole,
    /// The subscription is disabled.
    DisabledSubscription,
    /// The configuration names an app that there never was.
    MistypedId,
    /// The app is in another group than it is configured with.
    Moved,
    /// The app's string is in a vault.
    Reference,
    /// The app's setting holds the bare key: nothing is in the way, for that is rotated and repaired as a string is.
    BareKey,
    /// A secret is disabled.
    SecretDisabled(&'static str),
    /// A secret is deleted, and recovered in the end.
    SecretDeleted(&'static str),
    /// The key-value is locked.
    KeyValueLocked,
    /// The identity of an app may not read the secret that it refers to.
    ReaderDenied(&'static str),
    /// New replicas of a container app do not come up.
    ContainerBroken(&'static str),
    /// The role on what is written to a vault is missing.
    NoRoleOnVault,
}

const KINDS: [Kind; 20] = [
    Kind::LockOnApp,
    Kind::LockOnGroup,
    Kind::DeleteLock,
    Kind::Policy,
    Kind::DenyAssignment,
    Kind::NoRole,
    Kind::DisabledSubscription,
    Kind::MistypedId,
    Kind::Moved,
    Kind::Reference,
    Kind::BareKey,
    Kind::SecretDisabled(FOLLOWED),
    Kind::SecretDisabled(CONFIGURED),
    Kind::SecretDeleted(CONFIGURED),
    Kind::KeyValueLocked,
    Kind::ReaderDenied(READERS[0]),
    Kind::ReaderDenied(READERS[1]),
    Kind::ContainerBroken("api-east"),
    Kind::ContainerBroken("api-west"),
    Kind::NoRoleOnVault,
];

/// Where apps are moved to.
const ELSEWHERE: &str = "rg-elsewhere";

impl Lasting {
    /// Lets one begin that a number picks; nothing where it cannot.
    pub(super) fn begin(storm: &mut Storm, consumer: &Consumer, pick: u8, until: u64) -> Option<Self> {
        let kind = KINDS[usize::from(pick) % KINDS.len()];
        let app = app_of(storm, consumer)?;
        let (group, subscription) = (group_of(&app), format!("/subscriptions/{}", app.subscription()));
        let scope = app.to_string();
        match kind {
            Kind::LockOnApp => storm.azure.with(|state| state.bar(&scope, BarrierKind::ReadOnlyLock)),
            Kind::LockOnGroup => storm.azure.with(|state| state.bar(&group, BarrierKind::ReadOnlyLock)),
            Kind::DeleteLock => storm.azure.with(|state| state.bar(&group, BarrierKind::CanNotDeleteLock)),
            Kind::Policy => storm.azure.with(|state| state.bar(&scope, BarrierKind::Policy)),
            Kind::DenyAssignment => storm.azure.with(|state| state.assign_denial(&scope, "*/write")),
            Kind::NoRole => storm.azure.with(|state| state.deny(&scope, "*/config/list/action")),
            Kind::DisabledSubscription => {
                storm.azure.with(|state| state.bar(&subscription, BarrierKind::DisabledSubscription));
            }
            Kind::MistypedId => mistype(storm, consumer, &app),
            Kind::Moved => storm.azure.with(|state| state.move_site(app.site(), ELSEWHERE)).ok()?,
            Kind::Reference => {
                // It leads to what the setting held, so that the app changes no key.
                let setting = consumer.setting?;
                let held = storm.azure.settings(&consumer.app).ok()?.get(setting)?.clone();
                let secret = consumer.app.replace('/', "-");
                let reference = format!("@Microsoft.KeyVault(VaultName=v;SecretName={secret})");
                storm.azure.with(|state| state.lead_references(&secret, Some(&held))).ok()?;
                storm.azure.edit_setting(&consumer.app, setting, Some(&reference)).ok()?;
            }
            Kind::BareKey => {
                let key = valid_key(storm, consumer)?;
                let bare = format!("{{{key}Key:{}}}", consumer.service);
                storm.azure.edit_setting(&consumer.app, consumer.setting?, Some(&bare)).ok()?;
            }
            Kind::SecretDisabled(name) => {
                storm.azure.with(|state| state.enable_secret(VAULT, name, None, false)).ok()?;
            }
            Kind::SecretDeleted(name) => storm.azure.with(|state| state.delete_secret(VAULT, name)).ok()?,
            Kind::KeyValueLocked => {
                storm.azure.with(|state| state.lock_key_value(STORE, KEY, None, true)).ok()?;
            }
            Kind::ReaderDenied(reader) => {
                storm.azure.with(|state| state.deny_app(reader, &vault(&app), "*"));
            }
            Kind::ContainerBroken(name) => {
                storm.azure.with(|state| state.break_revision(name, None, true)).ok()?;
            }
            Kind::NoRoleOnVault => storm.azure.with(|state| state.deny(&vault(&app), "*/setSecret/action")),
        }
        Some(Self { until, kind, consumer: consumer.clone() })
    }

    /// In which round it ends.
    pub(super) const fn until(&self) -> u64 {
        self.until
    }

    /// Whose service is concerned.
    pub(super) fn service(&self) -> &str {
        match self.kind {
            Kind::SecretDisabled(CONFIGURED) | Kind::SecretDeleted(_) | Kind::ContainerBroken("api-west") => {
                "sr-west"
            }
            Kind::SecretDisabled(_)
            | Kind::ReaderDenied(_)
            | Kind::ContainerBroken(_)
            | Kind::NoRoleOnVault => "sr-east",
            Kind::KeyValueLocked => "sr-north",
            _ => &self.consumer.service,
        }
    }

    /// What it is called in the counts.
    pub(super) const fn name(&self) -> &'static str {
        match self.kind {
            Kind::LockOnApp | Kind::LockOnGroup | Kind::DeleteLock => "lock",
            Kind::Policy => "policy",
            Kind::DenyAssignment => "deny assignment",
            Kind::NoRole => "role missing",
            Kind::DisabledSubscription => "subscription disabled",
            Kind::MistypedId => "id mistyped",
            Kind::Moved => "app moved",
            Kind::Reference => "reference",
            Kind::BareKey => "bare key",
            Kind::SecretDisabled(_) => "secret disabled",
            Kind::SecretDeleted(_) => "secret deleted",
            Kind::KeyValueLocked => "key-value locked",
            Kind::ReaderDenied(_) => "reader denied",
            Kind::ContainerBroken(_) => "container app broken",
            Kind::NoRoleOnVault => "role on a vault missing",
        }
    }

    /// It is over.
    pub(super) fn end(self, storm: &mut Storm) {
        let Self { kind, consumer, .. } = self;
        match kind {
            Kind::LockOnApp
            | Kind::LockOnGroup
            | Kind::DeleteLock
            | Kind::Policy
            | Kind::DisabledSubscription => {
                storm.azure.with(State::lift_barriers);
            }
            Kind::DenyAssignment | Kind::NoRole | Kind::ReaderDenied(_) | Kind::NoRoleOnVault => {
                storm.azure.with(State::allow_all);
            }
            // What was begun is there.
            Kind::SecretDisabled(name) => {
                let _ = storm.azure.with(|state| state.enable_secret(VAULT, name, None, true));
            }
            Kind::SecretDeleted(name) => {
                let _ = storm.azure.with(|state| state.recover_secret(VAULT, name));
            }
            Kind::KeyValueLocked => {
                let _ = storm.azure.with(|state| state.lock_key_value(STORE, KEY, None, false));
            }
            Kind::ContainerBroken(name) => {
                let _ = storm.azure.with(|state| state.break_revision(name, None, false));
            }
            Kind::MistypedId => storm.config = Arc::clone(&storm.configured),
            Kind::Moved => {
                let site = consumer.app.split('/').next().unwrap_or_default().to_owned();
                // Its old group is in the configuration. It may have been deleted meanwhile.
                if let Some(app) = app_of(storm, &consumer) {
                    let _ = storm.azure.with(|state| state.move_site(&site, app.group()));
                }
            }
            Kind::Reference | Kind::BareKey => {
                // With the key that it held, if that still works.
                let key = valid_key(storm, &consumer).unwrap_or("primary");
                let string = format!("{{{key}:{}}}", consumer.service);
                if let Some(setting) = consumer.setting {
                    let _ = storm.azure.edit_setting(&consumer.app, setting, Some(&string));
                }
            }
        }
    }
}

/// The app's id as it is configured.
fn app_of(storm: &Storm, consumer: &Consumer) -> Option<AppId> {
    let apps = storm.configured.instances.iter().flat_map(|service| &service.apps);
    apps.map(|app| &app.id).find(|id| id.name() == consumer.app).cloned()
}

/// The id of the vault, in the group of an app.
fn vault(app: &AppId) -> String {
    format!("{}/providers/Microsoft.KeyVault/vaults/{VAULT}", group_of(app))
}

fn group_of(app: &AppId) -> String {
    format!("/subscriptions/{}/resourceGroups/{}", app.subscription(), app.group())
}

/// The key, in the words of a placeholder, that the app signs with and that works.
fn valid_key(storm: &Storm, consumer: &Consumer) -> Option<&'static str> {
    let signs = storm.azure.with(|state| state.signs(&consumer.app)).ok()?;
    let (_, key) = signs.into_iter().find(|(service, _)| *service == consumer.service)?;
    Some(if key? == KeyType::Primary { "primary" } else { "secondary" })
}

/// Adds an app to a service's configuration whose name lacks its last letter.
fn mistype(storm: &mut Storm, consumer: &Consumer, app: &AppId) {
    let mut config = (*storm.config).clone();
    let site = &app.site()[..app.site().len() - 1];
    let id = AppId::new(app.subscription(), app.group(), site, app.slot());
    for service in config.instances.iter_mut().filter(|known| known.id.name() == consumer.service) {
        let (settings, connection_strings) = (vec![], vec![]);
        service.apps.push(AppConfig { id: id.clone(), settings, connection_strings, may_hold_none: false });
    }
    storm.config = Arc::new(config);
}
