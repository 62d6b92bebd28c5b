//! A server that says how an app is, for as long as the test runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// Its URL, and how often it was asked. No token may come with the question.
pub async fn health(is_well: impl Fn() -> bool + Send + Sync + 'static) -> (Url, Arc<AtomicUsize>) {
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
            let status = if is_well() { "200 OK" } else { "503 Service Unavailable" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url.parse().unwrap(), asked)
}
