//! As whom Azure is asked.
//!
//! Start at [`credential`]. It reads the environment in the order in which Microsoft's own tools do and refuses what is
//! half configured, for azure_identity would go on to the next way and fail there with a riddle. Whether it is, `half_set`
//! tells, and whoever reads the configuration asks the same.

mod arc;
mod keeping;

use std::path::PathBuf;
use std::sync::Arc;

use self::arc::ArcMachine;
pub use self::keeping::InsteadOf;
use self::keeping::{Kept, Renewable};
use crate::azure::http::Http;
use crate::clock::Clock;
use crate::config::AzureConfig;
use crate::report::text::azure as words;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions};
use azure_core::time::Duration;
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Some variables of a group are set, and one is not.
    HalfConfigured(#[from] HalfSet),
    /// We run in Azure and have no identity.
    NoIdentity,
    /// azure_identity does not take what was configured.
    Unusable(&'static str, #[source] azure_core::Error),
}

/// As whom Azure is asked where the environment says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// As whoever is logged in: this is a person's machine.
    DeveloperTools,
    /// As the managed identity of a virtual machine, whose metadata service gives tokens and needs no variable.
    VirtualMachine,
}

/// Which way of proving who we are the environment asks for.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    ClientSecret {
        tenant: String,
        client: String,
    },
    WorkloadIdentity {
        tenant: String,
        client: String,
        token_file: String,
    },
    ManagedIdentity,
    /// Of a machine that Azure Arc connects, which gives tokens here.
    Arc {
        endpoint: String,
    },
    DeveloperTools,
}

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const ENDPOINT: &str = "IDENTITY_ENDPOINT";
const HEADER: &str = "IDENTITY_HEADER";
/// What App Service and Functions set in the processes that they run. The instance's id is not set on Flex and Linux
/// Consumption, the site's name is set on all (Functions host, EnvironmentExtensions); no tool of a developer's machine sets
/// either.
const IN_AZURE: [&str; 2] = ["WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME"];

/// Whether this process runs in App Service or Functions, and not on somebody's machine.
pub(crate) fn is_in_azure(environment: &dyn Fn(&str) -> Option<String>) -> bool {
    IN_AZURE.into_iter().any(|name| environment(name).is_some_and(|value| !value.trim().is_empty()))
}

/// The credential that the environment asks for: a client secret, a workload identity, the managed identity of the app, that of a
/// machine with Azure Arc, or else the developer's tools (`az login`, `azd auth login`), in this order. Tokens are kept and renewed early.
///
/// `environment` must tell what the process's own environment holds: for a managed identity azure_identity reads
/// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` there itself, the latter at each call, because the platform changes it.
pub fn credential(
    environment: &dyn Fn(&str) -> Option<String>,
    azure: &AzureConfig,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    credential_or(Otherwise::DeveloperTools, environment, azure, http, clock)
}

/// The same, with something else in the place of the developer's tools.
pub fn credential_or(
    otherwise: Otherwise,
    environment: &dyn Fn(&str) -> Option<String>,
    azure: &AzureConfig,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
    let way = way(&environment, azure.client_id.as_deref(), otherwise)?;
    let secret = Secret::new(environment(SECRET).unwrap_or_default());
    let (azure, http, clock) = (azure.clone(), http.clone(), Arc::clone(clock));
    Ok(Arc::new(Renewable::new(Box::new(move || made(&way, &secret, &azure, &http, &clock)))?))
}

fn made(
    way: &Way,
    secret: &Secret,
    azure: &AzureConfig,
    http: &Http,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let client_options = || ClientOptions {
        transport: Some(http.transport()),
        cloud: Some(Arc::new(azure.cloud.authority())),
        retry: RetryOptions::exponential(again()),
        ..ClientOptions::default()
    };
    Ok(match way {
        Way::ClientSecret { tenant, client } => {
            let options = ClientSecretCredentialOptions { client_options: client_options() };
            ClientSecretCredential::new(tenant, client.clone(), secret.clone(), Some(options))
                .map_err(|error| CredentialError::Unusable(words::CLIENT_SECRET, error))?
        }
        Way::WorkloadIdentity { tenant, client, token_file } => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options: client_options() },
                client_id: Some(client.clone()),
                tenant_id: Some(tenant.clone()),
                token_file_path: Some(PathBuf::from(token_file)),
            };
            WorkloadIdentityCredential::new(Some(options))
                .map_err(|error| CredentialError::Unusable(words::WORKLOAD, error))?
        }
        Way::ManagedIdentity => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: azure.client_id.clone().map(UserAssignedId::ClientId),
                client_options: client_options(),
            };
            ManagedIdentityCredential::new(Some(options))
                .map_err(|error| CredentialError::Unusable(words::MANAGED, error))?
        }
        Way::Arc { endpoint } => {
            let machine = Arc::new(ArcMachine::new(http.clone(), endpoint.clone()));
            Arc::new(Kept::new(machine, Arc::clone(clock)))
        }
        Way::DeveloperTools => {
            let tools = DeveloperToolsCredential::new(None)
                .map_err(|error| CredentialError::Unusable("the developer's tools", error))?;
            Arc::new(Kept::new(tools, Arc::clone(clock)))
        }
    })
}

