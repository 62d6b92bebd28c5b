//! The least that a custom handler can be: axum on tokio, one JSON answer to a ping, one to a posted JSON body.

use std::io;
use std::net::Ipv4Addr;

use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// By its being set the executable knows that it is to be the bare server, and on which port.
pub(crate) const PORT: &str = "BARE_SERVER_PORT";

pub(crate) fn port() -> Option<u16> {
    std::env::var(PORT).ok()?.parse().ok()
}

/// Serves until it is killed.
pub(crate) fn serve(port: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router()).await
    })
}

fn router() -> Router {
    let ready = async || Json(json!({ "name": "bare", "version": "0" }));
    // What the host needs of an answer, and not a byte more.
    let notice = async |Json(_): Json<Value>| Json(json!({ "Outputs": {}, "Logs": [], "ReturnValue": null }));
    Router::new().route("/", get(ready)).route("/OnKeyNotice", post(notice))
}
