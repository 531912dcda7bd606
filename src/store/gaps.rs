//! The audit of a store: which ids are missing. What "missing" means stands here, for every store and every question.
//!
//! It compares ids, not clocks: Binance numbers a symbol's trades without gaps, so an absent id is a missing trade (P1).
//! Trades are taken in the order of (T, id):
//!
//! * an id more than [`RESTART`] below the one before it begins a new **count** (testnets start again at 1); nothing is
//!   missing between two counts;
//! * **missing** are the ids that are absent between the lowest and the highest of a count; an id that is stored twice
//!   is one id and a **duplicate**, and makes nothing whole;
//! * of a part of a series, a minute or the time since `--since`, the last id before it and, for a minute, the first
//!   one after it belong to its count, if they do: what is absent at its edges is missing too.

use thiserror::Error;

use crate::trade::{Exchange, HoleState, IdRange, IdRanges, Symbol, TradeId};

/// An id so far below the one before it is late; one that is farther below begins a new count.
pub const RESTART: u64 = 1_000;
/// Runs of ids in an audit, at most: 16 bytes each, and several times that when they are printed.
pub const RUNS_MAX: usize = 300_000;

/// What is stored of one count of one series, and what is not.
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
    /// Absent ids, in order; the first ones may lie before the span.
    pub holes: Vec<IdRange>,
}

impl Gaps {
    /// How many ids are absent.
    pub fn missing(&self) -> u64 {
        self.holes.iter().fold(0, |sum, hole| sum.saturating_add(hole.count()))
    }

    /// Takes note of ids that were stored meanwhile, where they fill a hole.
    pub fn fill(&mut self, ids: IdRange) {
        let mut absent = IdRanges::default();
        for hole in &self.holes {
            absent.insert(*hole);
            let filled = IdRange { first: hole.first.max(ids.first), last: hole.last.min(ids.last) };
            if filled.first <= filled.last {
                self.trades += filled.count();
                self.span.first = self.span.first.min(filled.first);
            }
        }
        absent.remove(ids);
        self.holes = absent.iter().collect();
    }

    /// Adds ids that a capture had and lost, where the store cannot know of them: before its first trade and behind its
    /// last one.
    pub fn add_lost(&mut self, lost: IdRange) {
        let before = IdRange { first: lost.first, last: lost.last.min(self.span.first.saturating_sub(1)) };
        let behind = IdRange { first: lost.first.max(self.span.last.saturating_add(1)), last: lost.last };
        let mut holes: IdRanges = self.holes.iter().copied().collect();
        for range in [before, behind].into_iter().filter(|range| range.first <= range.last) {
            holes.insert(range);
        }
        self.holes = holes.iter().collect();
    }

    /// The ids that are stored.
    pub fn stored(&self) -> IdRanges {
        let mut stored = IdRanges::default();
        stored.insert(self.span);
        self.holes.iter().for_each(|hole| stored.remove(*hole));
        stored
    }
}

/// Ids of which it is known why they are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHole {
    /// The exchange.
    pub exchange: Exchange,
    /// The symbol.
    pub symbol: Symbol,
    /// Which.
    pub range: IdRange,
    /// Why.
    pub state: HoleState,
}

/// A series is so full of holes that the list of them would not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {RUNS_MAX} holes in one symbol: ask for a shorter --since")]
pub struct TooManyHoles;

/// Gathers the ids of one series, in the order of (T, id).
#[derive(Debug, Default)]
pub struct Audit {
    /// The id before.
    newest: Option<u64>,
    counts: Vec<Count>,
    runs: usize,
}

/// Ids between two restarts.
#[derive(Debug, Default)]
struct Count {
    /// The neighbours that only say where a hole begins or ends.
    edges: [Option<u64>; 2],
    ids: IdRanges,
    trades: u64,
    duplicates: u64,
}

impl Audit {
    /// An audit of what comes after `before`, the last id that is not part of it.
    pub fn after(before: Option<TradeId>) -> Self {
        let newest = before.map(TradeId::get);
        let first = Count { edges: [newest, None], ..Count::default() };
        Self { newest, counts: vec![first], runs: 0 }
    }

