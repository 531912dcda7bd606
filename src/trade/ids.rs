//! Ranges of trade ids: what is there, and what lies between.

use super::TradeId;

/// Ids from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The lowest id.
    pub first: u64,
    /// The highest id.
    pub last: u64,
}

impl IdRange {
    /// How many ids it holds.
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

impl From<TradeId> for IdRange {
    fn from(id: TradeId) -> Self {
        Self { first: id.get(), last: id.get() }
    }
}

/// A set of ids, held as the ranges that it is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdRanges(
    /// Sorted, disjoint, never touching.
    Vec<IdRange>,
);

impl IdRanges {
    /// Adds a range, and gives how many of its ids were there before.
    pub fn insert(&mut self, range: IdRange) -> u64 {
        match self.0.last_mut() {
            // Nearly always the next id.
            Some(newest) if newest.last + 1 == range.first => {
                newest.last = range.last;
                return 0;
            }
            Some(newest) if newest.last >= range.first => {}
            _ => {
                self.0.push(range);
                return 0;
            }
        }
        // Every range that the new one overlaps or touches becomes one with it.
        let from = self.0.partition_point(|other| other.last + 1 < range.first);
        let to = self.0.partition_point(|other| other.first <= range.last + 1);
        let (mut joined, mut known) = (range, 0);
        for other in &self.0[from..to] {
            joined = IdRange { first: joined.first.min(other.first), last: joined.last.max(other.last) };
            let overlap = (range.last.min(other.last) + 1).saturating_sub(range.first.max(other.first));
            known += overlap;
        }
        self.0.splice(from..to, [joined]);
        known
    }

    /// How many ranges it is made of.
    pub fn runs(&self) -> usize {
        self.0.len()
    }

    /// Whether `id` is in it.
    pub fn contains(&self, id: u64) -> bool {
        let at = self.0.partition_point(|range| range.last < id);
        self.0.get(at).is_some_and(|range| range.first <= id)
    }

    /// From the lowest to the highest id, if there is any.
    pub fn span(&self) -> Option<IdRange> {
        Some(IdRange { first: self.0.first()?.first, last: self.0.last()?.last })
    }

    /// What is absent between its lowest and its highest id.
    pub fn gaps(&self) -> impl Iterator<Item = IdRange> {
        self.0.windows(2).map(|pair| IdRange { first: pair[0].last + 1, last: pair[1].first - 1 })
    }

    /// Every range, in order.
    pub fn iter(&self) -> impl Iterator<Item = IdRange> {
        self.0.iter().copied()
    }

    /// The parts of `range` that are absent.
    pub fn absent_in(&self, range: IdRange) -> Vec<IdRange> {
        let from = self.0.partition_point(|other| other.last < range.first);
        let (mut absent, mut next) = (Vec::new(), range.first);
        for other in self.0[from..].iter().take_while(|other| other.first <= range.last) {
            if other.first > next {
                absent.push(IdRange { first: next, last: other.first - 1 });
            }
            next = other.last + 1;
        }
        if next <= range.last {
            absent.push(IdRange { first: next, last: range.last });
        }
        absent
    }

    /// Takes the lowest ranges out, and gives from where to where they went.
    pub fn forget_lowest(&mut self, ranges: usize) -> Option<IdRange> {
        let forgotten: Self = self.0.drain(..ranges.min(self.0.len())).collect();
        forgotten.span()
    }

    /// Takes the ids of `range` out.
    pub fn remove(&mut self, range: IdRange) {
        let from = self.0.partition_point(|other| other.last < range.first);
        let to = self.0.partition_point(|other| other.first <= range.last);
        let below = self.0[from..to].first().filter(|other| other.first < range.first);
        let above = self.0[from..to].last().filter(|other| other.last > range.last);
        let below = below.map(|other| IdRange { first: other.first, last: range.first - 1 });
        let above = above.map(|other| IdRange { first: range.last + 1, last: other.last });
        self.0.splice(from..to, below.into_iter().chain(above));
    }
}

impl From<IdRange> for IdRanges {
    fn from(range: IdRange) -> Self {
        Self(vec![range])
    }
}

impl FromIterator<IdRange> for IdRanges {
    fn from_iter<I: IntoIterator<Item = IdRange>>(ranges: I) -> Self {
        let mut ids = Self::default();
        ranges.into_iter().for_each(|range| _ = ids.insert(range));
        ids
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_ranges_agree_with_a_plain_set(ranges in prop::collection::vec((1u64..90, 0u64..9), 1..60)) {
            let (mut ids, mut set) = (IdRanges::default(), BTreeSet::new());
            for (first, more) in ranges {
                let known = (first..=first + more).filter(|id| set.contains(id)).count() as u64;
                prop_assert_eq!(ids.insert(IdRange { first, last: first + more }), known);
                set.extend(first..=first + more);
                prop_assert!(ids.0.windows(2).all(|pair| pair[0].last + 1 < pair[1].first), "{:?}", ids);
            }
            let (first, last) = (*set.first().unwrap(), *set.last().unwrap());
            prop_assert_eq!(ids.span(), Some(IdRange { first, last }));
            let absent: Vec<_> = (first..=last).filter(|id| !set.contains(id)).collect();
            prop_assert_eq!(ids.gaps().flat_map(|gap| gap.first..=gap.last).collect::<Vec<_>>(), absent);
            prop_assert!((0..=110).all(|id| ids.contains(id) == set.contains(&id)));
        }

        #[test]
        fn absent_and_removed_ids_agree_with_a_plain_set(
            steps in prop::collection::vec((any::<bool>(), 1u64..60, 0u64..9), 1..60),
        ) {
            let (mut ids, mut set) = (IdRanges::default(), BTreeSet::new());
            for (is_removal, first, more) in steps {
                let range = IdRange { first, last: first + more };
                if is_removal {
                    ids.remove(range);
                    set.retain(|id| !(first..=first + more).contains(id));
                } else {
                    ids.insert(range);
                    set.extend(first..=first + more);
                }
                prop_assert!(ids.0.windows(2).all(|pair| pair[0].last + 1 < pair[1].first), "{:?}", ids);
                prop_assert_eq!(ids.iter().flat_map(|range| range.first..=range.last).collect::<BTreeSet<_>>(), set.clone());
            }
            for range in [(0, 80), (10, 12), (20, 20), (5, 50)].map(|(first, last)| IdRange { first, last }) {
                let absent: Vec<_> = (range.first..=range.last).filter(|id| !set.contains(id)).collect();
                let found: Vec<_> = ids.absent_in(range).into_iter().flat_map(|gap| gap.first..=gap.last).collect();
                prop_assert_eq!(found, absent);
            }
        }
    }
}
