//! Microsoft.App (swagger 2024-03-01).

use super::{GET, PATCH, POST, Route, arm, permissions};
use crate::arm::containers::{self, executions, revisions};

macro_rules! app {
    ($rest:literal) => {
        concat!(group!("/providers/Microsoft.App/containerApps/{name}"), $rest)
    };
}

macro_rules! revision {
    ($rest:literal) => {
        concat!(app!("/revisions/{revision}"), $rest)
    };
}

macro_rules! job {
    ($rest:literal) => {
        concat!(group!("/providers/Microsoft.App/jobs/{name}"), $rest)
    };
}

macro_rules! location {
    ($rest:literal) => {
        concat!("/subscriptions/{subscription}/providers/Microsoft.App/locations/{location}", $rest)
    };
}

pub(super) static ROUTES: &[Route] = &[
    arm(
        GET,
        "/subscriptions/{subscription}/providers/Microsoft.App/containerApps",
        "ContainerApps_ListBySubscription",
        containers::list,
    ),
    arm(
        GET,
        group!("/providers/Microsoft.App/containerApps"),
        "ContainerApps_ListByResourceGroup",
        containers::list,
    ),
    arm(GET, app!(""), "ContainerApps_Get", containers::get),
    arm(PATCH, app!(""), "ContainerApps_Update", containers::update),
    arm(POST, app!("/listSecrets"), "ContainerApps_ListSecrets", containers::list_secrets),
    arm(GET, app!("/revisions"), "ContainerAppsRevisions_ListRevisions", revisions::list),
    arm(GET, revision!(""), "ContainerAppsRevisions_GetRevision", revisions::get),
    arm(POST, revision!("/restart"), "ContainerAppsRevisions_RestartRevision", revisions::restart),
    arm(POST, revision!("/activate"), "ContainerAppsRevisions_ActivateRevision", revisions::activate),
    arm(POST, revision!("/deactivate"), "ContainerAppsRevisions_DeactivateRevision", revisions::deactivate),
    arm(GET, revision!("/replicas"), "ContainerAppsRevisionReplicas_ListReplicas", revisions::replicas),
    arm(
        GET,
        app!("/providers/Microsoft.Authorization/permissions"),
        "Permissions_ListForContainerApp",
        permissions,
    ),
    // Not in the swagger; the names are those of the actions in a role.
    arm(
        GET,
        location!("/containerappOperationResults/{operation}"),
        "ContainerApps_OperationResults",
        containers::operation_result,
    ),
    arm(
        GET,
        location!("/containerappsjobOperationResults/{operation}"),
        "Jobs_OperationResults",
        containers::operation_result,
    ),
    arm(
        GET,
        "/subscriptions/{subscription}/providers/Microsoft.App/jobs",
        "Jobs_ListBySubscription",
        containers::list,
    ),
    arm(GET, group!("/providers/Microsoft.App/jobs"), "Jobs_ListByResourceGroup", containers::list),
    arm(GET, job!(""), "Jobs_Get", containers::get),
    arm(PATCH, job!(""), "Jobs_Update", containers::update),
    arm(POST, job!("/listSecrets"), "Jobs_ListSecrets", containers::list_secrets),
    arm(POST, job!("/start"), "Jobs_Start", executions::start),
    arm(GET, job!("/executions"), "JobsExecutions_List", executions::list),
    arm(GET, job!("/executions/{execution}"), "Job_Execution", executions::get),
    arm(GET, job!("/providers/Microsoft.Authorization/permissions"), "Permissions_ListForJob", permissions),
];
