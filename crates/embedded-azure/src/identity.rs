//! Tokens: the App Service managed-identity endpoint, a small Entra ID, and the check that ARM makes.

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::call::{Answer, Answered, Call};
use crate::clock::{Clock, SystemClock};
use crate::random::IdMaker;

/// Who may ask for tokens, and what they are signed with.
pub(crate) struct Identity {
    secret: String,
    /// `IDENTITY_HEADER`, which the platform gives to the app alone.
    pub(crate) header: String,
    pub(crate) tenant: String,
    principal: String,
    client: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    tid: String,
    oid: String,
    sub: String,
    appid: String,
    idtyp: String,
    ver: String,
}

/// A day, as the platform's tokens live (Microsoft's samples; by the wall clock, since that is what the credential
/// libraries go by).
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(24);

/// The claims by which events name the caller and his tenant.
pub(crate) const OBJECT_ID: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";
pub(crate) const TENANT_ID: &str = "http://schemas.microsoft.com/identity/claims/tenantid";
const NAME_ID: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

/// Who acts for people, and as whom the activity log has him.
const COLLEAGUE: &str = "00000000-0000-0000-0000-0000000000cc";
pub(crate) const COLLEAGUE_NAME: &str = "colleague@example.com";

/// The audiences of Azure Resource Manager in Azure's clouds; our own address is one too. Its name, `localhost`, is what
/// the hosts of vaults end with, and so their audience.
const AUDIENCES: [&str; 5] = [
    "management.azure.com",
    "management.core.windows.net",
    "management.usgovcloudapi.net",
    "management.core.usgovcloudapi.net",
    "management.chinacloudapi.cn",
];

/// Those of Key Vault.
const VAULT_AUDIENCES: [&str; 3] = ["vault.azure.net", "vault.usgovcloudapi.net", "vault.azure.cn"];

/// Those of App Configuration: what documents name, and what newer clients derive from the host of a store
/// (azure-appconfiguration for Python, `get_audience`).
const STORE_AUDIENCES: [&str; 6] = [
    "azconfig.io",
    "azconfig.azure.us",
    "azconfig.azure.cn",
    "appconfig.azure.com",
    "appconfig.azure.us",
    "appconfig.azure.cn",
];

impl Identity {
    pub(crate) fn new(ids: &mut IdMaker, header: Option<String>) -> Self {
        let mut id = || ids.uuid().to_string();
        let (tenant, principal, client, drawn) = (id(), id(), id(), id());
        Self { secret: ids.opaque(48), header: header.unwrap_or(drawn), tenant, principal, client }
    }

    /// Who ARM takes the caller for.
    pub(crate) fn describe(&self) -> String {
        format!("'{}' with object id '{}'", self.client, self.principal)
    }

    /// The caller's object id.
    pub(crate) fn object(&self) -> &str {
        &self.principal
    }

    /// The same in the words of a vault.
    pub(crate) fn describe_to_a_vault(&self) -> String {
        format!("appid={};oid={};iss=https://sts.windows.net/{}/", self.client, self.principal, self.tenant)
    }

    /// Signs a token for `resource` and tells when it expires.
    fn issue(&self, resource: &str, client: &str, base: &str) -> (String, i64) {
        let now = SystemClock.now();
        let exp = (now + TOKEN_LIFE).timestamp();
        let claims = Claims {
            aud: resource.to_owned(),
            iss: format!("{base}/{}/", self.tenant),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp,
            tid: self.tenant.clone(),
            oid: self.principal.clone(),
            sub: self.principal.clone(),
            appid: client.to_owned(),
            idtyp: "app".into(),
            ver: "1.0".into(),
        };
        let secret = EncodingKey::from_secret(self.secret.as_bytes());
        (encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap_or_default(), exp)
    }

