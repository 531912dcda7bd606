//! Holes on a clock of the test's own, against an exchange that is a plain set of ids.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::text::Excerpt;
use crate::trade::example::trade;

const NOON_MS: i64 = 1_767_268_800_000;

fn symbol() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

fn hole(first: u64, last: u64) -> Hole {
    Hole { symbol: symbol(), range: IdRange { first, last }, time: TradeTime::from_ms(NOON_MS).unwrap() }
}

fn page(ids: impl IntoIterator<Item = u64>) -> Page {
    Page { rows: ids.into_iter().map(|id| Row::Trade(trade(id, NOON_MS))).collect() }
}

fn ids(trades: &[Trade]) -> Vec<u64> {
    trades.iter().map(|trade| trade.id.get()).collect()
}

struct Bench {
    now: Instant,
    holes: Holes,
}

fn bench(holes: &[(u64, u64)]) -> Bench {
    let (now, mut made) = (Instant::now(), Holes::default());
    for (first, last) in holes {
        assert_eq!(made.add(hole(*first, *last), now).0, None);
    }
    Bench { now, holes: made }
}

impl Bench {
    /// Lets time pass until a page is asked for, and gives its first id and limit.
    fn ask(&mut self) -> (u64, u64) {
        self.now = self.now.max(self.holes.next_due().unwrap());
        let request = self.holes.next_page(self.now).unwrap();
        (request.from_id, request.limit)
    }

    fn answer(&mut self, ids: impl IntoIterator<Item = u64>) -> Brought {
        self.holes.page(page(ids), self.now).unwrap()
    }
}

fn ended(brought: &Brought) -> Option<(u64, u64, End)> {
    assert!(brought.ended.len() <= 1, "{:?}", brought.ended);
    brought.ended.first().map(|(_, range, end)| (range.first, range.last, *end))
}

const GONE: End = End::Stays(HoleState::NotAtExchange);

#[test]
fn exactly_the_missing_ids_are_asked_for_and_taken() {
    let mut bench = bench(&[(5, 7)]);
    assert_eq!(bench.ask(), (5, 3));
    assert_eq!(bench.holes.next_page(bench.now), None, "one request at a time");
    let brought = bench.answer(5..=9);
    assert_eq!(ids(&brought.trades), [5, 6, 7]);
    assert_eq!(ended(&brought), Some((5, 7, End::Repaired)));
    assert!(bench.holes.is_idle() && bench.holes.next_due().is_none());
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
fn a_new_hole_is_not_last_behind_a_long_one() {
    let mut bench = bench(&[(1, 1_000_000)]);
    for page in 0..10 {
        let (from, _) = bench.ask();
        assert_eq!(from, page * 1_000 + 1);
        bench.answer(from..from + 1_000);
    }
    bench.now += Duration::from_millis(1);
    let now = bench.now;
    bench.holes.add(hole(2_000_000, 2_000_001), now);
    let asked: Vec<_> = (0..2)
        .map(|_| {
            let (from, limit) = bench.ask();
            bench.answer(from..from + limit);
            from
        })
        .collect();
    assert!(asked.contains(&2_000_000), "{asked:?}");
}

#[test]
fn ids_that_the_history_does_not_have_yet_are_waited_for_ever_longer() {
    let mut bench = bench(&[(5, 7)]);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let before = bench.now;
        assert_eq!(bench.ask().0, 5);
        waits.push((bench.now - before).as_secs());
        assert_eq!(bench.answer([]), Brought::default());
    }
    assert_eq!(waits[..5], [0, 1, 2, 4, 8]);
    assert_eq!(waits[19], 60);
    bench.ask();
    assert_eq!(ended(&bench.answer(5..=7)), Some((5, 7, End::Repaired)));
}

#[test]
fn ids_that_the_exchange_skips_again_and_again_are_not_at_the_exchange() {
    let mut bench = bench(&[(5, 9)]);
    for _ in 1..ABSENT_TIMES {
        assert_eq!(bench.ask().0, 5);
        assert_eq!(bench.answer(8..=12), Brought::default(), "a page that begins late is not taken");
    }
    bench.ask();
    assert_eq!(ended(&bench.answer(8..=12)), Some((5, 7, GONE)));
    assert_eq!(bench.ask(), (8, 2));
    assert_eq!(ended(&bench.answer(8..=9)), Some((8, 9, End::Repaired)));
    assert!(bench.holes.is_idle(), "nothing is open");
}

