//! Errors, each with what to do about it: of Azure Resource Manager, of runs, of credentials, of the journal's storage, and of
//! requests that the process does not take.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use rekey_core::journal::{Condition, Illegal};

use super::azure::{BETWEEN, CHECK_THE_IDENTITY};
use super::brief::called;
use super::{InWords, brief, file_name, readable, rounded};
use crate::azure::arm::{ArmError, ArmErrorKind, Barrier, Linked};
use crate::azure::consumers::Place;
use crate::azure::credentials::{CredentialError, HalfSet};
use crate::azure::http::{HttpError, Insecure};
use crate::engine::RunError;
use crate::engine::act::RewriteError;
use crate::handler::{Fault, Malformed, Unread};
use crate::panics::Panicked;
use crate::report::cause;
use crate::store::{Held, LockError, LockHolder, Meaning, Refusal, StoreError};

sentences! {
    WITHOUT_STORAGE = "the service was not touched. If apps are cut off, `signalr-rekey rotate --without-journal` repairs \
        them without the storage; `REKEY_STATE=memory signalr-rekey status` shows them, and `signalr-rekey doctor` tells \
        what is wrong with the storage";
    lacks_on(action, scope) = "give the identity {action} on {scope}, which this is linked to; a new role assignment can take \
        hours to take effect";
    clock_is_wrong(by, how) = "the clock of this machine is {by} {how} that of the storage, so nobody can tell when a grace period is \
        over: invalid keys are replaced, and nothing else is done. Set the clock, and have it kept right (NTP)";
    WITHOUT_JOURNAL = "If apps are cut off, `signalr-rekey rotate --without-journal` repairs them meanwhile";
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}{}: ", doing(self.operation(), self.resource()), leaves_open(self))?;
        match (self.status(), self.code()) {
            (Some(status), Some(code)) => write!(f, "{status} {code}, ")?,
            (Some(status), None) => write!(f, "{status}, ")?,
            (None, _) => {}
        }
        f.write_str(self.message())?;
        if let Some(id) = self.correlation_id() {
            write!(f, " (x-ms-correlation-request-id {id})")?;
        }
        write!(f, "; {}", advice(self))
    }
}

impl ArmError {
    /// What was to be done, and to whom.
    pub(crate) fn in_short(&self) -> String {
        let (doing, service) =
            (doing(self.operation(), self.resource()), name_in(self.resource(), "signalR"));
        if service == self.resource() { doing } else { format!("{doing} of {service}") }
    }
}

/// What nobody knows for want of an answer. Where access keys are switched off, everybody who holds one is cut off.
fn leaves_open(error: &ArmError) -> &'static str {
    let has_no_keys = error.kind() == ArmErrorKind::Barred(Barrier::NoKeys);
    if error.operation() == "SignalR_ListKeys" && !has_no_keys {
        ", so whether consumers hold a valid key cannot be told"
    } else {
        ""
    }
}

