//! ARM resource ids. Azure itself mixes their case, so they compare without regard to it.
//!
//! Start at [`ServiceId`]; those of consumers are in [`consumer`](super::consumer). How ids are written, and what Azure lets
//! resources be named, stands here alone.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The resource id of one service that has access keys. Its type is a part of it: two of different types may share a name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceId {
    service_type: ServiceType,
    at: ResourcePath,
}

/// The resource type of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceType {
    /// Azure SignalR Service.
    SignalR,
}

/// That a text is not the resource id that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: expected {wanted}")]
pub struct IdError {
    pub(super) text: String,
    pub(super) wanted: &'static str,
    /// Which of its names is at fault, where all else of it is in order.
    pub(super) fault: Option<IdFault>,
}

/// The part of a resource id that Azure would not have given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdFault {
    /// The subscription: an id such as 00000000-0000-0000-0000-000000000000.
    Subscription,
    /// The resource group: letters, digits, - _ . ( ), at most 90, no full stop at the end.
    ResourceGroup,
    /// The site: letters, digits and -, at most 60, no - at either end.
    Site,
    /// The service's name: letters, digits and -, at most 63, a letter first, no - at the end.
    Service,
    /// The deployment slot: letters, digits and -, at most 59, no - at either end.
    Slot,
    /// The container app or job: letters, digits and -, at most 32, no - at either end.
    ContainerApp,
    /// The static web app: letters, digits and -, at most 60, no - at either end.
    StaticWebApp,
}

/// Where a resource is: what an id says besides its type. It compares without regard to case.
#[derive(Clone)]
pub(super) struct ResourcePath {
    pub(super) subscription: String,
    pub(super) group: String,
    pub(super) name: String,
    /// Of a site alone.
    pub(super) slot: Option<String>,
}

impl ServiceType {
    /// All that there are.
    pub const ALL: [Self; 1] = [Self::SignalR];

    /// As it stands in ids.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignalR => "Microsoft.SignalRService/signalR",
        }
    }

    /// What tells it from the other types of its provider.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignalR => "signalR",
        }
    }
}

impl ServiceId {
    /// How one is written.
    pub const TEMPLATE: &'static str = "/subscriptions/{subscription}/resourceGroups/{group}/providers\
        /Microsoft.SignalRService/signalR/{name}";

    /// Makes the id of an Azure SignalR Service from its parts.
    pub fn new(subscription: &str, group: &str, name: &str) -> Self {
        let at = ResourcePath {
            subscription: subscription.into(),
            group: group.into(),
            name: name.into(),
            slot: None,
        };
        Self { service_type: ServiceType::SignalR, at }
    }

    /// Reads an id that may go on behind the service (`…/signalR/name/operationStatuses/…`), as the subjects of events
    /// do.
    pub fn from_prefix(text: &str) -> Result<Self, IdError> {
        let parts: Vec<&str> = text.trim_end_matches('/').split('/').take(9).collect();
        parts.join("/").parse().map_err(|error: IdError| IdError { text: text.into(), ..error })
    }

    /// Which of its names makes a text no id, where all else of it is in order.
    pub fn fault(text: &str) -> Option<IdFault> {
        text.parse::<Self>().err()?.fault
    }

    /// Its resource type.
    pub const fn service_type(&self) -> ServiceType {
        self.service_type
    }

    /// The service's own name.
    pub fn name(&self) -> &str {
        &self.at.name
    }

    /// Its resource group.
    pub fn group(&self) -> &str {
        &self.at.group
    }

    pub fn subscription(&self) -> &str {
        &self.at.subscription
    }

    /// What its documents are called by: a readable path that no two services share. Two of different types may have the same
    /// name, and ids compare without regard to case, so it is in lower case.
    pub fn path(&self) -> String {
        let of_type = self.service_type().name();
        format!("{}/{}/{of_type}/{}", self.subscription(), self.group(), self.name()).to_lowercase()
    }
}

