//! The ids of one symbol: what was taken, what the store had before, what stays missing, and what is open between them.

use std::time::{Duration, Instant};

use super::{GRACE, JUMP};
use crate::telemetry::Suspicion;
use crate::trade::{IdRange, IdRanges, Price, Trade, TradeId, TradeTime};

/// Missing ids that show within so short a time are waited for together.
const TOGETHER: Duration = Duration::from_millis(100);
/// Runs of ids that are told apart in one symbol, at most (P6): 16 bytes each. Past it the lowest are forgotten: they
/// count as missing again until the history gives them once more, which changes nothing in the store.
pub(super) const RUNS_MAX: usize = 100_000;
/// Ids this far below the newest with a later time may come from a restarted count.
pub(super) const LATE: u64 = 1_000;

/// The ids of a symbol.
#[derive(Debug)]
pub(super) struct Ids {
    /// What need not come: the store had it before this run.
    pub(super) known: IdRanges,
    /// What this run took.
    pub(super) seen: IdRanges,
    /// What is missing for good, as far as anyone knows.
    pub(super) ended: IdRanges,
    /// When the first trade happened that a stream brought in this run.
    pub(super) begun: Option<TradeTime>,
    /// The lowest id that is or was in one of them.
    pub(super) first: Option<u64>,
    pub(super) newest: u64,
    pub(super) newest_time: TradeTime,
    /// The price of the newest trade that a stream brought in this run.
    pub(super) newest_price: Option<Price>,
    /// Missing ids that are still within the grace, oldest first.
    pub(super) fresh: Vec<Fresh>,
    /// Missing ids that need no grace and are not given out yet.
    pub(super) due: IdRanges,
}

/// Ids that were missing when a later one came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh {
    pub(super) since: Instant,
    pub(super) range: IdRange,
    pub(super) time: TradeTime,
}

impl Fresh {
    /// When the grace is over.
    pub(super) fn over(&self) -> Instant {
        self.since + GRACE
    }
}

impl Ids {
    pub(super) fn starting_with(trade: &Trade) -> Self {
        let (begun, newest_price) = (Some(trade.time), Some(trade.price));
        let mut ids = Self { begun, newest_price, ..Self::ending_at(trade.id.get(), trade.time) };
        ids.insert(trade.id);
        ids
    }

    /// Says whether the id is new.
    pub(super) fn insert(&mut self, id: TradeId) -> bool {
        // What lies between it and all that was known is missing with it.
        if let Some(first) = self.first.filter(|first| id.get() + 1 < *first) {
            self.due.insert(IdRange { first: id.get() + 1, last: first - 1 });
        }
        self.note_first(id.get());
        let is_new = self.seen.insert(id.into()) == 0;
        if self.seen.runs() > RUNS_MAX {
            let below = self.seen.forget_lowest(RUNS_MAX / 10);
            below.into_iter().for_each(|range| _ = self.due.insert(range));
        }
        is_new
    }

    pub(super) fn note_first(&mut self, id: u64) {
        self.first = Some(self.first.map_or(id, |first| first.min(id)));
    }

    /// With nothing in it, and `newest` as the newest id.
    pub(super) fn ending_at(newest: u64, newest_time: TradeTime) -> Self {
        let [known, seen, ended, due] = std::array::from_fn(|_| IdRanges::default());
        Self {
            known,
            seen,
            ended,
            begun: None,
            first: None,
            newest,
            newest_time,
            newest_price: None,
            fresh: Vec::new(),
            due,
        }
    }

    /// What is open from the lowest id to the newest.
    pub(super) fn open(&self) -> Vec<IdRange> {
        let range = self.first.map(|first| IdRange { first, last: self.newest });
        range.map_or_else(Vec::new, |range| self.open_in(range))
    }

    pub(super) fn open_in(&self, range: IdRange) -> Vec<IdRange> {
        let absent = self.seen.absent_in(range).into_iter().flat_map(|range| self.known.absent_in(range));
        absent.flat_map(|range| self.ended.absent_in(range)).collect()
    }

    /// Whether ids up to `newest` are of a count that the exchange has started again since.
    pub(super) fn is_other_count(&self, newest: u64, newest_time: TradeTime) -> bool {
        self.newest + LATE < newest && self.newest_time > newest_time
    }

    /// Why a trade is not to be believed alone.
    pub(super) fn suspicion(&self, trade: &Trade) -> Option<Suspicion> {
        let id = trade.id.get();
        if id > self.newest {
            return (id - self.newest > JUMP).then_some(Suspicion::IdAhead);
        }
        // A trade delivered again is never later than the newest: such a one is another trade.
        let is_other = trade.time > self.newest_time
            && (self.newest - id > LATE || self.seen.contains(id) || self.known.contains(id));
        // Far before all that is known, it would make a hole of everything between.
        let is_stray = self.first.is_some_and(|first| id + LATE < first);
        (is_other || is_stray).then_some(Suspicion::IdBehind)
    }

    /// Says whether the id is new.
    pub(super) fn take(&mut self, trade: &Trade, now: Instant) -> bool {
        let (id, time) = (trade.id.get(), trade.time);
        if id > self.newest + 1 {
            let range = IdRange { first: self.newest + 1, last: id - 1 };
            // What happened before the first trade of this run comes from no stream: nothing to wait for.
            let is_past = self.seen.span().is_none();
            let since = if is_past { now.checked_sub(GRACE).unwrap_or(now) } else { now };
            match self.fresh.last_mut().filter(|fresh| since < fresh.since + TOGETHER) {
                Some(fresh) => fresh.range.last = range.last,
                None => self.fresh.push(Fresh { since, range, time }),
            }
        }
        self.begun.get_or_insert(time);
        if !self.insert(trade.id) {
            return false;
        }
        if id >= self.newest {
            (self.newest, self.newest_price) = (id, Some(trade.price));
        }
        self.newest_time = self.newest_time.max(time);
        true
    }
}
