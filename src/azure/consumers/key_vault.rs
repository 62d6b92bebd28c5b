//! Secrets of Key Vaults.
//!
//! Start at [`Secret`]. A write makes a new version and cannot be made on a condition (Key Vault REST 7.5, SetSecret), so that
//! who wrote at the same time is looked for afterwards, among the versions, and what he wrote is merged. A version's times
//! are in seconds, by the vault's clock: one of the same second as the version that is replaced counts as one that came
//! between, if that was made while the write was under way; else it was there before.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::text::Decoded;
use super::value::Value as Shown;
use super::{Change, ConsumerKind, Marks, Settling, Written};
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Barrier, Call, Operation, Subject};
use crate::report::text::azure as words;
use rekey_core::model::{ConnectionString, ConsumerId, Key, SecretId};
use rekey_core::plan::{Holding, SettingFault};

/// Key Vault's data plane.
const API_VERSION: &str = "7.5";

const GET: Operation =
    Operation::read("KeyVault_GetSecret", &["Microsoft.KeyVault/vaults/secrets/getSecret/action"])
        .about(Subject::Consumer)
        .with_secrets()
        .by_handler();
const SET: Operation =
    Operation::change("KeyVault_SetSecret", &["Microsoft.KeyVault/vaults/secrets/setSecret/action"])
        .about(Subject::Consumer)
        .with_secrets()
        .by_handler();
const VERSIONS: Operation =
    Operation::read("KeyVault_GetSecretVersions", &["Microsoft.KeyVault/vaults/secrets/readMetadata/action"])
        .about(Subject::Consumer)
        .by_handler();

/// The secrets of a vault, by their names; only `init` asks for it.
const LIST: Operation =
    Operation::read("KeyVault_GetSecrets", &["Microsoft.KeyVault/vaults/secrets/readMetadata/action"])
        .about(Subject::Consumer);

/// How much older than the beginning of a write what it rests on may be, and how much longer than between two seconds of the
/// vault's clock may lie.
const JUST_READ: TimeDelta = TimeDelta::seconds(2);

/// The most times that what others wrote at the same time is merged.
const MERGES: usize = 4;

/// A secret: its newest version, which is what is written, or another, which is only read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub id: SecretId,
    pub version: Option<String>,
}

/// One version of a secret. Its `Debug` shows no value.
#[derive(Clone)]
pub struct Secret {
    /// The last part of its id.
    pub version: String,
    value: SecretString,
    content_type: Option<String>,
    tags: Option<Map<String, Value>>,
    attributes: Attributes,
}

#[derive(Clone, Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    enabled: bool,
    exp: Option<i64>,
    #[serde(default)]
    created: i64,
}

#[derive(Deserialize)]
struct Bundle {
    id: String,
    value: String,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    tags: Option<Map<String, Value>>,
    #[serde(default)]
    attributes: Attributes,
}

/// What `SetSecret` takes.
#[derive(Serialize)]
struct NewVersion<'a> {
    value: &'a str,
    #[serde(rename = "contentType", skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Map<String, Value>>,
    attributes: NewAttributes,
}

#[derive(Serialize)]
struct NewAttributes {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    attributes: Attributes,
}

impl Secret {
    /// Its value **in the clear**.
    fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// When this version was made, by the vault's clock.
    pub(crate) fn created(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.attributes.created, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// What it shows of a service: what it holds, and what is wrong with that.
    pub(crate) fn shows(&self, marks: Marks<'_>) -> Vec<Result<Holding, SettingFault>> {
        let shown = marks.values(self.expose()).into_iter().filter_map(|value| match value {
            Shown::Holds(holding) => Some(Ok(holding)),
            Shown::Fault(fault) => Some(Err(fault)),
            Shown::Placeholder { ours: true } => Some(Err(SettingFault::Placeholder)),
            Shown::Placeholder { ours: false } | Shown::Reference(_) | Shown::Other => None,
        });
        shown.collect()
    }

    /// When it expires, or began to be valid too late, by its own word. It can be read all the same.
    pub(crate) fn expired(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.attributes.exp?, 0).filter(|end| *end <= now)
    }

