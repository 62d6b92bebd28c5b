//! References to secrets of vaults: what the platform hands out and when, what reaches the process, and who is to blame.

use embedded_azure::State;

use super::harness::*;

const REFRESH: &str = "api-version=2022-03-01";
const GET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
const VAULT: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-demo/providers/Microsoft.KeyVault/vaults/kv-demo";
const NEWEST: &str = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=chat)";

/// One service whose connection string is in a vault, and the app `app` with these settings.
async fn azure(settings: &[(&str, &str)], options: Options) -> Azure {
    let settings: BTreeMap<&str, &str> = settings.iter().copied().collect();
    let world = json!({
        "signalr": [{"group": "rg-demo", "name": "sr-demo"}],
        "vaults": [{"group": "rg-demo", "name": "kv-demo", "secrets": {"chat": "{primary:sr-demo}"}}],
        "sites": [{"group": "rg-demo", "name": "app", "slots": ["staging"], "settings": settings}],
    });
    Azure::with(serde_json::from_value(world).unwrap(), options).await
}

fn site(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Web/sites/app{rest}")
}

/// What the platform says of a setting of the app: its status, and the version that it hands out.
async fn told(azure: &Azure, setting: &str) -> (String, Option<String>) {
    let path = site(&format!("/config/configreferences/appsettings/{setting}"));
    let properties = json_of(azure.get(&path, WEB).await).await["properties"].clone();
    let version = properties["activeVersion"].as_str().map(str::to_owned);
    (properties["status"].as_str().unwrap().to_owned(), version)
}

fn versions(azure: &Azure) -> Vec<String> {
    azure.inner.with(|state| state.secret_versions("kv-demo", "chat")).unwrap()
}

fn set(azure: &Azure, value: &str) -> String {
    azure.inner.with(|state| state.set_secret("kv-demo", "chat", value)).unwrap();
    versions(azure).pop().unwrap()
}

async fn refresh(azure: &Azure) -> Response {
    azure.post(&site("/config/configreferences/appsettings/refresh"), REFRESH, json!({})).await
}

/// What the clients of the app met in the next so much time: calls, refused ones, and those that nothing explains.
fn calls(azure: &Azure, time: Duration) -> (u64, u64, u64) {
    let figures = |azure: &Azure| {
        let report = azure.inner.report();
        let tally = report.instances["sr-demo"].apps.get("app").cloned().unwrap_or_default();
        [tally.calls, tally.refused, tally.refused_unexplained]
    };
    let before = figures(azure);
    azure.clock.advance(time);
    let after = figures(azure);
    (after[0] - before[0], after[1] - before[1], after[2] - before[2])
}

/// Whether the app's process signs with this key: it alone is refused when the key is replaced.
fn is_cut_off_by(azure: &Azure, key_type: KeyType) -> bool {
    azure.inner.regenerate("sr-demo", &[key_type]).unwrap();
    let (calls, refused, unexplained) = calls(azure, MINUTE);
    assert!(calls > 0 && unexplained == 0);
    refused > 0
}

#[tokio::test]
async fn a_reference_in_any_syntax_and_section_gives_the_app_the_secret() {
    for reference in [
        NEWEST,
        "@Microsoft.KeyVault(SecretUri=https://kv-demo.vault.azure.net/secrets/chat/)",
        "@Microsoft.KeyVault(SecretUri=https://kv-demo.vault.azure.net/secrets/chat)",
        "@Microsoft.KeyVault(SecretUri=https://kv-demo.localhost:7401/secrets/chat)",
    ] {
        let azure = azure(&[("Chat", reference)], Options::like_azure()).await;
        assert_eq!(told(&azure, "chat").await, ("Resolved".into(), versions(&azure).pop()), "{reference}");
        assert!(is_cut_off_by(&azure, KeyType::Primary), "{reference}");
        assert_eq!(azure.settings("app").await["Chat"], reference);
    }
    let azure = azure(&[], Options::like_azure()).await;
    azure.inner.with(|state| state.edit_connection_string("app", "Chat", Some(NEWEST))).unwrap();
    azure.clock.advance(MINUTE);
    assert!(is_cut_off_by(&azure, KeyType::Primary));
    let path = site("/config/configreferences/connectionstrings");
    let all = json_of(azure.get(&path, WEB).await).await;
    assert_eq!(all["value"][0]["properties"]["reference"], NEWEST);
    let one = json_of(azure.get(&format!("{path}/chat"), WEB).await).await;
    assert_eq!(one, all["value"][0]);
}

