//! What is true of apps, for judges of those who look after them: what an app signs with, and what can be read at all. It
//! is found by the simulator's own rules, and by nothing that the product reads or remembers.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};

use super::call::{Answer, Call};
use super::people::Unknown;
use super::routes::{self, Found};
use super::state::State;
use super::traffic::read_connections;
use super::{barriers, roles};
use rekey_core::model::{AppId, KeyType, ServiceId};

impl State {
    /// Which keys of which instances an app signs with as soon as it has read its settings as they are now; none for a
    /// key that the instance refuses.
    pub fn signs(&self, app: &str) -> Result<BTreeSet<(String, Option<KeyType>)>, Unknown> {
        let app = &self.apps[self.app(app)?];
        let connections = read_connections(&app.reads(), &self.instances);
        let signs = connections.into_iter().map(|connection| {
            let instance = &self.instances[connection.instance];
            let effective = instance.effective();
            let valid =
                effective.iter().find(|(_, key)| **key == connection.key).map(|(key_type, _)| key_type);
            (instance.id.name().to_owned(), valid)
        });
        Ok(signs.collect())
    }

    /// What keeps it from being true that an instance and all of these apps can be read and that each of them signs with
    /// valid keys of the instance. With anything of it, no run over the instance has ended well. An app that was deleted,
    /// and not moved, need not be read.
    pub fn troubles(&mut self, instance: &ServiceId, apps: &[AppId]) -> Vec<String> {
        let mut troubles: Vec<String> =
            self.unreadable(&format!("{instance}/listKeys")).into_iter().collect();
        if self.instances.iter().any(|one| one.id == *instance && one.disable_local_auth) {
            troubles.push(format!("{} has no keys", instance.name()));
        }
        for app in apps {
            if self.is_deleted(app) {
                continue;
            }
            let sections = ["appsettings", "connectionstrings"];
            let unreadable =
                sections.iter().find_map(|part| self.unreadable(&format!("{app}/config/{part}/list")));
            troubles.extend(unreadable);
            let refused = (instance.name().to_owned(), None);
            if self.signs(&app.name()).is_ok_and(|signs| signs.contains(&refused)) {
                troubles.push(format!("{} signs with a key that {} refuses", app.name(), instance.name()));
            }
        }
        troubles
    }

    /// Whether there was a site or slot of its name and is none any more.
    fn is_deleted(&self, app: &AppId) -> bool {
        let mut namesakes =
            self.apps.iter().filter(|one| one.name.eq_ignore_ascii_case(&app.name())).peekable();
        namesakes.peek().is_some() && namesakes.all(|one| one.deleted)
    }

    /// Why a POST that lists is refused for as long as what lasts does; nothing if it is not.
    fn unreadable(&mut self, path: &str) -> Option<String> {
        let Found::Route(route, params) = routes::find(&Method::POST, path) else {
            return Some(format!("{path} is no path"));
        };
        let call = Call {
            method: Method::POST,
            base: String::new(),
            host: String::new(),
            path: path.to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            params,
            fault: None,
            delay: std::time::Duration::ZERO,
        };
        let lasting = self.faults.lasting(route.operation, &call.resource());
        let allowed = match lasting {
            Some(kind) => Err(kind.name().to_owned()),
            None => roles::check(self, route.operation, &call)
                .and_then(|()| barriers::check(self, route.operation, &call))
                .and_then(|()| (route.handle)(self, &call).map(drop))
                .map_err(|answer| code(&answer)),
        };
        allowed.err().map(|why| format!("{} of {} is answered {why}", route.operation, call.resource()))
    }
}

fn code(answer: &Answer) -> String {
    format!("{} {}", answer.status.as_u16(), answer.code().unwrap_or_default())
}
