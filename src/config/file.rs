//! `rekey.toml` as it is written: what was set and where. Nothing is laid over anything yet.

mod key_values;

use std::time::Duration;

use toml::de::DeTable;

use super::external::external;
use super::fault::{At, Report, Sourced};
use super::notify::{Webhook, webhook_url};
use super::places::{AT_TOP, IN_INSTANCE, TOP_ONLY, no_secret, note_once, strange_vault, what_it_is_not};
use super::policy::PolicyLayer;
use super::values::{Fields, Form, Lasting, Node, OrZero, sourced};
use super::waves::{WAVE_ONLY, Waves};
use super::{AppConfig, KeyValueConfig, READERS_WITHIN, SecretConfig};
use crate::report::text::InWords;
use rekey_core::model::{
    AppId, ConsumerId, ContainerAppId, IdError, IdFault, SecretId, ServiceId, StaticWebAppId,
};
use rekey_core::plan::External;

/// The whole file.
#[derive(Default)]
pub(super) struct File {
    pub(super) policy: PolicyLayer,
    pub(super) notice_budget: Option<Sourced<Duration>>,
    pub(super) timer_budget: Option<Sourced<Duration>>,
    pub(super) watch: Option<Sourced<Duration>>,
    pub(super) webhook: Option<Sourced<Webhook>>,
    pub(super) instances: Vec<FileInstance>,
}

/// One `[[instance]]`. A part with a fault is missing; the fault is in the report.
pub(super) struct FileInstance {
    pub(super) id: Option<ServiceId>,
    pub(super) apps: Vec<AppConfig>,
    pub(super) vault_secrets: Vec<SecretConfig>,
    pub(super) container_apps: Vec<ContainerAppId>,
    pub(super) static_web_apps: Vec<StaticWebAppId>,
    pub(super) app_configuration: Vec<KeyValueConfig>,
    pub(super) external: Vec<External>,
    pub(super) waves: Waves,
    pub(super) policy: PolicyLayer,
}

const INSTANCE_ONLY: [&str; 8] = [
    "id",
    "apps",
    "vault_secrets",
    "app_configuration",
    "container_apps",
    "static_web_apps",
    "reporters",
    "manual",
];
const SECRET_ONLY: [&str; 3] = ["readers_within", "unused", "wave"];
const APP_ONLY: [&str; 3] = ["settings", "connection_strings", "may_hold_none"];

/// The lists of what may hold a key besides apps: with one of them there need be no app.
const BESIDES_APPS: [&str; 6] =
    ["vault_secrets", "app_configuration", "container_apps", "static_web_apps", "reporters", "manual"];

const IN_APP: &str = "with an app: apps = [ { id = \"…\", settings = [\"…\"] } ]";

const INSTANCE_ID: &str = ServiceId::TEMPLATE;
const APP_ID: &str = AppId::TEMPLATE;
const SECRET_ID: &str = SecretId::TEMPLATE;

/// Reads the text. What is no TOML is reported and nothing else of the file: what a broken line leaves behind would
/// only mislead.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Option<File> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        report.at(&At { offset, path: String::new() }, format!("this is not TOML: {}", error.message()));
    }
    if !errors.is_empty() {
        return None;
    }
    let top = Fields::root(&document);
    let known = [&PolicyLayer::KEYS[..], &TOP_ONLY].concat();
    top.refuse_unknown(&known, &[(&INSTANCE_ONLY, IN_INSTANCE), (&APP_ONLY, IN_APP)], report);
    Some(File {
        policy: PolicyLayer::of_file(&top, report),
        notice_budget: Lasting("25s").of_file(&top, "notice_budget", report),
        timer_budget: Lasting("9m").of_file(&top, "timer_budget", report),
        watch: Lasting("60s").of_file(&top, "watch", report),
        webhook: webhook(&top, report),
        instances: instances(&top, report),
    })
}