    /// Takes ids that are stored, each later than the one before.
    ///
    /// # Errors
    ///
    /// [`TooManyHoles`] past [`RUNS_MAX`] runs of ids.
    pub fn add(&mut self, ids: IdRange) -> Result<(), TooManyHoles> {
        if self.counts.is_empty() || self.is_restart(ids.first) {
            self.runs += self.counts.last().map_or(0, |count| count.ids.runs());
            self.counts.push(Count::default());
        }
        self.newest = Some(ids.last);
        let Some(count) = self.counts.last_mut() else { return Ok(()) };
        count.trades += ids.count();
        count.duplicates += count.ids.insert(ids);
        if self.runs + count.ids.runs() > RUNS_MAX { Err(TooManyHoles) } else { Ok(()) }
    }

    /// What is stored and what is missing, an entry a count, the oldest first.
    pub fn finish(self, exchange: &Exchange, symbol: &Symbol) -> Vec<Gaps> {
        let gaps = |count: Count| {
            Some(Gaps {
                exchange: exchange.clone(),
                symbol: symbol.clone(),
                span: count.ids.span()?,
                trades: count.trades,
                duplicates: count.duplicates,
                holes: count.holes(),
            })
        };
        self.counts.into_iter().filter_map(gaps).collect()
    }

    /// How many ids are missing, if `after` is the first id that comes after.
    pub fn missing(mut self, after: Option<TradeId>) -> u64 {
        let after = after.map(TradeId::get).filter(|after| !self.is_restart(*after));
        if let Some(count) = self.counts.last_mut() {
            count.edges[1] = after;
        }
        let counts = self.counts.into_iter().filter(|count| count.trades > 0);
        counts.flat_map(Count::holes).fold(0, |sum, hole| sum.saturating_add(hole.count()))
    }

    fn is_restart(&self, id: u64) -> bool {
        self.newest.is_some_and(|newest| id.saturating_add(RESTART) < newest)
    }
}

