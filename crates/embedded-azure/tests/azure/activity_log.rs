//! The activity log: who did what, some time after he did, to whoever may read it.

use super::harness::*;

const LOG: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Insights/eventtypes/management/values";
const VERSION: &str = "api-version=2015-04-01";
const WRITE: &str = "Microsoft.Web/sites/config/write";

async fn list(azure: &Azure, filter: &str) -> Response {
    let filter = format!("{VERSION}&$filter={filter}").replace(' ', "%20").replace('\'', "%27");
    azure.get(LOG, &filter).await
}

async fn entries(azure: &Azure, filter: &str) -> Vec<Value> {
    let answer = list(azure, filter).await;
    assert_eq!(answer.status(), StatusCode::OK, "{filter}");
    json_of(answer).await["value"].as_array().unwrap().clone()
}

fn since(azure: &Azure, ago: TimeDelta) -> String {
    format!("eventTimestamp ge '{}'", (azure.clock.now() - ago).format("%Y-%m-%dT%H:%M:%SZ"))
}

#[tokio::test]
async fn a_write_is_shown_after_a_while_with_who_did_it() {
    let azure = Azure::start().await;
    let edit = |value| azure.inner.edit_setting("chat-web", "GREETING", Some(value)).unwrap();
    edit("hello");
    let settings = azure.settings("chat-func").await;
    azure.put_settings("chat-func", &settings).await;
    let group = "and resourceGroupName eq 'RG-DEMO'";
    let of_group = |ago| format!("{} {group}", since(&azure, ago));
    assert_eq!(entries(&azure, &of_group(TimeDelta::hours(1))).await, Vec::<Value>::new());
    azure.clock.advance(4 * MINUTE);
    let all = entries(&azure, &of_group(TimeDelta::hours(1))).await;
    let writes: Vec<&Value> = all.iter().filter(|one| one["operationName"]["value"] == WRITE).collect();
    let [ours, person] = writes[..] else { panic!("{all:#?}") };
    assert_eq!(person["caller"], "colleague@example.com");
    assert!(
        person["resourceId"].as_str().unwrap().ends_with("/sites/chat-web/config/appsettings"),
        "{person}"
    );
    assert!(ours["caller"].as_str().unwrap().len() == 36 && ours["status"]["value"] == "Succeeded", "{ours}");
    assert!(!all.iter().any(|one| one["httpRequest"]["method"] == "GET"), "what reads is not told");
    // By the one resource that was written, and by nothing above it.
    let app = format!("{GROUP}/providers/Microsoft.Web/sites/chat-web");
    for (uri, count) in [(format!("{app}/config/appsettings"), 1), (app.clone(), 0)] {
        let found =
            entries(&azure, &format!("{} and resourceUri eq '{uri}'", since(&azure, TimeDelta::hours(1))))
                .await;
        assert_eq!(found.len(), count, "{uri}");
    }
    azure.inner.with(|state| state.deny(&app, "Microsoft.Insights/eventtypes/values/read"));
    let seen = entries(&azure, &of_group(TimeDelta::hours(1))).await;
    assert!(
        !seen.contains(person) && seen.contains(ours),
        "who may not read it is not told, and is answered well"
    );
}

#[tokio::test]
async fn without_a_time_within_ninety_days_or_in_other_words_it_is_refused() {
    let azure = Azure::start().await;
    let now = since(&azure, TimeDelta::zero());
    for filter in [
        String::new(),
        "resourceGroupName eq 'rg-demo'".to_owned(),
        since(&azure, TimeDelta::days(91)),
        format!("{now} and caller eq 'somebody'"),
        format!("{now} or {now}"),
        format!("{now} and resourceGroupName eq 'a' and resourceUri eq 'b'"),
    ] {
        assert_eq!(list(&azure, &filter).await.status(), StatusCode::BAD_REQUEST, "{filter}");
    }
}
