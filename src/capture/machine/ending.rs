//! The end of a run: nothing is read any more, what was read is stored or kept, and what is left is said.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::Capture;
use crate::capture::exchange_clock::Moment;
use crate::capture::input::Command;
use crate::capture::sequencer::GRACE;
use crate::capture::summary::{Summary, Usage};
use crate::telemetry::Event;
use crate::text::Excerpt;
use crate::trade::Symbol;

/// How long the end waits for the store to take what was read.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long it waits for a store that refuses, if the outbox keeps everything.
const DRAIN_FAILING_MAX: Duration = Duration::from_secs(5);
/// How long it waits for the checks of the start, should they not have ended.
const CHECKS_MAX: Duration = Duration::from_secs(1);

/// Where the run is.
#[derive(Debug)]
pub(super) struct Ending {
    /// When to stop, if that was said.
    at: Option<Instant>,
    since: Option<Instant>,
    /// The streams are closed, and what they gave was taken.
    is_drained: bool,
    are_symbols_checked: bool,
    failure: Option<CaptureFailure>,
}

/// Why a run could not begin, or one that only repairs not go on: the settings, or what they name, do not work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CaptureFailure {
    /// The store says no for good.
    #[error("{0}")]
    Settings(String),
    /// The store, or the history that a repair needs, cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The exchange does not know a symbol.
    #[error("the exchange does not list {0}: see --symbols")]
    UnknownSymbol(Symbol),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    /// What it did.
    pub summary: Summary,
    /// What it did not do though it should have.
    pub shortfall: Option<Shortfall>,
}

/// What a run did not do though it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// Not one trade came, and what the streams said last.
    NoTrade(Excerpt),
    /// Fewer trades were acknowledged than it was to stop at.
    TooFew {
        /// So many.
        trades: u64,
        /// Of so many.
        count: u64,
        /// What the streams said last, if they were in trouble.
        why: Excerpt,
    },
    /// It was stopped before every hole was repaired.
    HolesLeft,
}

impl Ending {
    pub(super) fn new(at: Option<Instant>) -> Self {
        Self { at, since: None, is_drained: false, are_symbols_checked: false, failure: None }
    }

    pub(super) fn note_drained(&mut self) {
        self.is_drained = true;
    }

    pub(super) fn is_drained(&self) -> bool {
        self.is_drained
    }

    pub(super) fn note_symbols_checked(&mut self) {
        self.are_symbols_checked = true;
    }

    pub(super) fn are_symbols_checked(&self) -> bool {
        self.are_symbols_checked
    }

    /// When to look again whether the run is over.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let Some(since) = self.since else { return self.at };
        [CHECKS_MAX, DRAIN_FAILING_MAX, DRAIN_MAX].into_iter().map(|wait| since + wait).find(|at| now < *at)
    }
}

impl Capture {
    pub(super) fn is_stopping(&self) -> bool {
        self.ending.since.is_some()
    }

    /// Whether what it was told to do is done.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let has_enough = self.settings.count.is_some_and(|count| self.journal.tally().trades >= count);
        !self.is_stopping() && (has_enough || self.is_mended() || self.ending.at.is_some_and(|at| now >= at))
    }

    /// Closes the connections; what they have read is still stored.
    pub(super) fn stop(&mut self, now: Instant) {
        if !self.is_stopping() {
            self.ending.since = Some(now);
            self.commands.push_back(Command::EndStreams);
            self.disk.end();
        }
    }

    /// It cannot begin, or not go on.
    pub(super) fn fail(&mut self, failure: CaptureFailure) {
        self.ending.failure.get_or_insert(failure);
    }

    /// Why it could not begin, or not go on, if so.
    pub fn failure(&self) -> Option<&CaptureFailure> {
        self.ending.failure.as_ref()
    }

    /// Whether nothing is left to do, or to wait for.
    pub fn is_finished(&mut self, now: Instant) -> bool {
        let Some(since) = self.ending.since else { return false };
        let waited = now.saturating_duration_since(since);
        if waited >= CHECKS_MAX {
            // What was read goes into the outbox that the store's address names, should the store say nothing.
            self.open_outbox(None);
        }
        let is_kept = self.ending.is_drained && self.backlog.is_on_disk() && self.disk.is_settled();
        let is_refused = self.disk.writing_fails() && waited >= DRAIN_FAILING_MAX && self.settings.route.is_over_disk;
        is_kept && (self.backlog.weight().trades == 0 || is_refused) || waited >= DRAIN_MAX
    }

    /// Ends the run, whose process took `usage`.
    pub fn finish(&mut self, usage: Usage, now: Moment) -> RunOutcome {
        for (symbol, range, _) in self.backlog.ids_on_disk().ranges() {
            self.journal.note(Event::LeftInOutbox(symbol.clone(), range));
        }
        for hole in self.sequencer.due_holes(now.at + GRACE) {
            self.journal.note(Event::HoleFound(hole.symbol, hole.range));
        }
        let seconds = self.first_trade.zip(self.last_acknowledgement);
        let seconds = seconds.map_or(0.0, |(first, last)| last.saturating_duration_since(first).as_secs_f64());
        let left = (self.backlog.weight().trades as u64, self.sign_off.different());
        let summary = Summary::new(self.journal.tally(), &self.sequencer, &self.latencies, seconds, left, usage);
        RunOutcome { shortfall: self.shortfall(), summary }
    }

    fn shortfall(&self) -> Option<Shortfall> {
        if self.only_repairs() {
            return (!self.is_mended()).then_some(Shortfall::HolesLeft);
        }
        let (trades, why) = (self.journal.tally().trades, self.stream_trouble.clone());
        if self.first_trade.is_none() && self.settings.count != Some(0) {
            return Some(Shortfall::NoTrade(why));
        }
        let count = self.settings.count.filter(|count| trades < *count)?;
        Some(Shortfall::TooFew { trades, count, why })
    }
}
