//! Repairing a store's holes without a capture: page by page from the exchange's history into the store.

use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::backoff::Backoff;
use super::history::{Answer, Brings, History};
use super::sequencer::Hole;
use crate::binance::rest::{Rest, RestError};
use crate::outbox::Ended;
use crate::store::{AnyStore, WriteError};
use crate::telemetry::Tally;
use crate::trade::Trade;

/// So many failures in a row end it; a capture would go on for ever.
const FAILURES_MAX: u32 = 6;
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_CAP: Duration = Duration::from_secs(5);
/// Wakes up now and then though nothing is due.
const IDLE: Duration = Duration::from_secs(1);

/// Why holes could not be repaired.
#[derive(Debug, Error)]
pub enum MendError {
    /// The exchange does not give its history.
    #[error("cannot repair")]
    History(#[from] RestError),
    /// The store does not take trades.
    #[error("cannot repair: {0}")]
    Store(#[from] WriteError),
    /// Told to stop.
    #[error("stopped before every hole was repaired: run it again")]
    Stopped,
    /// A part of the program failed in a way that it should not.
    #[error("the repair failed inside: {0}")]
    Internal(String),
}

/// What was done.
#[derive(Debug, Default)]
pub struct Mended {
    /// Trades written.
    pub trades: u64,
    /// Ids that will never come.
    pub ended: Vec<Ended>,
}

/// Fetches what is missing in `holes` and writes it into `store`; ends when every hole has ended.
///
/// # Errors
///
/// [`MendError`]; what was written by then stays.
///
/// # Cancel safety
///
/// Safe: what was written is written.
pub async fn mend(
    store: &AnyStore,
    rest: Rest,
    holes: Vec<Hole>,
    mut stop: watch::Receiver<bool>,
) -> Result<Mended, MendError> {
    let (mut rng, mut tally, mut mended) = (fastrand::Rng::new(), Tally::default(), Mended::default());
    let mut history = History::new(Some(rest), Instant::now());
    let mut failures = 0;
    holes.into_iter().for_each(|hole| history.add(hole, Instant::now(), &mut tally));
    while !history.is_idle() {
        let now = Instant::now();
        history.ask(now);
        let wake = history.deadline(now).unwrap_or(now + IDLE);
        let answer = tokio::select! {
            biased;
            _ = stop.changed() => return Err(MendError::Stopped),
            Some(answer) = history.next() => answer.map_err(|error| MendError::Internal(error.to_string()))?,
            () = sleep_until(wake.into()) => continue,
        };
        failures = if matches!(answer, Answer::Page(Err(_))) { failures + 1 } else { 0 };
        let answer = match answer {
            Answer::Page(Err(error @ (RestError::NotFromHere { .. } | RestError::NotServed { .. }))) => {
                return Err(error.into());
            }
            Answer::Page(Err(error)) if failures >= FAILURES_MAX => return Err(error.into()),
            answer => answer,
        };
        if let Brings::Trades(trades) = history.answered(answer, Instant::now(), &mut rng, &mut tally) {
            write(store, &trades, &mut rng).await?;
            mended.trades += trades.len() as u64;
        }
    }
    mended.ended = history.take_ended();
    Ok(mended)
}

async fn write(store: &AnyStore, trades: &[Trade], rng: &mut fastrand::Rng) -> Result<(), WriteError> {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_CAP);
    for attempt in 0.. {
        match store.write(trades, attempt).await {
            Ok(_) => break,
            Err(WriteError::Transient { .. }) if attempt + 1 < FAILURES_MAX => sleep(backoff.after_failure(rng)).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