    /// The one connection string with a key that it is, or holds.
    pub(crate) fn connection_string(&self) -> Option<ConnectionString> {
        if let Ok(string) = ConnectionString::parse(self.expose()) {
            return Some(string).filter(|string| string.key().is_some());
        }
        let text = Decoded::read(self.expose());
        let mut strings = text.strings();
        let (first, _) = strings.next()?;
        strings.next().is_none().then_some(first)
    }

    /// Whether a key stands in it.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.expose().contains(key.expose())
    }
}

impl From<Bundle> for Secret {
    fn from(bundle: Bundle) -> Self {
        let Bundle { id, value, content_type, tags, attributes } = bundle;
        Self { version: version_of(&id), value: value.into(), content_type, tags, attributes }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("version", &self.version).finish_non_exhaustive()
    }
}

fn version_of(id: &str) -> String {
    id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

impl ConsumerKind for Place {
    type Contents = Secret;

    fn operations() -> Vec<Operation> {
        vec![GET, SET, VERSIONS, LIST]
    }

    fn consumer(&self) -> ConsumerId {
        ConsumerId::KeyVaultSecret(self.id.clone())
    }

    async fn read(&self, arm: &Arm) -> Result<Secret, ArmError> {
        read(arm, &self.id, self.version.as_deref()).await
    }

    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&Secret>,
        change: &Change<'_>,
    ) -> Result<Written<Secret>, ArmError> {
        let (id, began) = (&self.id, arm.now());
        let mut before = self.just_before(arm, just_read).await?;
        let Some(mut wanted) = rewritten(&before, change) else { return Ok(Written::Already(before)) };
        let first = before.attributes.created;
        let mut known = vec![before.version.clone()];
        for _ in 0..MERGES {
            let after = match set(arm, id, &before, &wanted, change.key).await {
                Err(error) if error.kind() == ArmErrorKind::OutcomeUnknown => {
                    made(arm, id, &known, first, &wanted).await?.ok_or(error)?
                }
                answered => answered?,
            };
            if after.expose() != wanted.expose_secret() {
                return Ok(Written::Overwritten);
            }
            known.push(after.version.clone());
            let young = (arm.now() - began + JUST_READ).num_seconds();
            let since = if after.attributes.created - first <= young { first } else { first + 1 };
            let listed = versions(arm, id).await?;
            if let Some(rival) = newest_besides(&listed, &known, since) {
                let rival = read_version(arm, id, &rival).await?;
                known.push(rival.version.clone());
                wanted = rewritten(&rival, change).unwrap_or_else(|| rival.value.clone());
                before = rival;
            } else if before.attributes.enabled && is_disabled(&listed, &before.version) {
                // Somebody disabled it meanwhile, which is not ours to undo. Nobody is made to fetch what is disabled.
                before.attributes.enabled = false;
                set(arm, id, &before, &wanted, change.key).await?;
                return Err(ArmError::new(
                    ArmErrorKind::Barred(Barrier::SecretDisabled),
                    SET,
                    &id.to_string(),
                    words::DISABLED_MEANWHILE,
                ));
            } else {
                return Ok(Written::Accepted(after));
            }
        }
        Ok(Written::Overwritten)
    }

    /// A new version takes nothing from anybody, and what came between is merged.
    fn holds_anothers(&self, _: &Secret, _: Marks<'_>) -> bool {
        false
    }

    /// What is written is there at once. Who reads it when is a matter of its readers.
    fn settling(&self) -> Settling {
        Settling::ByItself { read_back_after: TimeDelta::zero(), at_most: Duration::ZERO }
    }
}

/// `GetSecrets`, all pages: the secrets of a vault that are enabled.
pub async fn list(arm: &Arm, vault: &str) -> Result<Vec<SecretId>, ArmError> {
    let host = format!("{vault}.{}", arm.vault_suffix());
    // Any name does: it is the host that is asked.
    let any = SecretId::new(&host, "any").ok_or_else(|| {
        ArmError::new(ArmErrorKind::Elsewhere, LIST, &host, &words::strange_vault(&host, arm.vault_suffix()))
    })?;
    let listed: Vec<Listed> = arm.pages(call(arm, &any, "/secrets", Call::get, LIST)?).await?;
    let enabled = listed.into_iter().filter(|one| one.attributes.enabled);
    // A name that is none of Azure's would be left out, and Azure gives none.
    Ok(enabled.filter_map(|one| SecretId::new(&host, one.id.rsplit('/').next()?)).collect())
}