/// What an operation of Azure Resource Manager does, and to whom where whoever reads it may not know: lines about a service
/// begin with its name. An operation that is not known has its own name and its resource.
fn doing(operation: &str, resource: &str) -> String {
    let (app, scope) = (name_in(resource, "sites"), scope(resource));
    // A job is none of Container Apps' apps, and is written and read like one.
    let container_app = match operation.starts_with("Jobs") {
        true => format!("job {}", name_in(resource, "jobs")),
        false => format!("container app {}", name_in(resource, "containerApps")),
    };
    let (static_web_app, environment) = (name_in(resource, "staticSites"), name_in(resource, "builds"));
    let of_app_or_slot = operation.strip_suffix("Slot").unwrap_or(operation);
    words!(match of_app_or_slot {
        "SignalR_Get" => "read the service";
        "SignalR_ListKeys" => "list the keys";
        "SignalR_RegenerateKey" => "regenerate a key";
        "SignalR_OperationStatus" | "SignalR_OperationResult" => "ask about the regeneration";
        "SignalRReplicas_List" => "list the replicas of the service";
        "SignalR_ListBySubscription" | "SignalR_ListByResourceGroup" => "list the services in {scope}";
        "WebApps_List" | "WebApps_ListByResourceGroup" => "list the apps in {scope}";
        "WebApps_ListSlots" => "list the deployment slots of {app}";
        "WebApps_Get" => "read the app {app}";
        "WebApps_ListApplicationSettings" => "read the app settings of {app}";
        "WebApps_ListConnectionStrings" => "read the connection strings of {app}";
        "WebApps_UpdateApplicationSettings" => "write the app settings of {app}";
        "WebApps_UpdateConnectionStrings" => "write the connection strings of {app}";
        "WebApps_GetAppSettingsKeyVaultReferences" =>
            "ask what the Key Vault references among the app settings of {app} lead to";
        "WebApps_GetSiteConnectionStringKeyVaultReferences" =>
            "ask what the Key Vault references among the connection strings of {app} lead to";
        "WebApps_GetAuthSettingsV2WithoutSecrets" => "read the App Service authentication of {app}";
        "ContainerApps_Get" | "Jobs_Get" => "read the {container_app}";
        "ContainerApps_ListSecrets" | "Jobs_ListSecrets" => "list the secrets of the {container_app}";
        "ContainerApps_Update" | "Jobs_Update" => "write the secrets of the {container_app}";
        "ContainerAppsRevisions_ListRevisions" => "list the revisions of the {container_app}";
        "ContainerAppsRevisions_RestartRevision" => "restart the revision {} of the {container_app}",
            name_in(resource, "revisions");
        "ContainerAppsRevisionReplicas_ListReplicas" => "list the replicas of the {container_app}";
        "JobsExecutions_List" => "list the executions of the {container_app}";
        "ContainerApps_ListByResourceGroup" | "ContainerApps_ListBySubscription" => "list the container apps in {scope}";
        "Jobs_ListByResourceGroup" | "Jobs_ListBySubscription" => "list the jobs of Container Apps in {scope}";
        "StaticSites_GetStaticSitesByResourceGroup" | "StaticSites_List" => "list the static web apps in {scope}";
        "StaticSites_GetStaticSiteBuilds" => "list the environments of the static web app {static_web_app}";
        "StaticSites_ListStaticSiteAppSettings" => "read the app settings of the static web app {static_web_app}";
        "StaticSites_ListStaticSiteFunctionAppSettings" =>
            "read the function app settings of the static web app {static_web_app}";
        "StaticSites_ListStaticSiteBuildAppSettings" =>
            "read the app settings of the environment {environment} of the static web app {static_web_app}";
        "StaticSites_ListStaticSiteBuildFunctionAppSettings" =>
            "read the function app settings of the environment {environment} of the static web app {static_web_app}";
        "StaticSites_CreateOrUpdateStaticSiteAppSettings" =>
            "write the app settings of the static web app {static_web_app}";
        "StaticSites_CreateOrUpdateStaticSiteFunctionAppSettings" =>
            "write the function app settings of the static web app {static_web_app}";
        "StaticSites_CreateOrUpdateStaticSiteBuildAppSettings" =>
            "write the app settings of the environment {environment} of the static web app {static_web_app}";
        "StaticSites_CreateOrUpdateStaticSiteBuildFunctionAppSettings" =>
            "write the function app settings of the environment {environment} of the static web app {static_web_app}";
        "KeyVault_GetSecret" => "read the secret {resource}";
        "KeyVault_SetSecret" => "write the secret {resource}";
        "KeyVault_GetSecretVersions" => "list the versions of the secret {resource}";
        "AppConfiguration_GetKeyValue" => "read the key-value {resource}";
        "AppConfiguration_PutKeyValue" => "write the key-value {resource}";
        "KeyVault_GetSecrets" => "list the secrets of the vault";
        "AppConfiguration_GetKeyValues" => "list the key-values of the store";
        "Resources_List" => "list the vaults and stores in {scope}";
        "Vaults_Get" => "read the access policies of the vault {}", name_in(resource, "vaults");
        "Linker_List" => "list the links of Service Connector to {}", resource.split("/providers/Microsoft.ServiceLinker").next().unwrap_or(resource);
        "Subscriptions_List" => "list the subscriptions";
        "GetToken" => "sign in to Azure";
        "Permissions_ListForResource" | "Permissions_ListForResourceGroup" => "list the permissions on {resource}";
        _ => "do {operation} on {resource}";
    })
}

/// The name of a resource, with its deployment slot, as its path has it.
fn name_in(path: &str, kind: &str) -> String {
    let after = |word: &str| {
        let mut parts = path.split('/').skip_while(|part| !part.eq_ignore_ascii_case(word));
        parts.nth(1).filter(|name| !name.is_empty())
    };
    match (after(kind), after("slots")) {
        (Some(name), Some(slot)) => format!("{name}/{slot}"),
        (Some(name), None) => name.to_owned(),
        (None, _) => path.to_owned(),
    }
}

