//! What went wrong on the way to Azure and back: of Azure Resource Manager, the token endpoint, the service's own API and
//! the storage. What Azure itself said is not among it.

use crate::report::cause::CAUSED_BY;
use rekey_core::plan::ReferenceFault;

sentences! {
    NOT_IN_LOG = "Azure's activity log shows nobody. It leaves out what may not be read (Microsoft.Insights/eventtypes/values/read on \
        the app), and keeps 90 days";
    LOG_GOES_ON = "the first page of Azure's activity log shows nobody, and no other was read; see the log of the resource group";
    // What passes by itself ends with this.
    AS_THE_NEXT_RUN_DOES = "as the next run does";

    CHECK_THE_IDENTITY = "check the identity: a managed identity in Azure, `az login` on a developer's machine";
    BETWEEN = "a proxy, a firewall or a sign-in portal may be in between";
    PAGE = "an HTML page came instead of Azure Resource Manager's answer";
    page() = "{PAGE} ({BETWEEN})";

    asked_again(what, until) = "Azure Resource Manager answered 429, too many requests, to this: {what}. This process waits, \
        and asks again at {until}; of other requests that have to wait until then it is not told";

    // How an app is.
    NO_HEALTH_ANSWER = "no answer";
    health_status(status) = "it answered {status}";
    health_redirects(status) = "it answered {status}, and no redirect is followed";
    health_refused(status) = "it answered {status}; it is asked without a token";
    unwell(app, url, why) = "{app} is not well: {url}: {why}";
    not_on_the_new_key(apps) = "not seen with the new key: {apps}";
    new_key_not_taken(detail) = "the service does not take the new key: {detail}";
    not_often_enough(times) = "not well {times} times in a row";

    // A request and its answer.
    NOT_MADE = "could not make the request";
    NO_BODY = "could not write the body of the request";
    NO_CLIENT = "could not set up an HTTP client";
    NO_CONNECTION = "could not connect";
    NO_TIME_TO_SEND = "out of time before the request was sent";
    NO_TURN_IN_TIME = "out of time before it was its turn within Azure Resource Manager's limit of requests";
    NO_ANSWER_TO_A_CHANGE = "the request was sent, but no answer came";
    NO_ANSWER_IN_TIME = "no answer before the deadline";
    NO_WHOLE_ANSWER = "the answer broke off";
    NO_WHOLE_ANSWER_IN_TIME = "the answer did not come in time";
    NO_REASON = "Azure gave no reason";
    NO_REASON_GIVEN = "no reason given";
    REDIRECTED = "Azure redirects to another address, which is not given a token";
    TAGS_NOT_SHOWN = "the answer does not show the tags that were asked for";
    NOT_THE_CONTRACT = "the answer does not have the documented form";
    too_large(mebibytes) = "the answer is larger than {mebibytes} MiB, which Azure Resource Manager never sends, and was \
        not read to its end; check what REKEY_RESOURCE_MANAGER leads to";
    STRANGE_LINK = "its nextLink leads to another host";
    ENDLESS_LIST = "the list does not end";
    NO_URL = "its URL is not valid";
    NOT_A_REFERENCE = "App Service does not list it among the app's references";
    NO_VERSION = "App Service does not say which version of the secret the app is given";
    not_resolved(status, details, advice) = "App Service does not resolve it ({status}): {details}; {advice}";
    not_fetched(has, wanted) = "the app is still given version {has} of it, and not yet {wanted}";
    of_another_secret(version) = "App Service still gives the app version {version}, which is none of this secret: the setting \
        referred to another a moment ago, and the next run checks again";
    UPDATING = "an update of it is under way";
    UPDATE_FAILED = "Azure took the update on, and it failed";
    update_fails_again(app) = "the update before it failed as well, so it is most likely {app} itself that does not let itself be \
        updated: see why (`az containerapp show`, `az containerapp revision list`, the activity log) and repair that; the next run \
        tries again";
    fewer_replicas(revision, told, listed) = "the revision {revision} says that it has {told} replicas, and Azure lists {listed}";
    revision_not_listed(revision) = "Azure lists no revision {revision}, which the app names as its newest or as one with traffic";
    CONTRADICTED = "one of the two is not true, or not true any more: the next run checks again; if that does not end, ask Azure's \
        support, or restart the app";
    NO_VALUE = "Container Apps does not tell what it has fetched from the Key Vault";
    being_replaced(replicas, until) = "replicas that were made before its secrets were last changed, and may run with the key of \
        before, are still there: {replicas}. They are being replaced, which is waited for until {until}; a run after that \
        restarts them";
    do_not_run_yet(replicas) = "new replicas do not run yet: {replicas}";
    execution_is_overdue(execution, until) = "the execution {execution} may run with the old key, and still runs after {until}, \
        by which the job's replicaTimeout should have ended it: `az containerapp job stop` ends it";
    execution_is_refused(executions, job) = "executions that were started with a key that is invalid now still run, and are \
        refused until they end ({executions}): `az containerapp job stop` ends them, and the next execution of {job} has a \
        valid key";
    left_behind(why) = "{why}; nothing that is configured refers to it any more, but it held a key, and whoever reads it \
        without being seen may do so still: let this identity read it, or, if nobody uses it, name it in vault_secrets with \
        unused = true";
    DISABLED_MEANWHILE = "somebody disabled the secret while it was written, so the version that was made is disabled too";
    strange_vault(host, suffix) = "{host} is no Key Vault of this cloud (…{suffix}), and is not given a token";
    strange_store(host, suffixes) = "{host} is no App Configuration store of this cloud (…{suffixes}), and is not given a token";
    STRANGE_ETAG = "its etag cannot be sent back";
    STRANGE_REFERENCE = "it is a reference to a Key Vault secret, and does not name one";
    OUT_OF_SIGHT = "that is out of sight";
    FAULTY = "that is not in order";
    VALUE = "the value";
    OTHER_HOST = "its URL leads to another host than the one asked";

    // Access tokens. CLIENT_SECRET and those below it are what a group of environment variables is for.
    NO_TOKEN = "could not get an access token";
    NO_TOKEN_IN_TIME = "could not get an access token before the deadline";
    NO_TOKEN_SOON = "could not get an access token within half a minute";
    STRANGE_TOKEN = "the access token cannot be sent in a header";
    UNREADABLE_TOKEN = "the access token is not a JSON Web Token of the usual kind";
    SAME_TOKEN_AGAIN = "the identity was asked for another access token and returned the same one";
    NEW_TOKEN_TOO = "a fresh access token was refused as well";
    too_large_for_a_token(kibibytes) = "the token endpoint's answer is larger than {kibibytes} KiB, which no access token \
        is; check what answers there";
    no_token_endpoint(status, what, said) = "the token endpoint answered {status} with {what}{said}; check what answers \
        there";
    A_PAGE = "an HTML page";
    NO_JSON = "something other than JSON";
    CLIENT_SECRET = "an application's client secret";
    WORKLOAD = "a workload identity";
    MANAGED = "a managed identity";
    CLIENT_SECRET_OR_WORKLOAD =
        "an application's client secret (or AZURE_FEDERATED_TOKEN_FILE for a workload identity)";

    // The agent of Azure Arc, which gives tokens to its machine.
    ARC_ELSEWHERE = "IDENTITY_ENDPOINT does not lead to this machine, where Azure Arc's agent gives tokens";
    ARC_SILENT = "no answer from Azure Arc's agent: check that its service himds runs";
    arc_no_challenge(status) = "Azure Arc's agent answered {status} and names no file to show: check with `azcmagent show` that \
        the machine is connected";
    ARC_UNREADABLE_FILE = "cannot read the file that Azure Arc's agent made: put the user of this process into the group \
        himds (on Windows: Hybrid Agent Extension Applications)";
    ARC_STRANGE_FILE = "the file that Azure Arc's agent names is none of those that it makes, and is not sent anywhere: check \
        what answers at IDENTITY_ENDPOINT";
    arc_refused(status) = "Azure Arc's agent answered {status} to what its file holds: check with `azcmagent show` that the \
        machine is connected";

    // Services and their keys.
    NO_ID = "the answer has no resource id of a service";
    NO_KEYS = "it lists no access keys";
    NOT_BOTH_KEYS = "the answer does not have both keys";
    KEYS_CONTRADICT = "the two keys are the same, or not those of the connection strings beside them";
    STRANGE_SERVICE = "a service with an unusual id was left out";

    // Apps that a check did not come to, and what cannot be told of one that Azure does not find.
    emptied(dictionary) = "its {dictionary} held a key when they were last read, and Azure answers now that there are none at \
        all: whoever reads them may go on with that key; if they were taken away on purpose, say so with `signalr-rekey unblock`";
    NOT_READ = "it was not read";
    NOT_LOOKED_FOR = "it was not looked for";
    STRANGE_SITE = "an app with an unusual id was left out";
    NOTHING_TO_COMPARE = "the list of sites in its subscription shows no other configured app, so it proves nothing";
    LISTED = "Azure lists the site but does not find it";
    unlisted(why) = "cannot list the sites of its subscription: {why}";
    unsearched(why) = "cannot search the other subscriptions, to which it may have been moved: {why}";

    // The data plane: whether the service accepts a key.
    NOT_SIGNED = "could not sign the call";
    no_host(host) = "{host:?} is not a host name";
    refused(host, said) = "{host} answered 401: {said}";
    out_of_reach(host) = "could not reach {host}; if it is out of reach from here, set verify = \"control-plane\"";
    no_answer_within(time) = "no answer within {time}";

    // The journal's storage and its answers.
    no_token_for_the_storage(account) = "could not get an access token for {account}: {CHECK_THE_IDENTITY}";
    no_good_answer(place, why) = "no usable answer from {place}{CAUSED_BY}{why}";
    no_container(container, why) = "could not create the container {container}{CAUSED_BY}{why}";
    DOCUMENT_NO_CODE = "without a code";
    NO_ETAG = "the answer to a write has no ETag";
    NOT_LISTED = "this storage does not list what it holds";
    without_an_etag(name) = "{name} came without an ETag";
    NO_BASE64 = "its AccountKey is not base64";
    NO_SIGNATURE = "its SharedAccessSignature is not valid";

    // What is wrong with a document of the storage.
    document_too_large(mebibytes) = "it is larger than {mebibytes} MiB";
    document_of_another_release(version) = "version {version} is unknown to this release";
    document_strange_time(first, last) = "a time in it is not within the years {first} to {last}";
    document_malformed(line, column) = "it is not a journal of this release, see line {line}, column {column}";
    DOCUMENT_FROM_THE_FUTURE = "its number is from the future; delete it";
    FENCE = "Releases that do not know this version leave the service alone. Do not delete this document while one may be \
        running; docs/operate.md says how to go back to such a release.";

    // The locks of apps.
    app_is_locked(app, holder) = "{app}: waiting for the lock of its settings, which {holder} has";
    lock_not_given_back(app, why) = "could not give back the lock of {app}, which ends by itself{CAUSED_BY}{why}";
}

