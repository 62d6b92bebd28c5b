//! App settings and connection strings of web apps, function apps and slots (ARM swagger Microsoft.Web 2023-12-01).
//!
//! Start at [`Dictionary`]. ARM's PUT replaces the whole dictionary and knows no ETag, so whatever was listed must go back:
//! the caller lists, changes values with [`Dictionary::set_value`], writes, and compares what Azure answers.

use std::{fmt, iter};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::API_VERSION;
use crate::azure::arm::{Arm, ArmError, Call, Operation, Subject};
use crate::azure::consumers::text::words_of;
use rekey_core::model::{AppId, ConnectionString, Section};

/// A word as long as this, which is nearly as long as the shortest key that Azure ever made, may be a key: what Azure says
/// of a write does not repeat it.
const SHORTEST_KEY: usize = 40;

/// docs: Azure permissions for Web and Mobile. A slot has actions of its own.
const LIST: &[&str] = &["Microsoft.Web/sites/config/list/Action"];
const LIST_OF_SLOT: &[&str] = &["Microsoft.Web/sites/slots/config/list/Action"];
const WRITE: &[&str] = &["Microsoft.Web/sites/config/Write"];
const WRITE_OF_SLOT: &[&str] = &["Microsoft.Web/sites/slots/config/Write"];

pub(super) const READING: [&str; 2] = [LIST[0], LIST_OF_SLOT[0]];

/// The operations that read a dictionary, and those that write it: of app settings and of connection strings, of a site and
/// of a slot.
const LISTS: [Operation; 4] = [
    list("WebApps_ListApplicationSettings", LIST),
    list("WebApps_ListApplicationSettingsSlot", LIST_OF_SLOT),
    list("WebApps_ListConnectionStrings", LIST),
    list("WebApps_ListConnectionStringsSlot", LIST_OF_SLOT),
];
const UPDATES: [Operation; 4] = [
    update("WebApps_UpdateApplicationSettings", WRITE),
    update("WebApps_UpdateApplicationSettingsSlot", WRITE_OF_SLOT),
    update("WebApps_UpdateConnectionStrings", WRITE),
    update("WebApps_UpdateConnectionStringsSlot", WRITE_OF_SLOT),
];

const fn list(name: &'static str, actions: &'static [&'static str]) -> Operation {
    Operation::read(name, actions).about(Subject::Consumer).with_secrets().by_handler()
}

const fn update(name: &'static str, actions: &'static [&'static str]) -> Operation {
    Operation::change(name, actions).about(Subject::Consumer).with_secrets().by_handler()
}

pub(super) fn operations() -> impl Iterator<Item = Operation> {
    LISTS.into_iter().chain(UPDATES)
}

pub(super) fn list_operation(app: &AppId, section: Section) -> Operation {
    LISTS[index(app, section)]
}

pub(super) fn update_operation(app: &AppId, section: Section) -> Operation {
    UPDATES[index(app, section)]
}

/// Which of the operations on dictionaries is that of an app's: they stand in this order everywhere.
pub(super) fn index(app: &AppId, section: Section) -> usize {
    match section {
        Section::AppSettings => usize::from(app.slot().is_some()),
        Section::ConnectionStrings | Section::FunctionSettings => 2 + usize::from(app.slot().is_some()),
    }
}

/// One dictionary of settings, whole and in Azure's order.
///
/// Guarantee: what is listed and written back is the same but for the values that [`Dictionary::set_value`] changed; the
/// `type` of a connection string, members that we do not know and values that are no texts all go back verbatim (a number
/// as the double that it is; Azure's contract has texts alone).
/// Equality asks for the same names with the same contents, in any order. `Debug` shows names alone.
#[derive(Clone, Default)]
pub struct Dictionary {
    entries: Vec<(String, Entry)>,
    /// `kind` of the resource around the dictionary: it may be written, so it goes back.
    kind: Option<Value>,
}

#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Entry {
    /// An app setting.
    Text(#[serde(serialize_with = "exposed")] SecretString),
    /// A connection string with its other members.
    Object {
        #[serde(rename = "value", serialize_with = "exposed")]
        text: SecretString,
        #[serde(flatten)]
        members: Map<String, Value>,
    },
    Verbatim(Value),
}

impl Dictionary {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, in Azure's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// The names with their values **in the clear**; no value where it is no text. For looking at, never for showing.
    pub fn exposed(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.exposed()))
    }

    /// One value **in the clear**, by its exact name.
    pub fn expose(&self, name: &str) -> Option<&str> {
        self.exposed().find(|(known, _)| *known == name).and_then(|(_, value)| value)
    }

    /// Replaces a value and nothing else of the entry. A name that is not there, or whose value is no text, is left alone
    /// and answered `false`: settings are changed here, never added.
    pub fn set_value(&mut self, name: &str, value: &str) -> bool {
        let entry = self.entries.iter_mut().find(|(known, _)| known == name);
        match entry.map(|(_, entry)| entry) {
            Some(Entry::Text(text) | Entry::Object { text, .. }) => {
                *text = SecretString::from(value);
                true
            }
            Some(Entry::Verbatim(_)) | None => false,
        }
    }

    /// Sets a setting of ours, which may not be there yet.
    pub(super) fn put(&mut self, section: Section, name: &str, value: &str) {
        if !self.set_value(name, value) {
            let text = SecretString::from(value);
            let entry = match section {
                Section::AppSettings | Section::FunctionSettings => Entry::Text(text),
                Section::ConnectionStrings => {
                    let kind = ("type".to_owned(), Value::from("Custom"));
                    Entry::Object { text, members: Map::from_iter([kind]) }
                }
            };
            self.entries.push((name.to_owned(), entry));
        }
    }

    /// Every text in it that must not be repeated: the values, the keys within them, and what may be one in any text.
    fn secrets(&self) -> Vec<Zeroizing<String>> {
        let values = self.exposed().filter_map(|(_, value)| value);
        values.flat_map(secret_parts).collect()
    }

    fn sorted(&self) -> Vec<&(String, Entry)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(name, _)| name);
        entries
    }
}

