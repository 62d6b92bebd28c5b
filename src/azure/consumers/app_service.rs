//! App settings and connection strings of web apps, function apps and slots: everything that is special to Microsoft.Web.
//!
//! A place is a dictionary of an app, of which there are two ([`Section`]); its consumers are entries of it. ARM's PUT
//! replaces the whole dictionary and has no ETag (ARM swagger 2023-12-01, WebApps_UpdateApplicationSettings), so the
//! dictionary is read just before, only the keys in it are replaced, and Azure's answer is compared with what was sent. Our
//! own runs over other services do not come between: the app is locked ([`Locker`](crate::store::Locker)). What another
//! writer does between that read and the PUT, one round trip, cannot be seen by anybody; what he does after it is seen by the
//! next check, before any key is regenerated.

mod dictionary;
mod readers;
mod references;
mod shown;
mod sites;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

pub use self::dictionary::Dictionary;
pub(super) use self::dictionary::{list_dictionary, secret_parts, update_dictionary};
pub(super) use self::references::{References, Resolved, read_references};
pub use self::sites::{Authentication, ReferenceIdentity, Site, UpdateStrategy};

pub(in crate::azure) use self::readers::{by_reference, by_themselves};
pub(super) use self::shown::add;
pub(in crate::azure) use self::shown::{followed, shown};

use super::{Change, ConsumerKind, Marks, Missing, Settling, Written, with_version, written};
use crate::azure::arm::{Arm, ArmError, Operation};
use crate::config::AppConfig;
use rekey_core::model::{AppId, ConsumerId, KeyValueId, SecretReference, Section};

/// Microsoft.Web: the newest stable version whose contract this client was written against.
const API_VERSION: &str = "2023-12-01";

/// What somebody must be allowed who only looks at apps and slots.
pub(crate) const READING: [&str; 2] = dictionary::READING;

/// A dictionary of an app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub app: AppId,
    /// Which of the two.
    pub section: Section,
}

impl Place {
    /// The app settings of an app.
    pub(super) fn settings_of(app: &AppId) -> Self {
        Self { app: app.clone(), section: Section::AppSettings }
    }

    /// By which of them it is read.
    pub(crate) fn reading(&self) -> Operation {
        dictionary::list_operation(&self.app, self.section)
    }

    /// By which of them it is written.
    pub(crate) fn writing(&self) -> Operation {
        dictionary::update_operation(&self.app, self.section)
    }

    /// By which of them it is read what the platform has made of its references.
    pub(crate) fn resolving(&self) -> Operation {
        references::OPERATIONS[dictionary::index(&self.app, self.section)]
    }

    /// Those of whose entries some were named, or both.
    pub(crate) fn of(app: &AppConfig) -> Vec<Self> {
        let by_value = is_by_value(app);
        let wanted = [
            (Section::AppSettings, by_value || !app.settings.is_empty()),
            (Section::ConnectionStrings, by_value || !app.connection_strings.is_empty()),
        ];
        let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted);
        wanted.map(|(section, _)| Self { app: app.id.clone(), section }).collect()
    }

    pub(super) async fn look_for(&self, arm: &Arm, there: &BTreeSet<ConsumerId>) -> Missing {
        sites::look_for(arm, &self.app, there).await
    }

    pub(super) fn restarts(&self, site: &str) -> bool {
        site.eq_ignore_ascii_case(self.app.site())
    }
}

/// Whether all settings of an app are looked at, by their values: none was named.
fn is_by_value(app: &AppConfig) -> bool {
    app.settings.is_empty() && app.connection_strings.is_empty()
}

impl ConsumerKind for Place {
    type Contents = Dictionary;

    fn operations() -> Vec<Operation> {
        dictionary::operations().chain(references::OPERATIONS).chain(sites::OPERATIONS).collect()
    }

    fn consumer(&self) -> ConsumerId {
        (&self.app).into()
    }

    async fn read(&self, arm: &Arm) -> Result<Dictionary, ArmError> {
        arm.list_settings(&self.app, self.section).await
    }

    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&Dictionary>,
        change: &Change<'_>,
    ) -> Result<Written<Dictionary>, ArmError> {
        let before = self.just_before(arm, just_read).await?;
        let mut wanted = change.rewrite(&before, change.names.iter().copied());
        self.refresh(&mut wanted, change, arm);
        if wanted == before {
            return Ok(Written::Already(before));
        }
        let after = arm.update_settings(&self.app, self.section, &wanted).await?;
        Ok(written(after, &wanted, change.names.iter().copied().chain([REFRESHED])))
    }

    fn holds_anothers(&self, contents: &Dictionary, marks: Marks<'_>) -> bool {
        contents.exposed().filter_map(|(_, value)| value).any(|value| marks.is_anothers(value))
    }

    /// Two seconds are what a list and a write take together, so that whoever had read the old dictionary has written it by
    /// then. The platform restarts the app at a write.
    fn settling(&self) -> Settling {
        Settling::ByItself {
            read_back_after: TimeDelta::seconds(2),
            at_most: UpdateStrategy::Recreate.settles_within(),
        }
    }
}

