//! The outbox's file, worked on as told: small work at once, everything that may wait for the disk on another thread.

use crate::capture::input::{DiskDone, DiskWork, Loaded};
use crate::outbox::{OutboxFile, Work};
use crate::store::{AnyStore, Lines};
use crate::trade::Trade;

/// A batch alone of at most so many trades is kept at once, in about 50 µs: to pass it to a thread and back costs more.
const AT_ONCE_MAX: usize = 200;

/// Whether work may be done at once: a batch alone, and no sync is due. A row of the ledger for each symbol, rows that are
/// read, or a file that is shrunk, would stop the reading.
pub fn is_small(work: &DiskWork, file: &OutboxFile) -> bool {
    let is_small = work.batch.as_ref().is_some_and(|(trades, _)| trades.len() <= AT_ONCE_MAX);
    is_small && work.changes.is_empty() && work.load.is_none() && !file.wants_checkpoint()
}

/// Does the work, and encodes what is to be sent.
pub fn work(file: &mut OutboxFile, work: DiskWork, store: &AnyStore) -> DiskDone {
    let DiskWork { batch, changes, load, time } = work;
    let did_load = load.is_some();
    let encode = |trades: &[Trade]| -> Option<Lines> { store.lines().map(|store| store.encode(trades)) };
    let kept = batch.as_ref().map(|(trades, ids)| (trades.as_slice(), ids));
    let mut done = file.work(Work { batch: kept, changes, load }, time);
    let loaded = match (did_load, done.loaded.take(), &done.error) {
        (false, ..) => None,
        (true, Some(trades), _) => Some(encode(&trades).map_or(Loaded::Changed, Loaded::Lines)),
        (true, None, None) => Some(Loaded::Changed),
        (true, None, Some(_)) => Some(Loaded::Failed),
    };
    if file.wants_checkpoint() && done.error.is_none() {
        done.error = file.checkpoint().err();
    }
    DiskDone {
        batch: batch.and_then(|(trades, _)| Some((encode(&trades)?, done.kept))),
        loaded,
        undone: done.undone,
        error: done.error.map(|error| error.to_string()),
        set_aside: done.set_aside,
    }
}
