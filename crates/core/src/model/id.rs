//! ARM resource ids. Azure itself mixes their case, so they compare without regard to it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The resource id of one Azure SignalR Service.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceId(ResourceId);

/// The resource id of one web app, function app or deployment slot.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(ResourceId);

/// That a text is not the resource id that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: expected {wanted}")]
pub struct IdError {
    text: String,
    wanted: &'static str,
    fault: Option<IdFault>,
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
}

#[derive(Clone)]
struct ResourceId {
    subscription: String,
    group: String,
    name: String,
    slot: Option<String>,
}

impl ServiceId {
    const WANTED: &'static str = "\
        /subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SignalRService/signalR/{name}";

    /// The instance's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its resource group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.0.group
    }

    /// Its subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.0.subscription
    }

    /// Makes an id from its parts.
    #[must_use]
    pub fn new(subscription: &str, group: &str, name: &str) -> Self {
        Self(ResourceId {
            subscription: subscription.into(),
            group: group.into(),
            name: name.into(),
            slot: None,
        })
    }

    /// Reads an id that may go on behind the instance (`…/signalR/name/operationStatuses/…`), as the subjects of
    /// events do.
    pub fn from_prefix(text: &str) -> Result<Self, IdError> {
        let parts: Vec<&str> = text.trim_end_matches('/').split('/').take(9).collect();
        parts.join("/").parse().map_err(|error: IdError| IdError { text: text.into(), ..error })
    }
}

impl AppId {
    const WANTED: &'static str = "/subscriptions/{subscription}\
        /resourceGroups/{group}/providers/Microsoft.Web/sites/{name}[/slots/{slot}]";

    /// Reads an id that may go on behind the site or the slot (`…/sites/name/config/appsettings`), as the subjects of
    /// events do.
    pub fn from_prefix(text: &str) -> Result<Self, IdError> {
        let parts: Vec<&str> = text.trim_end_matches('/').split('/').collect();
        let has_slot =
            parts.get(9).is_some_and(|word| word.eq_ignore_ascii_case("slots")) && parts.len() > 10;
        let taken = &parts[..parts.len().min(if has_slot { 11 } else { 9 })];
        taken.join("/").parse().map_err(|error: IdError| IdError { text: text.into(), ..error })
    }

    /// `site` or `site/slot`, as App Service itself names them.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0.slot {
            Some(slot) => format!("{}/{slot}", self.0.name),
            None => self.0.name.clone(),
        }
    }

    /// The site without its slot.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.0.name
    }

    /// The deployment slot, where it is one.
    #[must_use]
    pub fn slot(&self) -> Option<&str> {
        self.0.slot.as_deref()
    }

    /// Its resource group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.0.group
    }

    /// Its subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.0.subscription
    }

    /// Makes an id from its parts.
    #[must_use]
    pub fn new(subscription: &str, group: &str, site: &str, slot: Option<&str>) -> Self {
        Self(ResourceId {
            subscription: subscription.into(),
            group: group.into(),
            name: site.into(),
            slot: slot.map(Into::into),
        })
    }
}

impl ResourceId {
    /// Reads `/subscriptions/{}/resourceGroups/{}/providers/{provider}/{kind}/{name}[/slots/{slot}]`.
    ///
    /// Refused with the part that is at fault, where it is one of the names alone.
    fn parse(text: &str, provider: &str, kind: &str) -> Result<Self, Option<IdFault>> {
        let id = Self::split(text, provider, kind).ok_or(None)?;
        id.fault(kind).map_or(Ok(id), |fault| Err(Some(fault)))
    }

    fn split(text: &str, provider: &str, kind: &str) -> Option<Self> {
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
    fn fault(&self, kind: &str) -> Option<IdFault> {
        let word = |part: &str| part.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-');
        // Sites may have signs of other scripts, which DNS takes as Punycode.
        let site = |part: &str| {
            part.chars().all(|sign| sign.is_alphanumeric() || sign == '-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        let long = |part: &str, longest: usize| (1..=longest).contains(&part.chars().count());
        let group = |part: &str| {
            let sign = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_' | '.' | '(' | ')');
            part.chars().all(sign) && !part.ends_with('.')
        };
        let letter = self.name.starts_with(|sign: char| sign.is_ascii_alphabetic());
        if !(long(&self.subscription, 36) && word(&self.subscription)) {
            return Some(IdFault::Subscription);
        }
        if !(long(&self.group, 90) && group(&self.group)) {
            return Some(IdFault::ResourceGroup);
        }
        if kind == SITES && !(long(&self.name, 60) && site(&self.name)) {
            return Some(IdFault::Site);
        }
        if kind != SITES && !(long(&self.name, 63) && word(&self.name) && letter && !self.name.ends_with('-'))
        {
            return Some(IdFault::Service);
        }
        let slot = self.slot.as_deref().is_none_or(|slot| long(slot, 59) && site(slot));
        (!slot).then_some(IdFault::Slot)
    }

    fn parts(&self) -> [&str; 4] {
        [&self.subscription, &self.group, &self.name, self.slot.as_deref().unwrap_or_default()]
    }

    fn folded(&self) -> [String; 4] {
        self.parts().map(str::to_lowercase)
    }
}

/// The type of web apps and function apps.
const SITES: &str = "sites";

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

macro_rules! resource_id {
    ($type:ty, $provider:literal, $kind:expr, $slots:literal) => {
        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = |fault| IdError { text: text.into(), wanted: Self::WANTED, fault };
                let id = ResourceId::parse(text, $provider, $kind).map_err(error)?;
                if $slots || id.slot.is_none() { Ok(Self(id)) } else { Err(error(None)) }
            }
        }

        impl $type {
            /// Which of its names makes a text no id, where all else of it is in order.
            #[must_use]
            pub fn fault(text: &str) -> Option<IdFault> {
                text.parse::<Self>().err()?.fault
            }
        }

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

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ResourceId { subscription, group, name, slot } = &self.0;
                write!(f, "/subscriptions/{subscription}/resourceGroups/{group}")?;
                write!(f, "/providers/{}/{}/{name}", $provider, $kind)?;
                slot.as_ref().map_or(Ok(()), |slot| write!(f, "/slots/{slot}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.folded() == other.0.folded()
            }
        }

        impl Eq for $type {}

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.folded().hash(state);
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.0.folded().cmp(&other.0.folded())
            }
        }
    };
}

resource_id!(ServiceId, "Microsoft.SignalRService", "signalR", false);
resource_id!(AppId, "Microsoft.Web", SITES, true);

#[cfg(test)]
mod tests {
    use super::*;

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
