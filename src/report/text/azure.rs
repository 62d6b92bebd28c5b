//! What went wrong on the way to Azure and back, in words: of Azure Resource Manager, the token endpoint, the service's own
//! API and the storage. What Azure itself said is not among it.

use std::time::Duration;

/// What to do where no token can be had.
pub(crate) const CHECK_THE_IDENTITY: &str =
    "check the identity: a managed identity in Azure, `az login` on a developer's machine";

/// Who sends a page of HTML in the place of an answer.
pub(crate) const BETWEEN: &str = "a proxy, a firewall or a sign-in portal may stand between";

/// What is said of an answer that is meant for a browser.
pub(crate) const PAGE: &str = "a page of HTML came instead of Azure Resource Manager's answer";

/// The same, with who may have sent it.
pub(crate) fn page() -> String {
    format!("{PAGE} ({BETWEEN})")
}

/// Azure refused, and gave no message.
pub(crate) const NO_REASON: &str = "Azure gave no reason";

pub(crate) const NOT_MADE: &str = "the request could not be made";
pub(crate) const NO_BODY: &str = "the body could not be written";
pub(crate) const NO_CLIENT: &str = "no HTTP client could be made";
pub(crate) const NO_CONNECTION: &str = "no connection could be made";
pub(crate) const NO_ANSWER_TO_A_CHANGE: &str = "it was sent, and no answer came";
pub(crate) const NO_ANSWER_IN_TIME: &str = "no answer came before the deadline";
pub(crate) const NO_WHOLE_ANSWER: &str = "no whole answer came";
pub(crate) const NO_TIME_TO_SEND: &str = "the deadline had passed before it was sent";
pub(crate) const REDIRECTED: &str = "Azure sends us elsewhere, and a token is not taken there";
pub(crate) const NOT_THE_CONTRACT: &str = "the answer is not in the form of the contract";

pub(crate) const NO_TOKEN: &str = "no token could be had";
pub(crate) const NO_TOKEN_IN_TIME: &str = "no token came before the deadline";
pub(crate) const NO_TOKEN_SOON: &str = "no token came within half a minute";
pub(crate) const STRANGE_TOKEN: &str = "the token is no header value";
pub(crate) const UNREADABLE_TOKEN: &str = "the token is no JSON Web Token of the usual kind";
pub(crate) const SAME_TOKEN_AGAIN: &str =
    "the identity was asked for another token, and gave the same one again";
pub(crate) const NEW_TOKEN_TOO: &str = "so was a token that the identity had just given";

/// What a group of environment variables is for.
pub(crate) mod identity {
    pub(crate) const CLIENT_SECRET: &str = "an application's client secret";
    pub(crate) const WORKLOAD: &str = "a workload identity";
    pub(crate) const MANAGED: &str = "a managed identity";
    pub(crate) const CLIENT_SECRET_OR_WORKLOAD: &str =
        "an application's client secret (or AZURE_FEDERATED_TOKEN_FILE for a workload identity)";
}

pub(crate) const NO_ID: &str = "the answer has no id of an instance";
pub(crate) const KEYS_CONTRADICT: &str =
    "the two keys are the same, or not those of the connection strings beside them";
pub(crate) const NO_KEYS: &str = "it lists no access keys";
pub(crate) const NOT_BOTH_KEYS: &str = "the answer does not hold both keys";
pub(crate) const STRANGE_LINK: &str = "its nextLink leads elsewhere";
pub(crate) const ENDLESS_LIST: &str = "the list has no end";
pub(crate) const NO_URL: &str = "its URL is no URL";
pub(crate) const OTHER_HOST: &str = "its URL leads off the host that was asked";

/// An answer that is larger than Azure Resource Manager sends.
pub(crate) fn too_large(limit: usize) -> String {
    format!(
        "the answer is larger than {} MiB, which Azure Resource Manager never sends, and was not read to its end; check that \
         REKEY_RESOURCE_MANAGER leads there",
        limit >> 20
    )
}

