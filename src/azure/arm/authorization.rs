//! Who asks, and what they may do (ARM swagger Microsoft.Authorization 2022-04-01, Permissions).

use serde::Deserialize;

use super::Arm;
use super::contract::Operation;
use super::error::{ArmError, ArmErrorKind};
use super::request::Call;

use crate::report::text::azure as words;

pub(super) const PERMISSIONS: Operation =
    Operation::read("Permissions_ListForResource", &["Microsoft.Authorization/permissions/read"])
        .by_handler();
/// No request to Azure Resource Manager: the token itself is looked at.
const CALLER: Operation = Operation::read("GetToken", &[]).with_secrets();

/// Microsoft.Authorization, permissions.
const API_VERSION: &str = "2022-04-01";

/// One entry of what the caller may do at a scope, as a role that is assigned to them gives it (swagger: Permission).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Permission {
    /// Patterns of the actions that it grants.
    pub actions: Vec<String>,
    /// Patterns of the actions that it does not grant after all. What another entry grants stays granted.
    pub not_actions: Vec<String>,
    /// The same of what is done with the data in a resource.
    pub data_actions: Vec<String>,
    pub not_data_actions: Vec<String>,
}

impl Permission {
    /// Whether these entries together grant an action (docs: Understand Azure role definitions): one has a pattern in
    /// `actions` that fits, and none in its own `notActions`.
    pub fn grant(entries: &[Self], action: &str) -> bool {
        entries.iter().any(|entry| fit(&entry.actions, action) && !fit(&entry.not_actions, action))
    }

    /// The same of a data action: what grants actions grants none of these.
    pub fn grant_data(entries: &[Self], action: &str) -> bool {
        entries.iter().any(|entry| fit(&entry.data_actions, action) && !fit(&entry.not_data_actions, action))
    }
}

fn fit(patterns: &[String], action: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, action))
}

/// Whether a pattern of actions fits an action: `*` stands for any characters, slashes too, and case does not matter
/// (docs: Understand Azure role definitions, Actions format).
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    // Without any asterisk the first part is the whole pattern.
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// As whom Azure is asked, by the claims of the token (docs: Access token claims reference). They are read, not proved:
/// it is Azure that decides by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Caller {
    /// The object id of the user or service principal: what roles are assigned to.
    #[serde(rename = "oid")]
    pub object: Option<String>,
    #[serde(rename = "tid")]
    pub tenant: Option<String>,
    /// The client id of the application, of an access token of version 1.
    #[serde(rename = "appid")]
    pub application: Option<String>,
    /// The user's name, where it is a user.
    #[serde(rename = "upn")]
    pub user: Option<String>,
    /// What an application may do in the user's name; only a user's token has it.
    #[serde(rename = "scp")]
    pub delegated: Option<String>,
}

impl Caller {
    /// Whether it is a person, and not an application or managed identity.
    pub fn is_user(&self) -> bool {
        self.user.is_some() || self.delegated.is_some()
    }

    /// Reads an `Authorization` header.
    fn read(header: &str) -> Option<Self> {
        jsonwebtoken::dangerous::insecure_decode_claims(header.strip_prefix("Bearer ")?).ok()
    }
}

impl Arm {
    /// Gets a token and tells whose it is.
    pub async fn caller(&self) -> Result<Caller, ArmError> {
        let call = Call::get(CALLER, self.shared.base.clone());
        let header = self.token(&call, None).await?;
        let unreadable = || call.error(ArmErrorKind::Malformed, words::UNREADABLE_TOKEN);
        header.to_str().ok().and_then(Caller::read).ok_or_else(unreadable)
    }

