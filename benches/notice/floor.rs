//! The least that repairing can take: no journal, no decision, no check; one client, everything in parallel.

use embedded_azure::EmbeddedAzure;
use futures::future::join_all;
use rekey_core::model::{AppId, ServiceId};
use reqwest::Client;
use serde_json::{Value, json};

use super::repairing::SETTING;

pub(crate) struct Floor {
    client: Client,
    base: String,
    token: String,
    instance: ServiceId,
}

impl Floor {
    pub(crate) async fn new(sim: &EmbeddedAzure, instance: ServiceId) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let url =
            format!("{}/msi/token?resource=https://management.azure.com&api-version=2019-08-01", sim.base());
        let token = client.get(url).header("X-IDENTITY-HEADER", sim.identity_header());
        let token: Value = token.send().await.unwrap().json().await.unwrap();
        let token = token["access_token"].as_str().unwrap().to_owned();
        Self { client, base: sim.base().to_owned(), token, instance }
    }

    pub(crate) async fn repair(&self, apps: &[AppId]) {
        let keys = self.post(&format!("{}/listKeys?api-version=2024-03-01", self.instance)).await;
        let string = keys["primaryConnectionString"].as_str().unwrap();
        join_all(apps.iter().map(|app| self.write(app, string))).await;
    }

    async fn write(&self, app: &AppId, string: &str) {
        let mut settings = self.post(&format!("{app}/config/appsettings/list?api-version=2023-12-01")).await;
        settings["properties"][SETTING] = string.into();
        let url = format!("{}{app}/config/appsettings?api-version=2023-12-01", self.base);
        let body = json!({ "properties": settings["properties"] });
        let answer = self.client.put(url).bearer_auth(&self.token).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
        answer.bytes().await.unwrap();
    }

    async fn post(&self, path: &str) -> Value {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let answer = request.header("content-length", "0").send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.json().await.unwrap()
    }
}
