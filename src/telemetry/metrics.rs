//! What happened, as Prometheus metrics: one metric an event, and what the state is now.
//!
//! Without a recorder, as in the library's tests, counting does nothing.

mod latency;
mod process;

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use self::latency::LatencyHistogram;
pub use self::process::{cpu_time, memory_bytes, process_usage};
use super::health::{Health, Part};
use super::{Event, Tally, lines};
use crate::trade::Symbol;

const LATENCY: (&str, &str) =
    ("tickflux_latency_seconds", "From the socket to the store's acknowledgement, live trades");
const LOG_LINES: (&str, &str) = ("tickflux_log_lines_dropped_total", "Log lines dropped because nobody read them");
/// One for the process, as the recorder is.
static LATENCIES: LatencyHistogram = LatencyHistogram::new();

/// Every counter, with its meaning.
const COUNTERS: [(&str, &str); 48] = [
    ("tickflux_connections_opened_total", "Stream connections opened"),
    ("tickflux_connections_closed_total", "Stream connections that ended, or could not be opened"),
    ("tickflux_connections_replaced_total", "Stream connections replaced while they ran, by why"),
    ("tickflux_silent_symbols_total", "Times that the stream kept silent about a symbol that was traded"),
    ("tickflux_requests_refused_total", "Requests that the exchange refused on a stream"),
    ("tickflux_messages_refused_total", "Messages that were no trades and became dead letters"),
    ("tickflux_duplicates_total", "Trades that were delivered again and dropped"),
    ("tickflux_holes_found_total", "Runs of missing ids that did not fill by themselves"),
    ("tickflux_holes_ended_total", "Runs of missing ids whose story is over, by how it ended"),
    ("tickflux_history_failures_total", "Requests to the exchange's history without a usable answer"),
    ("tickflux_history_not_served_total", "Times that the exchange's history was not served by this host"),
    ("tickflux_trades_suspected_total", "Trades that were not believed alone and became dead letters"),
    ("tickflux_trades_believed_total", "Of these, trades with which another agreed, and which were taken"),
    ("tickflux_store_warnings_total", "Warnings of the store's check at the start"),
    ("tickflux_symbols_unchecked_total", "Times that the exchange did not say whether it lists the symbols"),
    ("tickflux_other_outbox_left_trades_total", "Trades that wait in the same folder for another store"),
    (
        "tickflux_store_lost_trades_total",
        "Trades that the store acknowledged and does not have any more; they become holes",
    ),
    ("tickflux_store_changes_total", "Times that the store was not the one that the ledger knows"),
    ("tickflux_clock_differences_total", "Times that this host's clock began to differ from the exchange's"),
    ("tickflux_clock_agreements_total", "Times that it agreed again"),
    ("tickflux_counts_restarted_total", "Times that the exchange started a symbol's ids again"),
    ("tickflux_trades_stored_total", "Trades of this run that the store acknowledged"),
    (BATCHES, "Batches that the store acknowledged, those of an earlier run included"),
    ("tickflux_write_failures_total", "Writes that have to be tried again, by kind"),
    ("tickflux_write_recoveries_total", "Times that writing worked again"),
    ("tickflux_outbox_asked_total", "Captures that asked for the outbox, whereupon this one ended"),
    ("tickflux_outbox_taken_over_total", "Outboxes that were taken over from another capture"),
    ("tickflux_outbox_left_trades_total", "Trades that an earlier run had left in the outbox"),
    ("tickflux_outbox_left_stored_total", "Of these, trades that the store acknowledged"),
    ("tickflux_outbox_failures_total", "Times that the disk did not take or give batches"),
    ("tickflux_outbox_recoveries_total", "Times that the disk worked again"),
    ("tickflux_outbox_set_aside_total", "Damaged outbox files that were set aside"),
    ("tickflux_outbox_lost_trades_total", "Trades lost with a damaged outbox; they become holes"),
    ("tickflux_outbox_dropped_trades_total", "Trades that a full outbox did not take; they become holes"),
    ("tickflux_outbox_left_ids_total", "Ids that only the outbox has at the end"),
    ("tickflux_known_ids_total", "Ids known from before this run, by who knew them"),
    ("tickflux_audit_failures_total", "Times that the store did not tell what it has"),
    ("tickflux_nothing_known_total", "Symbols of which nothing is known before this run"),
    ("tickflux_expired_trades_total", "Trades older than the retention, left out"),
    ("tickflux_lines_refused_total", "Lines that the store refused and that became dead letters"),
    ("tickflux_dead_letters_lost_total", "Dead letters that could not be kept"),
    ("tickflux_reading_pauses_total", "Times that reading stopped for want of memory"),
    ("tickflux_reading_resumes_total", "Times that reading went on after that"),
    ("tickflux_minutes_verified_total", "Minutes of which the exchange's candle says the same"),
    ("tickflux_minutes_different_total", "Minutes that were found to differ from the exchange's candle"),
    ("tickflux_minutes_agreed_total", "Of these, minutes that did not differ any more later on"),
    ("tickflux_verify_failures_total", "Times that minutes could not be held against the exchange's candles"),
    ("tickflux_chore_failures_total", "Failures beside the way of a trade"),
];

