//! Trade ids of every symbol: which are new, which were seen, which are missing.
//!
//! Binance numbers a symbol's trades without holes, so every id between two
//! seen ones that was not seen itself is a missing trade (P1). Pure: time
//! comes in as an argument.

mod ids;

use std::time::{Duration, Instant};

use self::ids::{Fresh, Ids};
use crate::telemetry::Suspicion;
use crate::trade::{IdRange, IdRanges, Price, Symbol, SymbolMap, Trade, TradeTime};

/// How long a missing id may still arrive by itself, from a second connection
/// or out of order, before it counts as a hole.
pub const GRACE: Duration = Duration::from_secs(3);
/// A longer run of missing ids is a jump: reported, not repaired.
pub const JUMP: u64 = 10_000_000;
/// Binance's ids have ten digits; what no double can hold is no id of a symbol of which nothing is known.
const FIRST_MAX: u64 = 1 << 53;

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

/// Between which times a live trade can be: what lies outside is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    /// Not before.
    pub earliest: TradeTime,
    /// Not after.
    pub latest: TradeTime,
}

/// What a trade's id says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen before: keep it.
    New,
    /// Seen before: drop it.
    Duplicate,
    /// Not to be believed alone; nothing was taken into account.
    Suspect(Suspicion),
}

/// The ids of every captured symbol.
#[derive(Debug, Default)]
pub struct Sequencer {
    symbols: SymbolMap<Ids>,
    /// Symbols with holes that need no grace.
    due: Vec<Symbol>,
    /// No grace ends before.
    next_due: Option<Instant>,
}

impl Sequencer {
    /// Takes a live trade's id into account, unless it is not to be believed alone.
    pub fn take(&mut self, trade: &Trade, bounds: Option<TimeBounds>, now: Instant) -> Verdict {
        if let Some(suspicion) = bounds.and_then(|bounds| bounds.suspicion(trade.time)) {
            return Verdict::Suspect(suspicion);
        }
        let Some(ids) = self.symbols.get_mut(&trade.symbol) else {
            if trade.id.get() > FIRST_MAX {
                return Verdict::Suspect(Suspicion::IdAhead);
            }
            self.symbols.insert(trade.symbol.clone(), Ids::starting_with(trade));
            return Verdict::New;
        };
        if let Some(suspicion) = ids.suspicion(trade) {
            return Verdict::Suspect(suspicion);
        }
        let is_new = ids.take(trade, now);
        let over = ids.fresh.first().map(Fresh::over);
        let is_due = ids.due.span().is_some();
        self.next_due = [self.next_due, over].into_iter().flatten().min();
        if is_due {
            self.note_due(&trade.symbol);
        }
        if is_new { Verdict::New } else { Verdict::Duplicate }
    }

    /// Takes a suspected trade into account because another agrees with it. Says whether it begins a new count: the
    /// old one is forgotten then.
    pub fn believe(&mut self, trade: &Trade, suspicion: Suspicion, now: Instant) -> bool {
        let Some(ids) = self.symbols.get_mut(&trade.symbol) else {
            self.symbols.insert(trade.symbol.clone(), Ids::starting_with(trade));
            return false;
        };
        if suspicion == Suspicion::IdBehind && trade.time > ids.newest_time {
            *ids = Ids::starting_with(trade);
            return true;
        }
        ids.take(trade, now);
        self.next_due.get_or_insert(now + GRACE);
        false
    }

    /// Takes the id of a trade that the exchange's history gave into account; says whether it is new.
    pub fn fill(&mut self, trade: &Trade) -> bool {
        let id = trade.id;
        let entry = self.symbols.entry(trade.symbol.clone());
        let ids = entry.or_insert_with(|| Ids::ending_at(id.get(), trade.time));
        ids.ended.remove(id.into());
        ids.newest = ids.newest.max(id.get());
        ids.newest_time = ids.newest_time.max(trade.time);
        let is_new = ids.insert(id);
        if ids.due.span().is_some() {
            self.note_due(&trade.symbol);
        }
        is_new
    }

