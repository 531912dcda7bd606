//! Repair on a clock of the test's own, against an exchange that is a plain set of ids.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::text::Excerpt;
use crate::trade::example::trade;

const NOON_MS: i64 = 1_767_268_800_000;

fn hole(first: u64, last: u64) -> Hole {
    let time = TradeTime::from_ms(NOON_MS).unwrap();
    Hole { symbol: "BTCUSDT".parse().unwrap(), range: IdRange { first, last }, time }
}

fn page(ids: impl IntoIterator<Item = u64>) -> Vec<Trade> {
    ids.into_iter().map(|id| trade(id, NOON_MS)).collect()
}

fn ids(trades: &[Trade]) -> Vec<u64> {
    trades.iter().map(|trade| trade.id.get()).collect()
}

fn limited(seconds: u64) -> RestError {
    RestError::Limited { url: String::new(), wait: Duration::from_secs(seconds), body: Excerpt::default() }
}

struct Bench {
    now: Instant,
    rng: fastrand::Rng,
    repairs: Repairs,
}

fn bench(holes: &[(u64, u64)]) -> Bench {
    let now = Instant::now();
    let mut repairs = Repairs::new(now);
    for (first, last) in holes {
        assert_eq!(repairs.add(hole(*first, *last), now), None);
    }
    Bench { now, rng: fastrand::Rng::with_seed(5), repairs }
}

impl Bench {
    /// Lets time pass until a page is asked for, and gives its first id and limit.
    fn ask(&mut self) -> (u64, u64) {
        self.now = self.repairs.next_due(self.now).unwrap();
        let request = self.repairs.next_request(self.now).unwrap();
        (request.from_id, request.limit)
    }

    fn answer(&mut self, ids: impl IntoIterator<Item = u64>) -> Brought {
        self.repairs.page(page(ids), self.now, &mut self.rng)
    }
}

fn ended(brought: &Brought) -> Option<(u64, u64, End)> {
    assert!(brought.ended.len() <= 1, "{:?}", brought.ended);
    brought.ended.first().map(|(_, range, end)| (range.first, range.last, *end))
}

#[test]
fn exactly_the_missing_ids_are_asked_for_and_taken() {
    let mut bench = bench(&[(5, 7)]);
    assert_eq!(bench.ask(), (5, 3));
    assert_eq!(bench.repairs.next_request(bench.now), None, "one request at a time");
    let brought = bench.answer(5..=9);
    assert_eq!(ids(&brought.trades), [5, 6, 7]);
    assert_eq!(ended(&brought), Some((5, 7, End::Repaired)));
    assert_eq!(bench.repairs.next_due(bench.now), None);
}

#[test]
fn a_long_hole_is_asked_for_page_by_page_and_ends_once() {
    let mut bench = bench(&[(1, 2_500)]);
    assert_eq!(bench.ask(), (1, 1_000));
    assert_eq!(ended(&bench.answer(1..=1_000)), None);
    assert_eq!(bench.ask(), (1_001, 1_000));
    assert_eq!(ended(&bench.answer(1_001..=1_400)), None, "a short page is only a part");
    assert_eq!(bench.ask(), (1_401, 1_000));
    assert_eq!(ended(&bench.answer(1_401..=2_400)), None);
    assert_eq!(bench.ask(), (2_401, 100));
    assert_eq!(ended(&bench.answer(2_401..=2_500)), Some((1, 2_500, End::Repaired)));
}

#[test]
fn ids_that_the_history_does_not_have_yet_are_waited_for() {
    let mut bench = bench(&[(5, 7)]);
    for _ in 0..100 {
        let asked_at = bench.now;
        assert_eq!(bench.ask().0, 5);
        assert_eq!(bench.answer([]), Brought::default());
        assert!(bench.now <= asked_at + Duration::from_secs(61), "it goes on asking");
    }
    bench.ask();
    assert_eq!(ended(&bench.answer(5..=7)), Some((5, 7, End::Repaired)));
}

#[test]
fn ids_that_the_exchange_skips_again_and_again_are_not_at_the_exchange() {
    let mut bench = bench(&[(5, 9)]);
    for _ in 1..ABSENT_TIMES {
        assert_eq!(bench.ask().0, 5);
        assert_eq!(bench.answer(8..=12), Brought::default());
    }
    bench.ask();
    assert_eq!(ended(&bench.answer(8..=12)), Some((5, 7, End::NotAtExchange)));
    assert_eq!(bench.ask(), (8, 2));
    assert_eq!(ended(&bench.answer(8..=9)), Some((8, 9, End::Repaired)));
}

#[test]
fn a_page_that_begins_too_early_is_no_answer() {
    let mut bench = bench(&[(5, 7)]);
    bench.ask();
    assert_eq!(bench.answer(1..=9), Brought::default());
    assert_eq!(bench.ask(), (5, 3));
}

#[test]
fn a_page_with_a_gap_is_taken_up_to_the_gap() {
    let mut bench = bench(&[(5, 9)]);
    bench.ask();
    assert_eq!(ids(&bench.answer([5, 6, 8, 9]).trades), [5, 6]);
    assert_eq!(bench.ask(), (7, 3));
}

