//! What an examination answers.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::{Serialize, Serializer};

use super::fixes;
use crate::azure::arm::ArmError;
use crate::report::cause;

use rekey_core::model::{AppId, ServiceId};

/// How bad it is, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// In order, and worth knowing.
    Note,
    /// It may go wrong, or could not be looked at.
    Warning,
    /// A rotation would fail, or somebody would be cut off.
    Error,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// `rekey.toml` and the app settings over it.
    Settings,
    /// The app settings that the platform and the Functions host go by.
    Environment,
    /// Whether a token can be had, and whose it is.
    Identity,
    /// One action at one scope.
    Permission,
    /// Whether the service is there, and at work.
    Instance,
    /// Whether the service takes access keys at all.
    LocalAuth,
    Storage,
    /// What a configured app holds.
    Consumer,
    /// A setting that is a Key Vault reference.
    KeyVault,
    /// A key-value of App Configuration, and who is given what it holds.
    AppConfiguration,
    /// An app that holds a key and is not configured.
    Unconfigured,
    /// Whether the service takes the key.
    DataPlane,
    /// How often the timer runs.
    Schedule,
    /// The configured durations.
    Durations,
    /// Windows, freezes and pauses.
    Windows,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SubjectKind {
    /// A service, by its id.
    Instance,
    /// A site or slot, by its id.
    App,
    /// A resource group, by its id.
    ResourceGroup,
    /// A subscription, by its id.
    Subscription,
    /// An app setting of the function app, by its name.
    Setting,
    /// Something else, in words.
    Other,
}

impl SubjectKind {
    fn of(subject: &str) -> Self {
        let parts: Vec<&str> = subject.trim_start_matches('/').split('/').collect();
        let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        match parts[..] {
            _ if subject.parse::<ServiceId>().is_ok() => Self::Instance,
            _ if subject.parse::<AppId>().is_ok() => Self::App,
            ["subscriptions", _, "resourceGroups", _] => Self::ResourceGroup,
            ["subscriptions", _] => Self::Subscription,
            [name] if name.chars().all(is_name) => Self::Setting,
            _ => Self::Other,
        }
    }
}

/// One thing that was found, in order or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub check: Check,
    /// What it is about: a resource id, or the name of a setting.
    pub subject: String,
    /// What kind of thing that is.
    pub subject_kind: SubjectKind,
    /// The services that it concerns, where it is about what is held of them.
    pub instances: Vec<ServiceId>,
    /// What was found.
    pub what: String,
    /// Why it matters, and what comes of it.
    pub why: Option<String>,
    /// The command, or the change in rekey.toml, that fixes it.
    #[serde(flatten, serialize_with = "under_both_names")]
    pub fix: Option<String>,
}

/// As `fix`, and for one release also under its former name.
#[allow(clippy::ref_option, reason = "serde hands it over so")]
fn under_both_names<S: Serializer>(fix: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Both<'fix> {
        fix: &'fix Option<String>,
        mend: &'fix Option<String>,
    }
    Both { fix, mend: fix }.serialize(serializer)
}

impl Finding {
    pub(super) fn ok(check: Check, subject: impl Display, what: impl Into<String>) -> Self {
        let (subject, what) = (subject.to_string(), what.into());
        let subject_kind = SubjectKind::of(&subject);
        let (severity, instances) = (Severity::Ok, vec![]);
        Self { severity, check, subject, subject_kind, instances, what, why: None, fix: None }
    }

    /// The service that it concerns.
    #[must_use]
    pub(super) fn of(self, instance: &ServiceId) -> Self {
        Self { instances: vec![instance.clone()], ..self }
    }

    /// Takes in another finding that says the same of the same thing for another service, or something of the same kind
    /// for the same service; if it is neither, it comes back.
    fn merge(&mut self, other: Self) -> Option<Self> {
        let alike = (self.severity, self.check, &self.why) == (other.severity, other.check, &other.why);
        if !alike || self.subject != other.subject {
            return Some(other);
        }
        if self.what == other.what {
            self.fix = match (self.fix.take(), other.fix) {
                (Some(one), Some(more)) if one.contains(&more) => Some(one),
                (Some(one), Some(more)) => Some(format!("{one}; {more}")),
                (one, more) => one.or(more),
            };
            let new = other.instances.into_iter().filter(|one| !self.instances.contains(one));
            self.instances.extend(new.collect::<Vec<_>>());
        } else if self.instances == other.instances && self.fix == other.fix {
            self.what = format!("{}; {}", self.what, other.what);
        } else {
            return Some(other);
        }
        None
    }

    pub(super) fn new(
        severity: Severity,
        check: Check,
        subject: impl Display,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { severity, why: Some(why.into()), ..Self::ok(check, subject, what) }
    }

    pub(super) fn note(
        check: Check,
        subject: impl Display,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Note, check, subject, what, why)
    }

    pub(super) fn warning(
        check: Check,
        subject: impl Display,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, check, subject, what, why)
    }

    pub(super) fn error(
        check: Check,
        subject: impl Display,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, check, subject, what, why)
    }

    /// Something that could not be read. Where Azure was busy nobody has to do anything but ask again.
    pub(super) fn unread(
        check: Check,
        subject: impl Display,
        error: &ArmError,
        why: &str,
        of: &ServiceId,
    ) -> Self {
        let (passes, what) = (error.is_passing(), cause::told(error));
        let busy = if passes {
            "Azure was too busy, which passes by itself, and the next run checks again; "
        } else {
            ""
        };
        let finding = Self::error(check, subject, what, format!("{busy}{why}"));
        finding.fixed_by(passes.then(|| fixes::ask_again(of)))
    }

    /// With what fixes it, if that is known.
    #[must_use]
    pub(super) fn fixed_by(self, fix: impl Into<Option<String>>) -> Self {
        Self { fix: fix.into(), ..self }
    }
}

