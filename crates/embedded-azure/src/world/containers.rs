//! Container apps and jobs in the world file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{SignalR, World, WorldError};
use crate::ids::{ContainerId, ContainerKind};
use crate::placeholders::{Placeholders, fill, names};
use crate::references;

/// One container app.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerApp {
    /// Its resource group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Whether several revisions may be active.
    #[serde(default)]
    pub revisions_mode: RevisionsMode,
    /// Its secrets, each a value or the URL of one in a vault.
    #[serde(default)]
    pub secrets: BTreeMap<String, ContainerSecret>,
    /// Which variable of its containers has which secret; each secret is in a variable of its own if it is not said.
    #[serde(default)]
    pub env: Option<BTreeMap<String, String>>,
    /// The secrets that are mounted as files.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// Variables whose value stands in the template.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// How many replicas the newest revision has.
    #[serde(default = "one")]
    pub replicas: usize,
    /// Older revisions, of the same template.
    #[serde(default)]
    pub revisions: BTreeMap<String, OlderRevision>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerJob {
    /// Its resource group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// As of a container app.
    #[serde(default)]
    pub secrets: BTreeMap<String, ContainerSecret>,
    /// As of a container app.
    #[serde(default)]
    pub env: Option<BTreeMap<String, String>>,
    /// As of a container app.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// As of a container app.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// How many executions run at first.
    #[serde(default)]
    pub executions: usize,
    /// How many seconds an execution may run, as its configuration says; half an hour if it is not said. Nothing ends one here.
    #[serde(default)]
    pub replica_timeout: Option<u64>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Whether several revisions of a container app may be active (swagger: `activeRevisionsMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevisionsMode {
    /// The newest alone.
    #[default]
    Single,
    /// As many as are wanted.
    Multiple,
}

/// A revision that is not the newest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OlderRevision {
    /// Whether it runs; only where several may.
    #[serde(default)]
    pub active: bool,
    /// How many replicas it has while it is active.
    #[serde(default = "one")]
    pub replicas: usize,
    /// How much of a hundred calls it is given.
    #[serde(default)]
    pub weight: u32,
}

/// A secret of a container app or job. In the world file a text stands for one by value.
#[derive(Clone, PartialEq, Eq)]
pub enum ContainerSecret {
    /// By value, which may have placeholders.
    Value(String),
    /// A secret in a vault.
    Vault {
        /// Its URL, with a version or without.
        url: String,
        /// By whose identity it is fetched: `System`, or the id of one that is assigned.
        identity: String,
    },
}

/// A container app or job as it starts.
pub(crate) struct InitialContainer {
    pub(crate) id: ContainerId,
    pub(crate) document: Value,
    pub(crate) secrets: Vec<InitialSecret>,
    pub(crate) revisions: BTreeMap<String, OlderRevision>,
    pub(crate) wanted: usize,
    pub(crate) executions: usize,
}

/// A secret as it starts: by value, or from a vault.
pub(crate) struct InitialSecret {
    pub(crate) name: String,
    pub(crate) vault: Option<FromVault>,
    pub(crate) value: Option<String>,
}

/// A secret in a vault, and by whose identity it is fetched: `System`, or the id of one that is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FromVault {
    pub(crate) url: String,
    pub(crate) identity: String,
}

/// What container apps and jobs have in common.
#[derive(Clone, Copy)]
struct Spec<'a> {
    group: &'a str,
    name: &'a str,
    kind: ContainerKind,
    secrets: &'a BTreeMap<String, ContainerSecret>,
    env: Option<&'a BTreeMap<String, String>>,
    mounts: &'a [String],
    values: &'a BTreeMap<String, String>,
    tags: &'a BTreeMap<String, String>,
}

impl World {
    /// The ids of the container apps and jobs that hold a key of a service: in a secret, in a value of their template, or in
    /// a secret of a vault.
    #[must_use]
    pub fn containers_of(&self, service: &SignalR) -> Vec<ContainerId> {
        let holds = |spec: &Spec<'_>| {
            let in_secret = |secret: &ContainerSecret| match secret {
                ContainerSecret::Value(value) => names(value, &service.name),
                ContainerSecret::Vault { url, .. } => {
                    let led = references::at_url(url).and_then(|secret| self.secret(&secret));
                    led.is_some_and(|value| names(value, &service.name))
                }
            };
            spec.secrets.values().any(in_secret)
                || spec.values.values().any(|value| names(value, &service.name))
        };
        self.specs().filter(holds).map(|spec| self.id_of(spec)).collect()
    }

    /// The ids of the container apps and jobs.
    pub(crate) fn container_ids(&self) -> Vec<ContainerId> {
        self.specs().map(|spec| self.id_of(spec)).collect()
    }

    /// Container apps and jobs with every placeholder replaced.
    pub(crate) fn build_containers(&self, keys: &Placeholders) -> Result<Vec<InitialContainer>, WorldError> {
        let built = |spec: Spec<'_>| {
            let id = self.id_of(spec);
            let secrets = spec.secrets.iter().map(|(name, secret)| built_secret(name, secret, keys, &id));
            let secrets = secrets.collect::<Result<Vec<_>, WorldError>>()?;
            let mut template = template(spec, keys)?;
            let app =
                self.container_apps.iter().find(|app| id.kind == ContainerKind::App && app.name == id.name);
            let job =
                self.container_jobs.iter().find(|job| id.kind == ContainerKind::Job && job.name == id.name);
            let configuration = match app {
                Some(app) => {
                    template["scale"] = json!({"minReplicas": app.replicas.min(1), "maxReplicas": 10});
                    configuration(app)
                }
                None => json!({
                    "triggerType": "Manual", "replicaRetryLimit": 0,
                    "replicaTimeout": job.and_then(|job| job.replica_timeout).unwrap_or(1800),
                    "manualTriggerConfig": {"parallelism": 1, "replicaCompletionCount": 1},
                }),
            };
            Ok(InitialContainer {
                document: document(&id, spec.tags, &configuration, &template),
                id,
                secrets,
                revisions: app.map(|app| app.revisions.clone()).unwrap_or_default(),
                wanted: app.map_or(0, |app| app.replicas),
                executions: job.map_or(0, |job| job.executions),
            })
        };
        self.specs().map(built).collect()
    }

    /// Checks names, and what refers to them.
    pub(crate) fn check_containers(&self) -> Result<(), WorldError> {
        let mut seen = BTreeSet::new();
        for (spec, id) in self.specs().zip(self.container_ids()) {
            if !id.is_valid() {
                return Err(WorldError::BadName(id.name));
            }
            if !seen.insert(id.label()) {
                return Err(WorldError::Twice(id.name));
            }
            let mut named = spec.env.into_iter().flat_map(BTreeMap::values).chain(spec.mounts);
            if let Some(secret) = named.find(|name| !spec.secrets.contains_key(*name)) {
                let secret = format!("{}/{secret}", spec.name);
                return Err(WorldError::BadSecret {
                    secret,
                    found: "a place where it is used, but no value",
                });
            }
        }
        let too_many = |app: &&ContainerApp| {
            app.revisions_mode == RevisionsMode::Single && app.revisions.values().any(|older| older.active)
        };
        match self.container_apps.iter().find(too_many) {
            Some(app) => Err(WorldError::ActiveRevisions(app.name.clone())),
            None => Ok(()),
        }
    }

    fn id_of(&self, spec: Spec<'_>) -> ContainerId {
        let (group, name) = (spec.group.to_owned(), spec.name.to_owned());
        ContainerId { subscription: self.subscription.clone(), group, kind: spec.kind, name }
    }

    fn specs(&self) -> impl Iterator<Item = Spec<'_>> {
        let apps = self.container_apps.iter().map(|app| Spec {
            group: &app.group,
            name: &app.name,
            kind: ContainerKind::App,
            secrets: &app.secrets,
            env: app.env.as_ref(),
            mounts: &app.mounts,
            values: &app.values,
            tags: &app.tags,
        });
        let jobs = self.container_jobs.iter().map(|job| Spec {
            group: &job.group,
            name: &job.name,
            kind: ContainerKind::Job,
            secrets: &job.secrets,
            env: job.env.as_ref(),
            mounts: &job.mounts,
            values: &job.values,
            tags: &job.tags,
        });
        apps.chain(jobs)
    }
}

/// A document as Azure fills it in.
fn document(
    id: &ContainerId,
    tags: &BTreeMap<String, String>,
    configuration: &Value,
    template: &Value,
) -> Value {
    json!({
        "tags": tags,
        "properties": {"environmentId": id.environment(), "configuration": configuration, "template": template},
    })
}

fn built_secret(
    name: &str,
    secret: &ContainerSecret,
    keys: &Placeholders,
    id: &ContainerId,
) -> Result<InitialSecret, WorldError> {
    let (vault, value) = match secret {
        ContainerSecret::Value(value) => (None, Some(fill(value, keys, &id.label())?)),
        ContainerSecret::Vault { url, identity } => {
            (Some(FromVault { url: url.clone(), identity: identity.clone() }), None)
        }
    };
    Ok(InitialSecret { name: name.to_owned(), vault, value })
}

/// A template as the examples of the swagger have it.
fn template(spec: Spec<'_>, keys: &Placeholders) -> Result<Value, WorldError> {
    let own = |name: &String| (name.to_uppercase().replace(['-', '.'], "_"), name.clone());
    let env = spec.env.cloned().unwrap_or_else(|| spec.secrets.keys().map(own).collect());
    let mut variables: Vec<Value> =
        env.iter().map(|(variable, secret)| json!({"name": variable, "secretRef": secret})).collect();
    for (variable, value) in spec.values {
        let value = fill(value, keys, spec.name)?;
        variables.push(json!({"name": variable, "value": value}));
    }
    let mut container = json!({
        "name": spec.name, "image": format!("registry.example/{}:1", spec.name), "env": variables,
        "resources": {"cpu": 0.5, "memory": "1Gi"},
    });
    let mut template = json!({});
    if !spec.mounts.is_empty() {
        let mounted: Vec<Value> =
            spec.mounts.iter().map(|name| json!({"secretRef": name, "path": name})).collect();
        template["volumes"] = json!([{"name": "secrets", "storageType": "Secret", "secrets": mounted}]);
        container["volumeMounts"] = json!([{"volumeName": "secrets", "mountPath": "/mnt/secrets"}]);
    }
    template["containers"] = json!([container]);
    Ok(template)
}

fn configuration(app: &ContainerApp) -> Value {
    let older = app.revisions.iter().filter(|(_, older)| older.weight > 0);
    let mut traffic: Vec<Value> =
        older.map(|(name, older)| json!({"revisionName": name, "weight": older.weight})).collect();
    let given: u32 = app.revisions.values().map(|older| older.weight).sum();
    traffic.push(json!({"latestRevision": true, "weight": 100_u32.saturating_sub(given)}));
    json!({
        "activeRevisionsMode": app.revisions_mode,
        "ingress": {
            "fqdn": format!("{}.simulated.eastus.azurecontainerapps.io", app.name), "external": true,
            "targetPort": 8080, "transport": "Auto", "allowInsecure": false, "traffic": traffic,
        },
        "maxInactiveRevisions": 100,
    })
}

impl fmt::Debug for ContainerSecret {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value"),
            Self::Vault { url, .. } => f.debug_tuple("Vault").field(url).finish(),
        }
    }
}

impl Serialize for ContainerSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => serializer.serialize_str(value),
            Self::Vault { url, identity } => {
                json!({"keyVaultUrl": url, "identity": identity}).serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for ContainerSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Members {
            #[serde(rename = "keyVaultUrl")]
            url: String,
            #[serde(default = "system")]
            identity: String,
        }

        /// An untagged enumeration would not say which member is unknown.
        struct TextOrVault;

        impl<'de> Visitor<'de> for TextOrVault {
            type Value = ContainerSecret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the value of a secret, or an object with its keyVaultUrl")
            }

            fn visit_str<E>(self, value: &str) -> Result<ContainerSecret, E> {
                Ok(ContainerSecret::Value(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ContainerSecret, A::Error> {
                let Members { url, identity } = Members::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ContainerSecret::Vault { url, identity })
            }
        }

        deserializer.deserialize_any(TextOrVault)
    }
}

const fn one() -> usize {
    1
}

fn system() -> String {
    "System".into()
}