#[test]
fn limits_are_obeyed_and_failures_never_end_a_hole() {
    let mut bench = bench(&[(5, 7)]);
    bench.ask();
    let failed_at = bench.now;
    bench.repairs.failed(&limited(120), failed_at, &mut bench.rng);
    assert!(bench.repairs.next_due(failed_at).unwrap() >= failed_at + Duration::from_secs(120));
    for _ in 0..200 {
        assert_eq!(bench.ask().0, 5);
        bench.repairs.failed(&limited(0), bench.now, &mut bench.rng);
    }
}

#[test]
fn one_page_serves_every_hole_that_it_reaches() {
    let mut bench = bench(&[(5, 7), (20, 20), (900, 1_200), (3_000, 3_000)]);
    assert_eq!(bench.ask(), (5, 1_000));
    let brought = bench.answer(5..=1_004);
    assert_eq!(ids(&brought.trades), (5..=7).chain([20]).chain(900..=1_004).collect::<Vec<_>>());
    let ends: Vec<_> = brought.ended.iter().map(|(_, range, end)| (range.first, range.last, *end)).collect();
    assert_eq!(ends, [(5, 7, End::Repaired), (20, 20, End::Repaired)]);
    assert_eq!(bench.ask(), (3_000, 1));
    assert_eq!(ended(&bench.answer(3_000..=3_000)), Some((3_000, 3_000, End::Repaired)));
    assert_eq!(bench.ask(), (1_005, 196));
    assert_eq!(ended(&bench.answer(1_005..=1_200)), Some((900, 1_200, End::Repaired)));
}

#[test]
fn one_hole_that_waits_does_not_hold_up_the_others() {
    let mut bench = bench(&[(5, 7), (5_000, 5_000)]);
    assert_eq!(bench.ask().0, 5);
    bench.answer([]);
    assert_eq!(bench.ask().0, 5_000);
    assert!(ended(&bench.answer(5_000..=5_000)).is_some());
    assert_eq!(bench.ask().0, 5);
}

#[test]
fn one_hole_that_fails_does_not_hold_up_the_others() {
    let mut bench = bench(&[(5, 7), (5_000, 5_000)]);
    assert_eq!(bench.ask().0, 5);
    bench.repairs.failed(&limited(0), bench.now, &mut bench.rng);
    assert_eq!(bench.ask().0, 5_000);
}

#[test]
fn a_jump_is_refused_and_old_holes_expire() {
    let mut bench = bench(&[(5, 7)]);
    let (_, range, end) = bench.repairs.add(hole(1, JUMP + 1), bench.now).unwrap();
    assert_eq!((range.count(), end), (JUMP + 1, End::Refused));
    let at = |ms: i64| TradeTime::from_ms(NOON_MS + ms).unwrap();
    assert_eq!(bench.repairs.expire(at(RETENTION_MS)), []);
    let expired = bench.repairs.expire(at(RETENTION_MS + 1));
    assert_eq!((expired.len(), expired[0].2), (1, End::Expired));
    assert_eq!(bench.repairs.next_due(bench.now), None);
}

proptest! {
    /// Whatever the exchange lacks, lags with or refuses: every id ends, and comes exactly once if the exchange has it.
    #[test]
    fn every_id_ends_as_the_exchange_has_it(
        holes in prop::collection::vec((1u64..50, 0u64..40), 1..5),
        absent in prop::collection::btree_set(1u64..2_000, 0..40),
        seed in any::<u64>(),
    ) {
        let mut start = 0;
        let ranges: Vec<_> = holes.iter().map(|(skip, more)| {
            let first = start + skip;
            start = first + more + 1;
            (first, first + more)
        }).collect();
        let mut bench = bench(&ranges);
        bench.rng = fastrand::Rng::with_seed(seed);
        let (mut came, mut gone) = (Vec::new(), BTreeSet::new());
        for step in 0.. {
            prop_assert!(step < 10_000, "it does not end");
            let Some(due) = bench.repairs.next_due(bench.now) else { break };
            bench.now = due;
            let Some(request) = bench.repairs.next_request(due) else { continue };
            match bench.rng.u8(0..5) {
                0 => bench.repairs.failed(&limited(1), due, &mut bench.rng),
                1 => prop_assert_eq!(bench.answer([]), Brought::default()),
                _ => {
                    let has = (request.from_id..).filter(|id| !absent.contains(id)).take(request.limit as usize);
                    let brought = bench.answer(has.collect::<Vec<_>>());
                    came.extend(ids(&brought.trades));
                    for (_, range, end) in brought.ended {
                        if end == End::NotAtExchange {
                            gone.extend(range.first..=range.last);
                        }
                    }
                }
            }
        }
        let wanted: BTreeSet<_> = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
        let expected: Vec<_> = wanted.difference(&absent).copied().collect();
        came.sort_unstable();
        prop_assert_eq!(came, expected);
        prop_assert_eq!(gone, wanted.intersection(&absent).copied().collect());
    }
}
