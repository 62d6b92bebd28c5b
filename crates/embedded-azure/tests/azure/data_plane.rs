//! Signed calls of the data plane.

use super::harness::*;

#[tokio::test]
async fn the_data_plane_tells_good_keys_from_bad() {
    let azure = Azure::start().await;
    let (base, key) = (azure.inner.base().to_owned(), azure.key(KeyType::Secondary));
    assert_eq!(azure.http.head(format!("{base}/api/health")).send().await.unwrap().status(), 200);
    let host = "SR-Demo.service.signalr.net:443";
    let soon = azure.clock.now() + MINUTE;
    for (audience, expires, expected) in [
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/g", soon, 404),
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/g?api-version=x", soon, 404),
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/other", soon, 401),
        ("https://another.service.signalr.net/api/v1/hubs/chat/groups/g", soon, 401),
        ("https://sr-demo.service.signalr.net/api/v1/hubs/chat/groups/g", azure.clock.now() - MINUTE, 401),
    ] {
        let request = azure.http.head(format!("{base}/api/v1/hubs/chat/groups/g")).header("host", host);
        let answer = request.bearer_auth(signed(&key, audience, expires)).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{audience}");
    }
    let send = "https://sr-demo.service.signalr.net/api/hubs/chat/:send";
    let sent = azure.http.post(format!("{base}/api/hubs/chat/:send")).bearer_auth(signed(&key, send, soon));
    assert_eq!(sent.send().await.unwrap().status(), 202);
    assert_eq!(azure.http.head(format!("{base}/api/hubs/chat/users/u")).send().await.unwrap().status(), 401);
    azure.inner.with(|state| state.disable_local_auth("sr-demo", true)).unwrap();
    assert_eq!(azure.probe(&key).await.0, StatusCode::UNAUTHORIZED);
}
