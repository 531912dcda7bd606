//! What a run did, in numbers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::Serialize;

use super::intake::Intake;
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
    /// Runs of ids that are missing at the end between the first and the last trade of this run. What is missing
    /// before it the ledger keeps for the next one.
    pub holes_open: u64,
    /// Runs of ids that this run gave up for good.
    #[serde(skip)]
    pub holes_lost: u64,
    /// Trades older than the retention, left out.
    pub expired: u64,
    /// Messages and lines that were refused.
    pub dead_letters: u64,
    /// Trades that the store has not acknowledged, of this run or left by an earlier one.
    pub outbox_left: u64,
    /// The ids of each symbol.
    pub symbols: BTreeMap<String, Ids>,
    /// From socket to acknowledgement, live trades.
    pub latency_ms: LatencyMs,
}

impl Summary {
    /// The summary of a run that ends now.
    pub fn new(
        tally: &Tally,
        intake: &Intake,
        latencies: &Latencies,
        last_acknowledgement: Option<Instant>,
        outbox_left: u64,
    ) -> Self {
        let seconds = match (intake.first_trade(), last_acknowledgement) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        let (cpu, peak_rss_bytes) = process_usage();
        let ids = |span: IdRange| Ids { first_id: span.first, last_id: span.last };
        Self {
            trades: tally.trades,
            seconds,
            trades_per_second: if seconds > 0.0 { tally.trades as f64 / seconds } else { 0.0 },
            cpu_seconds: cpu.as_secs_f64(),
            peak_rss_bytes,
            batches: tally.batches,
            retries: tally.retries,
            duplicates: tally.duplicates,
            holes_found: tally.holes_found,
            holes_repaired: tally.holes_repaired,
            holes_open: intake.sequencer.missing_in_run() as u64,
            holes_lost: tally.holes_lost,
            expired: tally.expired,
            dead_letters: tally.dead_letters,
            outbox_left,
            symbols: intake.sequencer.spans().map(|(symbol, span)| (symbol.to_string(), ids(span))).collect(),
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

/// Latencies in microseconds, in constant memory.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

/// Longer than any latency that is worth telling apart.
const LATENCY_MAX_US: u64 = 24 * 3600 * 1_000_000;

impl Latencies {
    /// No latency yet.
    ///
    /// # Errors
    ///
    /// Never in practice: the bounds are constants.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).map(Self)
    }

    /// Counts every trade of a batch that arrived so and was acknowledged at `answered`.
    pub fn count(&mut self, arrivals: &[(Instant, u32)], answered: Instant) {
        for (received, trades) in arrivals {
            let latency = answered.duration_since(*received);
            metrics::latency(latency, *trades);
            let us = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US);
            self.0.saturating_record_n(us.max(1), u64::from(*trades));
        }
    }

    /// The figures for the summary, to 0.01 ms.
    pub fn figures(&self) -> LatencyMs {
        let ms = |us: u64| (us as f64 / 10.0).round() / 100.0;
        LatencyMs {
            p50: ms(self.0.value_at_quantile(0.5)),
            p99: ms(self.0.value_at_quantile(0.99)),
            max: ms(self.0.max()),
        }
    }
}

/// CPU time (user and system) and peak memory in bytes of this process so far.
pub fn process_usage() -> (Duration, u64) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (Duration::ZERO, 0) };
    // Linux counts `ru_maxrss` in kilobytes.
    let peak = memory_bytes("VmHWM").unwrap_or_else(|| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024);
    (cpu_time(&usage), peak)
}

/// User and system time together.
pub fn cpu_time(usage: &Usage) -> Duration {
    let time = |value: nix::sys::time::TimeVal| {
        Duration::new(value.tv_sec().try_into().unwrap_or(0), u32::try_from(value.tv_usec()).unwrap_or(0) * 1_000)
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// A figure of `/proc/self/status` (Linux, proc(5)), in bytes. `getrusage` has a peak, too, but
/// it is the parent's where that was larger when it started this process.
pub fn memory_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value =
        |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    status.lines().find_map(value).map(|kilobytes| kilobytes * 1024)
}
