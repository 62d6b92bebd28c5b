//! Consumers: the places that hold keys, and what App Service keeps in them.
//!
//! Start at [`ConsumerId`]. It says of what kind a consumer is, so that what decides and remembers need not know how each
//! kind is read and written; and which are [external](ConsumerId::is_external), that others have to change.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::container_app::{ContainerAppId, ContainerAppKind};
use super::id::{IdError, IdFault, ResourcePath, as_text, is_long};
use super::key_value::KeyValueId;
use super::name::Name;
use super::secret::{SecretId, SecretReference};
use super::static_web_app::StaticWebAppId;

/// What holds keys, of whatever kind.
///
/// Where it is stored its text names the kind, `appService:/subscriptions/…`; a text without one is the id of an app, as
/// journals of format 1 have it. `Display` shows the id as Azure and people know it, without the kind.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ConsumerId {
    /// An app of App Service or Azure Functions, or a deployment slot of one, with its settings.
    AppService(AppId),
    /// A secret of a Key Vault.
    KeyVaultSecret(SecretId),
    /// A container app or a job of Container Apps, with its secrets.
    ContainerApp(ContainerAppId),
    /// A static web app with its environments, and their settings.
    StaticWebApp(StaticWebAppId),
    /// A key-value of an App Configuration store.
    KeyValue(KeyValueId),
    /// A machine, or a pipeline, that changes its key itself and reports which it holds.
    Reporter(Name),
    /// What a person changes, and acknowledges.
    Manual(Name),
}

/// The resource id of one web app, function app or deployment slot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(ResourcePath);

impl ConsumerId {
    /// How a kind is named in the text of an id.
    const APP_SERVICE: &'static str = "appService";
    const KEY_VAULT_SECRET: &'static str = "keyVaultSecret";
    const CONTAINER_APP: &'static str = "containerApp";
    const STATIC_WEB_APP: &'static str = "staticWebApp";
    const KEY_VALUE: &'static str = "keyValue";
    const REPORTER: &'static str = "reporter";
    const MANUAL: &'static str = "manual";

    /// What people call it: its name among those of its kind.
    pub fn name(&self) -> String {
        match self {
            Self::AppService(app) => app.name(),
            Self::KeyVaultSecret(secret) => format!("{}/{}", secret.vault(), secret.name()),
            Self::ContainerApp(app) => match app.kind() {
                ContainerAppKind::App => app.name().to_owned(),
                ContainerAppKind::Job => format!("jobs/{}", app.name()),
            },
            Self::StaticWebApp(app) => app.name().to_owned(),
            Self::KeyValue(id) => id.name(),
            Self::Reporter(name) | Self::Manual(name) => name.to_string(),
        }
    }

    /// A word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AppService(_) => Self::APP_SERVICE,
            Self::KeyVaultSecret(_) => Self::KEY_VAULT_SECRET,
            Self::ContainerApp(_) => Self::CONTAINER_APP,
            Self::StaticWebApp(_) => Self::STATIC_WEB_APP,
            Self::KeyValue(_) => Self::KEY_VALUE,
            Self::Reporter(_) => Self::REPORTER,
            Self::Manual(_) => Self::MANUAL,
        }
    }

    /// The Key Vault secret, where it is one.
    pub const fn secret(&self) -> Option<&SecretId> {
        match self {
            Self::KeyVaultSecret(secret) => Some(secret),
            Self::AppService(_)
            | Self::ContainerApp(_)
            | Self::StaticWebApp(_)
            | Self::KeyValue(_)
            | Self::Reporter(_)
            | Self::Manual(_) => None,
        }
    }

    /// The app, where it is one.
    pub const fn app(&self) -> Option<&AppId> {
        match self {
            Self::AppService(app) => Some(app),
            Self::KeyVaultSecret(_)
            | Self::ContainerApp(_)
            | Self::StaticWebApp(_)
            | Self::KeyValue(_)
            | Self::Reporter(_)
            | Self::Manual(_) => None,
        }
    }

    /// Whether only others can change what it holds: it is never written by us, and what it holds is what was last said of it.
    pub const fn is_external(&self) -> bool {
        matches!(self, Self::Reporter(_) | Self::Manual(_))
    }

    /// Whether a write of it restarts an app. One of a secret or of a key-value by itself restarts nothing.
    pub const fn restarts(&self) -> bool {
        !matches!(self, Self::KeyVaultSecret(_) | Self::KeyValue(_)) && !self.is_external()
    }
}