async fn read(arm: &Arm, id: &SecretId, version: Option<&str>) -> Result<Secret, ArmError> {
    let path = format!("/secrets/{}/{}", id.name(), version.unwrap_or_default());
    let call = call(arm, id, &path, Call::get, GET)?;
    let bundle: Bundle = arm.send(&call).await?.json(&call)?;
    Ok(bundle.into())
}

fn rewritten(secret: &Secret, change: &Change<'_>) -> Option<SecretString> {
    change.rewritten(secret.expose()).map(|written| written.as_str().into())
}

/// `SetSecret`: a version with what the one before had, but for the value. Its end moves on, for copied it could be born
/// expired; a beginning is not copied, for it would keep readers from it.
async fn set(
    arm: &Arm,
    id: &SecretId,
    before: &Secret,
    value: &SecretString,
    key: &Key,
) -> Result<Secret, ArmError> {
    let Secret { content_type, tags, attributes, .. } = before;
    // One that had ended before it began says nothing of how long it is to live.
    let lifetime = attributes.exp.map(|exp| exp - attributes.created).filter(|lifetime| *lifetime > 0);
    let exp = lifetime.map(|lifetime| arm.now().timestamp() + lifetime);
    let attributes = NewAttributes { enabled: attributes.enabled, exp };
    let value = value.expose_secret();
    let body = NewVersion { value, content_type: content_type.as_deref(), tags: tags.as_ref(), attributes };
    let call = call(arm, id, &format!("/secrets/{}", id.name()), Call::put, SET)?.with_body(&body)?;
    let answer = arm.send(&call).await.map_err(|error| error.without([value, key.expose()].into_iter()))?;
    let bundle: Bundle = answer.json(&call)?;
    Ok(bundle.into())
}

/// The version that a write made whose answer was lost, if it made one.
async fn made(
    arm: &Arm,
    id: &SecretId,
    known: &[String],
    since: i64,
    wanted: &SecretString,
) -> Result<Option<Secret>, ArmError> {
    let mut known = known.to_vec();
    let listed = versions(arm, id).await?;
    while let Some(version) = newest_besides(&listed, &known, since) {
        let secret = read_version(arm, id, &version).await?;
        if secret.expose() == wanted.expose_secret() {
            return Ok(Some(secret));
        }
        known.push(version);
    }
    Ok(None)
}

/// `GetSecretVersions`, all pages: without their values.
async fn versions(arm: &Arm, id: &SecretId) -> Result<Vec<Listed>, ArmError> {
    let path = format!("/secrets/{}/versions", id.name());
    arm.pages(call(arm, id, &path, Call::get, VERSIONS)?).await
}

/// The newest version since a time that is none of these: somebody else made it. One that is disabled nobody is given.
fn newest_besides(listed: &[Listed], known: &[String], since: i64) -> Option<String> {
    let there = listed.iter().filter(|one| one.attributes.enabled);
    let versions = there.map(|one| (one.attributes.created, version_of(&one.id)));
    let others = versions.filter(|(created, version)| *created >= since && !known.contains(version));
    others.max().map(|(_, version)| version)
}

fn is_disabled(listed: &[Listed], version: &str) -> bool {
    listed.iter().any(|one| version_of(&one.id) == version && !one.attributes.enabled)
}

async fn read_version(arm: &Arm, id: &SecretId, version: &str) -> Result<Secret, ArmError> {
    read(arm, id, Some(version)).await
}

/// A request to the vault of a secret, if that may be given a token.
fn call(
    arm: &Arm,
    id: &SecretId,
    path: &str,
    make: fn(Operation, url::Url) -> Call,
    operation: Operation,
) -> Result<Call, ArmError> {
    let url = arm.vault_url(id, path, API_VERSION);
    let strange = || {
        let message = words::strange_vault(id.host(), arm.vault_suffix());
        ArmError::new(ArmErrorKind::Elsewhere, operation, &id.to_string(), &message)
    };
    Ok(make(operation, url.ok_or_else(strange)?).at_vault())
}
