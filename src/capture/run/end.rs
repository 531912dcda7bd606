//! The end of a run: nothing is read any more, what was read is stored or kept, and what is left is said.

use std::time::{Duration, Instant};

use super::Capture;
use crate::capture::sequencer::GRACE;
use crate::capture::settings::CaptureError;
use crate::capture::summary::Summary;
use crate::telemetry::Event;

/// How long the end waits for the store to take what was read.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long it waits for a store that refuses, if the outbox keeps everything.
const DRAIN_FAILING_MAX: Duration = Duration::from_secs(5);

impl Capture {
    /// Trades that the store has not acknowledged.
    pub(super) fn left(&self) -> u64 {
        self.intake.batcher.held() as u64 + self.delivery.trades()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping_since.is_some()
    }

    /// Closes the connections; what they have read is still stored.
    pub(super) fn stop(&mut self, now: Instant) {
        self.stopping_since = Some(now);
        self.streams.close();
        self.delivery.end();
    }

    /// When to look again whether the run is over, once it is stopping.
    pub(super) fn drain_end(&self, now: Instant) -> Option<Instant> {
        let since = self.stopping_since?;
        let failing_end = since + DRAIN_FAILING_MAX;
        Some(if now < failing_end { failing_end } else { since + DRAIN_MAX })
    }

    pub(super) fn is_finished(&self, now: Instant) -> bool {
        let Some(since) = self.stopping_since else { return false };
        let waited = now.duration_since(since);
        let is_kept = self.drained && self.intake.batcher.is_idle() && self.delivery.is_settled();
        let is_refused = self.writing_fails && waited >= DRAIN_FAILING_MAX;
        is_kept && (self.delivery.trades() == 0 || is_refused) || waited >= DRAIN_MAX
    }

    pub(super) fn finish(mut self) -> Result<Summary, CaptureError> {
        let left = self.left();
        for (symbol, range, _) in self.delivery.ids_left().ranges() {
            self.tally.note(&Event::LeftInOutbox(symbol, range));
        }
        for hole in self.intake.sequencer.due_holes(Instant::now() + GRACE) {
            self.tally.note(&Event::HoleFound(&hole.symbol, hole.range));
        }
        let failed = |source| CaptureError::Record { path: self.record.unwrap_or_default(), source };
        self.intake.finish_recording().map_err(failed)?;
        Ok(Summary::new(&self.tally, &self.intake, &self.latencies, self.last_acknowledgement, left))
    }
}
