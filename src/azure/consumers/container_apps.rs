//! Secrets of Container Apps and of their jobs: everything that is special to Microsoft.App.
//!
//! A place is an app, or a job, with the list of its secrets and with who reads them: the replicas of its active revisions, or
//! its running executions. Its consumers are the secrets. ARM's PATCH replaces the whole list and takes no condition (ARM
//! swagger 2024-03-01, ContainerApps_Update), so the list is read just before, only keys are replaced in it, and it is read again
//! afterwards; a secret that is kept in a Key Vault goes back without its value, and so has the platform fetch it anew.
//!
//! # Who still runs with what a secret held before
//!
//! A changed secret reaches no process that runs (docs: Manage secrets in Azure Container Apps), so each active revision is
//! restarted after the write, those without traffic too, one after the other. When the old value is left is not a matter of
//! time: it is when all replicas that were there *before* the restart are gone and the others run, or when there is none. A run
//! that wrote knows them by their names (`Written`), which takes no clock at all.
//!
//! Any other run knows only what Azure tells. That has to be enough, for a run may be killed between the write and the restart:
//!
//! - What an app was last *seen* to hold, with all its replicas, is on record in the journal, and when a run of ours gave it
//!   that. As long as its secrets hold just that and it was not changed since (`systemData.lastModifiedAt`), nothing has
//!   happened, and its replicas need not be looked at. Before a write the journal says that the app may hold either key, so
//!   that after a write which nobody saw to its end this rule never applies. Whoever puts an old key there for a minute, and
//!   starts a process with it, changes the app. The write and its record are seconds apart, and the clocks that tell of the
//!   two are kept by NTP: one that is fast by more than that could hide a change of the same seconds.
//! - Otherwise a replica counts as one that runs with the new value only if it was made later than the last change of the app
//!   (`systemData.lastModifiedAt` and `createdTime`, both Azure's times, so that our clock does not matter) and later than the
//!   platform may take to apply that (`APPLIED_WITHIN`, and for secrets of a Key Vault `FETCHED_WITHIN`). A time that is not
//!   told is never later. Whoever is not later may hold either key, and also an invalid one that the app was last seen with:
//!   so it is neither forgotten nor left out of a repair, and the next step restarts it. That is a restart too many where a run
//!   died just after its own; none is ever missing.
//! - While replicas are being replaced, the app is told as one that cannot be judged yet, and is not restarted over and over.
//!
//! A new replica that does not come up keeps nobody waiting for longer than `STARTS_WITHIN`: it was made with the new value,
//! and whatever ails it is not the key. An old one that stays holds its key for as long as it is there. Executions of a job have
//! no restart: a key that one may run with lives until that one has ended. Those that run when a job is given another key are on
//! record, and count until Azure tells that they have ended or until they cannot run any more: a list that is empty, or lacks
//! them, tells nothing of them. The grace of a key begins when the last of them has ended: until then it signed tokens.
//!
//! That somebody changed an app since a run of ours (another secret of it, say) tells nothing of the secret that holds our key,
//! and what that held in between Azure shows nowhere. Nor do its replicas tell, not even those that were there before: a container
//! of one that ends is started anew in the same replica, with what the secrets hold then, and whether a secret that is mounted
//! as a file is read anew without any start is not documented. So who may have started with another key counts as a holder,
//! the grace begins anew when he was restarted, and `Snapshot::changed` has the reason told.

mod readers;
mod secrets;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{FutureExt, try_join};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use self::readers::WhoReads;
use self::secrets::Secrets;
pub(crate) use self::secrets::{Entry, Shown};
use super::app_service::secret_parts;
use super::{Change, ConsumerKind, Marks, Settling, Written as Done};
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Call, Operation, Subject};
use crate::report::text::azure as words;
use rekey_core::model::{ConsumerId, ContainerAppId, ContainerAppKind};

/// Microsoft.App: the version whose contract this client was written against.
const API_VERSION: &str = "2024-03-01";

const GET: Operation = read("ContainerApps_Get", &["Microsoft.App/containerApps/read"]);
const LIST_SECRETS: Operation =
    read("ContainerApps_ListSecrets", &["Microsoft.App/containerApps/listSecrets/action"]);
