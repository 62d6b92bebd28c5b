//! The placeholders of the world file: they stand for connection strings and keys of services.

use std::collections::BTreeMap;

use crate::ids::{Key, KeyType, Pair, connection_string};

/// What placeholders stand for: the host and the keys of each service, by its name in lower case.
pub(crate) type Placeholders = BTreeMap<String, (String, Pair<Key>)>;

/// The placeholders, and what each stands for.
const PLACEHOLDERS: [(&str, KeyType, bool); 4] = [
    ("{primary:", KeyType::Primary, false),
    ("{secondary:", KeyType::Secondary, false),
    ("{primaryKey:", KeyType::Primary, true),
    ("{secondaryKey:", KeyType::Secondary, true),
];

/// A placeholder names a service that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place:?} names the service {service:?} in a placeholder, but \"signalr\" has none of it")]
pub struct NoSuchService {
    /// The app or the secret whose value it is.
    place: String,
    /// The service.
    service: String,
}

/// Replaces the placeholders in a value; `place` is where it stands.
pub(crate) fn fill(value: &str, keys: &Placeholders, place: &str) -> Result<String, NoSuchService> {
    let mut filled = value.to_owned();
    for (opening, key_type, bare) in PLACEHOLDERS {
        while let Some(start) = filled.find(opening) {
            let Some(length) = filled[start..].find('}') else { break };
            let name = filled[start + opening.len()..start + length].to_owned();
            let error = || NoSuchService { place: place.to_owned(), service: name.clone() };
            let (host, pair) = keys.get(&name.to_lowercase()).ok_or_else(error)?;
            let key = &pair[key_type];
            let text = if bare { key.expose().to_owned() } else { connection_string(host, key) };
            filled.replace_range(start..=start + length, &text);
        }
    }
    Ok(filled)
}

/// Whether a placeholder in a value stands for something of this service.
pub(crate) fn names(value: &str, service: &str) -> bool {
    PLACEHOLDERS.iter().any(|(opening, ..)| {
        let placeholder = format!("{opening}{service}}}").to_lowercase();
        value.to_lowercase().contains(&placeholder)
    })
}
