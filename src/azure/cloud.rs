//! Azure's clouds, and all that is different from one to another: known here and nowhere else.

use azure_core::cloud::CloudConfiguration;
use url::Url;

use super::http::is_loopback;

/// Azure's clouds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// `AzureCloud`
    #[default]
    Public,
    /// `AzureUSGovernment`
    UsGovernment,
    /// `AzureChinaCloud`
    China,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// What `az cloud list` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "AzureCloud",
            Self::UsGovernment => "AzureUSGovernment",
            Self::China => "AzureChinaCloud",
        }
    }

    /// Where Azure Resource Manager answers (docs: Azure cloud environments, `az cloud list`).
    pub const fn resource_manager(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// How the hosts of its storage accounts end, behind `{account}.blob.`.
    pub const fn storage_suffix(self) -> &'static str {
        match self {
            Self::Public => "core.windows.net",
            Self::UsGovernment => "core.usgovcloudapi.net",
            Self::China => "core.chinacloudapi.cn",
        }
    }

    /// How the hosts of its Key Vaults end, behind the vault's name (docs: Key Vault, DNS suffixes). It names the audience of
    /// their tokens too.
    pub const fn vault_suffix(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::UsGovernment => "vault.usgovcloudapi.net",
            Self::China => "vault.azure.cn",
        }
    }

    /// How the hosts of its App Configuration stores end, behind the store's name (azure-sdk-for-js, getScope).
    pub const fn store_suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Public => &["azconfig.io", "appconfig.azure.com"],
            Self::UsGovernment => &["azconfig.azure.us", "appconfig.azure.us"],
            Self::China => &["azconfig.azure.cn", "appconfig.azure.cn"],
        }
    }

    /// The scope of their tokens (azure-appconfiguration for Python, `_audience`).
    pub(super) const fn store_scope(self) -> &'static str {
        match self {
            Self::Public => "https://appconfig.azure.com/.default",
            Self::UsGovernment => "https://appconfig.azure.us/.default",
            Self::China => "https://appconfig.azure.cn/.default",
        }
    }

    /// The cloud of an Azure Resource Manager; the public one, where it is none of Azure's.
    pub(super) fn of(resource_manager: &Url) -> Self {
        let host = resource_manager.host_str().unwrap_or_default();
        Self::of_resource_manager(host).unwrap_or_default()
    }

    /// The authority, `login.…`, that gives out its tokens.
    pub(super) const fn authority(self) -> CloudConfiguration {
        match self {
            Self::Public => CloudConfiguration::AzurePublic,
            Self::UsGovernment => CloudConfiguration::AzureGovernment,
            Self::China => CloudConfiguration::AzureChina,
        }
    }

    /// The cloud whose Azure Resource Manager answers at a host, or at one for a region of it.
    fn of_resource_manager(host: &str) -> Option<Self> {
        let is_in = |cloud: &Self| {
            let rest = host.strip_suffix(cloud.resource_manager().trim_start_matches("https://"));
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        Self::ALL.into_iter().find(is_in)
    }
}

/// The scope of the token for a host of Azure Resource Manager. A host that is none of Azure's is asked with a token
/// made for itself, which is worth nothing elsewhere; loopback, the simulator, with that of the public cloud.
pub(super) fn scope(resource_manager: &Url) -> String {
    let host = resource_manager.host_str().unwrap_or_default();
    match Cloud::of_resource_manager(host) {
        Some(cloud) => format!("{}/.default", cloud.resource_manager()),
        None if is_loopback(resource_manager) => format!("{}/.default", Cloud::Public.resource_manager()),
        None => format!("https://{host}/.default"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_follows_the_cloud() {
        for (base, wanted) in [
            ("https://management.azure.com", "https://management.azure.com/.default"),
            ("https://westeurope.management.azure.com/", "https://management.azure.com/.default"),
            ("https://management.usgovcloudapi.net", "https://management.usgovcloudapi.net/.default"),
            ("https://management.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default"),
            ("http://127.0.0.1:7400", "https://management.azure.com/.default"),
            ("https://notmanagement.azure.com", "https://notmanagement.azure.com/.default"),
            (
                "https://management.azure.com.evil.example",
                "https://management.azure.com.evil.example/.default",
            ),
        ] {
            assert_eq!(scope(&Url::parse(base).unwrap()), wanted);
        }
    }
}