fn way(
    environment: &dyn Fn(&str) -> Option<String>,
    client_id: Option<&str>,
    otherwise: Otherwise,
) -> Result<Way, CredentialError> {
    let environment =
        |name: &str| environment(name).or_else(|| client_id.filter(|_| name == CLIENT).map(Into::into));
    let get = |name| environment(name).unwrap_or_default();
    if CLIENT_SECRET.is_begun(&environment) {
        CLIENT_SECRET.complete(&environment)?;
        return Ok(Way::ClientSecret { tenant: get(TENANT), client: get(CLIENT) });
    }
    if WORKLOAD_IDENTITY.is_begun(&environment) {
        WORKLOAD_IDENTITY.complete(&environment)?;
        return Ok(Way::WorkloadIdentity {
            tenant: get(TENANT),
            client: get(CLIENT),
            token_file: get(TOKEN_FILE),
        });
    }
    if let Some(endpoint) = environment(ENDPOINT).filter(|_| environment(ARC).is_some())
        && environment(HEADER).is_none()
    {
        return Ok(Way::Arc { endpoint });
    }
    MANAGED_IDENTITY.complete(&environment)?;
    MANAGED_IDENTITY_HEADER.complete(&environment)?;
    let applications = environment(TENANT).is_some() && environment(CLIENT).is_some();
    match environment(ENDPOINT) {
        Some(_) => Ok(Way::ManagedIdentity),
        // azure_identity would ask the metadata service of virtual machines, which App Service does not have.
        None if is_in_azure(&environment) => Err(CredentialError::NoIdentity),
        None if applications => {
            let purpose = words::CLIENT_SECRET_OR_WORKLOAD;
            Err(HalfSet { missing: SECRET, given: TENANT, purpose }.into())
        }
        None => Ok(match otherwise {
            Otherwise::DeveloperTools => Way::DeveloperTools,
            Otherwise::VirtualMachine => Way::ManagedIdentity,
        }),
    }
}

/// A variable that needs others.
struct Group {
    given: &'static str,
    needs: &'static [&'static str],
    purpose: &'static str,
}

/// Credentials that need each other (docs: Azure Identity, EnvironmentCredential and WorkloadIdentityCredential; App Service,
/// REST endpoint reference).
const CLIENT_SECRET: Group = Group { given: SECRET, needs: &[TENANT, CLIENT], purpose: words::CLIENT_SECRET };
const WORKLOAD_IDENTITY: Group =
    Group { given: TOKEN_FILE, needs: &[TENANT, CLIENT], purpose: words::WORKLOAD };
const MANAGED_IDENTITY: Group = Group { given: HEADER, needs: &[ENDPOINT], purpose: words::MANAGED };
const MANAGED_IDENTITY_HEADER: Group = Group { given: ENDPOINT, needs: &[HEADER], purpose: words::MANAGED };

/// Azure Arc gives an endpoint without a header, and marks itself with this.
const ARC: &str = "IMDS_ENDPOINT";

/// A variable that is not set, and one that is and needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct HalfSet {
    /// The variable that lacks.
    pub missing: &'static str,
    /// One that is there.
    pub given: &'static str,
    /// What both are for.
    pub purpose: &'static str,
}

impl Group {
    fn is_begun(&self, environment: &dyn Fn(&str) -> Option<String>) -> bool {
        environment(self.given).is_some()
    }

    /// What lacks, if the group is begun.
    fn half_set(&self, environment: &dyn Fn(&str) -> Option<String>) -> Vec<HalfSet> {
        let Self { given, needs, purpose } = *self;
        let lacking =
            needs.iter().filter(|needed| self.is_begun(environment) && environment(needed).is_none());
        lacking.map(|missing| HalfSet { missing, given, purpose }).collect()
    }

