//! Secrets of Key Vaults, and the references of apps that lead to them.
//!
//! Start at [`Secret`]. A write makes a new version and cannot be made on a condition (Key Vault REST 7.5, SetSecret), so that
//! who wrote at the same time is looked for afterwards, among the versions, and what he wrote is merged. A version's times
//! are in seconds: one of the same second counts as one that came between.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::value::Value as Shown;
use super::{Change, Marks, Written};
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Call, Operation, Subject};
use crate::report::text::azure as words;
use rekey_core::model::{AppId, Key, SecretId};
use rekey_core::plan::{Holding, SettingFault};

/// Key Vault's data plane.
const API_VERSION: &str = "7.5";

/// Microsoft.Web, for the references of apps.
const WEB_API_VERSION: &str = "2023-12-01";

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

/// docs: Azure permissions for Web and Mobile.
const REFERENCES: Operation =
    Operation::read("WebApps_GetAppSettingsKeyVaultReferences", &["Microsoft.Web/sites/config/Read"])
        .about(Subject::Consumer)
        .by_handler();
const REFERENCES_OF_SLOT: Operation = Operation::read(
    "WebApps_GetAppSettingsKeyVaultReferencesSlot",
    &["Microsoft.Web/sites/slots/config/Read"],
)
.about(Subject::Consumer)
.by_handler();

/// Those that are asked of vaults, and so allowed by roles on vaults or secrets.
pub(crate) const OF_VAULTS: [Operation; 3] = [GET, SET, VERSIONS];

/// Those that are asked of apps.
pub(super) const OF_APPS: [Operation; 2] = [REFERENCES, REFERENCES_OF_SLOT];

fn reading_references(app: &AppId) -> Operation {
    if app.slot().is_some() { REFERENCES_OF_SLOT } else { REFERENCES }
}

/// The most times that what others wrote at the same time is merged.
const MERGES: usize = 4;

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

/// What the platform has made of an app's reference (ARM swagger Microsoft.Web, ApiKVReference).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resolved {
    /// `Resolved`, or in Azure's word why not.
    pub status: String,
    pub details: Option<String>,
    /// The version that the app is given.
    pub active_version: Option<String>,
}

impl Resolved {
    pub(crate) fn is_resolved(&self) -> bool {
        self.status.eq_ignore_ascii_case("Resolved")
    }

    /// Whether the platform has only just begun with it.
    pub(crate) fn is_under_way(&self) -> bool {
        ["Initialized", "FetchTimedOut"].iter().any(|status| self.status.eq_ignore_ascii_case(status))
    }
}

/// What the platform has made of all of an app's references, by the names of the settings.
pub(crate) type References = BTreeMap<String, Resolved>;

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

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    properties: Resolved,
}

