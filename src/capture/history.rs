//! The exchange's history: carries out what [`Repairs`] decides, and looks single ids up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::repair::{self, Brought, End, Repairs, Request};
use super::sequencer::Hole;
use crate::binance::rest::{Aggregate, Rest, RestError};
use crate::binance::weight::AGGREGATE_WEIGHT;
use crate::outbox::Ended;
use crate::telemetry::{Event, Tally};
use crate::trade::{Symbol, Trade, TradeTime};

/// A lookup that failed is tried again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A single id to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The first id of a symbol from a time on.
    First(Symbol, TradeTime),
    /// The newest id of a symbol.
    Newest(Symbol),
}

/// What the exchange answered.
#[derive(Debug)]
pub enum Answer {
    /// To a request for a page.
    Page(Result<Vec<Trade>, RestError>),
    /// To a lookup.
    Found(Lookup, Result<Option<Aggregate>, RestError>),
}

/// What an answer brought.
#[derive(Debug)]
pub enum Brings {
    /// Trades that were missing, perhaps none.
    Trades(Vec<Trade>),
    /// What was looked up; ids and time are of that aggregate.
    Found(Lookup, Aggregate),
}

/// Holes, and REST to fill them from.
#[derive(Debug)]
pub struct History {
    /// `None`: holes are reported only.
    rest: Option<Rest>,
    repairs: Repairs,
    lookups: VecDeque<(Lookup, Instant)>,
    /// The answer that is awaited.
    asking: JoinSet<Answer>,
    ended: Vec<Ended>,
}

impl History {
    /// Repairs from `rest`, if there is one.
    pub fn new(rest: Option<Rest>, now: Instant) -> Self {
        Self { rest, repairs: Repairs::new(now), lookups: VecDeque::new(), asking: JoinSet::new(), ended: Vec::new() }
    }

    /// Reports a hole and takes it on.
    pub fn add(&mut self, hole: Hole, now: Instant, tally: &mut Tally) {
        tally.note(&Event::HoleFound(&hole.symbol, hole.range));
        if self.rest.is_some() {
            let ended = self.repairs.add(hole, now);
            self.note_ended(ended, tally);
        }
    }

    /// Looks an id up, unless that is waiting already.
    pub fn look_up(&mut self, lookup: Lookup, now: Instant) {
        if self.rest.is_some() && self.lookups.iter().all(|(waiting, _)| *waiting != lookup) {
            self.lookups.push_back((lookup, now));
        }
    }

    /// The ids that will never come, since the last time that this was asked.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// The exchange started a symbol's count again: its old ids are not there any more.
    pub fn restarted(&mut self, symbol: &Symbol) {
        self.repairs.forget(symbol);
    }

    /// Asks for the next thing that is due; one at a time.
    pub fn ask(&mut self, now: Instant) {
        let Some(rest) = self.rest.as_ref().filter(|_| self.asking.is_empty()) else { return };
        let rest = rest.clone();
        let due = self.lookups.iter().position(|(_, not_before)| *not_before <= now);
        if let Some(at) = due.filter(|_| self.repairs.may_ask(AGGREGATE_WEIGHT, now)) {
            let Some((lookup, _)) = self.lookups.remove(at) else { return };
            self.asking.spawn(async move {
                let found = match &lookup {
                    Lookup::First(symbol, since) => rest.aggregate(symbol, Some(*since)).await,
                    Lookup::Newest(symbol) => rest.aggregate(symbol, None).await,
                };
                Answer::Found(lookup, found.map(|answered| answered.value))
            });
        } else if let Some(Request { symbol, from_id, limit }) = self.repairs.next_request(now) {
            self.asking.spawn(async move {
                let page = rest.history(&symbol, from_id, limit).await;
                Answer::Page(page.map(|answered| answered.value.trades().cloned().collect()))
            });
        }
    }

    /// The answer that is awaited; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If asking panicked.
    ///
    /// # Cancel safety
    ///
    /// Safe: no answer is lost.
    pub async fn next(&mut self) -> Option<Result<Answer, JoinError>> {
        self.asking.join_next().await
    }

    /// Gives what an answer brings.
    pub fn answered(&mut self, answer: Answer, now: Instant, rng: &mut fastrand::Rng, tally: &mut Tally) -> Brings {
        match answer {
            Answer::Page(Ok(page)) => {
                let Brought { trades, ended } = self.repairs.page(page, now, rng);
                self.note_ended(ended, tally);
                return Brings::Trades(trades);
            }
            Answer::Found(lookup, Ok(Some(aggregate))) => return Brings::Found(lookup, aggregate),
            Answer::Found(_, Ok(None)) => {}
            Answer::Page(Err(error)) => self.failed(&error, now, rng, tally),
            Answer::Found(lookup, Err(error)) => {
                self.failed(&error, now, rng, tally);
                self.lookups.push_back((lookup, now + LOOK_AGAIN));
            }
        }
        Brings::Trades(Vec::new())
    }

    /// Gives up the holes that are older than the retention.
    pub fn expire(&mut self, now: TradeTime, tally: &mut Tally) {
        let ended = self.repairs.expire(now);
        self.note_ended(ended, tally);
    }

    /// Whether no hole is open.
    pub fn is_idle(&self) -> bool {
        self.repairs.is_idle()
    }

    /// When to ask again, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let lookup = self.lookups.iter().map(|(_, not_before)| *not_before).min();
        let lookup = lookup.map(|not_before| not_before.max(self.repairs.allowed(AGGREGATE_WEIGHT, now)));
        let next = [self.repairs.next_due(now), lookup].into_iter().flatten().min();
        next.filter(|_| self.asking.is_empty())
    }

    fn failed(&mut self, error: &RestError, now: Instant, rng: &mut fastrand::Rng, tally: &mut Tally) {
        tally.note(&Event::HistoryFailed { why: &crate::error_chain(error) });
        self.repairs.failed(error, now, rng);
    }

    fn note_ended(&mut self, ended: impl IntoIterator<Item = repair::Ended>, tally: &mut Tally) {
        for (symbol, range, end) in ended {
            tally.note(&Event::HoleEnded(&symbol, range, end));
            if end != End::Repaired {
                self.ended.push(Ended { symbol, range, state: end.reason().to_owned() });
            }
        }
    }
}