    /// Learns ids that the store had before this run, of which the newest trade is of `newest_time`, and ids that are
    /// missing for good. What is missing between the stored ones and up to the first trade of this run is due at once.
    pub fn learn(&mut self, symbol: &Symbol, stored: &IdRanges, ended: &IdRanges, newest_time: TradeTime) {
        let Some(span) = stored.span() else { return };
        let ids = self.symbols.entry(symbol.clone()).or_insert_with(|| Ids::ending_at(span.last, newest_time));
        if ids.is_other_count(span.last, newest_time) {
            return;
        }
        let open_before: IdRanges = ids.open().into_iter().collect();
        if ids.seen.span().is_none() && span.last >= ids.newest {
            (ids.newest, ids.newest_time) = (span.last, ids.newest_time.max(newest_time));
        }
        // What is above the newest is still to come, whoever else has it.
        let newest = ids.newest;
        for range in stored.iter().filter(|range| range.first <= newest) {
            ids.note_first(range.first);
            ids.known.insert(IdRange { last: range.last.min(newest), ..range });
        }
        for range in ended.iter() {
            ids.ended.insert(range);
        }
        let new: Vec<_> = ids.open().into_iter().flat_map(|range| open_before.absent_in(range)).collect();
        new.into_iter().for_each(|range| _ = ids.due.insert(range));
        self.note_due(symbol);
    }

    /// The exchange has trades up to `newest`, of `time`: what did not come by then is missing. Says whether any is.
    /// Of a symbol that never came nothing is missing before that.
    pub fn reach(&mut self, symbol: &Symbol, newest: u64, time: TradeTime, now: Instant) -> bool {
        let entry = self.symbols.entry(symbol.clone());
        let ids = entry.or_insert_with(|| Ids::ending_at(newest, time));
        if newest <= ids.newest || newest - ids.newest > JUMP {
            return false;
        }
        ids.fresh.push(Fresh { since: now, range: IdRange { first: ids.newest + 1, last: newest }, time });
        self.next_due.get_or_insert(now + GRACE);
        (ids.newest, ids.newest_time) = (newest, ids.newest_time.max(time));
        true
    }

    /// Trades that were taken, of which the newest is of `time`, are lost: their ids are missing, and due at once.
    pub fn lose(&mut self, symbol: &Symbol, range: IdRange, time: TradeTime) {
        let ids = self.symbols.entry(symbol.clone()).or_insert_with(|| Ids::ending_at(range.last, time));
        if ids.is_other_count(range.last, time) {
            return;
        }
        let (first, newest) = (ids.first, ids.newest);
        if range.last > ids.newest {
            (ids.newest, ids.newest_time) = (range.last, ids.newest_time.max(time));
        }
        ids.seen.remove(range);
        ids.known.remove(range);
        ids.note_first(range.first);
        ids.due.insert(range);
        // What lies between them and all that was known is missing with them.
        let below = first.filter(|first| range.last < *first).map(|first| IdRange { first: range.first, last: first });
        let above = (range.first > newest).then_some(IdRange { first: newest, last: range.last });
        let between: Vec<_> = below.into_iter().chain(above).flat_map(|gap| ids.open_in(gap)).collect();
        between.into_iter().for_each(|gap| _ = ids.due.insert(gap));
        self.note_due(symbol);
    }

    /// These ids stay missing: they are open no more.
    pub fn end(&mut self, symbol: &Symbol, range: IdRange) {
        if let Some(ids) = self.symbols.get_mut(symbol) {
            ids.ended.insert(range);
        }
    }