#[tokio::test]
async fn the_platform_tells_of_each_reference_what_became_of_it() {
    let pinned = "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=Chat;SecretVersion=0123)";
    let azure = azure(
        &[
            ("A", NEWEST),
            ("B", pinned),
            ("C", "@Microsoft.KeyVault(VaultName=kv-none;SecretName=chat)"),
            ("D", "@Microsoft.KeyVault(VaultName=kv-demo;SecretName=none)"),
            ("E", "@Microsoft.KeyVault(VaultName=kv-demo)"),
            ("F", "@Microsoft.AppConfiguration(Endpoint=https://s.azconfig.io; Key=k)"),
            ("G", "plain"),
        ],
        Options::like_azure(),
    )
    .await;
    for path in ["/config/configreferences/appsettings", "/slots/staging/config/configreferences/appsettings"]
    {
        let all = json_of(azure.get(&site(path), WEB).await).await["value"].clone();
        let seen: Vec<_> =
            all.as_array().unwrap().iter().map(|one| (&one["name"], &one["properties"])).collect();
        let statuses: Vec<_> =
            seen.iter().map(|(name, of)| (name.as_str().unwrap(), of["status"].as_str().unwrap())).collect();
        let expected = [
            ("A", "Resolved"),
            ("B", "SecretVersionNotFound"),
            ("C", "VaultNotFound"),
            ("D", "SecretNotFound"),
            ("E", "InvalidSyntax"),
        ];
        assert_eq!(statuses, expected);
        assert_eq!(all[0]["id"], format!("{}/A", site(path)));
        let properties = seen[1].1;
        assert_eq!(properties["reference"], pinned);
        assert_eq!(
            (&properties["vaultName"], &properties["secretName"]),
            (&json!("kv-demo"), &json!("chat"))
        );
        assert_eq!(
            (&properties["secretVersion"], &properties["activeVersion"]),
            (&json!("0123"), &Value::Null)
        );
        assert_eq!(properties["identityType"]["type"], "SystemAssigned");
        assert_eq!(properties["source"], "KeyVault");
        assert!(properties["details"].as_str().unwrap().len() > 10);
    }
    for missing in ["F", "G", "H"] {
        let path = site(&format!("/config/configreferences/appsettings/{missing}"));
        assert_eq!(azure.get(&path, WEB).await.status(), 404, "{missing}");
    }
    azure.inner.with(|state| state.enable_secret("kv-demo", "chat", None, false)).unwrap();
    azure.inner.edit_setting("app", "G", Some("other")).unwrap();
    assert_eq!(told(&azure, "A").await, ("OtherReasons".into(), None));
    azure.inner.with(|state| state.delete_secret("kv-demo", "chat")).unwrap();
    azure.inner.edit_setting("app", "G", Some("plain")).unwrap();
    assert_eq!(told(&azure, "A").await, ("SecretNotFound".into(), None));
}

#[tokio::test]
async fn a_new_version_reaches_the_app_by_a_change_of_its_configuration() {
    let azure = azure(&[("Chat", NEWEST)], Options::like_azure()).await;
    let old = versions(&azure).pop();
    let new = set(&azure, "{secondary:sr-demo}");
    assert_eq!(told(&azure, "Chat").await.1, old, "nothing has fetched it");
    assert_eq!(azure.post(&site("/restart"), WEB, json!({})).await.status(), 200);
    azure.clock.advance(MINUTE);
    assert_eq!(told(&azure, "Chat").await.1, old, "a plain restart does not");
    let mut settings = azure.settings("app").await;
    assert_eq!(azure.put_settings("app", &settings).await.status(), 200);
    assert_eq!(told(&azure, "Chat").await.1, old, "nor do settings that are what they were");
    settings.insert("TOUCHED".into(), "1".into());
    assert_eq!(azure.put_settings("app", &settings).await.status(), 200);
    assert_eq!(told(&azure, "Chat").await.1, Some(new), "the platform has fetched it at once");
    // The old process serves on for 20 s with what it has read.
    azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    let (_, refused, unexplained) = calls(&azure, MINUTE);
    assert!(refused > 0 && unexplained == 0);
    assert_eq!(calls(&azure, MINUTE).1, 0, "the new one has the other key");
    assert!(is_cut_off_by(&azure, KeyType::Secondary));
}

