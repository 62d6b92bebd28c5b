//! The commands that fix, with the real ids in them (Azure CLI reference).
//!
//! The Azure CLI takes `--ids` for the site of a slot and wants `--slot` besides: the id of a slot would be read as
//! that of its site.

use std::collections::BTreeSet;

use serde_json::json;

use crate::azure::arm::Caller;
use crate::azure::services::KeyService;
use crate::config::given_file;
use crate::report::text::file_name;
use rekey_core::model::{AppId, ConsumerId, KeyType, KeyValueId, SecretId, ServiceId};

/// Gives whoever asked the built-in role of reading, at a scope.
pub(super) fn reader(caller: &Caller, scope: &str) -> Option<String> {
    assignment(caller, "Reader", scope)
}

/// Gives whoever asked a role of these actions and no others, at a scope. The role is made first; where it is there
/// already, that fails and the assignment is all that is needed.
pub(super) fn role(caller: &Caller, name: &str, actions: &BTreeSet<&str>, scope: &str) -> Option<String> {
    // /subscriptions/{subscription}/resourceGroups/{group}/…
    let parts: Vec<&str> = scope.split('/').take(5).collect();
    let (group, name) = (parts.join("/"), format!("{name} in {}", parts.last()?));
    let role = json!({ "Name": name, "IsCustom": true, "Actions": actions, "AssignableScopes": [group] });
    let assignment = assignment(caller, &name, scope)?;
    Some(format!("az role definition create --role-definition {}; {assignment}", quoted(&role.to_string())))
}

fn assignment(caller: &Caller, role: &str, scope: &str) -> Option<String> {
    assignment_at(caller, role, &quoted(scope))
}

/// The same at a scope that is a word of the shell.
fn assignment_at(caller: &Caller, role: &str, scope: &str) -> Option<String> {
    let object = caller.object.as_deref()?;
    let kind = if caller.is_user() { "User" } else { "ServicePrincipal" };
    Some(format!(
        "az role assignment create --assignee-object-id {} --assignee-principal-type {kind} --role {} --scope {}",
        quoted(object),
        quoted(role),
        scope
    ))
}

/// Gives an identity the role by which the journal is kept. The account is known by its name alone, which is unique in
/// all of Azure.
pub(super) fn storage_role(account: &str, client: &str) -> String {
    let (client, account) = (quoted(client), quoted(account));
    format!(
        "az role assignment create --assignee {client} --role 'Storage Blob Data Contributor' \
         --scope \"$(az storage account show --name {account} --query id --output tsv)\""
    )
}

/// Gives whoever asked the role by which key-values are read and written. A store is known by its name alone, which is unique
/// in all of Azure.
pub(super) fn store_role(caller: &Caller, of: &KeyValueId) -> Option<String> {
    assignment_at(caller, "App Configuration Data Owner", &store_scope(of)?)
}

/// The id of a store, as a command that prints it.
fn store_scope(of: &KeyValueId) -> Option<String> {
    let store = quoted(of.host().split('.').next()?);
    Some(format!("\"$(az appconfig show --name {store} --query id --output tsv)\""))
}

/// Lets a key-value be written.
pub(super) fn unlock(of: &KeyValueId) -> String {
    let store = quoted(of.host().split('.').next().unwrap_or_default());
    let label = of.label().map(|label| format!(" --label {}", quoted(label))).unwrap_or_default();
    format!("az appconfig kv unlock --name {store} --key {}{label} --yes", quoted(of.key()))
}

/// Shows what whoever asked is granted at a resource, from above and through his groups too.
pub(super) fn show_roles(caller: &Caller, of: &ConsumerId, environment: Option<&str>) -> Option<String> {
    let object = quoted(caller.object.as_deref()?);
    let scope = match (environment, of) {
        (Some(environment), _) => quoted(environment),
        (None, ConsumerId::KeyVaultSecret(secret)) => scope_of(secret),
        (None, ConsumerId::KeyValue(of)) => store_scope(of)?,
        (None, other) => quoted(&other.to_string()),
    };
    Some(format!(
        "az role assignment list --assignee {object} --scope {scope} --include-inherited --include-groups"
    ))
}

/// Gives an app a managed identity.
pub(super) fn assign_identity(app: &AppId) -> String {
    format!("az functionapp identity assign {}", ids(app))
}

/// Gives an app an identity of its own, or a user-assigned one.
pub(super) fn give_identity(app: &AppId, user_assigned: Option<&str>) -> String {
    let which = user_assigned.map(|id| format!(" --identities {}", quoted(id))).unwrap_or_default();
    format!("az webapp identity assign {}{which}", ids(app))
}

/// The principal of an app's own identity, as a command that prints it.
pub(super) fn own_principal(app: &AppId) -> String {
    format!("$(az webapp identity show {} --query principalId --output tsv)", ids(app))
}

/// The principal of a user-assigned identity, as a command that prints it.
pub(super) fn principal(identity: &str) -> String {
    format!("$(az identity show --ids {} --query principalId --output tsv)", quoted(identity))
}

/// Lets a principal read a secret.
pub(super) fn secret_role(principal: &str, secret: &SecretId) -> String {
    format!(
        "az role assignment create --assignee-object-id \"{principal}\" --assignee-principal-type ServicePrincipal \
         --role 'Key Vault Secrets User' --scope {}",
        scope_of(secret)
    )
}

