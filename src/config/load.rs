//! From `rekey.toml` and the environment to a [`Config`]: the settings lie over the service's own keys, these over
//! the file's head, that over the defaults.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::fault::{At, Report, Sourced};
use super::file::{self, File, FileInstance};
use super::policy::PolicyLayer;
use super::settings::{self, Settings};
use super::values::spoken;
use super::{Config, Environment, Faults, ServiceConfig, consumers, notify};
use crate::azure::http::is_loopback;

use crate::report::cause;
use crate::report::text::command as words;

/// `functionTimeout` of our host.json: the longest that the Consumption plan allows. When it passes, the host kills
/// the process with everything in it (docs: host.json reference).
pub const FUNCTION_TIMEOUT: Duration = Duration::from_secs(600);

/// What a timer's invocation may work, so that the step in hand can still end and be answered before the host loses
/// patience.
const LONGEST_TIMER_BUDGET: Duration = Duration::from_secs(FUNCTION_TIMEOUT.as_secs() - 30);
const TIMER_BUDGET: Duration = Duration::from_secs(FUNCTION_TIMEOUT.as_secs() - 60);

/// Event Grid waits 30 seconds (docs: Event Grid message delivery and retry). Two of them are for the way through the
/// host and for our own last answer.
const LONGEST_NOTICE_BUDGET: Duration = Duration::from_secs(28);
const NOTICE_BUDGET: Duration = Duration::from_secs(25);

/// A key that is refused is asked about several times a second apart, so anything below this would overlap with itself.
const SHORTEST_WATCH: Duration = Duration::from_secs(10);

/// The least grace period. App Service restarts an app when its settings change, which takes tens of seconds; until the new
/// process serves, the old one signs with the key that it read at its start. Below a minute no check can tell, either, whether
/// what was written is still there. Where Azure is the simulator on loopback, apps restart in a second or two.
const LEAST_GRACE: Duration = Duration::from_secs(60);

const FILE_NAME: &str = "rekey.toml";

/// The file that the command line names, for a command that is to find the same.
static GIVEN: OnceLock<String> = OnceLock::new();

/// The file that the command line names, for a command that is to find the same.
pub(crate) fn given_file() -> Option<&'static str> {
    GIVEN.get().map(String::as_str)
}

/// From now on, sentences name the file that this environment leads to. The first call counts.
pub fn name_file(environment: &Environment) {
    let name = display_name(environment, &config_path(environment));
    if environment.config().is_some() {
        let _ = GIVEN.set(name.clone());
    }
    crate::report::text::name_file(name);
}

/// Finds and reads `rekey.toml` and lays the environment over it.
///
/// The file is the one that `--config` or `REKEY_CONFIG` names, else `rekey.toml` in `FUNCTIONS_APP_ROOT_PATH` or
/// `AzureWebJobsScriptRoot`, else in the current directory.
pub fn load(environment: &Environment) -> Result<Config, Faults> {
    let path = config_path(environment);
    let name = display_name(environment, &path);
    match std::fs::read(&path).map(String::from_utf8) {
        Ok(Ok(text)) => load_from(&text, &name, environment),
        Ok(Err(_)) => Err(unreadable(environment, &path, &name, None)),
        Err(error) => Err(unreadable(environment, &path, &name, Some(&error))),
    }
}

/// The same with the text at hand; `file_name` is what faults call it.
pub fn load_from(text: &str, file_name: &str, environment: &Environment) -> Result<Config, Faults> {
    // Editors on Windows like to begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::new(file_name, text);
    let file = file::read(text, &mut report);
    let settings = settings::read(environment, &mut report);
    let config = file.and_then(|file| join(file, settings, &mut report));
    report.finish(config)
}

/// What `REKEY_CONFIG` says.
fn set(environment: &Environment) -> Option<&str> {
    environment.get("REKEY_CONFIG").filter(|path| !path.trim().is_empty())
}

/// The file that [`load`] reads.
pub(crate) fn config_path(environment: &Environment) -> PathBuf {
    if let Some(path) = environment.config().or_else(|| set(environment).map(Path::new)) {
        return path.into();
    }
    let roots = ["FUNCTIONS_APP_ROOT_PATH", "AzureWebJobsScriptRoot"];
    let candidates = roots.into_iter().filter_map(|name| environment.get(name));
    let mut paths = candidates.map(|root| Path::new(root).join(FILE_NAME));
    paths.find(|path| path.is_file()).unwrap_or_else(|| FILE_NAME.into())
}

