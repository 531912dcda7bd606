//! When to send how much: at once while the store is idle, in large batches while it is busy.
//!
//! A write costs InfluxDB about a millisecond whatever it holds, and about
//! 6 µs a line on top, so freshness and throughput ask for opposite sizes. The
//! rule needs no knob: send as soon as a request slot is free and the socket is
//! drained; gather otherwise. Pure: nothing is awaited.

use std::collections::VecDeque;
use std::time::Instant;

use crate::trade::Trade;

/// Memory that trades waiting for the store may take, in bytes (P6); past it
/// the reader stops.
pub const HELD_BYTES_MAX: usize = 128 << 20;
/// What one held trade is counted as: itself and its line.
const HELD_BYTES_PER_TRADE: usize = size_of::<Trade>() + 256;

/// Trades that are written together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The trades, in order of arrival.
    pub trades: Vec<Trade>,
    /// When the live ones were read, with how many each time; for latencies.
    pub arrivals: Vec<(Instant, u32)>,
}

/// What waits for the store and what is on its way.
#[derive(Debug)]
pub struct Batcher {
    waiting: VecDeque<Batch>,
    held: usize,
    in_flight: usize,
    slots: usize,
    batch_max: usize,
    full: bool,
}

impl Batcher {
    /// For a next step that takes `slots` batches at a time of at most `batch_max` trades.
    pub fn new(slots: usize, batch_max: usize) -> Self {
        Self { waiting: VecDeque::new(), held: 0, in_flight: 0, slots, batch_max, full: false }
    }

    /// Takes a trade that was read at `received`, if it came live.
    pub fn push(&mut self, trade: Trade, received: Option<Instant>) {
        self.held += 1;
        self.full |= self.held * HELD_BYTES_PER_TRADE >= HELD_BYTES_MAX;
        match self.waiting.back_mut() {
            Some(batch) if batch.trades.len() < self.batch_max => batch.push(trade, received),
            _ => {
                let mut batch = Batch::default();
                batch.push(trade, received);
                self.waiting.push_back(batch);
            }
        }
    }

    /// The next batch to write, if a slot is free. A batch that is not full
    /// goes only when `drained`: nothing more is ready to be read.
    pub fn next(&mut self, drained: bool) -> Option<Batch> {
        if self.in_flight >= self.slots {
            return None;
        }
        let is_full = self.waiting.front()?.trades.len() >= self.batch_max;
        if !is_full && !drained {
            return None;
        }
        self.in_flight += 1;
        self.waiting.pop_front()
    }

    /// A batch of `trades` is kept elsewhere now: its slot and its memory are free.
    pub fn finished(&mut self, trades: usize) {
        self.free_slot();
        self.release(trades);
    }

    /// A batch could not be kept elsewhere: its slot is free, its memory is not.
    pub fn free_slot(&mut self) {
        self.in_flight -= 1;
    }

    /// `trades` whose slot was freed before need no memory any more.
    pub fn release(&mut self, trades: usize) {
        self.held -= trades;
        self.full &= self.held * HELD_BYTES_PER_TRADE > HELD_BYTES_MAX / 2;
    }

    /// Whether the stated memory was used up and half of it is not free again: do not read.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether nothing waits and nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.held == 0
    }

    /// Trades that are in memory only.
    pub fn held(&self) -> usize {
        self.held
    }
}

impl Batch {
    fn push(&mut self, trade: Trade, received: Option<Instant>) {
        self.trades.push(trade);
        let Some(received) = received else { return };
        match self.arrivals.last_mut() {
            Some((at, count)) if *at == received => *count += 1,
            _ => self.arrivals.push((received, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trade(id: u64) -> Trade {
        crate::trade::example::trade(id, 0)
    }

    fn filled(slots: usize, batch_max: usize, trades: u64) -> Batcher {
        let mut batcher = Batcher::new(slots, batch_max);
        (0..trades).for_each(|id| batcher.push(trade(id), Some(Instant::now())));
        batcher
    }

    #[test]
    fn one_trade_goes_at_once_when_idle_and_drained() {
        let mut batcher = filled(2, 100, 1);
        assert!(batcher.next(false).is_none(), "more is ready to be read: gather");
        assert_eq!(batcher.next(true).unwrap().trades.len(), 1);
    }

    #[test]
    fn a_full_batch_goes_though_more_is_ready() {
        assert_eq!(filled(2, 100, 101).next(false).unwrap().trades.len(), 100);
    }

    #[test]
    fn nothing_goes_while_every_slot_is_busy() {
        let mut batcher = filled(1, 100, 150);
        assert!(batcher.next(true).is_some());
        assert!(batcher.next(true).is_none());
        batcher.finished(100);
        assert_eq!(batcher.next(true).unwrap().trades.len(), 50);
        batcher.finished(50);
        assert!(batcher.is_idle());
    }

    #[test]
    fn the_stated_memory_is_the_limit_for_what_waits_and_what_flies() {
        let most = HELD_BYTES_MAX.div_ceil(HELD_BYTES_PER_TRADE);
        let mut batcher = Batcher::new(1, most);
        (1..most).for_each(|id| batcher.push(trade(id as u64), Some(Instant::now())));
        assert!(!batcher.is_full());
        batcher.push(trade(0), Some(Instant::now()));
        assert!(batcher.next(true).is_some());
        assert!(batcher.is_full(), "a batch on its way is still held");
        batcher.finished(most);
        assert!(!batcher.is_full());
    }

    #[test]
    fn reading_goes_on_when_half_of_the_memory_is_free() {
        let quarter = HELD_BYTES_MAX.div_ceil(HELD_BYTES_PER_TRADE).div_ceil(4);
        let mut batcher = filled(4, quarter, 4 * quarter as u64);
        while batcher.next(true).is_some() {}
        batcher.finished(quarter);
        assert!(batcher.is_full(), "it does not stop and go with every batch");
        batcher.finished(quarter);
        batcher.finished(quarter);
        assert!(!batcher.is_full());
    }

    #[test]
    fn arrivals_count_every_trade() {
        let mut batcher = Batcher::new(1, 100);
        let (first, second) = (Instant::now(), Instant::now() + std::time::Duration::from_millis(1));
        [first, first, second].into_iter().for_each(|at| batcher.push(trade(1), Some(at)));
        assert_eq!(batcher.next(true).unwrap().arrivals, [(first, 2), (second, 1)]);
    }

    proptest! {
        #[test]
        fn every_trade_comes_out_once_and_in_order(steps in prop::collection::vec((0usize..3, any::<bool>()), 1..200)) {
            let mut batcher = Batcher::new(2, 7);
            let (mut pushed, mut out, mut flying) = (0, Vec::new(), VecDeque::new());
            let mut take = |batcher: &mut Batcher, flying: &mut VecDeque<usize>, drained| {
                while let Some(batch) = batcher.next(drained) {
                    flying.push_back(batch.trades.len());
                    out.extend(batch.trades.iter().map(|trade| trade.id.get()));
                }
            };
            for (step, drained) in steps {
                match step {
                    0 => (0..5).for_each(|_| { batcher.push(trade(pushed), Some(Instant::now())); pushed += 1; }),
                    1 => take(&mut batcher, &mut flying, drained),
                    _ => if let Some(trades) = flying.pop_front() { batcher.finished(trades) },
                }
            }
            while !batcher.is_idle() {
                take(&mut batcher, &mut flying, true);
                while let Some(trades) = flying.pop_front() { batcher.finished(trades) }
            }
            prop_assert_eq!(out, (0..pushed).collect::<Vec<_>>());
        }
    }
}
