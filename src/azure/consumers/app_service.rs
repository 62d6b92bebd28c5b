//! App settings and connection strings of web apps, function apps and slots: everything that is special to Microsoft.Web.
//!
//! A place is a dictionary of an app, of which there are two ([`Section`]); its consumers are entries of it. ARM's PUT
//! replaces the whole dictionary and has no ETag (ARM swagger 2023-12-01, WebApps_UpdateApplicationSettings), so the
//! dictionary is read just before, only the keys in it are replaced, and Azure's answer is compared with what was sent. Our
//! own runs over other services do not come between: the app is locked ([`Locker`](crate::store::Locker)). What another
//! writer does between that read and the PUT, one round trip, cannot be seen by anybody; what he does after it is seen by the
//! next check, before any key is regenerated.

mod dictionary;
mod shown;
mod sites;

use std::collections::BTreeSet;

use chrono::TimeDelta;

pub use self::dictionary::Dictionary;
pub use self::sites::{Site, UpdateStrategy};

use super::{Change, ConsumerKind, Marks, Missing, Settling, Written};
use crate::azure::arm::{Arm, ArmError, Operation};
use crate::config::AppConfig;
use rekey_core::model::{AppId, ConsumerId, Section};
use rekey_core::plan::{ConsumerRef, Snapshot};

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
    /// The consumer that it belongs to.
    pub fn consumer(&self) -> ConsumerId {
        (&self.app).into()
    }
}

impl From<&ConsumerRef> for Place {
    /// The place in which a consumer is.
    fn from(consumer: &ConsumerRef) -> Self {
        let ConsumerRef { app: ConsumerId::AppService(app), section, .. } = consumer;
        Self { app: app.clone(), section: *section }
    }
}

impl ConsumerKind for Place {
    type Contents = Dictionary;

    fn operations() -> Vec<Operation> {
        dictionary::operations().chain(sites::OPERATIONS).collect()
    }

    fn reading(&self) -> Operation {
        dictionary::list_operation(&self.app, self.section)
    }

    fn writing(&self) -> Operation {
        dictionary::update_operation(&self.app, self.section)
    }

    /// Those of whose entries some were named, or both.
    fn of(app: &AppConfig) -> Vec<Self> {
        let by_value = shown::is_by_value(app);
        let wanted = [
            (Section::AppSettings, by_value || !app.settings.is_empty()),
            (Section::ConnectionStrings, by_value || !app.connection_strings.is_empty()),
        ];
        let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted);
        wanted.map(|(section, _)| Self { app: app.id.clone(), section }).collect()
    }

    async fn read(&self, arm: &Arm) -> Result<Dictionary, ArmError> {
        arm.list_settings(&self.app, self.section).await
    }

    fn shows(
        &self,
        contents: &Dictionary,
        app: &AppConfig,
        marks: Marks<'_>,
        out: &mut Snapshot,
    ) -> Vec<String> {
        shown::shown(self, contents, app, marks, out)
    }

    async fn look_for(&self, arm: &Arm, there: &BTreeSet<ConsumerId>) -> Missing {
        sites::look_for(arm, &self.app, there).await
    }

    async fn write(
        &self,
        arm: &Arm,
        just_read: Option<&Dictionary>,
        change: &Change<'_>,
    ) -> Result<Written<Dictionary>, ArmError> {
        let before = match just_read {
            Some(settings) => settings.clone(),
            None => self.read(arm).await?,
        };
        let mut wanted = before.clone();
        for name in change.names {
            replace_key(&mut wanted, name, change);
        }
        if wanted == before {
            return Ok(Written::Already(before));
        }
        let after = arm.update_settings(&self.app, self.section, &wanted).await?;
        let took = change.names.iter().all(|name| after.expose(name) == wanted.expose(name));
        Ok(if took { Written::Accepted(after) } else { Written::Overwritten })
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

    fn restarts(&self, site: &str) -> bool {
        site.eq_ignore_ascii_case(self.app.site())
    }
}

/// Replaces the keys in a consumer's value. What is there no longer, or is something else by now, is left alone: the next
/// check says what became of it.
fn replace_key(settings: &mut Dictionary, name: &str, change: &Change<'_>) {
    let Change { marks, key, only_stale, .. } = change;
    let written = settings.expose(name).and_then(|value| marks.with_key(value, key, *only_stale));
    if let Some(text) = written {
        settings.set_value(name, &text);
    }
}
