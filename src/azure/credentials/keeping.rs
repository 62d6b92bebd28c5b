//! Keeping tokens: until shortly before their end, or until Azure refuses one before.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use tokio::sync::Mutex;

use super::CredentialError;
use crate::clock::Clock;

/// Asks for another token than one that Azure refused, though its time is not over. It goes into the context of
/// [`TokenRequestOptions`].
#[derive(Clone, Debug)]
pub struct InsteadOf(pub Secret);

type Make = dyn Fn() -> Result<Arc<dyn TokenCredential>, CredentialError> + Send + Sync;

/// A credential that can be asked for a token [`InsteadOf`] another. azure_identity's keep each token until shortly before
/// its end and cannot be told to forget it, so for that a new one is made, which has to ask.
pub(super) struct Renewable {
    make: Box<Make>,
    current: Mutex<Arc<dyn TokenCredential>>,
}

impl Renewable {
    pub(super) fn new(make: Box<Make>) -> Result<Self, CredentialError> {
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
pub(super) struct Kept<C> {
    inner: Arc<C>,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Vec<String>, Got)>>,
}

impl<C> Kept<C> {
    pub(super) fn new(inner: Arc<C>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, last: Mutex::default() }
    }
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
            Ok(Arc::new(Kept::new(inner, Arc::new(SystemClock))))
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
            let kept = Kept::new(inner, Arc::new(SystemClock));
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
        let kept = Kept::new(inner, clock.clone());
        let mut told = Vec::new();
        for (seconds, scope) in [(0, "a"), (9, "a"), (9, "b"), (12, "b"), (25, "b")] {
            clock.0.store(seconds, Ordering::Relaxed);
            told.push(kept.get_token(&[scope], None).await.unwrap_err().to_string());
        }
        let asked = [0, 0, 1, 1, 2].map(|asked| format!("logged out, asked {asked}"));
        assert_eq!(told, asked);
    }
}