    /// The holes whose grace is over at `now`; each is given once.
    pub fn due_holes(&mut self, now: Instant) -> Vec<Hole> {
        let mut due = Vec::new();
        for symbol in std::mem::take(&mut self.due) {
            let Some(ids) = self.symbols.get_mut(&symbol) else { continue };
            let time = ids.newest_time;
            let ranges = std::mem::take(&mut ids.due);
            let open = ranges.iter().flat_map(|range| ids.open_in(range));
            due.extend(open.map(|range| Hole { symbol: symbol.clone(), range, time }));
        }
        // Asked after every event: a look at each of a thousand symbols would cost more than the event.
        if self.next_due.is_none_or(|next| now < next) {
            return due;
        }
        for (symbol, ids) in &mut self.symbols {
            let over = ids.fresh.iter().take_while(|fresh| fresh.over() <= now).count();
            for Fresh { range, time, .. } in ids.fresh.drain(..over).collect::<Vec<_>>() {
                let hole = |range| Hole { symbol: symbol.clone(), range, time };
                due.extend(ids.open_in(range).into_iter().map(hole));
            }
        }
        self.next_due = self.symbols.values().filter_map(|ids| ids.fresh.first()).map(Fresh::over).min();
        due
    }

    /// When the next grace ends, if any id may be missing that is not reported yet.
    pub fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// How many runs of ids are open: missing, and nobody knows that they stay so.
    pub fn open_holes(&self) -> usize {
        self.symbols.values().map(|ids| ids.open().len()).sum()
    }

    /// The price of a symbol's newest trade that a stream brought in this run.
    pub fn newest_price(&self, symbol: &Symbol) -> Option<Price> {
        self.symbols.get(symbol)?.newest_price
    }

    /// When the newest trade happened that a stream brought in this run.
    pub fn newest_time(&self) -> Option<TradeTime> {
        self.symbols.values().filter(|ids| ids.newest_price.is_some()).map(|ids| ids.newest_time).max()
    }

    /// When the newest trade of a symbol happened, whoever told of it.
    pub fn newest_time_of(&self, symbol: &Symbol) -> Option<TradeTime> {
        self.symbols.get(symbol).map(|ids| ids.newest_time)
    }

    /// Whether ids of a symbol are open.
    pub fn has_open(&self, symbol: &Symbol) -> bool {
        self.symbols.get(symbol).is_some_and(|ids| !ids.open().is_empty())
    }

    /// How many of the open runs lie between the first and the newest trade of this run.
    pub fn open_holes_in_run(&self) -> usize {
        let of = |ids: &Ids| {
            let first = ids.seen.span().map(|span| span.first);
            first.map_or(0, |first| ids.open_in(IdRange { first, last: ids.newest }).len())
        };
        self.symbols.values().map(of).sum()
    }

    /// Every run of ids that is open now, reported or not.
    pub fn open(&self) -> Vec<(Symbol, IdRange)> {
        let of = |(symbol, ids): (&Symbol, &Ids)| {
            ids.open().into_iter().map(|range| (symbol.clone(), range)).collect::<Vec<_>>()
        };
        self.symbols.iter().flat_map(of).collect()
    }

    /// What this run took, and what the store had before it, of a symbol.
    pub fn taken(&self, symbol: &Symbol) -> Option<(&IdRanges, &IdRanges)> {
        self.symbols.get(symbol).map(|ids| (&ids.seen, &ids.known))
    }

    /// When the first trade of a symbol happened that a stream brought in this run.
    pub fn begun(&self, symbol: &Symbol) -> Option<TradeTime> {
        self.symbols.get(symbol)?.begun
    }

    /// The lowest and highest id that this run took of each symbol.
    pub fn spans(&self) -> impl Iterator<Item = (&Symbol, IdRange)> {
        self.symbols.iter().filter_map(|(symbol, ids)| Some((symbol, ids.seen.span()?)))
    }

    fn note_due(&mut self, symbol: &Symbol) {
        if !self.due.contains(symbol) {
            self.due.push(symbol.clone());
        }
    }
}

impl TimeBounds {
    fn suspicion(&self, time: TradeTime) -> Option<Suspicion> {
        if time > self.latest {
            return Some(Suspicion::TimeAhead);
        }
        (time < self.earliest).then_some(Suspicion::TimeBehind)
    }
}

#[cfg(test)]
mod tests;
