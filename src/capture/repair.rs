//! Holes and how they are repaired: the exchange is the log, and REST gives any range of ids again.
//!
//! One request at a time over all symbols, within one budget of weight; live
//! capture never waits for it. A hole is given up only for a stated reason,
//! never because the exchange does not answer. Pure: the shell asks and tells.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::sequencer::{Hole, IdRange, JUMP};
use crate::binance::rest::{PAGE_MAX, RestError};
use crate::binance::weight::{HISTORY_WEIGHT, WeightBudget};
use crate::store::RETENTION_MS;
use crate::trade::{Symbol, Trade, TradeTime};

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
    /// The hole that a page was asked for; it waits for the answer.
    asked: Option<Open>,
    budget: WeightBudget,
    backoff: Backoff,
    not_before: Instant,
}

#[derive(Debug)]
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

/// What an answer brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Trades of the hole.
    pub trades: Vec<Trade>,
    /// Ids whose story is over, and how.
    pub ended: Option<(Symbol, IdRange, End)>,
}

impl Repairs {
    /// Nothing to repair yet.
    pub fn new(now: Instant) -> Self {
        Self {
            holes: VecDeque::new(),
            asked: None,
            budget: WeightBudget::default(),
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_CAP),
            not_before: now,
        }
    }

    /// Takes a hole on; a jump is refused at once.
    pub fn add(&mut self, hole: Hole, now: Instant) -> Option<(Symbol, IdRange, End)> {
        if hole.range.count() > JUMP {
            return Some((hole.symbol, hole.range, End::Refused));
        }
        let Hole { symbol, range: left, time } = hole;
        self.holes.push_back(Open { symbol, left, first: left.first, time, not_before: now, absent: 0 });
        None
    }

    /// The next page to ask for at `now`, if one is due and no other is awaited.
    pub fn next_request(&mut self, now: Instant) -> Option<Request> {
        if self.asked.is_some() || self.allowed(now) > now {
            return None;
        }
        let at = self.holes.iter().position(|hole| hole.not_before <= now)?;
        let hole = self.holes.remove(at)?;
        self.budget.count(HISTORY_WEIGHT, now);
        let request =
            Request { symbol: hole.symbol.clone(), from_id: hole.left.first, limit: hole.left.count().min(PAGE_MAX) };
        self.asked = Some(hole);
        Some(request)
    }

    /// When the next page may be asked for, if any hole is open and none is awaited.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.asked.is_some() {
            return None;
        }
        let hole = self.holes.iter().map(|hole| hole.not_before).min()?;
        Some(hole.max(self.allowed(now)))
    }

    /// The page that was asked for came.
    pub fn page(&mut self, page: Vec<Trade>, now: Instant, rng: &mut fastrand::Rng) -> Brought {
        let Some(mut hole) = self.asked.take() else { return Brought::default() };
        self.backoff.reset();
        let Some(first) = page.first().map(|trade| trade.id.get()) else {
            // The history does not have it yet.
            hole.not_before = now + LAG_WAIT;
            self.holes.push_back(hole);
            return Brought::default();
        };
        if first < hole.left.first {
            // Not what was asked for: no answer at all.
            self.not_before = now + self.backoff.after_failure(rng);
            self.holes.push_back(hole);
            return Brought::default();
        }
        if first > hole.left.first {
            return self.absent(hole, first, now);
        }
        let wanted = hole.left.first..=hole.left.last;
        let trades: Vec<_> = page
            .into_iter()
            .zip(wanted)
            .take_while(|(trade, id)| trade.id.get() == *id)
            .map(|(trade, _)| trade)
            .collect();
        hole.absent = 0;
        let whole = (hole.symbol.clone(), IdRange { first: hole.first, last: hole.left.last }, End::Repaired);
        let is_over = self.advance(hole, trades.len() as u64);
        Brought { trades, ended: is_over.then_some(whole) }
    }

    /// The page that was asked for did not come.
    pub fn failed(&mut self, error: &RestError, now: Instant, rng: &mut fastrand::Rng) {
        self.holes.extend(self.asked.take());
        let wait = match error {
            RestError::Limited { wait, .. } => *wait,
            RestError::NotFromHere { .. } => NOT_FROM_HERE_WAIT,
            _ => Duration::ZERO,
        };
        self.not_before = now + wait + self.backoff.after_failure(rng);
    }

    /// Gives up what is older than the retention at `now`.
    pub fn expire(&mut self, now: TradeTime) -> Vec<(Symbol, IdRange, End)> {
        let bound = now.ms() - RETENTION_MS;
        let (expired, open) = self.holes.drain(..).partition::<VecDeque<_>, _>(|hole| hole.time.ms() < bound);
        self.holes = open;
        expired.into_iter().map(|hole| (hole.symbol, hole.left, End::Expired)).collect()
    }

    /// The exchange gave a later id than was asked for.
    fn absent(&mut self, mut hole: Open, first: u64, now: Instant) -> Brought {
        hole.absent += 1;
        if hole.absent < ABSENT_TIMES {
            hole.not_before = now + ABSENT_WAIT;
            self.holes.push_back(hole);
            return Brought::default();
        }
        let ids = first.min(hole.left.last + 1) - hole.left.first;
        let gone = IdRange { first: hole.left.first, last: hole.left.first + ids - 1 };
        let ended = (hole.symbol.clone(), gone, End::NotAtExchange);
        (hole.absent, hole.first) = (0, gone.last + 1);
        self.advance(hole, ids);
        Brought { trades: Vec::new(), ended: Some(ended) }
    }

    /// `ids` more of the hole are done, and maybe all of it; the rest goes on before other holes.
    fn advance(&mut self, mut hole: Open, ids: u64) -> bool {
        hole.left.first += ids;
        let is_over = hole.left.first > hole.left.last;
        if !is_over {
            self.holes.push_front(hole);
        }
        is_over
    }

    fn allowed(&self, now: Instant) -> Instant {
        self.budget.next_allowed(HISTORY_WEIGHT, now).max(self.not_before)
    }
}

#[cfg(test)]
mod tests;
