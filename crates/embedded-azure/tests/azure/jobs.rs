//! Jobs of Container Apps: an execution ends with the secrets that it began with.

use super::harness::*;

const APP: &str = "api-version=2024-03-01";

fn job(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.App/jobs/nightly{rest}")
}

async fn azure(secret: Value, options: Options) -> Azure {
    let world = json!({
        "signalr": [{"group": "rg-demo", "name": "sr-demo"}],
        "vaults": [{"group": "rg-demo", "name": "kv-demo", "secrets": {"chat": "{primary:sr-demo}"}}],
        "containerJobs": [{"group": "rg-demo", "name": "nightly", "secrets": {"signalr": secret}, "executions": 1}],
        "containerApps": [{"group": "rg-demo", "name": "nightly"}],
    });
    Azure::with(serde_json::from_value(world).unwrap(), options).await
}

async fn executions(azure: &Azure) -> Vec<(String, String, bool)> {
    let body = json_of(azure.get(&job("/executions"), APP).await).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |execution: &Value| {
        let properties = &execution["properties"];
        assert!(text(&properties["startTime"]).parse::<DateTime<Utc>>().is_ok());
        (text(&execution["name"]), text(&properties["status"]), properties["endTime"].is_string())
    };
    body["value"].as_array().unwrap().iter().map(one).collect()
}

fn runs_with(azure: &Azure) -> Vec<Option<KeyType>> {
    let all = azure.inner.with(|state| state.runs_with("jobs/nightly")).unwrap();
    all.into_iter().map(|(_, key_type)| key_type).collect()
}

const PRIMARY: Option<KeyType> = Some(KeyType::Primary);
const SECONDARY: Option<KeyType> = Some(KeyType::Secondary);

#[tokio::test]
async fn an_execution_runs_with_the_secrets_of_its_start_until_it_ends() {
    let azure = azure(json!("{primary:sr-demo}"), Options::like_azure()).await;
    let running = executions(&azure).await;
    assert_eq!((running.len(), running[0].1.as_str(), running[0].2), (1, "Running", false));
    let key = azure.key(KeyType::Secondary);
    let value =
        format!("Endpoint=https://sr-demo.service.signalr.net;AccessKey={};Version=1.0;", key.expose());
    let secrets = json!([{"name": "signalr", "value": value}]);
    let body = json!({"properties": {"configuration": {"secrets": secrets}}});
    let patched = azure.request(Method::PATCH, &job(""), APP).json(&body).send().await.unwrap();
    assert_eq!(patched.status(), StatusCode::ACCEPTED);
    let location = header(&patched, "location").to_owned();
    assert!(location.contains("/containerappsjobOperationResults/"), "{location}");
    let again = azure.request(Method::PATCH, &job(""), APP).json(&body).send().await.unwrap();
    assert_eq!(fault_of(again).await, (409, "JobOperationInProgress".into()));
    azure.clock.advance(HOUR);
    let done = azure.http.get(location).bearer_auth(&azure.token).send().await.unwrap();
    assert_eq!(json_of(done).await, json_of(azure.get(&job(""), APP).await).await);
    assert_eq!(json_of(azure.post(&job("/listSecrets"), APP, json!({})).await).await["value"], secrets);
    assert_eq!(runs_with(&azure), [PRIMARY]);

    let started = json_of(azure.post(&job("/start"), APP, json!({})).await).await;
    let name = started["name"].as_str().unwrap();
    assert_eq!(runs_with(&azure), [PRIMARY, SECONDARY]);
    assert_eq!(executions(&azure).await[0].0, name, "the newest comes first");
    azure.inner.with(|state| state.end_execution("nightly", None, false)).unwrap();
    assert_eq!(runs_with(&azure), [SECONDARY], "the oldest that runs has ended");
    let all = executions(&azure).await;
    assert_eq!((all[1].1.as_str(), all[1].2), ("Failed", true));
    let end = json!({"job": "nightly", "action": "end", "execution": name});
    let done = azure.request(Method::POST, "/sim/executions", "").json(&end).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    assert_eq!(runs_with(&azure), []);
    let one = json_of(azure.get(&job(&format!("/executions/{name}")), APP).await).await;
    assert_eq!(one["properties"]["status"], "Succeeded");
    let lost = fault_of(azure.get(&job("/executions/gone"), APP).await).await;
    assert_eq!(lost, (404, "JobExecutionNotFound".into()));
    let done = azure.request(Method::POST, "/sim/executions", "").json(&end).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::BAD_REQUEST, "it has ended");
}

#[tokio::test]
async fn the_clients_of_an_execution_that_runs_are_cut_off_with_its_key() {
    let azure = azure(json!("{primary:sr-demo}"), Options::like_azure()).await;
    azure.clock.advance(MINUTE);
    assert_eq!(azure.regenerate("Primary").await.status(), StatusCode::ACCEPTED);
    azure.clock.advance(2 * MINUTE);
    let tally = azure.inner.report().instances["sr-demo"].apps["jobs/nightly"].clone();
    assert!(tally.refused_unexplained > 0);
}

#[tokio::test]
async fn whether_an_execution_fetches_what_is_in_a_vault_is_a_switch() {
    for (fetches, expected) in [(false, PRIMARY), (true, SECONDARY)] {
        let options = Options { executions_fetch_secrets: fetches, ..Options::like_azure() };
        let secret = json!({"keyVaultUrl": "https://kv-demo.vault.azure.net/secrets/chat"});
        let azure = azure(secret, options).await;
        azure.inner.with(|state| {
            state.set_secret("kv-demo", "chat", "{secondary:sr-demo}").unwrap();
            state.end_execution("nightly", None, true).unwrap();
        });
        azure.clock.advance(HOUR);
        azure.inner.with(|state| state.start_execution("nightly")).unwrap();
        assert_eq!(runs_with(&azure), [expected]);
    }
}
