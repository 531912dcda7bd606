//! Trade ids of one symbol: which are new, which were seen, which are missing.
//!
//! Binance numbers a symbol's trades without holes, so every id between two
//! seen ones that was not seen itself is a missing trade (P1). Pure: time
//! comes in as an argument.

use std::time::{Duration, Instant};

use foldhash::HashMap;

use crate::trade::{IdRange, IdRanges, Symbol, Trade, TradeId, TradeTime};

/// How long a missing id may still arrive by itself, from a second connection
/// or out of order, before it counts as a hole.
pub const GRACE: Duration = Duration::from_secs(3);
/// A longer run of missing ids is a jump: reported, not repaired.
pub const JUMP: u64 = 10_000_000;
/// Ids this far below the newest with a later time come from a restarted count.
const LATE: u64 = 1_000;

/// Ids of one symbol that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Whose trades.
    pub symbol: Symbol,
    /// Which ids.
    pub range: IdRange,
    /// When the trade happened that showed the hole.
    pub time: TradeTime,
}

/// What a trade's id says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen before: keep it.
    New,
    /// Seen before: drop it.
    Duplicate,
    /// The exchange started its count again: keep it, and forget the old count.
    Reset,
}

/// The ids of every captured symbol.
#[derive(Debug, Default)]
pub struct Sequencer {
    symbols: HashMap<Symbol, Ids>,
    /// Holes that need no grace.
    due: Vec<Hole>,
    /// No grace ends before.
    next_due: Option<Instant>,
}

#[derive(Debug)]
struct Ids {
    /// What need not come: the store had it before this run, or it will never come.
    known: IdRanges,
    /// What this run took.
    seen: IdRanges,
    newest: u64,
    newest_time: TradeTime,
    /// Missing ids that are still within the grace, oldest first.
    fresh: Vec<Fresh>,
}

/// Ids that were missing when a later one came.
#[derive(Debug, Clone, Copy)]
struct Fresh {
    since: Instant,
    range: IdRange,
    time: TradeTime,
}

impl Fresh {
    /// When the grace is over.
    fn over(&self) -> Instant {
        self.since + GRACE
    }
}

impl Sequencer {
    /// Takes a trade's id into account.
    pub fn take(&mut self, trade: &Trade, now: Instant) -> Verdict {
        let id = trade.id;
        let Some(ids) = self.symbols.get_mut(&trade.symbol) else {
            self.symbols.insert(trade.symbol.clone(), Ids::starting_at(id, trade.time));
            return Verdict::New;
        };
        let verdict = ids.take(id, trade.time, now);
        if let Some(fresh) = ids.fresh.first() {
            let over = fresh.over();
            self.next_due = Some(self.next_due.map_or(over, |next| next.min(over)));
        }
        verdict
    }

    /// Learns ids that need not come, of which the newest trade is of `newest_time`;
    /// what is missing between them and up to the first trade of this run is due at once.
    pub fn learn(&mut self, symbol: &Symbol, known: &IdRanges, newest_time: TradeTime) {
        let Some(span) = known.span() else { return };
        let ids = self.symbols.entry(symbol.clone()).or_insert_with(|| Ids::ending_at(span.last, newest_time));
        if ids.is_other_count(span.last, newest_time) {
            return;
        }
        let mut missing_before = IdRanges::default();
        ids.missing().into_iter().for_each(|range| _ = missing_before.insert(range));
        if ids.seen.span().is_none() && span.last >= ids.newest {
            (ids.newest, ids.newest_time) = (span.last, ids.newest_time.max(newest_time));
        }
        // What is above the newest is still to come, whoever else has it.
        for range in known.iter().filter(|range| range.first <= ids.newest) {
            ids.known.insert(IdRange { last: range.last.min(ids.newest), ..range });
        }
        let hole = |range| Hole { symbol: symbol.clone(), range, time: newest_time };
        let new = ids.missing().into_iter().flat_map(|range| missing_before.absent_in(range));
        self.due.extend(new.map(hole));
    }

    /// The exchange has trades up to `newest`, of `time`: what did not come by then is missing. Says whether any is.
    /// Of a symbol that never came nothing is missing before that.
    pub fn reach(&mut self, symbol: &Symbol, newest: u64, time: TradeTime, now: Instant) -> bool {
        let entry = self.symbols.entry(symbol.clone());
        let ids = entry.or_insert_with(|| Ids::ending_at(newest, time));
        if newest <= ids.newest {
            return false;
        }
        ids.fresh.push(Fresh { since: now, range: IdRange { first: ids.newest + 1, last: newest }, time });
        self.next_due.get_or_insert(now + GRACE);
        (ids.newest, ids.newest_time) = (newest, ids.newest_time.max(time));
        true
    }

