//! Holes and how they are repaired: the exchange is the log, and REST gives any range of ids again.
//!
//! One request at a time over all symbols, within one budget of weight; live
//! capture never waits for it. A page costs the same weight whatever it holds,
//! so one page serves every hole that it reaches. A hole is given up only for a stated reason,
//! never because the exchange does not answer. Pure: the shell asks and tells.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::sequencer::{Hole, JUMP};
use crate::binance::rest::{PAGE_MAX, RestError};
use crate::binance::weight::{HISTORY_WEIGHT, WeightBudget};
use crate::store::RETENTION_MS;
use crate::trade::{IdRange, Symbol, Trade, TradeTime};

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_CAP: Duration = Duration::from_secs(60);
/// The newest ids reach the history a little later than the stream.
const LAG_WAIT: Duration = Duration::from_secs(1);
/// A host that does not serve this place will not do so in a minute either.
const NOT_FROM_HERE_WAIT: Duration = Duration::from_secs(300);
/// The exchange has to skip an id so many times, this far apart, before it counts as absent there.
const ABSENT_TIMES: u32 = 3;
const ABSENT_WAIT: Duration = Duration::from_secs(5);

/// A page to ask the exchange for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
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
    /// The exchange has later ids and not these.
    NotAtExchange,
    /// Older than the retention: nobody would see them.
    Expired,
    /// A jump too large to be a hole.
    Refused,
}

impl End {
    /// The contract's word for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::NotAtExchange => "not_at_exchange",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

/// The open holes of every symbol.
#[derive(Debug)]
pub struct Repairs {
    holes: VecDeque<Open>,
    /// The holes that a page was asked for, lowest first; they wait for the answer.
    asked: Vec<Open>,
    budget: WeightBudget,
    backoff: Backoff,
    not_before: Instant,
}

#[derive(Debug, Clone)]
struct Open {
    symbol: Symbol,
    /// What is still missing.
    left: IdRange,
    /// The first id whose story is not over.
    first: u64,
    /// When the trade behind the hole happened.
    time: TradeTime,
    not_before: Instant,
    absent: u32,
}

/// Ids whose story is over, and how.
pub type Ended = (Symbol, IdRange, End);

/// What an answer brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Trades of the holes.
    pub trades: Vec<Trade>,
    /// Holes, or parts of them, that ended with it.
    pub ended: Vec<Ended>,
}