impl From<AppId> for ConsumerId {
    fn from(app: AppId) -> Self {
        Self::AppService(app)
    }
}

impl From<&AppId> for ConsumerId {
    fn from(app: &AppId) -> Self {
        Self::AppService(app.clone())
    }
}

impl FromStr for ConsumerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let name = |name: &str| {
            name.parse().map_err(|_| IdError { text: text.into(), wanted: Name::TEMPLATE, fault: None })
        };
        match text.split_once(':') {
            Some((kind, id)) if kind.eq_ignore_ascii_case(Self::APP_SERVICE) => {
                id.parse().map(Self::AppService)
            }
            Some((kind, id)) if kind.eq_ignore_ascii_case(Self::KEY_VAULT_SECRET) => {
                id.parse().map(Self::KeyVaultSecret)
            }
            Some((kind, id)) if kind.eq_ignore_ascii_case(Self::CONTAINER_APP) => {
                id.parse().map(Self::ContainerApp)
            }
            Some((kind, id)) if kind.eq_ignore_ascii_case(Self::STATIC_WEB_APP) => {
                id.parse().map(Self::StaticWebApp)
            }
            Some((kind, id)) if kind.eq_ignore_ascii_case(Self::KEY_VALUE) => id.parse().map(Self::KeyValue),
            Some((kind, id)) if kind.eq_ignore_ascii_case(Self::REPORTER) => name(id).map(Self::Reporter),
            Some((kind, id)) if kind.eq_ignore_ascii_case(Self::MANUAL) => name(id).map(Self::Manual),
            _ => text.parse().map(Self::AppService),
        }
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AppService(app) => app.fmt(f),
            Self::KeyVaultSecret(secret) => secret.fmt(f),
            Self::ContainerApp(app) => app.fmt(f),
            Self::StaticWebApp(app) => app.fmt(f),
            Self::KeyValue(id) => id.fmt(f),
            Self::Reporter(name) | Self::Manual(name) => name.fmt(f),
        }
    }
}

impl From<ConsumerId> for String {
    fn from(id: ConsumerId) -> Self {
        format!("{}:{id}", id.kind())
    }
}

impl TryFrom<String> for ConsumerId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl fmt::Debug for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.kind())
    }
}

impl AppId {
    /// How one is written.
    pub const TEMPLATE: &'static str = "/subscriptions/{subscription}/resourceGroups/{group}/providers\
        /Microsoft.Web/sites/{name}[/slots/{slot}]";

    /// Its resource type, as it stands in ids.
    pub const RESOURCE_TYPE: &'static str = "Microsoft.Web/sites";

    /// Makes an id from its parts.
    pub fn new(subscription: &str, group: &str, site: &str, slot: Option<&str>) -> Self {
        Self(ResourcePath {
            subscription: subscription.into(),
            group: group.into(),
            name: site.into(),
            slot: slot.map(Into::into),
        })
    }

    /// Reads an id that may go on behind the site or the slot (`…/sites/name/config/appsettings`), as the subjects of
    /// events do.
    pub fn from_prefix(text: &str) -> Result<Self, IdError> {
        let parts: Vec<&str> = text.trim_end_matches('/').split('/').collect();
        let has_slot =
            parts.get(9).is_some_and(|word| word.eq_ignore_ascii_case("slots")) && parts.len() > 10;
        let taken = &parts[..parts.len().min(if has_slot { 11 } else { 9 })];
        taken.join("/").parse().map_err(|error: IdError| IdError { text: text.into(), ..error })
    }

    /// Which of its names makes a text no id, where all else of it is in order.
    pub fn fault(text: &str) -> Option<IdFault> {
        text.parse::<Self>().err()?.fault
    }

    /// `site` or `site/slot`, as App Service itself names them.
    pub fn name(&self) -> String {
        match &self.0.slot {
            Some(slot) => format!("{}/{slot}", self.0.name),
            None => self.0.name.clone(),
        }
    }

    /// The site without its slot.
    pub fn site(&self) -> &str {
        &self.0.name
    }

    /// The deployment slot, where it is one.
    pub fn slot(&self) -> Option<&str> {
        self.0.slot.as_deref()
    }

    /// Its resource group.
    pub fn group(&self) -> &str {
        &self.0.group
    }

