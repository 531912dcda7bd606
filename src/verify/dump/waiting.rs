//! What one side has and the other has not shown yet: at most so much of it, the oldest given up first.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::trade::TradeId;

/// So many wait at a time; some 200 bytes each.
pub(super) const WAITING_MAX: usize = 16_384;

/// What waits, by its id.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    by_id: HashMap<TradeId, T, FixedState>,
    /// In the order in which it came; what was taken out meanwhile stands there, too.
    order: VecDeque<TradeId>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { by_id: HashMap::default(), order: VecDeque::new() }
    }
}

impl<T> Waiting<T> {
    /// Puts one in, and gives what waits no more.
    pub(super) fn put(&mut self, id: TradeId, item: T) -> Option<T> {
        self.order.push_back(id);
        if let Some(other) = self.by_id.insert(id, item) {
            // The same id twice: the one before was not asked for.
            return Some(other);
        }
        if self.order.len() > WAITING_MAX {
            self.order.pop_front().and_then(|oldest| self.by_id.remove(&oldest))
        } else {
            None
        }
    }

    /// Takes one out.
    pub(super) fn take(&mut self, id: TradeId) -> Option<T> {
        if self.by_id.is_empty() { None } else { self.by_id.remove(&id) }
    }

    /// Everything that is left, in the order in which it came.
    pub(super) fn drain(mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.order).into_iter().filter_map(move |id| self.by_id.remove(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: usize) -> TradeId {
        TradeId::new(id as u64).unwrap()
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes_first() {
        let mut waiting = Waiting::default();
        for at in 0..WAITING_MAX {
            assert_eq!(waiting.put(id(at), at), None);
        }
        assert_eq!((waiting.take(id(1)), waiting.take(id(1))), (Some(1), None));
        assert_eq!(waiting.put(id(WAITING_MAX), WAITING_MAX), Some(0));
        // The one that was taken out leaves nothing.
        assert_eq!(waiting.put(id(WAITING_MAX + 1), 7), None);
        assert_eq!(waiting.put(id(WAITING_MAX + 1), 8), Some(7));
        assert!(waiting.order.len() <= WAITING_MAX + 1 && waiting.by_id.len() <= WAITING_MAX);
        assert_eq!(waiting.drain().next(), Some(2));
    }
}
