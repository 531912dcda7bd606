//! Batches on their way to the store: tried until they are stored.

use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::backoff::Backoff;
use super::batcher::Batch;
use crate::outbox::Encoded;
use crate::store::{AnyStore, WriteError, Written};

const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_CAP: Duration = Duration::from_secs(10);
/// A store that someone has to mend is tried this often.
const HELD_WAIT: Duration = Duration::from_secs(10);
/// No store is left alone for longer, whatever its `Retry-After` says.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Writes in flight, each one a batch with its tries.
#[derive(Debug)]
pub struct Writes {
    store: AnyStore,
    tasks: JoinSet<Tried>,
}

/// A batch in the form in which it is sent.
#[derive(Debug)]
pub enum Parcel {
    /// Trades, for a store that is near.
    Trades(Batch),
    /// Lines, for a store over the network.
    Lines(Encoded),
}

impl Parcel {
    /// How many trades it holds.
    pub fn trades(&self) -> usize {
        match self {
            Self::Trades(batch) => batch.trades.len(),
            Self::Lines(batch) => batch.about.trades,
        }
    }

    /// When its live trades were read, with how many each time.
    pub fn arrivals(&self) -> &[(Instant, u32)] {
        match self {
            Self::Trades(batch) => &batch.arrivals,
            Self::Lines(batch) => &batch.about.arrivals,
        }
    }
}

/// A batch after one try.
#[derive(Debug)]
pub struct Tried {
    /// The batch.
    pub parcel: Parcel,
    /// What the store said.
    pub result: Result<Written, WriteError>,
    /// Tries so far, this one included.
    pub tries: u32,
    /// When the store answered.
    pub answered: Instant,
    backoff: Backoff,
}

impl Writes {
    /// Writes to `store`.
    pub fn new(store: AnyStore) -> Self {
        Self { store, tasks: JoinSet::new() }
    }

    /// How many batches are on their way.
    pub fn in_flight(&self) -> usize {
        self.tasks.len()
    }

    /// Sends a batch.
    pub fn send(&mut self, parcel: Parcel) {
        self.spawn(parcel, 0, Backoff::new(BACKOFF_FIRST, BACKOFF_CAP), Duration::ZERO);
    }

    /// Sends a batch again that could not be stored, after the wait that the reason asks for.
    pub fn send_again(&mut self, tried: Tried, rng: &mut fastrand::Rng) {
        let Tried { parcel, result, tries, mut backoff, .. } = tried;
        let wait = match result {
            Ok(_) => return,
            Err(WriteError::Held { .. }) => HELD_WAIT,
            Err(WriteError::Transient { wait, .. }) => {
                let jittered = backoff.after_failure(rng);
                wait.map_or(jittered, |asked| asked.min(RETRY_AFTER_MAX) + jittered)
            }
        };
        self.spawn(parcel, tries, backoff, wait);
    }

    /// The next batch whose try has ended; `None` if nothing is in flight.
    ///
    /// # Errors
    ///
    /// If a write panicked; its batch is gone.
    ///
    /// # Cancel safety
    ///
    /// Safe: no result is lost.
    pub async fn next(&mut self) -> Option<Result<Tried, JoinError>> {
        self.tasks.join_next().await
    }

    fn spawn(&mut self, parcel: Parcel, attempt: u32, backoff: Backoff, wait: Duration) {
        let store = AnyStore::clone(&self.store);
        self.tasks.spawn(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let result = match (&parcel, store.lines()) {
                (Parcel::Trades(batch), _) => store.write(&batch.trades, attempt).await,
                (Parcel::Lines(batch), Some(store)) => store.write_lines(&batch.lines, attempt).await,
                (Parcel::Lines(_), None) => Err(WriteError::Held { why: "the store takes no lines".to_owned() }),
            };
            Tried { parcel, result, tries: attempt + 1, answered: Instant::now(), backoff }
        });
    }
}
