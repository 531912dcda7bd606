//! From gathered batches to the store: over the outbox where the store takes lines, at once where it is near.
//!
//! Over the outbox a batch is encoded and committed to disk first, then sent. One
//! transaction at a time does all that is due: the next batch in, what was acknowledged out.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::batcher::{Batch, Batcher};
use super::writes::{Parcel, Tried, Writes};
use crate::outbox::file::{self, Opened};
use crate::outbox::queue::Queue;
use crate::outbox::{Done, Encoded, Ended, Known, OutboxError, OutboxFile, SeqRange, TradeIds, Waiting, Work};
use crate::store::{AnyStore, Lines};
use crate::telemetry::{Event, Tally};
use crate::trade::{Exchange, Symbol, Trade, TradeTime};

/// Removals gather for so long: one a batch cost the disk ten times as much, and a row of the ledger for each symbol.
const RIDE_WAIT: Duration = Duration::from_secs(1);
/// At the end nothing more gathers.
const RIDE_WAIT_ENDING: Duration = Duration::from_millis(100);
/// After a failure of the disk, chores wait so long; batches do not.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// A batch alone of at most so many trades is kept at once, in about 50 µs: to pass it to a thread and back costs more.
const AT_ONCE_MAX: usize = 200;
/// A store that answers is waited for so long, before batches are left to the disk and reading goes on.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Everything between the batcher and the store.
#[derive(Debug)]
pub struct Delivery {
    store: AnyStore,
    /// `None` while it is at work.
    outbox: Option<OutboxFile>,
    at_work: JoinSet<Box<Worked>>,
    /// Small work that is done already.
    at_once: Option<Box<Worked>>,
    pending: Work,
    pending_since: Option<Instant>,
    disk_not_before: Instant,
    disk_failures: u32,
    disk_failure: Option<String>,
    queue: Queue,
    limit_bytes: u64,
    /// Trades that the disk did not take; the batcher counts them, too.
    memory_only: usize,
    /// What is on its way, by its rows.
    sent: Vec<(SeqRange, TradeIds)>,
    writes: Writes,
    last_answer: Option<Instant>,
    /// Nothing is read any more.
    is_ending: bool,
}

/// What happened.
#[derive(Debug)]
pub enum Delivered {
    /// The disk has done its work.
    Worked(Box<Worked>),
    /// The store has answered.
    Tried(Box<Tried>),
}

/// The outbox after its work.
#[derive(Debug)]
pub struct Worked {
    file: OutboxFile,
    batch: Option<Encoded>,
    did_load: bool,
    loaded: Option<Lines>,
    done: Done,
}

impl Delivery {
    /// Over the outbox in `folder`, whose lines on disk may take `limit_bytes`. Gives what its ledger knows, too.
    ///
    /// # Errors
    ///
    /// [`OutboxError`] if the outbox cannot be used.
    pub fn open(
        store: AnyStore,
        exchange: &Exchange,
        folder: &Path,
        limit_bytes: u64,
        now: Instant,
        tally: &mut Tally,
    ) -> Result<(Self, Known), OutboxError> {
        let Opened { file, left, known, set_aside } =
            file::open(folder, &store.identity(), exchange, store.batch_max())?;
        if let Some((path, why)) = &set_aside {
            tally.note(&Event::OutboxSetAside { path, why });
        }
        let queue = Queue::new(left, store.batch_max());
        if queue.trades() > 0 {
            tally.note(&Event::OutboxLeft(queue.trades()));
        }
        let delivery = Self {
            writes: Writes::new(AnyStore::clone(&store)),
            store,
            outbox: Some(file),
            at_work: JoinSet::new(),
            at_once: None,
            pending: Work::default(),
            pending_since: None,
            disk_not_before: now,
            disk_failures: 0,
            disk_failure: None,
            queue,
            limit_bytes,
            memory_only: 0,
            sent: Vec::new(),
            last_answer: None,
            is_ending: false,
        };
        Ok((delivery, known))
    }

    /// Batches that the batcher may have given away at a time.
    pub fn slots(store: &AnyStore) -> usize {
        if store.lines().is_some() { 1 } else { store.slots() }
    }

