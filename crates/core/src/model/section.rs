//! The two places in which App Service keeps an app's settings.

use std::fmt;

/// A settings dictionary of an app; each is read and replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// `config/appsettings`
    AppSettings,
    /// `config/connectionstrings`
    ConnectionStrings,
}

impl Section {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AppSettings, Self::ConnectionStrings];

    /// What an entry of it is called.
    #[must_use]
    pub const fn entry(self) -> &'static str {
        match self {
            Self::AppSettings => "app setting",
            Self::ConnectionStrings => "connection string",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppSettings => "app settings",
            Self::ConnectionStrings => "connection strings",
        })
    }
}
