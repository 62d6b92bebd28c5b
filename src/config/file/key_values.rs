//! `app_configuration` of an `[[instance]]`: the key-values of App Configuration that hold a key, and who reads them.

use super::{APP_ID, AT_TOP, IN_INSTANCE, PolicyLayer, TOP_ONLY, app_id, note_once, what_it_is_not};
use crate::config::fault::{At, Report};
use crate::config::places::strange_store;
use crate::config::values::{Fields, Form, Lasting, Node, OrZero};
use crate::config::waves::Waves;
use crate::config::{AppConfig, KeyValueConfig, READERS_WITHIN};
use rekey_core::model::{AppId, ConsumerId, KeyValueId};

const ONLY: [&str; 6] = ["endpoint", "key", "label", "readers_within", "read_by", "wave"];

const EXAMPLE: &str = "{ endpoint = \"https://NAME.azconfig.io\", key = \"…\", label = \"…\" }";

/// Reads the list. `apps` are those of the same instance.
pub(super) fn read(
    instance: &Fields<'_>,
    apps: &[AppConfig],
    waves: &mut Waves,
    report: &mut Report<'_>,
) -> Vec<KeyValueConfig> {
    let Some(node) = instance.get("app_configuration") else { return Vec::new() };
    let items = node.items(&format!("a list: app_configuration = [ {EXAMPLE} ]"), report);
    let mut seen = Vec::new();
    items.into_iter().flatten().filter_map(|item| key_value(&item, apps, &mut seen, waves, report)).collect()
}

fn key_value(
    node: &Node<'_>,
    apps: &[AppConfig],
    seen: &mut Vec<(KeyValueId, At)>,
    waves: &mut Waves,
    report: &mut Report<'_>,
) -> Option<KeyValueConfig> {
    let Some(fields) = node.fields() else {
        node.refuse(EXAMPLE, report);
        return None;
    };
    fields.refuse_unknown(&ONLY, &[(&PolicyLayer::KEYS, IN_INSTANCE), (&TOP_ONLY, AT_TOP)], report);
    let within = OrZero(Lasting("24h")).of_file(&fields, "readers_within", report);
    let read_by = read_by(&fields, apps, report);
    let endpoint = required(&fields, "endpoint", report);
    let key = required(&fields, "key", report);
    let label = fields.get("label").map(|node| node.text("the label, in quotes", report));
    let (endpoint, key) = (endpoint?, key?);
    let label = label.map_or(Some(None), |label| label.map(Some))?;
    let Some(id) = KeyValueId::new(endpoint.trim(), key, label) else {
        let what = what_it_is_not(endpoint, "this is not a key-value of an App Configuration store");
        let rest = "a key has no %, and is neither . nor ..";
        report.at(&fields.at, format!("{what}; write {EXAMPLE}: the endpoint is a host alone, and {rest}"));
        return None;
    };
    if let Some(fault) = strange_store(&id) {
        report.at(&fields.at, format!("{fault}; write {EXAMPLE}"));
        return None;
    }
    note_once(
        &id,
        &fields.at,
        seen,
        "this key-value is already listed; put what is known of its readers",
        report,
    );
    let consumer = || ConsumerId::KeyValue(id.clone());
    waves.read_number(&fields, consumer, report);
    waves.fit(&fields, &consumer(), read_by.iter().map(ConsumerId::from), report);
    let readers_within = within.map_or(READERS_WITHIN, |within| within.value);
    Some(KeyValueConfig { id, readers_within, read_by })
}

fn required<'d>(fields: &Fields<'d>, name: &str, report: &mut Report<'_>) -> Option<&'d str> {
    let Some(node) = fields.get(name) else {
        report.at(&fields.at, format!("its {name} is missing; write {EXAMPLE}"));
        return None;
    };
    node.text(&format!("the {name}, in quotes"), report)
}

/// The apps that read it by an SDK. What is done to them is what is done to apps, so they are to be among those.
fn read_by(fields: &Fields<'_>, apps: &[AppConfig], report: &mut Report<'_>) -> Vec<AppId> {
    let Some(node) = fields.get("read_by") else { return Vec::new() };
    let items = node.items(&format!("a list of apps: read_by = [ \"{APP_ID}\" ]"), report);
    let mut seen = Vec::new();
    let wanted = format!("the app's id: \"{APP_ID}\"");
    let mut app = |item: Node<'_>| {
        let id = app_id(&item, &wanted, &mut seen, report)?;
        if !apps.iter().any(|app| app.id == id) {
            report.at(&item.at, "this app is not among the apps of this instance; list it there too");
        }
        Some(id)
    };
    items.into_iter().flatten().filter_map(&mut app).collect()
}
