//! A page for a browser on this machine.
//!
//! It is served on loopback alone, and nothing is answered but its own address, which nobody can guess: other users of the
//! machine, and pages that a browser has open, can reach the port too.

use std::io;
use std::net::Ipv4Addr;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokio::net::TcpListener;

/// An address that is not served yet; who calls meanwhile waits.
pub(crate) struct Door {
    listener: TcpListener,
    path: String,
    url: String,
}

impl Door {
    /// At any free port.
    pub(crate) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let path = format!("/{}", uuid::Uuid::new_v4().simple());
        let url = format!("http://{}{path}", listener.local_addr()?);
        Ok(Self { listener, path, url })
    }

    /// What to type into a browser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Answers whoever knows the address, until it is dropped.
    pub(crate) async fn serve(self, show: MethodRouter) -> io::Result<()> {
        axum::serve(self.listener, Router::new().route(&self.path, show)).await
    }
}

/// What is shown, with its headers. Nobody stores it.
pub(crate) fn shown(headers: &[(&'static str, &str)], body: String) -> Response {
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    });
    let mut headers: HeaderMap = headers.collect();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (headers, body).into_response()
}

/// Why nothing is: as text, which a browser shows as it is.
pub(crate) fn refused(status: StatusCode, why: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], why).into_response()
}
