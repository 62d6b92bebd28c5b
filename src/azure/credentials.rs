//! As whom Azure is asked.
//!
//! Start at [`credential`]. It reads the environment in the order in which Microsoft's own tools do and refuses what is
//! half configured, for azure_identity would go on to the next way and fail there with a riddle.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions};
use azure_core::time::Duration;
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use tokio::sync::Mutex;

use crate::azure::http::Http;
use crate::clock::Clock;
use crate::config::{AzureConfig, Cloud};
use crate::report::text::azure::identity;

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Some variables of a group are set, and one is not.
    HalfConfigured {
        /// The variable that lacks.
        missing: &'static str,
        /// One that is there.
        given: &'static str,
        /// What the group is for.
        purpose: &'static str,
    },
    /// We run in Azure and have no identity.
    NoIdentity,
    /// azure_identity does not take what was configured.
    Unusable(&'static str, #[source] azure_core::Error),
}

/// Which way of proving who we are the environment asks for.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    ClientSecret { tenant: String, client: String },
    WorkloadIdentity { tenant: String, client: String, token_file: String },
    ManagedIdentity,
    DeveloperTools,
}

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const ENDPOINT: &str = "IDENTITY_ENDPOINT";
const HEADER: &str = "IDENTITY_HEADER";
/// What App Service and Functions set in the processes that they run. The instance's id is not set on Flex and Linux
/// Consumption, the site's name is set on all (Functions host, EnvironmentExtensions); no tool of a developer's machine sets
/// either.
const IN_AZURE: [&str; 2] = ["WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME"];

/// Whether this process runs in App Service or Functions, and not on somebody's machine.
pub(crate) fn is_in_azure(environment: &dyn Fn(&str) -> Option<String>) -> bool {
    IN_AZURE.into_iter().any(|name| environment(name).is_some_and(|value| !value.trim().is_empty()))
}

/// The credential that the environment asks for: a client secret, a workload identity, the managed identity of the app,
/// or else the developer's tools (`az login`, `azd auth login`), in this order. Tokens are kept and renewed early.
///
/// `environment` must tell what the process's own environment holds: for a managed identity azure_identity reads
/// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` there itself, the latter at each call, because the platform changes it.
pub fn credential(
    environment: &dyn Fn(&str) -> Option<String>,
    azure: &AzureConfig,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
    let way = way(&environment, azure.client_id.as_deref())?;
    let secret = Secret::new(environment(SECRET).unwrap_or_default());
    let (azure, http, clock) = (azure.clone(), http.clone(), Arc::clone(clock));
    Ok(Arc::new(Renewable::new(Box::new(move || made(&way, &secret, &azure, &http, &clock)))?))
}

fn made(
    way: &Way,
    secret: &Secret,
    azure: &AzureConfig,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let client_options = || ClientOptions {
        transport: Some(http.transport()),
        cloud: Some(Arc::new(cloud(azure.cloud))),
        retry: RetryOptions::exponential(again()),
        ..ClientOptions::default()
    };
    Ok(match way {
        Way::ClientSecret { tenant, client } => {
            let options = ClientSecretCredentialOptions { client_options: client_options() };
            ClientSecretCredential::new(tenant, client.clone(), secret.clone(), Some(options))
                .map_err(|error| CredentialError::Unusable(identity::CLIENT_SECRET, error))?
        }
        Way::WorkloadIdentity { tenant, client, token_file } => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options: client_options() },
                client_id: Some(client.clone()),
                tenant_id: Some(tenant.clone()),
                token_file_path: Some(PathBuf::from(token_file)),
            };
            WorkloadIdentityCredential::new(Some(options))
                .map_err(|error| CredentialError::Unusable(identity::WORKLOAD, error))?
        }
        Way::ManagedIdentity => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: azure.client_id.clone().map(UserAssignedId::ClientId),
                client_options: client_options(),
            };
            ManagedIdentityCredential::new(Some(options))
                .map_err(|error| CredentialError::Unusable(identity::MANAGED, error))?
        }
        Way::DeveloperTools => {
            let tools = DeveloperToolsCredential::new(None)
                .map_err(|error| CredentialError::Unusable("the developer's tools", error))?;
            Arc::new(Kept { inner: tools, clock: Arc::clone(clock), last: Mutex::default() })
        }
    })
}