#[tokio::test]
async fn a_refresh_takes_a_while_and_reaches_the_process_when_it_restarts() {
    let options = Options { refresh_takes: Duration::from_secs(30), ..Options::like_azure() };
    let azure = azure(&[("Chat", NEWEST)], options).await;
    let (old, new) = (versions(&azure).pop(), set(&azure, "{secondary:sr-demo}"));
    let answer = refresh(&azure).await;
    assert_eq!(answer.status(), 200);
    let body = json_of(answer).await;
    assert_eq!(body["value"][0]["properties"]["activeVersion"], json!(old), "as it is yet");
    azure.clock.advance(Duration::from_secs(29));
    assert_eq!(told(&azure, "Chat").await.1, old);
    refresh(&azure).await;
    azure.clock.advance(Duration::from_secs(1));
    assert_eq!(told(&azure, "Chat").await.1, Some(new));
    azure.clock.advance(HOUR);
    let key = |key_type| [("sr-demo".to_owned(), Some(key_type))].into();
    let seen = |state: &mut State| (state.runs_with("app").unwrap(), state.signs("app").unwrap());
    assert_eq!(azure.inner.with(seen), (key(KeyType::Primary), key(KeyType::Secondary)));
    azure.inner.regenerate("sr-demo", &[KeyType::Primary]).unwrap();
    assert!(calls(&azure, MINUTE).1 > 0, "the process runs with what it read");
    assert_eq!(azure.post(&site("/restart"), WEB, json!({})).await.status(), 200);
    azure.clock.advance(MINUTE);
    assert_eq!(calls(&azure, MINUTE).1, 0, "a restart takes what the platform has");
    assert_eq!(azure.inner.with(seen), (key(KeyType::Secondary), key(KeyType::Secondary)));
}

#[tokio::test]
async fn a_refresh_restarts_the_app_where_it_does() {
    let options = Options { refresh_restarts: true, ..Options::like_azure() };
    let azure = azure(&[("Chat", NEWEST)], options).await;
    set(&azure, "{secondary:sr-demo}");
    refresh(&azure).await;
    azure.clock.advance(MINUTE);
    assert!(!is_cut_off_by(&azure, KeyType::Primary));
    assert!(is_cut_off_by(&azure, KeyType::Secondary));
}

#[tokio::test]
async fn references_without_a_version_are_fetched_every_day() {
    for restarts in [false, true] {
        let options = Options { refresh_restarts: restarts, ..Options::like_azure() };
        let azure = azure(&[("Chat", NEWEST)], options).await;
        azure.clock.advance(20 * HOUR);
        let (old, new) = (versions(&azure).pop(), set(&azure, "{secondary:sr-demo}"));
        azure.clock.advance(4 * HOUR - MINUTE);
        assert_eq!(told(&azure, "Chat").await.1, old);
        azure.clock.advance(2 * MINUTE);
        assert_eq!(told(&azure, "Chat").await.1, Some(new.clone()));
        assert_eq!(is_cut_off_by(&azure, KeyType::Primary), !restarts, "{restarts}");
        // And the next day again.
        let newer = set(&azure, "{primary:sr-demo}");
        azure.clock.advance(23 * HOUR);
        assert_eq!(told(&azure, "Chat").await.1, Some(new));
        azure.clock.advance(2 * HOUR);
        assert_eq!(told(&azure, "Chat").await.1, Some(newer));
    }
}

#[tokio::test]
async fn a_pinned_version_never_moves() {
    let azure = azure(&[], Options::like_azure()).await;
    let first = versions(&azure).pop().unwrap();
    let pinned =
        format!("@Microsoft.KeyVault(SecretUri=https://kv-demo.vault.azure.net/secrets/chat/{first})");
    azure.inner.edit_setting("app", "Chat", Some(&pinned)).unwrap();
    set(&azure, "{secondary:sr-demo}");
    refresh(&azure).await;
    azure.clock.advance(25 * HOUR);
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    azure.clock.advance(MINUTE);
    assert_eq!(told(&azure, "Chat").await, ("Resolved".into(), Some(first)));
    let path = site("/config/configreferences/appsettings/Chat");
    let properties = json_of(azure.get(&path, WEB).await).await["properties"].clone();
    assert_eq!(properties["secretVersion"], properties["activeVersion"]);
    assert!(!is_cut_off_by(&azure, KeyType::Secondary));
    assert!(is_cut_off_by(&azure, KeyType::Primary));
}

