//! What an examination answers.

use std::fmt::{self, Display};

use serde::Serialize;

/// How bad it is, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// In order.
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
    /// Whether the instance is there, and at work.
    Instance,
    /// Whether the instance takes access keys at all.
    LocalAuth,
    /// The journal.
    Storage,
    /// What a configured app holds.
    Consumer,
    /// A setting that is a Key Vault reference.
    KeyVault,
    /// An app that holds a key and is not configured.
    Unconfigured,
    /// Whether the service takes the key.
    DataPlane,
    /// How often the timer runs.
    Schedule,
    /// The configured durations.
    Durations,
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
    /// What was found.
    pub what: String,
    /// Why it matters, and what comes of it.
    pub why: Option<String>,
    /// The command, or the change in rekey.toml, that mends it.
    pub mend: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: Check, subject: impl Display, what: impl Into<String>) -> Self {
        let (subject, what) = (subject.to_string(), what.into());
        Self { severity: Severity::Ok, check, subject, what, why: None, mend: None }
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

    /// With what mends it, if that is known.
    #[must_use]
    pub(super) fn mended_by(self, mend: impl Into<Option<String>>) -> Self {
        Self { mend: mend.into(), ..self }
    }
}

/// Everything that was found, the worst last: there people look first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
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
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.severity);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            passed: count(Severity::Ok),
            findings,
        }
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

impl Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settings => "settings",
            Self::Environment => "environment",
            Self::Identity => "identity",
            Self::Permission => "permission",
            Self::Instance => "instance",
            Self::LocalAuth => "local-auth",
            Self::Storage => "storage",
            Self::Consumer => "consumer",
            Self::KeyVault => "key-vault",
            Self::Unconfigured => "unconfigured",
            Self::DataPlane => "data-plane",
            Self::Schedule => "schedule",
            Self::Durations => "durations",
        })
    }
}

/// A number of things, in words.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
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
    fn the_worst_is_last_and_counted() {
        let error = Finding::error(Check::Settings, "a", "b", "c");
        let report = Report::new(vec![error.clone(), Finding::ok(Check::Settings, "a", "b"), error]);
        assert_eq!(report.findings[0].severity, Severity::Ok);
        assert_eq!(report.to_string(), "2 errors, 0 warnings, 0 notes, 1 check passed");
    }
}
