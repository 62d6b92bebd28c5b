//! What went wrong on the way to Azure and back, in words: of Azure Resource Manager, the token endpoint, the service's own
//! API and the storage. What Azure itself said is not among it.

use std::time::Duration;

use crate::report::cause;

/// What to do where no token can be had.
pub(crate) const CHECK_THE_IDENTITY: &str =
    "check the identity: a managed identity in Azure, `az login` on a developer's machine";

/// Who sends a page of HTML in the place of an answer.
pub(crate) const BETWEEN: &str = "a proxy, a firewall or a sign-in portal may be in between";

/// What is said of an answer that is meant for a browser.
pub(crate) const PAGE: &str = "an HTML page came instead of Azure Resource Manager's answer";

/// The same, with who may have sent it.
pub(crate) fn page() -> String {
    format!("{PAGE} ({BETWEEN})")
}

/// Azure refused, and gave no message.
pub(crate) const NO_REASON: &str = "Azure gave no reason";

pub(crate) const NOT_MADE: &str = "could not make the request";
pub(crate) const NO_BODY: &str = "could not write the body of the request";
pub(crate) const NO_CLIENT: &str = "could not set up an HTTP client";
pub(crate) const NO_CONNECTION: &str = "could not connect";
pub(crate) const NO_ANSWER_TO_A_CHANGE: &str = "the request was sent, but no answer came";
pub(crate) const NO_ANSWER_IN_TIME: &str = "no answer before the deadline";
pub(crate) const NO_WHOLE_ANSWER: &str = "the answer broke off";
pub(crate) const NO_TIME_TO_SEND: &str = "out of time before the request was sent";
pub(crate) const REDIRECTED: &str = "Azure redirects to another address, which is not given a token";
pub(crate) const NOT_THE_CONTRACT: &str = "the answer does not have the documented form";

pub(crate) const NO_TOKEN: &str = "could not get an access token";
pub(crate) const NO_TOKEN_IN_TIME: &str = "could not get an access token before the deadline";
pub(crate) const NO_TOKEN_SOON: &str = "could not get an access token within half a minute";
pub(crate) const STRANGE_TOKEN: &str = "the access token cannot be sent in a header";
pub(crate) const UNREADABLE_TOKEN: &str = "the access token is not a JSON Web Token of the usual kind";
pub(crate) const SAME_TOKEN_AGAIN: &str =
    "the identity was asked for another access token and returned the same one";
pub(crate) const NEW_TOKEN_TOO: &str = "a fresh access token was refused as well";

// What a group of environment variables is for.

pub(crate) const CLIENT_SECRET: &str = "an application's client secret";
pub(crate) const WORKLOAD: &str = "a workload identity";
pub(crate) const MANAGED: &str = "a managed identity";
pub(crate) const CLIENT_SECRET_OR_WORKLOAD: &str =
    "an application's client secret (or AZURE_FEDERATED_TOKEN_FILE for a workload identity)";

pub(crate) const NO_ID: &str = "the answer has no resource id of a service";
pub(crate) const KEYS_CONTRADICT: &str =
    "the two keys are the same, or not those of the connection strings beside them";
pub(crate) const NO_KEYS: &str = "it lists no access keys";
pub(crate) const NOT_BOTH_KEYS: &str = "the answer does not have both keys";
pub(crate) const STRANGE_LINK: &str = "its nextLink leads to another host";
pub(crate) const ENDLESS_LIST: &str = "the list does not end";
pub(crate) const NO_URL: &str = "its URL is not valid";
pub(crate) const OTHER_HOST: &str = "its URL leads to another host than the one asked";

/// An answer that is larger than Azure Resource Manager sends.
pub(crate) fn too_large(limit: usize) -> String {
    format!(
        "the answer is larger than {} MiB, which Azure Resource Manager never sends, and was not read to its end; check \
         what REKEY_RESOURCE_MANAGER leads to",
        limit >> 20
    )
}

/// The token endpoint did not answer in time.
pub(crate) const NO_WHOLE_ANSWER_IN_TIME: &str = "the answer did not come in time";

/// The token endpoint's answer is larger than one with a token.
pub(crate) fn too_large_for_a_token(limit: usize) -> String {
    format!(
        "the token endpoint's answer is larger than {} KiB, which no access token is; check what answers there",
        limit >> 10
    )
}

/// Something else than a token endpoint answers. `said` is its text, as far as it may be told.
pub(crate) fn no_token_endpoint(status: u16, is_page: bool, said: Option<&str>) -> String {
    let what = if is_page { "an HTML page" } else { "something other than JSON" };
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    format!("the token endpoint answered {status} with {what}{said}; check what answers there")
}

