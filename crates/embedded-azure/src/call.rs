//! A request as the handlers see it, and their answer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::faults::FaultKind;

/// One request, read to its end.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Under which scheme and host the client sees us: links in answers start with it.
    pub(crate) base: String,
    pub(crate) host: String,
    pub(crate) path: String,
    /// The query as it was sent.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What the `{names}` of the route's pattern stand for.
    pub(crate) params: BTreeMap<&'static str, String>,
    /// The fault that this request meets, where the handler itself must act on it.
    pub(crate) fault: Option<FaultKind>,
    /// The fault's delay.
    pub(crate) delay: Duration,
}

/// What goes back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Content>,
}

/// What an answer says, and in which form.
pub(crate) enum Content {
    Json(Value),
    Xml(String),
    Html(&'static str),
}

/// An answer either way; the error side exists for `?`.
pub(crate) type Answered = Result<Answer, Answer>;

impl Call {
    /// Host and port of the base.
    pub(crate) fn authority(&self) -> &str {
        self.base.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The part of the path that the pattern calls `name`.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token of the `Authorization` header.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The instance, `site`, `site/slot`, container app, job, static web app, `static web app/build`, vault, `vault/secret`,
    /// store or `store/key` it is about; empty if it is about none.
    pub(crate) fn resource(&self) -> String {
        match (self.param("store"), self.param("key")) {
            ("", _) => {}
            (store, "") => return store.to_owned(),
            (store, key) => return format!("{store}/{key}"),
        }
        match (self.param("vault"), self.param("secret")) {
            ("", _) => {}
            (vault, "") => return vault.to_owned(),
            (vault, secret) => return format!("{vault}/{secret}"),
        }
        match (self.param("name"), self.param("slot"), self.param("build")) {
            (name, "", "") => name.to_owned(),
            (name, slot, build) => format!("{name}/{slot}{build}"),
        }
    }
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(Content::Json(body)) }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    pub(crate) fn xml(text: String) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body: Some(Content::Xml(text)) }
    }

    pub(crate) fn html(text: &'static str) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body: Some(Content::Html(text)) }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    /// An error in ARM's shape (swagger common-types: ErrorResponse).
    pub(crate) fn error(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self::new(status, json!({"error": {"code": code, "message": message.into()}}))
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> Option<&str> {
        match &self.body {
            Some(Content::Json(body)) => body["error"]["code"].as_str(),
            _ => None,
        }
    }

    /// A header that it has by now.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let content = self.body.map(|content| match content {
            Content::Json(body) => ("application/json; charset=utf-8", body.to_string()),
            Content::Xml(text) => ("application/xml", text),
            Content::Html(text) => ("text/html; charset=utf-8", text.to_owned()),
        });
        let kind = content.as_ref().map(|(kind, _)| *kind);
        let mut response = Response::new(content.map_or_else(Body::empty, |(_, text)| Body::from(text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}
