//! Every event has a metric, and every metric stands in the documentation.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::telemetry::{Journal, Log, Replacement, Source, Suspicion};
use crate::text::Excerpt;
use crate::trade::{HoleState, IdRange, Symbol, TradeId, TradeTime};

/// One of each event; one that is left out leaves its metric unseen below.
fn events() -> Vec<Event> {
    let (symbol, id, range) =
        ("BTCUSDT".parse::<Symbol>().unwrap(), TradeId::new(1).unwrap(), IdRange { first: 1, last: 2 });
    let (why, path) = (Excerpt::of("away"), PathBuf::from("outbox.db"));
    vec![
        Event::ConnectionOpened(1),
        Event::ConnectionClosed(1, why.clone()),
        Event::ConnectionReplaced(1, Replacement::Lifetime),
        Event::SymbolSilent(symbol.clone()),
        Event::RequestRefused(why.clone()),
        Event::MessageRefused(why.clone()),
        Event::TradeSuspected(symbol.clone(), id, Suspicion::TimeAhead),
        Event::TradeBelieved(symbol.clone(), id, Suspicion::TimeAhead),
        Event::Duplicate,
        Event::HoleFound(symbol.clone(), range),
        Event::HoleRepaired(symbol.clone(), range),
        Event::HistoryFailed(why.clone()),
        Event::HistoryNotServed(why.clone()),
        Event::CountRestarted(symbol.clone(), id),
        Event::BatchStored(1),
        Event::WriteFailed { why: "away".to_owned(), held: false, tries: 1 },
        Event::WriteRecovered,
        Event::StoreWarned("a week".to_owned()),
        Event::SymbolsUnchecked(why.clone()),
        Event::OutboxAsked,
        Event::OutboxTakenOver(Duration::from_secs(1)),
        Event::OutboxLeft(1),
        Event::OtherOutboxLeft(path.clone(), "another store".to_owned(), 1),
        Event::LeftBatchStored(1),
        Event::OutboxFailed { why: "full".to_owned(), times: 1 },
        Event::OutboxRecovered,
        Event::OutboxSetAside(path, "torn".to_owned()),
        Event::OutboxLost(1),
        Event::OutboxFull(1),
        Event::LeftInOutbox(symbol.clone(), range),
        Event::Known(symbol.clone(), range, Source::Ledger),
        Event::StoreLost(symbol.clone(), 1),
        Event::StoreChanged("another".to_owned()),
        Event::AuditFailed(symbol.clone(), why.clone()),
        Event::NothingKnown(symbol.clone(), why.clone()),
        Event::Expired(1),
        Event::LineRefused(why.clone()),
        Event::DeadLetterLost(why.clone()),
        Event::ReadingPaused,
        Event::ReadingResumed,
        Event::ClockDiffers { offset_ms: 9_000, host: TradeTime::EPOCH },
        Event::ClockAgrees,
        Event::MinutesVerified(symbol.clone(), 2),
        Event::MinuteDiffers(symbol.clone(), TradeTime::EPOCH, why.clone()),
        Event::MinuteAgrees(symbol.clone(), TradeTime::EPOCH),
        Event::VerifyFailed(symbol, why),
        Event::ChoreFailed("away".to_owned()),
    ]
}

