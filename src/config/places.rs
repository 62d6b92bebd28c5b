//! Where keys of the file belong, and what is said of values in all of its lists.

use super::fault::{At, Report};
use crate::azure::cloud::Cloud;
use rekey_core::model::{ConnectionString, KeyValueId, SecretId, SecretReference, holds_a_secret};

pub(super) const TOP_ONLY: [&str; 5] = ["notice_budget", "timer_budget", "watch", "notify", "instance"];

pub(super) const AT_TOP: &str = "at the top of the file, above the first [[instance]]";
pub(super) const IN_INSTANCE: &str = "in an [[instance]]";

/// Remembers an id, or reports it if it was named before.
pub(super) fn note_once<T: Clone + PartialEq>(
    id: &T,
    at: &At,
    seen: &mut Vec<(T, At)>,
    sentence: &str,
    report: &mut Report<'_>,
) {
    match seen.iter().find(|(known, _)| known == id) {
        Some((_, first)) => {
            let line = report.line(first);
            report.at(
                at,
                format!("{sentence} in one entry (the first is in line {line}; ids compare without case)"),
            );
        }
        None => seen.push((id.clone(), at.clone())),
    }
}

/// What a text is that should be the URL of a secret, and is not.
pub(super) fn no_secret<'s>(text: &str) -> &'s str {
    let of_version = SecretReference::of_url(text).is_some_and(|reference| reference.version.is_some());
    what_it_is_not(
        text,
        if of_version {
            "this is the URL of one version of a secret, and each rotation makes another: leave the version out"
        } else {
            "this is not the URL of a Key Vault secret"
        },
    )
}

/// Why a secret is asked for nothing: its host is in no cloud that of a Key Vault, and nobody else is given a token.
pub(super) fn strange_vault(secret: &SecretId) -> Option<&'static str> {
    let is_vault = Cloud::ALL.iter().any(|cloud| secret.is_below(cloud.vault_suffix()));
    (!is_vault).then_some("this is not the host of a Key Vault, so it is given no token")
}

/// The same of a key-value.
pub(super) fn strange_store(key_value: &KeyValueId) -> Option<&'static str> {
    let is_store = Cloud::ALL.iter().any(|cloud| key_value.is_below(cloud.store_suffixes()));
    (!is_store).then_some("this is not the host of an App Configuration store, so it is given no token")
}

/// A connection string in the wrong place is more than a slip: it is a secret in a file.
pub(super) fn what_it_is_not<'s>(text: &str, otherwise: &'s str) -> &'s str {
    let lower = text.to_lowercase();
    if ConnectionString::parse(text).is_ok() || lower.contains("accesskey=") {
        "this looks like a connection string, which is a secret and belongs in no file: take it out"
    } else if holds_a_secret(text) {
        "this looks like a key, which is a secret and belongs in no file: take it out"
    } else {
        otherwise
    }
}
