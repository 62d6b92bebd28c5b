//! Tokens.

use super::harness::*;

#[tokio::test]
async fn the_token_endpoint_wants_its_header_a_version_and_a_resource() {
    let azure = Azure::start().await;
    let ask = |query: &str, secret: &str| {
        let url = format!("{}/msi/token?{query}", azure.inner.base());
        azure.http.get(url).header("X-IDENTITY-HEADER", secret).send()
    };
    let secret = azure.inner.identity_header().to_owned();
    let good = "api-version=2019-08-01&resource=https://management.azure.com";
    assert_eq!(ask(good, "guessed").await.unwrap().status(), 401);
    assert_eq!(ask("api-version=2019-08-01", &secret).await.unwrap().status(), 400);
    assert_eq!(ask("resource=x", &secret).await.unwrap().status(), 400);
    let body = json_of(ask(good, &secret).await.unwrap()).await;
    let payload: Value =
        jsonwebtoken::dangerous::insecure_decode(body["access_token"].as_str().unwrap()).unwrap().claims;
    assert_eq!(payload["aud"], "https://management.azure.com");
    for claim in ["tid", "oid", "appid", "iss", "exp"] {
        assert!(!payload[claim].is_null(), "{claim}");
    }
}

#[tokio::test]
async fn entra_gives_tokens_for_a_client_secret() {
    let azure = Azure::start().await;
    let url = format!("{}/a-tenant/oauth2/v2.0/token", azure.inner.base());
    let form = "grant_type=client_credentials&client_id=me&client_secret=s&scope=https%3A%2F%2Fmanagement.azure.com%2F.default";
    let body = json_of(azure.http.post(&url).body(form).send().await.unwrap()).await;
    assert_eq!(body["token_type"], "Bearer");
    let asked = azure.http.get(format!("{}/subscriptions?api-version=2022-12-01", azure.inner.base()));
    let asked = asked.bearer_auth(body["access_token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(json_of(asked).await["value"][0]["state"], "Enabled");
    let refused = azure.http.post(&url).body("grant_type=password").send().await.unwrap();
    assert_eq!(json_of(refused).await["error"], "unsupported_grant_type");
}
