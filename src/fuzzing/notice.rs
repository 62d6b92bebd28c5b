//! Events and alerts, and what they mean.

use std::sync::OnceLock;

use chrono::DateTime;
use serde_json::Value;

use crate::config::{Config, Environment, load_from};
use crate::report::InWords;
use crate::runner::foresee;
use rekey_core::notice::{self, Event, Notice};

/// How many bytes may be kept for one that was sent. JSON that stands where a text belongs is kept as serde_json writes it,
/// which is longer for some numbers (`[1e15]` becomes `1000000000000000.0`).
const GROWTH: usize = 6;

/// JSON is read, or refused, into no more than it was, and every event means something that can be said.
pub fn notice(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if let Ok(events) = notice::read(&value, "the value") {
        judge(&events, data.len());
    }
}

/// What every event that was read from so many bytes has to keep.
pub(super) fn judge(events: &[Event], sent: usize) {
    let kept: usize = events.iter().map(size).sum();
    assert!(kept <= sent * GROWTH, "{kept} bytes are kept of {sent}");
    for event in events {
        let notice = notice::classify(event);
        assert!(!notice.in_words().is_empty());
        if let Notice::Announced { keys, .. } = &notice {
            assert!(keys.iter().any(|(_, announced)| *announced), "no key is announced");
        }
        if let Some(config) = config() {
            let foreseen = foresee(event, config, DateTime::UNIX_EPOCH).unwrap_or_default();
            // For an announcement a line more.
            assert!(foreseen.does.len() <= 2 * config.instances.len());
        }
    }
}

fn size(event: &Event) -> usize {
    // The kind of an alert is our own word, and no larger than its members.
    let Event { id, kind, time: _, resources, operation, bridge, alert: _ } = event;
    let one =
        [Some(kind), id.as_ref(), operation.as_ref(), bridge.instance.as_ref(), bridge.deadline.as_ref()];
    let many = resources.iter().chain(bridge.key_types.iter().flatten()).chain(&bridge.others);
    one.into_iter().flatten().chain(many).map(String::len).sum()
}

/// One instance, the one that seeds speak of.
fn config() -> Option<&'static Config> {
    static CONFIG: OnceLock<Option<Config>> = OnceLock::new();
    let file = "[[instance]]\n\
        id = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\n\
        apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop\"]\n";
    let environment: Environment = [("REKEY_STATE", "memory")].into_iter().collect();
    CONFIG.get_or_init(|| load_from(file, "rekey.toml", &environment).ok()).as_ref()
}
