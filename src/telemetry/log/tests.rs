//! How many lines a storm of events makes.

use std::time::Duration;

use super::*;
use crate::text::Excerpt;
use crate::trade::IdRange;

fn held(log: &Log) -> Vec<(&Event, Option<u64>)> {
    log.held_back.iter().flatten().map(|(event, repeated)| (event, *repeated)).collect()
}

fn hole(symbol: &str, id: u64) -> Event {
    Event::HoleFound(symbol.parse().unwrap(), IdRange { first: id, last: id })
}

#[test]
fn a_storm_of_a_kind_is_a_few_lines_that_say_how_many_there_were() {
    let (mut log, start) = (Log::holding_back(), Instant::now());
    for ms in 0..20_000 {
        log.write(hole("BTCUSDT", ms), start + Duration::from_millis(ms));
        log.write(
            Event::MessageRefused(Excerpt::of("other words each time").clone()),
            start + Duration::from_millis(ms),
        );
    }
    let first = hole("ETHUSDT", 1);
    log.write(first.clone(), start + Duration::from_millis(20_001));
    log.overdue(start + Duration::from_secs(26));
    let lines = held(&log);
    let holes: Vec<_> = lines.iter().filter(|(event, _)| matches!(event, Event::HoleFound(..))).collect();
    let repeated: Vec<_> = holes.iter().map(|(_, repeated)| *repeated).collect();
    assert_eq!(repeated, [None, Some(4_999), Some(4_999), Some(4_999), None, Some(4_998)]);
    assert!(holes.contains(&&(&first, None)), "each symbol by itself");
    assert_eq!(holes.last().unwrap().0, &hole("BTCUSDT", 19_999), "the newest is said in the end");
    assert_eq!(lines.len() - holes.len(), 5);
}

#[test]
fn what_happens_once_and_what_lasts_is_said_by_its_own_rule() {
    let (mut log, now) = (Log::holding_back(), Instant::now());
    for trades in 0..3 {
        log.write(Event::StoreWarned(format!("warning {trades}")), now);
        log.write(Event::OutboxFull(trades), now);
        log.write(Event::Duplicate, now);
    }
    assert_eq!(held(&log).len(), 4);
    for tries in 1..=100 {
        log.write(Event::WriteFailed { why: "away".to_owned(), held: false, tries }, now + EVERY * tries);
    }
    assert_eq!(held(&log).len(), 4 + 7);
}

#[test]
fn nothing_is_left_out_at_the_end() {
    let (mut log, now) = (Log::holding_back(), Instant::now());
    for id in 0..3 {
        log.write(hole("BTCUSDT", id), now);
    }
    assert_eq!(held(&log), [(&hole("BTCUSDT", 0), None)]);
    log.end(now);
    assert!(log.has_begun() && log.left_out.is_empty());
}
