//! What one value says about who holds which key, wherever the value is kept.
//!
//! Start at [`Marks::values`]. What a value is, is decided by the value alone.

use super::Marks;
use super::text::Text;
use crate::azure::services::names_a_service;
use rekey_core::model::{ConnectionString, Key, KeyPair, KeyType, Reference, is_placeholder};
use rekey_core::plan::{Holding, SettingFault};

/// What a value turned out to be.
pub(super) enum Value {
    Holds(Holding),
    Reference(Reference),
    /// Where the key belongs in a string of ours; or one that may be ours.
    Placeholder {
        ours: bool,
    },
    Fault(SettingFault),
    Other,
}

/// Whose a connection string is.
enum Claim {
    Ours(Holding),
    Placeholder { ours: bool },
    OtherServicesHost,
    None,
}

impl Marks<'_> {
    /// What a value is. It may be two things: a connection string, and, in another part of it, a key once more.
    pub(super) fn values(&self, value: &str) -> Vec<Value> {
        if value.trim_start().starts_with('@')
            && let Some(reference) = Reference::read(value)
        {
            // Nobody writes a key into one; where it is seen all the same, it counts.
            return vec![self.key_in(&Text::read(value)).unwrap_or(Value::Reference(reference))];
        }
        let first = match ConnectionString::parse(value) {
            Ok(string) => match self.claim(&string) {
                Claim::Ours(holding) => {
                    let rest = self.key_in(&Text::read(string.with_key(&Key::new("")).expose()));
                    // It holds no key only if it holds none anywhere.
                    let holds =
                        (holding != Holding::Identity || rest.is_none()).then_some(Value::Holds(holding));
                    return holds.into_iter().chain(rest).collect();
                }
                Claim::OtherServicesHost => Value::Fault(SettingFault::OtherServicesHost),
                Claim::Placeholder { ours } => Value::Placeholder { ours },
                Claim::None => self.key_in(&Text::read(value)).unwrap_or(Value::Other),
            },
            Err(why) => match self.text(value) {
                Some(_) if ConnectionString::attempted_key(value).is_some() => {
                    Value::Fault(SettingFault::InvalidString(why))
                }
                Some(found) => found,
                None => Reference::read(value).map_or_else(|| of_name(value), Value::Reference),
            },
        };
        vec![first]
    }

    /// What a text that is no connection string holds.
    fn text(&self, value: &str) -> Option<Value> {
        let text = Text::read(value);
        let is_told = text.names_a_key_of(&self.host.to_lowercase());
        self.key_in(&text).or_else(|| is_told.then_some(Value::Fault(SettingFault::StaleKeyInOtherText)))
    }

    /// A key of ours, current or former, anywhere in a text.
    fn key_in(&self, text: &Text) -> Option<Value> {
        let holds = |keys: &KeyPair| keys.iter().any(|(_, key)| text.contains(key.expose()));
        if self.keys.is_some_and(holds) {
            return Some(Value::Fault(SettingFault::KeyInOtherText));
        }
        let is_former = |word: &str| self.journal.remembers(&Key::new(word).fingerprint());
        text.has_word(is_former).then_some(Value::Fault(SettingFault::StaleKeyInOtherText))
    }

    /// Whether a connection string is the service's.
    pub(super) fn is_ours(&self, string: &ConnectionString) -> bool {
        matches!(self.claim(string), Claim::Ours(_))
    }

    /// Whose a connection string is: ours by a host of it, or, behind a custom domain or a gateway, by its key.
    ///
    /// A current key makes any string ours, for both keys are nobody else's; so are those of a replica, whose host we
    /// cannot tell from another service's. A former key does not where `Endpoint` names another service: keys are
    /// never moved between services, so that either the string was put together wrongly, or the journal is not ours
    /// (a restore under the wrong name), and with it we would write our key over the valid one of that service, which would
    /// write its own over ours, without end. It is told, not claimed. A host that is no service's may be anything that
    /// leads to ours, and with a former key of ours it is.
    fn claim(&self, string: &ConnectionString) -> Claim {
        let of_another = names_a_service(string.host()) && !self.is_our_host(string.host());
        let ours = string.hosts().any(|host| self.is_our_host(host));
        let Some(key) = string.key() else {
            return if ours { Claim::Ours(Holding::Identity) } else { Claim::None };
        };
        let of_key = |keys: &KeyPair| KeyType::ALL.into_iter().find(|key_type| keys[*key_type] == key);
        if let Some(key_type) = self.keys.and_then(of_key) {
            return Claim::Ours(Holding::Valid(key_type));
        }
        if string.has_placeholder() {
            return Claim::Placeholder { ours };
        }
        let fingerprint = key.fingerprint();
        let remembered = self.journal.remembers(&fingerprint);
        match (ours || remembered, of_another) {
            (true, false) => Claim::Ours(Holding::Stale(fingerprint)),
            (true, true) => Claim::OtherServicesHost,
            (false, _) => Claim::None,
        }
    }

    pub(super) fn is_our_host(&self, host: &str) -> bool {
        !self.host.is_empty() && host.eq_ignore_ascii_case(self.host)
    }
}

/// A text that holds no key: one that something else fills in, or anything.
fn of_name(value: &str) -> Value {
    let whole = is_placeholder(value);
    let is_filled_in = whole || ConnectionString::attempted_key(value).is_some_and(is_placeholder);
    if is_filled_in { Value::Placeholder { ours: false } } else { Value::Other }
}
