//! What a dictionary of settings shows of a service.
//!
//! What a value is, is decided by the value; its name, and that of the secret that it refers to, decide only whether
//! something that cannot be followed is meant for us.

use super::super::value::Value;
use super::super::{Followed, Following};
use super::readers::by_reference;
use super::{Dictionary, Marks, Place, Refreshed, is_by_value};
use crate::config::AppConfig;
use rekey_core::model::{
    ConsumerId, Reference, ReferenceStore, SecretReference, Section, host_of, names_signalr,
};
use rekey_core::plan::{Consumer, ConsumerRef, Holding, SettingFault, Snapshot, Unknown};

/// Behind the name of a setting the identity-based form says where the service is (docs: Azure Functions SignalR
/// Service bindings, identity-based connections).
const SERVICE_URI: [&str; 2] = ["__serviceuri", ":serviceuri"];

/// Adds what one dictionary of an app shows. The names of those settings are answered that refer to something of which
/// nobody can tell whether it is a connection string of ours.
pub(in crate::azure) fn shown(
    place: &Place,
    settings: &Dictionary,
    app: &AppConfig,
    marks: Marks<'_>,
    following: Following<'_>,
    out: &mut Snapshot,
) -> Vec<String> {
    let named = named(app, place.section);
    let by_value = is_by_value(app);
    let is_of = |wanted: &str, name: &str| {
        let of_identity = without_service_uri(name).is_some_and(|base| base.eq_ignore_ascii_case(wanted));
        name.eq_ignore_ascii_case(wanted) || of_identity
    };
    let mut unclear = Vec::new();
    let followed = followed(place, settings, app, following.vault_suffix);
    let readers = match place.section {
        Section::AppSettings => by_reference(settings, app, following),
        Section::ConnectionStrings | Section::FunctionSettings => Vec::new(),
    };
    for (name, value) in settings.exposed() {
        let (app, value) = (ConsumerId::from(&app.id), value.unwrap_or_default());
        let is_followed = |at: &Followed| at.at.name == name;
        if followed.iter().any(is_followed) || readers.iter().any(|reader| reader.at.name == name) {
            continue;
        }
        let is_named = named.iter().any(|wanted| is_of(wanted, name));
        if by_value || is_named {
            let at = ConsumerRef { app, section: Some(place.section), name: name.to_owned() };
            unclear.extend(add(marks, &at, value, is_named, out));
        } else if holds_a_key(marks, name, value) {
            out.unknown.push(Unknown::Setting { app, name: name.to_owned(), fault: SettingFault::Unnamed });
        }
    }
    let there = |wanted: &String| settings.exposed().any(|(name, _)| is_of(wanted, name));
    for name in named.iter().filter(|wanted| !app.may_hold_none && !there(wanted)) {
        let (app, fault) = ((&app.id).into(), SettingFault::Missing);
        out.unknown.push(Unknown::Setting { app, name: name.clone(), fault });
    }
    unclear
}

/// The settings that refer to a secret of a vault that may be asked, and are meant for us, as far as names tell.
pub(in crate::azure) fn followed(
    place: &Place,
    settings: &Dictionary,
    app: &AppConfig,
    vault_suffix: &str,
) -> Vec<Followed> {
    let names = named(app, place.section);
    let refreshed = Refreshed::read(settings);
    let read = |(name, value): (&str, Option<&str>)| {
        let reference = SecretReference::read(value?, vault_suffix)?;
        let named = names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted));
        let told = names_signalr(name) || Reference::read(value?).is_some_and(|one| one.names_signalr());
        let meant = named || (is_by_value(app) && told);
        let app = ConsumerId::from(&app.id);
        let at = ConsumerRef { app, section: Some(place.section), name: name.to_owned() };
        let refreshed = refreshed.of(name);
        (meant && reference.secret.is_below(vault_suffix)).then_some(Followed {
            at,
            reference,
            named,
            refreshed,
        })
    };
    settings.exposed().filter_map(read).collect()
}

/// The settings of a dictionary that the configuration names.
fn named(app: &AppConfig, section: Section) -> &[String] {
    match section {
        Section::AppSettings => &app.settings,
        Section::ConnectionStrings | Section::FunctionSettings => &app.connection_strings,
    }
}

