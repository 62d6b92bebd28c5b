//! The overviews of services: kept when runs end, and shown to who looks.

use axum::http::StatusCode;
use serde_json::json;

use super::{Dispatcher, Engine};
use crate::handler::{Content, Outcome, Reply, StatusAsked};
use crate::overview::kept;
use crate::overview::page::Page;
use crate::report::cause;
use crate::report::text::overview as words;
use crate::schedule;

impl Engine {
    /// Keeps what runs have told of their services, after everything else. That it could not be is told; whoever looks sees that
    /// what he is shown is old.
    pub(super) async fn keep_overviews(&self) {
        let told = std::mem::take(&mut *self.overviews.lock());
        if told.is_empty() {
            return;
        }
        if let Err(error) = kept::write(&*self.store, &self.config, told).await {
            tracing::warn!("{}", words::not_kept(cause::told(&error)));
        }
    }
}

impl Dispatcher {
    /// Shows how the services stand, by what runs have told. Azure is not asked.
    pub(super) async fn status(&self, asked: &StatusAsked) -> Outcome {
        let engine = self.engine();
        let known = match kept::read(&*engine.store, &engine.config).await {
            Ok(known) => known,
            Err(error) => {
                let unfinished = error.is_passing();
                let why = words::no_overview(cause::told(&error));
                return Outcome { failure: Some(why), unfinished, ..Outcome::default() };
            }
        };
        let now = engine.clock.now();
        let page = Page::new(known, now, schedule::usual_gap(engine.config.schedule.as_deref(), now));
        let page = match &asked.instance {
            Some(named) => page.only(named),
            None => Some(page),
        };
        let Some(page) = page else {
            let content = Content::Json(json!({}));
            let reply = Some(Reply { status: StatusCode::NOT_FOUND, content });
            return Outcome { failure: Some(words::NO_SUCH_SERVICE.to_owned()), reply, ..Outcome::default() };
        };
        let content = if asked.json {
            Content::Json(json!(page))
        } else {
            let rendered = page.render();
            Content::Page { body: rendered.body, headers: rendered.headers.to_vec() }
        };
        Outcome { reply: Some(Reply { status: StatusCode::OK, content }), ..Outcome::default() }
    }
}