/// A total beside the trades that its event counts: their ratio is the size of a batch.
const BATCHES: &str = "tickflux_batches_stored_total";

/// The counters with a label, and every value of it.
const LABELED: [(&str, &str, &[&str]); 4] = [
    ("tickflux_connections_replaced_total", "why", &["lifetime", "server_shutdown", "idle", "silent_symbol"]),
    ("tickflux_holes_ended_total", "end", &["repaired", "not_at_exchange", "expired", "refused", "refused_by_store"]),
    ("tickflux_write_failures_total", "kind", &["transient", "held"]),
    ("tickflux_known_ids_total", "source", &["ledger", "store"]),
];

/// Every gauge, with its meaning.
const GAUGES: [(&str, &str); 10] = [
    ("tickflux_build_info", "1, with the version"),
    ("tickflux_connections_open", "Stream connections that are open"),
    ("tickflux_trades_waiting", "Trades that the store has not acknowledged, in memory or in the outbox"),
    ("tickflux_holes_open", "Runs of ids that are open: missing, and nobody knows that they stay so"),
    ("tickflux_clock_offset_seconds", "How far this host's clock is ahead of the exchange's"),
    ("tickflux_minutes_different", "Minutes of the last 24 h that differ from the exchange's candles"),
    ("tickflux_verified_minute_age_seconds", "How long ago the newest minute ended that is verified of every symbol"),
    ("tickflux_outbox_bytes", "Bytes that waiting batches take on disk"),
    ("tickflux_trade_id_newest", "The highest trade id that this run took, by symbol"),
    ("tickflux_healthy", "1 while a part of the capture works, 0 while it fails, by part"),
];

/// The state of a capture, for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Open stream connections.
    pub connections: usize,
    /// Trades that the store has not acknowledged.
    pub waiting: u64,
    /// Runs of ids that are open.
    pub open_holes: usize,
    /// Bytes that waiting batches take on disk.
    pub outbox_bytes: u64,
    /// How far this host's clock is ahead of the exchange's, in ms, if the exchange has said its time.
    pub clock_offset_ms: Option<i64>,
    /// Minutes that differ from the exchange's candles.
    pub different_minutes: u64,
    /// How long ago the newest minute ended that is verified of every symbol, in ms, if there is one.
    pub verified_age_ms: Option<i64>,
}

/// What was counted so far.
#[derive(Debug, Clone)]
pub struct Exporter(PrometheusHandle);

impl Exporter {
    /// It all in Prometheus' text format.
    pub fn render(&self) -> String {
        process::publish();
        counter!(LOG_LINES.0).absolute(lines::dropped());
        self.0.render() + &LATENCIES.render(LATENCY.0, LATENCY.1)
    }
}