impl Count {
    fn holes(self) -> Vec<IdRange> {
        let mut ids = self.ids;
        for edge in self.edges.into_iter().flatten() {
            ids.insert(IdRange { first: edge, last: edge });
        }
        ids.gaps().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audited(before: Option<u64>, ids: &[u64]) -> Vec<Gaps> {
        let mut audit = Audit::after(before.map(|id| TradeId::new(id).unwrap()));
        ids.iter().for_each(|id| audit.add(IdRange { first: *id, last: *id }).unwrap());
        audit.finish(&"binance".parse().unwrap(), &"BTCUSDT".parse().unwrap())
    }

    fn missing(before: Option<u64>, ids: &[u64], after: Option<u64>) -> u64 {
        let id = |id| TradeId::new(id).unwrap();
        let mut audit = Audit::after(before.map(id));
        ids.iter().for_each(|id| audit.add(IdRange { first: *id, last: *id }).unwrap());
        audit.missing(after.map(id))
    }

    /// First and last id, trades, duplicates, and each hole.
    fn plain(gaps: &Gaps) -> (u64, u64, u64, u64, Vec<(u64, u64)>) {
        let holes = gaps.holes.iter().map(|hole| (hole.first, hole.last)).collect();
        (gaps.span.first, gaps.span.last, gaps.trades, gaps.duplicates, holes)
    }

    #[test]
    fn holes_and_duplicates_are_told_apart() {
        let gaps = audited(None, &[5, 6, 9, 9, 12, 11, 5]);
        assert_eq!(gaps.iter().map(plain).collect::<Vec<_>>(), [(5, 12, 7, 2, vec![(7, 8), (10, 10)])]);
        assert_eq!(gaps[0].missing(), 3);
        assert_eq!(gaps[0].stored().iter().flat_map(|ids| ids.first..=ids.last).collect::<Vec<_>>(), [5, 6, 9, 11, 12]);
        assert_eq!(audited(None, &[]), []);
        let gaps = audited(None, &[1, 1, 3, 5, 5]);
        assert_eq!(gaps.iter().map(plain).collect::<Vec<_>>(), [(1, 5, 5, 2, vec![(2, 2), (4, 4)])]);
    }

    #[test]
    fn what_was_lost_counts_where_the_store_cannot_know_of_it() {
        let lost = |first, last| {
            let mut gaps = audited(None, &[10, 11, 14, 20]).remove(0);
            gaps.add_lost(IdRange { first, last });
            gaps.holes.iter().map(|hole| (hole.first, hole.last)).collect::<Vec<_>>()
        };
        let own = [(12, 13), (15, 19)];
        assert_eq!(lost(5, 9), [&[(5, 9)][..], &own].concat());
        assert_eq!(lost(5, 12), [&[(5, 9)][..], &own].concat(), "what is between is the store's to say");
        assert_eq!(lost(12, 30), [&own[..], &[(21, 30)]].concat());
        assert_eq!(lost(0, u64::MAX), [&[(0, 9)][..], &own, &[(21, u64::MAX)]].concat());
        assert_eq!(lost(11, 20), own);
    }

    #[test]
    fn a_hole_that_began_before_counts() {
        assert_eq!(audited(Some(4), &[7, 8]).iter().map(plain).collect::<Vec<_>>(), [(7, 8, 2, 0, vec![(5, 6)])]);
        assert_eq!(audited(Some(6), &[7, 8]).iter().map(plain).collect::<Vec<_>>(), [(7, 8, 2, 0, vec![])]);
        assert_eq!(audited(Some(4), &[]), []);
    }

    #[test]
    fn a_restarted_count_is_an_entry_of_its_own() {
        let ids = [5_000_000, 5_000_002, 1, 2, 4, 1];
        let found: Vec<_> = audited(Some(4_999_998), &ids).iter().map(plain).collect();
        let old = (5_000_000, 5_000_002, 2, 0, vec![(4_999_999, 4_999_999), (5_000_001, 5_000_001)]);
        assert_eq!(found, [old, (1, 4, 4, 1, vec![(3, 3)])]);
        // Restarted before the first: nothing is missing between the two.
        assert_eq!(audited(Some(5_000_000), &[1, 2]).iter().map(plain).collect::<Vec<_>>(), [(1, 2, 2, 0, vec![])]);
        // So far below is late, one more is another count.
        assert_eq!(audited(None, &[2_000, 1_000]).len(), 1);
        assert_eq!(audited(None, &[2_000, 999]).len(), 2);
    }

    #[test]
    fn a_minute_reaches_from_neighbour_to_neighbour() {
        for (before, ids, after, expected) in [
            (None, &[1, 2, 3][..], None, 0),
            (Some(0), &[1, 2, 3], Some(4), 0),
            (Some(0), &[1, 2], Some(9), 6),
            (Some(1), &[4, 5], Some(6), 2),
            (None, &[1, 1, 3, 5, 5], None, 2),
            (Some(3), &[3, 3], Some(3), 0),
            // Counts that began again before, inside and after.
            (Some(9_000), &[1, 2], Some(3), 0),
            (Some(9_000), &[9_002, 1, 3], Some(5), 3),
            (Some(9_000), &[9_001], Some(1), 0),
            (Some(1), &[9], Some(0), 7),
            (None, &[], None, 0),
        ] {
            assert_eq!(missing(before, ids, after), expected, "{before:?} {ids:?} {after:?}");
        }
    }

    #[test]
    fn what_is_seen_later_fills_holes_and_adds_nothing_new() {
        let mut gaps = audited(Some(3), &[5, 6, 9]).remove(0);
        gaps.fill(IdRange { first: 5, last: 7 });
        assert_eq!(plain(&gaps), (5, 9, 4, 0, vec![(4, 4), (8, 8)]));
        gaps.fill(IdRange { first: 9, last: 12 });
        gaps.fill(IdRange { first: 2, last: 4 });
        assert_eq!(plain(&gaps), (4, 9, 5, 0, vec![(8, 8)]));
    }

    #[test]
    fn a_list_of_holes_has_a_limit() {
        let mut audit = Audit::default();
        let mut add = |id| audit.add(IdRange { first: id, last: id });
        assert!((0..RUNS_MAX as u64).all(|id| add(2 * id).is_ok()));
        assert_eq!(add(9_000_000), Err(TooManyHoles));
    }
}
