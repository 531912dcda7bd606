//! The order in which batches go to the store: oldest first, whether their lines are in memory or only on disk.
//!
//! Batches that wait are merged, so that what gathered during an outage goes out in large
//! writes. Memory holds the lines of the oldest batches up to a limit; behind them trades are on
//! disk only and are read again when their turn comes. Pure: the shell asks and tells.

use std::collections::VecDeque;

use super::encoded::{Encoded, SeqRange, Waiting};
use crate::store::Lines;

/// Lines that memory holds, in bytes, those on their way included (P6); what the disk did not take comes on top.
pub const MEMORY_BYTES_MAX: usize = 12 << 20;
/// From so many bytes on the next write is ready and more need not be read in haste.
const ENOUGH_BYTES: usize = MEMORY_BYTES_MAX / 2;

/// What waits for the store.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Slot>,
    trades_max: usize,
    loading: Option<SeqRange>,
    memory_bytes: usize,
    disk_bytes: u64,
    trades: u64,
}

#[derive(Debug)]
struct Slot {
    about: Waiting,
    /// The lines; `None` if the trades are on disk only.
    lines: Option<Lines>,
}

impl Queue {
    /// With what an earlier run left; a write takes `trades_max` trades at most.
    pub fn new(left: VecDeque<Waiting>, trades_max: usize) -> Self {
        let mut queue =
            Self { waiting: VecDeque::new(), trades_max, loading: None, memory_bytes: 0, disk_bytes: 0, trades: 0 };
        for about in left {
            queue.count(&about);
            queue.waiting.push_back(Slot { about, lines: None });
        }
        queue
    }

    /// Takes a batch that the disk has, or has refused.
    pub fn push(&mut self, batch: Encoded) {
        let Encoded { mut about, lines } = batch;
        self.count(&about);
        let bytes = lines.bytes.len();
        let has_room = self.memory_bytes + bytes <= MEMORY_BYTES_MAX;
        // Behind trades that are still to be read, lines in memory would only wait.
        let is_kept = about.rows.is_none() || has_room && self.waiting.back().is_none_or(|last| self.is_at_hand(last));
        let loading = self.loading;
        self.memory_bytes += if is_kept { bytes } else { 0 };
        match self.waiting.back_mut() {
            Some(last)
                if last.is_in_memory() == is_kept
                    && last.about.rows.is_none_or(|rows| Some(rows) != loading)
                    && last.about.may_absorb(&about, self.trades_max) =>
            {
                last.about.absorb(about);
                match &mut last.lines {
                    Some(last) => last.append(lines),
                    None => last.about.collapse_arrivals(),
                }
            }
            _ => {
                if !is_kept {
                    about.collapse_arrivals();
                }
                self.waiting.push_back(Slot { about, lines: is_kept.then_some(lines) });
            }
        }
    }

    /// The next batch to send, if its lines are in memory. It still counts until [`Self::finished`].
    pub fn next_batch(&mut self) -> Option<Encoded> {
        let lines = self.waiting.front_mut()?.lines.take()?;
        let Slot { about, .. } = self.waiting.pop_front()?;
        Some(Encoded { about, lines })
    }

    /// Rows that are to be read next; asked for once.
    pub fn next_load(&mut self) -> Option<SeqRange> {
        if self.loading.is_some() {
            return None;
        }
        let at = self.waiting.iter().position(|slot| !slot.is_in_memory())?;
        if at == 0 || !self.has_enough() {
            self.loading = self.waiting.get(at)?.about.rows;
        }
        self.loading
    }

    /// The rows that were asked for are read; gives the batch back if they are not what was written.
    pub fn loaded(&mut self, lines: Option<Lines>) -> Option<Waiting> {
        let rows = self.loading.take()?;
        let at = self.waiting.iter().position(|slot| !slot.is_in_memory() && slot.about.rows == Some(rows))?;
        let slot = self.waiting.get_mut(at)?;
        match lines.filter(|lines| lines.count == slot.about.trades) {
            Some(lines) => {
                self.memory_bytes += lines.bytes.len();
                slot.lines = Some(lines);
                None
            }
            None => {
                let Slot { about, .. } = self.waiting.remove(at)?;
                self.uncount(&about);
                Some(about)
            }
        }
    }

    /// The rows that were asked for could not be read now.
    pub fn not_loaded(&mut self) {
        self.loading = None;
    }

    /// The store has taken a batch.
    pub fn finished(&mut self, batch: &Encoded) {
        self.memory_bytes -= batch.lines.bytes.len();
        self.uncount(&batch.about);
    }

    /// The file is gone: gives the batches whose lines were on disk only.
    pub fn forget_disk(&mut self) -> Vec<Waiting> {
        self.loading = None;
        let (mut kept, mut lost) = (VecDeque::new(), Vec::new());
        for mut slot in std::mem::take(&mut self.waiting) {
            self.disk_bytes -= std::mem::take(&mut slot.about.disk_bytes);
            slot.about.rows = None;
            if slot.is_in_memory() {
                kept.push_back(slot);
            } else {
                self.trades -= slot.about.trades as u64;
                lost.push(slot.about);
            }
        }
        self.waiting = kept;
        lost
    }

    /// Bytes that the waiting batches take on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Whether memory holds enough to keep the store busy.
    pub fn has_enough(&self) -> bool {
        self.memory_bytes >= ENOUGH_BYTES
    }

    /// Trades that the store has not acknowledged.
    pub fn trades(&self) -> u64 {
        self.trades
    }

    /// What waits, oldest first, without what is on its way.
    pub fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().map(|slot| &slot.about)
    }

    /// In memory, or about to be.
    fn is_at_hand(&self, slot: &Slot) -> bool {
        slot.is_in_memory() || self.loading.is_some() && slot.about.rows == self.loading
    }

    fn count(&mut self, about: &Waiting) {
        self.trades += about.trades as u64;
        self.disk_bytes += about.disk_bytes;
    }

    fn uncount(&mut self, about: &Waiting) {
        self.trades -= about.trades as u64;
        self.disk_bytes -= about.disk_bytes;
    }
}

impl Slot {
    fn is_in_memory(&self) -> bool {
        self.lines.is_some()
    }
}

#[cfg(test)]
mod tests;