fn way(
    environment: &dyn Fn(&str) -> Option<String>,
    client_id: Option<&str>,
) -> Result<Way, CredentialError> {
    let get = |missing, given, purpose| {
        let client = || client_id.filter(|_| missing == CLIENT).map(Into::into);
        environment(missing).or_else(client).ok_or(CredentialError::HalfConfigured {
            missing,
            given,
            purpose,
        })
    };
    if environment(SECRET).is_some() {
        let purpose = identity::CLIENT_SECRET;
        return Ok(Way::ClientSecret {
            tenant: get(TENANT, SECRET, purpose)?,
            client: get(CLIENT, SECRET, purpose)?,
        });
    }
    if let Some(token_file) = environment(TOKEN_FILE) {
        let purpose = identity::WORKLOAD;
        let (tenant, client) = (get(TENANT, TOKEN_FILE, purpose)?, get(CLIENT, TOKEN_FILE, purpose)?);
        return Ok(Way::WorkloadIdentity { tenant, client, token_file });
    }
    let purpose = identity::MANAGED;
    match (environment(ENDPOINT), environment(HEADER)) {
        (Some(_), Some(_)) => Ok(Way::ManagedIdentity),
        (Some(_), None) => Err(CredentialError::HalfConfigured { missing: HEADER, given: ENDPOINT, purpose }),
        (None, Some(_)) => Err(CredentialError::HalfConfigured { missing: ENDPOINT, given: HEADER, purpose }),
        // azure_identity would ask the metadata service of virtual machines, which App Service does not have.
        (None, None) if is_in_azure(environment) => Err(CredentialError::NoIdentity),
        (None, None) if environment(TENANT).is_some() && environment(CLIENT).is_some() => {
            let purpose = identity::CLIENT_SECRET_OR_WORKLOAD;
            Err(CredentialError::HalfConfigured { missing: SECRET, given: TENANT, purpose })
        }
        (None, None) => Ok(Way::DeveloperTools),
    }
}

/// How often a token endpoint is asked again: four times within five seconds. azure_core's own nine attempts take more than
/// the half minute that a request may wait for its token, and then nobody is told what the endpoint said.
fn again() -> ExponentialRetryOptions {
    ExponentialRetryOptions {
        initial_delay: Duration::milliseconds(200),
        max_retries: 4,
        max_total_elapsed: Duration::seconds(5),
        max_delay: Duration::seconds(2),
    }
}

/// The authority, `login.…`, that gives out tokens in a cloud.
const fn cloud(cloud: Cloud) -> CloudConfiguration {
    match cloud {
        Cloud::Public => CloudConfiguration::AzurePublic,
        Cloud::UsGovernment => CloudConfiguration::AzureGovernment,
        Cloud::China => CloudConfiguration::AzureChina,
    }
}

/// Asks for another token than one that Azure refused, though its time is not over. It goes into the context of
/// [`TokenRequestOptions`].
#[derive(Clone, Debug)]
pub struct InsteadOf(pub Secret);

type Make = dyn Fn() -> Result<Arc<dyn TokenCredential>, CredentialError> + Send + Sync;

/// A credential that can be asked for a token [`InsteadOf`] another. azure_identity's keep each token until shortly before
/// its end and cannot be told to forget it, so for that a new one is made, which has to ask.
struct Renewable {
    make: Box<Make>,
    current: Mutex<Arc<dyn TokenCredential>>,
}

impl Renewable {
    fn new(make: Box<Make>) -> Result<Self, CredentialError> {
        let current = Mutex::new(make()?);
        Ok(Self { make, current })
    }
}

impl fmt::Debug for Renewable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Renewable").field(&self.current).finish()
    }
}

#[async_trait]
impl TokenCredential for Renewable {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let refused =
            options.as_ref().and_then(|options| options.method_options.context.value::<InsteadOf>());
        let Some(InsteadOf(refused)) = refused.cloned() else {
            let current = Arc::clone(&*self.current.lock().await);
            return current.get_token(scopes, options).await;
        };
        // One at a time: of many requests whose token expired, the first asks for another and all get it.
        let mut current = self.current.lock().await;
        let token = current.get_token(scopes, options.clone()).await?;
        if token.token.secret() != refused.secret() {
            return Ok(token);
        }
        let made = (self.make)().map_err(|error| azure_core::Error::new(ErrorKind::Credential, error))?;
        *current = made;
        current.get_token(scopes, options).await
    }
}

/// Keeps the token of a credential that does not do so itself: each `az account get-access-token` takes a second.
/// Made for one scope at a time, as we use it.
#[derive(Debug)]
struct Kept<C> {
    inner: Arc<C>,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Vec<String>, Got)>>,
}

/// What came of asking.
#[derive(Debug)]
enum Got {
    Token(AccessToken),
    /// Why there was none, and when, in seconds since 1970.
    Nothing(String, i64),
}

