//! Finding what there is: sites and slots, page by page; how a site goes over to changed settings; and whether an app that
//! Azure does not find was deleted, moved, or never there under its id.
//!
//! The name of a site is its host name, which nobody else can have while it is there; moving it to another resource group or
//! subscription changes its id and nothing else. So lists of all sites tell the two apart, and only they, if they can be
//! believed: without the right to them (the deployed identity has none by default) nobody can tell, and whoever was seen
//! before may still hold what it held. Lists were seen to be empty, or partial, with a 200 (azure-cli#29495): a list is
//! believed only if it shows the other apps that were read just now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use serde::Deserialize;

use super::API_VERSION;
use crate::azure::arm::{Arm, ArmError, Call, Operation, Subject};
use crate::azure::consumers::{Absence, Missing};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::model::{AppId, ConsumerId, likest};
use rekey_core::plan::Whereabouts;

/// docs: Azure permissions for Web and Mobile.
const READ: &[&str] = &["Microsoft.Web/sites/Read"];

const GET: Operation = Operation::read("WebApps_Get", READ).about(Subject::Consumer);
const LIST: Operation = Operation::read("WebApps_List", READ).about(Subject::Consumer);
const LIST_BY_GROUP: Operation =
    Operation::read("WebApps_ListByResourceGroup", READ).about(Subject::Consumer);
const LIST_SLOTS: Operation =
    Operation::read("WebApps_ListSlots", &["Microsoft.Web/sites/slots/Read"]).about(Subject::Consumer);

const GET_SLOT: Operation =
    Operation::read("WebApps_GetSlot", &["Microsoft.Web/sites/slots/Read"]).about(Subject::Consumer);

const GET_AUTHENTICATION: Operation =
    Operation::read("WebApps_GetAuthSettingsV2WithoutSecrets", &["Microsoft.Web/sites/config/Read"])
        .about(Subject::Consumer);

pub(super) const OPERATIONS: [Operation; 6] =
    [GET, GET_SLOT, LIST, LIST_BY_GROUP, LIST_SLOTS, GET_AUTHENTICATION];

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
    pub const fn settles_within(self) -> Duration {
        match self {
            Self::Recreate => Duration::from_secs(5 * 60),
            Self::RollingUpdate => Duration::from_secs(65 * 60),
        }
    }
}

/// App Service authentication, which stands in front of every path of a site (swagger: GlobalValidation).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authentication {
    require_authentication: Option<bool>,
    unauthenticated_client_action: Option<String>,
    excluded_paths: Option<Vec<String>>,
}

impl Authentication {
    /// Whether a request for this path is answered only if somebody has signed in. How an excluded path is compared, no document
    /// says: one counts that is the path, or that ends with `*` and begins it.
    pub fn is_required_for(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        let excludes = |excluded: &String| {
            let excluded = excluded.to_lowercase();
            excluded.strip_suffix('*').map_or(excluded == path, |start| path.starts_with(start))
        };
        let action = self.unauthenticated_client_action.as_deref();
        let lets_in = action.is_some_and(|action| action.eq_ignore_ascii_case("AllowAnonymous"));
        let is_required = self.require_authentication.unwrap_or(action.is_some());
        is_required && !lets_in && !self.excluded_paths.iter().flatten().any(excludes)
    }

    /// The paths that need nobody to sign in.
    pub fn excluded(&self) -> impl Iterator<Item = &str> {
        self.excluded_paths.iter().flatten().map(String::as_str)
    }
}

