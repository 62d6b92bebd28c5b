//! Why something failed, down to its root: the one place where a chain of errors becomes text for people.
//!
//! Start at [`told`]. An error's `Display` is one sentence and never repeats its source; whoever shows it to a person, in a
//! command's output, a log line, an answer, the journal or a finding, shows it by [`told`].
//!
//! Guarantees: what is told is one line for each cause, bounded, and free of what errors of other libraries may quote: a
//! URL's query, a token, a value that could not be parsed.

use std::error::Error;
use std::iter::successors;

use azure_core::error::ErrorKind;
use rekey_core::model::is_unseen;
use serde::Deserialize;

/// What stands before the cause.
pub(crate) const CAUSED_BY: &str = "; caused by: ";

/// How much of one cause is told. Entra's sentences (AADSTS700082, with its dates and ids) have about 300 characters.
const LONGEST: usize = 400;

/// How much of the whole chain is told.
const LONGEST_CHAIN: usize = 1000;

/// The error, and what caused it.
pub fn told(error: &(dyn Error + 'static)) -> String {
    because(&error.to_string(), error.source())
}

/// A sentence of ours, and its cause in words of ours.
pub fn with(what: &str, cause: &str) -> String {
    format!("{what}{CAUSED_BY}{cause}")
}

/// A sentence that may have its cause behind it already, with what to do about it before the cause.
pub fn advised(told: &str, advice: &str) -> String {
    match told.split_once(CAUSED_BY) {
        Some((what, cause)) => with(&format!("{what}; {advice}"), cause),
        None => format!("{told}; {advice}"),
    }
}

/// A sentence of ours, and the error behind it.
pub fn because(what: &str, cause: Option<&(dyn Error + 'static)>) -> String {
    let mut causes: Vec<String> = Vec::new();
    for error in successors(cause, |&error| error.source()) {
        if let Some(error) = error.downcast_ref::<azure_core::Error>()
            && let Some(said) = of_azure(error)
        {
            // What lies behind it is the same once more, in the words of a library.
            causes.push(said);
            break;
        }
        if error.is::<azure_core::Error>() && error.source().is_some() {
            // Its words are those of its source between names of types and a link.
            continue;
        }
        let said = sentence(error);
        let told_already = what.contains(&said)
            || what.contains(&error.to_string())
            || causes.iter().any(|cause| cause.contains(&said));
        if !told_already && !said.is_empty() {
            causes.push(said);
        }
    }
    if causes.len() > 1 {
        let last = causes.pop();
        causes.retain(|cause| !SAYS_NOTHING.contains(&cause.as_str()));
        causes.extend(last);
    }
    if causes.is_empty() { what.to_owned() } else { format!("{what}{CAUSED_BY}{}", chain(&causes)) }
}

fn chain(causes: &[String]) -> String {
    cut(&causes.join(": "), LONGEST_CHAIN)
}

/// Sentences of HTTP libraries that only say that there is a cause.
const SAYS_NOTHING: [&str; 4] = [
    "error sending request",
    "client error (Connect)",
    "client error (SendRequest)",
    "error decoding response body",
];

fn sentence(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<serde_json::Error>() {
        Some(error) => tidy(&unquoted(&error.to_string())),
        None => tidy(&error.to_string()),
    }
}

/// serde's words without the value that they quote: it may be a secret. The names of fields and variants are told.
fn unquoted(text: &str) -> String {
    let Some((before, rest)) = text.split_once('"') else { return text.to_owned() };
    // The value is written as Rust writes it: a quote within is escaped, and so the last one ends it.
    let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
    format!("{before}(not shown){after}")
}

/// What an error of azure_core or azure_identity says to the operator; nothing if its own words will do.
fn of_azure(error: &azure_core::Error) -> Option<String> {
    let text = error.to_string();
    if text.contains("CliCredential authentication failed") {
        return Some(of_tools(&text));
    }
    let answered = successors(Some(error as &(dyn Error + 'static)), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<azure_core::Error>())
        .find_map(|error| match error.kind() {
            ErrorKind::HttpResponse { status, raw_response, .. } => {
                Some((u16::from(*status), raw_response.as_deref(), error.to_string()))
            }
            _ => None,
        });
    if let Some((status, raw, words)) = answered {
        let said = raw.and_then(|raw| said_in(raw.body().as_ref())).unwrap_or_else(|| tidy(&words));
        let hint = match status {
            400 if text.contains("ManagedIdentity") => {
                " (an app that has only a user-assigned identity needs AZURE_CLIENT_ID with its client id)"
            }
            _ => "",
        };
        return Some(format!("the token endpoint answered {status}: {said}{hint}"));
    }
    if *error.kind() == ErrorKind::DataConversion || text.contains(" at line ") {
        return Some("the token endpoint's answer is not in the form of its contract".to_owned());
    }
    // "ManagedIdentityCredential authentication failed. why\nTo troubleshoot, visit …": why is in the chain as well.
    error.source().is_none().then(|| tidy(&text))
}

/// The shapes of a token endpoint's refusals: Entra's and the platform's (`error`, `error_description`), App Service's
/// (`statusCode`, `message`), and that of Azure Resource Manager.
#[derive(Deserialize)]
struct Refusal {
    error: Option<Named>,
    error_description: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Code(String),
    Detail { code: Option<String>, message: Option<String> },
}

/// Code and message of a refusal. A body of any other kind is not repeated.
fn said_in(body: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let (code, inner) = match refusal.error {
        Some(Named::Code(code)) => (Some(code), None),
        Some(Named::Detail { code, message }) => (code, message),
        None => (None, None),
    };
    let message = refusal.error_description.or(inner).or(refusal.message);
    let said = match (code, message) {
        (Some(code), Some(message)) => format!("{code}, {message}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    Some(tidy(&said)).filter(|said| !said.is_empty())
}

/// The developer's tools, each with what it said and the command that repairs it.
fn of_tools(text: &str) -> String {
    let mut told: Vec<String> = Vec::new();
    for (credential, tool) in [("AzureCliCredential", "az"), ("AzureDeveloperCliCredential", "azd")] {
        let begin = format!("{credential} authentication failed.");
        let Some((_, rest)) = text.split_once(&begin) else { continue };
        let said = rest.split("Credential authentication failed.").next().unwrap_or_default();
        told.push(of_tool(tool, said));
    }
    told.join("; ")
}

fn of_tool(tool: &str, said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with("To troubleshoot,") && !line.starts_with("Azure"));
    let lines: Vec<&str> = lines.collect();
    let is_command = |line: &&&str| line.starts_with("az login") || line.starts_with("azd auth login");
    let command = lines.iter().find(is_command);
    // The line that az marks as its error, else its last: above it stand warnings.
    let error = lines.iter().find_map(|line| line.strip_prefix("ERROR:"));
    let error =
        error.or_else(|| lines.iter().rfind(|line| !is_command(line)).copied()).unwrap_or("it said nothing");
    let said = if error.starts_with(tool) { tidy(error) } else { format!("{tool}: {}", tidy(error)) };
    let repairs = match command {
        Some(command) => format!(" (run: {})", tidy(command)),
        None if error.contains("not found on PATH") => String::new(),
        None if tool == "az" => " (run: az login --tenant TENANT)".to_owned(),
        None => " (run: azd auth login)".to_owned(),
    };
    format!("{said}{repairs}")
}

/// One line of bounded length, without the full stop at its end, and without what might be a secret.
pub(crate) fn tidy(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(harmless).collect();
    let line: String = words.join(" ").chars().filter(|sign| !is_unseen(*sign)).collect();
    cut(line.trim_end_matches('.'), LONGEST)
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A word without a URL's query (signatures stand there), or without itself if it looks like a token or a key.
fn harmless(word: &str) -> String {
    const SHORTEST_SECRET: usize = 40;
    if let Some((url, _)) = word.split_once('?').filter(|(url, _)| url.contains("://")) {
        return format!("{url}?…");
    }
    let lower = word.to_lowercase();
    let named = ["accesskey=", "accountkey=", "sig=", "password=", "secret="];
    let long = |part: &str| {
        part.len() >= SHORTEST_SECRET
            && part.chars().all(|sign| sign.is_ascii_alphanumeric() || "+/=_-.".contains(sign))
    };
    let token = word.contains("eyJ") && long(word.trim_matches(|sign: char| !sign.is_ascii_alphanumeric()));
    let key = word.trim_matches(|sign: char| "\"'`,;()".contains(sign));
    let key = long(key) && key.ends_with('=');
    if named.iter().any(|name| lower.contains(name)) || token || key {
        "(not shown)".to_owned()
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::{RawResponse, StatusCode, headers::Headers};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<dyn Error + Send + Sync>>);

    fn answered(status: StatusCode, body: &'static str) -> Link {
        let raw = RawResponse::from_bytes(status, Headers::new(), body);
        let kind = ErrorKind::HttpResponse { status, error_code: None, raw_response: Some(Box::new(raw)) };
        let inner =
            azure_core::Error::new(kind, "The requested identity has not been assigned to this resource");
        let text = format!(
            "ManagedIdentityCredential authentication failed. {inner}\nTo troubleshoot, visit https://aka.ms/x"
        );
        let outer = azure_core::Error::with_error(ErrorKind::Credential, inner, text);
        Link("no token could be had", Some(outer.into()))
    }

    fn tools(said: &str) -> String {
        let text = format!(
            "Multiple errors were encountered while attempting to authenticate:\n\
             AzureCliCredential authentication failed. {said}\nTo troubleshoot, visit https://aka.ms/azsdk\n\
             AzureDeveloperCliCredential authentication failed. azd not found on PATH\nTo troubleshoot, visit https://aka.ms/x"
        );
        told(&Link("no token", Some(azure_core::Error::with_message(ErrorKind::Credential, text).into())))
    }

    #[test]
    fn the_whole_chain_is_told_once_and_in_order() {
        let root = std::io::Error::other("failed to lookup address information");
        let middle = Link("client error (Connect)", Some(Box::new(Link("dns error", Some(root.into())))));
        let error = Link(
            "no connection could be made",
            Some(Box::new(Link("error sending request", Some(middle.into())))),
        );
        insta::assert_snapshot!(told(&error), @"no connection could be made; caused by: dns error: failed to lookup address information");
        let repeats = Link("it failed: dns error", Some(Box::new(Link("dns error", None))));
        assert_eq!(told(&repeats), "it failed: dns error");
    }

    #[test]
    fn a_token_endpoint_is_quoted_with_its_status() {
        let bodies = [
            (
                StatusCode::BadRequest,
                r#"{"statusCode":400,"message":"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.","correlationId":"c-1"}"#,
            ),
            (
                StatusCode::Forbidden,
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#,
            ),
            (
                StatusCode::InternalServerError,
                r#"{"error":{"code":"InternalServerError","message":"try again"}}"#,
            ),
        ];
        let told: Vec<String> = bodies.map(|(status, body)| told(&answered(status, body))).to_vec();
        insta::assert_snapshot!(told.join("\n"), @r"
        no token could be had; caused by: the token endpoint answered 400: No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId (an app that has only a user-assigned identity needs AZURE_CLIENT_ID with its client id)
        no token could be had; caused by: the token endpoint answered 403: invalid_client, AADSTS7000215: Invalid client secret provided
        no token could be had; caused by: the token endpoint answered 500: InternalServerError, try again
        ");
    }

    #[test]
    fn what_the_developers_tools_say_comes_with_the_command_that_fixes_it() {
        let expired = "ERROR: AADSTS700082: The refresh token has expired due to inactivity. Trace ID: t\n\
            Interactive authentication is needed. Please run:\naz login --tenant \"contoso\" --scope \"https://management.core.windows.net//.default\"";
        let said = [expired, "ERROR: Please run 'az login' to setup account.", "az not found on PATH"];
        insta::assert_snapshot!(said.map(tools).join("\n"), @r#"
        no token; caused by: az: AADSTS700082: The refresh token has expired due to inactivity. Trace ID: t (run: az login --tenant "contoso" --scope "https://management.core.windows.net//.default"); azd not found on PATH
        no token; caused by: az: Please run 'az login' to setup account (run: az login --tenant TENANT); azd not found on PATH
        no token; caused by: az not found on PATH; azd not found on PATH
        "#);
    }

    #[test]
    fn what_might_be_a_secret_is_not_told() {
        let secrets = [
            "GET https://a.blob.core.windows.net/c/x?sv=1&sig=hunter2 failed",
            "the header \"Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.hunter2hunter2\" is wrong",
            "Endpoint=https://x;AccessKey=hunter2;Version=1.0; is wrong",
            "the key hunter2hunter2hunter2hunter2hunter2hunter2xyz= is wrong",
        ];
        for secret in secrets {
            let told = told(&Link("it failed", Some(Box::new(Link(secret, None)))));
            assert!(!told.contains("hunter2"), "{told}");
            assert!(told.contains("it failed; caused by: "), "{told}");
        }
        let parsed = serde_json::from_str::<u32>("\"hunter2 \\\" hunter2\"").unwrap_err();
        let told = told(&Link("no number", Some(parsed.into())));
        insta::assert_snapshot!(told, @"no number; caused by: invalid type: string (not shown), expected u32 at line 1 column 20");
    }

    #[test]
    fn what_is_told_is_bounded() {
        let long: &'static str = "word ".repeat(10_000).leak();
        let deep = (0..100).fold(Link(long, None), |inner, _| Link("x", Some(inner.into())));
        assert!(told(&deep).chars().count() < LONGEST_CHAIN + 100);
    }
}