impl FromStr for ServiceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fault = |fault| IdError { text: text.into(), wanted: Self::TEMPLATE, fault };
        let fits = |service_type: &ServiceType| ResourcePath::split(text, service_type.as_str());
        let found = ServiceType::ALL.into_iter().find_map(|one| Some((one, fits(&one)?)));
        let (service_type, at) = found.filter(|(_, at)| at.slot.is_none()).ok_or_else(|| fault(None))?;
        at.fault(is_service_name, IdFault::Service)
            .map_or(Ok(Self { service_type, at }), |why| Err(fault(Some(why))))
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.write(self.service_type.as_str(), f)
    }
}

impl ResourcePath {
    /// Reads `/subscriptions/{}/resourceGroups/{}/providers/{provider}/{type}/{name}[/slots/{slot}]`.
    pub(super) fn split(text: &str, resource_type: &str) -> Option<Self> {
        let (provider, kind) = resource_type.split_once('/')?;
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let parts: Vec<&str> = trimmed.strip_prefix('/')?.split('/').collect();
        let (fixed, rest) = parts.split_at_checked(8)?;
        let slot = match rest {
            [] => None,
            [word, slot] if word.eq_ignore_ascii_case("slots") => Some((*slot).to_owned()),
            _ => return None,
        };
        let words = [(0, "subscriptions"), (2, "resourceGroups"), (4, "providers"), (5, provider), (6, kind)];
        let fits = words.iter().all(|(at, word)| fixed[*at].eq_ignore_ascii_case(word));
        fits.then(|| Self {
            subscription: fixed[1].into(),
            group: fixed[3].into(),
            name: fixed[7].into(),
            slot,
        })
    }

    /// Which name Azure would not have given, by its rules (docs: Naming rules and restrictions for Azure resources). They
    /// also keep a URL's own signs out of paths that are made of ids: a name `..` would lead to another resource.
    pub(super) fn fault(&self, is_name: fn(&str) -> bool, bad_name: IdFault) -> Option<IdFault> {
        let word = |part: &str| part.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-');
        let group = |part: &str| {
            let sign = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_' | '.' | '(' | ')');
            part.chars().all(sign) && !part.ends_with('.')
        };
        if !(is_long(&self.subscription, 36) && word(&self.subscription)) {
            return Some(IdFault::Subscription);
        }
        if !(is_long(&self.group, 90) && group(&self.group)) {
            return Some(IdFault::ResourceGroup);
        }
        (!is_name(&self.name)).then_some(bad_name)
    }

    pub(super) fn write(&self, resource_type: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, group, name, slot } = self;
        write!(f, "/subscriptions/{subscription}/resourceGroups/{group}/providers/{resource_type}/{name}")?;
        slot.as_ref().map_or(Ok(()), |slot| write!(f, "/slots/{slot}"))
    }

    /// What it compares by.
    fn folded(&self) -> [String; 4] {
        let slot = self.slot.as_deref().unwrap_or_default();
        [&self.subscription, &self.group, &self.name, slot].map(str::to_lowercase)
    }
}

impl PartialEq for ResourcePath {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for ResourcePath {}

impl Hash for ResourcePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl PartialOrd for ResourcePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourcePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(&other.folded())
    }
}

fn is_service_name(name: &str) -> bool {
    let signs = name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-');
    let letter = name.starts_with(|sign: char| sign.is_ascii_alphabetic());
    is_long(name, 63) && signs && letter && !name.ends_with('-')
}

/// Whether a name is there, and no longer than Azure lets it be.
pub(super) fn is_long(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.chars().count())
}

/// How much alike two names must be, by Jaro and Winkler, for one to be meant by the other: as `chat-fnc` and `chat-func`
/// are, and no less than two names that share their first half.
const LIKE: f64 = 0.8;