/// How long nobody is asked again who had no token to give, in seconds: a hundred services that all need one wait for the
/// developer's tools once, and whoever has logged in meanwhile and runs the command again is a new process.
const ASK_AGAIN: i64 = 10;

/// How long before its end a token is renewed, in seconds: as early as azure_identity's own cache does.
const RENEW_EARLY: i64 = 300;

#[async_trait]
impl<C: TokenCredential> TokenCredential for Kept<C> {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let mut last = self.last.lock().await;
        let now = self.clock.now().timestamp();
        match last.as_ref().filter(|(known, _)| known == scopes).map(|(_, got)| got) {
            Some(Got::Token(token)) if token.expires_on.unix_timestamp() > now + RENEW_EARLY => {
                return Ok(token.clone());
            }
            Some(Got::Nothing(why, at)) if (*at..*at + ASK_AGAIN).contains(&now) => {
                return Err(azure_core::Error::with_message(ErrorKind::Credential, why.clone()));
            }
            _ => {}
        }
        let asked = self.inner.get_token(scopes, options).await;
        let got = match &asked {
            Ok(token) => Got::Token(token.clone()),
            Err(error) => Got::Nothing(error.to_string(), self.clock.now().timestamp()),
        };
        *last = Some((scopes.iter().map(ToString::to_string).collect(), got));
        asked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use azure_core::http::{ClientMethodOptions, Context};
    use azure_core::time::{Duration, OffsetDateTime};

    use super::*;
    use crate::clock::SystemClock;

    fn way_of(variables: &[(&str, &str)]) -> Result<Way, String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        way(&find, None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_decides_in_order() {
        let (tenant, client) = ("t".to_owned(), "c".to_owned());
        let identity = [(ENDPOINT, "http://localhost:1"), (HEADER, "h")];
        assert_eq!(way_of(&[]).unwrap(), Way::DeveloperTools);
        assert_eq!(way_of(&[(TENANT, "t")]).unwrap(), Way::DeveloperTools);
        assert_eq!(way_of(&identity).unwrap(), Way::ManagedIdentity);
        assert_eq!(
            way_of(&[identity[0], identity[1], (CLIENT, "c"), (TENANT, "t")]).unwrap(),
            Way::ManagedIdentity
        );
        assert_eq!(
            way_of(&[
                identity[0],
                identity[1],
                (TENANT, "t"),
                (CLIENT, "c"),
                (SECRET, "s"),
                (TOKEN_FILE, "f")
            ])
            .unwrap(),
            Way::ClientSecret { tenant: tenant.clone(), client: client.clone() }
        );
        assert_eq!(
            way_of(&[(TENANT, "t"), (CLIENT, "c"), (TOKEN_FILE, "f")]).unwrap(),
            Way::WorkloadIdentity { tenant, client, token_file: "f".to_owned() }
        );
    }

    #[test]
    fn half_a_group_is_refused_by_name() {
        let sentences: Vec<String> = [
            &[(SECRET, "hunter2"), (CLIENT, "c")][..],
            &[(SECRET, "hunter2"), (TENANT, "t")],
            &[(TOKEN_FILE, "/f"), (TENANT, "t")],
            &[(TENANT, "t"), (CLIENT, "c")],
            &[(ENDPOINT, "http://localhost")],
            &[(HEADER, "hunter2")],
            &[(IN_AZURE[0], "i")],
            &[(IN_AZURE[1], "func-rekey")],
        ]
        .map(|variables| way_of(variables).unwrap_err())
        .to_vec();
        assert!(!sentences.concat().contains("hunter2"));
        insta::assert_snapshot!(sentences.join("\n"), @r"
        AZURE_TENANT_ID is not set, but AZURE_CLIENT_SECRET is: set both for an application's client secret, or neither
        AZURE_CLIENT_ID is not set, but AZURE_CLIENT_SECRET is: set both for an application's client secret, or neither
        AZURE_CLIENT_ID is not set, but AZURE_FEDERATED_TOKEN_FILE is: set both for a workload identity, or neither
        AZURE_CLIENT_SECRET is not set, but AZURE_TENANT_ID is: set both for an application's client secret (or AZURE_FEDERATED_TOKEN_FILE for a workload identity), or neither
        IDENTITY_HEADER is not set, but IDENTITY_ENDPOINT is: set both for a managed identity, or neither
        IDENTITY_ENDPOINT is not set, but IDENTITY_HEADER is: set both for a managed identity, or neither
        this app has no managed identity (IDENTITY_ENDPOINT is not set): assign one, and give it the role that the README names
        this app has no managed identity (IDENTITY_ENDPOINT is not set): assign one, and give it the role that the README names
        ");
    }

    #[test]
    fn every_cloud_makes_a_credential() {
        let environment = |name: &str| [TENANT, CLIENT, SECRET].contains(&name).then(|| "hunter2".to_owned());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        for (cloud, authority) in [
            (Cloud::Public, "login.microsoftonline.com"),
            (Cloud::UsGovernment, "login.microsoftonline.us"),
            (Cloud::China, "login.chinacloudapi.cn"),
        ] {
            let resource_manager = "https://management.azure.com".parse().unwrap();
            let azure = AzureConfig { cloud, resource_manager, client_id: None };
            let made = credential(&environment, &azure, &Http::new(), &clock).unwrap();
            assert!(format!("{made:?}").contains(authority), "{made:?}");
        }
    }

    #[derive(Debug)]
    struct Counting(AtomicUsize, Duration);

    #[async_trait]
    impl TokenCredential for Counting {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            Ok(AccessToken::new(format!("token-{count}"), OffsetDateTime::now_utc() + self.1))
        }
    }

    #[tokio::test]
    async fn a_token_that_was_refused_is_renewed_once_for_all_who_ask() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let make = move || -> Result<Arc<dyn TokenCredential>, CredentialError> {
            // Each keeps its one token, as azure_identity's do.
            let first = 10 * counter.fetch_add(1, Ordering::Relaxed);
            let inner = Arc::new(Counting(AtomicUsize::new(first), Duration::hours(1)));
            Ok(Arc::new(Kept { inner, clock: Arc::new(SystemClock), last: Mutex::default() }))
        };
        let credential = Renewable::new(Box::new(make)).unwrap();
        let ask = async |instead_of: Option<&str>| {
            let options = instead_of.map(|refused| {
                let context = Context::new().with_value(InsteadOf(Secret::new(refused.to_owned())));
                TokenRequestOptions { method_options: ClientMethodOptions { context } }
            });
            credential.get_token(&["scope"], options).await.unwrap().token.secret().to_owned()
        };
        assert_eq!(ask(None).await, "token-0");
        assert_eq!(ask(None).await, "token-0", "kept");
        assert_eq!(ask(Some("token-0")).await, "token-10");
        assert_eq!(ask(Some("token-0")).await, "token-10", "renewed by another already");
        assert_eq!(ask(None).await, "token-10");
        assert_eq!((ask(Some("token-10")).await.as_str(), made.load(Ordering::Relaxed)), ("token-20", 3));
        assert!(!format!("{credential:?}").contains("token-"));
    }

