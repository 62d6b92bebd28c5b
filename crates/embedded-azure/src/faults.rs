//! Faults and hooks: what goes wrong with the next requests, and what others do just before or after them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The next `count` requests of an operation go wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation id (`SignalR_RegenerateKey`), or `*` for any ARM request.
    #[serde(default = "any")]
    pub operation: String,
    /// Only requests for the service, site, `site/slot`, vault, `vault/secret`, store or `store/key` of this name.
    #[serde(default)]
    pub resource: Option<String>,
    /// How many requests pass before the first goes wrong.
    #[serde(default)]
    pub skip: u64,
    /// How many requests.
    #[serde(default = "one")]
    pub count: u64,
    /// What goes wrong.
    pub kind: FaultKind,
    /// The `Retry-After` of `429` and `503`, in seconds; 1 if not given for `429`.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// How long `slow` and the timeouts make the client wait, or after what time `applied-late` is applied, in
    /// milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

/// What goes wrong. In JSON it is named as [`FaultKind::name`] says; a number does for a status too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "String")]
pub enum FaultKind {
    /// 429 by the resource provider, nothing happened (docs: Understand how ARM throttles requests; the code is not confirmed).
    Throttled,
    /// 500, nothing happened.
    ServerError,
    /// 500, but it took effect.
    ServerErrorAfter,
    /// 503, nothing happened.
    Unavailable,
    /// The connection closes without an answer; nothing happened.
    TimeoutBefore,
    /// The connection closes without an answer, but it took effect.
    TimeoutAfter,
    /// 401. On the data plane it is what an unevenly propagated key looks like (public issue azure-signalr#2197).
    Unauthorized,
    /// 403 `AuthorizationFailed`.
    Forbidden,
    /// 409 `Conflict`.
    Conflict,
    /// A regeneration that reports success without having rotated.
    NoEffect,
    /// A regeneration that is accepted and then fails.
    OperationFailed,
    /// All is well, but only after `delay_ms`.
    Slow,
    /// 401 `ExpiredAuthenticationToken`, which may hit a poll of a long operation (docs: Azure Resource Manager, common
    /// deployment errors; public logs).
    ExpiredToken,
    /// 400, as for a URL whose signature does not fit.
    BadRequest,
    /// 200 with a page of HTML, as something between the caller and Azure answers.
    Html,
    /// 200 with a status that is null.
    NullStatus,
    /// An operation that says `Updating`: everything but `Succeeded`, `Failed` and `Canceled` means that it runs (docs:
    /// Track asynchronous Azure operations).
    StillRunning,
    /// A regeneration whose operation is at another host, as regional endpoints of Azure Resource Manager are.
    ForeignHost,
    /// Settings are answered with what was sent, and nothing is written: another writer's PUT came right after.
    Swallowed,
    /// The same, and they are written `delay_ms` later (docs: Use Key Vault references, the change is applied
    /// asynchronously unless `WEBSITE_ENABLE_SYNC_UPDATE_SITE` is true).
    AppliedLate,
    /// Settings are refused because the app's content share cannot be reached (docs: Use Key Vault references,
    /// considerations for Azure Files mounting).
    ContentShare,
    /// A key-value is read as it was before it was last changed, by who does not bring back the newest sync token of the store
    /// (docs: App Configuration REST API, Consistency).
    Stale,
}

/// The faults to come, first come first served.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

/// What a hook does to the embedded Azure.
pub(crate) type Action<S> = Box<dyn FnOnce(&mut S) + Send>;

/// When a hook runs, seen from the request it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// The hooks that wait for their request. `S` is what they are handed.
pub(crate) struct Hooks<S>(Vec<Hook<S>>);

struct Hook<S> {
    operation: String,
    moment: Moment,
    /// How many matching requests are still to come, with the one it waits for.
    left: usize,
    action: Action<S>,
}

impl Fault {
    /// One request of `operation` goes wrong.
    #[must_use]
    pub fn new(operation: &str, kind: FaultKind) -> Self {
        Self {
            operation: operation.to_owned(),
            resource: None,
            skip: 0,
            count: 1,
            kind,
            retry_after: None,
            delay_ms: 0,
        }
    }

