//! An app that Azure does not find: whether it was deleted, moved, or never there under this id.
//!
//! The name of a site is its host name, which nobody else can have while it is there; moving it to another resource group or
//! subscription changes its id and nothing else. So lists of all sites tell the two apart, and only they, if they can be
//! believed: without the right to them (the deployed identity has none by default) nobody can tell, and whoever was seen
//! before may still hold what it held. Lists were seen to be empty, or partial, with a 200 (azure-cli#29495): a list is
//! believed only if it shows the other apps that were read just now.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::Site;
use crate::azure::arm::{Arm, ArmError};
use crate::azure::consumers::{Absence, Missing};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::model::{AppId, ConsumerId, likest};
use rekey_core::plan::Whereabouts;

/// Looks for an app among the sites that there are. `there` are apps that were read just now, and vouch for a list.
pub(super) async fn look_for(arm: &Arm, app: &AppId, there: &BTreeSet<ConsumerId>) -> Missing {
    let sites = match arm.list_sites(app.subscription()).await {
        Ok(sites) => sites,
        Err(error) => {
            // Those of its group may be listed all the same, which is good enough for a hint.
            let group = arm.list_group_sites(app.subscription(), app.group()).await.unwrap_or_default();
            let absence = Absence::Elsewhere(unlisted(&error));
            return Missing { absence, meant: meant(app, &with_slot(&group, app)) };
        }
    };
    if sites.iter().any(|site| is_same_site(&site.id, app)) {
        return at_its_site(arm, app).await;
    }
    if let Some(moved) = namesake(&sites, app) {
        return Missing {
            absence: Absence::Elsewhere(Whereabouts::Moved(moved.clone().into())),
            meant: Some(moved.into()),
        };
    }
    let meant = meant(app, &with_slot(&in_group(&sites, app), app));
    let absence = if vouched_for(&sites, app, there) {
        elsewhere(arm, app).await
    } else {
        Absence::Elsewhere(Whereabouts::Unclear(words::NOTHING_TO_COMPARE.to_owned()))
    };
    Missing { absence, meant }
}

/// Whether a list shows all apps of the subscription that were read just now, and at least one.
fn vouched_for(sites: &[Site], app: &AppId, there: &BTreeSet<ConsumerId>) -> bool {
    let sites_read = there.iter().map(|ConsumerId::AppService(app)| app);
    let of_it = |one: &&AppId| one.subscription().eq_ignore_ascii_case(app.subscription());
    let mut others = sites_read.filter(of_it).peekable();
    others.peek().is_some() && others.all(|other| sites.iter().any(|site| is_same_site(&site.id, other)))
}

/// The other subscriptions that the identity can see: it may have been moved there.
async fn elsewhere(arm: &Arm, app: &AppId) -> Absence {
    let unclear =
        |error: &ArmError| Absence::Elsewhere(Whereabouts::Unclear(words::unsearched(cause::told(error))));
    let subscriptions = match arm.list_subscriptions().await {
        Ok(subscriptions) => subscriptions,
        Err(error) => return unclear(&error),
    };
    let others = subscriptions.iter().filter(|one| !one.id.eq_ignore_ascii_case(app.subscription()));
    let lists = join_all(others.map(|one| arm.list_sites(&one.id))).await;
    let moved = lists.iter().flatten().find_map(|sites| namesake(sites, app));
    match (moved, lists.iter().find_map(|list| list.as_ref().err())) {
        (Some(moved), _) => Absence::Elsewhere(Whereabouts::Moved(moved.into())),
        (None, Some(error)) => unclear(error),
        (None, None) => Absence::Deleted,
    }
}

/// The site is there: a slot of it may have been deleted.
async fn at_its_site(arm: &Arm, app: &AppId) -> Missing {
    let listed_all_the_same = || {
        let why = words::LISTED.to_owned();
        Missing { absence: Absence::Elsewhere(Whereabouts::Unclear(why)), meant: None }
    };
    if app.slot().is_none() {
        return listed_all_the_same();
    }
    match arm.list_slots(app).await {
        Ok(slots) if slots.iter().any(|slot| slot.id == *app) => listed_all_the_same(),
        Ok(slots) => {
            let ids: Vec<AppId> = slots.into_iter().map(|slot| slot.id).collect();
            Missing { absence: Absence::Deleted, meant: meant(app, &ids) }
        }
        Err(error) => Missing { absence: Absence::Elsewhere(unlisted(&error)), meant: None },
    }
}

fn unlisted(error: &ArmError) -> Whereabouts {
    Whereabouts::Unclear(words::unlisted(cause::told(error)))
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

fn meant(app: &AppId, candidates: &[AppId]) -> Option<ConsumerId> {
    likest(&app.name(), candidates.iter().map(|id| (id.name(), id))).map(ConsumerId::from)
}