    /// `Permissions_ListForResource` or `Permissions_ListForResourceGroup`, all pages: what the caller may do at a scope,
    /// with what is inherited from above.
    pub async fn permissions(&self, scope: &str) -> Result<Vec<Permission>, ArmError> {
        let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
        self.pages(Call::get(PERMISSIONS, self.url(&path, API_VERSION))).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(actions: &[&str], not_actions: &[&str]) -> Permission {
        let own = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        Permission { actions: own(actions), not_actions: own(not_actions), ..Permission::default() }
    }

    #[test]
    fn a_pattern_fits_as_in_azures_documents() {
        let list = "Microsoft.Web/sites/config/list/Action";
        for (pattern, fits) in [
            ("*", true),
            ("Microsoft.Web/*", true),
            ("microsoft.web/SITES/config/list/action", true),
            ("Microsoft.Web/sites/*/Action", true),
            ("*/action", true),
            ("*/config/*", true),
            ("*/read", false),
            ("Microsoft.Web/sites/config/list", false),
            ("Microsoft.Web/sites/slots/*", false),
            ("Microsoft.Web/sites/config/list/Action/more", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern, list), fits, "{pattern}");
        }
    }

    #[test]
    fn an_entry_takes_back_only_what_it_gave_itself() {
        let action = "Microsoft.SignalRService/SignalR/regeneratekey/action";
        let contributor = entry(&["*"], &["Microsoft.Authorization/*/Write"]);
        let without = entry(&["Microsoft.SignalRService/*"], &["*/regenerateKey/action"]);
        assert!(Permission::grant(std::slice::from_ref(&contributor), action));
        assert!(!Permission::grant(std::slice::from_ref(&without), action));
        assert!(
            Permission::grant(&[without, contributor], action),
            "what another entry grants stays granted"
        );
        assert!(!Permission::grant(&[], action));
    }

    #[test]
    fn a_token_tells_whose_it_is_whoever_signed_it() {
        let token = |claims: serde_json::Value| {
            let secret = jsonwebtoken::EncodingKey::from_secret(b"anybody's");
            let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &secret).unwrap();
            Caller::read(&format!("Bearer {token}")).unwrap()
        };
        let (object, tenant) = ("o".to_owned(), "t".to_owned());
        // Claims of a managed identity, and of a guest, who has no upn (docs: Access token claims reference).
        let app =
            token(serde_json::json!({"oid": object, "tid": tenant, "appid": "a", "exp": 1, "idtyp": "app"}));
        assert!(!app.is_user() && app.object == Some(object.clone()) && app.application.is_some());
        let guest = token(
            serde_json::json!({"oid": object, "tid": tenant, "appid": "a", "scp": "user_impersonation"}),
        );
        assert!(guest.is_user() && guest.tenant == Some(tenant));
        for strange in ["Bearer abc", "Bearer a.b.c", "Basic a.b.c", ""] {
            assert_eq!(Caller::read(strange), None, "{strange}");
        }
    }

    /// What the matching is to be, character by character.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => slow(rest, text) || (!text.is_empty() && slow(pattern, &text[1..])),
            ([one, rest @ ..], [other, more @ ..]) => one.eq_ignore_ascii_case(other) && slow(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_fits_as_the_definition_says(pattern in "[aAb/*]{0,10}", action in "[aAb/]{0,10}") {
            prop_assert_eq!(matches(&pattern, &action), slow(pattern.as_bytes(), action.as_bytes()));
        }

        #[test]
        fn more_asterisks_never_fit_less(action in "[a-z/.]{1,20}", from in 0_usize..20, length in 0_usize..20) {
            let from = from.min(action.len());
            let to = (from + length).min(action.len());
            let pattern = format!("{}*{}", &action[..from], &action[to..]);
            prop_assert!(matches(&pattern, &action));
        }
    }

    #[test]
    fn an_entry_is_read_as_azure_writes_it() {
        // The swagger's example GetResourcePermissions.
        let body =
            r#"{"actions":["action"],"notActions":[],"dataActions":["dataAction"],"notDataActions":[]}"#;
        let read = serde_json::from_str::<Permission>(body).unwrap();
        assert_eq!(read, Permission { data_actions: vec!["dataAction".into()], ..entry(&["action"], &[]) });
        let all = [read];
        assert!(Permission::grant_data(&all, "dataaction") && !Permission::grant_data(&all, "action"));
        assert!(!Permission::grant(&all, "dataAction"));
    }
}