/// Begins to count.
///
/// # Errors
///
/// If something counts already.
pub fn install() -> Result<Exporter, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    begin();
    Ok(Exporter(handle))
}

/// Says what each metric means, and gives each counter its zero.
fn begin() {
    for (name, meaning) in COUNTERS {
        describe_counter!(name, meaning);
        // What has not happened yet is zero, not absent: Prometheus sees no growth from nothing to one.
        match LABELED.iter().find(|(labeled, ..)| *labeled == name) {
            Some((_, label, values)) => values.iter().for_each(|value| counter!(name, *label => *value).increment(0)),
            None => counter!(name).increment(0),
        }
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(name, meaning);
    }
    describe_counter!(LOG_LINES.0, LOG_LINES.1);
    gauge!("tickflux_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    process::begin();
}

/// Counts `event`, but duplicates, which come by the trade: [`publish`] takes them from the tally.
pub fn count(event: &Event) {
    let Some(Counter { name, label, by }) = counter_of(event) else { return };
    match label {
        Some((key, value)) => counter!(name, key => value).increment(by),
        None => counter!(name).increment(by),
    }
}

/// What counts an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counter {
    /// The metric.
    pub name: &'static str,
    /// Its label's key and value.
    pub label: Option<(&'static str, &'static str)>,
    /// What it grows by.
    pub by: u64,
}

/// The counter of `event`; none for duplicates.
pub fn counter_of(event: &Event) -> Option<Counter> {
    let labeled = |name, key, value| Some(Counter { name, label: Some((key, value)), by: 1 });
    let (name, by) = match event {
        Event::Duplicate => return None,
        Event::ConnectionReplaced(_, why) => return labeled("tickflux_connections_replaced_total", "why", why.name()),
        Event::HoleRepaired(..) => return labeled("tickflux_holes_ended_total", "end", "repaired"),
        Event::HoleStays(_, _, state) => return labeled("tickflux_holes_ended_total", "end", state.name()),
        Event::WriteFailed { held, .. } => {
            return labeled("tickflux_write_failures_total", "kind", if *held { "held" } else { "transient" });
        }
        Event::Known(_, span, source) => {
            let label = Some(("source", source.name()));
            return Some(Counter { name: "tickflux_known_ids_total", label, by: span.count() });
        }
        Event::ConnectionOpened(_) => ("tickflux_connections_opened_total", 1),
        Event::ConnectionClosed(..) => ("tickflux_connections_closed_total", 1),
        Event::SymbolSilent(_) => ("tickflux_silent_symbols_total", 1),
        Event::RequestRefused(_) => ("tickflux_requests_refused_total", 1),
        Event::MessageRefused(_) => ("tickflux_messages_refused_total", 1),
        Event::TradeSuspected(..) => ("tickflux_trades_suspected_total", 1),
        Event::TradeBelieved(..) => ("tickflux_trades_believed_total", 1),
        Event::HoleFound(..) => ("tickflux_holes_found_total", 1),
        Event::HistoryFailed(_) => ("tickflux_history_failures_total", 1),
        Event::HistoryNotServed(_) => ("tickflux_history_not_served_total", 1),
        Event::CountRestarted(..) => ("tickflux_counts_restarted_total", 1),
        Event::BatchStored(trades) => ("tickflux_trades_stored_total", *trades),
        Event::WriteRecovered => ("tickflux_write_recoveries_total", 1),
        Event::StoreWarned(_) => ("tickflux_store_warnings_total", 1),
        Event::SymbolsUnchecked(_) => ("tickflux_symbols_unchecked_total", 1),
        Event::OutboxAsked => ("tickflux_outbox_asked_total", 1),
        Event::OutboxTakenOver(_) => ("tickflux_outbox_taken_over_total", 1),
        Event::OutboxLeft(trades) => ("tickflux_outbox_left_trades_total", *trades),
        Event::OtherOutboxLeft(_, _, trades) => ("tickflux_other_outbox_left_trades_total", *trades),
        Event::LeftBatchStored(trades) => ("tickflux_outbox_left_stored_total", *trades),
        Event::OutboxFailed { .. } => ("tickflux_outbox_failures_total", 1),
        Event::OutboxRecovered => ("tickflux_outbox_recoveries_total", 1),
        Event::OutboxSetAside(..) => ("tickflux_outbox_set_aside_total", 1),
        Event::OutboxLost(trades) => ("tickflux_outbox_lost_trades_total", *trades),
        Event::OutboxFull(trades) => ("tickflux_outbox_dropped_trades_total", *trades),
        Event::LeftInOutbox(_, range) => ("tickflux_outbox_left_ids_total", range.count()),
        Event::StoreLost(_, trades) => ("tickflux_store_lost_trades_total", *trades),
        Event::StoreChanged(_) => ("tickflux_store_changes_total", 1),
        Event::AuditFailed(..) => ("tickflux_audit_failures_total", 1),
        Event::NothingKnown(..) => ("tickflux_nothing_known_total", 1),
        Event::Expired(trades) => ("tickflux_expired_trades_total", *trades),
        Event::LineRefused(_) => ("tickflux_lines_refused_total", 1),
        Event::DeadLetterLost(_) => ("tickflux_dead_letters_lost_total", 1),
        Event::ReadingPaused => ("tickflux_reading_pauses_total", 1),
        Event::ReadingResumed => ("tickflux_reading_resumes_total", 1),
        Event::ClockDiffers { .. } => ("tickflux_clock_differences_total", 1),
        Event::ClockAgrees => ("tickflux_clock_agreements_total", 1),
        Event::MinutesVerified(_, minutes) => ("tickflux_minutes_verified_total", *minutes),
        Event::MinuteDiffers(..) => ("tickflux_minutes_different_total", 1),
        Event::MinuteAgrees(..) => ("tickflux_minutes_agreed_total", 1),
        Event::VerifyFailed(..) => ("tickflux_verify_failures_total", 1),
        Event::ChoreFailed(_) => ("tickflux_chore_failures_total", 1),
    };
    Some(Counter { name, label: None, by })
}

