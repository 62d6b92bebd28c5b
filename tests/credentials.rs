//! The managed identity of an app, through azure_identity and our HTTP client, against a token endpoint on loopback.
//!
//! azure_identity reads the environment of the process, so the asking is done in a process of its own: this test binary
//! again, with only the ignored test below.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod scripted;

use std::sync::Arc;

use scripted::{Reply, Server};
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::config::{AzureConfig, Cloud};
use signalr_rekey::credentials::credential;
use signalr_rekey::http::Http;

/// The answer of the App Service token endpoint (docs: How to use managed identities for App Service).
const TOKEN: &str = r#"{"access_token":"the-token","expires_on":"4102444800","resource":"https://management.azure.com",
    "token_type":"Bearer","client_id":"5E29463D-71DA-4FE0-8E69-999B57DB23B0"}"#;

#[tokio::test]
async fn the_managed_identity_is_asked_directly_and_once() {
    let server = Server::play([Reply::json(200, TOKEN)]).await;
    let status = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "asks_twice_for_a_token", "--ignored"])
        .env("IDENTITY_ENDPOINT", format!("{}msi/token", server.base))
        .env("IDENTITY_HEADER", "the-header")
        // A proxy that is not there: who asks through it gets nothing.
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .status()
        .await
        .unwrap();
    assert!(status.success());
    let [asked] = server.asked().try_into().unwrap();
    assert_eq!(asked.header("x-identity-header"), Some("the-header"));
    for part in ["GET /msi/token?", "api-version=2019-08-01", "client_id=me", "management.azure.com"] {
        assert!(asked.line.contains(part), "{}", asked.line);
    }
}

#[tokio::test]
#[ignore = "run by the test above, with the environment that it needs"]
async fn asks_twice_for_a_token() {
    let resource_manager = "https://management.azure.com".parse().unwrap();
    let azure = AzureConfig { cloud: Cloud::Public, resource_manager, client_id: Some("me".into()) };
    let environment = |name: &str| std::env::var(name).ok();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let credential = credential(&environment, &azure, &Http::new(), &clock).unwrap();
    for _ in 0..2 {
        let token = credential.get_token(&["https://management.azure.com/.default"], None).await.unwrap();
        assert_eq!(token.token.secret(), "the-token");
    }
}
