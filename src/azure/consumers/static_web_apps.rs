//! Settings of static web apps: everything that is special to Microsoft.Web's staticSites.
//!
//! A place is a dictionary of an environment, of which each has two: app settings, and those of its managed functions. Each is
//! read and written whole like an app's, on no condition either, so the same holds for it ([`app_service`](super::app_service)).
//! Production is the site itself; as an environment it is called `default`, and is read by that name too, for no document says
//! that the two are one. Environments come and go with pull requests: they are listed in each check.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use super::app_service::{Dictionary, add, list_dictionary, update_dictionary};
use super::{Change, ConsumerKind, Marks, Settling, Written, written};
use crate::azure::arm::{Arm, ArmError, Call, Operation, Subject};
use rekey_core::model::{ConsumerId, Section, StaticWebAppId};
use rekey_core::plan::{ConsumerRef, Snapshot};

/// Microsoft.Web: the version whose contract this client was written against.
const API_VERSION: &str = "2024-04-01";

const ENVIRONMENTS: Operation =
    Operation::read("StaticSites_GetStaticSiteBuilds", &["Microsoft.Web/staticSites/builds/read"])
        .about(Subject::Consumer)
        .by_handler();

/// As people's roles name the actions. First those of the site, then those of another environment; of each first those of the
/// app settings.
const LISTS: [Operation; 4] = [
    listing("StaticSites_ListStaticSiteAppSettings", &["Microsoft.Web/staticSites/listappsettings/action"]),
    listing(
        "StaticSites_ListStaticSiteFunctionAppSettings",
        &["Microsoft.Web/staticSites/listfunctionappsettings/action"],
    ),
    listing(
        "StaticSites_ListStaticSiteBuildAppSettings",
        &["Microsoft.Web/staticSites/builds/listappsettings/action"],
    ),
    listing(
        "StaticSites_ListStaticSiteBuildFunctionAppSettings",
        &["Microsoft.Web/staticSites/builds/listfunctionappsettings/action"],
    ),
];
const UPDATES: [Operation; 4] = [
    update("StaticSites_CreateOrUpdateStaticSiteAppSettings", WRITE),
    update("StaticSites_CreateOrUpdateStaticSiteFunctionAppSettings", WRITE),
    update("StaticSites_CreateOrUpdateStaticSiteBuildAppSettings", WRITE_OF_BUILD),
    update("StaticSites_CreateOrUpdateStaticSiteBuildFunctionAppSettings", WRITE_OF_BUILD),
];
const WRITE: &[&str] = &["Microsoft.Web/staticSites/config/write"];
const WRITE_OF_BUILD: &[&str] = &["Microsoft.Web/staticSites/builds/config/write"];

