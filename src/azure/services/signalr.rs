//! Azure SignalR Service (ARM swagger 2024-03-01), the one file that knows Microsoft.SignalRService.

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Deserializer};

use super::{KeyService, ListedKeys, Regeneration, ServiceOperations, ServiceResource};
use crate::azure::arm::{
    Arm, ArmError, ArmErrorKind, Barrier, Call, Operation, OperationStatus, Subject, operation_url,
};
use crate::azure::data_plane::{DataPlane, Probe};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::model::{ConnectionString, Key, KeyPair, KeyType, OperationUrl, ServiceId, ServiceType};

/// The newest stable version there is.
const API_VERSION: &str = "2024-03-01";

const READ: &[&str] = &["Microsoft.SignalRService/SignalR/read"];

/// As in Microsoft's operation list.
const GET: Operation = Operation::read("SignalR_Get", READ).about(Subject::Service);
const LIST: Operation = Operation::read("SignalR_ListBySubscription", READ).about(Subject::Service);
const LIST_BY_GROUP: Operation = Operation::read("SignalR_ListByResourceGroup", READ).about(Subject::Service);
const LIST_REPLICAS: Operation =
    Operation::read("SignalRReplicas_List", &["Microsoft.SignalRService/SignalR/replicas/read"])
        .about(Subject::Service);
const LIST_KEYS: Operation =
    Operation::read("SignalR_ListKeys", &["Microsoft.SignalRService/SignalR/listkeys/action"])
        .about(Subject::Service)
        .with_secrets()
        .by_handler();
const REGENERATE_KEY: Operation =
    Operation::change("SignalR_RegenerateKey", &["Microsoft.SignalRService/SignalR/regeneratekey/action"])
        .about(Subject::Service)
        .with_secrets()
        .by_handler();
/// Older api-versions, and some regions still, answer with URLs below `locations/`.
const STATUS: Operation = Operation::read(
    "SignalR_OperationStatus",
    &[
        "Microsoft.SignalRService/SignalR/operationStatuses/read",
        "Microsoft.SignalRService/locations/operationStatuses/signalr/read",
    ],
)
.about(Subject::Regeneration)
.with_secrets()
.by_handler();
const RESULT: Operation = Operation::read(
    "SignalR_OperationResult",
    &[
        "Microsoft.SignalRService/SignalR/operationResults/read",
        "Microsoft.SignalRService/locations/operationresults/signalr/read",
    ],
)
.about(Subject::Regeneration)
.with_secrets()
.by_handler();

/// `SignalR_CheckUserExistence` (data-plane swagger 20220601): the cheapest call that needs a key. `/api/health` ignores
/// a wrong one (azure-signalr#1662). Hub and user are made up, and creating neither; a hub's name takes no hyphen. Nobody is
/// connected as that user, which is the answer that is waited for.
const PROBE: &str = "/api/hubs/signalr_rekey/users/signalr-rekey?api-version=2022-06-01";

impl KeyService for ServiceType {
    fn operations(self) -> ServiceOperations {
        ServiceOperations {
            list_keys: LIST_KEYS,
            regenerate: REGENERATE_KEY,
            follow: [STATUS, RESULT],
            describe: GET,
            list: [LIST, LIST_BY_GROUP],
            replicas: LIST_REPLICAS,
        }
    }