#[test]
fn what_the_exchange_skipped_is_asked_for_again_ever_more_rarely_until_it_comes() {
    let mut bench = bench(&[(5, 7)]);
    for _ in 0..ABSENT_TIMES {
        bench.ask();
        bench.answer(8..=12);
    }
    let mut waits = Vec::new();
    for _ in 0..8 {
        let before = bench.now;
        bench.ask();
        waits.push((bench.now - before).as_secs() / 60);
        assert_eq!(bench.answer(8..=12), Brought::default(), "it is said once");
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    bench.ask();
    let brought = bench.answer(5..=9);
    assert_eq!((ids(&brought.trades), ended(&brought)), (vec![5, 6, 7], Some((5, 7, End::Repaired))));
}

#[test]
fn what_the_exchange_skipped_is_given_up_with_the_retention() {
    let mut bench = bench(&[(5, 7)]);
    for _ in 0..ABSENT_TIMES {
        bench.ask();
        bench.answer(8..=12);
    }
    let late = TradeTime::from_ms(NOON_MS + RETENTION_MS + 1).unwrap();
    assert_eq!(bench.holes.expire(late), [], "it was said to stay before");
    assert_eq!(bench.holes.next_due(), None);
}

#[test]
fn a_page_that_begins_too_early_is_no_answer() {
    let mut bench = bench(&[(5, 7)]);
    bench.ask();
    assert_eq!(bench.holes.page(page(1..=9), bench.now), None);
    assert_eq!(bench.ask(), (5, 3));
}

#[test]
fn a_bad_row_is_given_by_its_id_and_hides_nothing() {
    let bad = |id: Option<u64>| Row::Bad(BadRow { id, why: Excerpt::of("price"), text: "{}".to_owned() });
    let rows = |bad: Vec<Row>, from: u64, to: u64| Page { rows: bad.into_iter().chain(page(from..=to).rows).collect() };
    for (page, bad_id) in [
        (rows(vec![bad(Some(5))], 6, 9), 5),
        (rows(vec![bad(None)], 6, 9), 5),
        (rows(vec![Row::Trade(trade(5, NOON_MS)), bad(None)], 7, 9), 6),
        (rows(vec![Row::Trade(trade(5, NOON_MS)), bad(Some(6))], 7, 9), 6),
    ] {
        let mut bench = bench(&[(5, 9)]);
        bench.ask();
        let brought = bench.holes.page(page, bench.now).unwrap();
        assert_eq!(ids(&brought.trades), (5..=9).filter(|id| *id != bad_id).collect::<Vec<_>>());
        assert_eq!(brought.bad_rows.iter().map(|(_, row)| row.id).collect::<Vec<_>>(), [Some(bad_id)]);
        assert_eq!(ended(&brought), Some((5, 9, End::Repaired)));
    }
}

#[test]
fn one_page_serves_every_hole_that_it_reaches() {
    let mut bench = bench(&[(5, 7), (700, 702), (1_004, 1_005), (1_005_000, 1_005_001)]);
    bench.holes.add(Hole { symbol: "ETHUSDT".parse().unwrap(), ..hole(6, 6) }, bench.now);
    assert_eq!(bench.ask(), (5, 1_000));
    let brought = bench.answer(5..=1_004);
    assert_eq!(ids(&brought.trades), [5, 6, 7, 700, 701, 702, 1_004]);
    assert_eq!(brought.ended.len(), 2);
}

#[test]
fn holes_that_continue_each_other_are_one() {
    let (mut bench, mut own) = (bench(&[]), 0);
    for first in (1..100_000).step_by(10) {
        own += u32::from(bench.holes.add(hole(first, first + 9), bench.now).1);
    }
    assert_eq!((own, bench.holes.due.len()), (1, 1));
    bench.holes.add(hole(200_000, 200_000), bench.now);
    assert_eq!(bench.holes.due.len(), 2);
    // The same again changes nothing.
    bench.holes.add(hole(200_000, 200_000), bench.now);
    assert_eq!(bench.holes.due.len(), 2);
}

#[test]
fn the_number_of_holes_is_bounded() {
    let mut bench = bench(&[]);
    let holes = HOLES_MAX as u64 + 20_000;
    for at in 0..holes {
        bench.holes.add(hole(at * 2 + 1, at * 2 + 1), bench.now);
    }
    assert_eq!(bench.holes.due.len(), HOLES_MAX);
    let mut found = BTreeSet::new();
    while bench.holes.next_due().is_some() {
        let (from, limit) = bench.ask();
        found.extend(ids(&bench.answer(from..from + limit).trades));
    }
    assert!((0..holes).all(|at| found.contains(&(at * 2 + 1))), "none is forgotten");
}

#[test]
fn a_jump_is_refused_and_old_holes_expire() {
    let mut bench = bench(&[(5, 7)]);
    let jump = hole(100, 100 + JUMP);
    let refused = (jump.symbol.clone(), jump.range, End::Stays(HoleState::Refused));
    assert_eq!(bench.holes.add(jump, bench.now), (Some(refused), true));
    let time = |ms| TradeTime::from_ms(ms).unwrap();
    assert_eq!(bench.holes.expire(time(NOON_MS + RETENTION_MS)), []);
    let expired = (symbol(), IdRange { first: 5, last: 7 }, End::Stays(HoleState::Expired));
    assert_eq!(bench.holes.expire(time(NOON_MS + RETENTION_MS + 1)), [expired]);
    assert!(bench.holes.is_idle() && bench.holes.next_due().is_none());
}

#[test]
fn a_restarted_count_forgets_its_holes_though_a_page_is_awaited() {
    let mut bench = bench(&[(5, 7), (5_000, 5_001)]);
    bench.ask();
    bench.holes.forget(&symbol());
    assert_eq!(bench.holes.page(page(5..=7), bench.now), Some(Brought::default()));
    assert!(bench.holes.is_idle() && bench.holes.next_due().is_none());
}

#[test]
fn the_newest_trades_repair_what_they_reach() {
    let mut bench = bench(&[(5, 7), (995, 1_005), (1_500, 1_501), (1_999, 2_001)]);
    assert_eq!(bench.holes.next_newest(bench.now), Some(symbol()));
    let brought = bench.holes.newest(page(1_000..=1_999), bench.now);
    assert_eq!(ids(&brought.trades), [1_000, 1_001, 1_002, 1_003, 1_004, 1_005, 1_500, 1_501]);
    assert_eq!(ended(&brought), Some((1_500, 1_501, End::Repaired)));
    // What is newer than they were is asked for soon, what is older much later.
    let soon = bench.holes.next_due().unwrap();
    assert!(soon <= bench.now + Duration::from_secs(1));
    bench.now = soon;
    assert_eq!(bench.holes.next_newest(bench.now), Some(symbol()));
    let brought = bench.holes.newest(page(1_002..=2_001), bench.now);
    assert_eq!(ended(&brought), Some((1_999, 2_001, End::Repaired)));
    assert_eq!(bench.holes.next_due(), Some(bench.now + OUT_OF_REACH_WAIT));
}

proptest! {
    #[test]
    fn any_history_brings_what_it_has_and_names_the_rest(
        at_exchange in prop::collection::btree_set(1u64..400, 1..200),
        holes in prop::collection::vec((1u64..380, 0u64..30), 1..12),
        short in 1u64..40,
    ) {
        let wanted: BTreeSet<u64> = holes.iter().flat_map(|(first, more)| *first..=*first + *more).collect();
        let mut bench = bench(&[]);
        for range in wanted.iter().map(|id| IdRange { first: *id, last: *id }).collect::<crate::trade::IdRanges>().iter() {
            bench.holes.add(hole(range.first, range.last), bench.now);
        }
        // The exchange has later ids than all of them.
        let list: Vec<u64> = at_exchange.iter().copied().chain(500..520).collect();
        let (mut got, mut gone) = (Vec::new(), BTreeSet::new());
        for _ in 0..5_000 {
            if bench.holes.is_idle() {
                break;
            }
            let (from, limit) = bench.ask();
            let rows: Vec<_> = list.iter().copied().filter(|id| *id >= from).take(limit.min(short) as usize).collect();
            let brought = bench.answer(rows);
            got.extend(ids(&brought.trades));
            for (_, range, end) in brought.ended {
                if end == GONE {
                    gone.extend(range.first..=range.last);
                }
            }
        }
        prop_assert!(bench.holes.is_idle());
        got.sort_unstable();
        prop_assert_eq!(got, wanted.intersection(&at_exchange).copied().collect::<Vec<_>>());
        prop_assert_eq!(gone, wanted.difference(&at_exchange).copied().collect());
    }
}
