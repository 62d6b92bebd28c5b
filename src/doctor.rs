//! Looks for everything that would keep a rotation from going well, and says what repairs it. It changes nothing.
//!
//! Start at [`examine`]. `collect` reads, with eight requests at a time, and goes on where a read fails: a refusal is a
//! finding too. All other files judge what was read, without asking anything: one function for each check, which answers
//! [`Finding`]s. `fixes` writes the commands that repair.
//!
//! Guarantee: no finding holds key material, a setting's value or a token.

mod authentication;
mod collect;
mod configured_apps;
mod containers;
mod external;
mod finding;
mod first_run;
mod fixes;
mod key_values;
mod permission;
mod service;
mod settings;
mod unconfigured_apps;
mod vaults;
mod waves;
mod windows;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

pub use finding::{Check, Finding, Looked, Report, Severity, SubjectKind};
pub use first_run::{FirstRun, examine_briefly};

use crate::azure::arm::{Arm, Caller};
use crate::clock::Clock;
use crate::compose::ComposeError;
use crate::config::{BlobAccess, Config, Environment, ServiceConfig, StateConfig};
use crate::engine::Engine;
use crate::report::cause;
use crate::report::text::file_name;
use crate::store::StoreError;
use collect::{AppFacts, Facts, InstanceFacts};
use rekey_core::model::{AppId, ConsumerId};

/// How long all the reading may take. A hundred apps take well below a minute.
const PATIENCE: TimeDelta = TimeDelta::minutes(5);

/// Under which circumstances it is asked.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The environment of the process.
    pub environment: Environment,
    /// Whether that is the environment of the function app, and not of a person's machine.
    pub as_deployed: bool,
}

pub async fn examine(rekey: &Engine, circumstances: &Circumstances) -> Report {
    let (mut findings, asker) = begin(rekey, circumstances, PATIENCE).await;
    let Some((arm, caller)) = asker else { return Report::new(findings) };
    let (config, environment) = (&rekey.config, &circumstances.environment);
    let facts = Facts::collect(rekey, &arm, &caller).await;
    let own = own_app(config, environment);
    let deployed_in = own.as_ref().filter(|_| circumstances.as_deployed);
    findings.extend(judge(config, &facts, &caller, deployed_in, rekey.clock.now()));
    if let Some(own) = deployed_in {
        findings.push(authentication::check(own, &arm.authentication(own).await));
    }
    findings.extend(settings::durations_of_apps(&facts, environment, own.as_ref()));
    findings.extend(service::probes(rekey, &facts).await);
    findings.extend(waves::health(rekey, &facts).await);
    Report { looked: facts.looked(), ..Report::new(findings) }
}

/// What every examination begins with: what needs no request, and as whom Azure can be asked for as long as this may take.
async fn begin(
    rekey: &Engine,
    circumstances: &Circumstances,
    patience: TimeDelta,
) -> (Vec<Finding>, Option<(Arm, Caller)>) {
    let mut findings = offline(&rekey.config, circumstances, &*rekey.clock);
    let arm = rekey.arm.until(rekey.clock.now() + patience);
    let caller = arm.caller().await;
    findings.push(match &caller {
        Ok(caller) => identity(caller, circumstances.as_deployed),
        Err(error) => nobody(cause::told(error), &rekey.config, circumstances),
    });
    (findings, caller.ok().map(|caller| (arm, caller)))
}

/// What can be said when the parts do not fit together, so that Azure cannot be asked.
pub(crate) fn without_azure(
    config: &Config,
    circumstances: &Circumstances,
    clock: &dyn Clock,
    error: &ComposeError,
) -> Report {
    let mut findings = offline(config, circumstances, clock);
    let why = "without it nothing else could be checked";
    findings.push(match error {
        ComposeError::Credential(error) => nobody(cause::told(error), config, circumstances),
        ComposeError::Store(error) => Finding::error(Check::Storage, "the journal", cause::told(error), why),
        ComposeError::Insecure(error) => {
            Finding::error(Check::Settings, "REKEY_RESOURCE_MANAGER", cause::told(error), why)
        }
    });
    Report::new(findings)
}

