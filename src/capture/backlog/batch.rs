//! A batch that waits for the store, and where its trades are.

use std::sync::Arc;
use std::time::Instant;

use crate::outbox::Rows;
use crate::store::Lines;
use crate::trade::{Trade, TradeIds};

/// Tells one batch from another; never used twice in a run.
pub type BatchId = u64;

/// What is known of a batch wherever its trades are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// How many trades it holds.
    pub trades: usize,
    /// Bytes that it takes on disk, or took.
    pub disk_bytes: u64,
    /// Its ids, but those of a count that was started again since.
    pub ids: TradeIds,
    /// When the live trades were read, with how many each time; for latencies.
    pub arrivals: Vec<(Instant, u32)>,
    /// Whether this run received it; else an earlier one did.
    pub is_of_this_run: bool,
    /// How many trades of this run had been taken before its first one.
    pub taken_before: u64,
}

/// Where the trades of a batch are: in exactly one of these places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Only in memory, as trades.
    Trades(Arc<Vec<Trade>>),
    /// Only in memory, as lines: the disk did not take them.
    Lines(Lines),
    /// In memory as lines, and on disk.
    LinesAndDisk(Lines, Rows),
    /// Only on disk.
    Disk(Rows),
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number in this run.
    pub id: BatchId,
    /// What is known of it.
    pub about: About,
    /// Where its trades are.
    pub place: Place,
}

/// What a batch is sent as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Trades, to a store that is near.
    Trades(Arc<Vec<Trade>>),
    /// Lines, to a store over the network.
    Lines(Lines),
}

impl Place {
    /// What can be sent of it, if it is in memory.
    pub fn payload(&self) -> Option<Payload> {
        match self {
            Self::Trades(trades) => Some(Payload::Trades(Arc::clone(trades))),
            Self::Lines(lines) | Self::LinesAndDisk(lines, _) => Some(Payload::Lines(lines.clone())),
            Self::Disk(_) => None,
        }
    }

    /// Its rows on disk.
    pub fn rows(&self) -> Option<Rows> {
        match self {
            Self::LinesAndDisk(_, rows) | Self::Disk(rows) => Some(*rows),
            Self::Trades(_) | Self::Lines(_) => None,
        }
    }

    /// Whether it can be sent.
    pub fn is_at_hand(&self) -> bool {
        !matches!(self, Self::Disk(_))
    }
}

impl Batch {
    /// What it weighs in the account.
    pub(super) fn weight(&self) -> Weight {
        let trades = self.about.trades;
        match &self.place {
            Place::Trades(_) => Weight { trades, memory_only: trades, ..Weight::default() },
            Place::Lines(lines) => {
                Weight { trades, memory_only: trades, line_bytes: lines.bytes.len(), ..Weight::default() }
            }
            Place::LinesAndDisk(lines, _) => {
                Weight { trades, line_bytes: lines.bytes.len(), disk_bytes: self.about.disk_bytes, ..Weight::default() }
            }
            Place::Disk(_) => Weight { trades, disk_bytes: self.about.disk_bytes, ..Weight::default() },
        }
    }

    /// Makes `next` a part of it, if both can be sent in one write of at most `trades_max`: their places are of one
    /// kind, and their rows follow each other. Gives `next` back if not.
    pub(super) fn absorb(&mut self, next: Self, trades_max: usize) -> Option<Self> {
        let is_small = self.about.trades + next.about.trades <= trades_max;
        if !is_small || self.about.is_of_this_run != next.about.is_of_this_run {
            return Some(next);
        }
        let Self { id, about, place } = next;
        match (&mut self.place, place) {
            (Place::Lines(lines), Place::Lines(more)) => lines.append(more),
            (Place::LinesAndDisk(lines, rows), Place::LinesAndDisk(more, next)) if rows.last < next.first => {
                lines.append(more);
                rows.last = next.last;
            }
            (Place::Disk(rows), Place::Disk(next)) if rows.last < next.first => rows.last = next.last,
            (_, place) => return Some(Self { id, about, place }),
        }
        self.about.absorb(about);
        if matches!(self.place, Place::Disk(_)) {
            self.about.collapse_arrivals();
        }
        None
    }
}

impl About {
    fn absorb(&mut self, next: Self) {
        self.trades += next.trades;
        self.disk_bytes += next.disk_bytes;
        self.ids.merge(&next.ids);
        self.arrivals.extend(next.arrivals);
        self.taken_before = self.taken_before.min(next.taken_before);
    }

    /// Keeps of the arrivals the first only, as that of all: nothing looks faster than it was.
    pub(super) fn collapse_arrivals(&mut self) {
        let all = self.arrivals.iter().map(|(_, trades)| trades).sum();
        self.arrivals.truncate(1);
        if let Some((_, trades)) = self.arrivals.first_mut() {
            *trades = all;
        }
    }
}

/// What batches weigh together: every number is a sum over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Trades.
    pub trades: usize,
    /// Trades that only memory has.
    pub memory_only: usize,
    /// Bytes of lines in memory.
    pub line_bytes: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.trades += other.trades;
        self.memory_only += other.memory_only;
        self.line_bytes += other.line_bytes;
        self.disk_bytes += other.disk_bytes;
    }
}

impl std::ops::SubAssign for Weight {
    fn sub_assign(&mut self, other: Self) {
        debug_assert!(self.trades >= other.trades && self.memory_only >= other.memory_only);
        debug_assert!(self.line_bytes >= other.line_bytes && self.disk_bytes >= other.disk_bytes);
        self.trades = self.trades.saturating_sub(other.trades);
        self.memory_only = self.memory_only.saturating_sub(other.memory_only);
        self.line_bytes = self.line_bytes.saturating_sub(other.line_bytes);
        self.disk_bytes = self.disk_bytes.saturating_sub(other.disk_bytes);
    }
}
