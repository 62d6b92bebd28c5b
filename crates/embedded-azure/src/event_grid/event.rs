//! What is announced, and in which words (docs: Azure resource group as an Event Grid source; Azure App Service as an
//! Event Grid source; Azure Key Vault, and Azure App Configuration, as an Event Grid source).

use axum::http::Method;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Schema;
use crate::call::{Answer, Call};
use crate::deeds::Deed;
use crate::identity::{OBJECT_ID, TENANT_ID};
use crate::ids::{AppId, VaultId};
use crate::random::IdMaker;
use crate::stores::{Name, Store};
use crate::vaults::Version;

/// Something that happened, before it is written in a schema.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    id: String,
    kind: String,
    topic: String,
    subject: String,
    data: Value,
    version: &'static str,
}

/// A request to ARM and who made it.
pub(crate) struct Request {
    method: Method,
    /// The path as the caller wrote it.
    path: String,
    /// The path in the words of the swagger; its `{names}` stand for anything.
    pattern: String,
    base: String,
    version: String,
    /// What the token says of the caller.
    claims: Value,
    client_request_id: Option<String>,
    correlation_id: Option<String>,
    succeeded: bool,
}

impl Request {
    /// What a colleague does in the portal, in letters of another case than requests have them: ids have no fixed case
    /// (docs samples: `resourcegroups`), and names of operations may not either (the list of operations spells
    /// `regeneratekey` what the swagger spells `regenerateKey`).
    pub(crate) fn of_a_colleague(method: Method, path: &str, claims: Value) -> Self {
        Self {
            method,
            path: path.replace("/resourceGroups/", "/resourcegroups/"),
            pattern: path.replace("/regenerateKey", "/regeneratekey"),
            base: "https://management.azure.com".into(),
            version: "2024-03-01".into(),
            claims,
            client_request_id: None,
            correlation_id: None,
            succeeded: true,
        }
    }

    pub(crate) fn of_a_call(pattern: &str, call: &Call, answer: &Answer, claims: Value) -> Self {
        let header = |name: &str| call.header(name).map(str::to_owned);
        Self {
            method: call.method.clone(),
            path: call.path.trim_end_matches('/').to_owned(),
            pattern: pattern.to_owned(),
            base: call.base.clone(),
            version: call.query("api-version").unwrap_or_default(),
            claims,
            client_request_id: header("x-ms-client-request-id"),
            correlation_id: answer.header("x-ms-correlation-request-id").map(str::to_owned),
            succeeded: answer.status.is_success(),
        }
    }

    /// What it is in the events' words; nothing for a method that announces nothing.
    fn words(&self) -> Option<(&'static str, &'static str)> {
        match self.method {
            Method::POST => Some(("Action", "action")),
            Method::PUT | Method::PATCH => Some(("Write", "write")),
            Method::DELETE => Some(("Delete", "delete")),
            _ => None,
        }
    }

    /// The operation's name: the provider, the types of the resource, the action (docs: Azure resource provider
    /// operations). In the path types and names take turns, and an action stands where a type would. What extends another
    /// resource, as `Microsoft.Resources/tags` does, has the provider of its own, the last one in the path.
    fn operation(&self, verb: &str) -> Option<(String, String)> {
        let (_, rest) = self.pattern.rsplit_once("/providers/")?;
        let mut words = rest.split('/');
        let provider = words.next()?.to_owned();
        let types: Vec<&str> = words.step_by(2).collect();
        // The swagger writes `signalR` in paths, while Azure's list of operations has `SignalR`.
        let operation = format!("{provider}/{}/{verb}", types.join("/")).replace("/signalR/", "/SignalR/");
        Some((provider, operation))
    }

    /// What it does; nothing if it only reads.
    pub(crate) fn deed(&self) -> Option<Deed> {
        let (_, verb) = self.words()?;
        let (_, operation) = self.operation(verb)?;
        let (method, succeeded) = (self.method.clone(), self.succeeded);
        Some(Deed { method, resource: self.resource().to_owned(), operation, succeeded })
    }

    /// The ids that it was given: those of its correlation, and by its client.
    pub(crate) fn given_ids(&self) -> [Option<String>; 2] {
        [self.correlation_id.clone(), self.client_request_id.clone()]
    }

    /// The resource: the path, without the action at its end.
    fn resource(&self) -> &str {
        let action = self.path.rsplit_once('/').filter(|_| self.method == Method::POST);
        action.map_or(self.path.as_str(), |(resource, _)| resource)
    }
}