/// Adds what one value shows, or answers its name if it is a reference of which nobody can tell.
pub(in crate::azure::consumers) fn add(
    marks: Marks<'_>,
    at: &ConsumerRef,
    value: &str,
    named: bool,
    out: &mut Snapshot,
) -> Option<String> {
    let is_connection = || at.name.to_lowercase().contains("connection");
    let meant = named || names_signalr(&at.name);
    for shown in values(marks, &at.name, value) {
        let fault = match shown {
            Value::Holds(holds) => {
                out.consumers.push(Consumer { at: at.clone(), holds });
                continue;
            }
            Value::Reference(_) if meant && Reference::is_mistyped(value) => SettingFault::MistypedReference,
            Value::Reference(reference) if meant || reference.names_signalr() => match reference.store {
                ReferenceStore::KeyVault => SettingFault::KeyVaultReference,
                ReferenceStore::AppConfiguration => SettingFault::AppConfigurationReference,
            },
            Value::Reference(_) => return Some(at.name.clone()),
            Value::Placeholder { ours } if ours || named || (meant && is_connection()) => {
                SettingFault::Placeholder
            }
            Value::Fault(fault) => fault,
            Value::Other if named => SettingFault::NotOurs,
            Value::Placeholder { .. } | Value::Other => continue,
        };
        out.unknown.push(Unknown::Setting { app: at.app.clone(), name: at.name.clone(), fault });
    }
    None
}

fn holds_a_key(marks: Marks<'_>, name: &str, value: &str) -> bool {
    values(marks, name, value).iter().any(|value| {
        let holds = matches!(value, Value::Holds(holding) if *holding != Holding::Identity);
        holds
            || matches!(value, Value::Fault(SettingFault::KeyInOtherText | SettingFault::StaleKeyInOtherText))
    })
}

/// What the value of a setting is.
fn values(marks: Marks<'_>, name: &str, value: &str) -> Vec<Value> {
    let is_ours = |host: String| marks.is_our_host(&host);
    if without_service_uri(name).is_some() && host_of(value.trim()).is_some_and(is_ours) {
        return vec![Value::Holds(Holding::Identity)];
    }
    marks.values(value)
}

