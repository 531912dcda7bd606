//! What a run did, in numbers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::sequencer::Sequencer;
use crate::telemetry::{Tally, metrics};
use crate::trade::IdRange;

/// The end of a capture. Names and units are part of the command-line contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Distinct trades of this run that the store acknowledged.
    pub trades: u64,
    /// From the first trade read to the last acknowledgement.
    pub seconds: f64,
    /// `trades` by `seconds`.
    pub trades_per_second: f64,
    /// User and system time of this process.
    pub cpu_seconds: f64,
    /// The most memory that this process had.
    pub peak_rss_bytes: u64,
    /// Batches that the store acknowledged.
    pub batches: u64,
    /// Writes that had to be tried again.
    pub retries: u64,
    /// Trades that were delivered again and dropped.
    pub duplicates: u64,
    /// Runs of missing ids that did not fill by themselves.
    pub holes_found: u64,
    /// Of these, repaired.
    pub holes_repaired: u64,
    /// Runs of ids that are open at the end: missing, and nobody knows that they stay so. What is missing
    /// the ledger keeps for the next run.
    pub holes_open: u64,
    /// Of these, those between the first and the last trade of this run.
    #[serde(skip)]
    pub holes_open_in_run: u64,
    /// Runs of ids that this run gave up for good.
    #[serde(skip)]
    pub holes_stay: u64,
    /// Trades older than the retention, left out.
    pub expired: u64,
    /// Trades that a full outbox did not take.
    #[serde(skip)]
    pub dropped: u64,
    /// Messages and lines that were refused.
    pub dead_letters: u64,
    /// Trades that the store has not acknowledged, of this run or left by an earlier one.
    pub outbox_left: u64,
    /// Minutes of which the exchange's own candle says the same as the store.
    pub minutes_verified: u64,
    /// Minutes that differ from it at the end.
    pub minutes_different: u64,
    /// The ids of each symbol.
    pub symbols: BTreeMap<String, Ids>,
    /// From socket to acknowledgement, live trades.
    pub latency_ms: LatencyMs,
}

/// What the process took from the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// The most memory that it had.
    pub peak_rss_bytes: u64,
}

impl Summary {
    /// The summary of a run that ends now, `seconds` after its first trade.
    pub fn new(
        tally: &Tally,
        sequencer: &Sequencer,
        latencies: &Latencies,
        seconds: f64,
        (outbox_left, minutes_different): (u64, u64),
        usage: Usage,
    ) -> Self {
        let ids = |span: IdRange| Ids { first_id: span.first, last_id: span.last };
        Self {
            trades: tally.trades,
            seconds,
            trades_per_second: if seconds > 0.0 { tally.trades as f64 / seconds } else { 0.0 },
            cpu_seconds: usage.cpu.as_secs_f64(),
            peak_rss_bytes: usage.peak_rss_bytes,
            batches: tally.batches,
            retries: tally.retries,
            duplicates: tally.duplicates,
            holes_found: tally.holes_found,
            holes_repaired: tally.holes_repaired,
            holes_open: sequencer.open_holes() as u64,
            holes_open_in_run: sequencer.open_holes_in_run() as u64,
            holes_stay: tally.holes_stay,
            expired: tally.expired,
            dropped: tally.dropped,
            dead_letters: tally.dead_letters(),
            outbox_left,
            minutes_verified: tally.minutes_verified,
            minutes_different,
            symbols: sequencer.spans().map(|(symbol, span)| (symbol.to_string(), ids(span))).collect(),
            latency_ms: latencies.figures(),
        }
    }
}

/// The lowest and highest id of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ids {
    /// The lowest.
    pub first_id: u64,
    /// The highest.
    pub last_id: u64,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyMs {
    /// Half of the trades were faster.
    pub p50: f64,
    /// 99 of 100 trades were faster.
    pub p99: f64,
    /// The slowest trade.
    pub max: f64,
}

/// Latencies in microseconds, in constant memory; `None` if the histogram could not be made, which constants do not do.
#[derive(Debug)]
pub struct Latencies(Option<Histogram<u64>>);

/// Longer than any latency that is worth telling apart.
const LATENCY_MAX_US: u64 = 24 * 3600 * 1_000_000;

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).ok())
    }
}

impl Latencies {
    /// Counts every trade of a batch that arrived so and was acknowledged at `answered`.
    pub fn count(&mut self, arrivals: &[(Instant, u32)], answered: Instant) {
        let Some(histogram) = &mut self.0 else { return };
        for (received, trades) in arrivals {
            let latency = answered.saturating_duration_since(*received);
            metrics::latency(latency, *trades);
            let us = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US);
            histogram.saturating_record_n(us.max(1), u64::from(*trades));
        }
    }

    /// The figures for the summary, to 0.01 ms.
    pub fn figures(&self) -> LatencyMs {
        let Some(histogram) = &self.0 else { return LatencyMs { p50: 0.0, p99: 0.0, max: 0.0 } };
        let ms = |us: u64| (us as f64 / 10.0).round() / 100.0;
        LatencyMs {
            p50: ms(histogram.value_at_quantile(0.5)),
            p99: ms(histogram.value_at_quantile(0.99)),
            max: ms(histogram.max()),
        }
    }
}