    #[tokio::test]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        for (life, wanted) in [(Duration::hours(1), "token-0"), (Duration::minutes(4), "token-2")] {
            let inner = Arc::new(Counting(AtomicUsize::new(0), life));
            let kept = Kept { inner, clock: Arc::new(SystemClock), last: Mutex::default() };
            let mut last = String::new();
            for _ in 0..3 {
                last = kept.get_token(&["scope"], None).await.unwrap().token.secret().to_owned();
            }
            assert_eq!(last, wanted);
            assert!(!format!("{kept:?}").contains("token-"));
        }
    }

    /// A clock that stands where it was put.
    #[derive(Debug)]
    struct Still(AtomicUsize);

    #[async_trait]
    impl Clock for Still {
        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            let seconds = i64::try_from(self.0.load(Ordering::Relaxed)).unwrap();
            chrono::DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
        }

        async fn sleep_until(&self, _: chrono::DateTime<chrono::Utc>) {}
    }

    /// Has no token, and says how often it was asked.
    #[derive(Debug, Default)]
    struct LoggedOut(AtomicUsize);

    #[async_trait]
    impl TokenCredential for LoggedOut {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            let asked = self.0.fetch_add(1, Ordering::Relaxed);
            Err(azure_core::Error::with_message(ErrorKind::Credential, format!("logged out, asked {asked}")))
        }
    }

    #[tokio::test]
    async fn who_has_no_token_is_asked_once_in_a_while() {
        let clock = Arc::new(Still(AtomicUsize::new(0)));
        let inner = Arc::new(LoggedOut::default());
        let kept = Kept { inner, clock: clock.clone(), last: Mutex::default() };
        let mut told = Vec::new();
        for (seconds, scope) in [(0, "a"), (9, "a"), (9, "b"), (12, "b"), (25, "b")] {
            clock.0.store(seconds, Ordering::Relaxed);
            told.push(kept.get_token(&[scope], None).await.unwrap_err().to_string());
        }
        let asked = [0, 0, 1, 1, 2].map(|asked| format!("logged out, asked {asked}"));
        assert_eq!(told, asked);
    }
}