/// The subscription or resource group of a list.
fn scope(path: &str) -> String {
    let group = name_in(path, "resourceGroups");
    if group != path {
        return format!("resource group {group}");
    }
    format!("subscription {}", name_in(path, "subscriptions"))
}

/// When to ask again where Azure named no time.
const A_MINUTE: Duration = Duration::from_secs(60);

/// What to do next, in the imperative.
fn advice(error: &ArmError) -> String {
    if let Some(advice) = error.own_advice() {
        return advice.to_owned();
    }
    if let Some(Linked { action, scope }) = error.linked() {
        return lacks_on(action, scope);
    }
    let (kind, file) = (error.kind(), file_name());
    words!(match kind {
        ArmErrorKind::Throttled { retry_after } =>
            "this process waits for it no longer: try again in {} at the earliest, as the next run does",
            humantime::format_duration(retry_after.unwrap_or(A_MINUTE));
        ArmErrorKind::Conflict => "another operation is at work on it: try again when that has ended, as the next run does";
        ArmErrorKind::Forbidden =>
            "give the identity {} there; a new role assignment can take hours to take effect",
            error.action().unwrap_or("this action");
        ArmErrorKind::Gone if error.is_of_an_operation() =>
            "Azure no longer knows the operation; the listed keys show how it ended";
        ArmErrorKind::Gone if error.is_of_a_vault() && (error.is_of_a_list() || error.code() != Some("SecretNotFound")) =>
            "there is no such vault: correct its name";
        ArmErrorKind::Barred(Barrier::NoKeyValue) if error.is_of_a_list() => "there is no such store: correct its name";
        ArmErrorKind::Gone if error.is_of_a_vault() =>
            "there is no such secret: correct its name, make it, or, if it was deleted, recover it (`az keyvault secret \
            recover`)";
        ArmErrorKind::Gone =>
            "it does not exist: correct its id, or take it out of {file} if it was deleted on purpose";
        ArmErrorKind::OutcomeUnknown =>
            "it may or may not have taken effect; the next run checks before anything is sent again";
        ArmErrorKind::Unauthenticated => "{CHECK_THE_IDENTITY}";
        ArmErrorKind::OutOfTime => "nothing was changed; try again with more time, as the next run does";
        ArmErrorKind::Unavailable => "nothing was changed; try again, as the next run does";
        ArmErrorKind::Barred(barrier) => "{}", of_barrier(barrier, error.action());
        ArmErrorKind::Elsewhere => "no access token is sent there; the listed keys show how an operation ended";
        ArmErrorKind::Refused => "trying again will not help: the configuration or the resource must change";
        ArmErrorKind::Malformed => "report this, with the correlation id if there is one";
        ArmErrorKind::Page => "{BETWEEN}: let this process reach Azure Resource Manager directly";
    })
}