impl Event {
    /// What ARM announces of a request; nothing if it announces none of its kind.
    pub(crate) fn in_arm(request: &Request, subscription: &str, ids: &mut IdMaker) -> Option<Self> {
        let (kind, verb) = request.words()?;
        let (provider, operation) = request.operation(verb)?;
        let mut id = |given: &Option<String>| given.clone().unwrap_or_else(|| ids.uuid().to_string());
        let resource = request.resource();
        let data = json!({
            "authorization": {
                "scope": resource,
                "action": operation,
                "evidence": {
                    "role": "Contributor",
                    "roleAssignmentScope": format!("/subscriptions/{subscription}"),
                    "roleAssignmentId": id(&None),
                    "roleDefinitionId": id(&None),
                    "principalId": request.claims[OBJECT_ID],
                    "principalType": if request.claims["name"].is_string() { "User" } else { "ServicePrincipal" },
                },
            },
            "claims": request.claims,
            "correlationId": id(&request.correlation_id),
            "httpRequest": {
                "clientRequestId": id(&request.client_request_id),
                // An address for documentation (RFC 5737).
                "clientIpAddress": "192.0.2.10",
                "method": request.method.as_str(),
                "url": format!("{}{}?api-version={}", request.base, request.path, request.version),
            },
            "resourceProvider": provider,
            "resourceUri": resource,
            "operationName": operation,
            "status": "Succeeded",
            "subscriptionId": subscription,
            "tenantId": request.claims[TENANT_ID],
        });
        let event = Self {
            id: id(&None),
            kind: format!("Microsoft.Resources.Resource{kind}Success"),
            topic: format!("/subscriptions/{subscription}"),
            subject: resource.to_owned(),
            data,
            version: "2",
        };
        Some(if request.succeeded { event } else { event.failed() })
    }

    /// What App Service announces when other settings were written.
    pub(crate) fn settings_changed(app: &AppId, ids: &mut IdMaker) -> Self {
        let id = app.to_string();
        let named = id.split_once("/providers").map_or(id.as_str(), |(_, named)| named);
        let mut uuid = || ids.uuid().to_string();
        let data = json!({
            "appEventTypeDetail": {"action": "ChangedAppSettings"},
            "name": app.site,
            "clientRequestId": uuid(),
            "correlationRequestId": uuid(),
            "requestId": uuid(),
            "address": format!("/websystems/WebSites/web/subscriptions/{}{named}/config", app.subscription),
            "verb": "PUT",
        });
        Self {
            id: uuid(),
            kind: "Microsoft.Web.AppUpdated".into(),
            subject: named.to_owned(),
            topic: id,
            data,
            version: "1",
        }
    }

    /// What Key Vault announces of a new version of a secret (docs: Azure Key Vault as an Event Grid source; times are
    /// numbers by its table of members, which they are here, and texts in its samples).
    pub(crate) fn new_version(vault: &VaultId, name: &str, version: &Version, ids: &mut IdMaker) -> Self {
        let host = format!("{}.vault.azure.net", vault.name().to_lowercase());
        let data = json!({
            "Id": format!("https://{host}/secrets/{name}/{}", version.id),
            "VaultName": vault.name(),
            "ObjectType": "Secret",
            "ObjectName": name,
            "Version": version.id,
            "NBF": version.content.nbf,
            "EXP": version.content.exp,
        });
        Self {
            id: ids.uuid().to_string(),
            kind: "Microsoft.KeyVault.SecretNewVersionCreated".into(),
            topic: vault.to_string(),
            subject: name.to_owned(),
            data,
            version: "1",
        }
    }

    /// What App Configuration announces of a key-value that was written or deleted (docs: Azure App Configuration as an Event
    /// Grid source). That of a deletion has the ETag of what is gone.
    pub(crate) fn key_value(
        store: &Store,
        name: &Name,
        etag: &str,
        deleted: bool,
        ids: &mut IdMaker,
    ) -> Self {
        let host = format!("{}.azconfig.io", store.id.name().to_lowercase());
        let part = |text: &str| {
            form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
        };
        let label = name.label.as_ref().map(|label| format!("?label={}", part(label)));
        let data = json!({
            "key": name.key, "label": name.label, "etag": etag, "syncToken": store.sync_token(),
        });
        let kind = if deleted { "KeyValueDeleted" } else { "KeyValueModified" };
        Self {
            id: ids.uuid().to_string(),
            kind: format!("Microsoft.AppConfiguration.{kind}"),
            topic: store.id.to_string(),
            subject: format!("https://{host}/kv/{}{}", part(&name.key), label.unwrap_or_default()),
            data,
            version: "1",
        }
    }

    /// The same as a failure.
    pub(crate) fn failed(mut self) -> Self {
        self.kind = self.kind.replace("Success", "Failure");
        self.data["status"] = "Failed".into();
        self
    }

    /// The event, as of `at`.
    pub(crate) fn written(&self, schema: Schema, at: DateTime<Utc>) -> Value {
        let Self { id, kind, topic, subject, data, version } = self;
        // Seven decimals, as .NET prints them.
        let at = at.to_rfc3339_opts(SecondsFormat::Micros, true).replace('Z', "0Z");
        match schema {
            Schema::EventGrid => json!({
                "id": id, "topic": topic, "subject": subject, "eventType": kind, "eventTime": at, "data": data,
                "dataVersion": version, "metadataVersion": "1",
            }),
            Schema::CloudEvents => json!({
                "id": id, "source": topic, "subject": subject, "type": kind, "time": at, "data": data,
                "specversion": "1.0",
            }),
        }
    }
}