    fn api_version(self) -> &'static str {
        API_VERSION
    }

    async fn list_keys(self, arm: &Arm, id: &ServiceId) -> Result<ListedKeys, ArmError> {
        let call = Call::post(LIST_KEYS, arm.url(&format!("{id}/listKeys"), API_VERSION));
        let answer = arm.send(&call).await?;
        let body: KeysBody = answer.json(&call)?;
        let fault = |why| answer.fault(&call, ArmErrorKind::Malformed, why);
        if body.contradicts_itself() {
            return Err(fault(words::KEYS_CONTRADICT));
        }
        if body.is_empty() {
            let kind = ArmErrorKind::Barred(Barrier::NoKeys);
            return Err(answer.fault(&call, kind, words::NO_KEYS));
        }
        let host = body.host();
        let none = || fault(words::NOT_BOTH_KEYS);
        Ok(ListedKeys { keys: body.pair().ok_or_else(none)?, host })
    }

    async fn regenerate(
        self,
        arm: &Arm,
        id: &ServiceId,
        key_type: KeyType,
    ) -> Result<Regeneration, ArmError> {
        let url = arm.url(&format!("{id}/regenerateKey"), API_VERSION);
        let body = serde_json::json!({ "keyType": key_type.as_str() });
        let call = Call::post(REGENERATE_KEY, url).with_body(&body)?;
        let arm = &arm.traced();
        let answer = arm.send(&call).await?;
        // The order was taken, that is what counts: an unreadable body costs the keys, which listKeys tells as well.
        let told = answer.json::<KeysBody>(&call).ok().filter(|body| !body.contradicts_itself());
        let keys = told.and_then(KeysBody::pair);
        Ok(Regeneration {
            keys,
            operation: operation_url(&answer.headers, &call.url),
            retry_after: answer.retry_after(arm),
            correlation: arm.trace(),
            finished: answer.status == 200,
        })
    }

    async fn follow(self, arm: &Arm, operation: &OperationUrl) -> Result<OperationStatus, ArmError> {
        let asked = match operation {
            OperationUrl::AsyncOperation(_) => STATUS,
            OperationUrl::Location(_) => RESULT,
        };
        arm.follow(asked, operation).await
    }

    async fn probe(self, data_plane: &DataPlane, host: &str, key: &Key) -> Probe {
        data_plane.probe(host, PROBE, key).await
    }

    async fn describe(self, arm: &Arm, id: &ServiceId) -> Result<ServiceResource, ArmError> {
        let call = Call::get(GET, arm.url(&id.to_string(), API_VERSION));
        let answer = arm.send(&call).await?;
        let resource: Resource = answer.json(&call)?;
        let misnamed = || answer.fault(&call, ArmErrorKind::Malformed, words::NO_ID);
        resource.read().ok_or_else(misnamed)
    }

    async fn list(
        self,
        arm: &Arm,
        subscription: &str,
        group: Option<&str>,
    ) -> Result<Vec<ServiceResource>, ArmError> {
        let (operation, within) = match group {
            None => (LIST, String::new()),
            Some(group) => (LIST_BY_GROUP, format!("/resourceGroups/{group}")),
        };
        let path = format!("/subscriptions/{subscription}{within}/providers/{}", self.as_str());
        let resources: Vec<Resource> = arm.pages(Call::get(operation, arm.url(&path, API_VERSION))).await?;
        Ok(resources.into_iter().filter_map(Resource::read).collect())
    }

    async fn replicas(self, arm: &Arm, id: &ServiceId) -> Result<Vec<String>, ArmError> {
        let url = arm.url(&format!("{id}/replicas"), API_VERSION);
        let replicas: Vec<Replica> = arm.pages(Call::get(LIST_REPLICAS, url)).await?;
        Ok(replicas.into_iter().map(|Replica { name, location }| location.unwrap_or(name)).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysBody {
    #[serde(default, deserialize_with = "key")]
    primary_key: Option<Key>,
    #[serde(default, deserialize_with = "key")]
    secondary_key: Option<Key>,
    #[serde(default, deserialize_with = "string")]
    primary_connection_string: Option<ConnectionString>,
    #[serde(default, deserialize_with = "string")]
    secondary_connection_string: Option<ConnectionString>,
}

impl KeysBody {
    /// Both keys, each with the connection string beside it.
    fn both(&self) -> [(Option<&Key>, Option<&ConnectionString>); 2] {
        [
            (self.primary_key.as_ref(), self.primary_connection_string.as_ref()),
            (self.secondary_key.as_ref(), self.secondary_connection_string.as_ref()),
        ]
    }

    fn host(&self) -> Option<String> {
        self.both().into_iter().find_map(|(_, string)| Some(string?.host().to_owned()))
    }

    /// Whether it is no answer to go by: a key that is masked, cut off or another's would be written over ones that work.
    fn contradicts_itself(&self) -> bool {
        let differs = |(key, string): (Option<&Key>, Option<&ConnectionString>)| {
            let in_string = string.and_then(ConnectionString::key);
            key.zip(in_string).is_some_and(|(key, in_string)| *key != in_string)
        };
        let are_same = self.primary_key.is_some() && self.primary_key == self.secondary_key;
        are_same || self.both().into_iter().any(differs)
    }

    /// Whether it holds no key at all.
    fn is_empty(&self) -> bool {
        let holds_one = |(key, string): (Option<&Key>, Option<&ConnectionString>)| {
            key.is_some() || string.and_then(ConnectionString::key).is_some()
        };
        !self.both().into_iter().any(holds_one)
    }

    fn pair(self) -> Option<KeyPair> {
        Some(KeyPair { primary: self.primary_key?, secondary: self.secondary_key? })
    }
}

/// Takes a key out of the open at once. An empty one, as a service without local authentication might answer, is none.
fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Key>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Key::new))
}

fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ConnectionString>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.map(Zeroizing::new);
    Ok(text.and_then(|text| ConnectionString::parse(&text).ok()))
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    location: Option<String>,
}

#[derive(Deserialize)]
struct Resource {
    id: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    host_name: Option<String>,
    provisioning_state: Option<String>,
    disable_local_auth: Option<bool>,
    resource_stopped: Option<Flag>,
    features: Option<Vec<Feature>>,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(default)]
    flag: String,
    #[serde(default)]
    value: String,
}

/// `resourceStopped` is a text, `"true"` or `"false"`, in the swagger; a real boolean would be no surprise.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Boolean(bool),
    Text(String),
}

impl Flag {
    fn is_set(&self) -> bool {
        match self {
            Self::Boolean(value) => *value,
            Self::Text(text) => text.eq_ignore_ascii_case("true"),
        }
    }
}

