//! `status --web`: the status page for a browser on this machine, read from the storage as whoever types it.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value};

use super::instances::rekey;
use crate::compose::silent;
use crate::config::{Environment, StateConfig};
use crate::engine::Engine;
use crate::handler::{Content, StatusAsked};
use crate::loopback::{Door, refused, shown};
use crate::report::cause;
use crate::report::text::{command as text, notice, overview};
use crate::terminal::{self, Exit, stopped};

/// Shows the page until it is told to stop.
pub(super) async fn web(environment: &Environment) -> Exit {
    match serve(environment).await {
        Ok(exit) => exit,
        Err(error) => {
            terminal::complain(&cause::because(text::WEB_NO_PORT, Some(&error)));
            Exit::Failed
        }
    }
}

async fn serve(environment: &Environment) -> std::io::Result<Exit> {
    let engine = match rekey(environment, silent()) {
        Ok(engine) => engine,
        Err(exit) => return Ok(exit),
    };
    if engine.config.state == StateConfig::Memory {
        terminal::complain(&text::web_no_journal());
        return Ok(Exit::Wrong);
    }
    let door = Door::open().await?;
    terminal::say(door.url());
    terminal::mention(text::WEB_READY);
    tokio::select! {
        served = door.serve(get(show).with_state(Arc::new(engine))) => served?,
        () = stopped() => {}
    }
    Ok(Exit::Done)
}

/// What the function `Status` would answer.
async fn show(State(engine): State<Arc<Engine>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let query: Map<String, Value> = query.into_iter().map(|(name, value)| (name, value.into())).collect();
    let asked = match StatusAsked::read(query) {
        Ok(asked) => asked,
        Err(malformed) => return refused(StatusCode::BAD_REQUEST, notice::not_a_question(&malformed)),
    };
    match engine.shown(&asked).await {
        Ok(Some(Content::Json(page))) => shown(&[("content-type", "application/json")], page.to_string()),
        Ok(Some(Content::Page { body, headers })) => {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            shown(&headers, body)
        }
        Ok(None) => refused(StatusCode::NOT_FOUND, overview::NO_SUCH_SERVICE.to_owned()),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, overview::no_overview(cause::told(&error))),
    }
}
