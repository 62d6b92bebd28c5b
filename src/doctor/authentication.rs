//! App Service authentication in front of the function app itself, which would stand in front of its triggers too.

use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::arm::ArmError;
use crate::azure::consumers::app_service::Authentication;
use crate::report::cause;
use rekey_core::model::AppId;

/// What calls without having signed in: Event Grid, action groups and agents. Each shows a key of its own.
const CALLED: [&str; 3] = ["/runtime/webhooks/EventGrid", "/api/OnAlert", "/api/OnReport"];

pub(super) fn check(own: &AppId, found: &Result<Option<Authentication>, ArmError>) -> Finding {
    let authentication = match found {
        Ok(None) => {
            return Finding::ok(
                Check::Environment,
                own,
                "no App Service authentication stands in front of it",
            );
        }
        Ok(Some(authentication)) => authentication,
        Err(error) => {
            let what = format!("its App Service authentication was not checked: {}", cause::told(error));
            let why = "where it asks for a sign-in and leaves no paths out, no event and no alert arrives";
            return Finding::note(Check::Environment, own, what, why);
        }
    };
    let closed: Vec<&str> = CALLED.into_iter().filter(|path| authentication.is_required_for(path)).collect();
    if closed.is_empty() {
        let what = "its App Service authentication lets events, alerts and reports through";
        return Finding::ok(Check::Environment, own, what);
    }
    let what = format!("App Service authentication asks for a sign-in at {}", closed.join(", "));
    let why = "Event Grid, action groups and agents cannot sign in and are refused, so a forced regeneration is heard of only by \
               the timer";
    let excluded: Vec<&str> = authentication.excluded().chain(closed).collect();
    let fix = fixes::excluded_paths(own, &excluded.join(","));
    Finding::error(Check::Environment, own, what, why).fixed_by(Some(fix))
}
