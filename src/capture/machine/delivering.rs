//! From the backlog to the disk and to the store, and what becomes of a batch.
//!
//! Over the outbox a batch is encoded and committed to disk first, then sent. One transaction at a time does all that is
//! due: the next batch in, what was acknowledged out.

use std::time::{Duration, Instant};

use super::Capture;
use crate::capture::backlog::{Batch, BatchId, Wait};
use crate::capture::exchange_clock::Moment;
use crate::capture::input::{Command, DeadLetter, DiskDone, DiskWork, Loaded};
use crate::outbox::Changes;
use crate::store::{Attempt, RefusedLine, WriteError, Written};
use crate::telemetry::Event;
use crate::telemetry::health::Part;
use crate::trade::{HoleState, IdRange, Symbol, TradeIds, TradeTime};

/// Removals gather for so long: one a batch cost the disk ten times as much, and a row of the ledger for each symbol.
const RIDE_WAIT: Duration = Duration::from_secs(1);
/// At the end nothing more gathers.
const RIDE_WAIT_ENDING: Duration = Duration::from_millis(100);
/// After a failure of the disk, chores wait so long; batches do not.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// A store that answers is waited for so long, before batches are left to the disk and reading goes on.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// A store that someone has to mend is tried this often.
const HELD_WAIT: Duration = Duration::from_secs(10);
/// No store is left alone for longer, whatever its `Retry-After` says.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What the disk does, and what is due for it.
#[derive(Debug)]
pub(super) struct Disk {
    state: State,
    pending: Changes,
    pending_since: Option<Instant>,
    not_before: Instant,
    failures: u32,
    is_ending: bool,
    /// The store's newest answer that took a batch; `None` after one that did not.
    last_taken: Option<Instant>,
    /// Whether the last write failed.
    writing_fails: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has asked for it yet.
    Closed,
    /// It is being opened.
    Opening,
    Idle,
    Working,
}

impl Disk {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Closed,
            pending: Changes::default(),
            pending_since: None,
            not_before: now,
            failures: 0,
            is_ending: false,
            last_taken: None,
            writing_fails: false,
        }
    }

    /// It is asked for; says whether for the first time.
    pub(super) fn begin_opening(&mut self) -> bool {
        let is_first = self.state == State::Closed;
        if is_first {
            self.state = State::Opening;
        }
        is_first
    }

    pub(super) fn open(&mut self) {
        self.state = State::Idle;
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Idle | State::Working)
    }

    /// What is to be entered next.
    pub(super) fn pending(&mut self) -> &mut Changes {
        &mut self.pending
    }

    /// Nothing is read any more: what is due does not gather for long.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
    }

    /// Whether it has nothing to do.
    pub(super) fn is_settled(&self) -> bool {
        self.state == State::Idle && self.pending.is_empty()
    }

    pub(super) fn writing_fails(&self) -> bool {
        self.writing_fails
    }

    fn ride_wait(&self) -> Duration {
        if self.is_ending { RIDE_WAIT_ENDING } else { RIDE_WAIT }
    }
}

impl Capture {
    /// Passes on what may go; while more is ready to be read, only full batches.
    pub(super) fn deliver(&mut self, is_drained: bool, now: Moment) {
        let at = now.at;
        if !self.disk.pending.is_empty() {
            self.disk.pending_since.get_or_insert(at);
        }
        if self.disk.state == State::Idle {
            self.work_for_disk(is_drained, now);
        }
        let exchange_time = self.clock.surely(now);
        while let Some((batch, payload, number)) = self.backlog.next_write(is_drained, at) {
            self.commands.push_back(Command::Write(batch, payload, Attempt { number, exchange_time }));
        }
    }

    /// Whether the store is about to take what fills the memory: better wait for it than read on.
    pub(super) fn asks_to_wait(&self, now: Instant) -> bool {
        self.backlog.has_enough() && self.disk.last_taken.is_some_and(|last| now < last + STORE_WAIT)
    }

