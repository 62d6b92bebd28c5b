//! Apps that are given what a key-value of App Configuration holds: by a reference in a setting, which the platform resolves
//! when the app's settings change and at no other time, or by themselves, when they start.

use super::super::{Following, KeyValueReader};
use super::{Dictionary, Refreshed, is_by_value};
use crate::config::{AppConfig, KeyValueConfig};
use rekey_core::model::{AppId, ConsumerId, KeyValueId, Section, names_signalr};
use rekey_core::plan::ConsumerRef;

/// The app settings that refer to a key-value of a store that may be asked, and are meant for us: by their name, by the key's,
/// or because the configuration names either.
pub(in crate::azure) fn by_reference(
    settings: &Dictionary,
    app: &AppConfig,
    following: Following<'_>,
) -> Vec<KeyValueReader> {
    let refreshed = Refreshed::read(settings);
    let read = |(name, value): (&str, Option<&str>)| {
        let of = KeyValueId::of_reference(value?).filter(|of| of.is_below(following.store_suffixes))?;
        let named = app.settings.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
        let told = names_signalr(name) || names_signalr(of.key());
        let configured = following.key_values.iter().any(|one| one.id == of);
        let meant = named || configured || (is_by_value(app) && told);
        let at = reader_at(&app.id, Some(Section::AppSettings), name);
        let started_with = refreshed.of(name).map(|(version, _)| version);
        meant.then_some(KeyValueReader { at, of, named, started_with })
    };
    settings.exposed().filter_map(read).collect()
}

/// The app itself, of each key-value that it reads by an SDK.
pub(in crate::azure) fn by_themselves(
    settings: &Dictionary,
    app: &AppId,
    key_values: &[KeyValueConfig],
) -> Vec<KeyValueReader> {
    let refreshed = Refreshed::read(settings);
    let read = |one: &KeyValueConfig| {
        let name = one.id.to_string();
        let started_with = refreshed.of(&name).map(|(version, _)| version);
        let at = reader_at(app, None, &name);
        KeyValueReader { at, of: one.id.clone(), named: false, started_with }
    };
    key_values.iter().filter(|one| one.read_by.contains(app)).map(read).collect()
}

fn reader_at(app: &AppId, section: Option<Section>, name: &str) -> ConsumerRef {
    ConsumerRef { app: ConsumerId::from(app), section, name: name.to_owned() }
}
