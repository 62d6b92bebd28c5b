//! What is written some time after it was answered for.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use crate::app::Section;
use crate::clock::delta;
use crate::containers::writes::Change;
use crate::late::{Late, What};
use crate::state::State;
use crate::static_sites::Dictionary;

impl State {
    /// Replaces a section of an app's settings when so much time has passed.
    pub(crate) fn replace_later(&mut self, app: usize, section: Section, after: Duration) {
        self.late.push(Late { due: self.now + delta(after), what: What::App(app, section) });
    }

    /// Changes a container app or job when so much time has passed.
    pub(crate) fn change_later(&mut self, at: usize, change: Change, after: TimeDelta) {
        self.late.push(Late { due: self.now + after, what: What::Container(at, change) });
    }

    /// Replaces a dictionary of a static web app when so much time has passed.
    pub(crate) fn replace_static_later(
        &mut self,
        place: (usize, usize),
        dictionary: Dictionary,
        settings: BTreeMap<String, String>,
        after: Duration,
    ) {
        let what = What::Static(place, dictionary, settings);
        self.late.push(Late { due: self.now + delta(after), what });
    }

    /// Writes what is due.
    pub(crate) fn write_late(&mut self) {
        let now = self.now;
        let late = std::mem::take(&mut self.late).into_iter();
        let (due, later): (Vec<Late>, Vec<Late>) = late.partition(|late| late.due <= now);
        self.late = later;
        for late in due {
            match late.what {
                What::App(app, section) => self.replace(app, section),
                What::Container(at, change) => self.apply(at, change),
                What::Static(place, dictionary, settings) => self.replace_static(place, dictionary, settings),
            }
        }
    }
}
