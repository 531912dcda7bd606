//! The audit of a store: which ids are missing between the lowest and the highest one.
//!
//! It compares ids, not clocks: Binance numbers a symbol's trades without
//! gaps, so an absent id is a missing trade (P1). After a restarted count
//! (testnets do that) the ids between the old and the new count show as a hole.

use crate::trade::{Exchange, IdRange, IdRanges, Symbol};

/// What is stored of one series, and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gaps {
    /// The exchange.
    pub exchange: Exchange,
    /// The symbol.
    pub symbol: Symbol,
    /// The lowest stored id and the highest.
    pub span: IdRange,
    /// Stored trades.
    pub trades: u64,
    /// Stored trades whose id is stored before.
    pub duplicates: u64,
    /// Absent ids within the span, in order.
    pub holes: Vec<IdRange>,
}

impl Gaps {
    /// How many ids are absent.
    pub fn missing(&self) -> u64 {
        self.holes.iter().map(|hole| hole.count()).sum()
    }

    /// The ids that are stored.
    pub fn stored(&self) -> IdRanges {
        let mut stored = IdRanges::default();
        stored.insert(self.span);
        self.holes.iter().for_each(|hole| stored.remove(*hole));
        stored
    }
}

/// Gathers the ids of one series, in any order.
#[derive(Debug, Default)]
pub struct Audit {
    ids: IdRanges,
    trades: u64,
    duplicates: u64,
}

impl Audit {
    /// Takes ids that are stored.
    pub fn add(&mut self, ids: IdRange) {
        self.trades += ids.count();
        self.duplicates += self.ids.insert(ids);
    }

    /// The result, if any id was taken.
    pub fn finish(self, exchange: Exchange, symbol: Symbol) -> Option<Gaps> {
        let Self { ids, trades, duplicates } = self;
        Some(Gaps { exchange, symbol, span: ids.span()?, trades, duplicates, holes: ids.gaps().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audited(ids: &[u64]) -> Option<Gaps> {
        let mut audit = Audit::default();
        ids.iter().for_each(|id| audit.add(IdRange { first: *id, last: *id }));
        audit.finish("binance".parse().unwrap(), "BTCUSDT".parse().unwrap())
    }

    #[test]
    fn holes_and_duplicates_are_told_apart() {
        let gaps = audited(&[5, 6, 9, 9, 12, 11, 5]).unwrap();
        assert_eq!((gaps.span, gaps.trades, gaps.duplicates), (IdRange { first: 5, last: 12 }, 7, 2));
        assert_eq!(gaps.holes, [IdRange { first: 7, last: 8 }, IdRange { first: 10, last: 10 }]);
        assert_eq!(gaps.missing(), 3);
        assert_eq!(gaps.stored().iter().flat_map(|ids| ids.first..=ids.last).collect::<Vec<_>>(), [5, 6, 9, 11, 12]);
        assert_eq!(audited(&[]), None);
    }
}
