//! ARM's token buckets (docs: Understand how Azure Resource Manager throttles requests).

use crate::harness::*;

async fn throttled() -> Azure {
    Azure::with(World::default(), Options { buckets: true, ..Options::like_azure() }).await
}

fn seconds(answer: &Response) -> i64 {
    header(answer, "retry-after").parse().unwrap()
}

async fn list(azure: &Azure) -> Response {
    azure.post(&instance("/listKeys"), SIGNALR, json!({})).await
}

#[tokio::test]
async fn two_hundred_writes_are_served_at_once_and_then_ten_a_second() {
    let azure = throttled().await;
    for left in (0..200).rev() {
        let answer = list(&azure).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "x-ms-ratelimit-remaining-subscription-writes"), left.to_string());
    }
    let answer = list(&azure).await;
    assert_eq!(seconds(&answer), 1);
    assert_eq!(header(&answer, "x-ms-ratelimit-remaining-subscription-writes"), "0");
    assert_eq!(fault_of(answer).await, (429, "SubscriptionRequestsThrottled".into()));
    azure.clock.advance(Duration::from_secs(1));
    for _ in 0..10 {
        assert_eq!(list(&azure).await.status(), StatusCode::OK);
    }
    assert_eq!(list(&azure).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn reads_have_a_bucket_of_their_own_and_so_has_the_tenant() {
    let azure = throttled().await;
    while list(&azure).await.status() == StatusCode::OK {}
    for _ in 0..250 {
        assert_eq!(azure.get(&instance(""), SIGNALR).await.status(), StatusCode::OK);
    }
    assert_eq!(azure.get(&instance(""), SIGNALR).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let tenant = azure.get("/subscriptions", "api-version=2022-12-01").await;
    assert_eq!(tenant.status(), StatusCode::OK);
    assert_eq!(header(&tenant, "x-ms-ratelimit-remaining-tenant-reads"), "249");
}

#[tokio::test]
async fn who_comes_back_too_soon_is_not_served_and_is_told_anew() {
    let azure = throttled().await;
    while list(&azure).await.status() == StatusCode::OK {}
    azure.clock.advance(Duration::from_millis(500));
    let answer = list(&azure).await;
    assert_eq!((answer.status(), seconds(&answer)), (StatusCode::TOO_MANY_REQUESTS, 1));
    // The half second that was waited in vain is not counted for the new time.
    azure.clock.advance(Duration::from_millis(900));
    assert_eq!(list(&azure).await.status(), StatusCode::TOO_MANY_REQUESTS);
    azure.clock.advance(Duration::from_secs(1));
    assert_eq!(list(&azure).await.status(), StatusCode::OK);
}