/// Where an examination looked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// The subscriptions, by id.
    pub subscriptions: BTreeSet<String>,
    /// The resource groups in which apps were found or looked for, by id.
    pub resource_groups: BTreeSet<String>,
    /// How many apps and slots were read.
    pub apps: usize,
    /// How many could not be read.
    pub unread: usize,
    /// How many lists, of the apps of a subscription or group or of the slots of an app, could not be had.
    pub unlisted: usize,
}

/// Everything that was found, the worst first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub looked: Looked,
    /// How many errors there are.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
    /// How many notes.
    pub notes: usize,
    /// How many checks found everything in order.
    pub passed: usize,
    /// All of them.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(found: Vec<Finding>) -> Self {
        let mut findings: Vec<Finding> = Vec::new();
        for finding in found {
            let mut left = Some(finding);
            for known in &mut findings {
                left = left.and_then(|finding| known.merge(finding));
            }
            findings.extend(left);
        }
        // A permission that is missing stands before what needs it, such as `rotate`.
        findings.sort_by_key(|finding| {
            let is_first = finding.severity > Severity::Ok && finding.check == Check::Permission;
            (std::cmp::Reverse(finding.severity), !is_first)
        });
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            looked: Looked::default(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            passed: count(Severity::Ok),
            findings,
        }
    }
}

impl Display for Looked {
    /// The line at the head.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscriptions, resource_groups, apps, unread, unlisted } = self;
        if subscriptions.is_empty() {
            return f.write_str("nothing in Azure was checked");
        }
        let name = |id: &String| id.rsplit('/').next().unwrap_or_default().to_owned();
        let names = |ids: &BTreeSet<String>| listed(ids.iter().map(name));
        write!(f, "looked at {} in ", count(*apps, "app or slot"))?;
        write!(f, "{} ({}) of ", count(resource_groups.len(), "resource group"), names(resource_groups))?;
        write!(f, "{} ({})", count(subscriptions.len(), "subscription"), names(subscriptions))?;
        if *unread > 0 {
            write!(f, "; {unread} could not be read")?;
        }
        if *unlisted > 0 {
            write!(f, "; {} could not be listed", count(*unlisted, "list"))?;
        }
        Ok(())
    }
}

impl Display for Report {
    /// The line at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { errors, warnings, notes, passed, .. } = self;
        let [errors, warnings] = [count(*errors, "error"), count(*warnings, "warning")];
        let [notes, passed] = [count(*notes, "note"), count(*passed, "check")];
        write!(f, "{errors}, {warnings}, {notes}, {passed} passed")
    }
}

// Text has the words of the JSON.

impl Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A number of things, in words.
pub(super) fn count(number: usize, what: &str) -> String {
    match (number, what.split_once(" or ")) {
        (1, _) => format!("1 {what}"),
        (_, Some((one, other))) => format!("{number} {one}s or {other}s"),
        (_, None) => format!("{number} {what}s"),
    }
}

/// How many names are told of many.
const MOST_NAMES: usize = 12;

/// Names, the first of them if there are many.
pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let told = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_called_the_same_in_json_and_in_text() {
        for check in [Check::LocalAuth, Check::DataPlane, Check::KeyVault, Check::Settings] {
            assert_eq!(serde_json::to_value(check).unwrap(), check.to_string());
        }
    }

    #[test]
    fn the_worst_is_first_and_counted() {
        let error = |subject| Finding::error(Check::Settings, subject, "b", "c");
        let report = Report::new(vec![Finding::ok(Check::Settings, "a", "b"), error("a"), error("b")]);
        assert_eq!(report.findings[2].severity, Severity::Ok);
        assert_eq!(report.to_string(), "2 errors, 0 warnings, 0 notes, 1 check passed");
    }

    #[test]
    fn what_is_said_of_one_app_is_said_once() {
        let [one, two] = ["one", "two"].map(|name| ServiceId::new("s", "g", name));
        let app = AppId::new("s", "g", "shop", None);
        let unread = |id: &ServiceId| Finding::error(Check::Consumer, &app, "unread", "why").of(id);
        let fixed = |id: &ServiceId, fix: &str| unread(id).fixed_by(fix.to_owned());
        let report = Report::new(vec![fixed(&one, "a"), fixed(&two, "b"), fixed(&two, "b")]);
        let [finding] = &report.findings[..] else { panic!("{report:#?}") };
        assert_eq!(finding.instances, [one.clone(), two.clone()]);
        assert_eq!(finding.fix.as_deref(), Some("a; b"));

        let holds = |what: &str, id| Finding::ok(Check::Consumer, &app, what).of(id);
        let report = Report::new(vec![holds("A", &one), holds("B", &one), holds("C", &two)]);
        let told: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(told, ["A; B", "C"], "of each instance by itself");
    }

    #[test]
    fn a_subject_has_a_kind() {
        let group = "/subscriptions/s/resourceGroups/g";
        for (subject, kind) in [
            (ServiceId::new("s", "g", "one").to_string(), SubjectKind::Instance),
            (AppId::new("s", "g", "shop", Some("staging")).to_string(), SubjectKind::App),
            (group.to_owned(), SubjectKind::ResourceGroup),
            ("/subscriptions/s".to_owned(), SubjectKind::Subscription),
            ("ROTATION_SCHEDULE".to_owned(), SubjectKind::Setting),
            ("the identity".to_owned(), SubjectKind::Other),
        ] {
            assert_eq!(SubjectKind::of(&subject), kind, "{subject}");
        }
    }
}
