//! `status --web`: the status page for a browser on this machine, read from the storage as whoever types it.
//!
//! It listens on loopback alone, and answers nothing but its own address, which nobody can guess: other users of the machine, and
//! pages that a browser has open, can reach the port too.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use super::instances::rekey;
use crate::compose::silent;
use crate::config::{Environment, StateConfig};
use crate::engine::Engine;
use crate::handler::{Content, StatusAsked};
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
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let path = format!("/{}", uuid::Uuid::new_v4().simple());
    let router = Router::new().route(&path, get(show)).with_state(Arc::new(engine));
    terminal::say(&format!("http://{}{path}", listener.local_addr()?));
    terminal::complain(text::WEB_READY);
    axum::serve(listener, router).with_graceful_shutdown(stopped()).await?;
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
        Ok(Some(Content::Json(page))) => with(&[("content-type", "application/json")], page.to_string()),
        Ok(Some(Content::Page { body, headers })) => {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            with(&headers, body)
        }
        Ok(None) => refused(StatusCode::NOT_FOUND, overview::NO_SUCH_SERVICE.to_owned()),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, overview::no_overview(cause::told(&error))),
    }
}

fn with(headers: &[(&'static str, &str)], body: String) -> Response {
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    });
    let headers: HeaderMap =
        [(CACHE_CONTROL, HeaderValue::from_static("no-store"))].into_iter().chain(headers).collect();
    (headers, body).into_response()
}

/// As text, which a browser shows as it is.
fn refused(status: StatusCode, why: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], why).into_response()
}
