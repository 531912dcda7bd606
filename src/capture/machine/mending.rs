//! A run that only repairs: it is told what is missing, and is over when all of that is stored or stays missing.

use std::time::Instant;

use super::Capture;
use super::ending::CaptureFailure;
use crate::capture::history::{Refusal, RefusalKind};
use crate::capture::sequencer::Hole;

/// So many failures in a row end it; a capture goes on for ever.
pub(super) const FAILURES_MAX: u32 = 6;

/// What such a run remembers.
#[derive(Debug, Default)]
pub(super) struct Mending {
    /// Answers of the exchange in a row that were none.
    failures: u32,
}

impl Capture {
    /// Takes on what is to be repaired.
    pub(super) fn begin_mending(&mut self, holes: Vec<Hole>, now: Instant) {
        for hole in holes {
            let (ended, _) = self.history.add(hole, now);
            self.note_ended(ended);
        }
    }

    /// Whether this run only repairs.
    pub(super) fn only_repairs(&self) -> bool {
        self.mending.is_some()
    }

    /// Whether all that was to be repaired is stored, or stays missing.
    pub(super) fn is_mended(&self) -> bool {
        self.only_repairs() && self.history.is_idle() && self.backlog.weight().trades == 0
    }

    /// The exchange has given a page.
    pub(super) fn note_page(&mut self) {
        if let Some(mending) = &mut self.mending {
            mending.failures = 0;
        }
    }

    /// The exchange has refused: whoever waits for a repair is told, at last.
    pub(super) fn note_refusal(&mut self, refusal: &Refusal) {
        let Some(mending) = &mut self.mending else { return };
        mending.failures += 1;
        if refusal.kind == RefusalKind::NotFromHere || mending.failures >= FAILURES_MAX {
            self.fail(CaptureFailure::Unusable(format!("cannot repair: {}", refusal.why)));
        }
    }

    /// The store has not taken a batch, `tries` times.
    pub(super) fn note_failed_write(&mut self, why: &str, held: bool, tries: u32) {
        if self.only_repairs() && (held || tries >= FAILURES_MAX) {
            self.fail(CaptureFailure::Unusable(format!("cannot repair: {why}")));
        }
    }
}
