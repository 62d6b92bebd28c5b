//! Microsoft.Web, api-version 2023-12-01: sites, slots and their settings.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::StatusCode;
use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{bad_request, page, resource_not_found};
use crate::app::{App, Section};
use crate::call::{Answer, Answered, Call};
use crate::faults::FaultKind;
use crate::ids::AppId;
use crate::roles;
use crate::state::State;
use crate::world::{ConnectionStringEntry, SiteIdentity};

/// The values of `ConnectionStringType`; unlike most of Azure's enumerations this one is closed (swagger).
const ENTRY_TYPES: [&str; 11] = [
    "MySql",
    "SQLServer",
    "SQLAzure",
    "Custom",
    "NotificationHub",
    "ServiceBus",
    "EventHub",
    "ApiHub",
    "DocDb",
    "RedisCache",
    "PostgreSQL",
];

#[derive(Deserialize)]
struct Dictionary<T> {
    properties: BTreeMap<String, T>,
}

/// `WebApps_List` and `WebApps_ListByResourceGroup`: sites without their slots, unless a group is asked for those too
/// (swagger: includeSlots).
pub(crate) fn list(state: &mut State, call: &Call) -> Answered {
    let group = call.param("group");
    let within = |app: &&App| group.is_empty() || app.id.group.eq_ignore_ascii_case(group);
    let slots = call.query("includeSlots").is_some_and(|asked| asked.eq_ignore_ascii_case("true"));
    let wanted = |app: &&App| !app.deleted && (app.id.slot.is_none() || (slots && !group.is_empty()));
    // A list over groups holds what the caller may read, and says nothing of the rest (seen: azure-cli#29495).
    let may_read = |app: &&App| {
        !group.is_empty() || roles::may(&state.denials, &app.id.to_string(), "Microsoft.Web/sites/Read")
    };
    let items = state.apps.iter().filter(wanted).filter(within).filter(may_read).map(describe).collect();
    page(state, call, items)
}

/// `WebApps_ListSlots`
pub(crate) fn list_slots(state: &mut State, call: &Call) -> Answered {
    let site = find(state, call)?;
    let site = state.apps[site].id.site.clone();
    let slots = state.apps.iter().filter(|app| !app.deleted && app.id.slot.is_some());
    let items = slots.filter(|app| app.id.site.eq_ignore_ascii_case(&site)).map(describe).collect();
    page(state, call, items)
}

/// `WebApps_Get` and `WebApps_GetSlot`
pub(crate) fn get(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    Ok(Answer::ok(describe(&state.apps[at])))
}

/// `WebApps_ListApplicationSettings[Slot]`: values in clear.
pub(crate) fn list_settings(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let app = &state.apps[at];
    Ok(Answer::ok(config(app, "appsettings", &json!(app.settings))))
}

/// `WebApps_UpdateApplicationSettings[Slot]`: "Replaces the application settings of an app" (swagger), and a change
/// restarts the app (docs: Configure an App Service app).
pub(crate) fn update_settings(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let body: Dictionary<String> = read(call)?;
    check_share(&body.properties)?;
    let answer = config(&state.apps[at], "appsettings", &json!(body.properties));
    write(state, at, Section::Settings(body.properties), call);
    Ok(Answer::ok(answer))
}

/// Writes a section: now, or as the fault of the call has it.
fn write(state: &mut State, at: usize, section: Section, call: &Call) {
    match call.fault {
        Some(FaultKind::Swallowed) => {}
        Some(FaultKind::AppliedLate) => state.replace_later(at, section, call.delay),
        _ => state.replace(at, section),
    }
}

/// The platform mounts the content share itself, which a reference keeps it from, so it refuses one there (docs: Use Key
/// Vault references, considerations for Azure Files mounting).
fn check_share(settings: &BTreeMap<String, String>) -> Result<(), Answer> {
    let skipped = settings.get("WEBSITE_SKIP_CONTENTSHARE_VALIDATION").is_some_and(|value| value == "1");
    let names = ["WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTSHARE"];
    let values = names.iter().filter_map(|name| settings.get(*name));
    let is_reference = |value: &String| value.trim_start().to_lowercase().starts_with("@microsoft.");
    let fails = !skipped && values.into_iter().any(is_reference);
    if fails { Err(share_out_of_reach()) } else { Ok(()) }
}

