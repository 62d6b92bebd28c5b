//! Azure Resource Manager: the control plane, over HTTP.
//!
//! Start at [`Arm`]. Here is what all of Azure's operations have in common: they go through `request.rs`, which knows when a
//! request may be sent again; `operation.rs` follows what goes on in the background. The operations
//! of a kind of service or consumer are with that kind, in `services` and `consumers`. What can go wrong is an
//! [`ArmError`], whose [`ArmErrorKind`] says what is to be decided.

mod authorization;
mod contract;
mod error;
mod gate;
mod hosts;
mod operation;
mod refusal;
mod request;
mod retry;
mod said;
mod sync_tokens;
mod tally;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use authorization::{Caller, Permission};
pub use contract::{AskedBy, Operation, Subject};
pub use error::{ArmError, ArmErrorKind, Barrier};
pub use gate::Urgency;
pub use operation::OperationStatus;
pub(crate) use operation::operation_url;
pub(crate) use request::{CLIENT_REQUEST_PREFIX, Call, WAITS};
pub(in crate::azure) use said::tidy;
pub(crate) use said::{Linked, is_page};

use gate::{Gate, Turn};
use sync_tokens::SyncTokens;
use tally::Tally;
pub use tally::{Left, Sent};

use crate::azure::cloud::{Cloud, scope};
use crate::azure::http::{Http, Insecure, check_secure};
use crate::clock::Clock;
use crate::report::text::azure as words;

/// The operations that are of no kind of service or consumer.
pub const OPERATIONS: [Operation; 2] = [authorization::PERMISSIONS, SUBSCRIPTIONS];

const SUBSCRIPTIONS: Operation =
    Operation::read("Subscriptions_List", &["Microsoft.Resources/subscriptions/read"]);

/// Microsoft.Resources, subscriptions.
const API_VERSION: &str = "2022-12-01";

/// More pages than any subscription has (a page of sites holds 100 and more, a subscription a few thousand): who sends
/// more sends us in circles.
const MOST_PAGES: usize = 1000;

/// The most bytes of a list that are read over all its pages. A site is some 20 kB of it, so this is more than any
/// subscription has too, and far below a thousand pages of the largest answer.
const LARGEST_LIST: usize = 128 << 20;

/// A client of Azure Resource Manager; cheap to clone.
///
/// Guarantees: a token goes to the host of `base` alone, over https or to loopback. A read is sent again after any
/// passing failure; a change only when nothing can have come of it, and else ends as [`ArmErrorKind::OutcomeUnknown`].
/// No key, value of a setting, token or signature is ever in an error or in the log.
#[derive(Clone)]
pub struct Arm {
    shared: Arc<Shared>,
    deadline: Option<DateTime<Utc>>,
    /// From when on what Azure did not take is not sent again.
    resends_until: Option<DateTime<Utc>>,
    /// What is kept of one read, where that matters.
    timing: Option<Arc<Timing>>,
    /// The id by which Azure's support finds the last change that Azure took, where that is to be known.
    trace: Option<Arc<Mutex<Option<String>>>>,
    /// When it is its turn, where many ask.
    turn: Arc<Turn>,
}

/// When a read was sent, and how long it may take from then on: that others came before it is not its fault.
#[derive(Debug)]
struct Timing {
    longest: Option<TimeDelta>,
    sent: Mutex<Option<DateTime<Utc>>>,
}

struct Shared {
    base: Url,
    scope: String,
    /// Below whose suffixes vaults and stores are given a token.
    cloud: Cloud,
    sync_tokens: SyncTokens,
    credential: Arc<dyn TokenCredential>,
    clock: Arc<dyn Clock>,
    http: Http,
    gate: Arc<Gate>,
    /// The seed of the next request's delays.
    jitter_seed: AtomicU64,
    /// Until when it was said that a 429 is waited for.
    told_of_wait: Mutex<Option<DateTime<Utc>>>,
    /// What was sent so far.
    tally: Tally,
}

/// What a client is made of.
#[derive(Clone, Debug)]
pub struct ArmOptions {
    /// Where Azure Resource Manager is, like `https://management.azure.com`.
    pub base: Url,
    /// As whom it is asked.
    pub credential: Arc<dyn TokenCredential>,
    pub clock: Arc<dyn Clock>,
    /// The process's HTTP client.
    pub http: Http,
    /// Where the stream of random delays between attempts begins.
    pub jitter_seed: u64,
}

impl Arm {
    /// Makes a client. Nothing is sent or set up before its first request.
    pub fn new(options: ArmOptions) -> Result<Self, Insecure> {
        let ArmOptions { base, credential, clock, http, jitter_seed } = options;
        check_secure(&base)?;
        let (scope, cloud) = (scope(&base), Cloud::of(&base));
        let jitter_seed = AtomicU64::new(jitter_seed);
        let gate = Arc::new(Gate::new(Arc::clone(&clock)));
        let turn = Arc::new(gate.turn(Urgency::Check));
        let told_of_wait = Mutex::default();
        let shared = Arc::new(Shared {
            base,
            scope,
            cloud,
            sync_tokens: SyncTokens::default(),
            credential,
            clock,
            http,
            gate,
            jitter_seed,
            told_of_wait,
            tally: Tally::default(),
        });
        Ok(Self { shared, deadline: None, resends_until: None, timing: None, trace: None, turn })
    }