    /// Whether Azure Resource Manager takes the token of a call; if not, its 401.
    pub(crate) fn check(&self, call: &Call) -> Result<(), Answer> {
        let Some(token) = call.bearer() else {
            let message = "Authentication failed. The 'Authorization' header is missing.";
            return Err(self.unauthorized("AuthenticationFailed", message, call));
        };
        let claims = self.read(token).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => self.unauthorized(
                "ExpiredAuthenticationToken",
                "The access token expiry is in the past.",
                call,
            ),
            _ => self.unauthorized("InvalidAuthenticationToken", "The access token is invalid.", call),
        })?;
        let fits = Url::parse(&claims.aud).is_ok_and(|audience| is_resource_manager(&audience));
        let message = "The access token has been obtained for wrong audience or resource.";
        fits.then_some(())
            .ok_or_else(|| self.unauthorized("InvalidAuthenticationTokenAudience", message, call))
    }

    /// Whether a vault takes the token of a call; if not, why. `domain` is what the vault's host ends with: on this machine
    /// it is an audience, with its port, as are those of all vaults in Azure's clouds.
    pub(crate) fn check_for_vault(&self, domain: &str, call: &Call) -> Result<(), &'static str> {
        let token = call.bearer().ok_or("Request is missing a Bearer or PoP token.")?;
        let claims = self.read(token).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => "The token has expired.",
            _ => "The token is not valid.",
        })?;
        let audience =
            claims.aud.split_once("://").map_or("", |(_, audience)| audience).trim_end_matches('/');
        let fits = VAULT_AUDIENCES.contains(&audience) || audience.eq_ignore_ascii_case(domain);
        fits.then_some(()).ok_or("Invalid audience: the token is for another service.")
    }

    /// Whether an App Configuration store takes a token; if not, why. The store's own host is an audience too, and what it ends
    /// with; ports are left out, as Microsoft's clients leave them.
    pub(crate) fn check_for_store(&self, host: &str, token: &str) -> Result<(), &'static str> {
        let claims = self.read(token).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => "The access token has expired",
            _ => "Authorization token failed validation",
        })?;
        let without_port = |host: &str| host.split(':').next().unwrap_or_default().to_lowercase();
        let audience = claims.aud.split_once("://").map_or("", |(_, rest)| rest).trim_end_matches('/');
        let (audience, host) = (without_port(audience), without_port(host));
        let own = host.split_once('.').map_or("", |(_, domain)| domain);
        let fits = STORE_AUDIENCES.contains(&audience.as_str()) || audience == host || audience == own;
        fits.then_some(()).ok_or("Invalid audience")
    }

    /// The 401 for a token that has expired (public logs), whatever its claims say.
    pub(crate) fn expired(&self, now: DateTime<Utc>, call: &Call) -> Answer {
        let time = |time: DateTime<Utc>| time.format("%-m/%-d/%Y %-I:%M:%S %p").to_string();
        let (expiry, now) = (time(now - TimeDelta::minutes(1)), time(now));
        let message =
            format!("The access token expiry UTC time '{expiry}' is earlier than current UTC time '{now}'.");
        self.unauthorized("ExpiredAuthenticationToken", &message, call)
    }

    fn read(&self, token: &str) -> jsonwebtoken::errors::Result<Claims> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_aud = false;
        let secret = DecodingKey::from_secret(self.secret.as_bytes());
        decode::<Claims>(token, &secret, &validation).map(|token| token.claims)
    }

    /// The caller as events name him (docs: Azure resource group as an Event Grid source); the token itself is not
    /// among it.
    pub(crate) fn claims_of(&self, call: &Call) -> Value {
        let Some(claims) = call.bearer().and_then(|token| self.read(token).ok()) else { return json!({}) };
        json!({
            "aud": claims.aud, "iss": claims.iss, "iat": claims.iat.to_string(), "nbf": claims.nbf.to_string(),
            "exp": claims.exp.to_string(), "appid": claims.appid, "appidacr": "2", OBJECT_ID: claims.oid,
            NAME_ID: claims.sub, TENANT_ID: claims.tid, "ver": claims.ver,
        })
    }

    /// A colleague who acts in the portal, in the same words.
    pub(crate) fn claims_of_a_colleague(&self, now: DateTime<Utc>) -> Value {
        let time = |after: TimeDelta| (now + after).timestamp().to_string();
        json!({
            "aud": "https://management.core.windows.net/",
            "iss": format!("https://sts.windows.net/{}/", self.tenant),
            "iat": time(TimeDelta::zero()), "nbf": time(TimeDelta::zero()), "exp": time(TimeDelta::hours(1)),
            // The portal's own id, the same in every tenant (docs: Verify first-party Microsoft applications).
            "appid": "c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "appidacr": "2", "name": "A Colleague",
            OBJECT_ID: COLLEAGUE, NAME_ID: COLLEAGUE, TENANT_ID: self.tenant, "ver": "1.0",
        })
    }

    fn unauthorized(&self, code: &str, message: &str, call: &Call) -> Answer {
        let challenge =
            format!("Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\"", call.base, self.tenant);
        Answer::error(StatusCode::UNAUTHORIZED, code, message).with("www-authenticate", challenge)
    }
}

