//! `agent.toml`: what the agent of one machine does for the app that runs there.
//!
//! Start at [`load_agent`]. It is read like `rekey.toml`: every fault at once, by line, and none with what was written.

mod reporting;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use toml::de::DeTable;
use url::Url;

use self::reporting::{reporting, url};
use super::fault::{At, Report, Sourced};
use super::places::{no_secret, strange_vault, what_it_is_not};
use super::settings;
use super::values::{Fields, Form, Lasting, Node, OneOf, OrZero};
use super::{AzureConfig, Environment, Faults};
use crate::report::cause;
use crate::report::text::command as words;
use rekey_core::model::{SecretId, ServiceId};

/// What the agent does on its machine.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The secret that holds the connection string, and that signalr-rekey keeps in order.
    pub secret: SecretId,
    /// The files in which the app's key stands.
    pub files: Vec<PathBuf>,
    /// How the app comes to use what a file says.
    pub taking_effect: TakingEffect,
    /// What tells that the app works.
    pub health: Option<Health>,
    /// Who is told which key it works with.
    pub reporting: Option<Reporting>,
    /// How often the secret is looked at.
    pub every: Duration,
    /// Whether the service is asked if it accepts a key.
    pub verify: bool,
    /// Where the agent keeps the fingerprints of keys that it placed.
    pub state: PathBuf,
    pub identity: AgentIdentity,
    pub azure: AzureConfig,
}

/// How the app comes to use what a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakingEffect {
    /// A command makes it read the file anew: the program and its arguments, which may take so long.
    Reload { command: Vec<String>, within: Duration },
    /// It reads the file anew by itself within this time.
    ByItself { within: Duration },
}

/// A URL that answers with success when the app works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub url: Url,
    /// How long the app may take after a reload.
    pub within: Duration,
}

/// To whom it is reported which key the app works with.
#[derive(Clone, Debug)]
pub struct Reporting {
    pub url: Url,
    /// The service.
    pub instance: ServiceId,
    /// The name of this reporter there.
    pub name: String,
    pub code: Code,
}

/// The code of the function that takes reports.
#[derive(Clone)]
pub enum Code {
    /// It stands in a file, and may change there.
    File(PathBuf),
    /// It stands in the environment.
    Given(SecretString),
    /// It takes none, as where a machine plays it.
    None,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Given(_) => f.write_str("Given"),
            Self::None => f.write_str("None"),
        }
    }
}

/// As whom a machine reads the secret where its environment names neither a client secret nor a workload identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentIdentity {
    /// Its managed identity.
    Managed,
    /// Whoever is logged in there (`az login`), for trying it out.
    Developer,
}

/// Where a machine's file is found if the command line names none.
pub const AGENT_FILE: &str = "agent.toml";

/// What the state is, where nothing else is said.
#[cfg(not(windows))]
const STATE: &str = "/var/lib/signalr-rekey/agent.json";
#[cfg(windows)]
const STATE: &str = r"C:\ProgramData\signalr-rekey\agent.json";

/// What the path of one of an app's files may be.
#[cfg(not(windows))]
const A_FILE: &str = "/srv/chat/.env";
#[cfg(windows)]
const A_FILE: &str = r"C:\inetpub\chat\appsettings.json";

/// The secret of a vault is read this often: a vault takes 4000 reads in ten seconds, so that this is a matter of its bill.
const EVERY: Duration = Duration::from_secs(60);

/// A service manager starts most apps anew within it.
const RELOAD: Duration = Duration::from_secs(60);

/// An app that was restarted may have to connect to all that it needs.
const HEALTHY: Duration = Duration::from_secs(60);

const KNOWN: [&str; 10] = [
    "secret",
    "files",
    "reload",
    "reads_file_within",
    "health",
    "report",
    "every",
    "verify",
    "state",
    "identity",
];

