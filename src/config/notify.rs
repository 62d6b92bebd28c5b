//! Whom to tell: a webhook, and the key that signs what it is told.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use url::Url;

use super::fault::{Report, Sourced};
use super::values::host_of;
use crate::azure::http::check_secure;

/// A webhook that is told how things went. Whoever knows its URL may write to it, so its `Debug` shows the host alone.
#[derive(Clone)]
pub struct NotifyConfig {
    webhook: Webhook,
    signing_key: Option<SigningKey>,
}

impl NotifyConfig {
    /// A webhook without a signature.
    pub fn new(url: &str) -> Result<Self, String> {
        Ok(Self { webhook: webhook_url(url)?, signing_key: None })
    }

    /// The same, with what is told signed by a key, the base64 of at least 24 bytes.
    pub fn signed_by(self, key: &str) -> Result<Self, String> {
        Ok(Self { signing_key: Some(signing_key(key)?), ..self })
    }

    /// Where to post. For the request alone.
    pub fn expose_url(&self) -> &str {
        self.webhook.0.expose_secret()
    }

    /// The bytes of the signing key. For the signature alone.
    pub fn expose_signing_key(&self) -> Option<&[u8]> {
        self.signing_key.as_ref().map(|key| key.0.expose_secret())
    }

    /// What may be said of the webhook.
    pub fn host(&self) -> String {
        host_of(self.expose_url())
    }
}

impl fmt::Debug for NotifyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyConfig")
            .field("host", &self.host())
            .field("signed", &self.signing_key.is_some())
            .finish()
    }
}

/// The URL of a webhook; a secret, for those of Slack and Teams need no other.
#[derive(Clone)]
pub(super) struct Webhook(SecretString);

#[derive(Clone)]
pub(super) struct SigningKey(SecretSlice<u8>);

/// The shortest signing key (Standard Webhooks: between 24 and 64 bytes).
const SHORTEST_KEY: usize = 24;

/// An https URL, or one on loopback.
pub(super) fn webhook_url(text: &str) -> Result<Webhook, String> {
    let url = Url::parse(text.trim()).ok().filter(Url::has_host);
    let url = url.ok_or(
        "this is not a URL; write the https:// URL of the webhook (it is not shown: it is a secret)",
    )?;
    check_secure(&url).map_err(|_| "messages go over https only; write the https:// URL of the webhook")?;
    Ok(Webhook(SecretString::from(String::from(url))))
}

/// Base64, with or without the `whsec_` before it (Standard Webhooks).
pub(super) fn signing_key(text: &str) -> Result<SigningKey, String> {
    let text = text.trim();
    let bytes = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok();
    let bytes = bytes.filter(|bytes| bytes.len() >= SHORTEST_KEY).ok_or_else(|| {
        format!(
            "this is not the base64 of at least {SHORTEST_KEY} bytes; make one by `openssl rand -base64 32`"
        )
    })?;
    Ok(SigningKey(SecretSlice::from(bytes)))
}

/// A key without a webhook signs nothing, which somebody surely did not mean.
pub(super) fn join(
    webhook: Option<Sourced<Webhook>>,
    signing_key: Option<Sourced<SigningKey>>,
    report: &mut Report<'_>,
) -> Option<NotifyConfig> {
    let key = signing_key.map(|key| {
        if webhook.is_none() {
            report.origin(
                &key.origin,
                "there is no webhook whose messages it could sign; set REKEY_NOTIFY_WEBHOOK too, or neither",
            );
        }
        key.value
    });
    Some(NotifyConfig { webhook: webhook?.value, signing_key: key })
}
