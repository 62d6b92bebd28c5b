//! The prober of keys, against a server that answers as it is told in the place of the embedded Azure.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod scripted;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rekey_core::model::{Key, ServiceType};
use scripted::{LeapingClock, Reply, Server};
use signalr_rekey::azure::data_plane::{DataPlane, Probe};
use signalr_rekey::azure::http::Http;
use signalr_rekey::azure::services::KeyService;
use signalr_rekey::clock::SystemClock;
use url::Url;

const HOST: &str = "chat.service.signalr.net";

fn prober(gateway: &Url) -> DataPlane {
    DataPlane::new(Http::new(), Some(gateway.clone()), Arc::new(SystemClock)).unwrap()
}

#[tokio::test]
async fn a_probe_is_signed_for_the_service_and_sent_to_the_gateway() {
    let server =
        Server::play([Reply::with(404, &[("x-ms-error-code", "Warning.User.NotExisted")], "")]).await;
    let key = Key::new("a-key-that-is-no-base64");
    assert_eq!(ServiceType::SignalR.probe(&prober(&server.base), HOST, &key).await, Probe::Accepted);
    let [asked] = server.asked().try_into().unwrap();
    assert_eq!(asked.header("host"), Some(HOST));
    let path = asked.line.strip_prefix("HEAD ").unwrap().strip_suffix(" HTTP/1.1").unwrap();
    assert_eq!(path, "/api/hubs/signalr_rekey/users/signalr-rekey?api-version=2022-06-01");
    let token = asked.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[format!("https://{HOST}{path}")]);
    validation.set_required_spec_claims(&["aud", "exp"]);
    let secret = DecodingKey::from_secret(b"a-key-that-is-no-base64");
    let claims = jsonwebtoken::decode::<serde_json::Value>(token, &secret, &validation).unwrap().claims;
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
}

#[tokio::test]
async fn what_came_of_a_probe_is_told_in_a_sentence_without_the_key() {
    let header = [(
        "WWW-Authenticate",
        "Bearer error=\"invalid_token\", error_description=\"The signature key was not found\"",
    )];
    let others = [403, 503, 404, 200].map(|status| Reply::json(status, ""));
    let server = Server::play([Reply::with(401, &header, "")].into_iter().chain(others)).await;
    let (prober, key) = (prober(&server.base), Key::new("RECOGNISABLE"));
    let mut sentences = Vec::new();
    for _ in 0..5 {
        sentences.push(match ServiceType::SignalR.probe(&prober, HOST, &key).await {
            Probe::Accepted => "accepted".to_owned(),
            Probe::Refused { detail } => format!("refused: {detail}"),
            Probe::Unreachable { detail } => format!("unreachable: {detail}"),
        });
    }
    assert!(!format!("{sentences:?} {prober:?}").contains("RECOGNISABLE"));
    insta::assert_snapshot!(sentences.join("\n"), @r#"
    refused: chat.service.signalr.net answered 401: Bearer error="invalid_token", error_description="The signature key was not found"
    unreachable: chat.service.signalr.net answered 403: its network rules keep this host out, so the key cannot be verified from here; allow this network, or set verify = "control-plane"
    unreachable: chat.service.signalr.net answered 503: the service is failing; the next run tries again
    unreachable: chat.service.signalr.net answered 404 without the x-ms-error-code Warning.User.NotExisted by which Azure SignalR Service says it, so something else answered, and nothing is known about the key; see what is between here and the service (a front door, a proxy, a private DNS zone)
    unreachable: chat.service.signalr.net answered 200, which says nothing about the key; see what is between here and the service (a front door, a proxy, a private DNS zone)
    "#);
}

#[tokio::test]
async fn where_nobody_answers_nothing_is_known_of_the_key() {
    let server = Server::play([Reply::HangUp]).await;
    let Probe::Unreachable { detail } =
        ServiceType::SignalR.probe(&prober(&server.base), HOST, &Key::new("RECOGNISABLE")).await
    else {
        panic!("nobody answered");
    };
    assert!(detail.starts_with("could not reach chat.service.signalr.net; "), "{detail}");
    assert!(
        detail.contains("set verify = \"control-plane\"; caused by: connection closed")
            && !detail.contains("RECOGNISABLE"),
        "{detail}"
    );
}

#[test]
fn the_gateway_is_on_loopback() {
    for gateway in ["http://example.com", "https://example.com", "http://10.0.0.1"] {
        let gateway = Some(gateway.parse().unwrap());
        assert!(DataPlane::new(Http::new(), gateway, LeapingClock::new()).is_err());
    }
}