impl Secret {
    /// Its value **in the clear**.
    fn expose(&self) -> &str {
        self.value.expose_secret()
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

/// Reads a secret: a version of it, or the newest.
pub(super) async fn read(arm: &Arm, id: &SecretId, version: Option<&str>) -> Result<Secret, ArmError> {
    let path = format!("/secrets/{}/{}", id.name(), version.unwrap_or_default());
    let call = call(arm, id, &path, Call::get, GET)?;
    let bundle: Bundle = arm.send(&call).await?.json(&call)?;
    Ok(bundle.into())
}

/// Reads what the platform has made of the references in an app's settings.
pub(super) async fn read_references(arm: &Arm, app: &AppId) -> Result<References, ArmError> {
    let url = arm.url(&format!("{app}/config/configreferences/appsettings"), WEB_API_VERSION);
    let all: Vec<Reference> = arm.pages(Call::get(reading_references(app), url)).await?;
    Ok(all.into_iter().map(|one| (one.name, one.properties)).collect())
}

/// Writes a key into a secret, and merges what others wrote meanwhile.
pub(super) async fn write(
    arm: &Arm,
    id: &SecretId,
    just_read: Option<&Secret>,
    change: &Change<'_>,
) -> Result<Written<Secret>, ArmError> {
    let mut before = match just_read {
        Some(secret) => secret.clone(),
        None => read(arm, id, None).await?,
    };
    let Some(mut wanted) = rewritten(&before, change) else { return Ok(Written::Already(before)) };
    for _ in 0..MERGES {
        let after = set(arm, id, &before, &wanted).await?;
        if after.expose() != wanted.expose_secret() {
            return Ok(Written::Overwritten);
        }
        let Some(rival) = rival(arm, id, &before, &after).await? else { return Ok(Written::Accepted(after)) };
        let rival = read(arm, id, Some(&rival)).await?;
        wanted = rewritten(&rival, change).unwrap_or_else(|| rival.value.clone());
        before = rival;
    }
    Ok(Written::Overwritten)
}

/// The value with the new key; nothing if it holds none of ours, or has it.
fn rewritten(secret: &Secret, change: &Change<'_>) -> Option<SecretString> {
    let Change { marks, key, only_stale, .. } = change;
    let written = marks.with_key(secret.expose(), key, *only_stale)?;
    (*written != secret.expose()).then(|| SecretString::from(written.as_str()))
}

/// `SetSecret`: a version with what the one before had, but for the value. Its end moves on, for copied it could be born
/// expired; a beginning is not copied, for it would keep readers from it.
async fn set(arm: &Arm, id: &SecretId, before: &Secret, value: &SecretString) -> Result<Secret, ArmError> {
    let lifetime = |exp: i64| exp - before.attributes.created;
    let exp = before.attributes.exp.map(|exp| arm.now().timestamp() + lifetime(exp).max(0));
    let mut attributes = Map::from_iter([("enabled".to_owned(), json!(before.attributes.enabled))]);
    attributes.extend(exp.map(|exp| ("exp".to_owned(), json!(exp))));
    let mut body = Map::from_iter([
        ("value".to_owned(), json!(value.expose_secret())),
        ("attributes".to_owned(), Value::Object(attributes)),
    ]);
    let content_type = before.content_type.clone().map(Value::String);
    body.extend(content_type.map(|content_type| ("contentType".to_owned(), content_type)));
    body.extend(before.tags.clone().map(|tags| ("tags".to_owned(), Value::Object(tags))));
    let call = call(arm, id, &format!("/secrets/{}", id.name()), Call::put, SET)?.with_body(&body)?;
    let answer = arm.send(&call).await.map_err(|error| error.without([value.expose_secret()].into_iter()))?;
    let bundle: Bundle = answer.json(&call)?;
    Ok(bundle.into())
}

/// The version that somebody else made after the one that was read, if there is one.
async fn rival(
    arm: &Arm,
    id: &SecretId,
    before: &Secret,
    after: &Secret,
) -> Result<Option<String>, ArmError> {
    let path = format!("/secrets/{}/versions", id.name());
    let versions: Vec<Listed> = arm.pages(call(arm, id, &path, Call::get, VERSIONS)?).await?;
    let versions = versions.into_iter().map(|one| (one.attributes.created, version_of(&one.id)));
    let others = versions.filter(|(_, version)| *version != before.version && *version != after.version);
    Ok(others.filter(|(created, _)| *created >= before.attributes.created).max().map(|(_, version)| version))
}

/// A request to the vault of a secret, if that may be given a token.
fn call(
    arm: &Arm,
    id: &SecretId,
    path: &str,
    make: fn(Operation, url::Url) -> Call,
    operation: Operation,
) -> Result<Call, ArmError> {
    let url = arm.vault_url(id.host(), path, API_VERSION);
    let strange = || {
        let message = words::strange_vault(id.host(), arm.vault_suffix());
        ArmError::new(ArmErrorKind::Elsewhere, operation, &id.to_string(), &message)
    };
    Ok(make(operation, url.ok_or_else(strange)?).at_vault())
}