/// Reads the file that the command line names, or `agent.toml` here, and what the environment says.
pub fn load_agent(environment: &Environment) -> Result<AgentConfig, Faults> {
    let path = environment.config().map_or_else(|| AGENT_FILE.into(), Path::to_owned);
    let name = path.to_string_lossy().into_owned();
    match std::fs::read(&path).map(String::from_utf8) {
        Ok(Ok(text)) => load_agent_from(&text, &name, environment),
        Ok(Err(_)) => Err(unread(&words::no_text(&name))),
        Err(error) => Err(unread(&cause::because(&words::not_read(&name), Some(&error)))),
    }
}

fn unread(why: &str) -> Faults {
    let mut report = Report::new(AGENT_FILE, "");
    report.whole(why);
    report.into_faults()
}

/// The same with the text at hand; `file_name` is what faults call it.
pub fn load_agent_from(
    text: &str,
    file_name: &str,
    environment: &Environment,
) -> Result<AgentConfig, Faults> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::new(file_name, text);
    let azure = settings::read_azure(environment, &mut report);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        report.at(&At { offset, path: String::new() }, format!("this is not TOML: {}", error.message()));
    }
    let top = Fields::root(&document);
    let config = if errors.is_empty() { read(&top, environment, azure, &mut report) } else { None };
    report.finish(config)
}

/// What the whole file says; none if a part of it is at fault, which is in the report then.
fn read(
    top: &Fields<'_>,
    environment: &Environment,
    azure: Option<AzureConfig>,
    report: &mut Report<'_>,
) -> Option<AgentConfig> {
    const IN_REPORT: &str = "in [report]";
    const IN_RELOAD: &str = "in [reload]";
    top.refuse_unknown(
        &KNOWN,
        &[(&["url", "instance", "name", "code_file"], IN_REPORT), (&["command", "within"], IN_RELOAD)],
        report,
    );
    let secret = secret(top, report);
    let files = files(top, report);
    let taking_effect = taking_effect(top, report);
    let health = health(top, report);
    let reporting = reporting(top, environment, report);
    let every = Lasting("1m").of_file(top, "every", report).map_or(EVERY, |every| every.value);
    let verify = OneOf(&[("data-plane", true), ("none", false)]).of_file(top, "verify", report);
    let state = match top.get("state") {
        Some(node) => path(&node, ("the file in which the agent remembers what it placed", STATE), report),
        None => Some(STATE.into()),
    };
    let identity = OneOf(&[("managed", AgentIdentity::Managed), ("developer", AgentIdentity::Developer)])
        .of_file(top, "identity", report);
    Some(AgentConfig {
        secret: secret?,
        files: files?,
        taking_effect: taking_effect?,
        health: health?,
        reporting: reporting?,
        every,
        verify: verify.is_none_or(|verify| verify.value),
        state: state?,
        identity: identity.map_or(AgentIdentity::Managed, |identity| identity.value),
        azure: azure?,
    })
}

fn secret(top: &Fields<'_>, report: &mut Report<'_>) -> Option<SecretId> {
    let wanted = format!("secret = \"{}\"", SecretId::TEMPLATE);
    let Some(node) = top.get("secret") else {
        report.at(&top.at, format!("the secret is missing; write {wanted}"));
        return None;
    };
    let text = node.text(&wanted, report)?;
    let read = text.parse::<SecretId>().ok();
    let fault = read.as_ref().map_or(Some(no_secret(text)), strange_vault);
    if let Some(fault) = fault {
        report.at(&node.at, format!("{fault}; write {wanted}"));
    }
    read
}