const fn listing(name: &'static str, actions: &'static [&'static str]) -> Operation {
    Operation::read(name, actions).about(Subject::Consumer).with_secrets().by_handler()
}

const fn update(name: &'static str, actions: &'static [&'static str]) -> Operation {
    Operation::change(name, actions).about(Subject::Consumer).with_secrets().by_handler()
}

/// How production is called as an environment.
const PRODUCTION: &str = "default";

/// A dictionary of an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub site: StaticWebAppId,
    /// The environment; the site itself, if none is named.
    pub environment: Option<String>,
    /// Which of its dictionaries.
    pub section: Section,
}

#[derive(Deserialize)]
struct Environment {
    name: String,
}

/// Of a resource group and of a subscription.
const LIST_SITES: [Operation; 2] = [
    Operation::read("StaticSites_GetStaticSitesByResourceGroup", &["Microsoft.Web/staticSites/read"]),
    Operation::read("StaticSites_List", &["Microsoft.Web/staticSites/read"]),
];

/// The static web apps of a subscription or resource group.
pub async fn list(arm: &Arm, scope: &str) -> Result<Vec<StaticWebAppId>, ArmError> {
    let [of_group, of_subscription] = LIST_SITES;
    let operation = if scope.contains("/resourceGroups/") { of_group } else { of_subscription };
    arm.ids(Call::get(
        operation,
        arm.url(&format!("{scope}/providers/Microsoft.Web/staticSites"), API_VERSION),
    ))
    .await
}

/// The environments of a site.
pub(super) async fn environments(arm: &Arm, site: &StaticWebAppId) -> Result<Vec<String>, ArmError> {
    let call = Call::get(ENVIRONMENTS, arm.url(&format!("{site}/builds"), API_VERSION));
    let all: Vec<Environment> = arm.pages(call).await?;
    // They become part of a path.
    let is_name =
        |name: &String| !name.is_empty() && name.chars().all(|sign| sign.is_alphanumeric() || sign == '-');
    Ok(all.into_iter().map(|environment| environment.name).filter(is_name).collect())
}

impl Place {
    /// The dictionaries of an environment, or of the site itself.
    pub(crate) fn of(site: &StaticWebAppId, environment: Option<&str>) -> Vec<Self> {
        let place = |section| Self { site: site.clone(), environment: environment.map(Into::into), section };
        Section::OF_STATIC_WEB_APPS.map(place).to_vec()
    }

    /// The place of a setting.
    pub(super) fn of_setting(site: &StaticWebAppId, at: &ConsumerRef) -> Self {
        let (_, environment) = parted(&at.name);
        let section = at.section.unwrap_or(Section::AppSettings);
        Self { site: site.clone(), environment: environment.map(Into::into), section }
    }

    /// The same dictionary of production, by the name that it has as an environment.
    pub(crate) fn as_environment(&self) -> Option<Self> {
        let is_site = self.environment.is_none();
        is_site.then(|| Self { environment: Some(PRODUCTION.to_owned()), ..self.clone() })
    }

    /// The other way round.
    pub(crate) fn of_production(&self) -> Option<Self> {
        let is_production = self.environment.as_deref() == Some(PRODUCTION);
        is_production.then(|| Self { environment: None, ..self.clone() })
    }

    /// What it is called beside the others of its site.
    pub(crate) fn dictionary(&self) -> String {
        with_environment(&self.section.to_string(), self.environment.as_deref())
    }

    /// By which of them it is read.
    pub(crate) fn reading(&self) -> Operation {
        LISTS[self.index()]
    }

    /// By which of them it is written.
    pub(crate) fn writing(&self) -> Operation {
        UPDATES[self.index()]
    }

    fn index(&self) -> usize {
        let of_functions = usize::from(self.section == Section::FunctionSettings);
        of_functions + if self.environment.is_some() { 2 } else { 0 }
    }

    fn path(&self, rest: &str) -> String {
        match &self.environment {
            Some(environment) => format!("{}/builds/{environment}/{rest}", self.site),
            None => format!("{}/{rest}", self.site),
        }
    }

    /// Adds what it shows of a service. The names of those settings are answered that refer to something of which nobody can
    /// tell.
    pub(super) fn shows(&self, settings: &Dictionary, marks: Marks<'_>, out: &mut Snapshot) -> Vec<String> {
        let one = |(name, value): (&str, Option<&str>)| {
            let name = with_environment(name, self.environment.as_deref());
            let at = ConsumerRef { app: self.consumer(), section: Some(self.section), name };
            add(marks, &at, value.unwrap_or_default(), false, out)
        };
        settings.exposed().filter_map(one).collect()
    }
}

impl ConsumerKind for Place {
    type Contents = Dictionary;

    fn operations() -> Vec<Operation> {
        LISTS.into_iter().chain(UPDATES).chain([ENVIRONMENTS]).chain(LIST_SITES).collect()
    }

    fn consumer(&self) -> ConsumerId {
        ConsumerId::StaticWebApp(self.site.clone())
    }

    /// A site without functions has no settings of them, and says so in one way or another; see [`tells_of_no_functions`].
    async fn read(&self, arm: &Arm) -> Result<Dictionary, ArmError> {
        let path = match self.section {
            Section::FunctionSettings => "listFunctionAppSettings",
            _ => "listAppSettings",
        };
        let read = list_dictionary(arm, self.reading(), &self.path(path), API_VERSION).await;
        match read {
            Err(error) if self.section == Section::FunctionSettings && tells_of_no_functions(&error) => {
                Ok(Dictionary::default())
            }
            read => read,
        }
    }

    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&Dictionary>,
        change: &Change<'_>,
    ) -> Result<Written<Dictionary>, ArmError> {
        let before = self.just_before(arm, just_read).await?;
        let names = change.names.iter().map(|name| parted(name).0);
        let wanted = change.rewrite(&before, names.clone());
        if wanted == before {
            return Ok(Written::Already(before));
        }
        let path = match self.section {
            Section::FunctionSettings => "functionappsettings",
            _ => "appsettings",
        };
        let after = update_dictionary(
            arm,
            self.writing(),
            &self.path(&format!("config/{path}")),
            API_VERSION,
            &wanted,
        )
        .await?;
        Ok(written(after, &wanted, names))
    }

    fn holds_anothers(&self, contents: &Dictionary, marks: Marks<'_>) -> bool {
        contents.exposed().filter_map(|(_, value)| value).any(|value| marks.is_anothers(value))
    }

    /// A write restarts the managed functions; how soon is not documented. It is treated like an app's.
    fn settling(&self) -> Settling {
        Settling::ByItself { read_back_after: TimeDelta::seconds(2), at_most: Duration::from_secs(5 * 60) }
    }
}

/// Whether an error is Azure's word that a site, or an environment of it, has no functions. No document has its text; so much is
/// asked of it that nothing else passes for it: that it is a 404 or a 400 with the code of one, and that its message denies that
/// there are any. Everything else is an error.
fn tells_of_no_functions(error: &ArmError) -> bool {
    let code = match error.status() {
        Some(404) => "NotFound",
        Some(400) => "BadRequest",
        _ => return false,
    };
    let said = error.message().to_ascii_lowercase();
    let denials = ["has no ", "have no ", "not have ", "no function", "no managed ", "without "];
    error.code().is_some_and(|said| said.eq_ignore_ascii_case(code))
        && said.contains("function")
        && denials.iter().any(|denial| said.contains(denial))
}

const ENVIRONMENT: &str = " (environment ";

/// A setting's name, with that of the environment behind it, where it is not the site's own.
fn with_environment(name: &str, environment: Option<&str>) -> String {
    environment.map_or_else(|| name.to_owned(), |environment| format!("{name}{ENVIRONMENT}{environment})"))
}

/// The two of them. No name of a setting has blanks in it.
fn parted(name: &str) -> (&str, Option<&str>) {
    let parts = name.strip_suffix(')').and_then(|name| name.rsplit_once(ENVIRONMENT));
    parts.map_or((name, None), |(name, environment)| (name, Some(environment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_another_environment_is_told_by_its_name() {
        let site: StaticWebAppId =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/staticSites/docs".parse().unwrap();
        for environment in [None, Some("12"), Some("default")] {
            for section in Section::OF_STATIC_WEB_APPS {
                let name = with_environment("A:b__c", environment);
                assert_eq!(parted(&name), ("A:b__c", environment));
                let at =
                    ConsumerRef { app: ConsumerId::StaticWebApp(site.clone()), section: Some(section), name };
                let place = Place::of_setting(&site, &at);
                assert_eq!((place.environment.as_deref(), place.section), (environment, section));
            }
        }
        assert_eq!(with_environment("A", Some("12")), "A (environment 12)");
    }
}
