//! A server that answers as it is told, byte by byte, and remembers what it was asked: for the edges of the protocol
//! that no well-behaved server has.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use chrono::{DateTime, Utc};
use signalr_rekey::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// One act of the script.
pub(crate) enum Reply {
    /// Status, further headers (`name: value` lines), body; with its length.
    Answer(u16, String, String),
    /// The same without a length: the end of the connection ends it.
    Endless(u16, String),
    /// A head that promises more than comes.
    Truncated(u16, String),
    /// A beginning, and then the same piece again and again until the client has hung up or took a gigabyte.
    Flood(String, String),
    /// A beginning, and then nothing more.
    Stalled(String),
    /// The request is read, and the connection closed.
    HangUp,
    /// The request is read, and nothing happens.
    Silence,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Answer(status, String::new(), body.into())
    }

    pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self::Answer(status, headers, body.into())
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(crate) struct Server {
    pub(crate) base: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    flooded: Arc<AtomicU64>,
}

impl Server {
    /// Plays a script; who asks more than it holds is hung up on.
    pub(crate) async fn play(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::play_with(|_| script).await
    }

    /// Plays a script that knows the server's own URL, without a slash at its end.
    pub(crate) async fn play_with<S: IntoIterator<Item = Reply>>(script: impl FnOnce(&str) -> S) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut script: VecDeque<Reply> = script(&base).into_iter().collect();
        Self::serve(listener, &base, move |_| script.pop_front().unwrap_or(Reply::HangUp))
    }

    /// Answers each request by its line, in whatever order they come.
    pub(crate) async fn answer(reply: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, &base, reply)
    }

    fn serve(
        listener: TcpListener,
        base: &str,
        mut next: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        let flooded = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&flooded);
        tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some(request) = read(&mut stream).await else { continue };
                let reply = next(&request);
                record.lock().unwrap().push(request);
                match reply {
                    Reply::Silence => silent.push(stream),
                    Reply::Stalled(beginning) => {
                        stream.write_all(beginning.as_bytes()).await.unwrap();
                        silent.push(stream);
                    }
                    Reply::Flood(beginning, piece) => {
                        flood(&mut stream, &beginning, &piece, &count).await;
                    }
                    reply => write(&mut stream, reply).await,
                }
            }
        });
        Self { base: base.parse().unwrap(), asked, flooded }
    }

    /// How many bytes of floods the system has taken from us: what clients read, and what waits in buffers.
    pub(crate) fn flooded(&self) -> u64 {
        self.flooded.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The request lines, without their protocol.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line.replace(" HTTP/1.1", "")).collect()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let mut asked = Asked { line: line.into(), headers: headers.into(), body: String::new() };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + 4 + length {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    asked.body = String::from_utf8(bytes[head_end + 4..].to_vec()).unwrap();
    Some(asked)
}

async fn flood(stream: &mut TcpStream, beginning: &str, piece: &str, count: &AtomicU64) {
    const MOST: u64 = 1 << 30;
    let pieces = piece.repeat((64 << 10) / piece.len() + 1);
    if stream.write_all(beginning.as_bytes()).await.is_err() {
        return;
    }
    while count.load(Ordering::SeqCst) < MOST && stream.write_all(pieces.as_bytes()).await.is_ok() {
        count.fetch_add(pieces.len() as u64, Ordering::SeqCst);
    }
}

async fn write(stream: &mut TcpStream, reply: Reply) {
    let text = match reply {
        Reply::Answer(status, headers, body) => {
            format!(
                "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Reply::Endless(status, body) => format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n{body}"),
        Reply::Truncated(status, headers) => {
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: 999\r\n\r\n{{")
        }
        Reply::Flood(..) | Reply::Stalled(_) | Reply::HangUp | Reply::Silence => return,
    };
    // A client that refuses the answer hangs up while it is written; that is its right.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A clock that stands still but for waits, which pass at once.
#[derive(Debug)]
pub(crate) struct LeapingClock {
    now: Mutex<DateTime<Utc>>,
    waits: Mutex<Vec<Duration>>,
}

impl LeapingClock {
    pub(crate) fn new() -> Arc<Self> {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap().to_utc();
        Arc::new(Self { now: Mutex::new(now), waits: Mutex::default() })
    }

    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for LeapingClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        let wait = (time - self.now()).to_std().unwrap_or_default();
        self.waits.lock().unwrap().push(wait);
        let mut now = self.now.lock().unwrap();
        *now = time.max(*now);
    }
}

/// A credential that always has a token.
#[derive(Debug)]
pub(crate) struct Token;

#[async_trait]
impl TokenCredential for Token {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = match scopes {
            ["https://vault.azure.net/.default"] => "the-token-for-vaults",
            ["https://appconfig.azure.com/.default"] => "the-token-for-stores",
            others => {
                assert_eq!(others, ["https://management.azure.com/.default"]);
                "the-token"
            }
        };
        Ok(AccessToken::new(token, OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1)))
    }
}