fn is_resource_manager(audience: &Url) -> bool {
    let is_ours = |host: &str| is_loopback(host) && !host.eq_ignore_ascii_case("localhost");
    audience.host_str().is_some_and(|host| AUDIENCES.contains(&host) || is_ours(host))
}

/// Whether a host is this machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The App Service endpoint, api-version 2019-08-01 (docs: How to use managed identities for App Service and Azure
/// Functions, REST protocol).
pub(crate) fn managed_identity_token(identity: &Identity, call: &Call) -> Answered {
    let fault = |status: StatusCode, message: &str| {
        Answer::new(status, json!({"statusCode": status.as_u16(), "message": message}))
    };
    if call.header("x-identity-header") != Some(&identity.header) {
        return Err(fault(StatusCode::UNAUTHORIZED, "The X-IDENTITY-HEADER header is missing or wrong."));
    }
    if call.query("api-version").as_deref() != Some("2019-08-01") {
        return Err(fault(
            StatusCode::BAD_REQUEST,
            "The api-version is missing or not supported: use 2019-08-01.",
        ));
    }
    let resource = call.query("resource").filter(|resource| !resource.is_empty());
    let resource = resource.ok_or_else(|| fault(StatusCode::BAD_REQUEST, "The resource is missing."))?;
    let client = call.query("client_id").unwrap_or_else(|| identity.client.clone());
    let (token, expires) = identity.issue(&resource, &client, &call.base);
    Ok(Answer::ok(json!({
        "access_token": token,
        // A string of Unix seconds.
        "expires_on": expires.to_string(),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": client,
    })))
}

/// Entra ID's token endpoint, for clients with a secret (docs: OAuth 2.0 client credentials flow). Any secret does.
pub(crate) fn entra_token(identity: &Identity, call: &Call) -> Answered {
    let fault = |code: &str, text: &str| {
        Answer::new(
            StatusCode::BAD_REQUEST,
            json!({"error": code, "error_description": text, "error_codes": []}),
        )
    };
    let field = |name: &str| {
        form_urlencoded::parse(&call.body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if field("grant_type").as_deref() != Some("client_credentials") {
        return Err(fault("unsupported_grant_type", "The embedded Azure knows client_credentials only."));
    }
    let client = field("client_id").ok_or_else(|| fault("invalid_request", "The client_id is missing."))?;
    let scope = field("scope").ok_or_else(|| fault("invalid_scope", "The scope is missing."))?;
    let resource =
        scope.strip_suffix("/.default").ok_or_else(|| fault("invalid_scope", "Use {resource}/.default."))?;
    let (token, _) = identity.issue(resource, &client, &call.base);
    let life = TOKEN_LIFE.num_seconds();
    Ok(Answer::ok(json!({
        "token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token,
    })))
}

/// The little of OpenID discovery that credential libraries ask for.
pub(crate) fn openid(call: &Call) -> Answered {
    let authority = format!("{}/{}", call.base, call.param("tenant"));
    Ok(Answer::ok(json!({
        "issuer": format!("{authority}/v2.0"),
        "authorization_endpoint": format!("{authority}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{authority}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{authority}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{authority}/discovery/v2.0/keys"),
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    })))
}

/// Says that our own address is an authority.
pub(crate) fn instance_discovery(identity: &Identity, call: &Call) -> Answered {
    let metadata: Value = json!([{
        "preferred_network": call.authority(), "preferred_cache": call.authority(), "aliases": [call.authority()],
    }]);
    Ok(Answer::ok(json!({
        "tenant_discovery_endpoint":
            format!("{}/{}/v2.0/.well-known/openid-configuration", call.base, identity.tenant),
        "api-version": "1.1",
        "metadata": metadata,
    })))
}
