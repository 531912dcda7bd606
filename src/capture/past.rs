//! What there was before this run: the ledger tells at once, and the store itself is asked, beside live capture.
//!
//! The ledger says what the store has acknowledged; only the store says what it still has. So every symbol is audited at
//! each start, and after the store has come back, one at a time: a thousand questions at once would keep it from writing.
//! At a start the question ends where this run begins: what the run itself is writing is in nobody's way then. Where the
//! token may not read, the ledger stands alone. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::outbox::Ended;
use crate::trade::{HoleState, IdRanges, Symbol, SymbolMap, SymbolSet, TradeIds, TradeTime};

/// A store that does not answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Which symbols the store is to be asked about.
#[derive(Debug, Default)]
pub struct Past {
    waiting: VecDeque<Symbol>,
    asking: Option<Asked>,
    /// Up to when the ledger reached at the start, for as long as the store is asked about the time before this run alone.
    ledger_ends: Option<SymbolMap<TradeTime>>,
    not_before: Option<Instant>,
    has_begun: bool,
    /// The store's own id, once it told it.
    store_id: Option<String>,
    /// Ids that stay missing, as the ledger knew at the start, and those that were lost and may still come.
    ended: Vec<Ended>,
    lost: TradeIds,
    /// An answer could not be judged, because the clocks disagreed.
    is_unjudged: bool,
    /// Symbols of which it was said what is known.
    told: SymbolSet,
}

/// What the store is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// About which symbol.
    pub symbol: Symbol,
    /// Only about trades before then.
    pub until: Option<TradeTime>,
    /// What it acknowledged meanwhile: the answer may not know of it.
    pub acknowledged: TradeIds,
}

impl Past {
    /// Takes what the ledger knows to be missing: for good, and lost.
    pub fn set_missing(&mut self, ended: Vec<Ended>, lost: TradeIds) {
        (self.ended, self.lost) = (ended, lost);
    }

    /// Ids that the exchange did not have when an earlier run asked for them.
    pub fn absent(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter().filter(|ended| ended.state == HoleState::NotAtExchange)
    }

    /// Ids of a symbol that an earlier run lost, with the time of their newest trade; they are told once.
    pub fn take_lost(&mut self, symbol: &Symbol) -> Option<(IdRanges, TradeTime)> {
        let lost = self.lost.of_symbol(symbol);
        self.lost.forget(symbol);
        lost
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

    /// The store is to be asked what it had of all of `symbols` before this run, where the ledger reached up to `ends`.
    pub fn ask_about_past(&mut self, symbols: &[Symbol], ends: SymbolMap<TradeTime>) {
        self.ledger_ends = Some(ends);
        self.enqueue(symbols);
    }

    /// The store is to be asked about all of `symbols`, this run's trades with the others.
    pub fn ask_about(&mut self, symbols: &[Symbol]) {
        self.ledger_ends = None;
        self.enqueue(symbols);
    }

    fn enqueue(&mut self, symbols: &[Symbol]) {
        for symbol in symbols {
            if !self.waiting.contains(symbol) {
                self.waiting.push_back(symbol.clone());
            }
        }
    }

    /// What to ask at `now`, if anything. `begun` says when a symbol's first trade of this run happened.
    pub fn next(&mut self, now: Instant, begun: impl FnOnce(&Symbol) -> Option<TradeTime>) -> Option<&Asked> {
        if self.asking.is_some() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let symbol = self.waiting.pop_front()?;
        self.not_before = None;
        let end = |ends: &SymbolMap<TradeTime>| {
            let last = begun(&symbol)?.max(ends.get(&symbol).copied().unwrap_or(TradeTime::EPOCH));
            TradeTime::from_ms(last.ms() + 1).ok()
        };
        let until = self.ledger_ends.as_ref().and_then(end);
        Some(self.asking.insert(Asked { symbol, until, acknowledged: TradeIds::default() }))
    }

    /// Whether the store was asked about everything: who else has a question may ask it now.
    pub fn is_idle(&self) -> bool {
        self.has_begun && self.asking.is_none() && self.waiting.is_empty()
    }

    /// When to ask, if that is not at once.
    pub fn deadline(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.asking.is_none() && !self.waiting.is_empty())
    }

    /// The store acknowledged these ids.
    pub fn acknowledged(&mut self, ids: &TradeIds) {
        if let Some(asked) = &mut self.asking {
            asked.acknowledged.merge(ids);
        }
    }

