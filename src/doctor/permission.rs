//! Whether the caller may do what a run does, action by action.
//!
//! ARM itself tells what is granted. Where it does not, or tells something else than a harmless read just did, the read
//! counts: it was really allowed, or refused.

use std::collections::BTreeSet;

use super::collect::{AppFacts, InstanceFacts, Resolving, Told, WriteRight};
use super::finding::{Check, Finding, Severity};
use super::fixes;
use crate::azure::activity_log::LIST;
use crate::azure::arm::{ArmError, ArmErrorKind, Caller, Operation, Permission};
use crate::azure::consumers::app_service::Place;
use crate::azure::consumers::{ConsumerKind, Place as AnyPlace};
use crate::azure::discovery::by_value;
use crate::azure::rbac::on_the_resource;
use crate::azure::services::{KeyService, ServiceOperations};
use crate::azure::tags;
use crate::engine::check::Refusal;
use crate::report::cause;
use rekey_core::model::{AppId, ConsumerId, ContainerAppKind, ServiceId, ServiceType};

/// An operation that a run needs, and what comes of it if it is refused.
#[derive(Clone, Copy)]
struct Need {
    operation: Operation,
    severity: Severity,
    why: &'static str,
}

const READ_WHY: &str =
    "whether the service is stopped or accepts no keys is not known; a rotation does not need it";
const LIST_KEYS_WHY: &str = "no run can begin, and whether apps are cut off now cannot be told: the keys that they hold are compared with those that Azure lists";
const REGENERATE_WHY: &str = "no key can be regenerated";
const FOLLOW_WHY: &str = "a regeneration cannot be followed to its end";
const LIST_WHY: &str = "what the app holds cannot be read, and no key is regenerated until it can";
const RESOLVE_WHY: &str =
    "which version of a secret the app was given cannot be read, and no key is regenerated until it can";
const WRITE_WHY: &str =
    "the app cannot be given a new key, and stays cut off when its own is regenerated from outside";

const NAMING_WHY: &str =
    "who writes an old string back into it is not named (name_writers), and nothing else says why";

const TAGS_WHY: &str =
    "it is not tagged with when it was rotated and how it stands (tags); nothing else depends on that";

const STORE_WHY: &str = "it cannot be given a new key, and whoever reads it stays cut off when the key is regenerated from outside";

/// What came of an operation that could be tried without changing anything.
enum Tried {
    Done,
    /// With what Azure said.
    Refused(String),
    /// It failed for another reason.
    Failed,
    /// What is asked before it was refused.
    NotReached,
    /// It changes something.
    Never,
}

impl Tried {
    fn of(error: Option<&ArmError>) -> Self {
        match error {
            None => Self::Done,
            Some(error) if error.kind() == ArmErrorKind::Forbidden => Self::Refused(cause::told(error)),
            Some(_) => Self::Failed,
        }
    }

    /// Why nothing is known of it.
    const fn says(&self) -> &'static str {
        match self {
            Self::Never => "it cannot be tried without doing it",
            Self::NotReached => "what is read before it was refused",
            Self::Done | Self::Refused(_) | Self::Failed => "it failed for another reason",
        }
    }
}

/// A role of one's own that holds no more than a run and the doctor need. Built-in ones allow far more. A name is always of the
/// same actions, for Azure refuses a second role of a name in a tenant.
struct Role {
    name: &'static str,
    actions: BTreeSet<&'static str>,
}

impl Role {
    fn of_service(kind: ServiceType) -> Self {
        let operations = kind.operations();
        let read = operations.describe.actions.iter().copied();
        let actions = on_the_resource(operations.all()).into_iter().chain(read).collect();
        Self { name: "signalr-rekey rotates keys", actions }
    }

    fn of_app() -> Self {
        Self { name: "signalr-rekey repoints apps", actions: on_the_resource(Place::operations()) }
    }

    fn of_consumer(consumer: &ConsumerId) -> Self {
        let name = match consumer {
            ConsumerId::StaticWebApp(_) => "signalr-rekey repoints static web apps",
            ConsumerId::ContainerApp(app) if app.kind() == ContainerAppKind::Job => {
                "signalr-rekey repoints jobs"
            }
            _ => "signalr-rekey repoints container apps",
        };
        Self { name, actions: on_the_resource(AnyPlace::operations_on(consumer)) }
    }