/// `[notify]`, which has but its webhook.
fn webhook(top: &Fields<'_>, report: &mut Report<'_>) -> Option<Sourced<Webhook>> {
    let node = top.get("notify")?;
    let Some(fields) = node.fields() else {
        node.refuse("[notify] with its webhook = \"https://…\"", report);
        return None;
    };
    fields.refuse_unknown(&["webhook"], &[(&PolicyLayer::KEYS, IN_INSTANCE), (&TOP_ONLY, AT_TOP)], report);
    let Some(node) = fields.get("webhook") else {
        report.at(&fields.at, "its webhook is missing; write webhook = \"https://…\"");
        return None;
    };
    let text = node.text("the webhook's URL: \"https://…\"", report)?;
    sourced(node, webhook_url(text), report)
}

fn instances(top: &Fields<'_>, report: &mut Report<'_>) -> Vec<FileInstance> {
    let none = "no [[instance]] is named, so there is nothing to do; add one with its id and its apps";
    let Some(node) = top.get("instance") else {
        report.at(&At::default(), none);
        return Vec::new();
    };
    let items = node.items("[[instance]], with two brackets: there may be several", report);
    if items.as_ref().is_some_and(Vec::is_empty) {
        report.at(&node.at, none);
    }
    let mut seen = Vec::new();
    items.into_iter().flatten().filter_map(|item| instance(&item, &mut seen, report)).collect()
}

fn instance(
    node: &Node<'_>,
    seen: &mut Vec<(ServiceId, At)>,
    report: &mut Report<'_>,
) -> Option<FileInstance> {
    let Some(fields) = node.fields() else {
        node.refuse("[[instance]] with its id and its apps", report);
        return None;
    };
    let known = [&PolicyLayer::KEYS[..], &INSTANCE_ONLY].concat();
    fields.refuse_unknown(&known, &[(&TOP_ONLY, AT_TOP), (&APP_ONLY, IN_APP)], report);
    let id = instance_id(&fields, report);
    if let Some((id, at)) = &id {
        let again = "this instance is already named";
        note_once(id, at, seen, &format!("{again}, and two policies cannot hold; put all its apps"), report);
    }
    let mut waves = Waves::default();
    let apps = apps(&fields, &mut waves, report);
    Some(FileInstance {
        id: id.map(|(id, _)| id),
        app_configuration: key_values::read(&fields, &apps, &mut waves, report),
        apps,
        vault_secrets: vault_secrets(&fields, &mut waves, report),
        container_apps: resources(&fields, &CONTAINER_APPS, &mut waves, report),
        static_web_apps: resources(&fields, &STATIC_WEB_APPS, &mut waves, report),
        external: external(&fields, report),
        waves,
        policy: PolicyLayer::of_file(&fields, report),
    })
}

