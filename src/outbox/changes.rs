//! What is to be entered in the ledger next: gathered, so that the disk is not asked for each batch.
//!
//! However long the disk refuses, this stays small: what follows each other becomes one (P6). Pure.

use super::Rows;
use crate::trade::{HoleState, IdRange, Symbol, TradeIds, TradeTime};

/// Ids whose story is over without a trade, as far as anyone knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whose ids.
    pub symbol: Symbol,
    /// Which.
    pub range: IdRange,
    /// Why.
    pub state: HoleState,
}

/// Changes of an outbox and its ledger, done in one transaction in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Symbols whose count started again, with the time of the first trade of the new one: all before is forgotten.
    pub restarted: Vec<(Symbol, TradeTime)>,
    /// Batches to remove: the store has acknowledged them, or they cannot be read.
    pub removed: Vec<Rows>,
    /// Ids that were taken, and that neither the store nor the outbox has after all.
    pub lost: TradeIds,
    /// Ids that stay missing.
    pub ended: Vec<Ended>,
    /// Ids that the store has.
    pub stored: TradeIds,
    /// Forget what is older.
    pub forget_before: Option<TradeTime>,
    /// The store's own id, where it was not known.
    pub store_id: Option<String>,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rows are of no use any more.
    pub fn remove(&mut self, rows: Rows) {
        match self.removed.iter_mut().find(|other| other.last + 1 == rows.first || rows.last + 1 == other.first) {
            Some(other) => *other = Rows { first: other.first.min(rows.first), last: other.last.max(rows.last) },
            None => self.removed.push(rows),
        }
    }

    /// The store has acknowledged these ids.
    pub fn store(&mut self, ids: &TradeIds) {
        self.stored.merge_bounded(ids);
    }

    /// Nobody has ids of a symbol any more that were taken; the newest trade among them is of `time`.
    pub fn lose(&mut self, symbol: &Symbol, range: IdRange, time: TradeTime) {
        self.stored.remove_range(symbol, range);
        self.lost.add(symbol, range, time);
    }

    /// These ids stay missing.
    pub fn end(&mut self, ended: Ended) {
        self.stored.remove_range(&ended.symbol, ended.range);
        let touches = |other: &&mut Ended| {
            other.symbol == ended.symbol
                && other.state == ended.state
                && (other.range.last + 1 == ended.range.first || ended.range.last + 1 == other.range.first)
        };
        match self.ended.iter_mut().rev().find(touches) {
            Some(Ended { range, .. }) => {
                range.first = range.first.min(ended.range.first);
                range.last = range.last.max(ended.range.last);
            }
            None => self.ended.push(ended),
        }
    }

    /// The exchange started a symbol's count again with a trade of `time`.
    pub fn restart(&mut self, symbol: &Symbol, time: TradeTime) {
        self.stored.forget(symbol);
        self.lost.forget(symbol);
        self.ended.retain(|ended| ended.symbol != *symbol);
        self.restarted.retain(|(other, _)| other != symbol);
        self.restarted.push((symbol.clone(), time));
    }

    /// The file is gone: its rows need not be removed.
    pub fn forget_rows(&mut self) {
        self.removed.clear();
    }

    /// Puts what could not be done earlier in front of it.
    pub fn put_before(&mut self, earlier: Self) {
        let later = std::mem::replace(self, earlier);
        self.put_behind(later);
    }

    /// Puts what came later behind it.
    pub fn put_behind(&mut self, later: Self) {
        later.restarted.iter().for_each(|(symbol, time)| self.restart(symbol, *time));
        later.removed.into_iter().for_each(|rows| self.remove(rows));
        later.lost.ranges().for_each(|(symbol, range, time)| self.lose(symbol, range, time));
        later.ended.into_iter().for_each(|ended| self.end(ended));
        self.store(&later.stored);
        self.forget_before = self.forget_before.max(later.forget_before);
        self.store_id = later.store_id.or(self.store_id.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol() -> Symbol {
        "BTCUSDT".parse().unwrap()
    }

    fn time(ms: i64) -> TradeTime {
        TradeTime::from_ms(ms).unwrap()
    }

    fn range(first: u64, last: u64) -> IdRange {
        IdRange { first, last }
    }

    fn ids(first: u64, last: u64) -> TradeIds {
        let mut ids = TradeIds::default();
        ids.add(&symbol(), range(first, last), time(1_000));
        ids
    }

    #[test]
    fn an_hour_of_a_disk_that_refuses_stays_little() {
        let mut pending = Changes::default();
        for batch in 0..100_000 {
            let mut later = Changes::default();
            later.store(&ids(batch * 10, batch * 10 + 9));
            later.remove(Rows { first: batch.cast_signed(), last: batch.cast_signed() });
            later.end(Ended {
                symbol: symbol(),
                range: range(5_000_000 + batch, 5_000_000 + batch),
                state: HoleState::Refused,
            });
            later.put_before(std::mem::take(&mut pending));
            pending = later;
        }
        assert_eq!((pending.removed.len(), pending.ended.len()), (1, 1));
        assert_eq!(pending.stored.ranges().count(), 1);
    }

    #[test]
    fn what_comes_later_holds() {
        let mut changes = Changes::default();
        changes.store(&ids(1, 9));
        changes.lose(&symbol(), range(4, 5), time(1_000));
        assert_eq!(changes.stored.count(), 7);
        changes.store(&ids(4, 4));
        assert_eq!((changes.stored.count(), changes.lost.count()), (8, 2), "lost first, and then stored");
        changes.restart(&symbol(), time(2_000));
        assert!(changes.stored.is_empty() && changes.lost.is_empty());
        changes.store(&ids(1, 2));
        assert_eq!(changes.stored.count(), 2, "of the new count");
        assert_eq!(changes.restarted, [(symbol(), time(2_000))]);
    }

    #[test]
    fn an_acknowledgement_after_an_undone_restart_is_kept() {
        let (mut undone, mut pending) = (Changes::default(), Changes::default());
        undone.restart(&symbol(), time(2_000));
        undone.store(&ids(1, 2));
        pending.store(&ids(3, 4));
        pending.put_before(undone);
        assert_eq!(pending.stored.count(), 4);
    }
}
