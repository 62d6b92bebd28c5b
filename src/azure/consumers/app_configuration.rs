//! Key-values of App Configuration stores.
//!
//! Start at [`KeyValue`]. A write is made on the condition that nothing was written since the key-value was read
//! (`If-Match`), and replaces the whole of it: what was read goes back, but for the key. After it the key-value is read as
//! others read it, until they see what was written: who is restarted then is given that, whichever replica answers him.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::{ACCEPT, HeaderValue, IF_MATCH};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::value::Value as Shown;
use super::{Change, ConsumerKind, Marks, Settling, Written, with_version};
use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Call, Operation, Subject};
use crate::report::text::azure as words;
use rekey_core::model::{ConsumerId, Key, KeyValueId, SecretReference};
use rekey_core::plan::{Holding, SettingFault};

/// App Configuration's data plane.
const API_VERSION: &str = "2023-11-01";

const GET: Operation = Operation::read(
    "AppConfiguration_GetKeyValue",
    &["Microsoft.AppConfiguration/configurationStores/keyValues/read"],
)
.about(Subject::KeyValue)
.with_secrets()
.by_handler();
const PUT: Operation = Operation::change(
    "AppConfiguration_PutKeyValue",
    &["Microsoft.AppConfiguration/configurationStores/keyValues/write"],
)
.about(Subject::KeyValue)
.with_secrets()
.by_handler();

/// All of a store; only `init` asks for it.
const LIST: Operation = Operation::read(
    "AppConfiguration_GetKeyValues",
    &["Microsoft.AppConfiguration/configurationStores/keyValues/read"],
)
.about(Subject::KeyValue)
.with_secrets();

/// More pages than any store has: one holds a hundred key-values (docs: App Configuration REST API, key-values).
const MOST_PAGES: usize = 10_000;

/// docs: App Configuration REST API, key-values.
const MEDIA: HeaderValue =
    HeaderValue::from_static("application/vnd.microsoft.appconfig.kv+json, application/problem+json");

/// What the content type of a key-value begins with that is a reference to a Key Vault secret.
const REFERENCE: &str = "application/vnd.microsoft.appconfig.keyvaultref+json";

/// The most times that a write is made on what was read anew, because somebody else wrote in between.
const MERGES: usize = 4;

/// The most times that it is asked whether others see what was written, and the wait in between. A replica is behind for
/// less than a second, as a rule.
const SIGHTS: usize = 5;
const APART: Duration = Duration::from_secs(1);

/// What is not the writer's to say.
const NOT_WRITTEN: [&str; 3] = ["key", "label", "last_modified"];

/// A key-value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub id: KeyValueId,
}

/// What was read of a key-value. Its `Debug` shows no value.
#[derive(Clone)]
pub struct KeyValue {
    etag: String,
    value: SecretString,
    locked: bool,
    /// All else that a write has to repeat: its content type, its tags, and whatever Azure may add.
    members: Map<String, Value>,
}

#[derive(Deserialize)]
struct Body {
    etag: String,
    value: Option<String>,
    #[serde(default)]
    locked: bool,
    #[serde(flatten)]
    members: Map<String, Value>,
}