impl Repairs {
    /// Nothing to repair yet.
    pub fn new(now: Instant) -> Self {
        Self {
            holes: VecDeque::new(),
            asked: Vec::new(),
            budget: WeightBudget::new(now),
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_CAP),
            not_before: now,
        }
    }

    /// Takes a hole on; a jump is refused at once.
    pub fn add(&mut self, hole: Hole, now: Instant) -> Option<Ended> {
        if hole.range.count() > JUMP {
            return Some((hole.symbol, hole.range, End::Refused));
        }
        let Hole { symbol, range: left, time } = hole;
        self.holes.push_back(Open { symbol, left, first: left.first, time, not_before: now, absent: 0 });
        None
    }

    /// Whether no hole is open.
    pub fn is_idle(&self) -> bool {
        self.holes.is_empty() && self.asked.is_empty()
    }

    /// Forgets the holes of a symbol whose count started again.
    pub fn forget(&mut self, symbol: &Symbol) {
        self.holes.retain(|hole| hole.symbol != *symbol);
    }

    /// The next page to ask for at `now`, if one is due and no other is awaited.
    pub fn next_request(&mut self, now: Instant) -> Option<Request> {
        if !self.asked.is_empty() || self.allowed(HISTORY_WEIGHT, now) > now {
            return None;
        }
        let due = self.holes.iter().filter(|hole| hole.not_before <= now).min_by_key(|hole| hole.not_before)?;
        let (symbol, from_id) = (due.symbol.clone(), due.left.first);
        let reached = |hole: &Open| hole.symbol == symbol && (from_id..from_id + PAGE_MAX).contains(&hole.left.first);
        let (mut asked, others) = self.holes.drain(..).partition::<Vec<_>, _>(reached);
        self.holes = others.into();
        asked.sort_by_key(|hole| hole.left.first);
        let last = asked.iter().map(|hole| hole.left.last).max()?;
        self.asked = asked;
        self.budget.count(HISTORY_WEIGHT, now);
        Some(Request { symbol, from_id, limit: (last - from_id + 1).min(PAGE_MAX) })
    }

    /// When the next page may be asked for, if any hole is open and none is awaited.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        if !self.asked.is_empty() {
            return None;
        }
        let hole = self.holes.iter().map(|hole| hole.not_before).min()?;
        Some(hole.max(self.allowed(HISTORY_WEIGHT, now)))
    }

    /// Whether a request of `weight` that is no page may be made at `now`; counts it.
    pub fn may_ask(&mut self, weight: u32, now: Instant) -> bool {
        let is_allowed = self.asked.is_empty() && self.allowed(weight, now) <= now;
        if is_allowed {
            self.budget.count(weight, now);
        }
        is_allowed
    }

    /// The page that was asked for came.
    pub fn page(&mut self, page: Vec<Trade>, now: Instant, rng: &mut fastrand::Rng) -> Brought {
        let mut asked = std::mem::take(&mut self.asked);
        let Some(from_id) = asked.first().map(|hole| hole.left.first) else { return Brought::default() };
        self.backoff.reset();
        let first = page.first().map(|trade| trade.id.get());
        if first == Some(from_id) {
            return self.take(asked, page);
        }
        match first {
            // The history does not have it yet.
            None => asked.iter_mut().for_each(|hole| hole.not_before = now + LAG_WAIT),
            Some(first) if first > from_id => return self.absent(asked, first, now),
            // Not what was asked for: no answer at all.
            Some(_) => self.not_before = now + self.backoff.after_failure(rng),
        }
        self.holes.extend(asked);
        Brought::default()
    }

    /// What was asked for did not come.
    pub fn failed(&mut self, error: &RestError, now: Instant, rng: &mut fastrand::Rng) {
        let wait = match error {
            RestError::Limited { wait, .. } => *wait,
            RestError::NotFromHere { .. } | RestError::NotServed { .. } => NOT_FROM_HERE_WAIT,
            _ => Duration::ZERO,
        };
        self.not_before = now + wait + self.backoff.after_failure(rng);
        // Behind the others, should these be what the exchange stumbles over.
        let behind = self.not_before + LAG_WAIT;
        self.holes.extend(self.asked.drain(..).map(|hole| Open { not_before: behind, ..hole }));
    }

    /// Gives up what is older than the retention at `now`.
    pub fn expire(&mut self, now: TradeTime) -> Vec<Ended> {
        let bound = now.ms() - RETENTION_MS;
        let (expired, open) = self.holes.drain(..).partition::<VecDeque<_>, _>(|hole| hole.time.ms() < bound);
        self.holes = open;
        expired.into_iter().map(|hole| (hole.symbol, hole.left, End::Expired)).collect()
    }

    /// Takes what a page that begins as asked has of the holes, up to its own first gap.
    fn take(&mut self, asked: Vec<Open>, page: Vec<Trade>) -> Brought {
        let mut brought = Brought::default();
        let from_id = asked.first().map_or(0, |hole| hole.left.first);
        let contiguous: Vec<_> =
            page.into_iter().zip(from_id..).take_while(|(trade, id)| trade.id.get() == *id).collect();
        let end = from_id + contiguous.len() as u64;
        let is_wanted = |id: u64| asked.iter().any(|hole| (hole.left.first..=hole.left.last).contains(&id));
        brought.trades.extend(contiguous.into_iter().filter(|(_, id)| is_wanted(*id)).map(|(trade, _)| trade));
        for mut hole in asked {
            if hole.left.last < end {
                let whole = IdRange { first: hole.first, last: hole.left.last };
                brought.ended.push((hole.symbol, whole, End::Repaired));
            } else {
                hole.absent = 0;
                hole.left.first = hole.left.first.max(end);
                self.holes.push_back(hole);
            }
        }
        brought
    }

    /// The exchange gave a later id than the first one that was asked for.
    fn absent(&mut self, asked: Vec<Open>, first: u64, now: Instant) -> Brought {
        let mut brought = Brought::default();
        for (at, mut hole) in asked.into_iter().enumerate() {
            if at == 0 {
                hole.absent += 1;
                hole.not_before = now + ABSENT_WAIT;
            }
            if hole.absent == ABSENT_TIMES {
                let gone = IdRange { first: hole.left.first, last: hole.left.last.min(first - 1) };
                brought.ended.push((hole.symbol.clone(), gone, End::NotAtExchange));
                if gone.last == hole.left.last {
                    continue;
                }
                (hole.absent, hole.not_before, hole.first, hole.left.first) = (0, now, gone.last + 1, gone.last + 1);
            }
            self.holes.push_back(hole);
        }
        brought
    }

    /// When a request of `weight` may be made, from `now` on.
    pub fn allowed(&self, weight: u32, now: Instant) -> Instant {
        self.budget.next_allowed(weight, now).max(self.not_before)
    }
}

#[cfg(test)]
mod tests;