/// Whoever writes an app must be allowed to put it into its environment, as it is written with that.
const UPDATE: Operation = change(
    "ContainerApps_Update",
    &["Microsoft.App/containerApps/write", "Microsoft.App/managedEnvironments/join/action"],
);
const REVISIONS: Operation =
    read("ContainerAppsRevisions_ListRevisions", &["Microsoft.App/containerApps/revisions/read"]);
const RESTART: Operation = change(
    "ContainerAppsRevisions_RestartRevision",
    &["Microsoft.App/containerApps/revisions/restart/action"],
);
const REPLICAS: Operation = read(
    "ContainerAppsRevisionReplicas_ListReplicas",
    &["Microsoft.App/containerApps/revisions/replicas/read"],
);
const GET_JOB: Operation = read("Jobs_Get", &["Microsoft.App/jobs/read"]);
const LIST_SECRETS_OF_JOB: Operation = read("Jobs_ListSecrets", &["Microsoft.App/jobs/listSecrets/action"]);
const UPDATE_JOB: Operation =
    change("Jobs_Update", &["Microsoft.App/jobs/write", "Microsoft.App/managedEnvironments/join/action"]);
const EXECUTIONS: Operation = read("JobsExecutions_List", &["Microsoft.App/jobs/executions/read"]);

/// Of a resource group and of a subscription.
const LIST: [Operation; 2] = [
    Operation::read("ContainerApps_ListByResourceGroup", &["Microsoft.App/containerApps/read"]),
    Operation::read("ContainerApps_ListBySubscription", &["Microsoft.App/containerApps/read"]),
];
const LIST_JOBS: [Operation; 2] = [
    Operation::read("Jobs_ListByResourceGroup", &["Microsoft.App/jobs/read"]),
    Operation::read("Jobs_ListBySubscription", &["Microsoft.App/jobs/read"]),
];

/// The container apps of a subscription or resource group.
pub async fn list_apps(arm: &Arm, scope: &str) -> Result<Vec<ContainerAppId>, ArmError> {
    list(arm, LIST, &format!("{scope}/providers/Microsoft.App/containerApps")).await
}

/// The jobs of Container Apps there.
pub async fn list_jobs(arm: &Arm, scope: &str) -> Result<Vec<ContainerAppId>, ArmError> {
    list(arm, LIST_JOBS, &format!("{scope}/providers/Microsoft.App/jobs")).await
}

async fn list(
    arm: &Arm,
    [of_group, of_subscription]: [Operation; 2],
    path: &str,
) -> Result<Vec<ContainerAppId>, ArmError> {
    let operation = if path.contains("/resourceGroups/") { of_group } else { of_subscription };
    arm.ids(Call::get(operation, arm.url(path, API_VERSION))).await
}

const OF_APPS: [Operation; 6] = [GET, LIST_SECRETS, UPDATE, REVISIONS, RESTART, REPLICAS];
const OF_JOBS: [Operation; 4] = [GET_JOB, LIST_SECRETS_OF_JOB, UPDATE_JOB, EXECUTIONS];

/// What is asked of an app, or of a job.
pub(super) fn operations_on(id: &ContainerAppId) -> Vec<Operation> {
    match id.kind() {
        ContainerAppKind::App => OF_APPS.to_vec(),
        ContainerAppKind::Job => OF_JOBS.to_vec(),
    }
}