/// What to do about what forbids a request for good.
fn of_barrier(barrier: Barrier, action: Option<&str>) -> String {
    let namespace = action.and_then(|action| action.split('/').next()).unwrap_or("its namespace");
    words!(match barrier {
        Barrier::Lock =>
            "a read-only lock forbids this: remove it from the resource, its group or its subscription (`az lock list` \
            shows it); a CanNotDelete lock may stay";
        Barrier::DisabledSubscription =>
            "the subscription is disabled and read-only: enable it again; until then no key can be regenerated and no app \
            repointed";
        Barrier::UnregisteredProvider =>
            "register the resource provider: az provider register --namespace {namespace}";
        Barrier::Policy =>
            "an Azure Policy forbids this, whatever the role: exempt the resource from the assignment that Azure names \
            (`az policy exemption create`)";
        Barrier::DenyAssignment =>
            "a deny assignment forbids this, whatever the role: exclude the identity from it in the deployment stack or \
            managed application that made it";
        Barrier::UnknownSubscription =>
            "the identity's tenant has no such subscription: check the id in {}, and the tenant that you are signed in to \
            (`az account list`)", file_name();
        Barrier::OtherTenant =>
            "the identity belongs to another tenant than the subscription: use an identity of that tenant (`az login \
            --tenant …` on a developer's machine)";
        Barrier::NoKeys =>
            "access keys are disabled (disableLocalAuth), which deleted both keys and ended every token: apps that hold one \
            are refused. Let them connect by identity, or enable keys again: the next run gives them the new ones. \
            `signalr-rekey doctor` names the apps and the commands";
        Barrier::ContentShare =>
            "the app's own content share is not usable, and nothing was written: correct \
            WEBSITE_CONTENTAZUREFILECONNECTIONSTRING and WEBSITE_CONTENTSHARE of the app; where they are references, set \
            WEBSITE_SKIP_CONTENTSHARE_VALIDATION to 1";
        Barrier::VaultFirewall =>
            "the vault's network rules do not let this process in: let the function app reach it, by a subnet of its virtual \
            network among the vault's rules or by a private endpoint. A role does not help";
        Barrier::VaultPrivate =>
            "the vault takes no calls from public networks: let the function app reach it by a private endpoint of the vault in \
            its virtual network, and its private DNS zone. A role does not help";
        Barrier::VaultPolicy =>
            "the vault uses access policies: let the identity get, set and list its secrets by one (`az keyvault \
            set-policy`), or change the vault to Azure RBAC";
        Barrier::SecretDisabled =>
            "enable the newest version of the secret, or make a new one: an app that refers to it goes on with what the platform \
            last fetched, until that is fetched anew, a day later or when its settings change; anybody else gets nothing";
        Barrier::SecretDeleted =>
            "the secret was deleted: recover it (`az keyvault secret recover`), or take the reference out of the app";
        Barrier::StoreFirewall =>
            "the store's network rules do not let this process in: let the function app reach it through a private endpoint, \
            or switch the store's public network access on. A role does not help";
        Barrier::KeyValueLocked =>
            "the key-value is locked: unlock it (`az appconfig kv unlock`), and lock it again after the rotation if it is to be";
        Barrier::NoKeyValue =>
            "the store has no key-value with this key and label (upper and lower case matter): correct them, or put it back";
    })
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::OutOfTime => f.write_str("out of time"),
            Self::Clock { ahead } => f.write_str(&wrong_clock(*ahead)),
            Self::Rewrites(errors) => f.write_str(&brief::faults(errors)),
        }
    }
}

fn wrong_clock(ahead: TimeDelta) -> String {
    let by = rounded(ahead.abs().to_std().unwrap_or_default());
    clock_is_wrong(by, if ahead < TimeDelta::zero() { "ahead of" } else { "behind" })
}

words! {
    impl Display for RewriteError {
        Self::Arm { error: refusal, .. } => "{refusal}";
        Self::Locked { place, .. } => "{}: not written", called(&place.consumer());
        Self::Overwritten { place } =>
            "{}: the {} were written but do not hold the new key: something else writes them at the same time. The next \
            run tries again", called(&place.consumer()), of_place(place);
        Self::NotKept { place, writes } =>
            "{}: the {} were given the new key {writes} times in this run, and each time something else has changed them since, so \
            that they do not hold it, or nobody can tell what its processes run with. The next run tries again",
            called(&place.consumer()), of_place(place);
    }
}

/// What is written of a consumer.
fn of_place(place: &Place) -> String {
    match place {
        Place::Settings(settings) => settings.section.to_string(),
        Place::References(_) => "references".to_owned(),
        Place::Secret(_) => "versions of the secret".to_owned(),
        Place::ContainerApp(_) => "secrets".to_owned(),
        Place::StaticWebApp(settings) => settings.section.to_string(),
        Place::Environments(_) => "environments".to_owned(),
        Place::KeyValue(_) => "states of the key-value".to_owned(),
    }
}

words! {
    impl Display for CredentialError {
        Self::HalfConfigured(half) => "{half}";
        Self::NoIdentity =>
            "this app has no managed identity (IDENTITY_ENDPOINT is not set): assign one, and give it the role that \
            docs/security.md names";
        Self::Unusable(what, _) => "could not make a credential of {what}";
    }
}

words! {
    impl Display for HalfSet {
        Self { missing, given, purpose } => "{missing} is not set, but {given} is: set both for {purpose}, or neither";
    }
}

words! { impl Display for HttpError { Self { .. } => "could not set up the HTTP client"; } }

words! {
    impl Display for Insecure {
        Self(url) =>
            "{url} is neither https nor on loopback, and credentials go nowhere else: write its https:// URL instead";
    }
}