/// What needs no request.
fn offline(config: &Config, circumstances: &Circumstances, clock: &dyn Clock) -> Vec<Finding> {
    let own = own_app(config, &circumstances.environment);
    let mut findings = vec![counted(config)];
    if circumstances.as_deployed {
        findings.extend(settings::environment(config, &circumstances.environment, own.as_ref()));
    }
    findings.extend(storage(config, circumstances.as_deployed));
    findings.extend(settings::durations(config, &circumstances.environment, own.as_ref()));
    let expression = circumstances.environment.get(crate::schedule::SETTING);
    findings.extend(settings::schedule(
        config,
        expression,
        circumstances.as_deployed,
        own.as_ref(),
        clock.now(),
    ));
    findings
}

fn counted(config: &Config) -> Finding {
    let apps: BTreeSet<ConsumerId> = config.instances.iter().flat_map(ServiceConfig::consumers).collect();
    let what = format!(
        "{} and {} are configured",
        finding::count(config.instances.len(), "instance"),
        finding::count(apps.len(), "app")
    );
    Finding::ok(Check::Settings, file_name(), what)
}

fn identity(caller: &Caller, as_deployed: bool) -> Finding {
    let part = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let parts = [
        part("user", &caller.user),
        part("application", &caller.application.clone().filter(|_| caller.user.is_none())),
        part("object", &caller.object),
        part("tenant", &caller.tenant),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let whose = if parts.is_empty() { "it does not say whose it is".to_owned() } else { parts.join(", ") };
    // What a person may do tells nothing of what the function app may.
    let whom = if as_deployed { "" } else { "; only --as-deployed checks what the function app may do" };
    Finding::ok(Check::Identity, "the identity", format!("Azure gave a token: {whose}{whom}"))
}

fn nobody(error: String, config: &Config, circumstances: &Circumstances) -> Finding {
    let why = "without a token Azure cannot be asked for anything, so nothing else was checked. On your own machine, \
               `az login` gives one";
    let own = own_app(config, &circumstances.environment).filter(|_| circumstances.as_deployed);
    let finding = Finding::error(Check::Identity, "the identity", error, why);
    finding.fixed_by(own.as_ref().map(fixes::assign_identity))
}

fn judge(
    config: &Config,
    facts: &Facts<'_>,
    caller: &Caller,
    own_app: Option<&AppId>,
    now: DateTime<Utc>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for instance in &facts.instances {
        findings.extend(service::check(instance, &facts.holders(instance)));
        findings.extend(permission::of_instance(instance, caller));
        findings.extend(journal(config, instance, &facts.evidence));
        for app in &instance.config.apps {
            findings.extend(configured_apps::check(instance, app, facts));
        }
        findings.extend(vaults::check(instance, facts, caller, own_app));
        findings.extend(containers::check(instance, caller));
        findings.extend(key_values::check(instance, caller));
        findings.extend(external::check(instance, now));
        findings.extend(waves::check(instance));
        findings.extend(waves::for_a_person(instance, now));
        findings.extend(windows::check(instance, now));
        findings.extend(unconfigured_apps::check(instance, facts));
        findings.extend(unconfigured_apps::strangers(instance));
    }
    for (id, app) in facts.configured() {
        findings.extend(permission::of_app(id, app, facts.resolving(id, app), caller));
        findings.extend(naming(facts, id, app, caller));
        findings.extend(own(config, id));
    }
    findings.extend(facts.writes.iter().map(|right| permission::of_write(right, caller)));
    findings.extend(unconfigured_apps::unreadable(facts, caller));
    findings
}

/// Where it is to be named who writes an old string back.
fn naming(facts: &Facts<'_>, id: &AppId, app: &AppFacts, caller: &Caller) -> Option<Finding> {
    let names = |instance: &InstanceFacts<'_>| {
        instance.config.policy.name_writers && instance.config.apps.iter().any(|one| one.id == *id)
    };
    let granted = app.permissions.as_ref().filter(|_| facts.instances.iter().any(names))?;
    Some(permission::of_naming(&id.clone().into(), granted.as_ref().map(Vec::as_slice), caller))
}

