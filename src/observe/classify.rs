//! What one setting's value says about who holds which key.
//!
//! Start at [`Seen::settings`]. What a value is, is decided by the value; its name, and that of the secret that it refers
//! to, decide only whether something that cannot be followed is meant for us.

use super::text::Text;
use crate::azure::arm::Settings;
use crate::config::AppConfig;
use rekey_core::journal::Journal;
use rekey_core::model::{
    ConnectionString, Key, KeyPair, KeyType, Malformed, Reference, ReferenceStore, Section, host_of,
    is_placeholder, names_signalr,
};
use rekey_core::plan::{Consumer, ConsumerRef, Holding, Snapshot, Unknown};

/// What a value is compared with.
pub(super) struct Seen<'a> {
    pub(super) keys: &'a KeyPair,
    pub(super) host: &'a str,
    pub(super) journal: &'a Journal,
}

/// What a value turned out to be.
enum Value {
    Holds(Holding),
    Reference(Reference),
    /// Where the key belongs in a string of ours; or one that may be ours.
    Placeholder {
        ours: bool,
    },
    Invalid(Malformed),
    KeyInOtherText,
    StaleKeyInOtherText,
    OtherServicesHost,
    Other,
}

/// Whose a connection string is.
enum Claim {
    Ours(Holding),
    Placeholder { ours: bool },
    OtherServicesHost,
    None,
}

/// Behind the name of a setting the identity-based form says where the service is (docs: Azure Functions SignalR
/// Service bindings, identity-based connections).
const SERVICE_URI: [&str; 2] = ["__serviceuri", ":serviceuri"];

/// What the host of a service of any cloud has after its name.
const SERVICES: [&str; 2] = [".service.signalr.", ".webpubsub.azure."];

