//! Batches on their way to the store: tried until they are stored.

use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::backoff::Backoff;
use super::batcher::Batch;
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

/// A batch after one try.
#[derive(Debug)]
pub struct Tried {
    /// The batch.
    pub batch: Batch,
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

    /// Sends a batch.
    pub fn send(&mut self, batch: Batch) {
        self.spawn(batch, 0, Backoff::new(BACKOFF_FIRST, BACKOFF_CAP), Duration::ZERO);
    }

    /// Sends a batch again that could not be stored, after the wait that the reason asks for.
    pub fn send_again(&mut self, tried: Tried, rng: &mut fastrand::Rng) {
        let Tried { batch, result, tries, mut backoff, .. } = tried;
        let wait = match result {
            Ok(_) => return,
            Err(WriteError::Held { .. }) => HELD_WAIT,
            Err(WriteError::Transient { wait, .. }) => {
                let jittered = backoff.after_failure(rng);
                wait.map_or(jittered, |asked| asked.min(RETRY_AFTER_MAX) + jittered)
            }
        };
        self.spawn(batch, tries, backoff, wait);
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

    fn spawn(&mut self, batch: Batch, attempt: u32, backoff: Backoff, wait: Duration) {
        let store = AnyStore::clone(&self.store);
        self.tasks.spawn(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let result = store.write(&batch.trades, attempt).await;
            Tried { batch, result, tries: attempt + 1, answered: Instant::now(), backoff }
        });
    }
}
