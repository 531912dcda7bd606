//! How far the reading is, on a terminal: how many trades, and what time they have come to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar};

use crate::cli::drawing::{Drawing, style};
use crate::trade::TradeTime;

/// How far it is.
#[derive(Debug)]
pub(super) struct Reached {
    trades: AtomicU64,
    /// In ms.
    time: AtomicI64,
}

impl Reached {
    /// Nothing yet of what is since this time.
    pub(super) fn new(since: TradeTime) -> Arc<Self> {
        Arc::new(Self { trades: AtomicU64::new(0), time: AtomicI64::new(since.ms()) })
    }

    /// So many trades were taken, the last one of this time.
    pub(super) fn set(&self, trades: u64, time: TradeTime) {
        self.trades.store(trades, Ordering::Relaxed);
        self.time.store(time.ms(), Ordering::Relaxed);
    }
}

/// Draws how far trades are, of which the first one may be from `since` and the last one from before `until`.
pub(super) fn draw(reached: Arc<Reached>, since: TradeTime, until: TradeTime) -> Drawing {
    let span = move |time: i64| u64::try_from(time - since.ms()).unwrap_or(0);
    let all = span(until.ms()).max(1);
    let bar = ProgressBar::new(all);
    bar.set_style(style("{wide_bar} {msg}, {eta} left"));
    let begun = Instant::now();
    Drawing::start(bar, move |bar| {
        let trades = reached.trades.load(Ordering::Relaxed);
        let rate = trades as f64 / begun.elapsed().as_secs_f64();
        let time = TradeTime::from_ms(reached.time.load(Ordering::Relaxed)).unwrap_or(since);
        bar.set_message(format!("{} trades, {}/s, at {time}", HumanCount(trades), HumanCount(rate as u64)));
        bar.set_position(span(time.ms()).min(all));
    })
}