fn files(top: &Fields<'_>, report: &mut Report<'_>) -> Option<Vec<PathBuf>> {
    let wanted = "files = [ \"…\" ]: each file in which the app's key stands";
    let Some(node) = top.get("files") else {
        report.at(&top.at, format!("no file is named; write {wanted}"));
        return None;
    };
    let items = node.items(wanted, report)?;
    if items.is_empty() {
        report.at(&node.at, format!("no file is named; write {wanted}"));
        return None;
    }
    let mut files = Vec::new();
    let mut is_whole = true;
    for item in items {
        match path(&item, ("a file in which the app's key stands", A_FILE), report) {
            Some(file) if files.contains(&file) => report.at(&item.at, "this file is twice in this list"),
            Some(file) => files.push(file),
            None => is_whole = false,
        }
    }
    is_whole.then_some(files)
}

/// A path from the root: a service is started in a folder that nobody thinks of. What it is of, with one that would do.
fn path(node: &Node<'_>, (what, like): (&str, &str), report: &mut Report<'_>) -> Option<PathBuf> {
    let text = node.text(&format!("the path of {what}"), report)?;
    let path = PathBuf::from(text);
    if path.is_absolute() && path.file_name().is_some() {
        return Some(path);
    }
    let what = what_it_is_not(text, "this is not a whole path, from the root or the drive on");
    report.at(&node.at, format!("{what}; write one such as {like}, on Windows between single quotes"));
    None
}

fn taking_effect(top: &Fields<'_>, report: &mut Report<'_>) -> Option<TakingEffect> {
    let by_itself = OrZero(Lasting("1m")).of_file(top, "reads_file_within", report);
    match (top.get("reload"), by_itself) {
        (Some(node), by_itself) => {
            if let Some(Sourced { origin, .. }) = by_itself {
                let sentence =
                    "with a [reload] command the app does not read its file by itself; write one of the two";
                report.origin(&origin, sentence);
            }
            reload(&node, report)
        }
        (None, Some(within)) => Some(TakingEffect::ByItself { within: within.value }),
        (None, None) => {
            if top.get("reads_file_within").is_none() {
                report.at(
                    &top.at,
                    "nothing says how the app comes to use the new key; write [reload] with its command = [ \"…\" ], or \
                     reads_file_within = \"…\" where the app reads its file anew by itself",
                );
            }
            None
        }
    }
}

fn reload(node: &Node<'_>, report: &mut Report<'_>) -> Option<TakingEffect> {
    let wanted = "[reload] with its command = [ \"systemctl\", \"restart\", \"…\" ]";
    let Some(fields) = node.fields() else {
        node.refuse(wanted, report);
        return None;
    };
    fields.refuse_unknown(&["command", "within"], &[], report);
    let within = Lasting("1m").of_file(&fields, "within", report).map_or(RELOAD, |within| within.value);
    let Some(node) = fields.get("command") else {
        report.at(&fields.at, format!("its command is missing; write {wanted}"));
        return None;
    };
    let items = node.items("a list of the program and its arguments; no shell reads it", report)?;
    let count = items.len();
    let command: Vec<String> = items
        .iter()
        .filter_map(|item| item.text("a part of the command, in quotes", report).map(Into::into))
        .collect();
    if command.first().is_none_or(|program: &String| program.trim().is_empty()) {
        report.at(&node.at, format!("the command is empty; write {wanted}"));
        return None;
    }
    (command.len() == count).then_some(TakingEffect::Reload { command, within })
}

/// The URL that tells whether the app works, if there is one: within, none.
#[allow(clippy::option_option, reason = "a fault is none, and that there is none is in order")]
fn health(top: &Fields<'_>, report: &mut Report<'_>) -> Option<Option<Health>> {
    let Some(node) = top.get("health") else { return Some(None) };
    let Some(fields) = node.fields() else {
        node.refuse("[health] with its url = \"http://127.0.0.1:…\"", report);
        return None;
    };
    fields.refuse_unknown(&["url", "within"], &[], report);
    let within = Lasting("1m").of_file(&fields, "within", report).map_or(HEALTHY, |within| within.value);
    let url = url(&fields, "url = \"http://127.0.0.1:…\"", report)?;
    Some(Some(Health { url, within }))
}