/// Notes an event as a capture does, and counts what is told.
fn tell(event: &Event) -> Tally {
    let mut journal = Journal::default();
    journal.note(event.clone());
    journal.take().into_iter().for_each(|event| {
        count(&event);
        Log::default().write(event, Instant::now());
    });
    journal.tally().clone()
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

const STATE: State = State {
    connections: 0,
    waiting: 0,
    open_holes: 0,
    outbox_bytes: 0,
    clock_offset_ms: Some(-7_000),
    different_minutes: 3,
    verified_age_ms: Some(8_500),
};

#[test]
fn every_event_changes_one_metric_of_its_own() {
    let mut seen = BTreeSet::from([BATCHES.to_owned()]);
    for event in events() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || publish(STATE, &Health::default(), &tell(&event)));
        let mut changed = counted(&recorder.handle().render());
        changed.remove(BATCHES);
        assert_eq!(changed.len(), 1, "{event:?}: {changed:?}");
        assert!(
            seen.is_disjoint(&changed) || changed.contains("tickflux_holes_ended_total"),
            "{event:?}: {changed:?} is another's"
        );
        seen.extend(changed);
    }
    assert_eq!(seen, COUNTERS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn every_counter_is_there_before_its_first_event() {
    let (symbol, range) = ("BTCUSDT".parse::<Symbol>().unwrap(), IdRange { first: 1, last: 2 });
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, begin);
    let before = recorder.handle().render();
    assert_eq!(counted(&before), BTreeSet::new());
    metrics::with_local_recorder(&recorder, || {
        events().iter().for_each(|event| _ = tell(event));
        for why in [Replacement::ServerShutdown, Replacement::Idle, Replacement::SilentSymbol] {
            tell(&Event::ConnectionReplaced(1, why));
        }
        for state in HoleState::ALL.into_iter().filter(|state| *state != HoleState::Open) {
            tell(&Event::HoleStays(symbol.clone(), range, state));
        }
        tell(&Event::WriteFailed { why: "token".to_owned(), held: true, tries: 1 });
        tell(&Event::Known(symbol.clone(), range, Source::Store));
    });
    assert_eq!(series(&recorder.handle().render()), series(&before));
}

#[test]
fn differences_and_ages_are_gauges_in_seconds() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || publish(STATE, &Health::default(), &Tally::default()));
    let text = recorder.handle().render();
    for line in ["clock_offset_seconds -7", "minutes_different 3", "verified_minute_age_seconds 8.5"] {
        assert!(text.contains(&format!("tickflux_{line}\n")), "{line}: {text}");
    }
}

#[test]
fn each_part_has_its_own_health() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let health = Health::default();
    health.failing(Part::Store, "away");
    metrics::with_local_recorder(&recorder, || publish(STATE, &health, &Tally::default()));
    let text = recorder.handle().render();
    for (part, value) in [("stream", 1), ("store", 0), ("memory", 1), ("outbox", 1), ("clock", 1), ("trades", 1)] {
        assert!(text.contains(&format!("tickflux_healthy{{part=\"{part}\"}} {value}\n")), "{part}: {text}");
    }
}

/// Every name that is exported.
fn exported() -> impl Iterator<Item = &'static str> {
    COUNTERS.iter().chain(&GAUGES).chain([&LATENCY, &LOG_LINES]).map(|(name, _)| *name).chain(process::NAMES)
}

#[test]
fn every_metric_is_documented() {
    let document = include_str!("../../../docs/operations.md");
    for name in exported() {
        let (whole, labeled) = (format!("`{name}`"), format!("`{name}{{"));
        assert!(document.contains(&whole) || document.contains(&labeled), "{name} is not in docs/operations.md");
    }
}

#[test]
fn rules_dashboard_and_document_name_only_what_is_exported() {
    let document = include_str!("../../../docs/operations.md");
    let metrics = document.split("\n## ").find(|section| section.starts_with("Metrics\n")).unwrap();
    let texts = [
        metrics,
        include_str!("../../../deploy/tickflux.rules.yml"),
        include_str!("../../../deploy/tickflux.rules.test.yml"),
        include_str!("../../../deploy/grafana-tickflux.json"),
    ];
    for text in texts {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: Vec<_> =
            words.filter(|word| word.starts_with("tickflux_") || word.starts_with("process_")).collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            // A histogram has its buckets under a name of their own.
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(exported().any(|it| it == name), "{name} is not exported");
        }
    }
}

#[test]
fn every_alert_has_its_remedy_in_the_document() {
    let (rules, document) =
        (include_str!("../../../deploy/tickflux.rules.yml"), include_str!("../../../docs/operations.md"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(document.contains(&format!("| `{alert}` |")), "{alert} is not in docs/operations.md");
    }
}
