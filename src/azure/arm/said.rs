//! What an error body of Azure's says, cut to what people read.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::report::text::azure as words;
use rekey_core::model::is_unseen;

/// What an error body says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Option<String>,
    pub(super) message: String,
    /// The codes of its details: the code itself may be that of a wrapper, like `InvalidTemplateDeployment`.
    pub(super) details: Vec<String>,
    /// What lacks on something else that the request is linked to.
    pub(super) linked: Option<Linked>,
}

/// A right that lacks on another resource than the one that was asked, which is linked to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linked {
    pub(crate) action: String,
    /// The id of that resource.
    pub(crate) scope: String,
}

impl Said {
    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.code.iter().chain(&self.details).map(String::as_str)
    }

    pub(super) fn says_one_of(&self, wanted: &[&str]) -> bool {
        self.codes().any(|code| wanted.iter().any(|wanted| code.eq_ignore_ascii_case(wanted)))
    }
}

/// How much of Azure's words is repeated: its longest usual message (AuthorizationFailed, with two ids and a scope) is
/// about 400 characters.
pub(super) const LONGEST_MESSAGE: usize = 600;
const LONGEST_FOREIGN_TEXT: usize = 200;
pub(super) const LONGEST_CODE: usize = 100;
/// How many details are looked at; a policy has one for each assignment that denies.
const MOST_DETAILS: usize = 100;

/// Whether a body is a page of HTML.
pub(crate) fn is_page(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    body.starts_with(b"<") && !body.starts_with(b"<?xml")
}

/// Azure's code and message, from either of the shapes of its error bodies: `{"error":{"code","message"}}` (swagger,
/// common-types ErrorResponse), with Key Vault's `innererror`, Microsoft.Web's capitalised `{"Code","Message"}`, and the
/// `{"type","title","detail"}` of App Configuration (RFC 9457). A body that is no JSON is repeated only if `may_repeat`: answers that belong to secrets are not.
pub(super) fn read_error_body(body: &[u8], may_repeat: bool) -> Said {
    let said_nothing = || words::NO_REASON.to_owned();
    let Ok(body_read) = serde_json::from_slice::<ErrorBody>(body) else {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        let text = String::from_utf8_lossy(body);
        let page = is_page(body).then(words::page);
        let text = tidy(&text, LONGEST_FOREIGN_TEXT);
        let text = Some(text).filter(|text| may_repeat && !is_json && !text.is_empty());
        let message = match (page, text) {
            (Some(page), Some(text)) => format!("{page}: {text}"),
            (page, text) => page.or(text).unwrap_or_else(said_nothing),
        };
        return Said { code: None, message, details: vec![], linked: None };
    };
    let problem = body_read.problem;
    let detail = body_read.error.unwrap_or(body_read.bare);
    // Where there is an inner code it tells more.
    let inner = detail.inner.as_ref().and_then(|inner| inner.code.clone());
    let code = inner.or_else(|| detail.code.clone()).or_else(|| problem.code());
    let code = code.map(|code| tidy(&code, LONGEST_CODE)).filter(|code| !code.is_empty());
    let message = detail.message.or_else(|| problem.message());
    // Before it is cut: with three long ids in it the scope is at its end.
    let linked = message.as_deref().and_then(Linked::read);
    let message = message.map(|message| tidy(&message, LONGEST_MESSAGE));
    let details = detail.details.into_iter().flatten().filter_map(|detail| detail.code);
    let details: Vec<String> =
        detail.code.into_iter().filter(|outer| Some(outer) != code.as_ref()).chain(details).collect();
    Said {
        code,
        message: message.filter(|message| !message.is_empty()).unwrap_or_else(said_nothing),
        details: details.into_iter().take(MOST_DETAILS).collect(),
        linked,
    }
}

impl Linked {
    /// Reads "…; however, it does not have permission to perform action(s) 'A' on the linked scope(s) 'S' …" (public issues:
    /// `LinkedAuthorizationFailed`). Of several the first is named.
    fn read(message: &str) -> Option<Self> {
        let (lacks, scopes) = message.split_once("linked scope")?;
        let first = |quoted: &str| {
            let plain = tidy(quoted.split(',').next()?, LONGEST_MESSAGE);
            (!plain.is_empty()).then_some(plain)
        };
        Some(Self { action: first(lacks.rsplit('\'').nth(1)?)?, scope: first(scopes.split('\'').nth(1)?)? })
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Option<ErrorDetail>,
    #[serde(flatten)]
    bare: ErrorDetail,
    #[serde(flatten)]
    problem: Problem,
}

/// A problem of App Configuration; the end of its type says which.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type")]
    kind: Value,
    title: Value,
    detail: Value,
}