fn instance_id(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<(ServiceId, At)> {
    let Some(node) = fields.get("id") else {
        report.at(&fields.at, format!("its id is missing; write id = \"{INSTANCE_ID}\""));
        return None;
    };
    let text = node.text(&format!("the instance's id: \"{INSTANCE_ID}\""), report)?;
    if let Ok(id) = text.parse() {
        return Some((id, node.at));
    }
    let what = if text.parse::<AppId>().is_ok() {
        "this is the id of an app, which belongs in apps"
    } else {
        what_it_is_not(text, "this is not the id of a SignalR service")
    };
    report.at(&node.at, format!("{what}{}; write {INSTANCE_ID}", because(ServiceId::fault(text))));
    None
}

fn apps(instance: &Fields<'_>, waves: &mut Waves, report: &mut Report<'_>) -> Vec<AppConfig> {
    let none = "no consumer is listed; list every app, and whatever else holds a connection string of this service, because what is not listed keeps a key that will stop working";
    let others = BESIDES_APPS.iter().any(|list| instance.get(list).is_some_and(|list| list.has_items()));
    let Some(node) = instance.get("apps") else {
        if !others {
            report.at(&instance.at, none);
        }
        return Vec::new();
    };
    let items = node.items("a list: apps = [ \"…\" ]", report);
    if items.as_ref().is_some_and(Vec::is_empty) && !others {
        report.at(&node.at, none);
    }
    let mut seen = Vec::new();
    items.into_iter().flatten().filter_map(|item| app(&item, &mut seen, waves, report)).collect()
}

fn vault_secrets(instance: &Fields<'_>, waves: &mut Waves, report: &mut Report<'_>) -> Vec<SecretConfig> {
    let Some(node) = instance.get("vault_secrets") else { return Vec::new() };
    let items = node.items("a list: vault_secrets = [ \"…\" ]", report);
    let mut seen = Vec::new();
    items.into_iter().flatten().filter_map(|item| vault_secret(&item, &mut seen, waves, report)).collect()
}

fn vault_secret(
    node: &Node<'_>,
    seen: &mut Vec<(SecretId, At)>,
    waves: &mut Waves,
    report: &mut Report<'_>,
) -> Option<SecretConfig> {
    let wanted = format!("the secret's URL, without a version: \"{SECRET_ID}\"");
    let Some(fields) = node.fields() else {
        let id = secret_id(node, &wanted, seen, report)?;
        return Some(SecretConfig { id, readers_within: READERS_WITHIN, unused: false });
    };
    let known = [&["id"], &SECRET_ONLY[..]].concat();
    fields.refuse_unknown(&known, &[(&PolicyLayer::KEYS, IN_INSTANCE), (&TOP_ONLY, AT_TOP)], report);
    let within = OrZero(Lasting("24h")).of_file(&fields, "readers_within", report);
    let unused = fields.get("unused").and_then(|node| node.flag(report)).unwrap_or(false);
    let Some(id) = fields.get("id") else {
        report.at(&fields.at, format!("its id is missing; write {wanted}"));
        return None;
    };
    let id = secret_id(&id, &wanted, seen, report)?;
    waves.read_number(&fields, || ConsumerId::KeyVaultSecret(id.clone()), report);
    let readers_within = within.map_or(READERS_WITHIN, |within| within.value);
    Some(SecretConfig { id, readers_within, unused })
}

fn secret_id(
    node: &Node<'_>,
    wanted: &str,
    seen: &mut Vec<(SecretId, At)>,
    report: &mut Report<'_>,
) -> Option<SecretId> {
    let text = node.text(wanted, report)?;
    if let Ok(id) = text.parse() {
        if let Some(fault) = strange_vault(&id) {
            report.at(&node.at, format!("{fault}; write {SECRET_ID}"));
            return None;
        }
        note_once(
            &id,
            &node.at,
            seen,
            "this secret is already listed; put what is known of its readers",
            report,
        );
        return Some(id);
    }
    report.at(&node.at, format!("{}; write {SECRET_ID}", no_secret(text)));
    None
}

/// A list of resources by their ids, of which nothing else is said.
struct Listed<T: 'static> {
    key: &'static str,
    /// How an id is written.
    template: &'static str,
    /// What one is.
    what: &'static str,
    fault: fn(&str) -> Option<IdFault>,
    read: fn(&str) -> Result<T, IdError>,
    consumer: fn(T) -> ConsumerId,
}

const CONTAINER_APPS: Listed<ContainerAppId> = Listed {
    key: "container_apps",
    template: ContainerAppId::TEMPLATE,
    what: "container app or job",
    fault: ContainerAppId::fault,
    read: str::parse,
    consumer: ConsumerId::ContainerApp,
};

const STATIC_WEB_APPS: Listed<StaticWebAppId> = Listed {
    key: "static_web_apps",
    template: StaticWebAppId::TEMPLATE,
    what: "static web app",
    fault: StaticWebAppId::fault,
    read: str::parse,
    consumer: ConsumerId::StaticWebApp,
};

