//! The overviews of services: kept when runs end, and shown to who looks.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use super::{Dispatcher, Engine};
use crate::handler::{Content, Outcome, Reply, StatusAsked};
use crate::overview::page::Page;
use crate::overview::{Rhythm, kept};
use crate::report::cause;
use crate::report::text::overview as words;
use crate::report::text::rounded;
use crate::store::StoreError;

/// How long the storage may take: whoever waits for the answer of a run waits for this as well.
const PATIENCE: Duration = Duration::from_secs(4);

impl Engine {
    /// Keeps what runs have told of their services, after everything else. That it could not be is told; whoever looks sees that
    /// what he is shown is old. It takes no longer than [`PATIENCE`].
    pub(super) async fn keep_overviews(&self) {
        let told = std::mem::take(&mut *self.overviews.lock());
        if told.is_empty() {
            return;
        }
        let rhythm = Rhythm::of(&self.config, self.clock.now());
        let kept = kept::write(&*self.store, &self.config, &told, rhythm, Some(self.clock.now()));
        let kept = tokio::time::timeout(PATIENCE, kept).await;
        if let Some(metrics) = &self.metrics {
            // With what was known before; without it, where the storage does not tell.
            metrics.observe(kept.as_ref().ok().and_then(|kept| kept.as_deref().ok()).unwrap_or(&told));
        }
        let why = match kept {
            Ok(Ok(known)) => return self.note_tags(known),
            Ok(Err(error)) => cause::told(&error),
            Err(_) => words::no_answer_within(rounded(PATIENCE)),
        };
        tracing::warn!("{}", words::not_kept(why));
    }
}

impl Engine {
    /// How the services stand by what runs have told; nothing where none is named so. Azure is not asked.
    pub(crate) async fn shown(&self, asked: &StatusAsked) -> Result<Option<Content>, StoreError> {
        let known = match &asked.instance {
            Some(named) => kept::read_named(&*self.store, &self.config, named).await?,
            None => kept::read(&*self.store, &self.config).await?,
        };
        if asked.instance.is_some() && known.services.is_empty() {
            return Ok(None);
        }
        let page = Page::new(known.services, known.at);
        Ok(Some(match asked.json {
            true => Content::Json(json!(page)),
            false => {
                let rendered = page.render();
                Content::Page { body: rendered.body, headers: rendered.headers.to_vec() }
            }
        }))
    }
}

impl Dispatcher {
    /// Answers whoever looks.
    pub(super) async fn status(&self, asked: &StatusAsked) -> Outcome {
        let (status, content, failure) = match self.engine().shown(asked).await {
            Ok(Some(content)) => (StatusCode::OK, content, None),
            Ok(None) => {
                (StatusCode::NOT_FOUND, Content::Json(json!({})), Some(words::NO_SUCH_SERVICE.to_owned()))
            }
            Err(error) => {
                let why = words::no_overview(cause::told(&error));
                return Outcome { failure: Some(why), unfinished: error.is_passing(), ..Outcome::default() };
            }
        };
        Outcome { failure, reply: Some(Reply { status, content }), ..Outcome::default() }
    }
}
