//! An app that Azure does not find: whether it was deleted, moved, or never there under this id.
//!
//! The name of a site is its host name, which nobody else can have while it is there; moving it to another resource group
//! changes its id and nothing else. So a list of all sites of the subscription tells the two apart, and only that: without
//! the right to it (the deployed identity has none by default) nobody can tell, and whoever was seen before may still hold
//! what it held.

use crate::arm::{Arm, ArmError, Site};
use crate::cause;
use crate::model::AppId;
use crate::plan::Whereabouts;

/// What could be found out of an app that Azure does not find.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) place: Place,
    /// What may be meant by its id.
    pub(super) meant: Option<AppId>,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Place {
    /// The sites were listed, and none is it.
    Nowhere,
    /// It is somewhere, or may be.
    Known(Whereabouts),
}

/// How far an id may be from one that is meant; as far as Jaro and Winkler put `chat-fnc` and `chat-func`, and no further
/// than two names that share their first half.
const LIKE: f64 = 0.8;

/// Looks for an app among the sites that there are.
pub(super) async fn look_for(arm: &Arm, app: &AppId) -> Missing {
    let sites = match arm.list_sites(app.subscription()).await {
        Ok(sites) => sites,
        Err(error) => {
            // Those of its group may be listed all the same, which is good enough for a hint.
            let group = arm.list_group_sites(app.subscription(), app.group()).await.unwrap_or_default();
            let place = Place::Known(unlisted(&error));
            return Missing { place, meant: likest(app, &with_slot(&group, app)) };
        }
    };
    let named: Vec<&AppId> = sites.iter().map(|site| &site.id).filter(|id| is_of_name(id, app)).collect();
    match named[..] {
        [] => Missing { place: Place::Nowhere, meant: likest(app, &with_slot(&in_group(&sites, app), app)) },
        [id] if is_same_site(id, app) => at_its_site(arm, app).await,
        [id, ..] => {
            let moved = AppId::new(id.subscription(), id.group(), id.site(), app.slot());
            Missing { place: Place::Known(Whereabouts::Moved(moved.clone())), meant: Some(moved) }
        }
    }
}

/// The site is there: a slot of it may have been deleted.
async fn at_its_site(arm: &Arm, app: &AppId) -> Missing {
    if app.slot().is_none() {
        let why = "Azure lists it and does not find it".to_owned();
        return Missing { place: Place::Known(Whereabouts::Unclear(why)), meant: None };
    }
    match arm.list_slots(app).await {
        Ok(slots) if slots.iter().any(|slot| slot.id == *app) => {
            let why = "Azure lists it and does not find it".to_owned();
            Missing { place: Place::Known(Whereabouts::Unclear(why)), meant: None }
        }
        Ok(slots) => {
            let ids: Vec<AppId> = slots.into_iter().map(|slot| slot.id).collect();
            Missing { place: Place::Nowhere, meant: likest(app, &ids) }
        }
        Err(error) => Missing { place: Place::Known(unlisted(&error)), meant: None },
    }
}

fn unlisted(error: &ArmError) -> Whereabouts {
    Whereabouts::Unclear(format!("the sites of its subscription cannot be listed: {}", cause::told(error)))
}

fn is_of_name(id: &AppId, app: &AppId) -> bool {
    id.site().eq_ignore_ascii_case(app.site())
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

fn likest(app: &AppId, candidates: &[AppId]) -> Option<AppId> {
    let likeness = |id: &AppId| strsim::jaro_winkler(&id.name().to_lowercase(), &app.name().to_lowercase());
    let rated = candidates.iter().map(|id| (likeness(id), id));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 >= LIKE).then(|| best.1.clone())
}