/// Every text in a value that must not be repeated: itself, the key within it, and what may be one in any text.
pub(in crate::azure::consumers) fn secret_parts(
    value: &str,
) -> impl Iterator<Item = Zeroizing<String>> + use<'_> {
    let key = ConnectionString::parse(value).ok().and_then(|parsed| parsed.key());
    let key = key.map(|key| Zeroizing::new(key.expose().to_owned()));
    let words = words_of(value).filter(|word| word.len() >= SHORTEST_KEY);
    iter::once(Zeroizing::new(value.to_owned())).chain(key).chain(words)
}

impl Entry {
    fn new(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(SecretString::from(text)),
            Value::Object(mut members) if members.get("value").is_some_and(Value::is_string) => {
                match members.remove("value") {
                    Some(Value::String(text)) => Self::Object { text: text.into(), members },
                    _ => Self::Verbatim(Value::Object(members)),
                }
            }
            other => Self::Verbatim(other),
        }
    }

    fn exposed(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Object { text, .. } => Some(text.expose_secret()),
            Self::Verbatim(_) => None,
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(_), Self::Text(_)) => self.exposed() == other.exposed(),
            (Self::Object { members, .. }, Self::Object { members: others, .. }) => {
                self.exposed() == other.exposed() && members == others
            }
            (Self::Verbatim(one), Self::Verbatim(two)) => one == two,
            _ => false,
        }
    }
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.sorted() == other.sorted()
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// App settings out of nothing, for tests and the simulator.
impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Dictionary {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(settings: I) -> Self {
        let text = |value: V| Entry::Text(SecretString::from(value.into()));
        let entries = settings.into_iter().map(|(name, value)| (name.into(), text(value))).collect();
        Self { entries, kind: None }
    }
}

impl Arm {
    /// `WebApps_ListApplicationSettings` or `WebApps_ListConnectionStrings`, of the site or of the slot.
    pub async fn list_settings(&self, app: &AppId, section: Section) -> Result<Dictionary, ArmError> {
        let path = format!("{app}/config/{}/list", path_of(section));
        list_dictionary(self, list_operation(app, section), &path, API_VERSION).await
    }

    /// `WebApps_UpdateApplicationSettings` or `WebApps_UpdateConnectionStrings`: replaces the whole dictionary, which
    /// restarts the app. Answers what Azure answers: compare it with what was sent.
    ///
    /// It is sent again only if Azure said that nothing was done (429), or no connection came about. After
    /// `OutcomeUnknown` another writer may have come in between: list, merge and compare before writing again.
    pub async fn update_settings(
        &self,
        app: &AppId,
        section: Section,
        settings: &Dictionary,
    ) -> Result<Dictionary, ArmError> {
        let path = format!("{app}/config/{}", path_of(section));
        update_dictionary(self, update_operation(app, section), &path, API_VERSION, settings).await
    }
}

/// Lists a dictionary of whatever resource of Microsoft.Web.
pub(in crate::azure::consumers) async fn list_dictionary(
    arm: &Arm,
    operation: Operation,
    path: &str,
    api_version: &str,
) -> Result<Dictionary, ArmError> {
    let call = Call::post(operation, arm.url(path, api_version));
    let body: Body = arm.send(&call).await?.json(&call)?;
    Ok(body.into())
}

/// Replaces a dictionary of whatever resource of Microsoft.Web.
pub(in crate::azure::consumers) async fn update_dictionary(
    arm: &Arm,
    operation: Operation,
    path: &str,
    api_version: &str,
    settings: &Dictionary,
) -> Result<Dictionary, ArmError> {
    let call = Call::put(operation, arm.url(path, api_version)).with_body(&Written::from(settings))?;
    let answer = arm.send(&call).await.map_err(|error| {
        let secrets = settings.secrets();
        error.without(secrets.iter().map(|secret| secret.as_str()))
    })?;
    let body: Body = answer.json(&call)?;
    Ok(body.into())
}