/// Counts trades that took `latency` from the socket to the acknowledgement.
pub fn latency(latency: Duration, trades: u32) {
    LATENCIES.record(latency, trades);
}

/// Publishes what the state is now.
pub fn publish(state: State, health: &Health, tally: &Tally) {
    counter!("tickflux_duplicates_total").absolute(tally.duplicates);
    counter!(BATCHES).absolute(tally.batches);
    gauge!("tickflux_connections_open").set(state.connections as f64);
    gauge!("tickflux_trades_waiting").set(state.waiting as f64);
    gauge!("tickflux_holes_open").set(state.open_holes as f64);
    if let Some(ms) = state.clock_offset_ms {
        gauge!("tickflux_clock_offset_seconds").set(ms as f64 / 1_000.0);
    }
    gauge!("tickflux_minutes_different").set(state.different_minutes as f64);
    if let Some(ms) = state.verified_age_ms {
        gauge!("tickflux_verified_minute_age_seconds").set(ms as f64 / 1_000.0);
    }
    gauge!("tickflux_outbox_bytes").set(state.outbox_bytes as f64);
    publish_health(health);
}

/// Publishes which parts work now.
pub fn publish_health(health: &Health) {
    for part in Part::ALL {
        gauge!("tickflux_healthy", "part" => part.name()).set(u8::from(health.is_working(part)));
    }
}

/// Publishes the highest id that this run took of `symbol`.
pub fn publish_newest(symbol: &Symbol, id: u64) {
    // Exact: ids are far below 2^53.
    gauge!("tickflux_trade_id_newest", "symbol" => symbol.to_string()).set(id as f64);
}

#[cfg(test)]
mod tests;