impl Seen<'_> {
    /// Adds what one dictionary of an app shows. The names of those settings are answered that refer to something of which
    /// nobody can tell whether it is a connection string of ours.
    pub(super) fn settings(
        &self,
        app: &AppConfig,
        section: Section,
        settings: &Settings,
        out: &mut Snapshot,
    ) -> Vec<String> {
        let named = match section {
            Section::AppSettings => &app.settings,
            Section::ConnectionStrings => &app.connection_strings,
        };
        let by_value = app.settings.is_empty() && app.connection_strings.is_empty();
        let is_of = |wanted: &str, name: &str| {
            let of_identity = without_service_uri(name).is_some_and(|base| base.eq_ignore_ascii_case(wanted));
            name.eq_ignore_ascii_case(wanted) || of_identity
        };
        let mut unclear = Vec::new();
        for (name, value) in settings.exposed() {
            let is_named = named.iter().any(|wanted| is_of(wanted, name));
            if by_value || is_named {
                let at = ConsumerRef { app: app.id.clone(), section, name: name.to_owned() };
                unclear.extend(self.add(&at, value.unwrap_or_default(), is_named, out));
            } else if self.holds_a_key(name, value.unwrap_or_default()) {
                out.unknown.push(Unknown::Unnamed { app: app.id.clone(), name: name.to_owned() });
            }
        }
        let there = |wanted: &String| settings.exposed().any(|(name, _)| is_of(wanted, name));
        for name in named.iter().filter(|wanted| !app.may_hold_none && !there(wanted)) {
            out.unknown.push(Unknown::Missing { app: app.id.clone(), name: name.clone() });
        }
        unclear
    }

    /// Adds what one value shows, or answers its name if it is a reference of which nobody can tell.
    fn add(&self, at: &ConsumerRef, value: &str, named: bool, out: &mut Snapshot) -> Option<String> {
        let is_connection = || at.name.to_lowercase().contains("connection");
        let meant = named || names_signalr(&at.name);
        for value in self.values(&at.name, value) {
            let (app, name) = (at.app.clone(), at.name.clone());
            let unknown = match value {
                Value::Holds(holds) => {
                    out.consumers.push(Consumer { at: at.clone(), holds });
                    continue;
                }
                Value::Reference(reference) if meant || reference.names_signalr() => match reference.store {
                    ReferenceStore::KeyVault => Unknown::KeyVaultReference { app, name },
                    ReferenceStore::AppConfiguration => Unknown::AppConfigurationReference { app, name },
                },
                Value::Reference(_) => return Some(name),
                Value::Placeholder { ours } if ours || named || (meant && is_connection()) => {
                    Unknown::Placeholder { app, name }
                }
                Value::Invalid(fault) => Unknown::InvalidString { app, name, fault },
                Value::KeyInOtherText => Unknown::KeyInOtherText { app, name },
                Value::StaleKeyInOtherText => Unknown::StaleKeyInOtherText { app, name },
                Value::OtherServicesHost => Unknown::OtherServicesHost { app, name },
                Value::Other if named => Unknown::NotOurs { app, name },
                Value::Placeholder { .. } | Value::Other => continue,
            };
            out.unknown.push(unknown);
        }
        None
    }

    fn holds_a_key(&self, name: &str, value: &str) -> bool {
        self.values(name, value).iter().any(|value| {
            let holds = matches!(value, Value::Holds(holding) if *holding != Holding::Identity);
            holds || matches!(value, Value::KeyInOtherText | Value::StaleKeyInOtherText)
        })
    }

    /// What a value is. It may be two things: a connection string, and, in another part of it, a key once more.
    fn values(&self, name: &str, value: &str) -> Vec<Value> {
        if value.trim_start().starts_with('@')
            && let Some(reference) = Reference::read(value)
        {
            // Nobody writes a key into one; where it is seen all the same, it counts.
            return vec![self.key_in(&Text::read(value)).unwrap_or(Value::Reference(reference))];
        }
        if without_service_uri(name).is_some()
            && host_of(value.trim()).is_some_and(|host| self.is_our_host(&host))
        {
            return vec![Value::Holds(Holding::Identity)];
        }
        let first = match ConnectionString::parse(value) {
            Ok(string) => match self.claim(&string) {
                Claim::Ours(holding) => {
                    let rest = self.key_in(&Text::read(string.with_key(&Key::new("")).expose()));
                    // It holds no key only if it holds none anywhere.
                    let holds =
                        (holding != Holding::Identity || rest.is_none()).then_some(Value::Holds(holding));
                    return holds.into_iter().chain(rest).collect();
                }
                Claim::OtherServicesHost => Value::OtherServicesHost,
                Claim::Placeholder { ours } => Value::Placeholder { ours },
                Claim::None => self.key_in(&Text::read(value)).unwrap_or(Value::Other),
            },
            Err(why) => match self.text(value) {
                Some(_) if ConnectionString::attempted_key(value).is_some() => Value::Invalid(why),
                Some(found) => found,
                None => Reference::read(value).map_or_else(|| of_name(value), Value::Reference),
            },
        };
        vec![first]
    }

    /// What a text that is no connection string holds.
    fn text(&self, value: &str) -> Option<Value> {
        let text = Text::read(value);
        let is_told = text.names_a_key_of(&self.host.to_lowercase());
        self.key_in(&text).or_else(|| is_told.then_some(Value::StaleKeyInOtherText))
    }

    /// A key of ours, current or former, anywhere in a text.
    fn key_in(&self, text: &Text) -> Option<Value> {
        if self.keys.iter().any(|(_, key)| text.contains(key.expose())) {
            return Some(Value::KeyInOtherText);
        }
        let is_former = |word: &str| self.journal.remembers(&Key::new(word).fingerprint());
        text.has_word(is_former).then_some(Value::StaleKeyInOtherText)
    }

    /// What a connection string holds, if it is the instance's.
    pub(super) fn holding(&self, string: &ConnectionString) -> Option<Holding> {
        match self.claim(string) {
            Claim::Ours(holding) => Some(holding),
            Claim::Placeholder { .. } | Claim::OtherServicesHost | Claim::None => None,
        }
    }

    /// Whose a connection string is: ours by a host of it, or, behind a custom domain or a gateway, by its key.
    ///
    /// A current key makes any string ours, for both keys are nobody else's; so are those of a replica, whose host we
    /// cannot tell from another service's. A former key does not where `Endpoint` names another service: keys are
    /// never moved between services, so that either the string was put together wrongly, or the journal is not ours
    /// (a restore under the wrong name), and with it we would write our key over the valid one of that service, which would
    /// write its own over ours, without end. It is told, not claimed. A host that is no service's may be anything that
    /// leads to ours, and with a former key of ours it is.
    fn claim(&self, string: &ConnectionString) -> Claim {
        let of_another = names_a_service(string.host()) && !self.is_our_host(string.host());
        let ours = string.hosts().any(|host| self.is_our_host(host));
        let Some(key) = string.key() else {
            return if ours { Claim::Ours(Holding::Identity) } else { Claim::None };
        };
        if let Some(key_type) = KeyType::ALL.into_iter().find(|key_type| self.keys[*key_type] == key) {
            return Claim::Ours(Holding::Valid(key_type));
        }
        if string.has_placeholder() {
            return Claim::Placeholder { ours };
        }
        let fingerprint = key.fingerprint();
        let remembered = self.journal.remembers(&fingerprint);
        match (ours || remembered, of_another) {
            (true, false) => Claim::Ours(Holding::Stale(fingerprint)),
            (true, true) => Claim::OtherServicesHost,
            (false, _) => Claim::None,
        }
    }

    fn is_our_host(&self, host: &str) -> bool {
        !self.host.is_empty() && host.eq_ignore_ascii_case(self.host)
    }
}