/// Microsoft.Web's refusal when it cannot reach the content share. The shape is the capitalised one of Microsoft.Web
/// (recorded 2018, another error of it); the words are those that people quote.
pub(crate) fn share_out_of_reach() -> Answer {
    let message = "Creation of storage file share failed with: 'The remote server returned an error: (403) Forbidden.'. \
                   Please check if the storage account is accessible.";
    let details = json!([{"Message": message}, {"Code": "BadRequest"}, {"ErrorEntity": {"Code": "BadRequest", "Message": message}}]);
    let body = json!({"Code": "BadRequest", "Message": message, "Target": null, "Details": details});
    Answer::new(StatusCode::BAD_REQUEST, body)
}

/// `WebApps_ListConnectionStrings[Slot]`
pub(crate) fn list_connection_strings(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let app = &state.apps[at];
    Ok(Answer::ok(config(app, "connectionstrings", &json!(app.connection_strings))))
}

/// `WebApps_UpdateConnectionStrings[Slot]`: replaces the whole section (swagger); the types must be sent back.
pub(crate) fn update_connection_strings(state: &mut State, call: &Call) -> Answered {
    #[derive(Deserialize)]
    struct Entry {
        value: String,
        #[serde(rename = "type")]
        kind: String,
    }
    let at = find(state, call)?;
    let body: Dictionary<Entry> = read(call)?;
    if let Some((name, entry)) = body.properties.iter().find(|(_, entry)| canonical(&entry.kind).is_none()) {
        let message = format!("The type '{}' of the connection string '{name}' is invalid.", entry.kind);
        return Err(bad_request("BadRequest", message));
    }
    let entry = |entry: Entry| ConnectionStringEntry {
        kind: canonical(&entry.kind).unwrap_or_default().to_owned(),
        value: entry.value,
    };
    let entries: BTreeMap<_, _> =
        body.properties.into_iter().map(|(name, given)| (name, entry(given))).collect();
    let answer = config(&state.apps[at], "connectionstrings", &json!(entries));
    write(state, at, Section::ConnectionStrings(entries), call);
    Ok(Answer::ok(answer))
}

/// `WebApps_ListSlotConfigurationNames`: the names that stay when slots are swapped. Production sites only.
pub(crate) fn slot_config_names(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let app = &state.apps[at];
    let mut body = config(
        app,
        "slotConfigNames",
        &json!({
            "connectionStringNames": app.sticky_connection_strings,
            "appSettingNames": app.sticky_settings,
            "azureStorageConfigNames": null,
        }),
    );
    body["type"] = "Microsoft.Web/sites".into();
    Ok(Answer::ok(body))
}

/// `WebApps_UpdateSlotConfigurationNames`
pub(crate) fn update_slot_config_names(state: &mut State, call: &Call) -> Answered {
    #[derive(Deserialize)]
    struct Body {
        properties: Names,
    }
    #[derive(Deserialize)]
    struct Names {
        #[serde(rename = "appSettingNames", default)]
        settings: Option<BTreeSet<String>>,
        #[serde(rename = "connectionStringNames", default)]
        connection_strings: Option<BTreeSet<String>>,
    }
    let at = find(state, call)?;
    let names = call.json::<Body>().map_err(|error| malformed(&error))?.properties;
    let app = &mut state.apps[at];
    app.sticky_settings = names.settings.unwrap_or_default();
    app.sticky_connection_strings = names.connection_strings.unwrap_or_default();
    slot_config_names(state, call)
}

/// `WebApps_Restart[Slot]`. It does not fetch references again (public issues azure-functions-host#8269 and #11188).
pub(crate) fn restart(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    state.restart(at);
    Ok(Answer::empty(StatusCode::OK))
}

/// `WebApps_GetConfiguration[Slot]`
pub(crate) fn configuration(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let app = &state.apps[at];
    Ok(Answer::ok(config(app, "web", &site_config())))
}

