//! Static Web Apps, whose managed functions read settings.
//!
//! Start at [`StaticWebAppId`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{IdError, IdFault, ResourcePath, as_text, is_long};

/// The resource id of one static web app, with all of its environments.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StaticWebAppId(ResourcePath);

impl StaticWebAppId {
    /// How one is written.
    pub const TEMPLATE: &'static str = "/subscriptions/{subscription}/resourceGroups/{group}/providers\
        /Microsoft.Web/staticSites/{name}";

    /// Its resource type, as it stands in ids.
    const RESOURCE_TYPE: &'static str = "Microsoft.Web/staticSites";

    /// Its own name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its resource group.
    pub fn group(&self) -> &str {
        &self.0.group
    }

    pub fn subscription(&self) -> &str {
        &self.0.subscription
    }

    /// Which of its names makes a text no id, where all else of it is in order.
    pub fn fault(text: &str) -> Option<IdFault> {
        text.parse::<Self>().err()?.fault
    }
}

impl FromStr for StaticWebAppId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fault = |fault| IdError { text: text.into(), wanted: Self::TEMPLATE, fault };
        let found = ResourcePath::split(text, Self::RESOURCE_TYPE).filter(|at| at.slot.is_none());
        let at = found.ok_or_else(|| fault(None))?;
        at.fault(is_name, IdFault::StaticWebApp).map_or(Ok(Self(at)), |why| Err(fault(Some(why))))
    }
}

/// docs: Naming rules and restrictions for Azure resources.
fn is_name(name: &str) -> bool {
    let signs = name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-');
    is_long(name, 60) && signs && !name.starts_with('-') && !name.ends_with('-')
}

impl fmt::Display for StaticWebAppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(Self::RESOURCE_TYPE, f)
    }
}

as_text!(StaticWebAppId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_any_case_and_prints_back() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/staticSites/docs";
        let read: StaticWebAppId = id.parse().unwrap();
        assert_eq!((read.to_string().as_str(), read.name(), read.group()), (id, "docs", "g"));
        assert_eq!(id.to_uppercase().parse(), Ok(read));
        for text in ["", "docs", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/docs"] {
            assert!(text.parse::<StaticWebAppId>().is_err(), "{text}");
        }
        assert_eq!(StaticWebAppId::fault(&format!("{id}-")), Some(IdFault::StaticWebApp));
        assert!(format!("{id}/builds/12").parse::<StaticWebAppId>().is_err());
    }
}