impl Resource {
    fn read(self) -> Option<ServiceResource> {
        let Self { id, location, properties } = self;
        let Properties { host_name, provisioning_state, disable_local_auth, resource_stopped, features } =
            properties;
        let mut features = features.into_iter().flatten();
        let mode = features.find(|feature| feature.flag.eq_ignore_ascii_case("ServiceMode"));
        let id = id
            .parse()
            .inspect_err(|error| tracing::warn!(error = %cause::told(error), "{}", words::STRANGE_SERVICE))
            .ok()?;
        Some(ServiceResource {
            id,
            location,
            host_name: host_name.filter(|host| !host.is_empty()).map(|host| host.to_lowercase()),
            provisioning_state: provisioning_state.unwrap_or_default(),
            disable_local_auth: disable_local_auth.unwrap_or_default(),
            stopped: resource_stopped.is_some_and(|flag| flag.is_set()),
            mode: mode.map(|feature| feature.value).filter(|mode| !mode.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_not_shown() {
        // Recorded 2024-10-16 by the Azure CLI's tests; the keys are made up.
        let body = r#"{"primaryKey":"aaaaJQQJ99AAAAAAAAAAFFFFAAAAASRSZZZZ","secondaryKey":"bbbbJQQJ99AAAAAAAAAAFFFFAAAAASRSZZZZ",
            "primaryConnectionString":"Endpoint=https://Chat.service.signalr.net;AccessKey=aaaaJQQJ99AAAAAAAAAAFFFFAAAAASRSZZZZ;Version=1.0;",
            "secondaryConnectionString":"Endpoint=https://chat.service.signalr.net;AccessKey=bbbbJQQJ99AAAAAAAAAAFFFFAAAAASRSZZZZ;Version=1.0;"}"#;
        let body: KeysBody = serde_json::from_str(body).unwrap();
        assert!(!body.contradicts_itself());
        let listed = ListedKeys { host: body.host(), keys: body.pair().unwrap() };
        assert_eq!(listed.host.as_deref(), Some("chat.service.signalr.net"));
        assert_eq!(listed.keys.secondary, Key::new("bbbbJQQJ99AAAAAAAAAAFFFFAAAAASRSZZZZ"));
        assert!(!format!("{listed:?}").contains("JQQJ99"), "{listed:?}");
    }

    #[test]
    fn no_keys_are_told_from_half_an_answer() {
        let string = "Endpoint=https://chat.service.signalr.net;AccessKey=a;Version=1.0;";
        let held = serde_json::json!({ "primaryConnectionString": string }).to_string();
        for (body, wanted) in [
            ("{}", true),
            (r#"{"primaryKey":null,"secondaryKey":null}"#, true),
            (r#"{"primaryKey":"","secondaryKey":"","primaryConnectionString":""}"#, true),
            (r#"{"primaryKey":"a"}"#, false),
            (&held, false),
        ] {
            assert_eq!(serde_json::from_str::<KeysBody>(body).unwrap().is_empty(), wanted, "{body}");
        }
    }

    #[test]
    fn missing_keys_are_none() {
        for body in
            ["{}", r#"{"primaryKey":null,"secondaryKey":null}"#, r#"{"primaryKey":"a","secondaryKey":""}"#]
        {
            assert!(serde_json::from_str::<KeysBody>(body).unwrap().pair().is_none(), "{body}");
        }
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_not_gone_by() {
        let string =
            |key: &str| format!("Endpoint=https://chat.service.signalr.net;AccessKey={key};Version=1.0;");
        for (keys, strings, wanted) in [
            (["a", "b"], ["a", "b"], false),
            (["a", "b"], ["", ""], false),
            (["****", "****"], ["a", "b"], true),
            (["null", "null"], ["", ""], true),
            (["a", "a"], ["a", "a"], true),
            (["b", "a"], ["a", "b"], true),
            (["a", "b"], ["a", "c"], true),
        ] {
            let [primary, secondary] = strings.map(string);
            let body = serde_json::json!({
                "primaryKey": keys[0], "secondaryKey": keys[1],
                "primaryConnectionString": primary, "secondaryConnectionString": secondary,
            });
            let body: KeysBody = serde_json::from_value(body).unwrap();
            assert_eq!(body.contradicts_itself(), wanted, "{keys:?} {strings:?}");
            assert_eq!(body.host().as_deref(), Some("chat.service.signalr.net"));
        }
    }

    #[test]
    fn an_instance_is_read() {
        // From the swagger's example of SignalR_Get.
        let body = r#"{"properties":{"provisioningState":"Succeeded","hostName":"Chat.service.signalr.net","disableLocalAuth":false,
            "resourceStopped":"true","tls":{"clientCertEnabled":true}},"kind":"SignalR","location":"eastus","name":"chat",
            "id":"/subscriptions/s/resourcegroups/g/providers/Microsoft.SignalRService/SignalR/chat"}"#;
        let instance = serde_json::from_str::<Resource>(body).unwrap().read().unwrap();
        assert_eq!(instance.id, ServiceId::new("s", "g", "chat"));
        assert_eq!(instance.host_name.as_deref(), Some("chat.service.signalr.net"));
        assert!(instance.stopped && !instance.disable_local_auth);
    }
}