const fn read(name: &'static str, actions: &'static [&'static str]) -> Operation {
    Operation::read(name, actions).about(Subject::Consumer).with_secrets().by_handler()
}

const fn change(name: &'static str, actions: &'static [&'static str]) -> Operation {
    Operation::change(name, actions).about(Subject::Consumer).with_secrets().by_handler()
}

/// How long after Azure took a change on a new replica may still start with what was there before. An update takes some ten
/// seconds.
pub(crate) const APPLIED_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// The same where a new version was made in a Key Vault: the platform looks there every half hour (docs: Manage secrets in
/// Azure Container Apps).
pub(crate) const FETCHED_WITHIN: TimeDelta = TimeDelta::minutes(35);

/// How long replicas may take to be replaced after a restart, and a new one to come up.
pub(crate) const STARTS_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// How long a run waits for that by itself. Pulling an image and starting it mostly takes less than a minute.
pub(crate) const ARRIVES: TimeDelta = TimeDelta::minutes(3);

/// The wait between two looks at whether an update has ended.
const AGAIN: Duration = Duration::from_secs(2);

/// An app of Container Apps, or a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub id: ContainerAppId,
}

/// What was read of an app, or of a job. Its `Debug` shows no value.
#[derive(Clone, Debug)]
pub struct ContainerApp {
    secrets: Secrets,
    /// When it was last changed, by Azure's clock.
    changed: Option<DateTime<Utc>>,
    /// Whether an update is under way.
    updating: bool,
    /// Whether the last one has failed.
    failed: bool,
    /// The id of the environment that it is in, into which whoever writes it must be allowed to put it.
    environment: Option<String>,
    /// The replicas of its active revisions, or its running executions.
    readers: Vec<Reader>,
    /// The executions that are told to have ended, with when, as far as that is told.
    ended: Vec<(String, Option<DateTime<Utc>>)>,
    /// The active revisions, in Azure's order.
    revisions: Vec<String>,
    /// Variables whose values stand in its template and in those of its active revisions.
    variables: Vec<(String, SecretString)>,
    /// What a write has left.
    written: Option<Written>,
}

/// What a write has left in an app.
#[derive(Clone, Debug)]
struct Written {
    /// The secrets that it was about.
    secrets: Vec<String>,
    /// The readers that were there when it had taken effect, and are to go.
    replaced: BTreeSet<String>,
}

/// Who reads secrets when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    pub name: String,
    /// The revision that it is of.
    revision: Option<String>,
    /// When it was made, by Azure's clock.
    pub created: Option<DateTime<Utc>>,
    pub runs: bool,
    /// In Azure's words, what state it is in, where it does not run.
    pub state: String,
    /// Of an execution: how long it may run at most, by the configuration of its job.
    longest: TimeDelta,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    properties: Properties,
    #[serde(rename = "systemData")]
    system_data: Option<SystemData>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    provisioning_state: Option<String>,
    environment_id: Option<String>,
    /// The same, as it was called before; of many apps both are told.
    managed_environment_id: Option<String>,
    latest_revision_name: Option<String>,
    latest_ready_revision_name: Option<String>,
    template: readers::Template,
    configuration: Option<readers::Configuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SystemData {
    last_modified_at: Option<Value>,
}

impl Resource {
    /// The revisions that it names: the newest ones, and those with traffic.
    fn revisions(&self) -> impl Iterator<Item = &str> {
        let Properties { latest_revision_name, latest_ready_revision_name, configuration, .. } =
            &self.properties;
        let newest = [latest_revision_name, latest_ready_revision_name].into_iter().flatten();
        newest.map(String::as_str).chain(configuration.iter().flat_map(readers::Configuration::with_traffic))
    }

    /// Whether an update has not ended yet, in whatever word.
    fn is_updating(&self) -> bool {
        let ended = ["Succeeded", "Failed", "Canceled"];
        let state = self.properties.provisioning_state.as_deref();
        state.is_some_and(|state| !ended.iter().any(|end| state.eq_ignore_ascii_case(end)))
    }

    fn has_failed(&self) -> bool {
        let state = self.properties.provisioning_state.as_deref().unwrap_or_default();
        ["Failed", "Canceled"].iter().any(|end| state.eq_ignore_ascii_case(end))
    }

    fn changed(&self) -> Option<DateTime<Utc>> {
        readers::time(self.system_data.as_ref()?.last_modified_at.as_ref())
    }
}

impl ContainerApp {
    /// What its secrets show of a service.
    pub(crate) fn shows(&self, marks: Marks<'_>) -> Vec<(&Entry, Vec<Shown>)> {
        self.secrets.iter().map(|entry| (entry, entry.shows(marks))).collect()
    }

    /// Its secrets.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Entry> {
        self.secrets.iter()
    }

    /// The variables that hold a key of the service in the open, in a template; and whether that is an invalid one.
    pub(crate) fn in_the_open(&self, marks: Marks<'_>) -> Vec<(&str, bool)> {
        let mut found = Vec::new();
        for (name, value) in &self.variables {
            let shown = secrets::shows(value, marks);
            let is_stale = shown.iter().any(Shown::is_stale);
            if is_stale || shown.iter().any(Shown::holds_a_key) {
                found.push((name.as_str(), is_stale));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The id of the environment that it is in.
    pub(crate) fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    /// When it was last changed, by Azure's clock.
    pub(crate) const fn changed(&self) -> Option<DateTime<Utc>> {
        self.changed
    }

    /// Whether an update is under way, and what is shown is about to change.
    pub(crate) const fn is_updating(&self) -> bool {
        self.updating
    }

    /// Who runs with its secrets.
    pub(crate) fn readers(&self) -> &[Reader] {
        &self.readers
    }

    /// Whether Azure tells of an execution, whatever it tells: that it runs, or that it has ended.
    pub(crate) fn tells_of(&self, execution: &str) -> bool {
        self.ended(execution).is_some() || self.readers.iter().any(|one| one.name == execution)
    }

    /// Of an execution that is told to have ended: when, if that is told.
    pub(crate) fn ended(&self, execution: &str) -> Option<Option<DateTime<Utc>>> {
        self.ended.iter().find(|(name, _)| name == execution).map(|(_, at)| *at)
    }

    /// Of what was written: whether a reader was there before and is to go.
    pub(crate) fn replaces(&self, reader: &str) -> bool {
        self.written.as_ref().is_some_and(|written| written.replaced.contains(reader))
    }

    /// Whether it is what a write has left, and not only what was read.
    pub(crate) const fn is_written(&self) -> bool {
        self.written.is_some()
    }

    /// Whether it was a write that was about a secret.
    fn wrote(&self, secret: &Entry) -> bool {
        self.written.as_ref().is_some_and(|written| written.secrets.contains(&secret.name))
    }

    /// Whether what was read holds what was `written`.
    pub(crate) fn holds_what_was(&self, written: &Self) -> bool {
        self.secrets.hold_what(&written.secrets, |entry| written.wrote(entry))
    }

    /// Whether somebody has put something else in the place of what was `written`. What a vault holds may yet come.
    pub(crate) fn is_overwritten(&self, written: &Self) -> bool {
        !self.secrets.hold_what(&written.secrets, |entry| written.wrote(entry) && !entry.is_in_a_vault())
    }
}

impl ConsumerKind for Place {
    type Contents = ContainerApp;

    fn operations() -> Vec<Operation> {
        OF_APPS.into_iter().chain(OF_JOBS).chain(LIST).chain(LIST_JOBS).collect()
    }

    fn consumer(&self) -> ConsumerId {
        ConsumerId::ContainerApp(self.id.clone())
    }

    /// The secrets first: what was changed between the two readings makes replicas look older than they are, and not younger.
    async fn read(&self, arm: &Arm) -> Result<ContainerApp, ArmError> {
        let secrets = self.list_secrets(arm).await?;
        let (resource, WhoReads { revisions, mut readers, ended, variables, .. }) =
            match self.who_runs(arm).await {
                // Something of it went between two questions; then it is no contradiction when they are asked again.
                Err(error) if error.kind() == ArmErrorKind::Conflict => {
                    arm.rest(AGAIN).await;
                    self.who_runs(arm).await?
                }
                read => read?,
            };
        let (changed, updating, failed) = (resource.changed(), resource.is_updating(), resource.has_failed());
        let Properties { environment_id, managed_environment_id, template, configuration, .. } =
            resource.properties;
        let environment = environment_id.or(managed_environment_id);
        let longest = configuration.unwrap_or_default().longest();
        readers.iter_mut().for_each(|reader| reader.longest = longest);
        let variables = template.variables().chain(variables).collect();
        Ok(ContainerApp {
            secrets,
            changed,
            updating,
            failed,
            environment,
            readers,
            ended,
            revisions,
            variables,
            written: None,
        })
    }

    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&ContainerApp>,
        change: &Change<'_>,
    ) -> Result<Done<ContainerApp>, ArmError> {
        let before = self.just_before(arm, just_read).await?;
        let wanted = before.secrets.rewritten(change);
        let mut after = match &wanted {
            None => before,
            Some(wanted) => {
                self.update(arm, wanted, before.failed).await?;
                let after = self.read(arm).await?;
                if !after.secrets.took(wanted) {
                    return Ok(Done::Overwritten);
                }
                after
            }
        };
        let is_app = self.id.kind() == ContainerAppKind::App;
        let is_fetched = after.secrets.are_fetched(change);
        let restarts = is_app && !after.readers.is_empty() && is_fetched;
        if wanted.is_none() && !restarts {
            return Ok(Done::Already(after));
        }
        let of_revision = |revision: &&String| after.readers.iter().any(|reader| reader.is_of(revision));
        for revision in after.revisions.iter().filter(of_revision).filter(|_| restarts) {
            self.restart(arm, revision).await?;
        }
        let secrets = change.names.iter().map(|name| (*name).to_owned()).collect();
        let replaced = after.readers.iter().map(|reader| reader.name.clone()).collect();
        after.written = Some(Written { secrets, replaced });
        if let Some(wanted) = wanted.filter(|_| !is_fetched) {
            after.secrets.expect(wanted);
        }
        Ok(Done::Accepted(after))
    }

    fn holds_anothers(&self, contents: &ContainerApp, marks: Marks<'_>) -> bool {
        contents.secrets.iter().filter_map(Entry::exposed).any(|value| marks.is_anothers(value))
    }

    /// Its readers are restarted with the write. That all of them are new is looked for every few seconds; one that does not
    /// come up is not waited for longer than so.
    fn settling(&self) -> Settling {
        Settling::Restarted {
            look_after: TimeDelta::seconds(5),
            at_most: STARTS_WITHIN.to_std().unwrap_or_default(),
        }
    }
}

impl Place {
    /// The app, or the job, and who runs with its secrets. What of Azure's answers contradicts the others is not believed: who
    /// is left out may run with any key.
    async fn who_runs(&self, arm: &Arm) -> Result<(Resource, WhoReads), ArmError> {
        let (resource, read) = try_join!(self.get(arm).boxed(), self.who_reads(arm).boxed())?;
        let is_listed = |name: &str| read.listed.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        let missing = resource.revisions().find(|name| !name.is_empty() && !is_listed(name));
        if let Some(missing) = missing.filter(|_| self.id.kind() == ContainerAppKind::App) {
            let call = Call::get(REVISIONS, self.url(arm, "/revisions"));
            return Err(call
                .error(ArmErrorKind::Conflict, &words::revision_not_listed(missing))
                .advising(words::CONTRADICTED));
        }
        Ok((resource, read))
    }

    fn url(&self, arm: &Arm, rest: &str) -> url::Url {
        arm.url(&format!("{}{rest}", self.id), API_VERSION)
    }

    /// Of the two, what is for an app or for a job.
    fn of_kind<T>(&self, of_app: T, of_job: T) -> T {
        match self.id.kind() {
            ContainerAppKind::App => of_app,
            ContainerAppKind::Job => of_job,
        }
    }

    async fn list_secrets(&self, arm: &Arm) -> Result<Secrets, ArmError> {
        let operation = self.of_kind(LIST_SECRETS, LIST_SECRETS_OF_JOB);
        let call = Call::post(operation, self.url(arm, "/listSecrets"));
        arm.send(&call).await?.json(&call)
    }

    async fn get(&self, arm: &Arm) -> Result<Resource, ArmError> {
        let call = Call::get(self.of_kind(GET, GET_JOB), self.url(arm, ""));
        arm.send(&call).await?.json(&call)
    }

    /// Replaces the list of secrets, and waits until that has taken effect. A lost answer leaves it open whether it has, and so
    /// does an update that fails: the list tells when it is read again. One that fails where the one `before` has failed too is
    /// for a person to see to: then it is most likely the app that Azure stumbles over, and not a moment of its own.
    async fn update(&self, arm: &Arm, secrets: &Secrets, before: bool) -> Result<(), ArmError> {
        let operation = self.of_kind(UPDATE, UPDATE_JOB);
        let body = json!({ "properties": { "configuration": { "secrets": secrets.for_a_write() } } });
        let call = Call::patch(operation, self.url(arm, "")).with_body(&body)?;
        let sent = arm.send(&call).await;
        sent.map_err(|error| {
            let parts: Vec<_> = secrets.iter().filter_map(Entry::exposed).flat_map(secret_parts).collect();
            error.without(parts.iter().map(|part| part.as_str()))
        })?;
        loop {
            let resource = self.get(arm).await?;
            if resource.has_failed() {
                return Err(if before {
                    call.error(ArmErrorKind::Refused, words::UPDATE_FAILED)
                        .advising(words::update_fails_again(self.id.name()))
                } else {
                    call.error(ArmErrorKind::OutcomeUnknown, words::UPDATE_FAILED)
                });
            }
            if !resource.is_updating() {
                return Ok(());
            }
            arm.rest(AGAIN).await;
        }
    }

    async fn restart(&self, arm: &Arm, revision: &str) -> Result<(), ArmError> {
        let call = Call::post(RESTART, self.url(arm, &format!("/revisions/{revision}/restart")));
        arm.send(&call).await.map(drop)
    }
}
