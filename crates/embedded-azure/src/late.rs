//! What was answered for and is written later (docs: Use Key Vault references, the change is applied asynchronously).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::app::Section;
use crate::clients::Party;
use crate::containers::writes::Change;
use crate::static_sites::Dictionary;

/// Settings that are going to be written.
pub(crate) struct Late {
    pub(crate) due: DateTime<Utc>,
    pub(crate) what: What,
}

/// What is written late.
pub(crate) enum What {
    App(usize, Section),
    Container(usize, Change),
    Static((usize, usize), Dictionary, BTreeMap<String, String>),
}

impl Late {
    /// Whom it concerns.
    pub(crate) const fn party(&self) -> Party {
        match &self.what {
            What::App(app, _) => Party::App(*app),
            What::Container(at, _) => Party::Container(*at),
            What::Static((site, place), ..) => Party::Environment(*site, *place),
        }
    }
}