words! {
    impl Display for StoreError {
        Self::Changed => "another run wrote the journal of the service in the meantime; that run carries on";
        Self::Held { holder, until, .. } =>
            "another run ({holder}) is working on this service until {} at the latest", readable(*until);
        Self::StrangeLease { holder, claims, until } =>
            "the journal has a lease of {holder} until {}, longer than any run takes one; it is ignored after {}, and \
            `unblock` ends it at once", readable(*claims), readable(*until);
        Self::Unreadable { name, detail } =>
            "cannot read the journal {name} ({detail}); it was left as it is, and the service was not touched. \
            {WITHOUT_JOURNAL}";
        Self::OfAnother { name, found, wanted } =>
            "the journal {name} belongs to {found}, not to {wanted}; it was left as it is, and the service was not touched. \
            Put back the file that belongs there, or rename this one. {WITHOUT_JOURNAL}";
        Self::TwoJournals { old, new } =>
            "an older release writes the journal {old}, and this one {new}: nothing is done to the service by this one. \
            Stop the older one, and delete the journal that is out of date. {WITHOUT_JOURNAL}";
        Self::OtherEvidence { name } =>
            "in the container signalr-rekey-evidence there is another document {name} than the one to be written, and it was left as \
            it is. Either somebody put it there, or the journal is older than its evidence (a restore): put back the later journal, \
            or run `signalr-rekey unblock`, which begins a new chain; `signalr-rekey report --verify` tells what is there";
        Self::NoEvidence { why, .. } => "cannot use the storage of the evidence: {why}";
        Self::Unavailable(why) => "{}",
            cause::advised(&format!("cannot use the journal's storage: {why}"), WITHOUT_STORAGE);
        Self::Refused(refusal) => "{refusal}; {WITHOUT_STORAGE}";
        Self::Illegal(Illegal { event, unmet }) =>
            "the journal does not allow the event {event:?} ({}); nothing more is done to this service. Run `signalr-rekey \
            status`, and compare it with the keys in Azure. {WITHOUT_JOURNAL}", unmet.in_words();
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (account, said) = (self.account(), self.said());
        let advice = of_a_refusal(self.meaning(), "the journal", "signalr-rekey");
        write!(f, "the storage {account} refuses the journal: {advice} ({said})")
    }
}

impl Refusal {
    /// The same of a document of evidence.
    pub(crate) fn of_evidence(&self) -> String {
        let advice = of_a_refusal(self.meaning(), "the document", "signalr-rekey-evidence");
        format!("{} refuses the document: {advice} ({})", self.account(), self.said())
    }
}

/// What to do about a refusal.
fn of_a_refusal(meaning: Meaning, what: &str, container: &str) -> String {
    words!(match meaning {
        Meaning::NoRole =>
            "no access: give yourself, or the app's identity, the role Storage Blob Data Contributor on it (Storage Blob Data \
            Reader is enough for `status`, `plan`, `history` and `report`)";
        Meaning::NotLetIn =>
            "it does not let this host in: check its firewall, its networks, and whether it allows keys of this kind";
        Meaning::NoAccountKeys =>
            "it accepts no account keys: configure it by its account name, and give the identity the role Storage Blob Data \
            Contributor";
        Meaning::NotAuthenticated =>
            "it does not accept the key, signature or token: renew the connection string, or check the identity's tenant";
        Meaning::BlobLease =>
            "something else holds a blob lease on {what} (signalr-rekey never takes one): break it (`az storage blob \
            lease break`)";
        Meaning::Immutable =>
            "an immutability policy or a legal hold forbids changing {what}: remove it from the container {container}";
        Meaning::Archived =>
            "{what} is archived: set its tier to Hot (`az storage blob set-tier`), and take the container \
            {container} out of the lifecycle rule";
        Meaning::ContainerGoes =>
            "the container {container} is being deleted: once it is gone, the next run creates it again";
        Meaning::AccountDisabled => "the account is disabled: enable it, or its subscription";
        Meaning::Other => "the same request will be refused again until what it says is resolved";
    })
}