/// The name of a connection whose place the setting tells, in the identity-based form.
fn without_service_uri(name: &str) -> Option<&str> {
    let suffix = SERVICE_URI.iter().find(|suffix| name.to_ascii_lowercase().ends_with(*suffix))?;
    name.get(..name.len() - suffix.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use rekey_core::journal::{Event, Journal};
    use rekey_core::model::{AppId, Key, KeyPair, KeyType, PerKey};

    const FIRST: &str =
        "Aq7Ah3XvP0nZ2sLdT5yWbM8cRfJ4gUeHiQoV6tNxSzDlBpKaEwYrCmFuGjOkJQQJ99BCACYeBjFXJ3AAAAS1";
    const SECOND: &str = "c2Vjb25kK2tleS9vZi00NC1jaGFyYWN0ZXJzLTAxMg==";
    const FORMER: &str = "Zm9ybWVyK2tleS9vZi00NC1jaGFyYWN0ZXJzLTAxMg==";
    const UNKNOWN: &str = "dW5rbm93bitrZXkvb2YtNDQtY2hhcmFjdGVycy0wMQ==";
    const OURS: &str = "https://chat.service.signalr.net";

    fn keys() -> KeyPair {
        KeyPair { primary: Key::new(FIRST), secondary: Key::new(SECOND) }
    }

    /// It knows the keys, and one that was before them.
    fn journal() -> Journal {
        let mut journal = Journal::default();
        let mut keys = PerKey::from_fn(|key_type| keys()[key_type].fingerprint());
        let second = std::mem::replace(&mut keys.secondary, Key::new(FORMER).fingerprint());
        let changed = Event::KeyChanged { key_type: KeyType::Secondary, fingerprint: second };
        for event in [Event::Adopted { keys }, changed] {
            journal.apply(event, DateTime::<Utc>::UNIX_EPOCH).unwrap();
        }
        journal
    }

    fn app(named: &[&str]) -> AppConfig {
        let settings = named.iter().map(|name| (*name).to_owned()).collect();
        AppConfig {
            id: AppId::new("s", "g", "web", None),
            settings,
            connection_strings: vec![],
            may_hold_none: false,
        }
    }

    /// What a setting shows: what it holds, else the unknown's variant, else `-`; of two things both.
    fn shown(app: &AppConfig, name: &str, value: &str) -> String {
        let (keys, journal) = (keys(), journal());
        let marks = Marks { keys: Some(&keys), host: "chat.service.signalr.net", journal: &journal };
        let settings: Dictionary = [(name, value)].into_iter().collect();
        let place = Place { app: app.id.clone(), section: Section::AppSettings };
        let fingerprints = PerKey::from_fn(|key_type| keys[key_type].fingerprint());
        let mut out = Snapshot::of_keys(DateTime::UNIX_EPOCH, fingerprints);
        let unclear = super::shown(&place, &settings, app, marks, Following::default(), &mut out);
        let consumers = out.consumers.iter().map(|consumer| match &consumer.holds {
            Holding::Valid(key_type) => key_type.to_string(),
            Holding::Stale(_) => "stale".to_owned(),
            Holding::Identity => "identity".to_owned(),
        });
        let unknown = out.unknown.iter().map(|unknown| {
            let said = match unknown {
                Unknown::Setting { fault, .. } => format!("{fault:?}").replace('(', " "),
                other => format!("{other:?}"),
            };
            said.split([' ', '{']).next().unwrap_or_default().to_owned()
        });
        let unclear = unclear.iter().map(|_| "unclear".to_owned());
        let all: Vec<String> = consumers.chain(unknown).chain(unclear).collect();
        if all.is_empty() { "-".to_owned() } else { all.join(" ") }
    }

    #[test]
    fn a_value_is_what_it_holds() {
        let string = |endpoint: &str, rest: &str| format!("Endpoint={endpoint};{rest}");
        let ours = |rest: &str| string(OURS, rest);
        let key = |key: &str| ours(&format!("AccessKey={key};Version=1.0;"));
        let elsewhere =
            |endpoint: &str, key: &str| string(endpoint, &format!("AccessKey={key};Version=1.0;"));
        let gateway = "https://gw.example";
        let other = "https://other.service.signalr.net";
        let behind = |part: &str, key: &str| string(gateway, &format!("{part}={OURS}/x;AccessKey={key};"));
        for (value, is) in [
            // Strings of ours, by their host or by their key.
            (key(FIRST), "Primary"),
            (key(SECOND), "Secondary"),
            (key(FORMER), "stale"),
            (key(UNKNOWN), "stale"),
            (key(&format!("'{FIRST}'")), "stale"),
            (key(&format!("{{{FIRST}}}")), "stale"),
            (key(&format!("{FIRST}%3D")), "stale"),
            (elsewhere("https://CHAT.service.signalr.net.:443/", UNKNOWN), "stale"),
            (elsewhere(gateway, FIRST), "Primary"),
            (elsewhere(gateway, FORMER), "stale"),
            (elsewhere(gateway, UNKNOWN), "-"),
            (behind("ServerEndpoint", UNKNOWN), "stale"),
            (behind("ClientEndpoint", FORMER), "stale"),
            (behind("ClientEndpoint", SECOND), "Secondary"),
            // Both a key and the word of identity: the key counts.
            (ours(&format!("AccessKey={FIRST};AuthType=azure.msi;Version=1.0;")), "Primary"),
            (ours(&format!("AuthType=aad;AccessKey={UNKNOWN};")), "stale"),
            (ours(&format!("AccessKey={FIRST};Version=1.0-preview")), "Primary"),
            (ours("AuthType=azure.msi;Version=1.0;"), "identity"),
            (ours("Version=1.0;"), "identity"),
            (ours("AccessKey=;Version=1.0;"), "identity"),
            (string(gateway, "AuthType=azure.msi"), "-"),
            // Another service's host.
            (elsewhere(other, FIRST), "Primary"),
            (elsewhere(other, FORMER), "OtherServicesHost"),
            (elsewhere(other, UNKNOWN), "-"),
            (elsewhere("https://mychat.service.signalr.net", UNKNOWN), "-"),
            (elsewhere(&format!("{OURS}.example"), UNKNOWN), "-"),
            (elsewhere(&format!("{OURS}@other.example"), UNKNOWN), "-"),
            (format!("\"{}\"", elsewhere("https://mychat.service.signalr.net", UNKNOWN)), "-"),
            (string(other, &format!("ServerEndpoint={OURS};AccessKey={UNKNOWN}")), "OtherServicesHost"),
            (elsewhere("https://other.webpubsub.azure.com", FORMER), "OtherServicesHost"),
            // What is more in the string than its key.
            (
                ours(&format!("AccessKey={FIRST};ClientEndpoint=https://gw.example?x={FIRST}")),
                "Primary KeyInOtherText",
            ),
            (ours(&format!("AccessKey={FIRST};Note={FORMER}")), "Primary stale"),
            (ours(&format!("AccessKey={FIRST};Note={FIRST}")), "Primary"),
            (ours(&format!("AccessKey={FIRST};Note={SECOND}")), "Primary Secondary"),
            (ours(&format!("Key={SECOND}")), "Secondary"),
            (ours(&format!("AccessKey: {FORMER};Version=1.0")), "stale"),
            // No version of the SDK takes it.
            (ours(&format!("AccessKey={FIRST};Version=2.0")), "InvalidString"),
            (ours(&format!("AccessKey={FORMER};Port=0")), "InvalidString"),
            (ours(&format!("AccessKey={UNKNOWN};Port=0")), "InvalidString"),
            (elsewhere("chat.service.signalr.net", FIRST), "InvalidString"),
            (elsewhere("wss://gw.example", FORMER), "InvalidString"),
            (elsewhere("wss://gw.example", UNKNOWN), "-"),
            (ours(&format!("AccessKey={FIRST};accesskey=x")), "InvalidString"),
            (ours(&format!("AccessKey={UNKNOWN};Version=1.0; Version=1.0")), "InvalidString"),
            // Something else fills it in.
            (key("%SIGNALR_KEY%"), "Placeholder"),
            (key("@Microsoft.KeyVault(VaultName=v"), "Placeholder"),
            (key("$(Key)"), "Placeholder"),
            (elsewhere(gateway, "#{Key}#"), "-"),
            // Other texts.
            (FIRST.to_owned(), "Primary"),
            (FORMER.to_owned(), "stale"),
            (UNKNOWN.to_owned(), "-"),
            (format!("\"{}\"", key(SECOND)), "Secondary"),
            (format!("'{}'", key(FORMER)), "stale"),
            (format!("{}|{}", key(UNKNOWN), key(UNKNOWN)), "stale"),
            (format!("{}|{}", key(FIRST), key(UNKNOWN)), "Primary stale"),
            (serde_json::json!({ "c": key(UNKNOWN) }).to_string(), "stale"),
            (serde_json::json!({ "AccessKey": UNKNOWN, "host": OURS }).to_string(), "StaleKeyInOtherText"),
            (serde_json::json!({ "k": SECOND }).to_string().replace('+', "\\u002B"), "Secondary"),
            (FORMER.replace('+', "%2B").replace('=', "%3d"), "stale"),
            (String::new(), "-"),
            ("https://chat.service.signalr.net".to_owned(), "-"),
        ] {
            assert_eq!(shown(&app(&[]), "X", &value), is, "{value}");
        }
    }

    #[test]
    fn a_name_tells_whether_what_cannot_be_followed_is_meant_for_us() {
        let vault = |secret: &str| format!("@Microsoft.KeyVault(VaultName=v;SecretName={secret})");
        let store =
            |key: &str| format!("@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key={key})");
        for (name, value, by_value, by_name) in [
            ("Hub", vault("chat-signalr"), "KeyVaultReference", "KeyVaultReference"),
            ("AzureSignalR", vault("chat"), "KeyVaultReference", "KeyVaultReference"),
            ("Hub", vault("chat"), "unclear", "KeyVaultReference"),
            (
                "AzureSignalR",
                "@Microsoft.KeyVault(VaultName=v;Secret=chat)".into(),
                "MistypedReference",
                "MistypedReference",
            ),
            (
                "Hub",
                "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Kye=chat)".into(),
                "unclear",
                "MistypedReference",
            ),
            ("Hub", store("signalr:chat"), "AppConfigurationReference", "AppConfigurationReference"),
            ("Hub", store("chat"), "unclear", "AppConfigurationReference"),
            (
                "Hub",
                "https://v.vault.azure.net/secrets/signalr".into(),
                "KeyVaultReference",
                "KeyVaultReference",
            ),
            ("AzureSignalRConnectionString", "%Other%".into(), "Placeholder", "Placeholder"),
            ("AzureSignalRHubName", "%Other%".into(), "-", "Placeholder"),
            ("Hub", "%Other%".into(), "-", "Placeholder"),
            ("SignalRConnection", "Endpoint=https://%H%;AccessKey=%K%;".into(), "Placeholder", "Placeholder"),
            ("Hub", "words".into(), "-", "NotOurs"),
            ("Hub__serviceUri", format!("{OURS}/"), "identity", "identity"),
            ("Hub:serviceUri", OURS.into(), "identity", "identity"),
            ("Hub__serviceUri", "https://other.service.signalr.net".into(), "-", "NotOurs"),
        ] {
            assert_eq!(shown(&app(&[]), name, &value), by_value, "{name} {value}");
            let base = without_service_uri(name).unwrap_or(name);
            assert_eq!(shown(&app(&[base]), name, &value), by_name, "{name} {value}");
        }
        assert_eq!(shown(&app(&["A"]), "B", "x"), "Missing");
    }
}
