//! Trade ids of several symbols, by the hour of their trades.

use super::{IdRange, IdRanges, Symbol, SymbolMap, Trade, TradeTime};

/// How finely the times of ids are told apart, in ms.
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// Ranges of ids of a symbol and hour that are told apart, at most (P6): 16 bytes each.
const RUNS_MAX: usize = 100_000;

/// Ids by symbol and hour. Ids that were added together are of one hour, that of their newest trade; so what is older than
/// some hours can be forgotten, and is little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TradeIds(SymbolMap<Vec<HourIds>>);

/// Ids of one symbol and hour.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HourIds {
    /// Hours since 1970.
    hour: i64,
    ids: IdRanges,
    newest: TradeTime,
}

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
        self.put(symbol, range, newest, usize::MAX);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (symbol, range, newest) in other.ranges() {
            self.add(symbol, range, newest);
        }
    }

    /// As [`Self::add`], and forgets the lowest ids if the symbol has more than 100,000 ranges in that hour then: for
    /// whoever relies on these ids knows less then, and nothing that is wrong.
    pub fn add_bounded(&mut self, symbol: &Symbol, range: IdRange, newest: TradeTime) {
        self.put(symbol, range, newest, RUNS_MAX);
    }

    /// [`Self::add_bounded`] with all of `other`.
    pub fn merge_bounded(&mut self, other: &Self) {
        for (symbol, range, newest) in other.ranges() {
            self.add_bounded(symbol, range, newest);
        }
    }

    /// Takes the ids of `others` out, of whatever hour they are.
    pub fn remove(&mut self, others: &Self) {
        for (symbol, range, _) in others.ranges() {
            self.remove_range(symbol, range);
        }
    }

    /// Takes the ids of `range` of a symbol out.
    pub fn remove_range(&mut self, symbol: &Symbol, range: IdRange) {
        let Some(hours) = self.0.get_mut(symbol) else { return };
        hours.iter_mut().for_each(|hour| hour.ids.remove(range));
        hours.retain(|hour| hour.ids.span().is_some());
        if hours.is_empty() {
            self.0.remove(symbol);
        }
    }

    /// Takes all ids of a symbol out.
    pub fn forget(&mut self, symbol: &Symbol) {
        self.0.remove(symbol);
    }

    /// Keeps what has a trade of `bound` or later.
    pub fn forget_before(&mut self, bound: TradeTime) {
        self.0.values_mut().for_each(|hours| hours.retain(|hour| hour.newest >= bound));
        self.0.retain(|_, hours| !hours.is_empty());
    }

    /// Every range, with the time of the newest trade of its symbol and hour.
    pub fn ranges(&self) -> impl Iterator<Item = (&Symbol, IdRange, TradeTime)> {
        self.0.iter().flat_map(|(symbol, hours)| {
            hours.iter().flat_map(move |hour| hour.ids.iter().map(move |range| (symbol, range, hour.newest)))
        })
    }

    /// The ids of a symbol, and the time of its newest trade.
    pub fn of_symbol(&self, symbol: &Symbol) -> Option<(IdRanges, TradeTime)> {
        let hours = self.0.get(symbol)?;
        let ids = hours.iter().flat_map(|hour| hour.ids.iter()).collect();
        Some((ids, hours.iter().map(|hour| hour.newest).max()?))
    }

    /// The lowest id of a symbol of which every trade is of `bound` or later, as far as hours tell.
    pub fn first_since(&self, symbol: &Symbol, bound: TradeTime) -> Option<u64> {
        let young = self.0.get(symbol)?.iter().filter(|hour| hour.hour * HOUR_MS >= bound.ms());
        young.filter_map(|hour| hour.ids.span()).map(|span| span.first).min()
    }

    /// Whether there is no id.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ids these are.
    pub fn count(&self) -> u64 {
        self.ranges().map(|(_, range, _)| range.count()).sum()
    }

    /// Adds a range; of its symbol and hour no more than `runs_max` ranges are kept.
    fn put(&mut self, symbol: &Symbol, range: IdRange, newest: TradeTime, runs_max: usize) {
        let hours = match self.0.get_mut(symbol) {
            Some(hours) => hours,
            None => self.0.entry(symbol.clone()).or_default(),
        };
        let hour = newest.ms() / HOUR_MS;
        match hours.iter_mut().find(|other| other.hour == hour) {
            Some(other) => {
                other.ids.insert(range);
                other.newest = newest.max(other.newest);
                if other.ids.runs() > runs_max {
                    other.ids.forget_lowest(runs_max / 10);
                }
            }
            None => hours.push(HourIds { hour, ids: range.into(), newest }),
        }
    }

    /// As text: `SYMBOL FIRST LAST NEWEST_MS` a line.
    pub(crate) fn to_text(&self) -> String {
        let line = |(symbol, range, newest): (&Symbol, IdRange, TradeTime)| {
            format!("{symbol} {} {} {}\n", range.first, range.last, newest.ms())
        };
        self.ranges().map(line).collect()
    }

    /// From what [`Self::to_text`] gave; `None` if the text is something else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
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

    fn ranges(ids: &TradeIds) -> Vec<(u64, u64, i64)> {
        ids.ranges().map(|(_, range, newest)| (range.first, range.last, newest.ms())).collect()
    }

    #[test]
    fn an_hour_of_ids_that_do_not_touch_is_bounded() {
        let (symbol, time) = ("A".parse().unwrap(), TradeTime::EPOCH);
        let mut ids = TradeIds::default();
        for id in (1..=250_001).step_by(2) {
            ids.add_bounded(&symbol, IdRange { first: id, last: id }, time);
        }
        assert!(ids.ranges().count() <= RUNS_MAX);
        let newest = ids.ranges().map(|(_, range, _)| range.last).max();
        assert_eq!(newest, Some(250_001), "the newest are kept");
    }

    #[test]
    fn runs_become_ranges_and_the_newest_time_of_the_hour_counts() {
        let trades = [(5, 10), (6, 30), (7, 20), (9, 25), (10, HOUR_MS)].map(|(id, ms)| trade(id, ms));
        assert_eq!(ranges(&TradeIds::of(&trades[..4])), [(5, 7, 30), (9, 9, 30)]);
        assert_eq!(ranges(&TradeIds::of(&trades)), [(5, 7, 30), (9, 10, HOUR_MS)]);
    }

    #[test]
    fn what_is_old_can_be_forgotten_by_the_hour() {
        let symbol: Symbol = "BTCUSDT".parse().unwrap();
        let time = |ms| TradeTime::from_ms(ms).unwrap();
        let mut ids = TradeIds::default();
        for (first, ms) in [(1, 10), (11, HOUR_MS + 5), (21, 2 * HOUR_MS)] {
            ids.add(&symbol, IdRange { first, last: first + 9 }, time(ms));
        }
        assert_eq!(ids.first_since(&symbol, time(HOUR_MS)), Some(11));
        assert_eq!(ids.first_since(&symbol, time(HOUR_MS + 1)), Some(21), "a part of that hour may be older");
        assert_eq!(ids.of_symbol(&symbol).unwrap().0.span(), Some(IdRange { first: 1, last: 30 }));
        ids.forget_before(time(HOUR_MS + 5));
        assert_eq!(ranges(&ids), [(11, 20, HOUR_MS + 5), (21, 30, 2 * HOUR_MS)]);
        ids.remove_range(&symbol, IdRange { first: 15, last: 24 });
        assert_eq!(ids.count(), 10);
    }

    #[test]
    fn text_that_is_something_else_is_refused() {
        for text in ["BTCUSDT", "BTCUSDT 1 2", "BTCUSDT 2 1 5", "BTCUSDT 1 2 3 4", "BTCUSDT 1 x 3", "a/b 1 2 3"] {
            assert_eq!(TradeIds::from_text(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_keeps_everything(ids in prop::collection::vec((1u64..50, 0i64..3 * HOUR_MS), 0..40)) {
            let trades: Vec<_> = ids.into_iter().map(|(id, ms)| trade(id, ms)).collect();
            let ids = TradeIds::of(&trades);
            prop_assert_eq!(TradeIds::from_text(&ids.to_text()), Some(ids.clone()));
            for trade in &trades {
                let holds = |range: IdRange, newest| range.first <= trade.id.get() && trade.id.get() <= range.last && newest >= trade.time;
                prop_assert!(ids.ranges().any(|(_, range, newest)| holds(range, newest)));
            }
        }
    }
}