    /// What a run needs of this kind of resource, and the action that lacks.
    fn with(&self, lacks: &'static str) -> BTreeSet<&'static str> {
        self.actions.iter().copied().chain([lacks]).collect()
    }
}

/// What Azure says is granted at a scope.
type Granted = Result<Vec<Permission>, ArmError>;

/// What was learned of a scope: what ARM says is granted, and as whom.
struct Scope<'a> {
    id: String,
    role: Role,
    granted: Result<&'a [Permission], &'a ArmError>,
    caller: &'a Caller,
}

/// The actions on a service.
pub(super) fn of_instance(facts: &InstanceFacts<'_>, caller: &Caller) -> Vec<Finding> {
    if is_gone(facts.listed.as_ref().err()) {
        return Vec::new();
    }
    let granted = facts.permissions.as_ref().map(Vec::as_slice);
    let kind = facts.config.id.service_type();
    let scope = Scope { id: facts.config.id.to_string(), role: Role::of_service(kind), granted, caller };
    let ServiceOperations { describe, list_keys, .. } = kind.operations();
    let read = Need { operation: describe, severity: Severity::Warning, why: READ_WHY };
    let list_keys = Need { operation: list_keys, severity: Severity::Error, why: LIST_KEYS_WHY };
    let mut findings: Vec<Finding> = scope.untold().into_iter().collect();
    findings.extend([
        scope.judge(read, Tried::of(facts.resource.as_ref().err())),
        scope.judge(list_keys, Tried::of(facts.listed.as_ref().err())),
    ]);
    findings.extend(changing(kind).map(|need| scope.judge(need, Tried::Never)));
    findings.extend(facts.config.policy.tags.then(|| scope.judge(TAGGING, Tried::Never)));
    findings
}

/// What it needs besides to tag it.
const TAGGING: Need = Need { operation: tags::UPDATE, severity: Severity::Warning, why: TAGS_WHY };

/// What a run needs of a service that it does not try before it has to.
fn changing(kind: ServiceType) -> [Need; 2] {
    let ServiceOperations { regenerate, follow: [follow, _], .. } = kind.operations();
    let severity = Severity::Error;
    [
        Need { operation: regenerate, severity, why: REGENERATE_WHY },
        Need { operation: follow, severity, why: FOLLOW_WHY },
    ]
}

/// The actions on a configured app. Reading and writing either section is one action each; of one with references to secrets,
/// `resolving` tells how it went to read what the platform has made of them.
pub(super) fn of_app(
    id: &AppId,
    facts: &AppFacts,
    resolving: Option<Resolving>,
    caller: &Caller,
) -> Vec<Finding> {
    let Some(permissions) = facts.permissions.as_ref().filter(|_| !facts.settings.is_gone()) else {
        return Vec::new();
    };
    let granted = permissions.as_ref().map(Vec::as_slice);
    let scope = Scope { id: id.to_string(), role: Role::of_app(), granted, caller };
    let mut findings: Vec<Finding> = scope.untold().into_iter().collect();
    let read = of_places(id, Place::reading, LIST_WHY);
    findings.extend(read.into_iter().map(|need| scope.judge(need, Tried::of(facts.settings.error()))));
    if let Some(resolving) = resolving {
        let resolve = of_places(id, Place::resolving, RESOLVE_WHY);
        findings.extend(resolve.into_iter().map(|need| scope.judge(need, resolving.tried(&need))));
    }
    let write = of_places(id, Place::writing, WRITE_WHY);
    findings.extend(write.into_iter().map(|need| scope.judge(need, Tried::Never)));
    findings
}

impl Resolving {
    fn tried(&self, need: &Need) -> Tried {
        let action = need.operation.actions.first().copied();
        let of_it = |one: &&Refusal| one.kind == ArmErrorKind::Forbidden && one.action == action;
        match self.refused.iter().find(of_it) {
            Some(refusal) => Tried::Refused(refusal.told.clone()),
            None if self.checked && self.refused.is_empty() => Tried::Done,
            None => Tried::Failed,
        }
    }
}

/// The role that lacks where something of an app may not be read.
pub(super) fn role_of_app(id: &AppId, refused: &[Refusal], caller: &Caller) -> Option<String> {
    let mut forbidden = refused.iter().filter(|one| one.kind == ArmErrorKind::Forbidden);
    let (lacks, role) = (forbidden.find_map(|one| one.action)?, Role::of_app());
    fixes::role(caller, role.name, &role.with(lacks), &id.to_string())
}

