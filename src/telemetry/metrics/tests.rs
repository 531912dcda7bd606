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

/// The counters that are not zero, by name.
fn counted(text: &str) -> BTreeSet<String> {
    let is_counted = |line: &&str| !line.starts_with('#') && line.contains("_total") && !line.ends_with(" 0");
    text.lines().filter(is_counted).filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// Every series: names with their labels.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

const STATE: State = State { connections: 0, waiting: 0, holes: 0, outbox_bytes: 0 };

#[test]
fn every_event_changes_one_metric_of_its_own() {
    let (symbol, closed) = ("BTCUSDT".parse().unwrap(), StreamError::Ended);
    let mut seen = BTreeSet::from([BATCHES.to_owned()]);
    for event in events(&symbol, &closed) {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let mut tally = Tally::default();
            tally.note(&event);
            publish(STATE, &Health::default(), &tally);
        });
        let mut changed = counted(&recorder.handle().render());
        changed.remove(BATCHES);
        assert_eq!(changed.len(), 1, "{event:?}: {changed:?}");
        assert!(seen.is_disjoint(&changed), "{event:?}: {changed:?} is another's");
        seen.extend(changed);
    }
    assert_eq!(seen, COUNTERS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn every_counter_is_there_before_its_first_event() {
    let (symbol, closed) = ("BTCUSDT".parse().unwrap(), StreamError::Ended);
    let range = IdRange { first: 1, last: 2 };
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, begin);
    let before = recorder.handle().render();
    assert_eq!(counted(&before), BTreeSet::new());
    metrics::with_local_recorder(&recorder, || {
        let mut tally = Tally::default();
        events(&symbol, &closed).iter().for_each(|event| tally.note(event));
        for why in [Replacement::Lifetime, Replacement::ServerShutdown, Replacement::Idle] {
            tally.note(&Event::ConnectionReplaced(1, why));
        }
        for end in [End::Repaired, End::NotAtExchange, End::Expired, End::Refused] {
            tally.note(&Event::HoleEnded(&symbol, range, end));
        }
        tally.note(&Event::WriteFailed { why: "token", held: true, tries: 1 });
        tally.note(&Event::Known { symbol: &symbol, span: range, source: "store" });
    });
    assert_eq!(series(&recorder.handle().render()), series(&before));
}

#[test]
fn each_part_has_its_own_health() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let health = Health::default();
    health.failing(Part::Store, "away");
    metrics::with_local_recorder(&recorder, || publish(STATE, &health, &Tally::default()));
    let text = recorder.handle().render();
    for (part, value) in [("stream", 1), ("store", 0), ("memory", 1), ("outbox", 1)] {
        assert!(text.contains(&format!("tickflux_healthy{{part=\"{part}\"}} {value}\n")), "{part}: {text}");
    }
}

#[test]
fn every_metric_is_documented() {
    let document = include_str!("../../../docs/operations.md");
    let names =
        COUNTERS.iter().chain(&GAUGES).chain([&LATENCY, &LOG_LINES]).map(|(name, _)| *name).chain(process::NAMES);
    for name in names {
        let (whole, labeled) = (format!("`{name}`"), format!("`{name}{{"));
        assert!(document.contains(&whole) || document.contains(&labeled), "{name} is not in docs/operations.md");
    }
}
