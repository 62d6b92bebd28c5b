//! Which hosts are given a token, and for whom it is made out: Azure Resource Manager's own, and, below its cloud's suffixes,
//! those of Key Vaults and of App Configuration stores. Whoever may edit an app's settings could otherwise have one sent to a
//! host of his own.

use url::Url;

use super::Arm;
use super::request::{Call, Host};
use crate::azure::http::is_loopback;
use rekey_core::model::{KeyValueId, SecretId};

impl Arm {
    /// How the hosts of Key Vaults end.
    pub fn vault_suffix(&self) -> &'static str {
        self.shared.cloud.vault_suffix()
    }

    /// How the hosts of App Configuration stores end.
    pub fn store_suffixes(&self) -> &'static [&'static str] {
        self.shared.cloud.store_suffixes()
    }

    /// The URL of something in a Key Vault, at a host that may be given a token.
    pub(crate) fn vault_url(&self, secret: &SecretId, path: &str, api_version: &str) -> Option<Url> {
        let host = secret.host();
        let url = Url::parse(&format!("https://{host}{path}?api-version={api_version}")).ok()?;
        (secret.is_below(self.vault_suffix()) && url.host_str() == Some(host)).then_some(url)
    }

    /// The URL of a key-value in an App Configuration store, at a host that may be given a token.
    pub(crate) fn store_url(&self, id: &KeyValueId, api_version: &str) -> Option<Url> {
        let mut url = Url::parse(&id.to_string()).ok()?;
        url.query_pairs_mut().append_pair("api-version", api_version);
        (id.is_below(self.store_suffixes()) && url.host_str() == Some(id.host())).then_some(url)
    }

    /// For whom the token of a request is made out.
    pub(super) fn scope(&self, call: &Call) -> String {
        match call.host {
            Host::ResourceManager => self.shared.scope.clone(),
            Host::Vault => format!("https://{}/.default", self.vault_suffix()),
            Host::Store => self.shared.cloud.store_scope().to_owned(),
        }
    }

    /// Where a request is really sent: an Azure Resource Manager on loopback is the simulator, which plays vaults and stores as
    /// well.
    pub(super) fn target(&self, call: &Call) -> Url {
        let mut target = call.url.clone();
        if call.host != Host::ResourceManager && is_loopback(&self.shared.base) {
            target = self.shared.base.clone();
            target.set_path(call.url.path());
            target.set_query(call.url.query());
        }
        target
    }
}
