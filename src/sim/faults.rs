//! Faults and hooks: what goes wrong with the next requests, and what others do just before or after them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::State;

/// The next `count` requests of an operation go wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation id (`SignalR_RegenerateKey`), or `*` for any ARM request.
    #[serde(default = "any")]
    pub operation: String,
    /// Only requests for the instance, site or `site/slot` of this name.
    #[serde(default)]
    pub resource: Option<String>,
    /// How many requests.
    #[serde(default = "one")]
    pub count: u64,
    /// What goes wrong.
    pub kind: FaultKind,
    /// The `Retry-After` of `429` and `503`, in seconds; 1 if not given for `429`.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// How long `slow` and the timeouts make the client wait, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

/// What goes wrong. In JSON it is named as [`FaultKind::name`] says; a number does for a status too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "String")]
pub enum FaultKind {
    /// 429, nothing happened (docs: Understand how ARM throttles requests).
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
}

/// The faults to come, first come first served.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

/// What a hook does to the simulated Azure.
pub(super) type Action = Box<dyn FnOnce(&mut State) + Send>;

/// When a hook runs, seen from the request it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

/// The hooks that wait for their request.
#[derive(Default)]
pub(super) struct Hooks(Vec<Hook>);

struct Hook {
    operation: String,
    moment: Moment,
    /// How many matching requests are still to come, with the one it waits for.
    left: usize,
    action: Action,
}

impl Fault {
    /// One request of `operation` goes wrong.
    #[must_use]
    pub fn new(operation: &str, kind: FaultKind) -> Self {
        Self {
            operation: operation.to_owned(),
            resource: None,
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

    /// Only those for one instance, site or `site/slot`.
    #[must_use]
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
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
    pub const ALL: [Self; 12] = [
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
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The operations of those that no request has met yet.
    pub(super) fn waiting(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|fault| fault.operation.clone())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that this request meets, if any; it is used up.
    pub(super) fn take(&mut self, operation: &str, arm: bool, resource: &str) -> Option<Fault> {
        let fault = self.0.iter_mut().find(|fault| fault.hits(operation, arm, resource))?;
        fault.count -= 1;
        let taken = fault.clone();
        self.0.retain(|fault| fault.count > 0);
        Some(taken)
    }
}

impl Hooks {
    pub(super) fn add(&mut self, moment: Moment, operation: &str, nth: usize, action: Action) {
        self.0.push(Hook { operation: operation.to_owned(), moment, left: nth.max(1), action });
    }

    /// The operations of those that still wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|hook| hook.operation.clone())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The actions of the hooks that waited for this request.
    pub(super) fn take(&mut self, moment: Moment, operation: &str) -> Vec<Action> {
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

impl fmt::Debug for Hooks {
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
