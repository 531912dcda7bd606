//! Every event has a metric, and every metric stands in the documentation.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::binance::stream::StreamError;
use crate::capture::repair::End;
use crate::trade::{IdRange, Symbol};

/// One of each event; one that is left out leaves its metric unseen below.
fn events<'a>(symbol: &'a Symbol, closed: &'a StreamError) -> Vec<Event<'a>> {
    let range = IdRange { first: 1, last: 2 };
    vec![
        Event::ConnectionOpened(1),
        Event::ConnectionClosed(1, closed),
        Event::ConnectionReplaced(1, Replacement::Lifetime),
        Event::SymbolSilent(symbol),
        Event::RequestRefused("no"),
        Event::MessageRefused { why: "no JSON" },
        Event::Duplicate,
        Event::HoleFound(symbol, range),
        Event::HoleEnded(symbol, range, End::Repaired),
        Event::HistoryFailed { why: "away" },
        Event::CountRestarted(symbol, 1),
        Event::BatchStored(1),
        Event::WriteFailed { why: "away", held: false, tries: 1 },
        Event::WriteRecovered,
        Event::OutboxLeft(1),
        Event::LeftBatchStored(1),
        Event::OutboxFailed { why: "full", times: 1 },
        Event::OutboxRecovered,
        Event::OutboxSetAside { path: Path::new("outbox.db"), why: "torn" },
        Event::OutboxLost(1),
        Event::OutboxFull(1),
        Event::LeftInOutbox(symbol, range),
        Event::Known { symbol, span: range, source: "ledger" },
        Event::AuditFailed { symbol, why: "away" },
        Event::NothingKnown { symbol, why: "new" },
        Event::Expired(1),
        Event::LineRefused { why: "bad" },
        Event::DeadLetterLost { why: "full" },
        Event::ReadingPaused,
        Event::ReadingResumed,
        Event::ChoreFailed { why: "away" },
    ]
}

/// The metrics that are not zero, by name.
fn rendered(text: &str) -> BTreeSet<String> {
    let is_value = |line: &&str| !line.starts_with('#') && !line.is_empty() && !line.ends_with(" 0");
    text.lines().filter(is_value).filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

#[test]
fn every_event_changes_one_metric_of_its_own() {
    let (symbol, closed) = ("BTCUSDT".parse().unwrap(), StreamError::Ended);
    let mut seen = BTreeSet::new();
    for event in events(&symbol, &closed) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let state = State { connections: 0, waiting: 0, holes: 0, outbox_bytes: 0, is_healthy: false };
        metrics::with_local_recorder(&recorder, || {
            let mut tally = Tally::default();
            tally.note(&event);
            publish(state, &tally);
        });
        let changed = rendered(&handle.render());
        assert_eq!(changed.len(), 1, "{event:?}: {changed:?}");
        assert!(seen.is_disjoint(&changed), "{event:?}: {changed:?} is another's");
        seen.extend(changed);
    }
    assert_eq!(seen, COUNTERS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn every_metric_is_documented() {
    let document = include_str!("../../../docs/operations.md");
    for name in COUNTERS.iter().chain(&GAUGES).map(|(name, _)| *name).chain([LATENCY]) {
        assert!(document.contains(&format!("`{name}")), "{name} is not in docs/operations.md");
    }
}

#[test]
fn latencies_are_counted_by_the_trade() {
    let recorder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS).unwrap().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        latency(Duration::from_micros(1_500), 7);
        latency(Duration::from_secs(2), 3);
    });
    let text = handle.render();
    for line in [
        "tickflux_latency_seconds_bucket{le=\"0.001\"} 0",
        "tickflux_latency_seconds_bucket{le=\"0.002\"} 7",
        "tickflux_latency_seconds_bucket{le=\"5\"} 10",
        "tickflux_latency_seconds_count 10",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