/// What has the name that is most like another, without regard to case, if any is so much like it that it may be meant.
pub fn likest<T>(name: &str, candidates: impl Iterator<Item = (String, T)>) -> Option<T> {
    let lower = name.to_lowercase();
    let rated = candidates.map(|(other, it)| (strsim::jaro_winkler(&other.to_lowercase(), &lower), it));
    let (likeness, best) = rated.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (likeness >= LIKE).then_some(best)
}

/// An id is stored and shown as its text.
macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

pub(super) use as_text;

as_text!(ServiceId);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AppId;

    #[test]
    fn ids_compare_without_regard_to_case() {
        let lower = "/subscriptions/S/resourcegroups/RG/providers/microsoft.signalrservice/SignalR/Chat";
        let upper = "/SUBSCRIPTIONS/s/resourceGroups/rg/providers/Microsoft.SignalRService/signalR/chat";
        assert_eq!(lower.parse::<ServiceId>(), upper.parse::<ServiceId>());
    }

    #[test]
    fn a_slot_belongs_to_its_site_and_prints_back() {
        let text = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop/slots/staging";
        let id: AppId = text.parse().unwrap();
        assert_eq!((id.site(), id.slot(), id.to_string().as_str()), ("shop", Some("staging"), text));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "/",
            "shop",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/a/slots",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/a?x=1",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/serverfarms/a",
        ] {
            assert!(text.parse::<AppId>().is_err(), "{text}");
        }
        let slot = "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/a/slots/b";
        assert!(slot.parse::<ServiceId>().is_err());
    }

    #[test]
    fn every_name_in_an_id_is_one_that_azure_gives() {
        let long = "a".repeat(91);
        let names =
            ["", ".", "..", "a.", "a/../b", "a%2fb", "a b", "a?x", "a#x", "a\u{0}", "a;b", long.as_str()];
        let (mut apps, mut instances) = (Vec::new(), Vec::new());
        for name in names {
            let parts = [IdFault::Subscription, IdFault::ResourceGroup, IdFault::Site, IdFault::Slot];
            for (at, what) in parts.iter().enumerate() {
                let mut part = ["s", "g", "site", "slot"];
                part[at] = name;
                let [subscription, group, site, slot] = part;
                apps.push((*what, format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{site}/slots/{slot}")));
                instances.push((*what, format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{site}")));
            }
        }
        for (what, text) in &apps {
            let fault = text.parse::<AppId>().expect_err(text).fault;
            assert!(
                text.matches('/').count() > 10 || text.ends_with('/') || fault == Some(*what),
                "{text}: {fault:?}"
            );
            let goes_on = text.contains("a/../b") || text.ends_with('/');
            assert!(goes_on || AppId::from_prefix(text).is_err(), "{text}");
        }
        for (what, text) in instances.iter().filter(|(what, _)| *what != IdFault::Slot) {
            let what = if *what == IdFault::Site { IdFault::Service } else { *what };
            let fault = text.parse::<ServiceId>().expect_err(text).fault;
            assert!(
                text.matches('/').count() > 8 || text.ends_with('/') || fault == Some(what),
                "{text}: {fault:?}"
            );
        }
        for name in ["-a", "a-", "1a", "a_b", "a.b"] {
            let text = format!(
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/{name}"
            );
            assert!(text.parse::<ServiceId>().is_err(), "{name}");
        }
        for (group, site) in [("My_Group.(1)", "shop-1"), ("größe", "übung"), ("g", "1a")] {
            let text =
                format!("/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Web/sites/{site}");
            assert!(text.parse::<AppId>().is_ok(), "{text}");
        }
    }

    #[test]
    fn an_instance_is_found_in_what_goes_on_behind_it() {
        let text =
            "/subscriptions/s/resourcegroups/g/providers/Microsoft.SignalRService/SignalR/a/replicas/b";
        assert_eq!(ServiceId::from_prefix(text).unwrap().name(), "a");
    }
}
