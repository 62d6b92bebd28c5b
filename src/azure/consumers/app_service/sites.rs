//! Finding what there is: sites and slots, page by page; and how a site goes over to changed settings.

use std::time::Duration;

use serde::Deserialize;

use super::API_VERSION;
use crate::azure::arm::{Arm, ArmError, Call, Operation, Subject};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::model::AppId;

/// docs: Azure permissions for Web and Mobile.
const READ: &[&str] = &["Microsoft.Web/sites/Read"];

const GET: Operation = Operation::read("WebApps_Get", READ).about(Subject::Consumer);
const LIST: Operation = Operation::read("WebApps_List", READ).about(Subject::Consumer);
const LIST_BY_GROUP: Operation =
    Operation::read("WebApps_ListByResourceGroup", READ).about(Subject::Consumer);
const LIST_SLOTS: Operation =
    Operation::read("WebApps_ListSlots", &["Microsoft.Web/sites/slots/Read"]).about(Subject::Consumer);

pub(super) const OPERATIONS: [Operation; 4] = [GET, LIST, LIST_BY_GROUP, LIST_SLOTS];

/// A web app, function app or slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its id, as Azure writes it.
    pub id: AppId,
    /// Azure's `kind`, like `app,linux` or `functionapp`.
    pub kind: String,
    /// `properties.state`, like `Running` or `Stopped`.
    pub state: String,
}

/// What becomes of a function app's instances when its settings change (docs: Site update strategies in Flex Consumption).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateStrategy {
    /// All are ended at once, as everywhere but on Flex Consumption.
    Recreate,
    /// They are drained, and work on with the old settings for up to an hour.
    RollingUpdate,
}

impl UpdateStrategy {
    /// No instance works on with the old settings for longer; nothing tells that it has ended. To end all and start new ones
    /// takes a minute or two, for which five are plenty; what runs in one that is drained may end, within an hour.
    #[must_use]
    pub const fn settles_within(self) -> Duration {
        match self {
            Self::Recreate => Duration::from_secs(5 * 60),
            Self::RollingUpdate => Duration::from_secs(65 * 60),
        }
    }
}

/// The first stable version of Microsoft.Web that is documented to tell the update strategy.
const STRATEGY_API_VERSION: &str = "2024-11-01";

impl Arm {
    /// `WebApps_Get`: how a site goes over to changed settings.
    pub async fn update_strategy(&self, site: &AppId) -> Result<UpdateStrategy, ArmError> {
        let site = AppId::new(site.subscription(), site.group(), site.site(), None);
        let call = Call::get(GET, self.url(&site.to_string(), STRATEGY_API_VERSION));
        let resource: Resource = self.send(&call).await?.json(&call)?;
        let config = resource.properties.function_app_config;
        let kind = config.and_then(|config| config.site_update_strategy).and_then(|strategy| strategy.kind);
        let rolls = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("RollingUpdate"));
        Ok(if rolls { UpdateStrategy::RollingUpdate } else { UpdateStrategy::Recreate })
    }

    /// `WebApps_List`, all pages. What bears no id of a site is left out, with a warning.
    pub async fn list_sites(&self, subscription: &str) -> Result<Vec<Site>, ArmError> {
        let path = format!("/subscriptions/{subscription}/providers/Microsoft.Web/sites");
        self.sites(LIST, &path).await
    }

    /// `WebApps_ListByResourceGroup`, all pages: the sites of a resource group, without their slots.
    pub async fn list_group_sites(&self, subscription: &str, group: &str) -> Result<Vec<Site>, ArmError> {
        let path =
            format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites");
        self.sites(LIST_BY_GROUP, &path).await
    }

    /// `WebApps_ListSlots`, all pages: the deployment slots of a site, without the site itself.
    pub async fn list_slots(&self, site: &AppId) -> Result<Vec<Site>, ArmError> {
        let site = AppId::new(site.subscription(), site.group(), site.site(), None);
        self.sites(LIST_SLOTS, &format!("{site}/slots")).await
    }

    async fn sites(&self, operation: Operation, path: &str) -> Result<Vec<Site>, ArmError> {
        let resources: Vec<Resource> = self.pages(operation, self.url(path, API_VERSION)).await?;
        Ok(resources.into_iter().filter_map(Resource::read).collect())
    }
}

#[derive(Deserialize)]
struct Resource {
    id: String,
    kind: Option<String>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    state: Option<String>,
    function_app_config: Option<FunctionAppConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionAppConfig {
    site_update_strategy: Option<SiteUpdateStrategy>,
}

#[derive(Deserialize)]
struct SiteUpdateStrategy {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Resource {
    fn read(self) -> Option<Site> {
        let Self { id, kind, properties: Properties { state, .. } } = self;
        let id = id
            .parse()
            .inspect_err(|error| tracing::warn!(error = %cause::told(error), "{}", words::STRANGE_SITE))
            .ok()?;
        Some(Site { id, kind: kind.unwrap_or_default(), state: state.unwrap_or_default() })
    }
}