// What is wrong where a condition is not met.
words! {
    impl InWords for Condition {
        Self::NeverSeen => "the service is already known";
        Self::Seen => "the service was never seen";
        Self::NoneInFlight => "a regeneration is in flight";
        Self::InFlight => "no regeneration is in flight";
        Self::NotAccepted => "Azure has taken it on already";
        Self::HasOperation => "there is no operation to ask about";
        Self::AnotherKey => "the key did not change";
        Self::NotBeingReplaced => "a regeneration of that key is in flight, so the change is ours";
        Self::Stays => "that key is about to be replaced";
        Self::Held => "no consumer held that key";
        Self::NotHeld => "a consumer holds that key";
        Self::NotVerified => "that key is verified already";
        Self::BeingGivenOut => "it is not on record that the key would be given to consumers";
        Self::Unrepaired => "no key changed from outside since everybody held a valid one";
        Self::Blind => "nothing was out of sight";
        Self::InSight => "something is out of sight already";
        Self::News => "that is on record already";
        Self::AppsInSight => "one of them was never seen, or is out of sight already";
        Self::InOrder => "it ends before it begins";
        Self::Room => "too many times are watched already";
        Self::External => "it is a consumer that reports nothing: it is read";
        Self::NotExternal => "it is a consumer that reports itself: nobody reads it";
        Self::Current => "the service has no such key any more";
        Self::LeftByAll => "a consumer holds that key";
        Self::NewsOfWait => "that is on record already";
        Self::HeldToWait => "no consumer holds that key";
        Self::NoGateFailed => "a wave did not come back, and nobody has looked yet";
        Self::NewsOfWave => "it is known already that the wave is held back";
        Self::GateOpen => "no wave of this number waits for its gate";
        Self::RepairOpen => "nobody who was repaired is to be asked how he is";
        Self::ChangeOpen => "no key was changed, and nobody given one, since the last evidence";
        Self::FateOpen => "that key was not replaced, or it is on record already whether it still works";
        Self::Unproved => "no change waits for its evidence";
    }
}

words! {
    impl Display for LockError {
        Self::Held(Held { holder: LockHolder::Unanswered { run, request }, until, .. }) =>
            "another run ({run}) had no answer to a request that Azure may still carry out, and that would undo whatever is \
            written before: {request}. So nobody else writes until {}, by when it cannot arrive any more", readable(*until);
        Self::Held(Held { holder, until, .. }) =>
            "{holder} has the lock of its settings until {} at the latest", readable(*until);
        Self::Store(_) => "the lock of its settings cannot be taken";
    }
}

words! {
    impl Display for LockHolder {
        Self::Run(run) => "another run ({run})";
        Self::Unanswered { run, request } => "another run ({run}), which had no answer to a request ({request}),";
        Self::Faster => "another run (one that was faster)";
        Self::Unreadable => "another run (its lock cannot be read)";
    }
}

words! {
    impl Display for Unread {
        Self::TooLarge => "the body is larger than 4 MiB";
        Self::Broken => "the body broke off before its end";
        Self::Late(time) => "the body was not complete within {}", humantime::format_duration(*time);
        Self::NoRoom => "too many large bodies at once: send it again in a minute, as Event Grid and action groups do";
    }
}

words! {
    impl Display for Panicked {
        Self { location: Some(location) } => "internal error at {location}";
        Self { location: None } => "internal error";
    }
}

words! { impl Display for Malformed { Self { member, fault } => "{member}: {}", fault.in_words(); } }

words! {
    impl InWords for Fault {
        Self::NoEnvelope => "it is empty; an envelope is {{\"Data\":{{…}},\"Metadata\":{{…}}}}";
        Self::NoJson { ends_early: true, line, column } => "its JSON ends too early (line {line}, column {column})";
        Self::NoJson { ends_early: false, line, column } => "it is not JSON (line {line}, column {column})";
        Self::NoJsonObject => "it is not a JSON object";
        Self::NoObject => "it is not an object";
        Self::Missing => "it is missing";
        Self::NoValue => "it is empty; the trigger's value belongs there";
        Self::SeveralValues => "it has more than one member; only the trigger's belongs there";
        Self::NoTimer => "it is not an object, as a timer's is";
        Self::NoRequest => "it is not an HTTP request";
        Self::NoAlert => "it is missing; an alert belongs there";
        Self::Event(misread) => "{}", misread.in_words();
        Self::NoReport => "it is missing; a report belongs there";
        Self::NotThere => "it is missing from the report";
        Self::NoText => "it is not a text";
        Self::Repeated => "it is there more than once";
        Self::NoPost => "it is not POST, by which reports are sent";
        Self::MoreMembers => "it has other members than instance, name and fingerprint";
        Self::NoServiceId => "it is not the resource id of a SignalR service";
        Self::NoName => "it is not a name of letters, digits, '.', '_' and '-', or looks like a key";
        Self::NoParameter => "it has a parameter other than instance and format, or one of them that is no text";
        Self::NoFormat => "it is neither html nor json";
        Self::NoFingerprint => "it is not a fingerprint, which has 16 hexadecimal digits, as `signalr-rekey status` shows them";
    }
}