/// By which identity the platform reads what an app's references name (docs: Use Key Vault references, "Access vaults with a
/// user-assigned identity").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceIdentity {
    /// The app's own, and whether it has one.
    System { exists: bool },
    /// A user-assigned one, and whether the app has it.
    UserAssigned { id: String, assigned: bool },
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

    /// `WebApps_GetAuthSettingsV2WithoutSecrets`: the authentication that stands in front of a site, if it is switched on.
    pub async fn authentication(&self, site: &AppId) -> Result<Option<Authentication>, ArmError> {
        let call =
            Call::get(GET_AUTHENTICATION, self.url(&format!("{site}/config/authsettingsV2"), API_VERSION));
        let settings: AuthSettings = self.send(&call).await?.json(&call)?;
        let AuthProperties { platform, global_validation } = settings.properties;
        let is_on = platform.and_then(|platform| platform.enabled).unwrap_or(false);
        Ok(is_on.then(|| global_validation.unwrap_or_default()))
    }

    /// `WebApps_Get` or `WebApps_GetSlot`: by which identity an app's references are resolved.
    pub async fn reference_identity(&self, app: &AppId) -> Result<ReferenceIdentity, ArmError> {
        let operation = if app.slot().is_some() { GET_SLOT } else { GET };
        let call = Call::get(operation, self.url(&app.to_string(), API_VERSION));
        let resource: Resource = self.send(&call).await?.json(&call)?;
        let Identity { kind, user_assigned_identities } = resource.identity.unwrap_or_default();
        // Without one, and as `SystemAssigned`, it is the app's own.
        let wanted = resource.properties.key_vault_reference_identity.unwrap_or_default();
        Ok(if wanted.starts_with('/') {
            let assigned = user_assigned_identities.keys().any(|id| id.eq_ignore_ascii_case(&wanted));
            ReferenceIdentity::UserAssigned { id: wanted, assigned }
        } else {
            let own = |kind: &str| kind.trim().eq_ignore_ascii_case("SystemAssigned");
            ReferenceIdentity::System { exists: kind.split(',').any(own) }
        })
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
        let resources: Vec<Resource> = self.pages(Call::get(operation, self.url(path, API_VERSION))).await?;
        Ok(resources.into_iter().filter_map(Resource::read).collect())
    }
}

#[derive(Deserialize)]
struct AuthSettings {
    #[serde(default)]
    properties: AuthProperties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthProperties {
    platform: Option<AuthPlatform>,
    global_validation: Option<Authentication>,
}

#[derive(Deserialize)]
struct AuthPlatform {
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct Resource {
    id: String,
    kind: Option<String>,
    #[serde(default)]
    identity: Option<Identity>,
    #[serde(default)]
    properties: Properties,
}

/// ARM swagger Microsoft.Web, ManagedServiceIdentity.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Identity {
    #[serde(rename = "type")]
    kind: String,
    user_assigned_identities: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    state: Option<String>,
    key_vault_reference_identity: Option<String>,
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
        let Self { id, kind, properties: Properties { state, .. }, .. } = self;
        let id = id
            .parse()
            .inspect_err(|error| tracing::warn!(error = %cause::told(error), "{}", words::STRANGE_SITE))
            .ok()?;
        Some(Site { id, kind: kind.unwrap_or_default(), state: state.unwrap_or_default() })
    }
}

/// Looks for an app among the sites that there are. `there` are apps that were read just now, and vouch for a list.
pub(super) async fn look_for(arm: &Arm, app: &AppId, there: &BTreeSet<ConsumerId>) -> Missing {
    let sites = match arm.list_sites(app.subscription()).await {
        Ok(sites) => sites,
        Err(error) => {
            // Those of its group may be listed all the same, which is good enough for a hint.
            let group = arm.list_group_sites(app.subscription(), app.group()).await.unwrap_or_default();
            let absence = Absence::Elsewhere(unlisted(&error));
            return Missing { absence, meant: meant(app, &with_slot(&group, app)) };
        }
    };
    if sites.iter().any(|site| is_same_site(&site.id, app)) {
        return at_its_site(arm, app).await;
    }
    if let Some(moved) = namesake(&sites, app) {
        return Missing {
            absence: Absence::Elsewhere(Whereabouts::Moved(moved.clone().into())),
            meant: Some(moved.into()),
        };
    }
    let meant = meant(app, &with_slot(&in_group(&sites, app), app));
    let absence = if vouched_for(&sites, app, there) {
        elsewhere(arm, app).await
    } else {
        Absence::Elsewhere(Whereabouts::Unclear(words::NOTHING_TO_COMPARE.to_owned()))
    };
    Missing { absence, meant }
}

