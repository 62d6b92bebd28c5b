//! The same over https.

use reqwest::Certificate;

use super::harness::*;

#[tokio::test]
async fn it_is_served_over_tls_for_this_machine_its_vaults_and_stores_by_an_authority_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (new, clock) = (folder.path().join("new"), Arc::new(VirtualClock::default()));
    let world: World = serde_json::from_value(json!({
        "signalr": [{"group": "rg-demo", "name": "sr-demo"}],
        "vaults": [{"group": "rg-demo", "name": "kv-demo", "secrets": {"chat": "x"}}],
        "appConfigurations": [{"group": "rg-demo", "name": "cs-demo"}],
    }))
    .unwrap();
    let options = Options { tls: Some(new.clone()), ..Options::like_azure() };
    let azure = EmbeddedAzure::start(world, options, clock, ([127, 0, 0, 1], 0).into()).await.unwrap();
    let base = azure.tls_base().unwrap().to_owned();
    let port = base.rsplit(':').next().unwrap().to_owned();
    assert_eq!(base, format!("https://127.0.0.1:{port}"));
    let pem = std::fs::read(new.join("ca.pem")).unwrap();
    assert_eq!(std::fs::read_dir(&new).unwrap().count(), 1, "no key is left anywhere");
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let http = Client::builder()
        .no_proxy()
        .tls_certs_only([Certificate::from_pem(&pem).unwrap()])
        .resolve("localhost", address)
        .resolve("kv-demo.localhost", address)
        .resolve("cs-demo.azconfig.localhost", address)
        .build()
        .unwrap();

    // A client that says nothing keeps nobody waiting.
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    for host in ["127.0.0.1", "localhost", "kv-demo.localhost", "cs-demo.azconfig.localhost"] {
        let world = http.get(format!("https://{host}:{port}/sim/world")).send().await.unwrap();
        assert_eq!(world.status(), 200, "{host}");
    }
    drop(silent);
    let asked = http.get(format!("https://kv-demo.localhost:{port}/secrets/chat?api-version=7.5"));
    let challenged = asked.try_clone().unwrap().send().await.unwrap();
    let challenge = header(&challenged, "www-authenticate");
    assert!(challenge.ends_with(&format!("resource=\"https://localhost:{port}\"")), "{challenge}");
    let own = token(&http, &azure, &format!("https://localhost:{port}")).await;
    let secret = json_of(asked.bearer_auth(own).send().await.unwrap()).await;
    let id = secret["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("https://kv-demo.localhost:{port}/secrets/chat/")), "{id}");
    // Links are those of the way by which a client came.
    let arm = token(&http, &azure, "https://management.azure.com").await;
    let regenerated = http.post(format!("{base}{}?{SIGNALR}", instance("/regenerateKey")));
    let regenerated = regenerated.bearer_auth(arm).json(&json!({"keyType": "Primary"})).send().await.unwrap();
    assert!(header(&regenerated, "location").starts_with(&base));

    let distrustful = Client::builder().no_proxy().build().unwrap();
    assert!(distrustful.get(format!("{base}/sim/world")).send().await.is_err());
    drop(azure);
    assert!(http.get(format!("{base}/sim/world")).send().await.is_err(), "it has ended");
}

#[tokio::test]
async fn where_the_authority_cannot_be_left_it_does_not_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = Options { tls: Some(file.path().join("below")), ..Options::like_azure() };
    let clock = Arc::new(VirtualClock::default());
    let error = EmbeddedAzure::start(World::default(), options, clock, ([127, 0, 0, 1], 0).into()).await;
    let error = error.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("TLS") && cause.contains("ca.pem"), "{error}: {cause}");
}
