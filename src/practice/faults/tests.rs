//! Shares over many messages, and what each fault leaves alone.

use std::collections::BTreeMap;

use super::*;

const MESSAGES: u64 = 20_000;

/// What comes out for the messages `0..MESSAGES`.
fn passed(faults: &Faults, connection: u64) -> Vec<String> {
    let mut messages = MessageFaults::new(faults, connection).unwrap();
    let mut out = Vec::new();
    (0..MESSAGES).for_each(|number| messages.pass(number.to_string(), &mut out));
    assert!(faults.reorder > 0.0 || !messages.holds());
    out.extend(messages.release());
    out
}

fn counts(out: &[String]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    out.iter().filter_map(|text| text.parse().ok()).for_each(|number| *counts.entry(number).or_insert(0) += 1);
    counts
}

fn is_about(share: f64, count: usize) -> bool {
    (count as f64 / MESSAGES as f64 - share).abs() < share / 4.0
}

#[test]
fn so_many_are_dropped() {
    let out = passed(&Faults { drop: 0.05, ..Faults::default() }, 1);
    assert!(is_about(0.05, MESSAGES as usize - out.len()));
}

#[test]
fn so_many_come_twice() {
    let counts = counts(&passed(&Faults { duplicate: 0.05, ..Faults::default() }, 1));
    assert_eq!(counts.len() as u64, MESSAGES);
    assert!(is_about(0.05, counts.values().filter(|count| **count == 2).count()));
}

#[test]
fn so_many_come_later_and_none_is_lost() {
    let out = passed(&Faults { reorder: 0.05, ..Faults::default() }, 1);
    assert!(counts(&out).values().all(|count| *count == 1) && out.len() as u64 == MESSAGES);
    let numbers: Vec<u64> = out.iter().map(|text| text.parse().unwrap()).collect();
    let late = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(is_about(0.05, late), "{late}");
    let furthest = numbers.iter().enumerate().map(|(at, number)| (at as u64).abs_diff(*number)).max();
    assert!(furthest <= Some(REORDER_MAX + 1), "{furthest:?}");
}

#[test]
fn garbage_comes_on_top_and_is_never_a_trade() {
    let out = passed(&Faults { malformed: 0.01, ..Faults::default() }, 1);
    assert_eq!(counts(&out).len() as u64, MESSAGES);
    assert!(is_about(0.01, out.len() - MESSAGES as usize));
    let table = ["BTCUSDT".parse().unwrap()].into_iter().collect();
    for garbage in GARBAGE {
        assert!(crate::binance::message::decode(garbage, &table).is_err(), "{garbage}");
    }
}

#[test]
fn the_same_seed_and_connection_give_the_same_faults() {
    let faults = Faults { seed: 7, drop: 0.1, duplicate: 0.1, reorder: 0.1, malformed: 0.1, ..Faults::default() };
    assert_eq!(passed(&faults, 1), passed(&faults, 1));
    assert_ne!(passed(&faults, 1), passed(&faults, 2));
}

#[test]
fn without_a_share_messages_are_not_touched() {
    assert!(MessageFaults::new(&Faults { rest_short: 1.0, ..Faults::default() }, 1).is_none());
}

#[test]
fn connections_are_cut_silent_and_announced_when_due() {
    let seconds = Duration::from_secs;
    let faults = Faults {
        cut_every: Some(seconds(60)),
        silence_every: Some(seconds(20)),
        silence: seconds(5),
        shutdown_every: Some(seconds(30)),
        ..Faults::default()
    };
    let mut connection = ConnectionFaults::new(&faults);
    let mut happened = Vec::new();
    for second in 0..=60 {
        while let Some(fault) = connection.take(seconds(second)) {
            happened.push((second, fault));
        }
    }
    let silence = ConnectionFault::Silence(seconds(5));
    let expected = [(20, silence), (30, ConnectionFault::Shutdown), (45, silence), (60, ConnectionFault::Cut)];
    assert_eq!(happened, expected);
}

#[test]
fn rest_answers_go_wrong_by_their_shares() {
    let faults = Faults { rest_status: [0.1, 0.0, 0.2, 0.0], rest_short: 0.1, rest_shifted: 0.1, ..Faults::default() };
    let mut rest = RestFaults::new(&faults);
    let statuses: Vec<_> = (0..MESSAGES).filter_map(|_| rest.status()).collect();
    let of = |status| statuses.iter().filter(|drawn| **drawn == status).count();
    assert!(is_about(0.1, of(429)) && is_about(0.2, of(500)) && of(418) + of(451) == 0);
    let pages: Vec<_> = (0..MESSAGES).filter_map(|_| rest.page(100)).collect();
    assert!(is_about(0.2, pages.len()));
    assert!(pages.iter().all(|page| matches!(page, PageFault::Short(1..100) | PageFault::Shifted(1..6))));
    assert_eq!((0..1_000).filter_map(|_| rest.page(1)).count(), 0, "a single row is given or not");
}