#[tokio::test]
async fn an_app_whose_identity_is_denied_gets_the_text_of_the_reference() {
    let azure = azure(&[("Chat", NEWEST)], Options::like_azure()).await;
    let denial = json!({"scope": VAULT, "action": GET_SECRET, "app": "APP"});
    let denied = azure.request(Method::POST, "/sim/denials", "").json(&denial).send().await.unwrap();
    assert_eq!(denied.status(), 200);
    assert_eq!(told(&azure, "Chat").await.0, "Resolved", "what was fetched is there");
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    assert_eq!(told(&azure, "Chat").await, ("AccessToKeyVaultDenied".into(), None));
    azure.clock.advance(2 * HOUR);
    assert_eq!(calls(&azure, MINUTE).0, 0, "it has no key to sign with");
    azure.inner.edit_setting("app/staging", "TOUCHED", Some("1")).unwrap();
    let slot = "/slots/staging/config/configreferences/appsettings/Chat";
    let slot = json_of(azure.get(&site(slot), WEB).await).await;
    assert_eq!(slot["properties"]["status"], "Resolved", "a slot has an identity of its own");
    // What the caller may not do does not matter to the app.
    azure.inner.with(|state| {
        state.allow_all();
        state.deny(VAULT, "*");
    });
    azure.inner.edit_setting("app", "TOUCHED", Some("2")).unwrap();
    assert_eq!(told(&azure, "Chat").await.0, "Resolved");
    // Nor does a denial at one secret to another.
    azure.inner.with(|state| {
        state.allow_all();
        state.deny_app("app", &format!("{VAULT}/secrets/other"), GET_SECRET);
    });
    azure.inner.edit_setting("app", "TOUCHED", Some("3")).unwrap();
    assert_eq!(told(&azure, "Chat").await.0, "Resolved");
}

#[tokio::test]
async fn who_is_to_blame_follows_the_version_that_the_process_runs_with() {
    // The rotation puts a key into the secret that does not work: its fault.
    let azure = azure(&[("Chat", NEWEST)], Options::like_azure()).await;
    let old = azure.key(KeyType::Primary);
    azure.regenerate("Secondary").await;
    azure.clock.advance(HOUR);
    let port = azure.inner.base().rsplit(':').next().unwrap().to_owned();
    let own = token(&azure.http, &azure.inner, "https://vault.azure.net").await;
    let put = |value: String| {
        let url = format!("{}/secrets/chat?api-version=7.5", azure.inner.base());
        let request = azure.http.put(url).header("host", format!("kv-demo.localhost:{port}"));
        request.bearer_auth(&own).json(&json!({"value": value})).send()
    };
    let invalid = "Endpoint=https://sr-demo.service.signalr.net;AccessKey=invalid;Version=1.0;";
    assert_eq!(put(invalid.to_owned()).await.unwrap().status(), 200);
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    azure.clock.advance(MINUTE);
    let (_, refused, unexplained) = calls(&azure, MINUTE);
    assert!(refused > 0 && unexplained == refused, "{refused} {unexplained}");

    // It regenerates the key that the process still runs with, though the secret has the other: its fault too.
    let azure = azure_with(&old).await;
    set(&azure, "{secondary:sr-demo}");
    azure.regenerate("Primary").await;
    azure.clock.advance(Duration::from_secs(80));
    let (_, refused, unexplained) = calls(&azure, MINUTE);
    assert!(refused > 0 && unexplained > 0, "{refused} {unexplained}");

    // Another person puts one there that does not work: not its fault.
    let azure = azure_with(&old).await;
    azure.inner.with(|state| state.set_secret("kv-demo", "chat", invalid)).unwrap();
    assert_eq!(calls(&azure, MINUTE).1, 0, "nobody runs with it yet");
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    azure.clock.advance(MINUTE);
    let (_, refused, unexplained) = calls(&azure, MINUTE);
    assert!(refused > 0 && unexplained == 0, "{refused} {unexplained}");

    // Nor is a pin to an old version that another person writes into a setting, after the rotation has left its key.
    let azure = azure_with(&old).await;
    let first = versions(&azure).pop().unwrap();
    set(&azure, "{secondary:sr-demo}");
    azure.inner.edit_setting("app", "TOUCHED", Some("1")).unwrap();
    azure.clock.advance(3 * HOUR);
    azure.regenerate("Primary").await;
    azure.clock.advance(HOUR);
    assert_eq!(calls(&azure, MINUTE).1, 0, "nobody runs with it any more");
    let pinned = format!("{};SecretVersion={first})", NEWEST.trim_end_matches(')'));
    azure.inner.edit_setting("app", "Chat", Some(&pinned)).unwrap();
    azure.clock.advance(MINUTE);
    let (_, refused, unexplained) = calls(&azure, MINUTE);
    assert!(refused > 0 && unexplained == 0, "{refused} {unexplained}");
}