    /// The answer came, or will not come: gives what was asked.
    pub fn answered(&mut self) -> Option<Asked> {
        self.asking.take()
    }

    /// The store did not answer; it is asked again after a while.
    pub fn ask_again(&mut self, symbol: &Symbol, now: Instant) {
        self.waiting.push_front(symbol.clone());
        self.not_before = Some(now + ASK_AGAIN);
    }

    /// The answer cannot be judged as long as the clocks disagree.
    pub fn note_unjudged(&mut self) {
        self.is_unjudged = true;
    }

    /// Says once whether an answer could not be judged, so that the store has to be asked again.
    pub fn take_unjudged(&mut self) -> bool {
        std::mem::take(&mut self.is_unjudged)
    }

    /// A symbol's count was started again: an answer that is awaited is of no use.
    pub fn restarted(&mut self, symbol: &Symbol) {
        if self.asking.as_ref().is_some_and(|asked| asked.symbol == *symbol) && !self.waiting.contains(symbol) {
            self.waiting.push_back(symbol.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::{IdRange, TradeTime};

    fn next(past: &mut Past, now: Instant) -> Option<Symbol> {
        past.next(now, |_| None).map(|asked| asked.symbol.clone())
    }

    #[test]
    fn symbols_are_asked_about_one_at_a_time_and_again_after_a_failure() {
        let now = Instant::now();
        let symbols = ["A", "B"].map(|name| name.parse::<Symbol>().unwrap());
        let mut past = Past::default();
        past.ask_about(&symbols);
        past.ask_about(&symbols);
        assert_eq!(next(&mut past, now).as_ref(), Some(&symbols[0]));
        assert_eq!(next(&mut past, now), None);
        past.answered();
        past.ask_again(&symbols[0], now);
        assert_eq!((next(&mut past, now), past.deadline()), (None, Some(now + ASK_AGAIN)));
        assert_eq!(next(&mut past, now + ASK_AGAIN).as_ref(), Some(&symbols[0]));
        past.answered();
        assert_eq!(next(&mut past, now + ASK_AGAIN).as_ref(), Some(&symbols[1]));
        past.answered();
        assert_eq!((next(&mut past, now + ASK_AGAIN), past.deadline()), (None, None));
    }

    #[test]
    fn what_is_acknowledged_during_a_question_is_told_with_its_answer() {
        let symbol: Symbol = "A".parse().unwrap();
        let mut ids = TradeIds::default();
        ids.add(&symbol, IdRange { first: 1, last: 2 }, TradeTime::EPOCH);
        let mut past = Past::default();
        past.acknowledged(&ids);
        past.ask_about(std::slice::from_ref(&symbol));
        next(&mut past, Instant::now());
        assert!(past.answered().unwrap().acknowledged.is_empty(), "that was before");
        past.ask_about(std::slice::from_ref(&symbol));
        next(&mut past, Instant::now());
        past.acknowledged(&ids);
        assert_eq!(past.answered().unwrap().acknowledged, ids);
        assert_eq!(past.answered(), None);
    }

    #[test]
    fn a_start_asks_up_to_where_run_and_ledger_meet_and_a_store_that_is_back_is_asked_for_all() {
        let time = |ms| TradeTime::from_ms(ms).unwrap();
        let symbol: Symbol = "A".parse().unwrap();
        let symbols = std::slice::from_ref(&symbol);
        let until = |past: &mut Past, begun: Option<i64>| {
            let until = past.next(Instant::now(), |_| begun.map(time)).unwrap().until;
            past.answered();
            until.map(TradeTime::ms)
        };
        for (ledger_end, begun, expected) in [
            (Some(500), Some(700), Some(701)),
            (Some(900), Some(700), Some(901)),
            (None, Some(700), Some(701)),
            // No trade of this run yet: everything there is was there before.
            (Some(500), None, None),
        ] {
            let mut past = Past::default();
            past.ask_about_past(symbols, ledger_end.map(|ms| (symbol.clone(), time(ms))).into_iter().collect());
            assert_eq!(until(&mut past, begun), expected);
            past.ask_again(&symbol, Instant::now() - ASK_AGAIN);
            assert_eq!(until(&mut past, begun), expected, "also when it is asked again");
            past.ask_about(symbols);
            assert_eq!(until(&mut past, begun), None);
        }
    }
}
