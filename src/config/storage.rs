//! Where the journal is kept: a storage connection, as the Functions runtime is given one (docs: Configure Azure Storage
//! connection strings; Azure Functions, Connecting to host storage with an identity).

use std::fmt;

use secrecy::SecretString;
use url::Url;

use super::{Cloud, Environment, StateConfig};
use crate::azure::http::check_secure;

/// A Blob Storage account.
#[derive(Clone)]
pub struct BlobConfig {
    /// The account's name.
    pub account: String,
    /// Its Blob endpoint.
    pub endpoint: Url,
    /// As whom it is asked.
    pub access: BlobAccess,
}

/// As whom Blob Storage is asked.
#[derive(Clone)]
pub enum BlobAccess {
    /// By one of the account's keys.
    AccountKey(SecretString),
    /// By a shared access signature.
    Signature(SecretString),
    /// As the app's identity, user-assigned where a client id is given.
    Identity {
        /// `…__clientId`
        client_id: Option<String>,
    },
}

impl fmt::Debug for BlobConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match &self.access {
            BlobAccess::AccountKey(_) => "an account key",
            BlobAccess::Signature(_) => "a signature",
            BlobAccess::Identity { .. } => "an identity",
        };
        f.debug_struct("BlobConfig")
            .field("account", &self.account)
            .field("access", &access)
            .finish_non_exhaustive()
    }
}

impl PartialEq for BlobConfig {
    /// The same place; who asks does not matter.
    fn eq(&self, other: &Self) -> bool {
        (&self.account, &self.endpoint) == (&other.account, &other.endpoint)
    }
}

impl Eq for BlobConfig {}

/// The connection that every function app has.
pub(super) const HOST_STORAGE: &str = "AzureWebJobsStorage";

/// Azurite's account (docs: Use the Azurite emulator, Well-known storage account and key). It is published, and no
/// secret.
const DEVELOPMENT: &str = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlm\
    EtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1";

/// Whether the environment holds a connection of that name, in either form.
pub(super) fn is_there(environment: &Environment, name: &str) -> bool {
    [name.to_owned(), format!("{name}__accountName"), format!("{name}__blobServiceUri")]
        .iter()
        .any(|name| environment.get(name).is_some_and(|value| !value.trim().is_empty()))
}

/// The connection of that name; what is wrong with it, in a sentence that holds nothing of it.
pub(super) fn connection(environment: &Environment, name: &str, cloud: Cloud) -> Result<StateConfig, String> {
    let part =
        |suffix: &str| environment.get(&format!("{name}__{suffix}")).map(str::trim).filter(|v| !v.is_empty());
    if let Some(text) = environment.get(name).map(str::trim).filter(|text| !text.is_empty()) {
        return connection_string(text, cloud).map(StateConfig::Blob);
    }
    let account = part("accountName").map(ToOwned::to_owned);
    let endpoint = match (part("blobServiceUri"), &account) {
        (Some(uri), _) => endpoint(uri)?,
        (None, Some(account)) => endpoint(&format!("https://{account}.blob.{}", cloud.storage_suffix()))?,
        (None, None) => return Err("there is no storage connection of that name".into()),
    };
    let account =
        account.or_else(|| account_of(&endpoint)).ok_or("its host does not begin with an account's name")?;
    let client_id = part("clientId").map(ToOwned::to_owned);
    Ok(StateConfig::Blob(BlobConfig { account, endpoint, access: BlobAccess::Identity { client_id } }))
}

fn connection_string(text: &str, cloud: Cloud) -> Result<BlobConfig, String> {
    let parts: Vec<(String, &str)> = text
        .split(';')
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim()))
        .collect();
    let part = |name: &str| parts.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    if part("usedevelopmentstorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return connection_string(DEVELOPMENT, cloud);
    }
    let named = part("accountname").map(ToOwned::to_owned);
    let endpoint = match (part("blobendpoint"), &named) {
        (Some(uri), _) => endpoint(uri)?,
        (None, Some(account)) => {
            let protocol = part("defaultendpointsprotocol").unwrap_or("https");
            let suffix = part("endpointsuffix").unwrap_or_else(|| cloud.storage_suffix());
            endpoint(&format!("{protocol}://{account}.blob.{suffix}"))?
        }
        (None, None) => {
            return Err(
                "it is not a storage connection string: it has neither AccountName nor BlobEndpoint".into()
            );
        }
    };
    let access = match (part("accountkey"), part("sharedaccesssignature")) {
        (Some(key), _) => BlobAccess::AccountKey(key.into()),
        (None, Some(signature)) => BlobAccess::Signature(signature.trim_start_matches('?').into()),
        (None, None) => return Err("it has neither AccountKey nor SharedAccessSignature".into()),
    };
    let account = named
        .or_else(|| account_of(&endpoint))
        .ok_or("its BlobEndpoint does not begin with an account's name")?;
    Ok(BlobConfig { account, endpoint, access })
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "its Blob endpoint is not a URL".to_owned())?;
    check_secure(&url)
        .map_err(|_| "its Blob endpoint is neither https nor on loopback; write https".to_owned())?;
    Ok(url)
}

fn account_of(endpoint: &Url) -> Option<String> {
    endpoint.domain().and_then(|domain| domain.split('.').next()).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<BlobConfig, String> {
        let environment: Environment = pairs.iter().copied().collect();
        match connection(&environment, HOST_STORAGE, Cloud::Public)? {
            StateConfig::Blob(blob) => Ok(blob),
            StateConfig::Memory => Err("memory".into()),
        }
    }

    #[test]
    fn connections_are_read_in_every_form_that_the_runtime_takes() {
        for (pairs, account, endpoint) in [
            (
                &[(
                    HOST_STORAGE,
                    "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.windows.net",
                )][..],
                "acc",
                "https://acc.blob.core.windows.net/",
            ),
            (
                &[(
                    HOST_STORAGE,
                    "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn",
                )],
                "acc",
                "https://acc.blob.core.chinacloudapi.cn/",
            ),
            (
                &[(
                    HOST_STORAGE,
                    "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=?sv=2024&sig=x%3D",
                )],
                "acc",
                "https://acc.blob.core.windows.net/",
            ),
            (
                &[(HOST_STORAGE, "UseDevelopmentStorage=true")],
                "devstoreaccount1",
                "http://127.0.0.1:10000/devstoreaccount1",
            ),
            (&[("AzureWebJobsStorage__accountName", "acc")], "acc", "https://acc.blob.core.windows.net/"),
            (
                &[("AzureWebJobsStorage__blobServiceUri", "https://acc.blob.core.usgovcloudapi.net")],
                "acc",
                "https://acc.blob.core.usgovcloudapi.net/",
            ),
        ] {
            let blob = of(pairs).unwrap();
            assert_eq!((blob.account.as_str(), blob.endpoint.as_str()), (account, endpoint));
        }
    }

    #[test]
    fn what_is_no_connection_is_refused_without_repeating_it() {
        for text in [
            "secret",
            "AccountName=acc;secret",
            "AccountName=acc;AccountKey=secret;DefaultEndpointsProtocol=http",
            "BlobEndpoint=secret;AccountKey=secret",
        ] {
            let fault = of(&[(HOST_STORAGE, text)]).unwrap_err();
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn debug_holds_no_key() {
        let blob = of(&[(HOST_STORAGE, "UseDevelopmentStorage=true")]).unwrap();
        assert_eq!(
            format!("{blob:?}"),
            r#"BlobConfig { account: "devstoreaccount1", access: "an account key", .. }"#
        );
    }
}