/// Gives whoever asked the role by which a secret is read and written.
pub(super) fn own_secret_role(caller: &Caller, secret: &SecretId) -> Option<String> {
    let object = caller.object.as_deref()?;
    let kind = if caller.is_user() { "User" } else { "ServicePrincipal" };
    Some(format!(
        "az role assignment create --assignee-object-id {} --assignee-principal-type {kind} --role 'Key Vault Secrets Officer' \
         --scope {}",
        quoted(object),
        scope_of(secret)
    ))
}

/// Lets whoever asked read and write the secrets of a vault that goes by access policies.
pub(super) fn vault_policy(caller: &Caller, secret: &SecretId) -> Option<String> {
    let object = quoted(caller.object.as_deref()?);
    let vault = quoted(secret.vault());
    Some(format!(
        "az keyvault set-policy --name {vault} --object-id {object} --secret-permissions get set list"
    ))
}

/// Lets the subnet of an app through the firewall of a vault.
pub(super) fn vault_network(app: &AppId, secret: &SecretId) -> String {
    format!(
        "az keyvault network-rule add --name {} --subnet \"$(az webapp show {} --query virtualNetworkSubnetId --output tsv)\"",
        quoted(secret.vault()),
        ids(app)
    )
}

/// Enables the newest version of a secret.
pub(super) fn enable_secret(secret: &SecretId) -> String {
    let (vault, name) = (quoted(secret.vault()), quoted(secret.name()));
    format!("az keyvault secret set-attributes --vault-name {vault} --name {name} --enabled true")
}

/// Takes the deletion of a secret back.
pub(super) fn recover_secret(secret: &SecretId) -> String {
    format!(
        "az keyvault secret recover --vault-name {} --name {}",
        quoted(secret.vault()),
        quoted(secret.name())
    )
}

/// The id of a secret, as a command that prints that of its vault. The vault is known by its name alone, which is unique in
/// all of Azure.
fn scope_of(secret: &SecretId) -> String {
    let vault = quoted(secret.vault());
    format!("\"$(az keyvault show --name {vault} --query id --output tsv)/secrets/{}\"", secret.name())
}

/// Sets one setting of the function app.
pub(super) fn own_setting(app: &AppId, name: &str, value: &str) -> String {
    format!(
        "az functionapp config appsettings set {} --settings {}",
        ids(app),
        quoted(&format!("{name}={value}"))
    )
}

/// Takes a setting out of the function app.
pub(super) fn no_own_setting(app: &AppId, name: &str) -> String {
    format!("az functionapp config appsettings delete {} --setting-names {}", ids(app), quoted(name))
}

/// Leaves paths of the function app out of App Service authentication, and no others.
pub(super) fn excluded_paths(app: &AppId, paths: &str) -> String {
    format!("az webapp auth update {} --excluded-paths {}", ids(app), quoted(paths))
}

/// Sets a property of a service.
pub(super) fn property(instance: &ServiceId, name: &str, value: &str) -> String {
    let version = instance.service_type().api_version();
    format!("az resource update --ids {instance} --api-version {version} --set properties.{name}={value}")
}

/// Lets the REST API be reached from public networks, and leaves everything else as it is: `az signalr network-rule update
/// --allow` would put its list in the place of what is there, and cut off all that is not in it.
pub(super) fn network(instance: &ServiceId) -> String {
    let allowed = "properties.networkACLs.publicNetwork.allow";
    let version = instance.service_type().api_version();
    format!("az resource update --ids {instance} --api-version {version} --add {allowed} RESTAPI")
}

/// Switches access keys on, and gives consumers the new ones.
pub(super) fn keys_on(instance: &ServiceId) -> String {
    format!("{} && {}", property(instance, "disableLocalAuth", "false"), rotate(instance))
}

/// Gives consumers of a service a key that works.
pub(super) fn rotate(instance: &ServiceId) -> String {
    format!("signalr-rekey rotate {instance}{}", config())
}

/// Looks once more at a service and its apps.
pub(super) fn ask_again(instance: &ServiceId) -> String {
    format!("signalr-rekey status {instance}{}", config())
}

/// Says which key a consumer holds that only others can change.
pub(super) fn acknowledge(instance: &ServiceId, name: &str, key: Option<KeyType>) -> String {
    let (key, choice) = match key {
        Some(key) => (key, ""),
        None => (KeyType::Primary, ", or --key Secondary: the one that it holds"),
    };
    format!("signalr-rekey acknowledge {instance} {name} --key {key}{}{choice}", config())
}

fn config() -> String {
    given_file().map_or_else(String::new, |file| format!(" --config {}", quoted(file)))
}

/// A change of a service's entry in the configuration.
pub(super) fn in_file(instance: &ServiceId, change: &str) -> String {
    format!("in {}, {change} the [[instance]] {instance}", file_name())
}

fn ids(app: &AppId) -> String {
    let site = AppId::new(app.subscription(), app.group(), app.site(), None);
    let slot = app.slot().map(|slot| format!(" --slot {}", quoted(slot))).unwrap_or_default();
    format!("--ids {}{slot}", quoted(&site.to_string()))
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./:=@".contains(sign);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word_of_the_shell() {
        assert_eq!(quoted("Azure__SignalR__ConnectionString"), "Azure__SignalR__ConnectionString");
        assert_eq!(quoted("0 */5 * * * *"), "'0 */5 * * * *'");
        assert_eq!(quoted("it's; $(rm)"), r"'it'\''s; $(rm)'");
    }

    #[test]
    fn a_slot_is_named_beside_its_site() {
        let slot = AppId::new("s", "g", "shop", Some("staging"));
        insta::assert_snapshot!(own_setting(&slot, "A", "1"), @"az functionapp config appsettings set --ids /subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/shop --slot staging --settings A=1");
    }
}
