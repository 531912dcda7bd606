//! The holes of every symbol, and which page of the exchange's history to ask for next.
//!
//! The exchange is the log, and REST gives any range of ids again. A page costs the same weight whatever it holds, so one
//! page serves every hole that it reaches; a long hole gets a page at a time and then waits behind the others. A page is taken
//! only if it begins as asked, up to its own first gap. A hole is given up only for a stated reason, and one that the
//! exchange has skipped is asked for again, ever more rarely, until the retention ends it. Pure: time comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::page::{BadRow, Page, Row};
use super::sequencer::{Hole, JUMP};
use crate::binance::rest::PAGE_MAX;
use crate::store::RETENTION_MS;
use crate::trade::{HoleState, IdRange, Symbol, SymbolMap, Trade, TradeTime};

/// The newest ids reach the history a little later than the stream; one that stays away is asked for ever more rarely.
const LAG_WAIT: Duration = Duration::from_secs(1);
const LAG_WAIT_MAX: Duration = Duration::from_secs(60);
/// The exchange has to skip an id so many times, this far apart, before it counts as absent there.
pub(super) const ABSENT_TIMES: u32 = 3;
const ABSENT_WAIT: Duration = Duration::from_secs(5);
/// What counts as absent is asked for again after this, doubling up to an hour.
const DOUBT_WAIT: Duration = Duration::from_secs(60);
const DOUBT_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// What a host does not serve it will not serve in a minute either.
const OUT_OF_REACH_WAIT: Duration = Duration::from_secs(300);
/// Holes that are told apart, at most (P6); past it a new one becomes part of the one before it.
const HOLES_MAX: usize = 50_000;

/// A page to ask the exchange for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Whose trades.
    pub symbol: Symbol,
    /// The first id wanted.
    pub from_id: u64,
    /// How many, at most.
    pub limit: u64,
}

/// How a hole, or a part of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every id came.
    Repaired,
    /// The ids stay missing.
    Stays(HoleState),
}

/// Ids whose story is over, and how.
pub type EndedHole = (Symbol, IdRange, End);

/// What an answer brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Trades of the holes.
    pub trades: Vec<Trade>,
    /// Rows of the holes that are no trades.
    pub bad_rows: Vec<(Symbol, BadRow)>,
    /// Holes, or parts of them, that ended with it.
    pub ended: Vec<EndedHole>,
}

/// The holes of every symbol.
#[derive(Debug, Default)]
pub struct Holes {
    /// By symbol and the first id that is missing.
    waiting: SymbolMap<BTreeMap<u64, Waiting>>,
    /// The same holes by when to ask for them; of several that are due the one that has waited longest goes first.
    due: BTreeSet<(Instant, u64, Symbol, u64)>,
    /// Turns given out so far.
    turns: u64,
    /// The holes that a page was asked for, lowest first; they wait for the answer.
    asked: Option<(Symbol, Vec<Waiting>)>,
}

#[derive(Debug, Clone)]
struct Waiting {
    /// What is still missing.
    left: IdRange,
    /// The first id whose story is not over.
    first: u64,
    /// When the trade behind the hole happened.
    time: TradeTime,
    not_before: Instant,
    turn: u64,
    /// Answers in a row that did not have it: empty ones, and ones that skipped it.
    empty: u32,
    skipped: u32,
    /// Times that it was given up as absent; then it is not open any more.
    doubts: u32,
}

impl Holes {
    /// Takes a hole on; gives how it ends if that is clear at once, and whether it is a hole of its own: one that
    /// continues another becomes a part of it.
    pub fn add(&mut self, hole: Hole, now: Instant) -> (Option<EndedHole>, bool) {
        let Hole { symbol, range, time } = hole;
        if range.count() > JUMP {
            return (Some((symbol, range, End::Stays(HoleState::Refused))), true);
        }
        if self.continue_one(&symbol, range, time) {
            return (None, false);
        }
        self.put(symbol, Waiting::new(range, time, now, 0));
        (None, true)
    }

    /// Takes on ids that an earlier run gave up as absent at the exchange: they are asked for again after a while.
    pub fn doubt(&mut self, hole: Hole, now: Instant) {
        let Hole { symbol, range, time } = hole;
        if range.count() > JUMP || self.due.len() >= HOLES_MAX {
            return;
        }
        self.put(symbol, Waiting::new(range, time, now + DOUBT_WAIT, 1));
    }

    /// Whether no hole is open.
    pub fn is_idle(&self) -> bool {
        self.asked.is_none() && self.waiting.values().flat_map(BTreeMap::values).all(|hole| hole.doubts > 0)
    }

    /// Forgets the holes of a symbol whose count started again.
    pub fn forget(&mut self, symbol: &Symbol) {
        self.waiting.remove(symbol);
        self.due.retain(|(_, _, other, _)| other != symbol);
        if self.asked.as_ref().is_some_and(|(other, _)| other == symbol) {
            self.asked = Some((symbol.clone(), Vec::new()));
        }
    }

