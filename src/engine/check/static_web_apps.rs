//! What a check shows of static web apps: of the site, and of each of its environments that are listed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{Check, Read, emptied_of, held, holds_any, lose_in_part};
use crate::azure::arm::ArmErrorKind;
use crate::azure::consumers::{Contents, Place};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, StaticWebAppId};
use rekey_core::plan::{Snapshot, Unknown};

impl Check {
    /// Adds what a static web app shows of the service.
    pub(super) fn add_static_web_app(&self, site: &StaticWebAppId, journal: &Journal, out: &mut Snapshot) {
        let consumer = ConsumerId::StaticWebApp(site.clone());
        let first = (out.consumers.len(), out.unknown.len());
        let (mut unread, mut unclear, mut held_in) = (None, Vec::new(), BTreeSet::new());
        let mut emptied = false;
        let places = [Place::Environments(site.clone())].into_iter();
        for place in places.chain(Place::of_environment(site, None)).chain(self.environments_of(site)) {
            let why = emptied_of(&place, self.read_of(&place), &consumer, journal);
            match self.places.get(&place).map(|read| &read.found) {
                Some(Ok(_)) if self.is_production_again(&place) => {}
                Some(Ok(_)) if why.is_some() => {
                    emptied = true;
                    unread = why.map(|why| (why, false));
                }
                Some(Ok(contents)) => {
                    let before = out.consumers.len();
                    unclear.extend(place.shows_settings(contents, self.marks(journal), out));
                    held_in.extend(holds_any(&out.consumers[before..]).then(|| place.dictionary()).flatten());
                }
                // An environment may go at any time; the next check has another list.
                Some(Err(error)) => {
                    let went = error.kind() == ArmErrorKind::Gone && place.is_of_an_environment();
                    let (why, passing) = (cause::told(error), went || error.is_passing());
                    if unread.as_ref().is_none_or(|(_, before)| *before && !passing) {
                        unread = Some((why, passing));
                    }
                }
                None => {
                    unread.get_or_insert_with(|| (words::NOT_READ.to_owned(), true));
                }
            }
        }
        if let Some((why, passing)) = unread {
            if emptied {
                let _ = lose_in_part(&consumer, journal, out);
            }
            return self.add_unread(&consumer, why, passing, journal, out);
        }
        let nothing = first == (out.consumers.len(), out.unknown.len());
        match (nothing, unclear.is_empty()) {
            (true, true) => out.unknown.push(Unknown::NoConsumer { app: consumer.clone() }),
            (true, false) => {
                out.unknown.push(Unknown::OnlyReferences { app: consumer.clone(), names: unclear });
            }
            (false, true) => {}
            (false, false) => out.references.push((consumer.clone(), unclear)),
        }
        let lasts = out.unknown[first.1..].iter().any(Unknown::lasts);
        if held_in.len() > 1 {
            out.dictionaries.insert(consumer.clone(), held_in);
        }
        out.seen.insert(consumer, held(out, first.0, lasts));
    }

    /// The dictionaries of the environments of a site, as far as they were listed.
    pub(super) fn environments_of(&self, site: &StaticWebAppId) -> Vec<Place> {
        let listed = self.read_of(&Place::Environments(site.clone())).map(Contents::environments);
        let environments = listed.unwrap_or_default().iter();
        environments.flat_map(|environment| Place::of_environment(site, Some(environment))).collect()
    }

    /// Whether a dictionary is that of production once more, by the name that it has as an environment.
    fn is_production_again(&self, place: &Place) -> bool {
        let Some(own) = place.of_production() else { return false };
        let [again, own] = [place, &own].map(|place| self.read_of(place).and_then(Contents::static_web_app));
        again.is_some() && again == own
    }

    /// What is written into production is in the environment of that name, if the two were one before.
    pub(super) fn writes_production(&mut self, place: &Place, contents: &Contents, at: DateTime<Utc>) {
        let Some(again) = place.as_environment().filter(|again| self.is_production_again(again)) else {
            return;
        };
        let read = Read { at, found: Ok(contents.clone()), echo: true, hasty: false };
        self.places.insert(again, read);
    }
}