impl Problem {
    fn code(&self) -> Option<String> {
        self.kind.as_str()?.rsplit('/').next().map(ToOwned::to_owned)
    }

    fn message(&self) -> Option<String> {
        let title = self.title.as_str()?;
        Some(self.detail.as_str().map_or_else(|| title.to_owned(), |detail| format!("{title}: {detail}")))
    }
}

/// The `error` of an error body or of an operation's status.
#[derive(Clone, Deserialize)]
pub(super) struct ErrorDetail {
    #[serde(alias = "Code")]
    pub(super) code: Option<String>,
    #[serde(alias = "Message")]
    pub(super) message: Option<String>,
    #[serde(default, alias = "Details", deserialize_with = "details")]
    details: Option<Vec<Detail>>,
    /// Of Key Vault: all its refusals share one outer code.
    #[serde(default, rename = "innererror")]
    inner: Option<Detail>,
}

#[derive(Clone, Deserialize)]
struct Detail {
    #[serde(alias = "Code")]
    code: Option<String>,
}

/// Details of another shape cost their codes, and not the error that they belong to.
fn details<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Detail>>, D::Error> {
    let read = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(read).ok())
}

/// One line of at most `longest` characters, without the full stop at its end.
pub(in crate::azure) fn tidy(text: &str, longest: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|sign| !is_unseen(*sign)).collect();
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.trim_end_matches('.').to_owned(),
    }
}
/// Shorter texts are no keys, and are found in every sentence.
const SHORTEST_SECRET: usize = 8;

/// Takes a secret out of what was made [`tidy`], also where that has cut it off in the middle.
pub(super) fn redact(text: &mut String, secret: &str) {
    let secret = tidy(secret, usize::MAX);
    if secret.len() < SHORTEST_SECRET {
        return;
    }
    *text = text.replace(&secret, "[redacted]");
    let Some(kept) = text.strip_suffix('…') else { return };
    let mut parts = secret.char_indices().map(|(end, _)| &secret[..end]).rev();
    let cut = parts.find(|part| part.len() >= SHORTEST_SECRET && kept.ends_with(part));
    if let Some(part) = cut {
        *text = format!("{}[redacted]…", &kept[..kept.len() - part.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_error_bodies_are_read_and_others_are_not_repeated() {
        for (body, may_repeat, code, message) in [
            (r#"{"error":{"code":"A","message":"b.\n c."}}"#, false, Some("A"), "b. c"),
            (r#"{"Code":"A","Message":"b"}"#, false, Some("A"), "b"),
            (r#"{"error":{"code":"A"}}"#, true, Some("A"), "Azure gave no reason"),
            (r#"{"properties":{"S":"secret"}}"#, true, None, "Azure gave no reason"),
            (r#"["secret"]"#, true, None, "Azure gave no reason"),
            (
                "<html>  Bad\nGateway </html>",
                true,
                None,
                "an HTML page came instead of Azure Resource Manager's answer (a proxy, a firewall or a sign-in portal may \
                 be in between): <html> Bad Gateway </html>",
            ),
            (
                " <!DOCTYPE html><p>secret",
                false,
                None,
                "an HTML page came instead of Azure Resource Manager's answer (a proxy, a firewall or a sign-in portal may \
                 be in between)",
            ),
            ("<?xml version='1.0'?><Error/>", true, None, "<?xml version='1.0'?><Error/>"),
            (
                r#"{"type":"https://azconfig.io/errors/key-locked","title":"Modifing key 'a' is not allowed","name":"a",
                    "detail":"The key is read-only. To allow modification unlock it first.","status":409}"#,
                false,
                Some("key-locked"),
                "Modifing key 'a' is not allowed: The key is read-only. To allow modification unlock it first",
            ),
            (
                r#"{"type":"https://azconfig.io/errors/nsp-rejected","title":"No","status":403}"#,
                false,
                Some("nsp-rejected"),
                "No",
            ),
            ("AccessKey=secret", false, None, "Azure gave no reason"),
            ("", true, None, "Azure gave no reason"),
            (
                r#"{"Code":"A","Message":"b","Details":[{"Message":"c"},{"ErrorEntity":{}}]}"#,
                true,
                Some("A"),
                "b",
            ),
            (r#"{"error":{"code":"A","message":"b","details":"c"}}"#, true, Some("A"), "b"),
        ] {
            let read = read_error_body(body.as_bytes(), may_repeat);
            assert_eq!((read.code.as_deref(), read.message.as_str()), (code, message), "{body}");
        }
        let long = read_error_body("ä".repeat(1000).as_bytes(), true).message;
        assert_eq!(long.chars().count(), LONGEST_FOREIGN_TEXT + 1);
    }
}
