//! What the identity must be allowed to do: what the kinds of services and consumers declare, put together.

use std::collections::BTreeSet;

use super::activity_log;
use super::arm::{self, AskedBy, Operation};
use super::consumers::Place;
use super::resources;
use super::services::KeyService;
use super::tags;
use rekey_core::model::ServiceType;

/// Every operation of the client, with the Azure RBAC actions that it needs.
pub fn operations() -> Vec<Operation> {
    let services = ServiceType::ALL.into_iter().flat_map(|kind| kind.operations().all());
    let others = resources::OPERATIONS.into_iter().chain([activity_log::LIST, tags::UPDATE]);
    services.chain(Place::operations()).chain(arm::OPERATIONS).chain(others).collect()
}

/// The actions of what the deployed handler asks for, of these, that a role on the resource itself can allow. Those below
/// `locations/` are of its subscription.
pub fn on_the_resource(operations: impl IntoIterator<Item = Operation>) -> BTreeSet<&'static str> {
    let of_handler = operations.into_iter().filter(|operation| operation.asked_by == AskedBy::Handler);
    let actions = of_handler.flat_map(|operation| operation.actions).copied();
    actions.filter(|action| !action.contains("/locations/")).collect()
}

/// The actions that it needs besides where it is to name who wrote an old string back.
pub fn naming_writers() -> impl Iterator<Item = &'static str> {
    activity_log::LIST.actions.iter().copied()
}

/// The actions that it needs on a service besides where it is to tag it.
pub fn tagging() -> impl Iterator<Item = &'static str> {
    tags::UPDATE.actions.iter().copied()
}

/// Those that the deployed handler asks for. Kept by `tests/infra.rs`, which plays rotations and compares, and which compares
/// the roles in `infra/` with the actions of exactly these.
pub fn of_handler() -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(|operation| operation.asked_by == AskedBy::Handler)
}