/// The setting that tells with which version of a secret or key-value each of the settings that refer to one was last fetched.
/// The platform fetches all of them anew, and restarts the app, when any of its configuration changes; a restart alone fetches
/// nothing (docs: Use Key Vault references, Rotation; Use App Configuration references). So this one is written where nothing
/// else would change, into the dictionary of the reference, and shows afterwards what the app was started with.
pub(crate) const REFRESHED: &str = "REKEY_REFRESHED";

impl Place {
    /// Makes an app fetch the versions of secrets that hold the key, where settings refer to them: those that name a version
    /// are made to name the new one.
    fn refresh(&self, settings: &mut Dictionary, change: &Change<'_>, arm: &Arm) {
        let names = || change.names.iter().filter_map(|name| Some((*name, change.versions.get(*name)?)));
        let mut refreshed = Refreshed::read(settings);
        for (name, (secret, version)) in names() {
            let Some(value) = settings.expose(name).map(ToOwned::to_owned) else {
                // It reads a key-value by itself, and starts anew with whatever setting changes.
                if name.parse::<KeyValueId>().is_ok() {
                    refreshed.set(name, version, arm.now().timestamp());
                }
                continue;
            };
            if KeyValueId::of_reference(&value).is_some() {
                refreshed.set(name, version, arm.now().timestamp());
                continue;
            }
            let reference = SecretReference::read(&value, arm.vault_suffix());
            // Since the check it may have been made to name another, of which nothing is known here.
            let reference = reference.filter(|reference| Some(&reference.secret) == secret.as_ref());
            match reference.map(|reference| reference.version) {
                Some(Some(old)) if old != *version => {
                    settings.set_value(name, &with_version(&value, &old, version));
                }
                Some(None) => refreshed.set(name, version, arm.now().timestamp()),
                Some(Some(_)) | None => {}
            }
        }
        refreshed.write(self.section, settings);
    }
}

/// Whether a name means the same: that of a setting has no case, the URL of a key-value has.
fn is_same(one: &str, other: &str) -> bool {
    one == other || (one.eq_ignore_ascii_case(other) && !one.contains("://"))
}

/// What [`REFRESHED`] says: `NAME=VERSION@SECONDS`, one after another with a semicolon between them.
#[derive(Debug, Default)]
struct Refreshed {
    was: String,
    entries: Vec<(String, String, i64)>,
}

/// How long the platform may take to fetch a secret. After that it is made to try again.
pub(crate) const FETCHED_WITHIN: TimeDelta = TimeDelta::minutes(10);

impl Refreshed {
    fn read(settings: &Dictionary) -> Self {
        let was = settings.expose(REFRESHED).unwrap_or_default().to_owned();
        let entry = |entry: &str| {
            let (name, rest) = entry.trim().rsplit_once('=')?;
            let (version, at) = rest.split_once('@')?;
            Some((name.to_owned(), version.to_owned(), at.parse().ok()?))
        };
        Self { entries: was.split(';').filter_map(entry).collect(), was }
    }

    /// The version that a setting was made to fetch, and when.
    fn of(&self, name: &str) -> Option<(String, DateTime<Utc>)> {
        let of_name = |(known, ..): &&(String, String, i64)| is_same(known, name);
        let (_, version, at) = self.entries.iter().find(of_name)?;
        Some((version.clone(), DateTime::from_timestamp(*at, 0)?))
    }

    /// Notes a version, unless it was noted lately: the platform is about to fetch it.
    fn set(&mut self, name: &str, version: &str, now: i64) {
        let is_new = |(known, of, at): &(String, String, i64)| {
            is_same(known, name) && of == version && now - at < FETCHED_WITHIN.num_seconds()
        };
        if !self.entries.iter().any(is_new) {
            self.entries.retain(|(known, ..)| !is_same(known, name));
            self.entries.push((name.to_owned(), version.to_owned(), now));
        }
    }

    fn write(&self, section: Section, settings: &mut Dictionary) {
        // Of settings that are gone nothing need be told.
        let is_setting = |name: &str| settings.names().any(|known| known.eq_ignore_ascii_case(name));
        let there = |name: &str| is_setting(name) || name.parse::<KeyValueId>().is_ok();
        let entries = self.entries.iter().filter(|(name, ..)| there(name));
        let entries: Vec<_> = entries.map(|(name, version, at)| format!("{name}={version}@{at}")).collect();
        let text = entries.join(";");
        if !entries.is_empty() && text != self.was {
            settings.put(section, REFRESHED, &text);
        }
    }
}
