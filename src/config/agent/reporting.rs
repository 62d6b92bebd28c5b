//! `[report]`: to whom it is reported which key the app works with.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Code, Reporting, path};
use crate::azure::http::{check_secure, is_loopback};
use crate::config::Environment;
use crate::config::environment::Reader;
use crate::config::fault::{Origin, Report};
use crate::config::places::what_it_is_not;
use crate::config::settings::REPORT_CODE;
use crate::config::values::{Fields, sourced};
use crate::report::cause;
use rekey_core::model::ServiceId;

/// What the path of a function's code may be.
#[cfg(not(windows))]
const CODE_FILE: &str = "/etc/signalr-rekey/report-code";
#[cfg(windows)]
const CODE_FILE: &str = r"C:\ProgramData\signalr-rekey\report-code";

#[allow(clippy::option_option, reason = "a fault is none, and that there is none is in order")]
pub(super) fn reporting(
    top: &Fields<'_>,
    environment: &Environment,
    report: &mut Report<'_>,
) -> Option<Option<Reporting>> {
    let Some(node) = top.get("report") else { return Some(None) };
    let Some(fields) = node.fields() else {
        node.refuse("[report] with its url, instance and name", report);
        return None;
    };
    fields.refuse_unknown(&["url", "instance", "name", "code_file"], &[], report);
    let url = report_url(&fields, report);
    let instance = instance(&fields, report);
    let name = name(&fields, report);
    let code = code(&fields, url.as_ref(), environment, report);
    Some(Some(Reporting { url: url?, instance: instance?, name: name?, code: code? }))
}

/// A code must not stand in the URL: it would be in each line that names it.
fn report_url(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Url> {
    let example = "url = \"https://….azurewebsites.net/api/OnReport\"";
    let url = url(fields, example, report)?;
    let at = fields.get("url").map_or(Origin::Default, |node| Origin::File(node.at));
    if check_secure(&url).is_err() {
        report.origin(&at, format!("reports go over https only; write {example}"));
        return None;
    }
    if url.query().is_some() || url.password().is_some() || !url.username().is_empty() {
        let sentence = format!(
            "the URL has more than an address; write it without its code, and the code into the file of code_file or into \
             {REPORT_CODE}"
        );
        report.origin(&at, sentence);
        return None;
    }
    Some(url)
}

fn code(
    fields: &Fields<'_>,
    url: Option<&Url>,
    environment: &Environment,
    report: &mut Report<'_>,
) -> Option<Code> {
    let mut reader = Reader { environment, report };
    let given = reader
        .get(REPORT_CODE, "the function's code", |text| Ok::<_, String>(SecretString::from(text.trim())));
    match (fields.get("code_file"), given) {
        (Some(node), given) => {
            if given.is_some() {
                report.at(&node.at, format!("{REPORT_CODE} is set as well; use one of the two"));
            }
            let file = path(&node, ("the file with the function's code", CODE_FILE), report)?;
            match std::fs::read_to_string(&file) {
                Err(error) => report.at(&node.at, cause::because("this file cannot be read", Some(&error))),
                Ok(text) if text.trim().is_empty() => {
                    report.at(&node.at, "this file is empty; write the function's code into it");
                }
                Ok(_) => {}
            }
            Some(Code::File(file))
        }
        (None, Some(given)) => Some(Code::Given(given.value)),
        (None, None) if url.is_none_or(is_loopback) => Some(Code::None),
        (None, None) => {
            let sentence = format!(
                "the code of the function is missing; write code_file = \"…\" with the file that holds it, or set {REPORT_CODE}"
            );
            report.at(&fields.at, sentence);
            None
        }
    }
}

impl Code {
    /// The code as it is now; or why it cannot be read.
    pub(crate) fn read(&self) -> std::io::Result<Option<SecretString>> {
        match self {
            Self::File(file) => {
                let text = SecretString::from(std::fs::read_to_string(file)?);
                if text.expose_secret().trim().is_empty() {
                    return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file is empty"));
                }
                Ok(Some(SecretString::from(text.expose_secret().trim())))
            }
            Self::Given(code) => Ok(Some(code.clone())),
            Self::None => Ok(None),
        }
    }
}

pub(super) fn url(fields: &Fields<'_>, example: &str, report: &mut Report<'_>) -> Option<Url> {
    let Some(node) = fields.get("url") else {
        report.at(&fields.at, format!("its url is missing; write {example}"));
        return None;
    };
    let text = node.text(example, report)?;
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let read = Url::parse(text.trim()).ok().filter(is_web);
    let read = read.ok_or_else(|| format!("this is not a URL of http or https; write {example}"));
    sourced(node, read, report).map(|url| url.value)
}

fn instance(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<ServiceId> {
    let wanted = format!("instance = \"{}\"", ServiceId::TEMPLATE);
    let Some(node) = fields.get("instance") else {
        report.at(&fields.at, format!("its instance is missing; write {wanted}"));
        return None;
    };
    let text = node.text(&wanted, report)?;
    let read = text.parse().ok();
    if read.is_none() {
        let what = what_it_is_not(text, "this is not the id of a SignalR service");
        report.at(&node.at, format!("{what}; write {wanted}"));
    }
    read
}

/// The name of a reporter, as `rekey.toml` has them.
fn name(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<String> {
    let wanted = "the reporter's name in rekey.toml, such as name = \"iis-01\"";
    let Some(node) = fields.get("name") else {
        report.at(&fields.at, format!("its name is missing; write {wanted}"));
        return None;
    };
    let text = node.text(wanted, report)?;
    let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || b"._-".contains(&sign);
    if (1..=253).contains(&text.len()) && text.bytes().all(is_sign) {
        return Some(text.to_owned());
    }
    let what = what_it_is_not(text, "this is not a name of letters, digits, '.', '_' and '-'");
    report.at(&node.at, format!("{what}; write {wanted}"));
    None
}