fn own(config: &Config, app: &AppId) -> Option<Finding> {
    let is_own = config.own_site.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(app.site()));
    let why = "changed settings restart an app, so this app is written last and the next run carries on";
    is_own.then(|| Finding::note(Check::Environment, app, "signalr-rekey runs in this app", why))
}

/// Where the journal is kept. On a person's machine it mostly is in memory, and that of the deployed app elsewhere.
fn storage(config: &Config, as_deployed: bool) -> Option<Finding> {
    if config.state != StateConfig::Memory {
        return None;
    }
    let (check, subject) = (Check::Storage, "REKEY_STATE");
    Some(if as_deployed {
        let why = "a restart forgets: the next run checks everything as if for the first time, waits the whole grace period of each key again, and begins a new rotation. Give it a storage connection (AzureWebJobsStorage, or the \
                   name of another in REKEY_STATE)";
        Finding::warning(check, subject, "the journal is kept in memory", why)
    } else {
        let why = "what the deployed app did, and which app it saw with which key, is not known here. To check with its journal, export AzureWebJobsStorage__accountName=STORAGE, the name of its storage account";
        Finding::note(check, subject, "the journal of the deployed app is not read", why)
    })
}

/// Whether the journal of a service can be read, and what proves its changes.
fn journal(
    config: &Config,
    instance: &InstanceFacts<'_>,
    evidence: &Result<(), StoreError>,
) -> Option<Finding> {
    let StateConfig::Blob(blob) = &config.state else { return None };
    let id = &instance.config.id;
    let (error, why) = match (&instance.journal, evidence) {
        (Err(error), _) => (error, "a service is not touched while its journal cannot be read and written"),
        (Ok(_), Err(error)) => (
            error,
            "the evidence of what was changed is in the container signalr-rekey-evidence, and each run that cannot write it fails",
        ),
        (Ok(_), Ok(())) => {
            let what = format!("the journal and the evidence can be read in {}", blob.account);
            return Some(Finding::ok(Check::Storage, id, what));
        }
    };
    let named = match &blob.access {
        BlobAccess::Identity { client_id } => client_id.as_deref().or(config.azure.client_id.as_deref()),
        BlobAccess::AccountKey(_) | BlobAccess::Signature(_) => None,
    };
    let fix = named.map(|client| fixes::storage_role(&blob.account, client));
    Some(Finding::error(Check::Storage, id, cause::told(error), why).fixed_by(fix))
}

/// The app that this process runs in, by what the platform tells (docs: Environment variables and app settings in App
/// Service), or, if that is not enough, by the only configured site of that name.
fn own_app(config: &Config, environment: &Environment) -> Option<AppId> {
    let site = config.own_site.as_deref()?;
    // WEBSITE_OWNER_NAME is `{subscription}+{webspace}`.
    let subscription = environment.get("WEBSITE_OWNER_NAME").and_then(|owner| owner.split('+').next());
    let group = environment.get("WEBSITE_RESOURCE_GROUP");
    let told =
        subscription.zip(group).map(|(subscription, group)| AppId::new(subscription, group, site, None));
    let mut apps = config.instances.iter().flat_map(|instance| &instance.apps).map(|app| &app.id);
    told.or_else(|| {
        let configured = apps.find(|app| app.site().eq_ignore_ascii_case(site));
        configured.map(|app| AppId::new(app.subscription(), app.group(), app.site(), None))
    })
}