fn resources<T: Clone + PartialEq>(
    instance: &Fields<'_>,
    listed: &Listed<T>,
    waves: &mut Waves,
    report: &mut Report<'_>,
) -> Vec<T> {
    let Listed { key, template, what, fault, read, consumer } = listed;
    let Some(node) = instance.get(key) else { return Vec::new() };
    let items = node.items(&format!("a list: {key} = [ \"…\" ]"), report).unwrap_or_default();
    let mut seen = Vec::new();
    let mut one = |item: &Node<'_>| {
        let (wanted, fields) = (format!("the id of a {what}: \"{template}\""), item.fields());
        let named = match &fields {
            Some(fields) => {
                let known = [&["id"], &WAVE_ONLY[..]].concat();
                fields.refuse_unknown(
                    &known,
                    &[(&PolicyLayer::KEYS, IN_INSTANCE), (&TOP_ONLY, AT_TOP)],
                    report,
                );
                let id = fields.get("id");
                if id.is_none() {
                    report.at(&fields.at, format!("its id is missing; write {wanted}"));
                }
                id
            }
            None => None,
        };
        let item = if fields.is_some() { named.as_ref()? } else { item };
        let text = item.text(&wanted, report)?;
        match read(text) {
            Ok(id) => {
                if let Some(fields) = &fields {
                    waves.read(fields, || consumer(id.clone()), report);
                }
                let again = format!("this {what} is already listed; name it");
                note_once(&id, &item.at, &mut seen, &again, report);
                Some(id)
            }
            Err(_) => {
                let no_id = format!("this is not the id of a {what}");
                let because = because(fault(text));
                report.at(&item.at, format!("{}{because}; write {template}", what_it_is_not(text, &no_id)));
                None
            }
        }
    };
    items.iter().filter_map(&mut one).collect()
}

fn app(
    node: &Node<'_>,
    seen: &mut Vec<(AppId, At)>,
    waves: &mut Waves,
    report: &mut Report<'_>,
) -> Option<AppConfig> {
    let wanted = format!("the app's id: \"{APP_ID}\"");
    let Some(fields) = node.fields() else {
        let id = app_id(node, &wanted, seen, report)?;
        return Some(AppConfig { id, settings: vec![], connection_strings: vec![], may_hold_none: false });
    };
    let known = [&["id"], &APP_ONLY[..], &WAVE_ONLY].concat();
    fields.refuse_unknown(&known, &[(&PolicyLayer::KEYS, IN_INSTANCE), (&TOP_ONLY, AT_TOP)], report);
    let settings = names(&fields, "settings", report);
    let connection_strings = names(&fields, "connection_strings", report);
    let may_hold_none = fields.get("may_hold_none").and_then(|node| node.flag(report)).unwrap_or(false);
    let Some(id) = fields.get("id") else {
        report.at(&fields.at, format!("its id is missing; write {wanted}"));
        return None;
    };
    let id = app_id(&id, &wanted, seen, report)?;
    waves.read(&fields, || (&id).into(), report);
    Some(AppConfig { id, settings, connection_strings, may_hold_none })
}

fn app_id(
    node: &Node<'_>,
    wanted: &str,
    seen: &mut Vec<(AppId, At)>,
    report: &mut Report<'_>,
) -> Option<AppId> {
    let text = node.text(wanted, report)?;
    if let Ok(id) = text.parse() {
        note_once(&id, &node.at, seen, "this app is already listed; put all its names", report);
        return Some(id);
    }
    let what = if text.parse::<ServiceId>().is_ok() {
        "this is the id of a SignalR service, not of an app"
    } else {
        what_it_is_not(text, "this is not the id of a web app, function app or slot")
    };
    report.at(&node.at, format!("{what}{}; write {APP_ID}", because(AppId::fault(text))));
    None
}

/// Which part of an id is at fault, where all else of it is in order.
fn because(fault: Option<IdFault>) -> String {
    fault.map(|fault| format!(": {}", fault.in_words())).unwrap_or_default()
}

/// Names of settings. An empty list is refused: it could be meant as none or as all.
fn names(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let Some(node) = fields.get(key) else { return Vec::new() };
    let Some(items) = node.items(&format!("a list of names: {key} = [ \"…\" ]"), report) else {
        return Vec::new();
    };
    if items.is_empty() {
        report.at(
            &node.at,
            "the list is empty; name a setting, or leave the key out to have all of them checked",
        );
    }
    let mut names: Vec<String> = Vec::new();
    for item in items {
        let Some(name) = item.text("the name of a setting, in quotes", report) else { continue };
        if name.trim().is_empty() {
            report.at(&item.at, "the name is empty; write the name of a setting");
        } else if name.contains(['=', ';']) {
            report.at(
                &item.at,
                what_it_is_not(name, "this is not the name of a setting; write its name, never its value"),
            );
        } else if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            report.at(&item.at, "this name is twice in this list; take one out");
        } else {
            names.push(name.into());
        }
    }
    names
}