/// Whether a list shows all apps of the subscription that were read just now, and at least one.
fn vouched_for(sites: &[Site], app: &AppId, there: &BTreeSet<ConsumerId>) -> bool {
    let sites_read = there.iter().filter_map(ConsumerId::app);
    let of_it = |one: &&AppId| one.subscription().eq_ignore_ascii_case(app.subscription());
    let mut others = sites_read.filter(of_it).peekable();
    others.peek().is_some() && others.all(|other| sites.iter().any(|site| is_same_site(&site.id, other)))
}

/// The other subscriptions that the identity can see: it may have been moved there.
async fn elsewhere(arm: &Arm, app: &AppId) -> Absence {
    let unclear =
        |error: &ArmError| Absence::Elsewhere(Whereabouts::Unclear(words::unsearched(cause::told(error))));
    let subscriptions = match arm.list_subscriptions().await {
        Ok(subscriptions) => subscriptions,
        Err(error) => return unclear(&error),
    };
    let others = subscriptions.iter().filter(|one| !one.id.eq_ignore_ascii_case(app.subscription()));
    let lists = join_all(others.map(|one| arm.list_sites(&one.id))).await;
    let moved = lists.iter().flatten().find_map(|sites| namesake(sites, app));
    match (moved, lists.iter().find_map(|list| list.as_ref().err())) {
        (Some(moved), _) => Absence::Elsewhere(Whereabouts::Moved(moved.into())),
        (None, Some(error)) => unclear(error),
        (None, None) => Absence::Deleted,
    }
}

/// The site is there: a slot of it may have been deleted.
async fn at_its_site(arm: &Arm, app: &AppId) -> Missing {
    let listed_all_the_same = || {
        let why = words::LISTED.to_owned();
        Missing { absence: Absence::Elsewhere(Whereabouts::Unclear(why)), meant: None }
    };
    if app.slot().is_none() {
        return listed_all_the_same();
    }
    match arm.list_slots(app).await {
        Ok(slots) if slots.iter().any(|slot| slot.id == *app) => listed_all_the_same(),
        Ok(slots) => {
            let ids: Vec<AppId> = slots.into_iter().map(|slot| slot.id).collect();
            Missing { absence: Absence::Deleted, meant: meant(app, &ids) }
        }
        Err(error) => Missing { absence: Absence::Elsewhere(unlisted(&error)), meant: None },
    }
}

fn unlisted(error: &ArmError) -> Whereabouts {
    Whereabouts::Unclear(words::unlisted(cause::told(error)))
}

/// The app as it is called now, if there is a site of its name.
fn namesake(sites: &[Site], app: &AppId) -> Option<AppId> {
    let site = sites.iter().find(|site| site.id.site().eq_ignore_ascii_case(app.site()))?;
    Some(AppId::new(site.id.subscription(), site.id.group(), site.id.site(), app.slot()))
}

fn is_same_site(id: &AppId, app: &AppId) -> bool {
    *id == AppId::new(app.subscription(), app.group(), app.site(), None)
}

fn in_group(sites: &[Site], app: &AppId) -> Vec<Site> {
    sites.iter().filter(|site| site.id.group().eq_ignore_ascii_case(app.group())).cloned().collect()
}

/// The sites, or the slots of that name which they may have.
fn with_slot(sites: &[Site], app: &AppId) -> Vec<AppId> {
    let slot = |id: &AppId| AppId::new(id.subscription(), id.group(), id.site(), app.slot());
    sites.iter().map(|site| slot(&site.id)).collect()
}

fn meant(app: &AppId, candidates: &[AppId]) -> Option<ConsumerId> {
    likest(&app.name(), candidates.iter().map(|id| (id.name(), id))).map(ConsumerId::from)
}