    /// The next page to ask for at `now`, if one is due and no other is awaited.
    pub fn next_page(&mut self, now: Instant) -> Option<PageRequest> {
        let (symbol, from_id) = self.next_symbol(now)?;
        let asked = self.take_out(&symbol, from_id..from_id.saturating_add(PAGE_MAX));
        let last = asked.iter().map(|hole| hole.left.last).max()?;
        self.asked = Some((symbol.clone(), asked));
        Some(PageRequest { symbol, from_id, limit: (last - from_id + 1).min(PAGE_MAX) })
    }

    /// The symbol whose newest trades to ask for, where that is all that is served.
    pub fn next_newest(&mut self, now: Instant) -> Option<Symbol> {
        let (symbol, _) = self.next_symbol(now)?;
        let asked = self.take_out(&symbol, 0..u64::MAX);
        self.asked = Some((symbol.clone(), asked));
        Some(symbol)
    }

    /// When the next page may be asked for, if any hole waits and no page is awaited.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at).filter(|_| self.asked.is_none())
    }

    /// The page that was asked for came. Says `None` if it is not what was asked for: that is no answer.
    pub fn page(&mut self, page: Page, now: Instant) -> Option<Brought> {
        let (symbol, mut asked) = self.asked.take()?;
        // All were forgotten meanwhile.
        let Some(from_id) = asked.first().map(|hole| hole.left.first) else { return Some(Brought::default()) };
        match page.first_id() {
            Some(first) if first == from_id => return Some(self.take(symbol, asked, page, now)),
            Some(first) if first > from_id => return Some(self.skip(symbol, asked, first, now)),
            // The history does not have it yet.
            None if page.rows.is_empty() => asked.iter_mut().for_each(|hole| hole.wait_for_lag(now)),
            _ => {
                asked.into_iter().for_each(|hole| self.put(symbol.clone(), hole));
                return None;
            }
        }
        asked.into_iter().for_each(|hole| self.put(symbol.clone(), hole));
        Some(Brought::default())
    }

    /// The newest trades of the symbol that was asked for came: what they do not reach stays out of reach.
    pub fn newest(&mut self, page: Page, now: Instant) -> Brought {
        let Some((symbol, asked)) = self.asked.take() else { return Brought::default() };
        let rows = page.newest_run();
        let reach = rows.first().and_then(Row::id);
        let newest = rows.last().and_then(Row::id);
        let mut brought = Brought::default();
        for mut hole in asked {
            let from = reach.map_or(u64::MAX, |first| first.max(hole.left.first));
            let have = rows.iter().filter(|row| row.id().is_some_and(|id| (from..=hole.left.last).contains(&id)));
            let have: Vec<_> = have.cloned().collect();
            let is_whole = from <= hole.left.last && have.len() as u64 == hole.left.last - from + 1;
            if is_whole {
                brought.add(&symbol, have);
            }
            if is_whole && from == hole.left.first {
                brought.ended.push((
                    symbol.clone(),
                    IdRange { first: hole.first, last: hole.left.last },
                    End::Repaired,
                ));
                continue;
            }
            if is_whole {
                hole.left.last = from - 1;
            }
            match newest {
                Some(newest) if hole.left.last <= newest => hole.not_before = now + OUT_OF_REACH_WAIT,
                _ => hole.wait_for_lag(now),
            }
            self.put(symbol.clone(), hole);
        }
        brought
    }

    /// What was asked for did not come; it is asked for again, behind the others, should it be what the exchange stumbles over.
    pub fn failed(&mut self, not_before: Instant) {
        let Some((symbol, asked)) = self.asked.take() else { return };
        asked.into_iter().for_each(|hole| self.put(symbol.clone(), Waiting { not_before, ..hole }));
    }

    /// Gives up what is older than the retention at `now`, the exchange's time.
    pub fn expire(&mut self, now: TradeTime) -> Vec<EndedHole> {
        let bound = now.ms() - RETENTION_MS;
        let mut ended = Vec::new();
        for (symbol, holes) in &mut self.waiting {
            holes.retain(|key, hole| {
                let is_over = hole.time.ms() < bound;
                if is_over {
                    self.due.remove(&(hole.not_before, hole.turn, symbol.clone(), *key));
                }
                // The others have been said to stay before.
                if is_over && hole.doubts == 0 {
                    let end = End::Stays(HoleState::Expired);
                    ended.push((symbol.clone(), IdRange { first: hole.left.first, last: hole.left.last }, end));
                }
                !is_over
            });
        }
        ended
    }

    /// Takes what a page that begins as asked has of the holes, up to its own first gap.
    fn take(&mut self, symbol: Symbol, asked: Vec<Waiting>, page: Page, now: Instant) -> Brought {
        let mut brought = Brought::default();
        let from_id = asked.first().map_or(0, |hole| hole.left.first);
        let rows = page.run_from(from_id);
        let end = from_id + rows.len() as u64;
        let is_wanted = |id: u64| asked.iter().any(|hole| (hole.left.first..=hole.left.last).contains(&id));
        let wanted = rows.into_iter().zip(from_id..).filter(|(_, id)| is_wanted(*id)).map(|(row, _)| row);
        brought.add(&symbol, wanted);
        for mut hole in asked {
            if hole.left.last < end {
                let whole = IdRange { first: hole.first, last: hole.left.last };
                brought.ended.push((symbol.clone(), whole, End::Repaired));
            } else {
                hole.left.first = hole.left.first.max(end);
                (hole.empty, hole.skipped, hole.not_before) = (0, 0, now);
                self.put(symbol.clone(), hole);
            }
        }
        brought
    }

    /// The exchange gave a later id than the first one that was asked for.
    fn skip(&mut self, symbol: Symbol, asked: Vec<Waiting>, first: u64, now: Instant) -> Brought {
        let mut brought = Brought::default();
        for (at, mut hole) in asked.into_iter().enumerate() {
            if at > 0 {
                self.put(symbol.clone(), hole);
                continue;
            }
            hole.skipped += 1;
            hole.not_before = now + ABSENT_WAIT;
            if hole.skipped < ABSENT_TIMES && hole.doubts == 0 {
                self.put(symbol.clone(), hole);
                continue;
            }
            let gone = IdRange { first: hole.left.first, last: hole.left.last.min(first - 1) };
            if hole.doubts == 0 {
                brought.ended.push((symbol.clone(), gone, End::Stays(HoleState::NotAtExchange)));
            }
            if gone.last < hole.left.last {
                let (next, not_before) = (gone.last + 1, now);
                let left = IdRange { first: next, last: hole.left.last };
                self.put(symbol.clone(), Waiting { left, first: next, not_before, empty: 0, skipped: 0, ..hole });
            }
            let wait = DOUBT_WAIT.saturating_mul(1 << hole.doubts.min(10)).min(DOUBT_WAIT_MAX);
            let doubts = hole.doubts.saturating_add(1);
            self.put(symbol.clone(), Waiting { left: gone, first: gone.first, not_before: now + wait, doubts, ..hole });
        }
        brought
    }

    /// The symbol and first id of the hole that has waited longest, if its time has come and nothing else is asked for.
    fn next_symbol(&self, now: Instant) -> Option<(Symbol, u64)> {
        let (at, _, symbol, from_id) = self.due.first()?;
        (self.asked.is_none() && *at <= now).then(|| (symbol.clone(), *from_id))
    }

    /// Takes the holes of a symbol that begin in `ids` out, lowest first.
    fn take_out(&mut self, symbol: &Symbol, ids: std::ops::Range<u64>) -> Vec<Waiting> {
        let Some(holes) = self.waiting.get_mut(symbol) else { return Vec::new() };
        let keys: Vec<_> = holes.range(ids).map(|(key, _)| *key).collect();
        let taken: Vec<_> = keys.iter().filter_map(|key| holes.remove(key)).collect();
        for hole in &taken {
            self.due.remove(&(hole.not_before, hole.turn, symbol.clone(), hole.left.first));
        }
        taken
    }

    fn put(&mut self, symbol: Symbol, mut hole: Waiting) {
        self.turns += 1;
        hole.turn = self.turns;
        let (key, not_before) = (hole.left.first, hole.not_before);
        let holes = self.waiting.entry(symbol.clone()).or_default();
        if let Some(other) = holes.insert(key, hole) {
            // The same ids again: one of the two is enough, the longer one.
            self.due.remove(&(other.not_before, other.turn, symbol.clone(), key));
            holes.entry(key).and_modify(|hole| hole.left.last = hole.left.last.max(other.left.last));
        }
        self.due.insert((not_before, self.turns, symbol, key));
    }

    /// Makes `range` a part of the hole right before it, or of any before it if there are too many.
    fn continue_one(&mut self, symbol: &Symbol, range: IdRange, time: TradeTime) -> bool {
        let is_crowded = self.due.len() >= HOLES_MAX;
        let Some(holes) = self.waiting.get_mut(symbol) else { return false };
        let Some((_, before)) = holes.range_mut(..range.first).next_back() else { return false };
        let continues = before.doubts == 0 && (before.left.last + 1 == range.first || is_crowded);
        if !continues || range.last.saturating_sub(before.left.first) > JUMP {
            return false;
        }
        before.left.last = before.left.last.max(range.last);
        before.time = before.time.max(time);
        true
    }
}

impl Waiting {
    /// Ids that were not asked for yet.
    fn new(range: IdRange, time: TradeTime, not_before: Instant, doubts: u32) -> Self {
        Self { left: range, first: range.first, time, not_before, turn: 0, empty: 0, skipped: 0, doubts }
    }

    fn wait_for_lag(&mut self, now: Instant) {
        self.not_before = now + LAG_WAIT.saturating_mul(1 << self.empty.min(10)).min(LAG_WAIT_MAX);
        self.empty = self.empty.saturating_add(1);
    }
}

impl Brought {
    fn add(&mut self, symbol: &Symbol, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            match row {
                Row::Trade(trade) => self.trades.push(trade),
                Row::Bad(row) => self.bad_rows.push((symbol.clone(), row)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
