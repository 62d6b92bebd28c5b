//! The ids of resources and the keys of services, as Azure Resource Manager has them.
//!
//! Key material is a [`Key`] from the moment it is made, and a key's `Debug` shows nothing of it.

mod containers;

use std::fmt;
use std::ops::{Index, IndexMut};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

pub use self::containers::{ContainerId, ContainerKind, StaticSiteId};

/// The resource id of one Azure SignalR Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceId {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

/// The resource id of one web app or function app, or of a deployment slot of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppId {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) site: String,
    pub(crate) slot: Option<String>,
}

impl ServiceId {
    /// Its name, unique in all of Azure.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a text is this id: Azure writes the case of ids now so and now so.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.to_string().eq_ignore_ascii_case(text.trim_end_matches('/'))
    }

    /// Whether Azure would give such names (docs: Naming rules and restrictions for Azure resources).
    pub(crate) fn is_valid(&self) -> bool {
        let name = self.name.as_bytes();
        is_subscription(&self.subscription)
            && is_group(&self.group)
            && (1..=63).contains(&name.len())
            && name.iter().all(|sign| sign.is_ascii_alphanumeric() || *sign == b'-')
            && name[0].is_ascii_alphabetic()
            && name[name.len() - 1] != b'-'
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, name } = self;
        write!(f, "/subscriptions/{subscription}/resourceGroups/{group}")?;
        write!(f, "/providers/Microsoft.SignalRService/signalR/{name}")
    }
}

impl AppId {
    /// `site` or `site/slot`, as App Service itself names them.
    #[must_use]
    pub fn name(&self) -> String {
        self.slot.as_ref().map_or_else(|| self.site.clone(), |slot| format!("{}/{slot}", self.site))
    }

    /// Whether Azure would give such names (docs: Naming rules and restrictions for Azure resources). Those of sites may
    /// have letters of other scripts.
    pub(crate) fn is_valid(&self) -> bool {
        let label = |name: &str, longest: usize| {
            (1..=longest).contains(&name.chars().count())
                && name.chars().all(|sign| sign.is_alphanumeric() || sign == '-')
                && !name.starts_with('-')
                && !name.ends_with('-')
        };
        is_subscription(&self.subscription)
            && is_group(&self.group)
            && label(&self.site, 60)
            && self.slot.as_ref().is_none_or(|slot| label(slot, 59))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, site, slot } = self;
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{site}"
        )?;
        slot.iter().try_for_each(|slot| write!(f, "/slots/{slot}"))
    }
}

/// The resource id of one key vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultId {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

impl VaultId {
    /// Its name, unique in all of Azure.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether Azure would give such names (docs: Naming rules and restrictions for Azure resources).
    pub(crate) fn is_valid(&self) -> bool {
        let name = self.name.as_bytes();
        is_subscription(&self.subscription)
            && is_group(&self.group)
            && (3..=24).contains(&name.len())
            && name.iter().all(|sign| sign.is_ascii_alphanumeric() || *sign == b'-')
            && name[0].is_ascii_alphabetic()
            && name[name.len() - 1] != b'-'
            && !self.name.contains("--")
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, name } = self;
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{name}"
        )
    }
}

/// The resource id of one App Configuration store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreId {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

impl StoreId {
    /// Its name, unique in all of Azure.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether Azure would give such names (docs: Naming rules and restrictions for Azure resources).
    pub(crate) fn is_valid(&self) -> bool {
        let name = self.name.as_bytes();
        is_subscription(&self.subscription)
            && is_group(&self.group)
            && (5..=50).contains(&name.len())
            && name.iter().all(|sign| sign.is_ascii_alphanumeric() || *sign == b'-')
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, name } = self;
        write!(f, "/subscriptions/{subscription}/resourceGroups/{group}")?;
        write!(f, "/providers/Microsoft.AppConfiguration/configurationStores/{name}")
    }
}

fn is_subscription(text: &str) -> bool {
    (1..=36).contains(&text.len()) && text.bytes().all(|sign| sign.is_ascii_alphanumeric() || sign == b'-')
}