/// `WebApps_GetAuthSettingsV2WithoutSecrets[Slot]` (swagger: SiteAuthSettingsV2). Where it was never set up, the platform is
/// not enabled; what else is told then, no document says.
pub(crate) fn authentication(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let app = &state.apps[at];
    let properties = match &app.authentication {
        Some(authentication) => json!({
            "platform": {"enabled": true, "runtimeVersion": "~1"},
            "globalValidation": authentication,
            "identityProviders": {},
            "login": {},
            "httpSettings": {"requireHttps": true},
        }),
        None => json!({"platform": {"enabled": false}}),
    };
    Ok(Answer::ok(config(app, "authsettingsV2", &properties)))
}

/// `WebApps_ListPublishingProfileXmlWithSecrets[Slot]`: how to deploy, as `az webapp show` asks for it to tell the FTP
/// address. The passwords are no passwords: nothing takes them.
pub(crate) fn publishing_profiles(state: &mut State, call: &Call) -> Answered {
    let at = find(state, call)?;
    let label = dns_label(&state.apps[at].id);
    let name = state.apps[at].name.replace('/', "__");
    let profile = |form: &str, method: &str, url: String, user: String| {
        format!(
            "<publishProfile profileName=\"{name} - {form}\" publishMethod=\"{method}\" publishUrl=\"{url}\" \
             userName=\"{user}\" userPWD=\"none\" destinationAppUrl=\"https://{label}.azurewebsites.net\" \
             webSystem=\"WebSites\"><databases /></publishProfile>"
        )
    };
    let scm = format!("{label}.scm.azurewebsites.net:443");
    let ftp = "ftps://simulated.ftp.azurewebsites.windows.net/site/wwwroot".to_owned();
    let profiles = [
        profile("Web Deploy", "MSDeploy", scm.clone(), format!("${name}")),
        profile("FTP", "FTP", ftp, format!("{name}\\${name}")),
        profile("Zip Deploy", "ZipDeploy", scm, format!("${name}")),
    ];
    Ok(Answer::xml(format!("<publishData>{}</publishData>", profiles.concat())))
}

fn read<T: serde::de::DeserializeOwned>(call: &Call) -> Result<Dictionary<T>, Answer> {
    call.json().map_err(|error| malformed(&error))
}

/// The parser's own words can hold parts of the body, and so a key: they stay out of the answer.
fn malformed(error: &serde_json::Error) -> Answer {
    let place = format!("line {}, column {}", error.line(), error.column());
    bad_request(
        "BadRequest",
        format!("The body is not {{\"properties\": {{…}}}} of the right types ({place})."),
    )
}

fn canonical(kind: &str) -> Option<&'static str> {
    ENTRY_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(kind))
}

/// The site or slot that a call is about.
pub(crate) fn find(state: &State, call: &Call) -> Result<usize, Answer> {
    let (name, group) = (call.resource(), call.param("group"));
    let fits = |app: &App| {
        !app.deleted && app.name.eq_ignore_ascii_case(&name) && app.id.group.eq_ignore_ascii_case(group)
    };
    let kind =
        if call.param("slot").is_empty() { "Microsoft.Web/sites" } else { "Microsoft.Web/sites/slots" };
    state.apps.iter().position(fits).ok_or_else(|| resource_not_found(kind, call))
}

/// A config resource as in the swagger's example ListAppSettings.
fn config(app: &App, name: &str, properties: &Value) -> Value {
    let kind =
        if app.id.slot.is_some() { "Microsoft.Web/sites/slots/config" } else { "Microsoft.Web/sites/config" };
    json!({
        "id": format!("{}/config/{name}", app.id), "name": name, "type": kind, "kind": app.kind,
        "location": "East US", "properties": properties,
    })
}

