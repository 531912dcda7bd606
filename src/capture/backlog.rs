//! What was read and is not acknowledged: where each batch is, in one account.
//!
//! ```text
//! gathering ─▶ at the disk ─▶ waiting ─▶ flying ─▶ acknowledged
//!     └──────── a store that is near ──────▲
//! ```
//!
//! A batch goes out as soon as a slot is free and nothing more is ready to be read, and gathers otherwise: a write costs
//! InfluxDB about a millisecond whatever it holds and about 6 µs a line on top, so freshness and throughput ask for
//! opposite sizes, and this rule needs no knob. The oldest goes first; batches that wait are merged. Memory holds the
//! lines of the oldest up to a limit; behind them trades are on disk only and are read again when their turn comes.
//!
//! Every number that is asked for is a sum over the batches, kept in one [`Weight`] that changes with each of them. Pure:
//! nothing is awaited, time comes in.

mod batch;
mod gathered;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::batch::{About, Batch, BatchId, Payload, Place, Weight};
use self::gathered::Gathered;
use super::backoff::Backoff;
use crate::outbox::Rows;
use crate::store::Lines;
use crate::trade::{Symbol, Trade, TradeIds};

/// Memory that trades which nothing else has may take, in bytes (P6); past it the reader stops.
pub const HELD_BYTES_MAX: usize = 128 << 20;
/// What one such trade is counted as: itself and its line.
const HELD_BYTES_PER_TRADE: usize = size_of::<Trade>() + 256;
/// Lines that memory holds, in bytes, those on their way included (P6); what the disk did not take comes on top.
pub const LINE_BYTES_MAX: usize = 12 << 20;
/// From so many bytes on the next write is ready and more need not be read in haste.
const ENOUGH_BYTES: usize = LINE_BYTES_MAX / 2;
/// Rows that cannot be read so many times, this far apart, are given up: the exchange has their trades.
const LOAD_TRIES: u32 = 5;
const LOAD_WAIT: Duration = Duration::from_secs(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_CAP: Duration = Duration::from_secs(10);

/// How batches go to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Over the disk first, as lines; else at once, as trades.
    pub is_over_disk: bool,
    /// Writes at a time.
    pub slots: usize,
    /// Trades in a write, at most.
    pub batch_max: usize,
}

/// Everything between the stream and the acknowledgement.
#[derive(Debug)]
pub struct Backlog {
    route: Route,
    gathering: VecDeque<Gathered>,
    at_disk: Option<Batch>,
    waiting: VecDeque<Batch>,
    /// The waiting batch whose rows are being read.
    loading: Option<BatchId>,
    load_failures: u32,
    load_not_before: Option<Instant>,
    flying: Vec<Flying>,
    next_id: BatchId,
    /// Trades that were taken.
    taken: u64,
    weight: Weight,
    is_full: bool,
}

#[derive(Debug)]
struct Flying {
    batch: Batch,
    tries: u32,
    backoff: Backoff,
    /// When it is to be sent again; `None` while the store has it.
    again: Option<Instant>,
}

impl Backlog {
    /// With nothing in it.
    pub fn new(route: Route) -> Self {
        Self {
            route,
            gathering: VecDeque::new(),
            at_disk: None,
            waiting: VecDeque::new(),
            loading: None,
            load_failures: 0,
            load_not_before: None,
            flying: Vec::new(),
            next_id: 0,
            taken: 0,
            weight: Weight::default(),
            is_full: false,
        }
    }

    /// Takes a trade that was read at `received`, if it came live.
    pub fn push(&mut self, trade: Trade, received: Option<Instant>) {
        if self.gathering.back().is_none_or(|last| last.is_closed || last.trades.len() >= self.route.batch_max) {
            self.gathering.push_back(Gathered { taken_before: self.taken, ..Gathered::default() });
        }
        let Some(last) = self.gathering.back_mut() else { return };
        last.trades.push(trade);
        self.taken += 1;
        match last.arrivals.last_mut() {
            _ if received.is_none() => {}
            Some((at, count)) if Some(*at) == received => *count += 1,
            _ => last.arrivals.extend(received.map(|at| (at, 1))),
        }
        self.weight += Weight { trades: 1, memory_only: 1, ..Weight::default() };
        self.note_fullness();
    }

