//! An app that Azure does not find: whether it was deleted, moved, or never there under this id.
//!
//! The name of a site is its host name, which nobody else can have while it is there; moving it to another resource group or
//! subscription changes its id and nothing else. So lists of all sites tell the two apart, and only they, if they can be
//! believed: without the right to them (the deployed identity has none by default) nobody can tell, and whoever was seen
//! before may still hold what it held. Lists were seen to be empty, or partial, with a 200 (azure-cli#29495): a list is
//! believed only if it shows the other apps that were read just now.

use std::collections::BTreeSet;

use futures::future::join_all;

use crate::azure::arm::{Arm, ArmError, Site};
use crate::report::cause;
use crate::report::text::azure::whereabouts as words;
use rekey_core::model::{AppId, likest};
use rekey_core::plan::Whereabouts;

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

/// Looks for an app among the sites that there are. `there` are apps that were read just now, and vouch for a list.
pub(super) async fn look_for(arm: &Arm, app: &AppId, there: &BTreeSet<AppId>) -> Missing {
    let sites = match arm.list_sites(app.subscription()).await {
        Ok(sites) => sites,
        Err(error) => {
            // Those of its group may be listed all the same, which is good enough for a hint.
            let group = arm.list_group_sites(app.subscription(), app.group()).await.unwrap_or_default();
            let place = Place::Known(unlisted(&error));
            return Missing { place, meant: meant(app, &with_slot(&group, app)) };
        }
    };
    if sites.iter().any(|site| is_same_site(&site.id, app)) {
        return at_its_site(arm, app).await;
    }
    if let Some(moved) = namesake(&sites, app) {
        return Missing { place: Place::Known(Whereabouts::Moved(moved.clone())), meant: Some(moved) };
    }
    let meant = meant(app, &with_slot(&in_group(&sites, app), app));
    let place = if vouched_for(&sites, app, there) {
        elsewhere(arm, app).await
    } else {
        Place::Known(Whereabouts::Unclear(words::NOTHING_TO_COMPARE.to_owned()))
    };
    Missing { place, meant }
}

/// Whether a list shows all apps of the subscription that were read just now, and at least one.
fn vouched_for(sites: &[Site], app: &AppId, there: &BTreeSet<AppId>) -> bool {
    let of_it = |one: &&AppId| one.subscription().eq_ignore_ascii_case(app.subscription());
    let mut others = there.iter().filter(of_it).peekable();
    others.peek().is_some() && others.all(|other| sites.iter().any(|site| is_same_site(&site.id, other)))
}

/// The other subscriptions that the identity can see: it may have been moved there.
async fn elsewhere(arm: &Arm, app: &AppId) -> Place {
    let unclear =
        |error: &ArmError| Place::Known(Whereabouts::Unclear(words::unsearched(&cause::told(error))));
    let subscriptions = match arm.list_subscriptions().await {
        Ok(subscriptions) => subscriptions,
        Err(error) => return unclear(&error),
    };
    let others = subscriptions.iter().filter(|one| !one.id.eq_ignore_ascii_case(app.subscription()));
    let lists = join_all(others.map(|one| arm.list_sites(&one.id))).await;
    let moved = lists.iter().flatten().find_map(|sites| namesake(sites, app));
    match (moved, lists.iter().find_map(|list| list.as_ref().err())) {
        (Some(moved), _) => Place::Known(Whereabouts::Moved(moved)),
        (None, Some(error)) => unclear(error),
        (None, None) => Place::Nowhere,
    }
}

/// The site is there: a slot of it may have been deleted.
async fn at_its_site(arm: &Arm, app: &AppId) -> Missing {
    let listed_all_the_same = || {
        let why = words::LISTED.to_owned();
        Missing { place: Place::Known(Whereabouts::Unclear(why)), meant: None }
    };
    if app.slot().is_none() {
        return listed_all_the_same();
    }
    match arm.list_slots(app).await {
        Ok(slots) if slots.iter().any(|slot| slot.id == *app) => listed_all_the_same(),
        Ok(slots) => {
            let ids: Vec<AppId> = slots.into_iter().map(|slot| slot.id).collect();
            Missing { place: Place::Nowhere, meant: meant(app, &ids) }
        }
        Err(error) => Missing { place: Place::Known(unlisted(&error)), meant: None },
    }
}

fn unlisted(error: &ArmError) -> Whereabouts {
    Whereabouts::Unclear(words::unlisted(&cause::told(error)))
}

/// The app as it is called now, if there is a site of its name.
fn namesake(sites: &[Site], app: &AppId) -> Option<AppId> {
    let site = sites.iter().find(|site| site.id.site().eq_ignore_ascii_case(app.site()))?;
    Some(AppId::new(site.id.subscription(), site.id.group(), site.id.site(), app.slot()))
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

fn meant(app: &AppId, candidates: &[AppId]) -> Option<AppId> {
    likest(&app.name(), candidates.iter().map(|id| (id.name(), id))).cloned()
}