/// The same world once more; the seed gives it the same keys.
async fn azure_with(primary: &Key) -> Azure {
    let azure = azure(&[("Chat", NEWEST)], Options::like_azure()).await;
    assert_eq!(azure.key(KeyType::Primary), *primary);
    azure
}

#[tokio::test]
async fn reading_references_and_refreshing_them_need_their_actions() {
    let azure = azure(&[("Chat", NEWEST)], Options::like_azure()).await;
    let lists =
        ["appsettings", "connectionstrings"].map(|section| format!("/config/configreferences/{section}"));
    let [settings, strings] = &lists;
    for (slot, kind) in [("", "sites"), ("/slots/staging", "sites/slots")] {
        let read = format!("Microsoft.Web/{kind}/config/Read");
        let write = format!("Microsoft.Web/{kind}/config/Write");
        azure.inner.with(|state| {
            state.allow_all();
            state.deny(GROUP, &read);
        });
        let [one, other] = [settings, strings].map(|list| format!("{slot}{list}/Chat"));
        for path in [format!("{slot}{settings}"), format!("{slot}{strings}"), one, other] {
            assert_eq!(fault_of(azure.get(&site(&path), WEB).await).await.0, 403, "{path}");
        }
        let refreshed = format!("{slot}{settings}/refresh");
        assert_eq!(azure.post(&site(&refreshed), REFRESH, json!({})).await.status(), 200);
        azure.inner.with(|state| {
            state.allow_all();
            state.deny(GROUP, &write);
        });
        assert_eq!(azure.get(&site(&format!("{slot}{settings}")), WEB).await.status(), 200);
        assert_eq!(fault_of(azure.post(&site(&refreshed), REFRESH, json!({})).await).await.0, 403);
    }
}

#[tokio::test]
async fn an_app_behind_a_vault_is_an_app_of_the_service() {
    let world: World = serde_json::from_value(json!({
        "signalr": [{"group": "g", "name": "sr-a"}, {"group": "g", "name": "sr-b"}],
        "vaults": [{"group": "g", "name": "kv-a", "secrets": {"chat": "{primary:sr-a}"}}],
        "sites": [
            {"group": "g", "name": "in-vault", "settings": {"A": "@Microsoft.KeyVault(VaultName=KV-A;SecretName=CHAT)"}},
            {"group": "g", "name": "elsewhere", "settings": {"A": "@Microsoft.KeyVault(VaultName=kv-b;SecretName=chat)"}},
            {"group": "g", "name": "missing", "settings": {"A": "@Microsoft.KeyVault(VaultName=kv-a;SecretName=lost)"}},
        ],
        "references": {"chat": "{primary:sr-b}", "lost": "{primary:sr-b}"},
    }))
    .unwrap();
    let names = |at: usize| world.apps_of(&world.signalr[at]).iter().map(AppId::name).collect::<Vec<_>>();
    assert_eq!(names(0), ["in-vault"]);
    assert_eq!(names(1), ["elsewhere"], "what a vault has not is not looked for elsewhere");
    let azure = Azure::with(world.clone(), Options::like_azure()).await;
    let signs = |app: &str| azure.inner.with(|state| state.signs(app)).unwrap().into_iter().next();
    assert_eq!(signs("in-vault"), Some(("sr-a".into(), Some(KeyType::Primary))));
    assert_eq!(signs("elsewhere"), Some(("sr-b".into(), Some(KeyType::Primary))));
    assert_eq!(signs("missing"), None);
}
