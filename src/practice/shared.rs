//! What the parts of a running exchange share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::faults::{Faults, RestFaults};
use super::tape::{Print, Tape};
use super::weight::Weight;
use crate::trade::{Symbol, TradeId, TradeTime};

/// What the parts of a running exchange share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tape: Tape,
    /// The streams that carry something: `btcusdt@trade` and its symbol.
    pub(super) streams: HashMap<String, Symbol>,
    pub(super) weight: Mutex<Weight>,
    pub(super) next_subscriber: AtomicU64,
    /// Whether anyone has subscribed yet.
    pub(super) subscribed: watch::Sender<bool>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) shift_minutes: i64,
    /// Whether `historicalTrades` is absent, as on Binance's hosts for market data only.
    pub(super) market_data_only: bool,
    pub(super) faults: Faults,
    pub(super) rest_faults: Mutex<RestFaults>,
    pub(super) started: Instant,
    pub(super) is_calm: AtomicBool,
    pub(super) restart: Mutex<Restart>,
    /// The first and the last id of each daily file, as it was served last.
    pub(super) dumps: Mutex<HashMap<String, (u64, u64)>>,
    pub(super) clock: fn() -> TradeTime,
}

/// Counts trades until every symbol's ids begin again.
#[derive(Debug, Default)]
pub(super) struct Restart {
    trades: u64,
    /// What to subtract from a symbol's ids.
    offsets: HashMap<Symbol, u64>,
}

impl Shared {
    /// Whether nothing goes wrong any more.
    pub(super) fn is_calm(&self) -> bool {
        let is_over = self.faults.ends_after.is_some_and(|time| self.started.elapsed() >= time);
        is_over || self.is_calm.load(Ordering::Relaxed)
    }

    pub(super) fn rest_faults(&self) -> MutexGuard<'_, RestFaults> {
        self.rest_faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, prints: impl IntoIterator<Item = Print>) {
        let Some(after) = self.faults.reset_after else { return self.tape.append(prints) };
        let mut restart = self.restart.lock().unwrap_or_else(PoisonError::into_inner);
        let renumbered = prints.into_iter().filter_map(|mut print| {
            restart.trades += 1;
            if restart.trades > after {
                let id = print.trade.id.get();
                let offset = *restart.offsets.entry(print.trade.symbol.clone()).or_insert(id.saturating_sub(1));
                // A recording may hold ids that fall.
                print.trade.id = TradeId::new(id.saturating_sub(offset)).ok()?;
            }
            Some(print)
        });
        self.tape.append(renumbered.collect::<Vec<_>>());
    }
}