    /// The same client for a run, whose requests come before those of later runs that are no more urgent.
    pub(crate) fn in_turn(&self) -> Self {
        Self { turn: Arc::new(self.shared.gate.turn(Urgency::Check)), ..self.clone() }
    }

    /// How urgent the requests of this client are from now on, and of all that were made of it.
    pub(crate) fn set_urgency(&self, urgency: Urgency) {
        self.shared.gate.set(&self.turn, urgency);
    }

    /// The same client for one read, which may take so long, where that is said, with all its attempts.
    pub(crate) fn timed(&self, longest: Option<TimeDelta>) -> Self {
        let timing = Timing { longest, sent: Mutex::default() };
        Self { timing: Some(Arc::new(timing)), ..self.clone() }
    }

    /// When that read was first sent.
    pub(crate) fn sent(&self) -> Option<DateTime<Utc>> {
        *self.timing.as_ref()?.sent.lock()
    }

    /// The same client, which remembers how the last change is called that Azure took.
    pub(crate) fn traced(&self) -> Self {
        Self { trace: Some(Arc::default()), ..self.clone() }
    }

    /// The id of that change.
    pub(crate) fn trace(&self) -> Option<String> {
        self.trace.as_ref()?.lock().clone()
    }

    /// The same client, whose requests and waits end by a deadline. A request that it leaves no time for is not sent
    /// (`OutOfTime`); a wait that would reach beyond it is not begun, and the error that asked for it is returned.
    #[must_use]
    pub fn until(&self, deadline: DateTime<Utc>) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// The same client, which sends nothing again from then on that Azure did not take.
    #[must_use]
    pub(crate) fn resending_until(&self, until: DateTime<Utc>) -> Self {
        Self { resends_until: Some(until), ..self.clone() }
    }

    /// The same client, whose requests end by this time or by its own deadline, whichever is sooner.
    #[must_use]
    pub fn no_later_than(&self, deadline: DateTime<Utc>) -> Self {
        self.until(self.deadline.map_or(deadline, |own| own.min(deadline)))
    }

    /// The requests that this process has sent.
    pub fn sent_so_far(&self) -> Vec<Sent> {
        self.shared.tally.sent()
    }

    /// What Azure said was left of the requests that it takes.
    pub fn left_of_requests(&self) -> Vec<Left> {
        self.shared.gate.told()
    }

    /// The URL of a resource or operation. An id holds nothing that has a meaning of its own in a URL.
    pub(crate) fn url(&self, path: &str, api_version: &str) -> Url {
        let mut url = self.shared.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url.set_query(Some(&format!("api-version={api_version}")));
        url
    }

    /// Waits, by the clock of the client.
    pub(crate) async fn sleep(&self, time: Duration) {
        self.shared.clock.sleep(time).await;
    }

    /// What time it is, by the clock of the client.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// The clock of the client.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    /// The ids of all resources that a list shows, all pages. What bears no id of the kind is left out.
    pub(crate) async fn ids<T: FromStr>(&self, call: Call) -> Result<Vec<T>, ArmError> {
        #[derive(Deserialize)]
        struct Resource {
            id: String,
        }
        let resources: Vec<Resource> = self.pages(call).await?;
        Ok(resources.into_iter().filter_map(|resource| resource.id.parse().ok()).collect())
    }

    /// Waits, by the clock of the client. That there is no time left shows at the next request.
    pub(crate) async fn rest(&self, time: Duration) {
        self.shared.clock.sleep(time).await;
    }

    /// `Subscriptions_List`, all pages: those that the identity can see.
    pub async fn list_subscriptions(&self) -> Result<Vec<Subscription>, ArmError> {
        self.pages(Call::get(SUBSCRIPTIONS, self.url("/subscriptions", API_VERSION))).await
    }

    /// All items of a list, along its `nextLink`s, which never lead off the host that was asked.
    pub(crate) async fn pages<T: DeserializeOwned>(&self, mut call: Call) -> Result<Vec<T>, ArmError> {
        let (mut items, mut length) = (Vec::new(), 0);
        for _ in 0..MOST_PAGES {
            let answer = self.send(&call).await?;
            length += answer.length();
            if length > LARGEST_LIST {
                break;
            }
            let page: Page<T> = answer.json(&call)?;
            items.extend(page.value);
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else { return Ok(items) };
            let next = call.url.join(&link).ok().filter(|next| is_at(next, &call.url));
            let strange = || answer.fault(&call, ArmErrorKind::Malformed, words::STRANGE_LINK);
            call.url = next.ok_or_else(strange)?;
        }
        Err(call.error(ArmErrorKind::Malformed, words::ENDLESS_LIST))
    }

    /// Whether a URL that Azure gave us stays on the host that we were given: scheme, host and port. One with a user in
    /// it does not, for that would stand in the place of the token.
    fn is_ours(&self, url: &Url) -> bool {
        is_at(url, &self.shared.base)
    }
}

fn is_at(url: &Url, base: &Url) -> bool {
    url.origin() == base.origin() && url.username().is_empty() && url.password().is_none()
}

/// A subscription that the identity can see.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    #[serde(rename = "subscriptionId")]
    pub id: String,
    #[serde(default)]
    pub display_name: String,
    /// `Enabled`, `Disabled`, `Warned` and so on.
    #[serde(default)]
    pub state: String,
}

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

impl fmt::Debug for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.shared.base.as_str();
        f.debug_struct("Arm").field("base", &base).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
