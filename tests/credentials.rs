//! The managed identity of an app, through azure_identity and our HTTP client, against a token endpoint on loopback.
//!
//! azure_identity reads the environment of the process, so the asking is done in a process of its own: this test binary
//! again, with only the ignored test below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod scripted;

use std::sync::Arc;

use scripted::{Reply, Server};
use signalr_rekey::azure::arm::{Arm, ArmOptions};
use signalr_rekey::azure::credentials::credential;
use signalr_rekey::azure::http::Http;
use signalr_rekey::clock::{Clock, SystemClock};
use signalr_rekey::config::{AzureConfig, Cloud};
use signalr_rekey::report::cause;

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

/// What the operator is told where the token endpoint answers so, and whether that passes by itself.
async fn told_where(replies: Vec<Reply>) -> (String, bool) {
    let server = Server::play(replies).await;
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tells_why_there_is_no_token", "--ignored", "--nocapture"])
        .env("IDENTITY_ENDPOINT", format!("{}msi/token", server.base))
        .env("IDENTITY_HEADER", "the-header")
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let told = printed.lines().find_map(|line| line.split_once("told: "));
    let told = told.unwrap_or_else(|| panic!("nothing was told: {printed}")).1.to_owned();
    (told, printed.contains("passing: true"))
}

#[tokio::test]
#[ignore = "run by the tests below, with the environment that it needs"]
async fn tells_why_there_is_no_token() {
    let base: url::Url = "https://management.azure.com".parse().unwrap();
    let azure = AzureConfig { cloud: Cloud::Public, resource_manager: base.clone(), client_id: None };
    let environment = |name: &str| std::env::var(name).ok();
    let (clock, http): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Http::new());
    let credential = credential(&environment, &azure, &http, &clock).unwrap();
    let arm = Arm::new(ArmOptions { base, credential, clock, http, jitter_seed: 1 }).unwrap();
    let error = arm.caller().await.unwrap_err();
    println!("told: {}", cause::told(&error));
    println!("passing: {}", error.is_passing());
}

#[tokio::test]
async fn what_the_token_endpoint_said_is_told() {
    let unassigned = r#"{"statusCode":400,"message":"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.","correlationId":"c"}"#;
    let page = "<html><body>eyJ0eXAiOiJKV1QifQ.page</body></html>";
    let failing =
        || (0..5).map(|_| Reply::json(500, r#"{"statusCode":500,"message":"An unexpected error occured."}"#));
    let gateway = || (0..5).map(|_| Reply::json(502, page));
    let told = futures::future::join_all([
        told_where(vec![Reply::json(400, unassigned)]),
        told_where(vec![Reply::json(
            403,
            r#"{"error":"access_denied","error_description":"not from here"}"#,
        )]),
        told_where(failing().collect()),
        told_where(vec![Reply::json(200, page)]),
        told_where(gateway().collect()),
        told_where(vec![Reply::json(
            200,
            r#"{"access_token":"the-token","expires_on":"09/14/2017 00:00:00 PM +00:00"}"#,
        )]),
    ])
    .await;
    let (told, passing): (Vec<String>, Vec<bool>) = told.into_iter().unzip();
    // Who the identity is stays so; that the endpoint is out of order does not.
    assert_eq!(passing[..3], [false, false, true], "{told:?}");
    let causes: Vec<&str> = told.iter().map(|told| told.split_once("; caused by: ").expect(told).1).collect();
    assert!(!told.concat().contains("the-token") && !told.concat().contains("eyJ"), "{told:?}");
    assert!(told[0].contains("could not get an access token"), "{}", told[0]);
    insta::assert_snapshot!(causes.join("\n"), @r"
    the token endpoint answered 400: No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId (an app that has only a user-assigned identity needs AZURE_CLIENT_ID with its client id)
    the token endpoint answered 403: access_denied, not from here
    the token endpoint answered 500: An unexpected error occured
    the token endpoint answered 200 with an HTML page; check what answers there
    the token endpoint answered 502 with an HTML page; check what answers there
    the token endpoint's answer is not in the form of its contract
    ");
}
