//! What there was before this run: the ledger tells at once, and the store itself is asked, beside live capture.
//!
//! The ledger says what the store has acknowledged; only the store says what it still has. So every symbol is audited at
//! each start, and after the store has come back, one at a time: a thousand questions at once would keep it from writing.
//! Where the token may not read, the ledger stands alone. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use foldhash::HashSet;

use crate::outbox::Ended;
use crate::trade::{IdRanges, Symbol, TradeIds};

/// A store that does not answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Which symbols the store is to be asked about.
#[derive(Debug, Default)]
pub struct Past {
    waiting: VecDeque<Symbol>,
    asking: Option<Symbol>,
    not_before: Option<Instant>,
    has_begun: bool,
    /// The store's own id, once it told it.
    store_id: Option<String>,
    /// Ids that stay missing, as the ledger knew at the start.
    ended: Vec<Ended>,
    /// Symbols of which it was said what is known.
    told: HashSet<Symbol>,
    /// What the store acknowledged while it was asked: the answer may not know of it.
    acknowledged: TradeIds,
}

impl Past {
    /// Takes what the ledger knows to stay missing.
    pub fn set_ended(&mut self, ended: Vec<Ended>) {
        self.ended = ended;
    }

    /// Ids of a symbol that stay missing, as the ledger knew at the start.
    pub fn ended(&self, symbol: &Symbol) -> IdRanges {
        self.ended.iter().filter(|ended| ended.symbol == *symbol).map(|ended| ended.range).collect()
    }

    /// The store told its id; gives the one that it told before.
    pub fn set_store_id(&mut self, id: Option<String>) -> Option<String> {
        std::mem::replace(&mut self.store_id, id)
    }

    /// Says once for each symbol that it is to be told what is known of it.
    pub fn is_untold(&mut self, symbol: &Symbol) -> bool {
        self.told.insert(symbol.clone())
    }

    /// Says once that it is time to begin.
    pub fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.has_begun, true)
    }

    /// The store is to be asked about all of `symbols`.
    pub fn ask_about(&mut self, symbols: &[Symbol]) {
        for symbol in symbols {
            if !self.waiting.contains(symbol) {
                self.waiting.push_back(symbol.clone());
            }
        }
    }

    /// The symbol to ask about at `now`, if any.
    pub fn next(&mut self, now: Instant) -> Option<Symbol> {
        if self.asking.is_some() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.asking = Some(self.waiting.pop_front()?);
        self.not_before = None;
        self.acknowledged = TradeIds::default();
        self.asking.clone()
    }

    /// When to ask, if that is not at once.
    pub fn deadline(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.asking.is_none() && !self.waiting.is_empty())
    }

    /// The store acknowledged these ids.
    pub fn acknowledged(&mut self, ids: &TradeIds) {
        if self.asking.is_some() {
            self.acknowledged.merge(ids);
        }
    }

    /// The answer came, or will not come: gives what was acknowledged since the question.
    pub fn answered(&mut self) -> TradeIds {
        self.asking = None;
        std::mem::take(&mut self.acknowledged)
    }

    /// The store did not answer; it is asked again after a while.
    pub fn ask_again(&mut self, symbol: &Symbol, now: Instant) {
        self.waiting.push_front(symbol.clone());
        self.not_before = Some(now + ASK_AGAIN);
    }

    /// A symbol's count was started again: an answer that is awaited is of no use.
    pub fn restarted(&mut self, symbol: &Symbol) {
        if self.asking.as_ref() == Some(symbol) && !self.waiting.contains(symbol) {
            self.waiting.push_back(symbol.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::{IdRange, TradeTime};

    #[test]
    fn symbols_are_asked_about_one_at_a_time_and_again_after_a_failure() {
        let now = Instant::now();
        let symbols = ["A", "B"].map(|name| name.parse::<Symbol>().unwrap());
        let mut past = Past::default();
        past.ask_about(&symbols);
        past.ask_about(&symbols);
        assert_eq!(past.next(now).as_ref(), Some(&symbols[0]));
        assert_eq!(past.next(now), None);
        past.answered();
        past.ask_again(&symbols[0], now);
        assert_eq!((past.next(now), past.deadline()), (None, Some(now + ASK_AGAIN)));
        assert_eq!(past.next(now + ASK_AGAIN).as_ref(), Some(&symbols[0]));
        past.answered();
        assert_eq!(past.next(now + ASK_AGAIN).as_ref(), Some(&symbols[1]));
        past.answered();
        assert_eq!((past.next(now + ASK_AGAIN), past.deadline()), (None, None));
    }

    #[test]
    fn what_is_acknowledged_during_a_question_is_told_with_its_answer() {
        let symbol: Symbol = "A".parse().unwrap();
        let mut ids = TradeIds::default();
        ids.add(&symbol, IdRange { first: 1, last: 2 }, TradeTime::EPOCH);
        let mut past = Past::default();
        past.acknowledged(&ids);
        past.ask_about(std::slice::from_ref(&symbol));
        past.next(Instant::now());
        assert!(past.answered().is_empty(), "that was before");
        past.ask_about(std::slice::from_ref(&symbol));
        past.next(Instant::now());
        past.acknowledged(&ids);
        assert_eq!(past.answered(), ids);
    }
}
