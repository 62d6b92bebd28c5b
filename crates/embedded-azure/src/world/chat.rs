//! The world without a file.

use std::collections::BTreeMap;

use super::{SignalR, Site, World, default_kind, default_subscription};

impl Default for World {
    /// A chat: one service, a web app, its staging slot and a function app.
    fn default() -> Self {
        let group = || "rg-demo".to_owned();
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let web = Site {
            group: group(),
            name: "chat-web".into(),
            kind: default_kind(),
            slots: vec!["staging".into()],
            settings: BTreeMap::from([
                setting("ASPNETCORE_ENVIRONMENT", "Production"),
                setting("GREETING", "Hello; and welcome = enjoy"),
            ]),
            ..Site::default()
        };
        let function = Site {
            group: group(),
            name: "chat-func".into(),
            kind: "functionapp,linux".into(),
            settings: BTreeMap::from([
                setting("FUNCTIONS_EXTENSION_VERSION", "~4"),
                setting("FUNCTIONS_WORKER_RUNTIME", "node"),
            ]),
            ..Site::default()
        };
        let apps = ["chat-web", "chat-web/staging", "chat-func"].map(str::to_owned).to_vec();
        let signalr = vec![SignalR { group: group(), name: "sr-demo".into(), apps, ..SignalR::default() }];
        Self {
            subscription: default_subscription(),
            signalr,
            sites: vec![web, function],
            vaults: Vec::new(),
            app_configurations: Vec::new(),
            container_apps: Vec::new(),
            container_jobs: Vec::new(),
            static_web_apps: Vec::new(),
            references: BTreeMap::new(),
            denials: Vec::new(),
            barriers: Vec::new(),
            connectors: Vec::new(),
        }
    }
}
