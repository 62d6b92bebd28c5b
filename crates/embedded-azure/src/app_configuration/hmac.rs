//! Requests that are signed with a store's access key, as who has a connection string does (docs: App Configuration REST API,
//! HMAC authentication).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::clock::{Clock, SystemClock};
use crate::stores::AccessKey;

/// How far a request's time may be off.
const LENIENCE: TimeDelta = TimeDelta::minutes(15);

/// Whether a request is signed with the key; if not, why. `given` is what follows the scheme in its header. Time is the wall
/// clock's, which is what clients sign by.
pub(super) fn check(key: Option<&AccessKey>, given: &str, call: &Call) -> Result<(), &'static str> {
    let part = |name: &str| {
        let mut parts = given.split('&').filter_map(|part| part.split_once('='));
        parts.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let key = key.filter(|key| part("Credential") == Some(key.id.as_str())).ok_or("Invalid Credential")?;
    let headers = part("SignedHeaders").ok_or("SignedHeaders is required")?;
    let signature = part("Signature").ok_or("Signature is required")?;
    let named = |name: &str| headers.split(';').any(|known| known.eq_ignore_ascii_case(name));
    if !(named("host") && named("x-ms-content-sha256") && (named("x-ms-date") || named("date"))) {
        return Err("Required headers are not signed");
    }
    let time = call.header("x-ms-date").or_else(|| call.header("date")).unwrap_or_default();
    let time = read_time(time).ok_or("The date is invalid")?;
    if (SystemClock.now() - time).abs() > LENIENCE {
        return Err("The access token has expired");
    }
    let body = STANDARD.encode(Sha256::digest(&call.body));
    if call.header("x-ms-content-sha256") != Some(body.as_str()) {
        return Err("Invalid content hash");
    }
    let values: Option<Vec<&str>> =
        headers.split(';').map(|name| call.header(&name.to_lowercase())).collect();
    let values = values.ok_or("A signed header is missing")?.join(";");
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    let text = format!("{}\n{}{query}\n{values}", call.method, call.path);
    let secret =
        EncodingKey::from_base64_secret(key.secret.expose_secret()).map_err(|_| "Invalid Credential")?;
    let signed = jsonwebtoken::crypto::sign(text.as_bytes(), &secret, Algorithm::HS256);
    let signed = signed.map_err(|_| "Invalid Signature")?;
    let same = URL_SAFE_NO_PAD.decode(signed).ok() == STANDARD.decode(signature).ok();
    if same { Ok(()) } else { Err("Invalid Signature") }
}

/// An HTTP date, or the form that azure-appconfiguration for Python sends (`get_current_utc_time`) and the service takes.
fn read_time(text: &str) -> Option<DateTime<Utc>> {
    let http = || DateTime::parse_from_rfc2822(text).ok().map(|time| time.to_utc());
    let python = || NaiveDateTime::parse_from_str(text, "%b, %d %Y %H:%M:%S%.f GMT").ok();
    http().or_else(|| python().map(|time| time.and_utc()))
}
