//! The `health` of apps, by which waves are held back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signalr_rekey::doctor::{Check, Severity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::common::Story;
use super::{examine, only, site};

/// A server that answers each question with a status, and how often it was asked.
async fn health(status: &'static str) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health?code=hidden", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut said = vec![0; 4096];
            let read = stream.read(&mut said).await.unwrap_or_default();
            let said = String::from_utf8_lossy(&said[..read]).to_lowercase();
            assert!(!said.contains("authorization"), "no token goes to an app: {said}");
            count.fetch_add(1, Ordering::SeqCst);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url.parse().unwrap(), asked)
}

#[tokio::test]
async fn each_health_is_asked_once_and_one_that_would_hold_its_wave_back_is_an_error() {
    let mut story = Story::new().await;
    let ids: Vec<_> = story.config.instances[0].consumers().collect();
    let id = |name: &str| ids.iter().find(|one| one.name() == name).unwrap().clone();
    let (well, asked_well) = health("204 No Content").await;
    let (unwell, asked_unwell) = health("503 Service Unavailable").await;
    story.config.instances[0].health.insert(id("chat-func"), well);
    story.config.instances[0].health.insert(id("chat-web"), unwell);
    let report = examine(&story).await;
    let error = only(&report, Check::Consumer, Severity::Error, &site("chat-web"));
    assert!(error.what.contains("503") && !error.what.contains("hidden"), "{error:#?}");
    assert!(
        error.why.as_deref().unwrap().contains("its wave is held back") && error.fix.is_some(),
        "{error:#?}"
    );
    let says = |finding: &&signalr_rekey::doctor::Finding| {
        finding.severity == Severity::Ok && finding.what.contains("answers with success")
    };
    let told: Vec<_> = report.findings.iter().filter(says).collect();
    assert!(told.len() == 1 && told[0].subject == site("chat-func"), "{told:#?}");
    assert_eq!([asked_well, asked_unwell].map(|asked| asked.load(Ordering::SeqCst)), [1, 1]);
}
