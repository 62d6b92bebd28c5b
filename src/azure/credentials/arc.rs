//! The managed identity of a machine that Azure Arc connects, of which azure_identity knows nothing.
//!
//! Its agent gives tokens to who can read a file that it makes for that: the first request is answered with the file's name,
//! the second brings what it holds (docs: Authenticate against Azure resources with Azure Arc-enabled servers).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use url::Url;

use crate::azure::http::{self, Http, is_loopback};
use crate::report::cause;
use crate::report::text::azure as words;

const API_VERSION: &str = "2020-06-01";

/// Where the files are: whoever answers in the agent's place could otherwise have any file sent to him.
#[cfg(not(windows))]
const FOLDER: &str = "/var/opt/azcmagent/tokens";
#[cfg(windows)]
const FOLDER: &str = r"C:\ProgramData\AzureConnectedMachineAgent\Tokens";

/// The largest of them (azure-sdk-for-go, azidentity, does not take more either).
const LARGEST_FILE: u64 = 4096;

/// The largest answer that is read, as of any token endpoint.
const LARGEST: usize = 64 << 10;

/// What Arc's agent gives its machine.
#[derive(Debug)]
pub(super) struct ArcMachine {
    http: Http,
    endpoint: String,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_on: Seconds,
}

/// Unix time, as a text or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Text(String),
    Number(i64),
}

impl ArcMachine {
    pub(super) fn new(http: Http, endpoint: String) -> Self {
        Self { http, endpoint, folder: FOLDER.into() }
    }

    async fn token(&self, resource: &str) -> Result<AccessToken, String> {
        let mut url = Url::parse(&self.endpoint).map_err(|error| cause::told(&error))?;
        if !is_loopback(&url) {
            return Err(words::ARC_ELSEWHERE.to_owned());
        }
        url.query_pairs_mut().extend_pairs([("api-version", API_VERSION), ("resource", resource)]);
        let answer = self.ask(&url, None).await?;
        let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let file =
            challenge.and_then(|value| value.split_once("realm=")).map(|(_, file)| file.trim_matches('"'));
        let file = file.filter(|_| answer.status() == StatusCode::UNAUTHORIZED);
        let file = file.ok_or_else(|| words::arc_no_challenge(answer.status().as_u16()))?;
        let secret = self.secret(Path::new(file))?;
        let text = Zeroizing::new(format!("Basic {}", secret.as_str()));
        let mut header = HeaderValue::from_str(&text).map_err(|_| words::ARC_STRANGE_FILE.to_owned())?;
        header.set_sensitive(true);
        let answer = self.ask(&url, Some(header)).await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(words::arc_refused(status.as_u16()));
        }
        let body = http::read(answer, LARGEST).await.unwrap_or_default();
        let Token { access_token, expires_on } =
            serde_json::from_slice(&body).map_err(|_| words::UNREADABLE_TOKEN.to_owned())?;
        let seconds = match expires_on {
            Seconds::Number(seconds) => Some(seconds),
            Seconds::Text(text) => text.parse().ok(),
        };
        let until = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        Ok(AccessToken::new(access_token, until.ok_or_else(|| words::UNREADABLE_TOKEN.to_owned())?))
    }

    async fn ask(&self, url: &Url, secret: Option<HeaderValue>) -> Result<reqwest::Response, String> {
        let client = self.http.client(url).map_err(|error| cause::told(&error))?;
        let mut request = client.get(url.clone()).timeout(http::TOKEN_TIMEOUT).header("Metadata", "true");
        if let Some(secret) = secret {
            request = request.header(AUTHORIZATION, secret);
        }
        request.send().await.map_err(|error| cause::because(words::ARC_SILENT, Some(&error.without_url())))
    }

    /// What a file holds, if it is one that Arc's agent makes.
    fn secret(&self, file: &Path) -> Result<Zeroizing<String>, String> {
        let is_one =
            file.parent() == Some(&self.folder) && file.extension().is_some_and(|kind| kind == "key");
        if !is_one {
            return Err(words::ARC_STRANGE_FILE.to_owned());
        }
        let mut text = Zeroizing::new(String::new());
        let read = File::open(file).and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
        let length = read.map_err(|error| cause::because(words::ARC_UNREADABLE_FILE, Some(&error)))?;
        if length as u64 > LARGEST_FILE {
            return Err(words::ARC_STRANGE_FILE.to_owned());
        }
        Ok(text)
    }
}

#[async_trait]
impl TokenCredential for ArcMachine {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let resource = scopes.first().map_or("", |scope| scope.trim_end_matches("/.default"));
        let token = self.token(resource).await;
        token.map_err(|why| azure_core::Error::with_message(ErrorKind::Credential, why))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::{HeaderMap, Response};

    use super::*;

    /// Arc's agent, which has made a file, and wants to see what it holds.
    async fn agent(file: PathBuf) -> String {
        let answer = move |request: Request| {
            let file = file.clone();
            async move {
                let headers: &HeaderMap = request.headers();
                assert_eq!(headers["metadata"], "true");
                let query = request.uri().query().unwrap().to_owned();
                assert_eq!(query, "api-version=2020-06-01&resource=https%3A%2F%2Fvault.azure.net");
                let brought = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
                let (status, body) = match brought.as_deref() {
                    None => (401, String::new()),
                    Some("Basic s3cret") => {
                        (200, r#"{"access_token":"t","expires_on":"1700000000"}"#.to_owned())
                    }
                    Some(_) => (403, String::new()),
                };
                let response = Response::builder().status(status);
                let response = response.header("www-authenticate", format!("Basic realm={}", file.display()));
                response.body(body).unwrap()
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/metadata/identity/oauth2/token", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        endpoint
    }

    async fn asked(endpoint: &str, folder: &Path) -> Result<String, String> {
        let machine =
            ArcMachine { folder: folder.to_owned(), ..ArcMachine::new(Http::new(), endpoint.to_owned()) };
        let token = machine.get_token(&["https://vault.azure.net/.default"], None).await;
        token.map(|token| token.token.secret().to_owned()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_token_is_given_to_who_can_read_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        let endpoint = agent(file.clone()).await;
        assert_eq!(
            asked(&endpoint, folder.path()).await.unwrap_err().split(';').next(),
            Some(words::ARC_UNREADABLE_FILE.split(';').next().unwrap())
        );
        std::fs::write(&file, "s3cret").unwrap();
        assert_eq!(asked(&endpoint, folder.path()).await.unwrap(), "t");
        std::fs::write(&file, "other").unwrap();
        assert_eq!(asked(&endpoint, folder.path()).await, Err(words::arc_refused(403)));
        std::fs::write(&file, "x".repeat(5000)).unwrap();
        assert_eq!(asked(&endpoint, folder.path()).await.unwrap_err(), words::ARC_STRANGE_FILE);
    }

    /// Nobody who answers in the agent's place is told what another file holds, and nobody elsewhere is asked.
    #[tokio::test]
    async fn no_other_file_is_sent_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        for file in ["a.key", "in/a.txt", "in/../a.key"] {
            let file = folder.path().join(file);
            std::fs::write(&file, "s3cret").unwrap();
            let endpoint = agent(file.clone()).await;
            let told = asked(&endpoint, &folder.path().join("in")).await.unwrap_err();
            assert_eq!(told, words::ARC_STRANGE_FILE, "{}", file.display());
        }
        let told = asked("http://10.0.0.1/metadata", folder.path()).await.unwrap_err();
        assert_eq!(told, words::ARC_ELSEWHERE);
    }
}