/// What is written.
#[derive(Serialize)]
struct NewValue<'a> {
    value: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl KeyValue {
    /// Its value **in the clear**.
    fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// Its state, in letters that may stand in a setting.
    pub(crate) fn version(&self) -> String {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let letter =
            |byte: u8| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        self.etag.bytes().map(letter).collect()
    }

    /// Whether it can be read, and not written.
    pub(crate) const fn is_locked(&self) -> bool {
        self.locked
    }

    /// Whether it is a reference to a secret of a Key Vault, which whoever reads it follows.
    pub(crate) fn is_reference(&self) -> bool {
        let content_type = self.members.get("content_type").and_then(Value::as_str).unwrap_or_default();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(REFERENCE)
    }

    /// The secret that it refers to, if it is such a reference and can be understood.
    pub(crate) fn refers_to(&self) -> Option<SecretReference> {
        #[derive(Deserialize)]
        struct Reference {
            uri: String,
        }
        let read = || serde_json::from_str::<Reference>(self.expose()).ok();
        let reference = self.is_reference().then(read).flatten()?;
        SecretReference::of_url(&reference.uri)
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

impl From<Body> for KeyValue {
    fn from(body: Body) -> Self {
        let Body { etag, value, locked, mut members } = body;
        members.retain(|name, _| !NOT_WRITTEN.contains(&name.as_str()));
        Self { etag, value: value.unwrap_or_default().into(), locked, members }
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue").field("etag", &self.etag).finish_non_exhaustive()
    }
}

impl ConsumerKind for Place {
    type Contents = KeyValue;

    fn operations() -> Vec<Operation> {
        vec![GET, PUT, LIST]
    }

    fn consumer(&self) -> ConsumerId {
        ConsumerId::KeyValue(self.id.clone())
    }

    async fn read(&self, arm: &Arm) -> Result<KeyValue, ArmError> {
        read(arm, call(arm, &self.id, Call::get, GET)?).await
    }

    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&KeyValue>,
        change: &Change<'_>,
    ) -> Result<Written<KeyValue>, ArmError> {
        let mut before = self.just_before(arm, just_read).await?;
        let mut merges = 1;
        loop {
            let Some(wanted) = rewritten(&before, change) else { return Ok(Written::Already(before)) };
            match put(arm, &self.id, &before, &wanted, change.key).await {
                Ok(after) if after.expose() == wanted.expose_secret() => {
                    self.wait_until_seen(arm, &after).await?;
                    return Ok(Written::Accepted(after));
                }
                Ok(_) => return Ok(Written::Overwritten),
                Err(error) if error.kind() == ArmErrorKind::Conflict && merges < MERGES => merges += 1,
                Err(error) => return Err(error),
            }
            before = self.read(arm).await?;
        }
    }

    /// A write is made on condition, and what came between is merged.
    fn holds_anothers(&self, _: &KeyValue, _: Marks<'_>) -> bool {
        false
    }

    /// What is written is there at once. Who reads it when is a matter of its readers.
    fn settling(&self) -> Settling {
        Settling::ByItself { read_back_after: TimeDelta::zero(), at_most: Duration::ZERO }
    }
}

impl Place {
    /// Waits until others see what was written, or something newer.
    async fn wait_until_seen(&self, arm: &Arm, written: &KeyValue) -> Result<(), ArmError> {
        for sight in 0..SIGHTS {
            if sight > 0 {
                arm.sleep(APART).await;
            }
            let seen = read(arm, call(arm, &self.id, Call::get, GET)?.told_of_nothing()).await?;
            if seen.etag == written.etag {
                break;
            }
        }
        Ok(())
    }
}

/// A page of `GetKeyValues`.
#[derive(Deserialize)]
struct Page {
    items: Vec<Body>,
    #[serde(rename = "@nextLink")]
    next: Option<String>,
}

/// `GetKeyValues`, all pages: the key-values of a store under all labels.
pub async fn list(arm: &Arm, store: &str) -> Result<Vec<(KeyValueId, KeyValue)>, ArmError> {
    let suffix = arm.store_suffixes().first().copied().unwrap_or_default();
    let endpoint = format!("https://{store}.{suffix}");
    let strange = |host: &str| {
        let message = words::strange_store(host, arm.store_suffixes().join(", …"));
        ArmError::new(ArmErrorKind::Elsewhere, LIST, &endpoint, &message)
    };
    // Any key does: it is the host that is asked.
    let any = KeyValueId::new(&endpoint, "any", None).ok_or_else(|| strange(&endpoint))?;
    let mut call = call(arm, &any, Call::get, LIST)?;
    call.url.set_path("/kv");
    call.url.query_pairs_mut().append_pair("key", "*").append_pair("label", "*");
    let mut all = Vec::new();
    for _ in 0..MOST_PAGES {
        let page: Page = arm.send(&call).await?.json(&call)?;
        for body in page.items {
            let text = |name: &str| body.members.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            let id = text("key").and_then(|key| KeyValueId::new(&endpoint, &key, text("label").as_deref()));
            all.extend(id.map(|id| (id, body.into())));
        }
        let Some(next) = page.next else { return Ok(all) };
        let joined = call.url.join(&next).ok().filter(|next| next.origin() == call.url.origin());
        call.url = joined.ok_or_else(|| strange(&next))?;
    }
    Err(call.error(ArmErrorKind::Malformed, words::ENDLESS_LIST))
}

async fn read(arm: &Arm, call: Call) -> Result<KeyValue, ArmError> {
    let body: Body = arm.send(&call).await?.json(&call)?;
    Ok(body.into())
}

/// The value with the new key; nothing if it holds none of ours, or has it. Where it leads to a secret, the secret was written
/// in its place, and a version of it that it names is replaced by the new one.
fn rewritten(before: &KeyValue, change: &Change<'_>) -> Option<SecretString> {
    if before.is_reference() {
        let (old, (_, new)) = (before.refers_to()?.version?, change.versions.get("")?);
        return (old != *new).then(|| with_version(before.expose(), &old, new).into());
    }
    change.rewritten(before.expose()).map(|written| written.as_str().into())
}

/// `PutKeyValue`, if nobody has written it since it was read.
async fn put(
    arm: &Arm,
    id: &KeyValueId,
    before: &KeyValue,
    value: &SecretString,
    key: &Key,
) -> Result<KeyValue, ArmError> {
    let value = value.expose_secret();
    let call = call(arm, id, Call::put, PUT)?;
    let strange = || refused(id, PUT, ArmErrorKind::Malformed, words::STRANGE_ETAG);
    let condition = HeaderValue::from_str(&format!("\"{}\"", before.etag)).map_err(|_| strange())?;
    let body = NewValue { value, members: &before.members };
    let call = call.with_body(&body)?.with_header(IF_MATCH, condition);
    let answer = arm.send(&call).await.map_err(|error| error.without([value, key.expose()].into_iter()))?;
    let body: Body = answer.json(&call)?;
    Ok(body.into())
}

/// A request to the store of a key-value, if that may be given a token.
fn call(
    arm: &Arm,
    id: &KeyValueId,
    make: fn(Operation, url::Url) -> Call,
    operation: Operation,
) -> Result<Call, ArmError> {
    let strange = || {
        let message = words::strange_store(id.host(), arm.store_suffixes().join(", …"));
        refused(id, operation, ArmErrorKind::Elsewhere, &message)
    };
    let url = arm.store_url(id, API_VERSION).ok_or_else(strange)?;
    Ok(make(operation, url).at_store().with_header(ACCEPT, MEDIA))
}

fn refused(id: &KeyValueId, operation: Operation, kind: ArmErrorKind, message: &str) -> ArmError {
    ArmError::new(kind, operation, &id.to_string(), message)
}