    /// Trades that were taken are lost: their ids are missing, and due at once.
    pub fn lose(&mut self, symbol: &Symbol, range: IdRange) {
        let Some(ids) = self.symbols.get_mut(symbol) else { return };
        ids.seen.remove(range);
        ids.known.remove(range);
        self.due.push(Hole { symbol: symbol.clone(), range, time: ids.newest_time });
    }

    /// The holes whose grace is over at `now`; each is given once.
    pub fn due_holes(&mut self, now: Instant) -> Vec<Hole> {
        let mut due = std::mem::take(&mut self.due);
        // Asked after every event: a look at each of a thousand symbols would cost more than the event.
        if self.next_due.is_none_or(|next| now < next) {
            return due;
        }
        for (symbol, ids) in &mut self.symbols {
            let over = ids.fresh.iter().take_while(|fresh| fresh.over() <= now).count();
            for Fresh { range, time, .. } in ids.fresh.drain(..over).collect::<Vec<_>>() {
                let hole = |range| Hole { symbol: symbol.clone(), range, time };
                due.extend(ids.absent_in(range).into_iter().map(hole));
            }
        }
        self.next_due = self.symbols.values().filter_map(|ids| ids.fresh.first()).map(Fresh::over).min();
        due
    }

    /// When the next grace ends, if any id may be missing that is not reported yet.
    pub fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// Every run of ids that is missing now, reported or not.
    pub fn missing(&self) -> Vec<(Symbol, IdRange)> {
        let of = |(symbol, ids): (&Symbol, &Ids)| {
            ids.missing().into_iter().map(|range| (symbol.clone(), range)).collect::<Vec<_>>()
        };
        self.symbols.iter().flat_map(of).collect()
    }

    /// How many runs of ids are missing between the first and the newest trade of this run.
    pub fn missing_in_run(&self) -> usize {
        let of = |ids: &Ids| {
            let first = ids.seen.span().map(|span| span.first);
            first.map_or(0, |first| ids.absent_in(IdRange { first, last: ids.newest }).len())
        };
        self.symbols.values().map(of).sum()
    }

    /// The lowest and highest id that this run took of each symbol.
    pub fn spans(&self) -> impl Iterator<Item = (&Symbol, IdRange)> {
        self.symbols.iter().filter_map(|(symbol, ids)| Some((symbol, ids.seen.span()?)))
    }
}

impl Ids {
    fn starting_at(id: TradeId, time: TradeTime) -> Self {
        let mut ids = Self::ending_at(id.get(), time);
        ids.seen.insert(id.into());
        ids
    }

    /// With nothing in it, and `newest` as the newest id.
    fn ending_at(newest: u64, newest_time: TradeTime) -> Self {
        Self { known: IdRanges::default(), seen: IdRanges::default(), newest, newest_time, fresh: Vec::new() }
    }

    /// The lowest id.
    fn first(&self) -> Option<u64> {
        let first = |ids: &IdRanges| ids.span().map(|span| span.first);
        [first(&self.known), first(&self.seen)].into_iter().flatten().min()
    }

    /// What is absent from the lowest id to the newest.
    fn missing(&self) -> Vec<IdRange> {
        let range = self.first().map(|first| IdRange { first, last: self.newest });
        range.map_or_else(Vec::new, |range| self.absent_in(range))
    }

    fn absent_in(&self, range: IdRange) -> Vec<IdRange> {
        self.seen.absent_in(range).into_iter().flat_map(|range| self.known.absent_in(range)).collect()
    }

    /// Whether ids up to `newest` are of a count that the exchange has started again since.
    fn is_other_count(&self, newest: u64, newest_time: TradeTime) -> bool {
        self.newest + LATE < newest && self.newest_time > newest_time
    }

    fn take(&mut self, trade_id: TradeId, time: TradeTime, now: Instant) -> Verdict {
        let id = trade_id.get();
        if id > self.newest + 1 {
            let range = IdRange { first: self.newest + 1, last: id - 1 };
            // What happened before the first trade of this run comes from no stream: nothing to wait for.
            let is_past = self.seen.span().is_none();
            let since = if is_past { now.checked_sub(GRACE).unwrap_or(now) } else { now };
            self.fresh.push(Fresh { since, range, time });
        } else if id <= self.newest && time > self.newest_time {
            // A trade delivered again is never later than the newest: such a one is another trade.
            if self.newest - id > LATE || self.seen.contains(id) || self.known.contains(id) {
                *self = Self::starting_at(trade_id, time);
                return Verdict::Reset;
            }
        }
        if self.seen.insert(trade_id.into()) > 0 {
            return Verdict::Duplicate;
        }
        self.newest = self.newest.max(id);
        self.newest_time = self.newest_time.max(time);
        Verdict::New
    }
}

#[cfg(test)]
mod tests;
