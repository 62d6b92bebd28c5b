//! The app settings that lie over the file, and those that stand for themselves.

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use super::environment::Reader;
use super::fault::{Report, Sourced};
use super::notify::{SigningKey, Webhook, signing_key, webhook_url};
use super::policy::PolicyLayer;
use super::values::{Lasting, choice, nearest, resource_manager};
use super::{AzureConfig, Cloud, Environment, Metrics, StateConfig, metrics, storage};
use crate::azure::credentials::{HalfSet, half_set};
use crate::schedule;

/// What the environment says. A part with a fault is missing; the fault is in the report.
pub(super) struct Settings {
    pub(super) policy: PolicyLayer,
    pub(super) notice_budget: Option<Sourced<Duration>>,
    pub(super) watch: Option<Sourced<Duration>>,
    pub(super) webhook: Option<Sourced<Webhook>>,
    pub(super) signing_key: Option<Sourced<SigningKey>>,
    pub(super) metrics: Metrics,
    pub(super) azure: Option<AzureConfig>,
    pub(super) state: Option<StateConfig>,
    pub(super) schedule: Option<String>,
    pub(super) timer_disabled: bool,
    pub(super) own_site: Option<String>,
}

/// The settings that begin with our prefix, but for those of the policy.
const OURS: [&str; 8] = [
    "REKEY_CONFIG",
    STATE,
    "REKEY_RESOURCE_MANAGER",
    "REKEY_NOTICE_BUDGET",
    "REKEY_WATCH",
    "REKEY_NOTIFY_WEBHOOK",
    "REKEY_NOTIFY_SECRET",
    REPORT_CODE,
];
/// The code of the function that takes reports, for who sends some.
pub(super) const REPORT_CODE: &str = "REKEY_REPORT_CODE";
const PREFIX: &str = "REKEY_";
const STATE: &str = "REKEY_STATE";

pub(super) fn read(environment: &Environment, report: &mut Report<'_>) -> Settings {
    refuse_unknown(environment, report);
    refuse_half_groups(environment, report);
    let mut reader = Reader { environment, report };
    let azure = azure(&mut reader);
    Settings {
        policy: PolicyLayer::of_settings(&mut reader),
        notice_budget: reader.read("REKEY_NOTICE_BUDGET", &Lasting("25s")),
        watch: reader.read("REKEY_WATCH", &Lasting("60s")),
        webhook: reader.get("REKEY_NOTIFY_WEBHOOK", "https://…", webhook_url),
        signing_key: reader.get("REKEY_NOTIFY_SECRET", "the base64 of 32 random bytes", signing_key),
        metrics: metrics::read(environment),
        state: state(&mut reader, azure.as_ref().map_or(Cloud::Public, |azure| azure.cloud)),
        azure,
        schedule: environment.get(schedule::SETTING).map(Into::into),
        timer_disabled: schedule::disabled_by(environment).is_some(),
        // The platform's own; a blank one tells nothing.
        own_site: environment.get("WEBSITE_SITE_NAME").filter(|name| !name.trim().is_empty()).map(Into::into),
    }
}

/// Where and as whom Azure is asked, for who needs nothing else of the environment.
pub(super) fn read_azure(environment: &Environment, report: &mut Report<'_>) -> Option<AzureConfig> {
    refuse_unknown(environment, report);
    refuse_half_groups(environment, report);
    azure(&mut Reader { environment, report })
}

fn azure(reader: &mut Reader<'_, '_>) -> Option<AzureConfig> {
    let cloud = reader.get("AZURE_CLOUD", "AzureCloud", |text| {
        choice(text, &Cloud::ALL.map(|cloud| (cloud.name(), cloud)))
    });
    let cloud = cloud.map_or(Cloud::Public, |cloud| cloud.value);
    let example = "https://management.azure.com";
    let resource_manager: Option<Url> = match reader.environment.get("REKEY_RESOURCE_MANAGER") {
        Some(_) => reader.get("REKEY_RESOURCE_MANAGER", example, resource_manager).map(|url| url.value),
        None => resource_manager(cloud.resource_manager()).ok(),
    };
    let client_id = reader.get("AZURE_CLIENT_ID", "a client id", client_id).map(|id| id.value);
    Some(AzureConfig { cloud, resource_manager: resource_manager?, client_id })
}

/// `memory`, the name of a storage connection, or, where nothing is said, the storage of the function app if it has one.
fn state(reader: &mut Reader<'_, '_>, cloud: Cloud) -> Option<StateConfig> {
    let environment = reader.environment;
    if environment.get(STATE).is_some() {
        let parse = |text: &str| {
            match text.trim() {
            memory if memory.eq_ignore_ascii_case("memory") => Ok(StateConfig::Memory),
            name if name.contains(['=', ';']) => {
                Err("write the name of the setting that holds the connection string, \
                not the connection string itself; or memory"
                    .into())
            }
            name if !storage::is_there(environment, name) => {
                Err("there is no storage connection of this name; write the name of a setting that holds a connection \
                 string, the NAME of a NAME__blobServiceUri or NAME__accountName, or memory"
                    .into())
            }
            name => storage::connection(environment, name, cloud),
        }
        };
        return reader.get(STATE, storage::HOST_STORAGE, parse).map(|state| state.value);
    }
    if !storage::is_there(environment, storage::HOST_STORAGE) {
        return Some(StateConfig::Memory);
    }
    let connection = storage::connection(environment, storage::HOST_STORAGE, cloud);
    connection.map_err(|sentence| reader.report.setting(storage::HOST_STORAGE, sentence)).ok()
}

fn client_id(text: &str) -> Result<String, String> {
    Uuid::try_parse(text.trim()).map(|id| id.hyphenated().to_string()).map_err(|_| {
        "this is not a client id; write the GUID that the managed identity or application shows as its client id \
            (not its resource id, not its name)"
            .into()
    })
}

/// Another one with our prefix is a slip of the pen.
fn refuse_unknown(environment: &Environment, report: &mut Report<'_>) {
    let known: Vec<&str> = OURS.into_iter().chain(PolicyLayer::app_settings()).collect();
    let ours = |name: &&str| name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    for name in environment.names().filter(ours).filter(|name| !known.contains(name)) {
        let hint = match nearest(name, &known) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("known are {}", known.join(", ")),
        };
        report.setting(name, format!("there is no such setting; {hint}"));
    }
}

fn refuse_half_groups(environment: &Environment, report: &mut Report<'_>) {
    let set =
        |name: &str| environment.get(name).filter(|value| !value.trim().is_empty()).map(ToOwned::to_owned);
    for HalfSet { missing, given, .. } in half_set(&set) {
        report.setting(missing, format!("{given} is set and needs it; set both, or neither"));
    }
}