/// A site or slot as in the swagger's examples GetWebApp and GetWebAppSlot.
pub(crate) fn describe(app: &App) -> Value {
    let dns = format!("{}.azurewebsites.net", dns_label(&app.id));
    let scm = format!("{}.scm.azurewebsites.net", dns_label(&app.id));
    let AppId { subscription, group, .. } = &app.id;
    let is_flex = app.update_strategy.is_some();
    // Only Flex Consumption has it (swagger: FunctionAppConfig).
    let function_app_config =
        app.update_strategy.map(|strategy| json!({"siteUpdateStrategy": {"type": strategy}}));
    let sku = match app.kind.contains("functionapp") {
        true if is_flex => "FlexConsumption",
        true => "Dynamic",
        false => "Standard",
    };
    let kind = if app.id.slot.is_some() { "Microsoft.Web/sites/slots" } else { "Microsoft.Web/sites" };
    json!({
        "id": app.id.to_string(),
        "name": app.name,
        "type": kind,
        "kind": app.kind,
        "location": "East US",
        "tags": {},
        "identity": identity(app),
        "properties": {
            "state": "Running",
            "hostNames": [dns],
            // In no example, but az looks for it before it reads settings (Azure CLI, is_flex_functionapp).
            "sku": sku,
            "functionAppConfig": function_app_config,
            "repositorySiteName": app.id.site,
            "usageState": "Normal",
            "enabled": true,
            "enabledHostNames": [dns, scm],
            "availabilityState": "Normal",
            "hostNameSslStates": [
                {"name": dns, "sslState": "Disabled", "hostType": "Standard"},
                {"name": scm, "sslState": "Disabled", "hostType": "Repository"},
            ],
            "serverFarmId":
                format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/serverfarms/plan"),
            "reserved": app.kind.contains("linux"),
            "isXenon": false,
            "hyperV": false,
            "lastModifiedTimeUtc": app.modified.to_rfc3339_opts(SecondsFormat::Millis, true),
            "siteConfig": site_config(),
            "scmSiteAlsoStopped": false,
            "clientAffinityEnabled": true,
            "clientCertEnabled": false,
            "clientCertMode": "Required",
            "hostNamesDisabled": false,
            "outboundIpAddresses": "10.0.0.2,10.0.0.3",
            "possibleOutboundIpAddresses": "10.0.0.2,10.0.0.3",
            "containerSize": 0,
            "dailyMemoryTimeQuota": 0,
            "resourceGroup": group,
            "defaultHostName": dns,
            "httpsOnly": true,
            "redundancyMode": "None",
            "storageAccountRequired": false,
            "keyVaultReferenceIdentity": app.identity.references.as_deref().unwrap_or("SystemAssigned"),
        },
    })
}

/// The identities of an app (swagger: `ManagedServiceIdentity`); nothing if it has none.
fn identity(app: &App) -> Option<Value> {
    let SiteIdentity { system, user, .. } = &app.identity;
    let principal = |of: &str| {
        let mut hasher = DefaultHasher::new();
        of.to_lowercase().hash(&mut hasher);
        Uuid::from_u64_pair(hasher.finish(), 0x8000_0000_0000_0000).to_string()
    };
    let kinds = [system.then_some("SystemAssigned"), (!user.is_empty()).then_some("UserAssigned")];
    let kinds: Vec<&str> = kinds.into_iter().flatten().collect();
    let assigned: BTreeMap<&String, Value> =
        user.iter().map(|id| (id, json!({"principalId": principal(id)}))).collect();
    (!kinds.is_empty()).then(|| {
        let mut identity = json!({"type": kinds.join(", ")});
        if *system {
            identity["principalId"] = principal(&app.id.to_string()).into();
        }
        if !assigned.is_empty() {
            identity["userAssignedIdentities"] = json!(assigned);
        }
        identity
    })
}

/// The slot `staging` of `shop` is at shop-staging (docs: Set up staging environments).
fn dns_label(app: &AppId) -> String {
    let label = app.slot.as_ref().map_or_else(|| app.site.clone(), |slot| format!("{}-{slot}", app.site));
    label.to_lowercase()
}

fn site_config() -> Value {
    json!({
        "numberOfWorkers": 1, "defaultDocuments": ["index.html"], "netFrameworkVersion": "v8.0",
        "linuxFxVersion": "", "requestTracingEnabled": false, "httpLoggingEnabled": false,
        "detailedErrorLoggingEnabled": false, "use32BitWorkerProcess": false, "webSocketsEnabled": true,
        "alwaysOn": true, "managedPipelineMode": "Integrated", "loadBalancing": "LeastRequests",
        "autoHealEnabled": false, "http20Enabled": false, "minTlsVersion": "1.2", "scmMinTlsVersion": "1.2",
        "ftpsState": "Disabled", "functionAppScaleLimit": 0, "minimumElasticInstanceCount": 0,
    })
}