/// The section's name in ARM's paths.
pub(super) const fn path_of(section: Section) -> &'static str {
    match section {
        Section::AppSettings => "appsettings",
        Section::ConnectionStrings => "connectionstrings",
        Section::FunctionSettings => "functionappsettings",
    }
}

/// The resource around a dictionary. A body without `properties` is an error: taking it for an empty dictionary would
/// make the next write delete everything.
#[derive(Deserialize)]
struct Body {
    kind: Option<Value>,
    #[serde(deserialize_with = "in_order")]
    properties: Vec<(String, Entry)>,
}

impl From<Body> for Dictionary {
    fn from(body: Body) -> Self {
        Self { entries: body.properties, kind: body.kind }
    }
}

fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Entry)>, D::Error> {
    deserializer.deserialize_map(InOrder)
}

/// Reads a dictionary in the order of the text; serde_json's own map would sort it.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dictionary of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let next = || map.next_entry().transpose();
        iter::from_fn(next).map(|entry| entry.map(|(name, value)| (name, Entry::new(value)))).collect()
    }
}

/// The body of a PUT: the only place where settings leave their type.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a Value>,
    #[serde(serialize_with = "as_map")]
    properties: &'a [(String, Entry)],
}

impl<'a> From<&'a Dictionary> for Written<'a> {
    fn from(settings: &'a Dictionary) -> Self {
        Self { kind: settings.kind.as_ref(), properties: &settings.entries }
    }
}

fn as_map<S: Serializer>(entries: &[(String, Entry)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(name, entry)| (name, entry)))
}

fn exposed<S: Serializer>(text: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Dictionary {
        serde_json::from_str::<Body>(text).unwrap().into()
    }

    fn written(settings: &Dictionary) -> String {
        serde_json::to_string(&Written::from(settings)).unwrap()
    }

    #[test]
    fn what_was_listed_goes_back_but_for_the_changed_value() {
        let text = concat!(
            r#"{"kind":"app","properties":{"Z":"1","A":{"value":"old","extra":[1,null],"type":"Custom"},"#,
            r#""N":null,"#,
            r#""O":{"type":"Custom","value":null},"B":7,"":"nameless"}}"#
        );
        let mut settings = read(text);
        assert_eq!(written(&settings), text);
        assert!(settings.set_value("A", "new"));
        assert!(settings.set_value("Z", "2"));
        assert_eq!(written(&settings), text.replace("old", "new").replace(r#""Z":"1""#, r#""Z":"2""#));
    }

    /// Read less exactly (serde_json without `float_roundtrip`), what Azure answers would not be what was sent.
    #[test]
    fn a_number_goes_back_as_the_same_number() {
        let settings = read(r#"{"properties":{"N":2.0715660391465816e-75,"M":{"value":[5e-324]}}}"#);
        assert_eq!(read(&written(&settings)), settings);
    }

    #[test]
    fn values_are_changed_never_added() {
        let mut settings = read(r#"{"properties":{"Name":"x","N":null}}"#);
        assert!(!settings.set_value("name", "y"));
        assert!(!settings.set_value("N", "y"));
        assert_eq!(settings, read(r#"{"properties":{"N":null,"Name":"x"}}"#));
        assert_ne!(settings, read(r#"{"properties":{"Name":"x"}}"#));
        assert_ne!(settings, read(r#"{"properties":{"Name":{"value":"x"},"N":null}}"#));
        assert_eq!(settings.exposed().collect::<Vec<_>>(), [("Name", Some("x")), ("N", None)]);
    }

    #[test]
    fn a_body_without_a_dictionary_is_not_an_empty_dictionary() {
        for text in ["{}", r#"{"properties":null}"#, r#"{"properties":[]}"#, r#"{"value":[]}"#] {
            assert!(serde_json::from_str::<Body>(text).is_err(), "{text}");
        }
        assert!(read(r#"{"properties":{}}"#).is_empty());
    }

    #[test]
    fn debug_shows_names_alone() {
        let settings =
            read(r#"{"kind":"app","properties":{"A":"secret","B":{"value":"secret","type":"Custom"}}}"#);
        assert_eq!(format!("{settings:?}"), r#"{"A", "B"}"#);
    }

    #[test]
    fn the_key_within_a_value_is_a_secret_too() {
        let text = "Endpoint=https://chat.service.signalr.net;AccessKey=k1k1k1k1;Version=1.0;";
        let settings: Dictionary = [("S", text)].into_iter().collect();
        assert_eq!(
            settings.secrets().iter().map(|secret| secret.as_str()).collect::<Vec<_>>(),
            [text, "k1k1k1k1"]
        );
        let key = "c2Vjb25kK2tleS9vZi00NC1jaGFyYWN0ZXJzLTAxMg==";
        for text in [format!("{{\"key\":\"{key}\"}}"), key.replace('=', "%3D"), format!("A=1\nB='{key}'")] {
            let settings: Dictionary = [("S", text.as_str())].into_iter().collect();
            assert!(settings.secrets().iter().any(|secret| secret.as_str() == key), "{text}");
        }
    }
}