/// The path as it was given on the command line; else its last part, for `REKEY_CONFIG` might hold anything.
fn display_name(environment: &Environment, path: &Path) -> String {
    if let Some(given) = environment.config() {
        return given.to_string_lossy().into_owned();
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.filter(|name| !name.contains(['=', ';'])).unwrap_or_else(|| "the file of REKEY_CONFIG".into())
}

/// The faults of the environment are reported all the same.
fn unreadable(environment: &Environment, path: &Path, name: &str, error: Option<&io::Error>) -> Faults {
    let mut report = Report::new(name, "");
    let is_absent = error.is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
    let not_read = match error {
        Some(error) => cause::because(&words::not_read(name), Some(error)),
        None => words::no_text(name),
    };
    let given = if environment.config().is_some() {
        Some("--config")
    } else {
        set(environment).map(|_| "REKEY_CONFIG")
    };
    match given {
        Some(setting) if is_absent => report.setting(setting, words::not_found(name)),
        Some(setting) => report.setting(setting, not_read),
        None if is_absent => report.whole(words::no_file(FILE_NAME, folder(path))),
        None => report.at(&At::default(), not_read),
    }
    settings::read(environment, &mut report);
    report.into_faults()
}

/// Where a file was looked for.
fn folder(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(std::env::current_dir, |folder| Ok(folder.to_owned()));
    folder.map_or_else(|_| ".".into(), |folder| folder.display().to_string())
}

fn join(file: File, settings: Settings, report: &mut Report<'_>) -> Option<Config> {
    let notice_budget = settings.notice_budget.or(file.notice_budget);
    let notice_budget = at_most(
        notice_budget,
        LONGEST_NOTICE_BUDGET,
        NOTICE_BUDGET,
        "Event Grid waits 30s and then sends again",
        report,
    );
    let timer_budget = at_most(
        file.timer_budget,
        LONGEST_TIMER_BUDGET,
        TIMER_BUDGET,
        "the host kills the process at 10m",
        report,
    );
    let watch = watch(settings.watch.or(file.watch), report);
    let notify = notify::join(settings.webhook.or(file.webhook), settings.signing_key, report);
    let simulated = settings.azure.as_ref().is_some_and(|azure| is_loopback(&azure.resource_manager));
    let least_grace = if simulated { Duration::ZERO } else { LEAST_GRACE };
    // A service whose id is at fault is checked like the others, and then left out.
    let instances = file.instances.into_iter().filter_map(
        |FileInstance {
             id,
             apps,
             vault_secrets,
             app_configuration,
             container_apps,
             static_web_apps,
             external,
             waves,
             policy,
         }| {
            let layers = [&settings.policy, &policy, &file.policy];
            let others =
                [vault_secrets.len(), app_configuration.len(), container_apps.len(), static_web_apps.len()];
            let places = apps.len() + others.iter().sum::<usize>();
            let numbers = waves.count(consumers(&apps, &container_apps, &static_web_apps));
            let policy = PolicyLayer::resolve(layers, id.as_ref(), least_grace, (places, numbers), report);
            let policy = waves.policy(policy);
            let id = id?;
            Some(ServiceConfig {
                id,
                apps,
                vault_secrets,
                app_configuration,
                container_apps,
                static_web_apps,
                external,
                health: waves.health,
                policy,
            })
        },
    );
    let instances: Vec<ServiceConfig> = instances.collect();
    Some(Config {
        instances,
        azure: settings.azure?,
        state: settings.state?,
        notice_budget,
        timer_budget,
        watch,
        notify,
        metrics: settings.metrics,
        schedule: settings.schedule,
        timer_disabled: settings.timer_disabled,
        own_site: settings.own_site,
    })
}

/// What the watch asks is cheap, but it is asked for every service and for ever.
fn watch(every: Option<Sourced<Duration>>, report: &mut Report<'_>) -> Option<Duration> {
    let Sourced { value, origin } = every?;
    if value < SHORTEST_WATCH {
        let [value, shortest] = [value, SHORTEST_WATCH].map(spoken);
        report.origin(&origin, format!("{value} is too short; write at least {shortest}, such as 60s"));
    }
    Some(value)
}

fn at_most(
    budget: Option<Sourced<Duration>>,
    longest: Duration,
    default: Duration,
    why: &str,
    report: &mut Report<'_>,
) -> Duration {
    let Some(Sourced { value, origin }) = budget else { return default };
    if value > longest {
        let [longest, default] = [longest, default].map(spoken);
        report.origin(
            &origin,
            format!("{} is too long: {why}; write at most {longest}, such as {default}", spoken(value)),
        );
    }
    value
}