/// The data plane: a host that is none.
pub(crate) fn no_host(host: &str) -> String {
    format!("{host:?} is not a host name")
}

/// The data plane: a call that could not be signed.
pub(crate) const NOT_SIGNED: &str = "could not sign the call";

/// The data plane: what an answer says that is neither for nor against the key.
pub(crate) fn says_nothing(host: &str, status: u16) -> String {
    match status {
        403 => format!(
            "{host} answered 403: its network rules keep this host out, so the key cannot be verified from here; allow this \
             network, or set verify = \"control-plane\""
        ),
        429 => format!("{host} answered 429: too many calls; the next run tries again"),
        500.. => format!("{host} answered {status}: the service is failing; the next run tries again"),
        _ => format!("{host} answered {status}, which says nothing about the key"),
    }
}

/// The data plane: the key is refused.
pub(crate) fn refused(host: &str, said: Option<&str>) -> String {
    format!("{host} answered 401: {}", said.unwrap_or("no reason given"))
}

/// The data plane is out of reach.
pub(crate) fn out_of_reach(host: &str) -> String {
    format!("could not reach {host}; if it is out of reach from here, set verify = \"control-plane\"")
}

/// No answer within a time.
pub(crate) fn no_answer_within(time: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(time))
}

/// The storage has no token.
pub(crate) fn no_token_for_the_storage(account: &str) -> String {
    format!("could not get an access token for {account}: {CHECK_THE_IDENTITY}")
}

/// The storage gives no answer that means anything.
pub(crate) fn no_good_answer(place: &str, why: &str) -> String {
    cause::with(&format!("no usable answer from {place}"), why)
}

/// The storage said nothing.
pub(crate) const IT_GAVE_NO_REASON: &str = "no reason given";

pub(crate) const NO_ETAG: &str = "the answer to a write has no ETag";
pub(crate) const NO_BASE64: &str = "its AccountKey is not base64";
pub(crate) const NO_SIGNATURE: &str = "its SharedAccessSignature is not valid";

/// A document that was answered without its version.
pub(crate) fn without_an_etag(name: &str) -> String {
    format!("{name} came without an ETag")
}

/// The container of the journals cannot be made.
pub(crate) fn no_container(container: &str, why: &str) -> String {
    cause::with(&format!("could not create the container {container}"), why)
}

// What is wrong with a document of the store.

pub(crate) fn document_too_large(mebibytes: usize) -> String {
    format!("it is larger than {mebibytes} MiB")
}

pub(crate) fn document_of_another_release(version: u32) -> String {
    format!("version {version} is unknown to this release")
}

pub(crate) fn document_strange_time(first: i32, last: i32) -> String {
    format!("a time in it is not within the years {first} to {last}")
}

pub(crate) fn document_malformed(line: usize, column: usize) -> String {
    format!("it is not a journal of this release, see line {line}, column {column}")
}

pub(crate) const DOCUMENT_FROM_THE_FUTURE: &str = "its number is from the future; delete it";
pub(crate) const DOCUMENT_NO_CODE: &str = "without a code";

// Apps that a check did not come to.

pub(crate) const NOT_READ: &str = "it was not read";
pub(crate) const NOT_LOOKED_FOR: &str = "it was not looked for";

// A resource in a list whose id is not one.

pub(crate) const STRANGE_SITE: &str = "an app with an unusual id was left out";
pub(crate) const STRANGE_SERVICE: &str = "a service with an unusual id was left out";

// What cannot be told of an app that Azure does not find.

pub(crate) const NOTHING_TO_COMPARE: &str =
    "the list of sites in its subscription shows no other configured app, so it proves nothing";
pub(crate) const LISTED: &str = "Azure lists the site but does not find it";

/// The sites of its subscription cannot be listed.
pub(crate) fn unlisted(why: &str) -> String {
    format!("cannot list the sites of its subscription: {why}")
}

/// Other subscriptions cannot be searched.
pub(crate) fn unsearched(why: &str) -> String {
    format!("cannot search the other subscriptions, to which it may have been moved: {why}")
}

/// An app is waited for.
pub(crate) fn app_is_locked(app: &str, holder: &str) -> String {
    format!("{app}: waiting for the lock of its settings, which {holder} has")
}

/// The lock of an app is left to end.
pub(crate) fn lock_not_given_back(app: &str, why: &str) -> String {
    cause::with(&format!("could not give back the lock of {app}, which ends by itself"), why)
}

/// What the document that keeps older releases away says to whoever reads it.
pub(crate) const FENCE: &str = "Releases that do not know this version leave the service alone. Do not delete this document while one may be running; docs/operate.md says how to go back to such a release.";