    pub fn subscription(&self) -> &str {
        &self.0.subscription
    }
}

impl FromStr for AppId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fault = |fault| IdError { text: text.into(), wanted: Self::TEMPLATE, fault };
        let at = ResourcePath::split(text, Self::RESOURCE_TYPE).ok_or_else(|| fault(None))?;
        let bad_slot = || {
            let bad = !at.slot.as_deref().is_none_or(|slot| is_long(slot, 59) && is_site_name(slot));
            bad.then_some(IdFault::Slot)
        };
        let is_name = |name: &str| is_long(name, 60) && is_site_name(name);
        match at.fault(is_name, IdFault::Site).or_else(bad_slot) {
            Some(why) => Err(fault(Some(why))),
            None => Ok(Self(at)),
        }
    }
}

/// Sites may have signs of other scripts, which DNS takes as Punycode.
fn is_site_name(name: &str) -> bool {
    let signs = name.chars().all(|sign| sign.is_alphanumeric() || sign == '-');
    signs && !name.starts_with('-') && !name.ends_with('-')
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(Self::RESOURCE_TYPE, f)
    }
}

as_text!(AppId);

/// A settings dictionary of an app; each is read and replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// `config/appsettings`
    AppSettings,
    /// `config/connectionstrings`
    ConnectionStrings,
    /// `config/functionappsettings`, of a static web app.
    FunctionSettings,
}

impl Section {
    /// Those of an app of App Service.
    pub const ALL: [Self; 2] = [Self::AppSettings, Self::ConnectionStrings];
    /// Those of an environment of a static web app.
    pub const OF_STATIC_WEB_APPS: [Self; 2] = [Self::AppSettings, Self::FunctionSettings];

    /// What an entry of it is called.
    pub const fn entry(self) -> &'static str {
        match self {
            Self::AppSettings => "app setting",
            Self::ConnectionStrings => "connection string",
            Self::FunctionSettings => "function setting",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppSettings => "app settings",
            Self::ConnectionStrings => "connection strings",
            Self::FunctionSettings => "function settings",
        })
    }
}

/// A reference that App Service, or the app itself, resolves. What it leads to is never overwritten by a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// To which kind of store it leads.
    pub store: ReferenceStore,
    /// What it names there: the secret, or the key. Empty where that cannot be read.
    pub names: Vec<String>,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceStore {
    /// A Key Vault, or something else behind a reference of App Service that we do not know.
    KeyVault,
    AppConfiguration,
}

impl Reference {
    /// Reads a setting's value: `@Microsoft.KeyVault(SecretUri=…)` or `(VaultName=…;SecretName=…)` (docs: Use Key Vault
    /// references), `@Microsoft.AppConfiguration(Endpoint=…; Key=…)` (docs: Use App Configuration references), or the URL
    /// of a secret in any text, as a value of App Configuration or of an app's own has it. Case and blanks mean nothing.
    pub fn read(value: &str) -> Option<Self> {
        let text: String =
            value.chars().filter(|sign| !sign.is_whitespace()).flat_map(char::to_lowercase).collect();
        let named = |member: &str| {
            let parts = text.split(['(', ';', ')']);
            parts.filter_map(|part| part.strip_prefix(member)?.strip_prefix('=').map(str::to_owned)).collect()
        };
        if text.starts_with("@microsoft.appconfiguration(") {
            return Some(Self { store: ReferenceStore::AppConfiguration, names: named("key") });
        }
        let of_urls = secrets(&text);
        let is_reference = text.starts_with("@microsoft.") || !of_urls.is_empty();
        let names = [named("secretname"), of_urls].concat();
        is_reference.then_some(Self { store: ReferenceStore::KeyVault, names })
    }

    /// Whether a value begins like a reference of App Service and is none in any of the documented forms: the platform gives the
    /// app the text as it is (docs: Use Key Vault references, unresolved references).
    pub fn is_mistyped(value: &str) -> bool {
        let text: String = value.chars().filter(|sign| !sign.is_whitespace()).collect();
        let begins = |with: &str| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
        // Behind a vault's name the platform puts its cloud's domain, whatever that is.
        (begins("@Microsoft.KeyVault(") && SecretReference::read(value, "vault.azure.net").is_none())
            || (begins("@Microsoft.AppConfiguration(") && KeyValueId::of_reference(value).is_none())
    }

