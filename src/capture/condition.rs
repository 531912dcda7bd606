//! What of the capture works: the account behind `/healthz`.
//!
//! A part that fails goes on failing until something of its own has succeeded. Pure.

use std::collections::BTreeMap;

use crate::telemetry::health::Part;
use crate::text::Excerpt;

/// What fails now, with the reason.
#[derive(Debug, Default)]
pub struct Condition {
    failing: BTreeMap<Part, Excerpt>,
    changes: Vec<(Part, Option<Excerpt>)>,
}

impl Condition {
    /// `part` does not work, because of `why`.
    pub fn failing(&mut self, part: Part, why: &str) {
        let why = Excerpt::line(why);
        if self.failing.get(&part) != Some(&why) {
            self.changes.push((part, Some(why.clone())));
            self.failing.insert(part, why);
        }
    }

    /// `part` works.
    pub fn working(&mut self, part: Part) {
        if self.failing.remove(&part).is_some() {
            self.changes.push((part, None));
        }
    }

    /// Whether `part` works.
    pub fn is_working(&self, part: Part) -> bool {
        !self.failing.contains_key(&part)
    }

    /// Why a part fails, if it does.
    pub fn why(&self, part: Part) -> Option<&Excerpt> {
        self.failing.get(&part)
    }

    /// What changed since this was asked last, in order.
    pub fn take_changes(&mut self) -> Vec<(Part, Option<Excerpt>)> {
        std::mem::take(&mut self.changes)
    }
}
