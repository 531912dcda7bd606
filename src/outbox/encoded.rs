//! An encoded batch that waits for the store: in memory, on disk, or both.

use std::time::Instant;

use super::TradeIds;
use crate::store::Lines;

/// Rows of the outbox, from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// The number of the oldest row.
    pub first: i64,
    /// The number of the newest row.
    pub last: i64,
}

/// What is known of a batch wherever its lines are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its rows on disk; `None` if the disk did not take it.
    pub rows: Option<SeqRange>,
    /// How many trades it holds.
    pub trades: usize,
    /// Bytes that it takes on disk.
    pub disk_bytes: u64,
    /// Its ids.
    pub ids: TradeIds,
    /// When the live trades were read, with how many each time; for latencies.
    pub arrivals: Vec<(Instant, u32)>,
    /// Whether this run received it; else an earlier one did.
    pub is_of_this_run: bool,
}

/// An encoded batch: its lines, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What is known of it.
    pub about: Waiting,
    /// Its lines.
    pub lines: Lines,
}

impl Waiting {
    /// Whether `next` may be sent in one write with it: the rows follow each other, and the sum is not above `trades_max`.
    pub fn may_absorb(&self, next: &Self, trades_max: usize) -> bool {
        let follows = match (self.rows, next.rows) {
            (Some(rows), Some(next)) => rows.last < next.first,
            (None, None) => true,
            _ => false,
        };
        follows && self.is_of_this_run == next.is_of_this_run && self.trades + next.trades <= trades_max
    }

    /// Becomes one with `next`.
    pub fn absorb(&mut self, next: Self) {
        let rows = self.rows.zip(next.rows);
        self.rows = rows.map(|(rows, next)| SeqRange { first: rows.first, last: next.last });
        self.trades += next.trades;
        self.disk_bytes += next.disk_bytes;
        self.ids.merge(&next.ids);
        self.arrivals.extend(next.arrivals);
    }

    /// Keeps of the arrivals the first only, as that of all: nothing looks faster than it was.
    pub fn collapse_arrivals(&mut self) {
        let all = self.arrivals.iter().map(|(_, trades)| trades).sum();
        self.arrivals.truncate(1);
        if let Some((_, trades)) = self.arrivals.first_mut() {
            *trades = all;
        }
    }
}
