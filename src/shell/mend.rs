//! Repairing a store's holes without a capture: page by page from the exchange's history into the store.

use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::history;
use crate::binance::rest::Rest;
use crate::capture::backoff::Backoff;
use crate::capture::history::{History, Lookup, Outcome, Refusal, RefusalKind, Request};
use crate::capture::holes::{End, EndedHole};
use crate::capture::input::Input;
use crate::capture::sequencer::Hole;
use crate::store::{AnyStore, Attempt, WriteError};
use crate::telemetry::{Event, Log};
use crate::text::Excerpt;
use crate::trade::{HoleState, IdRange, Symbol, Trade, TradeTime};

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
    #[error("cannot repair: {0}")]
    History(Excerpt),
    /// The store does not take trades.
    #[error("cannot repair: {0}")]
    Store(#[from] WriteError),
    /// Told to stop.
    #[error("stopped before every hole was repaired: run it again")]
    Stopped,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Mended {
    /// Trades written and stored.
    pub trades: u64,
    /// Ids that stay missing, and why.
    pub ended: Vec<(Symbol, IdRange, HoleState)>,
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
    let mut mending = Mending { rng: fastrand::Rng::new(), log: Log::default(), mended: Mended::default() };
    let mut history = History::new(Instant::now());
    let (mut failures, mut exchange_time) = (0, None);
    history.look_up(Lookup::Time, Instant::now());
    for hole in holes {
        let (ended, _) = history.add(hole, Instant::now());
        mending.note(ended);
    }
    while !history.is_idle() {
        let now = Instant::now();
        let Some(request) = history.next_request(true, now) else {
            let wake = history.deadline(true, now).unwrap_or(now + IDLE);
            tokio::select! {
                biased;
                _ = stop.changed() => return Err(MendError::Stopped),
                () = sleep_until(wake.into()) => continue,
            }
        };
        let is_time = matches!(request, Request::Lookup(_));
        let input = tokio::select! {
            biased;
            _ = stop.changed() => return Err(MendError::Stopped),
            input = history::ask(&rest, request) => input,
        };
        let Input::History(answer, used_weight) = input else { continue };
        let used_weight = used_weight.map(|used| (used, Duration::from_secs(60)));
        match history.answered(answer, used_weight, Instant::now(), &mut mending.rng) {
            Outcome::Found(_, found) => exchange_time = Some(found.time),
            Outcome::Brought(brought) => {
                failures = 0;
                mending.write(store, &brought.trades, exchange_time).await?;
                for (symbol, row) in brought.bad_rows {
                    let range = row.id.map(|id| IdRange { first: id, last: id });
                    mending.note(range.map(|range| (symbol, range, End::Stays(HoleState::NotAtExchange))));
                }
                mending.note(brought.ended);
            }
            Outcome::Failed(refusal) if !is_time => {
                failures += 1;
                let is_final = refusal.kind == RefusalKind::NotFromHere || failures >= FAILURES_MAX;
                let Refusal { why, kind } = refusal;
                let event = if kind == RefusalKind::NotServed { Event::HistoryNotServed } else { Event::HistoryFailed };
                mending.log.write(event(why.clone()), Instant::now());
                if is_final {
                    return Err(MendError::History(why));
                }
            }
            Outcome::Failed(_) | Outcome::Nothing => {}
        }
    }
    mending.log.end(Instant::now());
    Ok(mending.mended)
}

struct Mending {
    rng: fastrand::Rng,
    log: Log,
    mended: Mended,
}

impl Mending {
    fn note(&mut self, ended: impl IntoIterator<Item = EndedHole>) {
        for (symbol, range, end) in ended {
            match end {
                End::Repaired => self.log.write(Event::HoleRepaired(symbol, range), Instant::now()),
                End::Stays(state) => {
                    self.log.write(Event::HoleStays(symbol.clone(), range, state), Instant::now());
                    self.mended.ended.push((symbol, range, state));
                }
            }
        }
    }

    async fn write(
        &mut self,
        store: &AnyStore,
        trades: &[Trade],
        exchange_time: Option<TradeTime>,
    ) -> Result<(), WriteError> {
        if trades.is_empty() {
            return Ok(());
        }
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_CAP);
        for number in 0.. {
            match store.write(trades, Attempt { number, exchange_time }).await {
                Ok(written) => {
                    let left_out = written.expired.count() + written.refused.len() as u64;
                    self.mended.trades += (trades.len() as u64).saturating_sub(left_out);
                    let refused = written.refused.into_iter();
                    self.note(refused.map(|line| (line.symbol, line.id.into(), End::Stays(HoleState::RefusedByStore))));
                    let expired = written.expired.ranges();
                    let expired =
                        expired.map(|(symbol, range, _)| (symbol.clone(), range, End::Stays(HoleState::Expired)));
                    self.note(expired.collect::<Vec<_>>());
                    break;
                }
                Err(WriteError::Transient { .. }) if number + 1 < FAILURES_MAX => {
                    sleep(backoff.after_failure(&mut self.rng)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