    /// The next `count` requests go wrong.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// The next `skip` requests pass before.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Only those for one service, site or `site/slot`.
    #[must_use]
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// How long the client waits for the answer.
    pub(crate) fn keeps_waiting(&self) -> Duration {
        if self.kind == FaultKind::AppliedLate { Duration::ZERO } else { self.delay() }
    }

    fn hits(&self, operation: &str, arm: bool, resource: &str) -> bool {
        let named = self.operation.eq_ignore_ascii_case(operation) || (self.operation == "*" && arm);
        self.count > 0
            && named
            && self.resource.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(resource))
    }
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Throttled,
        Self::ServerError,
        Self::ServerErrorAfter,
        Self::Unavailable,
        Self::TimeoutBefore,
        Self::TimeoutAfter,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Conflict,
        Self::NoEffect,
        Self::OperationFailed,
        Self::Slow,
        Self::ExpiredToken,
        Self::BadRequest,
        Self::Html,
        Self::NullStatus,
        Self::StillRunning,
        Self::ForeignHost,
        Self::Swallowed,
        Self::AppliedLate,
        Self::ContentShare,
        Self::Stale,
    ];

    /// What it is called in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "429",
            Self::ServerError => "500",
            Self::ServerErrorAfter => "500-after",
            Self::Unavailable => "503",
            Self::TimeoutBefore => "timeout-before",
            Self::TimeoutAfter => "timeout-after",
            Self::Unauthorized => "401",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::NoEffect => "no-effect",
            Self::OperationFailed => "operation-failed",
            Self::Slow => "slow",
            Self::ExpiredToken => "expired-token",
            Self::BadRequest => "400",
            Self::Html => "html",
            Self::NullStatus => "null-status",
            Self::StillRunning => "still-running",
            Self::ForeignHost => "foreign-host",
            Self::Swallowed => "swallowed",
            Self::AppliedLate => "applied-late",
            Self::ContentShare => "content-share",
            Self::Stale => "stale",
        }
    }
}

impl From<FaultKind> for String {
    fn from(kind: FaultKind) -> Self {
        kind.name().to_owned()
    }
}

impl TryFrom<serde_json::Value> for FaultKind {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, Self::Error> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(&text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text} is no kind of fault; there is {names}")
        })
    }
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The operations of those that no request has met yet.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|fault| fault.operation.clone())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The one that every request of an operation meets, if there is one that does not end.
    pub(crate) fn lasting(&self, operation: &str, resource: &str) -> Option<FaultKind> {
        let lasts = |fault: &&Fault| fault.count > u64::MAX / 2 && fault.skip == 0;
        self.0
            .iter()
            .filter(lasts)
            .find(|fault| fault.hits(operation, true, resource))
            .map(|fault| fault.kind)
    }

    /// The fault that this request meets, if any; it is used up.
    pub(crate) fn take(&mut self, operation: &str, arm: bool, resource: &str) -> Option<Fault> {
        let mut hit = self.0.iter_mut().filter(|fault| fault.hits(operation, arm, resource));
        let fault = hit.find_map(|fault| match fault.skip.checked_sub(1) {
            Some(left) => {
                fault.skip = left;
                None
            }
            None => Some(fault),
        })?;
        fault.count -= 1;
        let taken = fault.clone();
        self.0.retain(|fault| fault.count > 0);
        Some(taken)
    }
}

impl<S> Default for Hooks<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S> Hooks<S> {
    pub(crate) fn add(&mut self, moment: Moment, operation: &str, nth: usize, action: Action<S>) {
        self.0.push(Hook { operation: operation.to_owned(), moment, left: nth.max(1), action });
    }

    /// The operations of those that still wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|hook| hook.operation.clone())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The actions of the hooks that waited for this request.
    pub(crate) fn take(&mut self, moment: Moment, operation: &str) -> Vec<Action<S>> {
        let mut ready = Vec::new();
        for mut hook in std::mem::take(&mut self.0) {
            let named = hook.operation == "*" || hook.operation.eq_ignore_ascii_case(operation);
            let matches = hook.moment == moment && named;
            hook.left -= usize::from(matches);
            if hook.left == 0 { ready.push(hook.action) } else { self.0.push(hook) }
        }
        ready
    }
}

impl<S> fmt::Debug for Hooks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|hook| (&hook.operation, hook.moment, hook.left))).finish()
    }
}

fn any() -> String {
    "*".into()
}

fn one() -> u64 {
    1
}