fn is_group(text: &str) -> bool {
    let fits = |sign: char| sign.is_alphanumeric() || "-_.()".contains(sign);
    (1..=90).contains(&text.chars().count()) && text.chars().all(fits) && !text.ends_with('.')
}

/// One of the two access keys of a service; `Salt`, the third word that a regeneration takes, is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyType {
    /// The first key.
    Primary,
    /// The second key.
    Secondary,
}

impl KeyType {
    /// Both, in Azure's order.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// Azure's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "Primary",
            Self::Secondary => "Secondary",
        }
    }

    /// By Azure's word for it, in any case, as a regeneration takes it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key_type| key_type.name().eq_ignore_ascii_case(name))
    }
}

/// Something of each of the two keys of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<T> {
    /// That of the primary key.
    pub primary: T,
    /// That of the secondary key.
    pub secondary: T,
}

impl<T> Pair<T> {
    pub(crate) fn each(mut make: impl FnMut(KeyType) -> T) -> Self {
        let primary = make(KeyType::Primary);
        Self { primary, secondary: make(KeyType::Secondary) }
    }

    pub(crate) fn values(&self) -> [&T; 2] {
        [&self.primary, &self.secondary]
    }
}

impl<T> Index<KeyType> for Pair<T> {
    type Output = T;

    fn index(&self, key_type: KeyType) -> &T {
        if key_type == KeyType::Primary { &self.primary } else { &self.secondary }
    }
}

impl<T> IndexMut<KeyType> for Pair<T> {
    fn index_mut(&mut self, key_type: KeyType) -> &mut T {
        if key_type == KeyType::Primary { &mut self.primary } else { &mut self.secondary }
    }
}

/// An access key: a text that signs.
#[derive(Clone)]
pub struct Key(SecretString);

impl Key {
    /// Takes the text of a key.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Key {}

/// The connection string that Azure itself hands out (Azure CLI recording, 2024-10).
pub(crate) fn connection_string(host: &str, key: &Key) -> String {
    format!("Endpoint=https://{host};AccessKey={};Version=1.0;", key.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_azure_gives() {
        let service = |group: &str, name: &str| {
            let (group, name) = (group.to_owned(), name.to_owned());
            ServiceId { subscription: "s-1".into(), group, name }.is_valid()
        };
        assert!(service("Rg_(1).x", "sr-1") && service("größe", "s"));
        for (group, name) in
            [("", "sr"), ("g.", "sr"), ("g/h", "sr"), ("g", ""), ("g", "1sr"), ("g", "sr-"), ("g", "..")]
        {
            assert!(!service(group, name), "{group} {name}");
        }
        let app = |site: &str, slot: Option<&str>| {
            let (site, slot) = (site.to_owned(), slot.map(str::to_owned));
            AppId { subscription: "s".into(), group: "g".into(), site, slot }.is_valid()
        };
        assert!(app("1-shop", Some("staging")) && app("übung", None));
        for (site, slot) in [("a b", None), ("-a", None), ("a", Some("")), ("a", Some("b/c")), ("a.b", None)]
        {
            assert!(!app(site, slot), "{site} {slot:?}");
        }
    }

    #[test]
    fn the_names_of_vaults_are_shorter() {
        let vault = |name: &str| {
            let (subscription, group, name) = ("s".into(), "g".into(), name.to_owned());
            VaultId { subscription, group, name }.is_valid()
        };
        assert!(vault("kv-1") && vault("abc"));
        for name in ["kv", "1kv", "kv-", "k--v", "kv_1", "a123456789012345678901234"] {
            assert!(!vault(name), "{name}");
        }
    }

    #[test]
    fn a_slot_is_named_with_its_site() {
        let id = AppId {
            subscription: "s".into(),
            group: "g".into(),
            site: "shop".into(),
            slot: Some("next".into()),
        };
        assert_eq!(id.name(), "shop/next");
        assert_eq!(
            id.to_string(),
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop/slots/next"
        );
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::new("abc")), "Key");
    }
}