    /// Does all that can be done at `now` without waiting; `drained` means that nothing more is ready to be read.
    /// Gives the ids of trades that had to be dropped.
    pub fn advance(&mut self, batcher: &mut Batcher, drained: bool, now: Instant, wall: TradeTime) -> Option<TradeIds> {
        let dropped = match self.store.lines() {
            Some(_) => self.work(batcher, drained, now, wall),
            None => {
                while let Some(batch) = batcher.next(drained) {
                    self.writes.send(Parcel::Trades(batch));
                }
                self.begin(None, now, wall);
                None
            }
        };
        while self.writes.in_flight() < self.store.slots() {
            let Some(batch) = self.queue.next_batch() else { break };
            self.sent.extend(batch.about.rows.map(|rows| (rows, batch.about.ids.clone())));
            self.writes.send(Parcel::Lines(batch));
        }
        dropped
    }

    /// The next thing that happens; never, if nothing is under way.
    ///
    /// # Errors
    ///
    /// If a part panicked.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing that happened is lost.
    pub async fn next(&mut self) -> Result<Delivered, JoinError> {
        if let Some(worked) = self.at_once.take() {
            return Ok(Delivered::Worked(worked));
        }
        tokio::select! {
            Some(worked) = self.at_work.join_next() => worked.map(Delivered::Worked),
            Some(tried) = self.writes.next() => tried.map(|tried| Delivered::Tried(Box::new(tried))),
            else => std::future::pending().await,
        }
    }

    /// Takes the outbox back from its work. Gives the batches whose trades are lost.
    pub fn worked(&mut self, worked: Worked, batcher: &mut Batcher, now: Instant, tally: &mut Tally) -> Vec<Waiting> {
        let Worked { file, batch, did_load, loaded, done } = worked;
        let Done { undone, error, set_aside, .. } = done;
        let mut lost = Vec::new();
        if let Some(batch) = batch {
            match batch.about.rows {
                Some(_) => batcher.finished(batch.about.trades),
                None => {
                    batcher.free_slot();
                    self.memory_only += batch.about.trades;
                }
            }
            self.queue.push(batch);
        }
        if let Some(path) = &set_aside {
            let why = error.as_ref().map(ToString::to_string).unwrap_or_default();
            tally.note(&Event::OutboxSetAside { path, why: &why });
            lost = self.queue.forget_disk();
        } else if did_load && error.is_none() {
            lost.extend(self.queue.loaded(loaded));
            self.pending.stored.extend(lost.iter().map(|batch| (batch.rows, TradeIds::default())));
        } else if did_load {
            self.queue.not_loaded();
        }
        if let Some(undone) = undone {
            self.pending.put_before(undone);
        }
        match error {
            Some(error) => {
                let why = error.to_string();
                self.disk_failures += 1;
                self.disk_not_before = now + DISK_PAUSE;
                tally.note(&Event::OutboxFailed { why: &why, times: self.disk_failures });
                self.disk_failure = Some(why);
            }
            None if self.disk_failures > 0 => {
                self.disk_failures = 0;
                self.disk_failure = None;
                tally.note(&Event::OutboxRecovered);
            }
            None => {}
        }
        self.pending_since = if self.pending.is_empty() { None } else { self.pending_since.or(Some(now)) };
        self.outbox = Some(file);
        lost
    }

    /// The store has taken a batch at `now`: it leaves the outbox.
    pub fn stored(&mut self, parcel: Parcel, batcher: &mut Batcher, now: Instant) {
        self.last_answer = Some(now);
        match parcel {
            Parcel::Trades(batch) => batcher.finished(batch.trades.len()),
            Parcel::Lines(batch) => {
                self.queue.finished(&batch);
                let about = batch.about;
                self.sent.retain(|(rows, _)| Some(*rows) != about.rows);
                if about.rows.is_none() {
                    self.memory_only -= about.trades;
                    batcher.release(about.trades);
                }
                self.pending.add_stored(about.rows, about.ids);
                self.pending_since.get_or_insert(now);
            }
        }
    }

    /// The store has not taken a batch: it is sent again.
    pub fn send_again(&mut self, tried: Tried, rng: &mut fastrand::Rng) {
        self.last_answer = None;
        self.writes.send_again(tried, rng);
    }

    /// Enters ids that will never come.
    pub fn ended(&mut self, ended: Ended, now: Instant) {
        self.pending.ended.push(ended);
        self.pending_since.get_or_insert(now);
    }

    /// The exchange started a symbol's count again.
    pub fn restarted(&mut self, symbol: Symbol, now: Instant) {
        self.pending.restarted.push(symbol);
        self.pending_since.get_or_insert(now);
    }

    /// Forgets what is older than the retention.
    pub fn trim(&mut self, now: Instant) {
        self.pending.trim = true;
        self.pending_since.get_or_insert(now);
    }

