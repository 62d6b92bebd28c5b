//! The timer's payload (docs: Timer trigger for Azure Functions, usage).
//!
//! Only what we use is read, and leniently. `ScheduleStatus` is ignored: it can be null, and its dates lie in year 1
//! before the first run.

use serde_json::{Map, Value};

use super::envelope::{Envelope, Fault, Malformed, decoded};
use crate::report::text::command::VALUE;

/// A timer that fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// Whether a run was missed and this one catches up.
    pub past_due: bool,
    /// Which attempt this is, where function.json has a retry policy.
    pub retry: Option<Retry>,
}

/// One attempt among those of a retry policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Retries so far: 0 in the first attempt.
    pub count: i64,
    /// The most there will be; -1 for no limit.
    pub max: i64,
}

pub(super) fn read(envelope: Envelope) -> Result<Timer, Malformed> {
    let Envelope { value, metadata } = envelope;
    let Value::Object(timer) = decoded(value)? else {
        return Err(Malformed::new(VALUE, Fault::NoTimer));
    };
    Ok(Timer { past_due: timer.get("IsPastDue").is_some_and(is_true), retry: retry(&metadata) })
}

/// `Exception` is in there too, of a shape that nobody promises: only the two numbers are read.
fn retry(metadata: &Map<String, Value>) -> Option<Retry> {
    let context = metadata.get("RetryContext")?;
    Some(Retry {
        count: number(context.get("RetryCount")?)?,
        max: context.get("MaxRetryCount").and_then(number)?,
    })
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
