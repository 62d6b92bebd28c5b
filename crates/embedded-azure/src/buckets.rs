//! Azure Resource Manager's token buckets (docs: Understand how Azure Resource Manager throttles requests).
//!
//! Each principal has a bucket for reads, writes and deletes, in each subscription and in the tenant. A request takes a
//! token; one that finds none is answered 429 with `Retry-After`, and so is a client that retries before that time. POSTs
//! are writes, lists of secrets too (Azure CLI recordings of `listKeys`). The embedded Azure has one principal, one
//! subscription and one region, so these are all. Not played: the limit for all principals of a subscription together
//! (15 times as much), and the limits of the resource providers.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};

use crate::call::{Answer, Call};
use crate::clock::delta;

/// The buckets, each full at first.
#[derive(Default)]
pub(crate) struct Buckets([[Option<Bucket>; 3]; 2]);

/// What a request counts as.
#[derive(Clone, Copy)]
enum Kind {
    Reads,
    Writes,
    Deletes,
}

/// Whose limit a request counts against.
#[derive(Clone, Copy)]
enum Scope {
    Subscription,
    Tenant,
}

struct Bucket {
    tokens: f64,
    as_of: DateTime<Utc>,
    /// Nobody is served before that.
    shut_until: DateTime<Utc>,
}

impl Buckets {
    /// Takes a token.
    pub(crate) fn take(&mut self, now: DateTime<Utc>, call: &Call) -> Result<(), Answer> {
        let (scope, kind) = (Scope::of(call), Kind::of(call));
        let bucket = self.bucket(scope, kind, now);
        if now >= bucket.shut_until && bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = ((1.0 - bucket.tokens) / kind.refill()).ceil().max(1.0);
        bucket.shut_until = now + delta(Duration::from_secs_f64(seconds));
        let message = format!(
            "Number of '{}' requests for {} exceeded. Please try again after '{seconds}' seconds.",
            kind.name().trim_end_matches('s'),
            scope.named(),
        );
        let code = scope.code();
        Err(Answer::error(StatusCode::TOO_MANY_REQUESTS, code, message)
            .with("retry-after", seconds.to_string()))
    }

    /// How much is left, as the header of each answer tells it.
    pub(crate) fn remaining(&mut self, now: DateTime<Utc>, call: &Call) -> (&'static str, String) {
        let (scope, kind) = (Scope::of(call), Kind::of(call));
        (header(scope, kind), self.bucket(scope, kind, now).tokens.floor().to_string())
    }

    /// One bucket, filled as far as it is by now.
    fn bucket(&mut self, scope: Scope, kind: Kind, now: DateTime<Utc>) -> &mut Bucket {
        let bucket = self.0[scope as usize][kind as usize].get_or_insert(Bucket {
            tokens: kind.size(),
            as_of: now,
            shut_until: now,
        });
        let passed = (now - bucket.as_of).as_seconds_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * kind.refill()).min(kind.size());
        bucket.as_of = now;
        bucket
    }
}

/// The header in which ARM says how much is left, with the value that Azure CLI recorded in 2024, which matches no documented
/// limit.
pub(crate) fn recorded(call: &Call) -> (&'static str, String) {
    let kind = Kind::of(call);
    let left = match kind {
        Kind::Reads => "1099",
        Kind::Writes | Kind::Deletes => "799",
    };
    (header(Scope::Subscription, kind), left.into())
}

const fn header(scope: Scope, kind: Kind) -> &'static str {
    match (scope, kind) {
        (Scope::Subscription, Kind::Reads) => "x-ms-ratelimit-remaining-subscription-reads",
        (Scope::Subscription, Kind::Writes) => "x-ms-ratelimit-remaining-subscription-writes",
        (Scope::Subscription, Kind::Deletes) => "x-ms-ratelimit-remaining-subscription-deletes",
        (Scope::Tenant, Kind::Reads) => "x-ms-ratelimit-remaining-tenant-reads",
        (Scope::Tenant, Kind::Writes) => "x-ms-ratelimit-remaining-tenant-writes",
        (Scope::Tenant, Kind::Deletes) => "x-ms-ratelimit-remaining-tenant-deletes",
    }
}

impl Kind {
    fn of(call: &Call) -> Self {
        match call.method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Deletes => "deletes",
        }
    }

    const fn size(self) -> f64 {
        match self {
            Self::Reads => 250.0,
            Self::Writes | Self::Deletes => 200.0,
        }
    }

    /// Tokens a second.
    const fn refill(self) -> f64 {
        match self {
            Self::Reads => 25.0,
            Self::Writes | Self::Deletes => 10.0,
        }
    }
}

impl Scope {
    fn of(call: &Call) -> Self {
        if call.param("subscription").is_empty() { Self::Tenant } else { Self::Subscription }
    }

    const fn named(self) -> &'static str {
        match self {
            Self::Subscription => "this subscription",
            Self::Tenant => "this tenant",
        }
    }

    /// The code of the subscription's 429 is seen in public reports; the tenant's is named after it.
    const fn code(self) -> &'static str {
        match self {
            Self::Subscription => "SubscriptionRequestsThrottled",
            Self::Tenant => "TenantRequestsThrottled",
        }
    }
}
