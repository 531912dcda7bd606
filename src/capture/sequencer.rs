//! Trade ids of one symbol: which are new, which were seen, which are missing.
//!
//! Binance numbers a symbol's trades without holes, so every id between two
//! seen ones that was not seen itself is a missing trade (P1). Pure: time
//! comes in as an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::trade::{Symbol, Trade, TradeTime};

/// How long a missing id may still arrive by itself, from a second connection
/// or out of order, before it counts as a hole.
pub const GRACE: Duration = Duration::from_secs(3);
/// A longer run of missing ids is a jump: reported, not repaired.
pub const JUMP: u64 = 10_000_000;
/// Ids this far below the newest with a later time come from a restarted count.
const LATE: u64 = 1_000;

/// Ids from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The lowest id.
    pub first: u64,
    /// The highest id.
    pub last: u64,
}

impl IdRange {
    /// How many ids it holds.
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

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
}

#[derive(Debug)]
struct Ids {
    /// Seen ids: sorted, disjoint, never touching.
    seen: Vec<IdRange>,
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

impl Sequencer {
    /// Takes a trade's id into account.
    pub fn take(&mut self, trade: &Trade, now: Instant) -> Verdict {
        let id = trade.id.get();
        let Some(ids) = self.symbols.get_mut(&trade.symbol) else {
            self.symbols.insert(trade.symbol.clone(), Ids::starting_at(id, trade.time));
            return Verdict::New;
        };
        ids.take(id, trade.time, now)
    }

    /// The holes whose grace is over at `now`; each is given once.
    pub fn due_holes(&mut self, now: Instant) -> Vec<Hole> {
        let mut due = Vec::new();
        for (symbol, ids) in &mut self.symbols {
            let over = ids.fresh.iter().take_while(|fresh| now.duration_since(fresh.since) >= GRACE).count();
            for Fresh { range, time, .. } in ids.fresh.drain(..over).collect::<Vec<_>>() {
                let hole = |range| Hole { symbol: symbol.clone(), range, time };
                due.extend(ids.missing_in(range).into_iter().map(hole));
            }
        }
        due
    }

    /// When the next grace ends, if any id is missing that is not reported yet.
    pub fn next_due(&self) -> Option<Instant> {
        self.symbols.values().filter_map(|ids| ids.fresh.first()).map(|fresh| fresh.since + GRACE).min()
    }

    /// Every run of ids that is missing now, reported or not.
    pub fn missing(&self) -> Vec<(Symbol, IdRange)> {
        let of = |(symbol, ids): (&Symbol, &Ids)| ids.gaps().map(|gap| (symbol.clone(), gap)).collect::<Vec<_>>();
        self.symbols.iter().flat_map(of).collect()
    }

    /// The lowest and highest id seen of each symbol.
    pub fn spans(&self) -> impl Iterator<Item = (&Symbol, IdRange)> {
        self.symbols.iter().map(|(symbol, ids)| (symbol, ids.span()))
    }
}

impl Ids {
    fn starting_at(id: u64, time: TradeTime) -> Self {
        Self { seen: vec![IdRange { first: id, last: id }], newest_time: time, fresh: Vec::new() }
    }

    fn take(&mut self, id: u64, time: TradeTime, now: Instant) -> Verdict {
        let newest = self.newest();
        if id == newest + 1 {
            self.extend_newest(id);
        } else if id > newest {
            self.fresh.push(Fresh { since: now, range: IdRange { first: newest + 1, last: id - 1 }, time });
            self.seen.push(IdRange { first: id, last: id });
        } else {
            // A trade delivered again is never later than the newest: such a one is another trade.
            let is_seen = self.is_seen(id);
            if time > self.newest_time && (is_seen || newest - id > LATE) {
                *self = Self::starting_at(id, time);
                return Verdict::Reset;
            }
            if is_seen {
                return Verdict::Duplicate;
            }
            self.insert(id);
        }
        self.newest_time = self.newest_time.max(time);
        Verdict::New
    }

    fn newest(&self) -> u64 {
        self.seen.last().map_or(0, |range| range.last)
    }

    fn extend_newest(&mut self, id: u64) {
        if let Some(range) = self.seen.last_mut() {
            range.last = id;
        }
    }

    fn span(&self) -> IdRange {
        IdRange { first: self.seen.first().map_or(0, |range| range.first), last: self.newest() }
    }

    /// The index of the first range that ends at or after `id`.
    fn position(&self, id: u64) -> usize {
        self.seen.partition_point(|range| range.last < id)
    }

    fn is_seen(&self, id: u64) -> bool {
        self.seen.get(self.position(id)).is_some_and(|range| range.first <= id)
    }

    /// Adds an unseen id below the newest, joining the ranges that it touches.
    fn insert(&mut self, id: u64) {
        let at = self.position(id);
        let joins_next = self.seen.get(at).is_some_and(|next| next.first == id + 1);
        let joins_previous = at > 0 && self.seen[at - 1].last + 1 == id;
        match (joins_previous, joins_next) {
            (true, true) => {
                self.seen[at - 1].last = self.seen[at].last;
                self.seen.remove(at);
            }
            (true, false) => self.seen[at - 1].last = id,
            (false, true) => self.seen[at].first = id,
            (false, false) => self.seen.insert(at, IdRange { first: id, last: id }),
        }
    }

    fn gaps(&self) -> impl Iterator<Item = IdRange> {
        self.seen.windows(2).map(|pair| IdRange { first: pair[0].last + 1, last: pair[1].first - 1 })
    }

    fn missing_in(&self, range: IdRange) -> Vec<IdRange> {
        let below = self.position(range.first).saturating_sub(1);
        self.seen[below..]
            .windows(2)
            .take_while(|pair| pair[0].last < range.last)
            .map(|pair| IdRange { first: range.first.max(pair[0].last + 1), last: range.last.min(pair[1].first - 1) })
            .filter(|gap| gap.first <= gap.last)
            .collect()
    }
}

#[cfg(test)]
mod tests;
