//! Finding what there is: subscriptions, sites and slots, page by page.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{ArmError, ArmErrorKind, Effect};
use super::request::{Call, Operation};
use super::{Arm, SUBSCRIPTIONS_API_VERSION, WEB_API_VERSION};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::model::AppId;

const GET: Operation = Operation { name: "WebApps_Get", effect: Effect::Read, secrets: false };
const LIST: Operation = Operation { name: "WebApps_List", effect: Effect::Read, secrets: false };
const LIST_BY_GROUP: Operation =
    Operation { name: "WebApps_ListByResourceGroup", effect: Effect::Read, secrets: false };
const LIST_SLOTS: Operation = Operation { name: "WebApps_ListSlots", effect: Effect::Read, secrets: false };
const LIST_SUBSCRIPTIONS: Operation =
    Operation { name: "Subscriptions_List", effect: Effect::Read, secrets: false };

/// More pages than any subscription has (a page of sites holds 100 and more, a subscription a few thousand): who sends
/// more sends us in circles.
const MOST_PAGES: usize = 1000;

/// The most bytes of a list that are read over all its pages. A site is some 20 kB of it, so this is more than any
/// subscription has too, and far below a thousand pages of the largest answer.
const LARGEST_LIST: usize = 128 << 20;

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

/// A subscription that the identity can see.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its id.
    #[serde(rename = "subscriptionId")]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub display_name: String,
    /// `Enabled`, `Disabled`, `Warned` and so on.
    #[serde(default)]
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

    /// `Subscriptions_List`, all pages: those that the identity can see.
    pub async fn list_subscriptions(&self) -> Result<Vec<Subscription>, ArmError> {
        self.pages(LIST_SUBSCRIPTIONS, self.url("/subscriptions", SUBSCRIPTIONS_API_VERSION)).await
    }

    async fn sites(&self, operation: Operation, path: &str) -> Result<Vec<Site>, ArmError> {
        let resources: Vec<Resource> = self.pages(operation, self.url(path, WEB_API_VERSION)).await?;
        Ok(resources.into_iter().filter_map(Resource::read).collect())
    }

    /// All items of a list, along its `nextLink`s, which never lead off the host that was asked.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        operation: Operation,
        first: Url,
    ) -> Result<Vec<T>, ArmError> {
        let (mut items, mut length) = (Vec::new(), 0);
        let mut call = Call::get(operation, first);
        for _ in 0..MOST_PAGES {
            let answer = self.send(&call).await?;
            length += answer.length();
            if length > LARGEST_LIST {
                break;
            }
            let page: Page<T> = answer.json(&call)?;
            items.extend(page.value);
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else { return Ok(items) };
            let next = call.url.join(&link).ok().filter(|next| self.is_ours(next));
            let strange = || answer.fault(&call, ArmErrorKind::Malformed, words::STRANGE_LINK);
            call = Call::get(operation, next.ok_or_else(strange)?);
        }
        Err(ArmError::new(ArmErrorKind::Malformed, &call.about(), words::ENDLESS_LIST))
    }
}

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
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
            .inspect_err(|error| tracing::warn!(error = %cause::told(error), "{}", words::strange_id::SITE))
            .ok()?;
        Some(Site { id, kind: kind.unwrap_or_default(), state: state.unwrap_or_default() })
    }
}