    /// The exchange started a symbol's count again: the ids of what was taken before are of no use any more.
    pub fn restarted(&mut self, symbol: &Symbol) {
        for gathered in &mut self.gathering {
            gathered.is_closed = true;
            gathered.old_counts.push(symbol.clone());
        }
        let flying = self.flying.iter_mut().map(|flying| &mut flying.batch);
        for batch in self.waiting.iter_mut().chain(&mut self.at_disk).chain(flying) {
            batch.about.ids.forget(symbol);
        }
    }

    /// Takes what an earlier run left on disk, oldest first.
    pub fn take_left(&mut self, left: Vec<(About, Rows)>) {
        for (about, rows) in left {
            let batch = Batch { id: self.new_id(), about, place: Place::Disk(rows) };
            self.wait(batch);
        }
    }

    /// The next batch for the disk, if it has none. One that is not full goes only when `drained`: nothing more is ready
    /// to be read.
    pub fn next_for_disk(&mut self, drained: bool) -> Option<(Arc<Vec<Trade>>, TradeIds)> {
        if !self.route.is_over_disk || self.at_disk.is_some() {
            return None;
        }
        let batch = self.next_gathered(drained)?;
        let Place::Trades(trades) = &batch.place else { return None };
        let given = (Arc::clone(trades), batch.about.ids.clone());
        self.at_disk = Some(batch);
        Some(given)
    }

    /// Drops what the disk would get next, because it may not have more; gives the ids.
    pub fn drop_next(&mut self, drained: bool) -> Option<TradeIds> {
        if self.at_disk.is_some() {
            return None;
        }
        let batch = self.next_gathered(drained)?;
        self.weight -= batch.weight();
        self.note_fullness();
        Some(batch.about.ids)
    }

    /// The disk has taken the batch that it was given, into `rows` of `bytes` bytes; or it has not. Its lines are these.
    pub fn kept(&mut self, rows: Option<(Rows, u64)>, lines: Lines) {
        let Some(mut batch) = self.at_disk.take() else { return };
        self.weight -= batch.weight();
        batch.place = match rows {
            None => Place::Lines(lines),
            Some((rows, bytes)) => {
                batch.about.disk_bytes = bytes;
                let has_room = self.weight.line_bytes + lines.bytes.len() <= LINE_BYTES_MAX;
                // Behind trades that are still to be read, lines in memory would only wait.
                let is_kept = has_room && self.waiting.back().is_none_or(|last| self.is_near(last));
                if is_kept { Place::LinesAndDisk(lines, rows) } else { Place::Disk(rows) }
            }
        };
        if !batch.place.is_at_hand() {
            batch.about.collapse_arrivals();
        }
        self.weight += batch.weight();
        self.wait_weighed(batch);
        self.note_fullness();
    }

