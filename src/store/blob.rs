//! The journal in Azure Blob Storage, one block blob for each service, written under ETag conditions (docs: Manage
//! concurrency in Blob Storage).
//!
//! `object_store` does the requests, the signing and the retries. It does not make containers, so the one request for
//! that is written here and signed by it.

mod refusal;
mod transport;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use futures::TryStreamExt;
use object_store::azure::{
    AzureAccessKey, AzureAuthorizer, AzureCredential, AzureCredentialProvider, MicrosoftAzure,
    MicrosoftAzureBuilder, split_sas,
};
use object_store::client::{HttpClient, HttpRequestBody};
use object_store::path::Path;
use object_store::{
    CredentialProvider, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use secrecy::ExposeSecret;

use super::{ETag, EVIDENCE, Found, Store, StoreError, Stored};
use crate::azure::http::Http;
use crate::clock::Clock;
use crate::config::{BlobAccess, BlobConfig};
use crate::report::cause;
use crate::report::text::azure as words;
pub(crate) use refusal::Meaning;
pub use refusal::Refusal;
use refusal::Said;
use transport::Storage;

/// The container of all journals; made when it is first missed.
const CONTAINER: &str = "signalr-rekey";

/// The container of all evidence. The Bicep makes it, with the policy that keeps it; else it is made when it is first missed.
const EVIDENCE_CONTAINER: &str = "signalr-rekey-evidence";

/// The audience of tokens for Blob Storage, the same in every cloud (docs: Authorize access to blobs).
const SCOPE: &str = "https://storage.azure.com/.default";

/// Documents in Blob Storage.
pub struct BlobStore {
    journals: MicrosoftAzure,
    evidence: MicrosoftAzure,
    transport: Storage,
    credentials: AzureCredentialProvider,
    account: String,
    /// The account and where it is asked, as sentences name it.
    place: String,
    endpoint: String,
}

impl BlobStore {
    /// Makes a store. Nothing is sent yet. `identity` is asked for tokens where the account is not opened by a key.
    pub fn new(
        config: &BlobConfig,
        identity: Arc<dyn TokenCredential>,
        http: Http,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let transport = Storage::new(http, clock);
        let place = place(config);
        let credentials = credentials(config, identity)?;
        let endpoint = config.endpoint.as_str().trim_end_matches('/').to_owned();
        let objects = |container| {
            MicrosoftAzureBuilder::new()
                .with_account(&config.account)
                .with_container_name(container)
                .with_endpoint(endpoint.clone())
                .with_credentials(Arc::clone(&credentials))
                .with_retry(retries())
                .with_http_connector(transport.clone())
                .build()
                .map_err(|error| failed(&config.account, &place, &error))
        };
        let (journals, evidence) = (objects(CONTAINER)?, objects(EVIDENCE_CONTAINER)?);
        let account = config.account.clone();
        Ok(Self { journals, evidence, transport, credentials, account, place, endpoint })
    }

    /// The container of a document, its name, and that of the document in it.
    fn objects<'name>(&self, name: &'name str) -> (&MicrosoftAzure, &'static str, &'name str) {
        match name.strip_prefix(EVIDENCE) {
            Some(name) => (&self.evidence, EVIDENCE_CONTAINER, name),
            None => (&self.journals, CONTAINER, name),
        }
    }

    async fn put_once(&self, name: &str, body: &[u8], expected: Option<&ETag>) -> object_store::Result<ETag> {
        let mode = expected.map_or(PutMode::Create, |etag| {
            PutMode::Update(UpdateVersion { e_tag: Some(etag.0.clone()), version: None })
        });
        let options = PutOptions { mode, ..PutOptions::default() };
        let (objects, _, name) = self.objects(name);
        let put = objects.put_opts(&Path::from(name), body.to_vec().into(), options).await?;
        put.e_tag.map(ETag).ok_or_else(|| object_store::Error::Generic {
            store: "Blob Storage",
            source: words::NO_ETAG.into(),
        })
    }

    fn failed(&self, error: &(dyn Error + 'static)) -> StoreError {
        failed(&self.account, &self.place, error)
    }

    /// Makes the container (REST: Create Container). Somebody else may be as quick: 409 is as good as 201.
    async fn make_container(&self, container: &str) -> Result<(), StoreError> {
        let unavailable = |what: String| StoreError::Unavailable(words::no_container(container, &what));
        let credential = self.credentials.get_credential().await.map_err(|error| self.failed(&error))?;
        let url = format!("{}/{container}?restype=container", self.endpoint);
        let request = ::http::Request::put(url).header("content-length", "0").body(HttpRequestBody::empty());
        let mut request = request.map_err(|error| unavailable(error.to_string()))?;
        AzureAuthorizer::new(&credential, &self.account)
            .try_authorize(&mut request)
            .map_err(|error| unavailable(innermost(&error)))?;
        let answer = HttpClient::new(self.transport.clone()).execute(request).await;
        match answer.map_err(|error| self.failed(&error))?.status().as_u16() {
            201 | 409 => Ok(()),
            status => Err(unavailable(format!("Blob Storage answered {status}"))),
        }
    }
}

#[async_trait]
impl Store for BlobStore {
    async fn get(&self, name: &str) -> Result<Found, StoreError> {
        let (objects, _, name) = self.objects(name);
        let got = match objects.get(&Path::from(name)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => {
                let at = self.transport.storage_now();
                return Ok(Found { document: None, modified: at, at });
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let (at, modified) = (self.transport.storage_now(), got.meta.last_modified);
        let etag = got.meta.e_tag.clone().map(ETag);
        let etag = etag.ok_or_else(|| StoreError::Unavailable(words::without_an_etag(name)))?;
        let body = got.bytes().await.map_err(|error| self.failed(&error))?;
        Ok(Found { document: Some((body.to_vec(), etag)), modified, at })
    }

    async fn put(&self, name: &str, body: Vec<u8>, expected: Option<&ETag>) -> Result<Stored, StoreError> {
        let put = match self.put_once(name, &body, expected).await {
            Err(object_store::Error::NotFound { .. }) if expected.is_none() => {
                self.make_container(self.objects(name).1).await?;
                self.put_once(name, &body, expected).await
            }
            put => put,
        };
        let etag = put.map_err(|error| overtaken(&error).unwrap_or_else(|| self.failed(&error)))?;
        Ok(Stored { etag, at: self.transport.storage_now() })
    }

    async fn list_evidence(&self) -> Result<Option<Vec<String>>, StoreError> {
        let names = self.evidence.list(None).map_ok(|found| found.location.to_string()).try_collect().await;
        match names {
            Ok(names) => Ok(Some(names)),
            Err(error) if find::<Said>(&error).is_some_and(Said::is_no_container) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStore").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Three tries in ten seconds: a run that finds no storage changes nothing, and the next one comes soon.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() }
}

/// A write whose condition did not hold, or whose document has gone, was overtaken. The transport lets no other refusal of
/// these statuses through.
const fn overtaken(error: &object_store::Error) -> Option<StoreError> {
    match error {
        object_store::Error::Precondition { .. }
        | object_store::Error::AlreadyExists { .. }
        | object_store::Error::NotFound { .. } => Some(StoreError::Changed),
        _ => None,
    }
}

/// The account, with the host that is asked, and its port where that is not the one of the scheme: whoever looks for a wrong
/// name, a firewall or an emulator that is down needs both.
fn place(config: &BlobConfig) -> String {
    let host = config.endpoint.host_str().unwrap_or("no host");
    let port = config.endpoint.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{} at {host}{port}", config.account)
}

/// What a failure means, in words.
fn failed(account: &str, place: &str, error: &(dyn Error + 'static)) -> StoreError {
    if let Some(said) = find::<Said>(error) {
        return StoreError::Refused(Refusal::new(account, said));
    }
    StoreError::Unavailable(match error.downcast_ref() {
        Some(object_store::Error::Unauthenticated { .. }) => {
            cause::because(&words::no_token_for_the_storage(account), error.source())
        }
        _ => words::no_good_answer(place, innermost(error)),
    })
}

/// An error among the causes of another.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The cause of all causes. Those around it tell requests and URLs, and a URL may carry a signature.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let texts = causes(error).map(ToString::to_string).filter(|text| !text.contains("://"));
    let text = texts.last().unwrap_or_else(|| words::NO_REASON_GIVEN.into());
    text.trim_start_matches("Server returned non-2xx status code: ").to_owned()
}

fn credentials(
    config: &BlobConfig,
    identity: Arc<dyn TokenCredential>,
) -> Result<AzureCredentialProvider, StoreError> {
    let fixed = |credential| -> AzureCredentialProvider {
        Arc::new(object_store::StaticCredentialProvider::new(credential))
    };
    Ok(match &config.access {
        BlobAccess::AccountKey(key) => {
            let unreadable = |_| StoreError::Unavailable(words::NO_BASE64.into());
            let key = AzureAccessKey::try_new(key.expose_secret()).map_err(unreadable)?;
            fixed(AzureCredential::AccessKey(key))
        }
        BlobAccess::Signature(signature) => {
            let unreadable = |_| StoreError::Unavailable(words::NO_SIGNATURE.into());
            let pairs = split_sas(signature.expose_secret()).map_err(unreadable)?;
            fixed(AzureCredential::SASToken(pairs))
        }
        BlobAccess::Identity { .. } => Arc::new(Tokens(identity)),
    })
}

/// Tokens of azure_identity, which keeps and renews them.
struct Tokens(Arc<dyn TokenCredential>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[async_trait]
impl CredentialProvider for Tokens {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let token = self.0.get_token(&[SCOPE], None).await;
        let token = token.map_err(|error| object_store::Error::Unauthenticated {
            path: CONTAINER.into(),
            source: error.into(),
        })?;
        Ok(Arc::new(AzureCredential::BearerToken(token.token.secret().to_owned())))
    }
}
