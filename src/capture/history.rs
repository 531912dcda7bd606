//! The exchange's history: carries out what [`Repairs`] decides.

use std::time::Instant;

use tokio::task::{JoinError, JoinSet};

use super::repair::{self, Brought, End, Repairs};
use super::sequencer::Hole;
use crate::binance::rest::{Rest, RestError};
use crate::outbox::Ended;
use crate::telemetry::{Event, Tally};
use crate::trade::{Symbol, Trade, TradeTime};

/// A page of history, or why there is none.
pub type Answer = Result<Vec<Trade>, RestError>;

/// Holes, and REST to fill them from.
#[derive(Debug)]
pub struct History {
    /// `None`: holes are reported only.
    rest: Option<Rest>,
    repairs: Repairs,
    /// The page that is awaited.
    asking: JoinSet<Answer>,
    ended: Vec<Ended>,
}

impl History {
    /// Repairs from `rest`, if there is one.
    pub fn new(rest: Option<Rest>, now: Instant) -> Self {
        Self { rest, repairs: Repairs::new(now), asking: JoinSet::new(), ended: Vec::new() }
    }

    /// Reports a hole and takes it on.
    pub fn add(&mut self, hole: Hole, now: Instant, tally: &mut Tally) {
        tally.note(&Event::HoleFound(&hole.symbol, hole.range));
        if self.rest.is_some() {
            let ended = self.repairs.add(hole, now);
            self.note_ended(ended, tally);
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

    /// Asks for the next page, if one is due.
    pub fn ask(&mut self, now: Instant) {
        let Some(rest) = &self.rest else { return };
        if let Some(request) = self.repairs.next_request(now) {
            let rest = rest.clone();
            self.asking.spawn(async move { rest.history(&request.symbol, request.from_id, request.limit).await });
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

    /// Gives the trades of an answer that were missing.
    pub fn answered(&mut self, answer: Answer, now: Instant, rng: &mut fastrand::Rng, tally: &mut Tally) -> Vec<Trade> {
        match answer {
            Ok(page) => {
                let Brought { trades, ended } = self.repairs.page(page, now, rng);
                self.note_ended(ended, tally);
                trades
            }
            Err(error) => {
                tally.note(&Event::HistoryFailed { why: &crate::error_chain(&error) });
                self.repairs.failed(&error, now, rng);
                Vec::new()
            }
        }
    }

    /// Gives up the holes that are older than the retention.
    pub fn expire(&mut self, now: TradeTime, tally: &mut Tally) {
        let ended = self.repairs.expire(now);
        self.note_ended(ended, tally);
    }

    /// When to ask again, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.repairs.next_due(now)
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