/// What is needed of an app's places. Those that need the same action are judged once.
fn of_places(id: &AppId, operation: fn(&Place) -> Operation, why: &'static str) -> Vec<Need> {
    let operations = Place::of(&by_value(id)).iter().map(operation).collect::<Vec<_>>();
    let mut needs: Vec<Need> =
        operations.into_iter().map(|operation| Need { operation, severity: Severity::Error, why }).collect();
    needs.dedup_by_key(|need| need.operation.actions);
    needs
}

/// The actions on a container app or static web app. Reading one takes several, all of which were allowed where none was
/// `refused`; behind one that was, others were not come to.
pub(super) fn of_consumer(
    consumer: &ConsumerId,
    granted: &Granted,
    refused: &[Refusal],
    caller: &Caller,
) -> Vec<Finding> {
    if is_gone(granted.as_ref().err()) {
        return Vec::new();
    }
    let scope = Scope::of_consumer(consumer, granted, caller);
    let tried = |need: &Need| {
        let of_it = |one: &&Refusal| {
            one.kind == ArmErrorKind::Forbidden && one.action == need.operation.actions.first().copied()
        };
        match refused.iter().find(of_it) {
            _ if need.operation.is_change() => Tried::Never,
            None if refused.is_empty() => Tried::Done,
            None if refused.iter().all(|one| one.kind != ArmErrorKind::Forbidden) => Tried::Failed,
            None => Tried::NotReached,
            Some(refusal) => Tried::Refused(refusal.told.clone()),
        }
    };
    let judged = needs_of(consumer).into_iter().map(|need| scope.judge(need, tried(&need)));
    scope.untold().into_iter().chain(judged).collect()
}

/// The role that lacks where a consumer may not be read.
pub(super) fn role_of_consumer(
    consumer: &ConsumerId,
    refused: &[Refusal],
    caller: &Caller,
) -> Option<String> {
    let mut forbidden = refused.iter().filter(|one| one.kind == ArmErrorKind::Forbidden);
    let (lacks, role) = (forbidden.find_map(|one| one.action)?, Role::of_consumer(consumer));
    fixes::role(caller, role.name, &role.with(lacks), &consumer.to_string())
}

/// Whether it can be read who wrote an old string back into a consumer. A read without the right is not refused: it is answered
/// as if nobody had written anything.
pub(super) fn of_naming(
    consumer: &ConsumerId,
    granted: Result<&[Permission], &ArmError>,
    caller: &Caller,
) -> Finding {
    let role = match consumer {
        ConsumerId::AppService(_) => Role::of_app(),
        other => Role::of_consumer(other),
    };
    let scope = Scope { id: consumer.to_string(), role, granted, caller };
    scope.judge(Need { operation: LIST, severity: Severity::Warning, why: NAMING_WHY }, Tried::Never)
}

/// A right to write that no read proves.
pub(super) fn of_write(right: &WriteRight, caller: &Caller) -> Finding {
    let WriteRight { of, environment, action, told } = right;
    let subject = environment.clone().unwrap_or_else(|| of.to_string());
    let why = match of {
        ConsumerId::KeyVaultSecret(_) | ConsumerId::KeyValue(_) => STORE_WHY,
        _ => WRITE_WHY,
    };
    let policy = || of.secret().and_then(|secret| fixes::vault_policy(caller, secret));
    match told {
        Told::Granted => Finding::ok(Check::Permission, subject, format!("{action} is granted")),
        Told::Denied { by_policies } => {
            let what = format!("{} may not do {action}", who(caller));
            let fix = match (environment, of) {
                (Some(environment), _) => {
                    fixes::role(caller, "signalr-rekey joins environments", &[*action].into(), environment)
                }
                (None, _) if *by_policies => policy(),
                (None, ConsumerId::KeyVaultSecret(secret)) => fixes::own_secret_role(caller, secret),
                (None, ConsumerId::KeyValue(at)) => fixes::store_role(caller, at),
                (None, _) => None,
            };
            Finding::error(Check::Permission, subject, what, why).fixed_by(fix)
        }
        Told::Untold { why: untold, by_policies } => {
            let what =
                format!("{action} was not tried, for only a write needs it, and nobody tells: {untold}");
            let why =
                format!("if it is not granted, {why}. See what is assigned, before a run has to find out");
            let fix =
                if *by_policies { policy() } else { fixes::show_roles(caller, of, environment.as_deref()) };
            Finding::warning(Check::Permission, subject, what, why).fixed_by(fix)
        }
    }
}