    fn complete(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<(), HalfSet> {
        self.half_set(environment).into_iter().next().map_or(Ok(()), Err)
    }
}

/// Every variable that lacks beside one that is set and needs it.
pub(crate) fn half_set(environment: &dyn Fn(&str) -> Option<String>) -> Vec<HalfSet> {
    let of_arc = environment(ARC).is_some();
    let groups = [CLIENT_SECRET, WORKLOAD_IDENTITY, MANAGED_IDENTITY, MANAGED_IDENTITY_HEADER];
    let judged = groups.iter().filter(|group| !of_arc || group.given != ENDPOINT);
    judged.flat_map(|group| group.half_set(environment)).collect()
}

/// How often a token endpoint is asked again: four times within five seconds. azure_core's own nine attempts take more than
/// the half minute that a request may wait for its token, and then nobody is told what the endpoint said.
fn again() -> ExponentialRetryOptions {
    ExponentialRetryOptions {
        initial_delay: Duration::milliseconds(200),
        max_retries: 4,
        max_total_elapsed: Duration::seconds(5),
        max_delay: Duration::seconds(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::cloud::Cloud;
    use crate::clock::SystemClock;

    fn way_of(variables: &[(&str, &str)]) -> Result<Way, String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        way(&find, None, Otherwise::DeveloperTools).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_decides_in_order() {
        let (tenant, client) = ("t".to_owned(), "c".to_owned());
        let identity = [(ENDPOINT, "http://localhost:1"), (HEADER, "h")];
        assert_eq!(way_of(&[]).unwrap(), Way::DeveloperTools);
        assert_eq!(way_of(&[(TENANT, "t")]).unwrap(), Way::DeveloperTools);
        assert_eq!(way_of(&identity).unwrap(), Way::ManagedIdentity);
        let endpoint = "http://localhost:1".to_owned();
        assert_eq!(way_of(&[identity[0], (ARC, "http://localhost:1")]).unwrap(), Way::Arc { endpoint });
        assert_eq!(
            way_of(&[identity[0], identity[1], (CLIENT, "c"), (TENANT, "t")]).unwrap(),
            Way::ManagedIdentity
        );
        assert_eq!(
            way_of(&[
                identity[0],
                identity[1],
                (TENANT, "t"),
                (CLIENT, "c"),
                (SECRET, "s"),
                (TOKEN_FILE, "f")
            ])
            .unwrap(),
            Way::ClientSecret { tenant: tenant.clone(), client: client.clone() }
        );
        assert_eq!(
            way_of(&[(TENANT, "t"), (CLIENT, "c"), (TOKEN_FILE, "f")]).unwrap(),
            Way::WorkloadIdentity { tenant, client, token_file: "f".to_owned() }
        );
    }

    #[test]
    fn a_virtual_machine_needs_no_variable_to_have_an_identity() {
        let nothing = |_: &str| None;
        assert_eq!(way(&nothing, None, Otherwise::VirtualMachine).unwrap(), Way::ManagedIdentity);
    }

    #[test]
    fn half_a_group_is_refused_by_name() {
        let sentences: Vec<String> = [
            &[(SECRET, "hunter2"), (CLIENT, "c")][..],
            &[(SECRET, "hunter2"), (TENANT, "t")],
            &[(TOKEN_FILE, "/f"), (TENANT, "t")],
            &[(TENANT, "t"), (CLIENT, "c")],
            &[(ENDPOINT, "http://localhost")],
            &[(HEADER, "hunter2")],
            &[(IN_AZURE[0], "i")],
            &[(IN_AZURE[1], "func-rekey")],
        ]
        .map(|variables| way_of(variables).unwrap_err())
        .to_vec();
        assert!(!sentences.concat().contains("hunter2"));
        insta::assert_snapshot!(sentences.join("\n"), @r"
        AZURE_TENANT_ID is not set, but AZURE_CLIENT_SECRET is: set both for an application's client secret, or neither
        AZURE_CLIENT_ID is not set, but AZURE_CLIENT_SECRET is: set both for an application's client secret, or neither
        AZURE_CLIENT_ID is not set, but AZURE_FEDERATED_TOKEN_FILE is: set both for a workload identity, or neither
        AZURE_CLIENT_SECRET is not set, but AZURE_TENANT_ID is: set both for an application's client secret (or AZURE_FEDERATED_TOKEN_FILE for a workload identity), or neither
        IDENTITY_HEADER is not set, but IDENTITY_ENDPOINT is: set both for a managed identity, or neither
        IDENTITY_ENDPOINT is not set, but IDENTITY_HEADER is: set both for a managed identity, or neither
        this app has no managed identity (IDENTITY_ENDPOINT is not set): assign one, and give it the role that docs/security.md names
        this app has no managed identity (IDENTITY_ENDPOINT is not set): assign one, and give it the role that docs/security.md names
        ");
    }

    #[test]
    fn every_cloud_makes_a_credential() {
        let environment = |name: &str| [TENANT, CLIENT, SECRET].contains(&name).then(|| "hunter2".to_owned());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        for (cloud, authority) in [
            (Cloud::Public, "login.microsoftonline.com"),
            (Cloud::UsGovernment, "login.microsoftonline.us"),
            (Cloud::China, "login.chinacloudapi.cn"),
        ] {
            let resource_manager = "https://management.azure.com".parse().unwrap();
            let azure = AzureConfig { cloud, resource_manager, client_id: None };
            let made = credential(&environment, &azure, &Http::new(), &clock).unwrap();
            assert!(format!("{made:?}").contains(authority), "{made:?}");
        }
    }
}