/// What to do about a reference that is not resolved.
pub(crate) fn of_reference(fault: ReferenceFault, passing: bool) -> String {
    words!(match fault {
        _ if passing => "App Service has only just begun with it: the next run checks again";
        ReferenceFault::NotAllowed =>
            "the identity by which App Service reads secrets for this app may not read this one: give it the role Key Vault \
            Secrets User on the secret, or `get` by the vault's access policy; `signalr-rekey doctor` has the command";
        ReferenceFault::NoIdentity =>
            "the app does not have the identity by which App Service is to read it: assign it; `signalr-rekey doctor` has the \
            command";
        ReferenceFault::Syntax => "correct the reference";
        ReferenceFault::NoVault =>
            "correct the vault's name in the reference, or let App Service reach the vault: one that is out of reach is not \
            found either";
        ReferenceFault::NoSecret =>
            "correct the secret's name in the reference, make the secret, or recover it (`az keyvault secret recover`)";
        ReferenceFault::NoVersion => "correct the version in the reference, or take it out";
        ReferenceFault::Awaited | ReferenceFault::Other =>
            "check that the secret's newest version is enabled, and that the vault's network rules let the app in";
    })
}

/// The data plane: what an answer says that is neither for nor against the key.
pub(crate) fn says_nothing(host: &str, status: u16) -> String {
    words!(match status {
        403 => "{host} answered 403: its network rules keep this host out, so the key cannot be verified from here; allow \
            this network, or set verify = \"control-plane\"";
        429 => "{host} answered 429: too many calls; the next run tries again";
        500.. => "{host} answered {status}: the service is failing; the next run tries again";
        404 => "{host} answered 404 without the x-ms-error-code Warning.User.NotExisted by which Azure SignalR Service says it, \
            so something else answered, and nothing is known about the key; see what is between here and the service (a front \
            door, a proxy, a private DNS zone)";
        _ => "{host} answered {status}, which says nothing about the key; see what is between here and the service (a front \
            door, a proxy, a private DNS zone)";
    })
}
