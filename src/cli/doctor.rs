//! `doctor`: what would keep a rotation from going well, and what fixes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::load;
use crate::clock::SystemClock;
use crate::compose::{compose, silent};
use crate::config::Environment;
use crate::doctor::{self, Circumstances, Finding, Report, Severity};
use crate::report::cause::CAUSED_BY;
use crate::report::text::brief::without_particulars;
use crate::report::text::command as text;
use crate::terminal::{self, Exit};
use rekey_core::model::{AppId, ServiceId};

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 no errors, 1 errors (with --strict warnings too), 2 wrong configuration."
)]
pub(super) struct DoctorArgs {
    /// Run inside the function app: look at the platform's settings too, and ask Azure as the app's identity
    #[arg(long)]
    as_deployed: bool,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Show what is in order too
    #[arg(long)]
    all: bool,
    /// Answer in JSON, with what is in order
    #[arg(long)]
    json: bool,
}

pub(super) async fn doctor(args: DoctorArgs, environment: &Environment) -> Exit {
    let config = match load(environment) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let circumstances = Circumstances { environment: environment.clone(), as_deployed: args.as_deployed };
    let report = match compose(config.clone(), environment, Arc::new(SystemClock), silent()) {
        Ok(rekey) => doctor::examine(&rekey, &circumstances).await,
        Err(error) => doctor::without_azure(&config, &circumstances, &SystemClock, &error),
    };
    if args.json {
        terminal::json(&report);
    } else {
        print(&report, args.all);
    }
    let failed = report.errors > 0 || (args.strict && report.warnings > 0);
    if failed { Exit::Failed } else { Exit::Done }
}

fn print(report: &Report, all: bool) {
    terminal::say(&report.looked.to_string());
    let shown = report.findings.iter().filter(|finding| all || finding.severity > Severity::Ok);
    let mut told = BTreeMap::new();
    shown.flat_map(|finding| lines(finding, &mut told)).for_each(|line| terminal::say(&line));
    let hint = if all || report.passed == 0 { "" } else { text::DOCTOR_ALL };
    terminal::say(&format!("{report}{hint}"));
}

/// One line for what is in order, and a paragraph for what is not. A cause that was `told` of another subject is not told again.
fn lines(finding: &Finding, told: &mut BTreeMap<String, String>) -> Vec<String> {
    let Finding { severity, check, subject, what, why, fix, .. } = finding;
    if *severity == Severity::Ok {
        return vec![format!("{severity:<8}{check:<13} {}: {what}", short(subject))];
    }
    let first = cause_of(finding).map(|cause| told.entry(cause).or_insert_with(|| short(subject)).clone());
    let what = match first.filter(|first| *first != short(subject)).zip(what.split_once(": ")) {
        Some((first, (what, _))) => &text::same_cause(what, &first),
        None => what,
    };
    let head = format!("{severity:<8}{check:<13} {subject}: {what}");
    let part = |name: &str, text: &Option<String>| Some(format!("        {name} {}", text.as_ref()?));
    [Some(head), part("why:", why), part("fix:", fix)].into_iter().flatten().collect()
}

/// What Azure answered, or why it could not be asked, without what is of this subject and request alone.
fn cause_of(Finding { subject, what, .. }: &Finding) -> Option<String> {
    let (_, cause) = what.split_once(": ")?;
    let is_told = cause.contains("(x-ms-correlation-request-id") || cause.contains(CAUSED_BY);
    let is_of_it = |word: &&str| word.to_lowercase().contains(&subject.to_lowercase());
    let words = || cause.split(' ').filter(|word| !is_of_it(word)).collect::<Vec<_>>().join(" ");
    is_told.then(|| without_particulars(&words()))
}

/// The name alone of a resource.
fn short(subject: &str) -> String {
    let instance = subject.parse::<ServiceId>().map(|id| id.name().to_owned());
    instance.or_else(|_| subject.parse::<AppId>().map(|id| id.name())).unwrap_or_else(|_| subject.to_owned())
}