/// Those that no run tries before it has to.
pub(super) fn untried_of_consumer(consumer: &ConsumerId, granted: &Granted, caller: &Caller) -> Vec<Finding> {
    if is_gone(granted.as_ref().err()) {
        return Vec::new();
    }
    let scope = Scope::of_consumer(consumer, granted, caller);
    let changes = needs_of(consumer).into_iter().filter(|need| need.operation.is_change());
    changes.map(|need| scope.judge(need, Tried::Never)).collect()
}

/// What a run needs of a consumer. Those that need the same action are judged once.
fn needs_of(consumer: &ConsumerId) -> Vec<Need> {
    let need = |operation: Operation| {
        let why = if operation.is_change() { WRITE_WHY } else { LIST_WHY };
        Need { operation, severity: Severity::Error, why }
    };
    let mut needs: Vec<Need> = AnyPlace::operations_on(consumer).into_iter().map(need).collect();
    let mut known = BTreeSet::new();
    needs.retain(|need| known.insert(need.operation.actions.first().copied()));
    needs
}

/// The actions on a service that no run tries before it has to. Of one that is gone the run tells.
pub(super) fn untried_of_instance(id: &ServiceId, granted: &Granted, caller: &Caller) -> Vec<Finding> {
    let kind = id.service_type();
    untried(id.to_string(), Role::of_service(kind), granted, caller, &changing(kind))
}

/// The action on an app that no run tries before it has to.
pub(super) fn untried_of_app(id: &AppId, granted: &Granted, caller: &Caller) -> Vec<Finding> {
    untried(id.to_string(), Role::of_app(), granted, caller, &of_places(id, Place::writing, WRITE_WHY))
}

fn untried(id: String, role: Role, granted: &Granted, caller: &Caller, needs: &[Need]) -> Vec<Finding> {
    if is_gone(granted.as_ref().err()) {
        return Vec::new();
    }
    let scope = Scope { id, role, granted: granted.as_ref().map(Vec::as_slice), caller };
    needs.iter().map(|need| scope.judge(*need, Tried::Never)).collect()
}

impl<'a> Scope<'a> {
    fn of_consumer(consumer: &ConsumerId, granted: &'a Granted, caller: &'a Caller) -> Self {
        let role = Role::of_consumer(consumer);
        Self { id: consumer.to_string(), role, granted: granted.as_ref().map(Vec::as_slice), caller }
    }
}

impl Scope<'_> {
    fn judge(&self, need: Need, tried: Tried) -> Finding {
        let action = need.operation.actions.first().copied().unwrap_or_default();
        let granted = self.granted.map(|entries| Permission::grant(entries, action));
        match (granted, tried) {
            (_, Tried::Done) => Finding::ok(Check::Permission, &self.id, format!("{action} was allowed")),
            (Ok(true), Tried::Refused(told)) => {
                let what = format!("{action} is granted by a role but was refused: {told}");
                let why = format!("{}. A deny assignment, a policy or a lock forbids it", need.why);
                Finding::new(need.severity, Check::Permission, &self.id, what, why)
            }
            (Ok(true), _) => Finding::ok(Check::Permission, &self.id, format!("{action} is granted")),
            (Ok(false), _) | (Err(_), Tried::Refused(_)) => {
                let what = format!("{} may not do {action}", who(self.caller));
                let fix = fixes::role(self.caller, self.role.name, &self.role.with(action), &self.id);
                let finding = Finding::new(need.severity, Check::Permission, &self.id, what, need.why);
                finding.fixed_by(fix)
            }
            (Err(_), untried) => {
                let what = format!("it is not known whether {action} is granted: {}", untried.says());
                let why = format!(
                    "if it is not, {}. With Microsoft.Authorization/permissions/read Azure says what is granted",
                    need.why
                );
                Finding::warning(Check::Permission, &self.id, what, why)
            }
        }
    }

    /// That ARM does not tell what is granted.
    fn untold(&self) -> Option<Finding> {
        let error = self.granted.err()?;
        let what = format!("cannot list what is granted here: {}", cause::told(error));
        let why = "permissions were checked by harmless reads only, which say nothing about changes";
        Some(Finding::note(Check::Permission, &self.id, what, why))
    }
}

fn who(caller: &Caller) -> String {
    let Caller { user, object, .. } = caller;
    match (user, object) {
        (Some(user), _) => user.clone(),
        (None, Some(object)) => format!("the object {object}"),
        (None, None) => "the identity".to_owned(),
    }
}

fn is_gone(error: Option<&ArmError>) -> bool {
    error.is_some_and(|error| error.kind() == ArmErrorKind::Gone)
}