/// The token endpoint did not answer in time.
pub(crate) const NO_WHOLE_ANSWER_IN_TIME: &str = "no whole answer came in time";

/// The token endpoint's answer is larger than one with a token.
pub(crate) fn too_large_for_a_token(limit: usize) -> String {
    format!(
        "the token endpoint's answer is larger than {} KiB, and no token is; check what answers there",
        limit >> 10
    )
}

/// Something else than a token endpoint answers. `said` is its text, as far as it may be told.
pub(crate) fn no_token_endpoint(status: u16, is_page: bool, said: Option<&str>) -> String {
    let what = if is_page { "a page of HTML" } else { "no JSON" };
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    format!(
        "the token endpoint answered {status} with {what}, as no token endpoint does{said}; check what answers there"
    )
}

/// The data plane: a host that is none.
pub(crate) fn no_host(host: &str) -> String {
    format!("{host:?} is no host name")
}

/// The data plane: a call that could not be signed.
pub(crate) const NOT_SIGNED: &str = "the call could not be signed";

/// The data plane: what an answer says that is neither for nor against the key.
pub(crate) fn says_nothing(host: &str, status: u16) -> String {
    match status {
        403 => format!(
            "{host} answered 403: its network rules keep us out, so the key cannot be verified from here; allow this \
             network, or set verify = \"control-plane\""
        ),
        429 => format!("{host} answered 429: too many calls; the next pass asks again"),
        500.. => format!("{host} answered {status}: the service is failing; the next pass asks again"),
        _ => format!("{host} answered {status}, which says nothing about the key"),
    }
}

/// The data plane: the key is refused.
pub(crate) fn refused(host: &str, said: Option<&str>) -> String {
    format!("{host} answered 401: {}", said.unwrap_or("it gave no reason"))
}

/// The data plane is out of reach.
pub(crate) fn out_of_reach(host: &str) -> String {
    format!("{host} could not be asked; if it is out of reach from here, set verify = \"control-plane\"")
}

/// No answer within a time.
pub(crate) fn no_answer_within(time: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(time))
}

/// A key was not proved in the time of the run.
pub(crate) const NOT_PROVED_IN_TIME: &str = "the time of the pass ended before the key was proved";

/// The storage has no token.
pub(crate) fn no_token_for_the_storage(account: &str) -> String {
    format!("no token for the storage {account}: {CHECK_THE_IDENTITY}")
}

/// The storage gives no answer that means anything.
pub(crate) fn no_good_answer(place: &str, why: &str) -> String {
    format!("no good answer from the storage {place}: {why}")
}

/// The storage said nothing.
pub(crate) const IT_GAVE_NO_REASON: &str = "it gave no reason";

pub(crate) const NO_ETAG: &str = "the answer to a write has no ETag";
pub(crate) const NO_BASE64: &str = "its AccountKey is no base64";
pub(crate) const NO_SIGNATURE: &str = "its SharedAccessSignature cannot be read";

/// A document that was answered without its version.
pub(crate) fn without_an_etag(name: &str) -> String {
    format!("{name} was answered without an ETag")
}

/// The container of the journals cannot be made.
pub(crate) fn no_container(container: &str, why: &str) -> String {
    format!("the container {container} cannot be made: {why}")
}

/// What cannot be told of an app that Azure does not find.
pub(crate) mod whereabouts {
    pub(crate) const NOTHING_TO_COMPARE: &str = "the list of the sites of its subscription does not show the other apps either, or there is none to compare it with";
    pub(crate) const LISTED: &str = "Azure lists it and does not find it";

    /// The sites of its subscription cannot be listed.
    pub(crate) fn unlisted(why: &str) -> String {
        format!("the sites of its subscription cannot be listed: {why}")
    }

    /// Other subscriptions cannot be searched.
    pub(crate) fn unsearched(why: &str) -> String {
        format!("the other subscriptions, to which it may have been moved, cannot be searched: {why}")
    }
}
