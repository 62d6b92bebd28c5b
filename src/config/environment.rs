//! The environment as an argument, so that tests hand in a map.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::fault::{Origin, Report, Sourced};
use super::values::Form;

/// Names and values, as the process or a test has them. In Azure every app setting is among them, secrets too: so
/// `Debug` shows the names alone.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The configuration that the command line names.
    config: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process. A variable that is not Unicode is none of ours and left out.
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(unicode).collect()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The same with more variables, which win.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all = self.clone();
        all.variables.extend(more);
        all
    }

    /// The same with the configuration that the command line names (`--config`), which goes before `REKEY_CONFIG`.
    #[must_use]
    pub(crate) fn configured_by(&self, file: PathBuf) -> Self {
        Self { config: Some(file), ..self.clone() }
    }

    /// The configuration that the command line names.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let variables = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, config: None }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")?;
        f.debug_set().entries(self.names()).finish()
    }
}

/// Reads settings, and reports what is wrong with them.
pub(super) struct Reader<'r, 'text> {
    pub(super) environment: &'r Environment,
    pub(super) report: &'r mut Report<'text>,
}

impl Reader<'_, '_> {
    /// The value of a setting; none if it is not set, or set to what `parse` refuses.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Sourced<T>> {
        let text = self.environment.get(name)?;
        let parsed = if text.trim().is_empty() {
            Err(format!("it is set, but empty; write {example}, or remove the setting"))
        } else {
            parse(text)
        };
        match parsed {
            Ok(value) => Some(Sourced { value, origin: Origin::Setting(name) }),
            Err(sentence) => {
                self.report.setting(name, sentence);
                None
            }
        }
    }

    /// The same of a setting in one of the usual forms.
    pub(super) fn read<F: Form>(&mut self, name: &'static str, form: &F) -> Option<Sourced<F::Value>> {
        self.get(name, form.example(), |text| form.parse(text))
    }
}