    /// Nothing is read any more: what is due for the disk does not gather for long.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// Whether the store is about to take what fills the memory: better wait for it than read on.
    pub fn asks_to_wait(&self, now: Instant) -> bool {
        self.queue.has_enough() && self.last_answer.is_some_and(|last| now < last + STORE_WAIT)
    }

    /// Whether the outbox has room for trades that the exchange's history can keep as well.
    pub fn has_room(&self) -> bool {
        self.queue.disk_bytes() < self.limit_bytes / 2
    }

    /// Bytes that waiting batches take on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.queue.disk_bytes()
    }

    /// Why the disk did not do its last work, if it did not.
    pub fn failure(&self) -> Option<&str> {
        self.disk_failure.as_deref()
    }

    /// Whether the disk has nothing to do.
    pub fn is_settled(&self) -> bool {
        self.outbox.is_some() && self.pending.is_empty()
    }

    /// Trades that the store has not acknowledged and the batcher does not hold.
    pub fn trades(&self) -> u64 {
        self.queue.trades() - self.memory_only as u64
    }

    /// The ids of what is only in the outbox, as far as the disk has it.
    pub fn ids_left(&self) -> TradeIds {
        let mut ids = TradeIds::default();
        self.sent.iter().map(|(_, ids)| ids).for_each(|sent| ids.merge(sent));
        self.queue.waiting().filter(|about| about.rows.is_some()).for_each(|about| ids.merge(&about.ids));
        ids
    }

    /// When there is something to do, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let ride = self.pending_since.map(|since| (since + self.ride_wait()).max(self.disk_not_before));
        let wait = self.last_answer.filter(|_| self.asks_to_wait(now)).map(|last| last + STORE_WAIT);
        [ride.filter(|_| self.outbox.is_some()), wait].into_iter().flatten().min()
    }

    fn ride_wait(&self) -> Duration {
        if self.is_ending { RIDE_WAIT_ENDING } else { RIDE_WAIT }
    }

    /// Gives the disk the next batch, or drops it where the disk may not take more.
    fn work(&mut self, batcher: &mut Batcher, drained: bool, now: Instant, wall: TradeTime) -> Option<TradeIds> {
        self.outbox.as_ref()?;
        let Some(batch) = batcher.next(drained) else {
            self.begin(None, now, wall);
            return None;
        };
        if self.queue.disk_bytes() >= self.limit_bytes {
            batcher.finished(batch.trades.len());
            self.begin(None, now, wall);
            return Some(TradeIds::of(&batch.trades));
        }
        self.begin(Some(batch), now, wall);
        None
    }

    /// Begins a transaction, if there is a reason for one.
    fn begin(&mut self, batch: Option<Batch>, now: Instant, wall: TradeTime) {
        let is_due =
            now >= self.disk_not_before && self.pending_since.is_some_and(|since| now >= since + self.ride_wait());
        let load = if now >= self.disk_not_before { self.queue.next_load() } else { None };
        if batch.is_none() && load.is_none() && !is_due {
            return;
        }
        let Some(mut file) = self.outbox.take() else { return };
        let mut work = Work::default();
        if is_due {
            self.pending_since = None;
            work = std::mem::take(&mut self.pending);
        }
        work.load = load;
        let store = AnyStore::clone(&self.store);
        // A row of the ledger for each symbol, or a file that is shrunk, would stop the reading.
        let is_small = work.is_empty() && batch.as_ref().is_some_and(|batch| batch.trades.len() <= AT_ONCE_MAX);
        let task = move || {
            let did_load = work.load.is_some();
            let encode = |trades: &[Trade]| store.lines().map(|store| store.encode(trades));
            let (batch, mut done) = match batch {
                None => (None, file.work(None, work, wall)),
                Some(Batch { trades, arrivals }) => {
                    let ids = TradeIds::of(&trades);
                    let done = file.work(Some((&trades, &ids)), work, wall);
                    let about = Waiting {
                        rows: done.kept.map(|kept| kept.rows),
                        trades: trades.len(),
                        disk_bytes: done.kept.map_or(0, |kept| kept.bytes),
                        ids,
                        arrivals,
                        is_of_this_run: true,
                    };
                    (encode(&trades).map(|lines| Encoded { about, lines }), done)
                }
            };
            let loaded = done.loaded.take().and_then(|trades| encode(&trades));
            Box::new(Worked { file, batch, did_load, loaded, done })
        };
        if is_small {
            self.at_once = Some(task());
        } else {
            self.at_work.spawn_blocking(task);
        }
    }
}
