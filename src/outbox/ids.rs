//! Trade ids of several symbols.

use foldhash::HashMap;

use crate::trade::{IdRange, IdRanges, Symbol, Trade, TradeTime};

/// Ids by symbol, with the time of each symbol's newest trade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TradeIds(HashMap<Symbol, (IdRanges, TradeTime)>);

impl TradeIds {
    /// The ids of `trades`.
    pub fn of(trades: &[Trade]) -> Self {
        let mut ids = Self::default();
        for run in trades.chunk_by(|one, next| one.symbol == next.symbol && one.id.get() + 1 == next.id.get()) {
            let [first, .., last] = run else {
                run.iter().for_each(|trade| ids.add(&trade.symbol, trade.id.into(), trade.time));
                continue;
            };
            let newest = run.iter().map(|trade| trade.time).max().unwrap_or(last.time);
            ids.add(&first.symbol, IdRange { first: first.id.get(), last: last.id.get() }, newest);
        }
        ids
    }

    /// Adds ids of trades of which the newest is of `newest`.
    pub fn add(&mut self, symbol: &Symbol, range: IdRange, newest: TradeTime) {
        match self.0.get_mut(symbol) {
            Some((ranges, time)) => {
                ranges.insert(range);
                *time = newest.max(*time);
            }
            None => {
                let mut ranges = IdRanges::default();
                ranges.insert(range);
                self.0.insert(symbol.clone(), (ranges, newest));
            }
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (symbol, range, newest) in other.ranges() {
            self.add(symbol, range, newest);
        }
    }

    /// Every range, with the time of its symbol's newest trade.
    pub fn ranges(&self) -> impl Iterator<Item = (&Symbol, IdRange, TradeTime)> {
        self.symbols().flat_map(|(symbol, ranges, newest)| ranges.iter().map(move |range| (symbol, range, newest)))
    }

    /// How many ids these are.
    pub fn count(&self) -> u64 {
        self.ranges().map(|(_, range, _)| range.count()).sum()
    }

    /// Every symbol with its ids and the time of its newest trade.
    pub fn symbols(&self) -> impl Iterator<Item = (&Symbol, &IdRanges, TradeTime)> {
        self.0.iter().map(|(symbol, (ranges, newest))| (symbol, ranges, *newest))
    }

    /// As text: `SYMBOL FIRST LAST NEWEST_MS` a line.
    pub(super) fn to_text(&self) -> String {
        let line = |(symbol, range, newest): (&Symbol, IdRange, TradeTime)| {
            format!("{symbol} {} {} {}\n", range.first, range.last, newest.ms())
        };
        self.ranges().map(line).collect()
    }

    /// From what [`Self::to_text`] gave; `None` if the text is something else.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut ids = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let symbol = words.next()?.parse().ok()?;
            let (first, last) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let newest = TradeTime::from_ms(words.next()?.parse().ok()?).ok()?;
            if words.next().is_some() || first > last {
                return None;
            }
            ids.add(&symbol, IdRange { first, last }, newest);
        }
        Some(ids)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trade::example::trade;

    #[test]
    fn runs_become_ranges_and_the_newest_time_counts() {
        let trades = [(5, 10), (6, 30), (7, 20), (9, 25)].map(|(id, ms)| trade(id, ms));
        let ids = TradeIds::of(&trades);
        let ranges: Vec<_> = ids.ranges().map(|(_, range, newest)| (range.first, range.last, newest.ms())).collect();
        assert_eq!(ranges, [(5, 7, 30), (9, 9, 30)]);
    }

    #[test]
    fn text_that_is_something_else_is_refused() {
        for text in ["BTCUSDT", "BTCUSDT 1 2", "BTCUSDT 2 1 5", "BTCUSDT 1 2 3 4", "BTCUSDT 1 x 3", "a/b 1 2 3"] {
            assert_eq!(TradeIds::from_text(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_keeps_everything(ids in prop::collection::vec((1u64..50, 0i64..99), 0..40)) {
            let trades: Vec<_> = ids.into_iter().map(|(id, ms)| trade(id, ms)).collect();
            let ids = TradeIds::of(&trades);
            prop_assert_eq!(TradeIds::from_text(&ids.to_text()), Some(ids.clone()));
            for trade in &trades {
                let holds = |ranges: &IdRanges, newest| ranges.contains(trade.id.get()) && newest >= trade.time;
                prop_assert!(ids.symbols().any(|(_, ranges, newest)| holds(ranges, newest)));
            }
        }
    }
}