    /// The next batch for the store, if a slot is free and one is at hand: its number, its trades, and the tries before.
    pub fn next_write(&mut self, drained: bool, now: Instant) -> Option<(BatchId, Payload, u32)> {
        let again = |flying: &&mut Flying| flying.again.is_some_and(|at| at <= now);
        if let Some(flying) = self.flying.iter_mut().find(again) {
            flying.again = None;
            return Some((flying.batch.id, flying.batch.place.payload()?, flying.tries));
        }
        if self.flying.len() >= self.route.slots {
            return None;
        }
        let batch = if self.route.is_over_disk {
            let at = self.waiting.iter().position(|batch| batch.place.is_at_hand())?;
            self.waiting.remove(at)?
        } else {
            self.next_gathered(drained)?
        };
        let sent = (batch.id, batch.place.payload()?, 0);
        let backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_CAP);
        self.flying.push(Flying { batch, tries: 0, backoff, again: None });
        Some(sent)
    }

    /// The store has taken a batch.
    pub fn acknowledged(&mut self, id: BatchId) -> Option<Batch> {
        let at = self.flying.iter().position(|flying| flying.batch.id == id)?;
        let batch = self.flying.swap_remove(at).batch;
        self.weight -= batch.weight();
        self.note_fullness();
        Some(batch)
    }

    /// The store has not taken a batch; it is sent again after `wait` at least, or after a drawn backoff. Gives the tries
    /// so far.
    pub fn refused(&mut self, id: BatchId, wait: Wait, now: Instant, rng: &mut fastrand::Rng) -> u32 {
        let Some(flying) = self.flying.iter_mut().find(|flying| flying.batch.id == id) else { return 0 };
        flying.tries = flying.tries.saturating_add(1);
        flying.again = Some(match wait {
            Wait::Exactly(wait) => now + wait,
            Wait::BackoffAfter(wait) => now + wait + flying.backoff.after_failure(rng),
        });
        flying.tries
    }

    /// Rows that are to be read next; asked for once.
    pub fn next_load(&mut self, now: Instant) -> Option<Rows> {
        if self.loading.is_some() || self.load_not_before.is_some_and(|at| now < at) {
            return None;
        }
        let batch = self.to_load()?;
        let (id, rows) = (batch.id, batch.place.rows());
        self.loading = Some(id);
        rows
    }

    /// The oldest batch that is on disk only, if memory wants it.
    fn to_load(&self) -> Option<&Batch> {
        let at = self.waiting.iter().position(|batch| !batch.place.is_at_hand())?;
        self.waiting.get(at).filter(|_| at == 0 || !self.has_enough())
    }

    /// The rows that were asked for are read; gives the batch back if they are not what was written.
    pub fn loaded(&mut self, lines: Option<Lines>) -> Option<Batch> {
        let at = self.loading_place()?;
        (self.load_failures, self.load_not_before) = (0, None);
        let batch = self.waiting.get_mut(at)?;
        match (lines.filter(|lines| lines.count == batch.about.trades), &batch.place) {
            (Some(lines), Place::Disk(rows)) => {
                self.weight -= batch.weight();
                batch.place = Place::LinesAndDisk(lines, *rows);
                self.weight += batch.weight();
                None
            }
            _ => self.remove_waiting(at),
        }
    }

    /// The rows that were asked for could not be read now. After some tries they are given up: gives the batch then.
    pub fn not_loaded(&mut self, now: Instant) -> Option<Batch> {
        let at = self.loading_place()?;
        self.load_failures += 1;
        self.load_not_before = Some(now + LOAD_WAIT.saturating_mul(self.load_failures.min(LOAD_TRIES)));
        // What follows rows that were given up is given up at its first failure.
        if self.load_failures < LOAD_TRIES { None } else { self.remove_waiting(at) }
    }

    /// The file is gone: gives the batches whose trades were on disk only.
    pub fn forget_disk(&mut self) -> Vec<Batch> {
        (self.loading, self.load_failures, self.load_not_before) = (None, 0, None);
        let mut lost = Vec::new();
        let flying = self.flying.iter_mut().map(|flying| &mut flying.batch);
        for batch in self.waiting.iter_mut().chain(flying) {
            self.weight -= batch.weight();
            if let Place::LinesAndDisk(lines, _) = &batch.place {
                batch.place = Place::Lines(lines.clone());
            }
            self.weight += batch.weight();
        }
        for at in (0..self.waiting.len()).rev() {
            if !self.waiting[at].place.is_at_hand() {
                lost.extend(self.remove_waiting(at));
            }
        }
        self.note_fullness();
        lost
    }

    /// When a batch is to be sent again, if nothing happens before.
    pub fn send_deadline(&self) -> Option<Instant> {
        self.flying.iter().filter_map(|flying| flying.again).min()
    }

    /// When rows are to be read again, if nothing happens before.
    pub fn load_deadline(&self) -> Option<Instant> {
        self.load_not_before.filter(|_| self.loading.is_none() && self.to_load().is_some())
    }

    /// Whether the stated memory was used up and half of it is not free again: do not read.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether memory holds enough lines to keep the store busy.
    pub fn has_enough(&self) -> bool {
        self.weight.line_bytes >= ENOUGH_BYTES
    }

    /// Whether nothing is left that only memory has and the disk could have.
    pub fn is_on_disk(&self) -> bool {
        self.gathering.is_empty() && self.at_disk.is_none()
    }

    /// How many trades were taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many of the trades that were taken first are surely acknowledged, or given up.
    pub fn settled(&self) -> u64 {
        let flying = self.flying.iter().map(|flying| &flying.batch);
        let batches = self.waiting.iter().chain(&self.at_disk).chain(flying).map(|batch| batch.about.taken_before);
        let gathered = self.gathering.front().map(|gathered| gathered.taken_before);
        batches.chain(gathered).min().unwrap_or(self.taken)
    }

    /// What all of it weighs.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// The ids of what is on disk.
    pub fn ids_on_disk(&self) -> TradeIds {
        let mut ids = TradeIds::default();
        let flying = self.flying.iter().map(|flying| &flying.batch);
        let on_disk = self.waiting.iter().chain(flying).filter(|batch| batch.place.rows().is_some());
        on_disk.for_each(|batch| ids.merge(&batch.about.ids));
        ids
    }

    /// The ids of all of it.
    pub fn ids(&self) -> TradeIds {
        let mut ids = TradeIds::default();
        let flying = self.flying.iter().map(|flying| &flying.batch);
        self.waiting.iter().chain(&self.at_disk).chain(flying).for_each(|batch| ids.merge(&batch.about.ids));
        self.gathering.iter().for_each(|gathered| ids.merge(&gathered.ids()));
        ids
    }

    fn new_id(&mut self) -> BatchId {
        self.next_id += 1;
        self.next_id
    }

    fn next_gathered(&mut self, drained: bool) -> Option<Batch> {
        let first = self.gathering.front()?;
        if !drained && !first.is_closed && first.trades.len() < self.route.batch_max {
            return None;
        }
        let gathered = self.gathering.pop_front()?;
        let ids = gathered.ids();
        let Gathered { trades, arrivals, taken_before, .. } = gathered;
        let about = About { trades: trades.len(), disk_bytes: 0, ids, arrivals, is_of_this_run: true, taken_before };
        Some(Batch { id: self.new_id(), about, place: Place::Trades(Arc::new(trades)) })
    }

    fn wait(&mut self, batch: Batch) {
        self.weight += batch.weight();
        self.wait_weighed(batch);
    }

    /// Lines up a batch whose weight is counted already.
    fn wait_weighed(&mut self, batch: Batch) {
        let loading = self.loading;
        let last = self.waiting.back_mut().filter(|last| Some(last.id) != loading);
        let batch = match last {
            Some(last) => last.absorb(batch, self.route.batch_max),
            None => Some(batch),
        };
        self.waiting.extend(batch);
    }

    /// In memory, or about to be.
    fn is_near(&self, batch: &Batch) -> bool {
        batch.place.is_at_hand() || Some(batch.id) == self.loading
    }

    fn loading_place(&mut self) -> Option<usize> {
        let id = self.loading.take()?;
        self.waiting.iter().position(|batch| batch.id == id)
    }

    fn remove_waiting(&mut self, at: usize) -> Option<Batch> {
        let batch = self.waiting.remove(at)?;
        self.weight -= batch.weight();
        Some(batch)
    }

    fn note_fullness(&mut self) {
        let held = self.weight.memory_only * HELD_BYTES_PER_TRADE;
        self.is_full = held >= HELD_BYTES_MAX || self.is_full && held > HELD_BYTES_MAX / 2;
    }
}

/// How long a batch waits before it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    Exactly(Duration),
    /// So long and a backoff on top.
    BackoffAfter(Duration),
}

#[cfg(test)]
mod tests;
