//! The least that repairing can take: no journal, no decision, no check; one client, everything in parallel. In a setting of
//! each app; or in one secret that they refer to, up to where each was seen to be given it.

use embedded_azure::EmbeddedAzure;
use futures::future::join_all;
use futures::join;
use rekey_core::model::{AppId, ServiceId};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::repairing::{READ_BACK, SETTING, VAULT};

pub(crate) struct Floor {
    client: Client,
    base: String,
    token: String,
    /// For vaults.
    vault_token: String,
    instance: ServiceId,
}

impl Floor {
    pub(crate) async fn new(sim: &EmbeddedAzure, instance: ServiceId) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let base = sim.base().to_owned();
        let token = async |resource: &str| {
            let url = format!("{base}/msi/token?resource={resource}&api-version=2019-08-01");
            let asked = client.get(url).header("X-IDENTITY-HEADER", sim.identity_header());
            let answer: Value = asked.send().await.unwrap().json().await.unwrap();
            answer["access_token"].as_str().unwrap().to_owned()
        };
        let vault_token = token("https://vault.azure.net").await;
        let token = token("https://management.azure.com").await;
        Self { client, base, token, vault_token, instance }
    }

    pub(crate) async fn repair(&self, apps: &[AppId]) {
        let keys = self.keys().await;
        let string = keys["primaryConnectionString"].as_str().unwrap();
        join_all(apps.iter().map(|app| self.write(app, string))).await;
    }

    /// The requests that we make as well, each as soon as it can be: all that is read; the new version; the list of versions, in
    /// which it shows who wrote at the same time; the settings, which makes the platform fetch it; and, as long after that, all that
    /// was read once more. So five round trips and [`READ_BACK`].
    pub(crate) async fn repair_secret(&self, apps: &[AppId]) {
        let (keys, _, settings, _) = self.everything(apps).await;
        let body = json!({ "value": keys["primaryConnectionString"] });
        let made = answered(self.vault(Method::PUT, "secrets/signalr").json(&body)).await;
        let version = made["id"].as_str().unwrap().rsplit('/').next().unwrap();
        answered(self.vault(Method::GET, "secrets/signalr/versions")).await;
        let touched = apps.iter().zip(settings).map(|(app, mut settings)| {
            settings["properties"]["TOUCHED"] = version.into();
            self.put(app, settings)
        });
        join_all(touched).await;
        tokio::time::sleep(READ_BACK).await;
        let (_, _, _, seen) = self.everything(apps).await;
        assert!(seen.iter().all(|seen| seen["properties"]["activeVersion"] == version));
    }

    /// The keys, the secret, the settings, and what the references lead to.
    async fn everything(&self, apps: &[AppId]) -> (Value, Value, Vec<Value>, Vec<Value>) {
        let settings = join_all(apps.iter().map(|app| self.settings(app)));
        let references = join_all(apps.iter().map(|app| async move {
            let path = format!("{app}/config/configreferences/appsettings/{SETTING}?api-version=2023-12-01");
            answered(self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token)).await
        }));
        join!(self.keys(), answered(self.vault(Method::GET, "secrets/signalr")), settings, references)
    }

    fn vault(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/{path}?api-version=7.5", self.base);
        let request = self.client.request(method, url).header("host", format!("{VAULT}.vault.azure.net"));
        request.bearer_auth(&self.vault_token)
    }

    async fn keys(&self) -> Value {
        self.post(&format!("{}/listKeys?api-version=2024-03-01", self.instance)).await
    }

    async fn settings(&self, app: &AppId) -> Value {
        self.post(&format!("{app}/config/appsettings/list?api-version=2023-12-01")).await
    }

    async fn write(&self, app: &AppId, string: &str) {
        let mut settings = self.settings(app).await;
        settings["properties"][SETTING] = string.into();
        self.put(app, settings).await;
    }

    async fn put(&self, app: &AppId, settings: Value) {
        let url = format!("{}{app}/config/appsettings?api-version=2023-12-01", self.base);
        let body = json!({ "properties": settings["properties"] });
        answered(self.client.put(url).bearer_auth(&self.token).json(&body)).await;
    }

    async fn post(&self, path: &str) -> Value {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        answered(request.header("content-length", "0")).await
    }
}

async fn answered(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.unwrap()
}