/// A text that holds no key: one that something else fills in, or anything.
fn of_name(value: &str) -> Value {
    let whole = is_placeholder(value);
    let is_filled_in = whole || ConnectionString::attempted_key(value).is_some_and(is_placeholder);
    if is_filled_in { Value::Placeholder { ours: false } } else { Value::Other }
}

fn names_a_service(host: &str) -> bool {
    SERVICES.iter().any(|service| host.contains(service))
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
    use rekey_core::journal::Event;
    use rekey_core::model::{AppId, PerKey};

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
        let seen = Seen { keys: &keys, host: "chat.service.signalr.net", journal: &journal };
        let settings: Settings = [(name, value)].into_iter().collect();
        let fingerprints = PerKey::from_fn(|key_type| keys[key_type].fingerprint());
        let mut out = Snapshot::of_keys(DateTime::UNIX_EPOCH, fingerprints);
        let unclear = seen.settings(app, Section::AppSettings, &settings, &mut out);
        let consumers = out.consumers.iter().map(|consumer| match &consumer.holds {
            Holding::Valid(key_type) => key_type.to_string(),
            Holding::Stale(_) => "stale".to_owned(),
            Holding::Identity => "identity".to_owned(),
        });
        let unknown = out.unknown.iter().map(|unknown| {
            let said = format!("{unknown:?}");
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
            (ours(&format!("AccessKey={FIRST};Note={FORMER}")), "Primary StaleKeyInOtherText"),
            (ours(&format!("Key={SECOND}")), "KeyInOtherText"),
            (ours(&format!("AccessKey: {FORMER};Version=1.0")), "StaleKeyInOtherText"),
            // No version of the SDK takes it.
            (ours(&format!("AccessKey={FIRST};Version=2.0")), "InvalidString"),
            (ours(&format!("AccessKey={FORMER};Port=0")), "InvalidString"),
            (ours(&format!("AccessKey={UNKNOWN};Port=0")), "InvalidString"),
            (elsewhere("chat.service.signalr.net", FIRST), "InvalidString"),
            (elsewhere("wss://gw.example", FORMER), "InvalidString"),
            (elsewhere("wss://gw.example", UNKNOWN), "-"),
            (ours(&format!("AccessKey={FIRST};accesskey=x")), "InvalidString"),
            // Something else fills it in.
            (key("%SIGNALR_KEY%"), "Placeholder"),
            (key("@Microsoft.KeyVault(VaultName=v"), "Placeholder"),
            (key("$(Key)"), "Placeholder"),
            (elsewhere(gateway, "#{Key}#"), "-"),
            // Other texts.
            (FIRST.to_owned(), "KeyInOtherText"),
            (FORMER.to_owned(), "StaleKeyInOtherText"),
            (UNKNOWN.to_owned(), "-"),
            (format!("\"{}\"", key(SECOND)), "KeyInOtherText"),
            (format!("'{}'", key(FORMER)), "StaleKeyInOtherText"),
            (format!("{}|{}", key(UNKNOWN), key(UNKNOWN)), "InvalidString"),
            (serde_json::json!({ "c": key(UNKNOWN) }).to_string(), "StaleKeyInOtherText"),
            (serde_json::json!({ "k": SECOND }).to_string().replace('+', "\\u002B"), "KeyInOtherText"),
            (FORMER.replace('+', "%2B").replace('=', "%3d"), "StaleKeyInOtherText"),
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