    /// Whether the outbox has room for trades that the exchange's history can keep as well.
    pub(super) fn has_room(&self) -> bool {
        self.backlog.weight().disk_bytes < self.settings.outbox_limit / 2
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn delivery_deadline(&self, now: Instant) -> Option<Instant> {
        let ride = self.disk.pending_since.map(|since| since + self.disk.ride_wait());
        let work = [ride, self.backlog.load_deadline()].into_iter().flatten().min();
        let work = work.filter(|_| self.disk.state == State::Idle).map(|due| due.max(self.disk.not_before));
        let wait = self.disk.last_taken.filter(|_| self.asks_to_wait(now)).map(|last| last + STORE_WAIT);
        [work, wait, self.backlog.send_deadline()].into_iter().flatten().min()
    }

    fn work_for_disk(&mut self, is_drained: bool, now: Moment) {
        let may_keep = self.backlog.weight().disk_bytes < self.settings.outbox_limit;
        let batch = if may_keep {
            self.backlog.next_for_disk(is_drained)
        } else {
            let dropped = self.backlog.drop_next(is_drained);
            dropped.iter().for_each(|ids| self.drop_trades(ids));
            None
        };
        let may_work = now.at >= self.disk.not_before;
        let is_due = may_work && self.disk.pending_since.is_some_and(|since| now.at >= since + self.disk.ride_wait());
        let load = if may_work { self.backlog.next_load(now.at) } else { None };
        if batch.is_none() && load.is_none() && !is_due {
            return;
        }
        let changes = if is_due {
            self.disk.pending_since = None;
            std::mem::take(&mut self.disk.pending)
        } else {
            Changes::default()
        };
        self.disk.state = State::Working;
        let time = self.clock.surely(now).unwrap_or(now.wall);
        self.commands.push_back(Command::Disk(Box::new(DiskWork { batch, changes, load, time })));
    }

    pub(super) fn disk_done(&mut self, done: DiskDone, now: Instant) {
        let DiskDone { batch, loaded, undone, error, set_aside } = done;
        self.disk.state = State::Idle;
        if let Some((lines, kept)) = batch {
            self.backlog.kept(kept.map(|kept| (kept.rows, kept.bytes)), lines);
        }
        if let Some(undone) = undone {
            self.disk.pending.put_before(undone);
        }
        let lost = match (set_aside, loaded) {
            (Some(path), _) => {
                self.journal.note(Event::OutboxSetAside(path, error.clone().unwrap_or_default()));
                self.disk.pending.forget_rows();
                self.backlog.forget_disk()
            }
            (None, Some(Loaded::Lines(lines))) => self.backlog.loaded(Some(lines)).into_iter().collect(),
            (None, Some(Loaded::Changed)) => self.backlog.loaded(None).into_iter().collect(),
            (None, Some(Loaded::Failed)) => self.backlog.not_loaded(now).into_iter().collect(),
            (None, None) => Vec::new(),
        };
        lost.into_iter().for_each(|batch| self.lose_batch(&batch));
        match error {
            Some(why) => {
                self.disk.failures = self.disk.failures.saturating_add(1);
                self.disk.not_before = now + DISK_PAUSE;
                self.condition.failing(Part::Outbox, &why);
                self.journal.note(Event::OutboxFailed { why, times: self.disk.failures });
            }
            None => {
                if std::mem::take(&mut self.disk.failures) > 0 {
                    self.journal.note(Event::OutboxRecovered);
                }
                if self.has_room() {
                    self.condition.working(Part::Outbox);
                }
            }
        }
    }

    /// The store has answered a write.
    pub(super) fn written(&mut self, id: BatchId, result: Result<Written, WriteError>, answered: Instant, now: Moment) {
        match result {
            Ok(written) => {
                if let Some(batch) = self.backlog.acknowledged(id) {
                    self.acknowledged(batch, written, answered);
                }
            }
            Err(error) => {
                let held = matches!(error, WriteError::Held { .. });
                let (why, wait) = match error {
                    WriteError::Held { why } => (why, Wait::Exactly(HELD_WAIT)),
                    WriteError::Transient { why, wait } => {
                        (why, Wait::BackoffAfter(wait.unwrap_or_default().min(RETRY_AFTER_MAX)))
                    }
                };
                let tries = self.backlog.refused(id, wait, now.at, &mut self.rng);
                self.disk.last_taken = None;
                self.disk.writing_fails = true;
                self.condition.failing(Part::Store, &why);
                self.note_failed_write(&why, held, tries);
                self.journal.note(Event::WriteFailed { why, held, tries });
            }
        }
    }

    fn acknowledged(&mut self, batch: Batch, written: Written, answered: Instant) {
        let Written { expired, refused } = written;
        let mut ids = batch.about.ids;
        ids.remove(&expired);
        for RefusedLine { symbol, id, line, why, .. } in refused.iter().cloned() {
            ids.remove_range(&symbol, id.into());
            self.journal.note(Event::LineRefused(why.clone()));
            self.commands.push_back(Command::KeepDeadLetter(DeadLetter::Line(line, why)));
            self.end_ids(&symbol, id.into(), HoleState::RefusedByStore);
            self.note_loss();
        }
        if !expired.is_empty() {
            self.journal.note(Event::Expired(expired.count()));
            expired.ranges().for_each(|(symbol, range, _)| self.end_ids(symbol, range, HoleState::Expired));
            self.note_loss();
        }
        let left_out = expired.count() + refused.len() as u64;
        let stored = (batch.about.trades as u64).saturating_sub(left_out);
        self.journal.note(if batch.about.is_of_this_run {
            Event::BatchStored(stored)
        } else {
            Event::LeftBatchStored(stored)
        });
        // A store that is near is its own ledger from one run to the next.
        if self.settings.route.is_over_disk {
            self.disk.pending.store(&ids);
        }
        self.ledger.merge_bounded(&ids);
        self.past.acknowledged(&ids);
        batch.place.rows().into_iter().for_each(|rows| self.disk.pending.remove(rows));
        self.disk.last_taken = Some(answered);
        // A store that took nothing of a batch is not well for that.
        if stored > 0 {
            self.latencies.count(&batch.about.arrivals, answered);
            self.last_acknowledgement = Some(answered);
            self.condition.working(Part::Store);
            if std::mem::take(&mut self.disk.writing_fails) {
                self.journal.note(Event::WriteRecovered);
                // It may be another one, or an older state of the same.
                self.commands.push_back(Command::CheckStore);
            }
        }
    }

    /// Trades that were to go on disk are dropped, because it may not have more.
    fn drop_trades(&mut self, ids: &TradeIds) {
        self.journal.note(Event::OutboxFull(ids.count()));
        self.condition.failing(Part::Outbox, "full: mend the store, or raise --outbox-limit");
        self.lose_ids(ids);
        self.note_loss();
    }

    /// A batch whose trades were on disk only is gone with them.
    fn lose_batch(&mut self, batch: &Batch) {
        self.journal.note(Event::OutboxLost(batch.about.trades as u64));
        batch.place.rows().into_iter().for_each(|rows| self.disk.pending.remove(rows));
        self.lose_ids(&batch.about.ids);
    }

    /// Trades that were taken are lost again: their ids are holes.
    fn lose_ids(&mut self, ids: &TradeIds) {
        ids.ranges().for_each(|(symbol, range, newest)| self.lose(symbol, range, newest));
    }

    /// Ids that were taken are holes again, and the ledger keeps that until they are stored: the next run may know nothing
    /// around them.
    pub(super) fn lose(&mut self, symbol: &Symbol, range: IdRange, newest: TradeTime) {
        if self.settings.route.is_over_disk {
            self.disk.pending().lose(symbol, range, newest);
        }
        self.sequencer.lose(symbol, range, newest);
    }
}