    /// Whether a name within it tells that it leads to something of SignalR.
    pub fn names_signalr(&self) -> bool {
        self.names.iter().any(|name| names_signalr(name))
    }
}

/// The names of secrets in URLs like `https://{vault}.vault.azure.net/secrets/{name}/{version}`.
fn secrets(text: &str) -> Vec<String> {
    let urls = text.split("https://").skip(1).filter_map(|url| url.split_once("/secrets/"));
    let of_vaults = urls.filter(|(host, _)| host.contains(".vault") && !host.contains('/'));
    let name = |rest: &str| {
        rest.split(|sign: char| !sign.is_alphanumeric() && sign != '-').next().map(str::to_owned)
    };
    of_vaults.filter_map(|(_, rest)| name(rest)).filter(|name| !name.is_empty()).collect()
}

/// Whether a name speaks of SignalR, however it is written: `AzureSignalR__Connection`, `chat-signal-r`.
pub fn names_signalr(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    letters.to_lowercase().contains("signalr")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_consumers_id_names_its_kind_and_is_read_in_any_case() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop";
        let consumer: ConsumerId = format!("appService:{id}").parse().unwrap();
        assert_eq!(consumer, ConsumerId::from(&id.parse::<AppId>().unwrap()));
        assert_eq!(format!("APPSERVICE:{}", id.to_uppercase()).parse(), Ok(consumer.clone()));
        assert_eq!(id.parse(), Ok(consumer.clone()), "as journals of format 1 have it");
        assert_eq!(
            (consumer.to_string(), String::from(consumer)),
            (id.to_owned(), format!("appService:{id}"))
        );
        for text in ["reporter:iis-01", "manual:partner-gateway"] {
            let external: ConsumerId = text.to_uppercase().parse().unwrap();
            assert!(external.is_external() && external == text.parse().unwrap(), "{external:?}");
            let (kind, name) = text.split_once(':').unwrap();
            assert_eq!(String::from(external), format!("{kind}:{}", name.to_uppercase()), "as it is written");
        }
        for text in [
            format!("keyVault:{id}"),
            "reporter:".to_owned(),
            "manual:a b".to_owned(),
            format!("appService:appService:{id}"),
            "appService:".to_owned(),
        ] {
            assert!(text.parse::<ConsumerId>().is_err(), "{text}");
        }
    }

    #[test]
    fn references_are_read_in_every_syntax() {
        use ReferenceStore::{AppConfiguration, KeyVault};
        for (value, store, name) in [
            (
                "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/Chat-SignalR/)",
                KeyVault,
                "chat-signalr",
            ),
            (
                "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/a/0123456789abcdef)",
                KeyVault,
                "a",
            ),
            ("@microsoft.keyvault( VaultName = v ; SecretName = a ; SecretVersion = 1 )", KeyVault, "a"),
            (" @ Microsoft.KeyVault (VaultName=v;SecretName=a)", KeyVault, "a"),
            ("https://v.vault.azure.cn/secrets/a", KeyVault, "a"),
            ("https://v.vault.usgovcloudapi.net/secrets/a?api-version=7.5", KeyVault, "a"),
            (r#"{"uri":"https://v.vault.azure.net/secrets/a"}"#, KeyVault, "a"),
            (
                "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=chat:signalr; Label=prod)",
                AppConfiguration,
                "chat:signalr",
            ),
            ("@MICROSOFT.APPCONFIGURATION(endpoint=https://s.azconfig.io;key=a)", AppConfiguration, "a"),
        ] {
            let read = Reference::read(value).unwrap();
            assert_eq!((read.store, &read.names[..]), (store, &[name.to_owned()][..]), "{value}");
        }
        for value in [
            "",
            "Endpoint=https://chat;AccessKey=k;",
            "https://v.vault.azure.net/",
            "@Microsoft",
            "secrets/a",
        ] {
            assert_eq!(Reference::read(value), None, "{value}");
        }
    }

    #[test]
    fn names_speak_of_signalr_however_they_are_written() {
        for name in ["AzureSignalRConnectionString", "SIGNALR_ACCESS_KEY", "chat-signal-r", "Azure:SignalR:X"]
        {
            assert!(names_signalr(name), "{name}");
        }
        assert!(!names_signalr("Signal") && !names_signalr("DbPassword"));
    }
}
