//! The sequencer against examples, and against a plain set of ids.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::ids::{LATE, RUNS_MAX};
use super::*;
use crate::trade::example::trade;

/// Takes ids in this order, each at the time of its number.
fn taken(ids: &[u64], now: Instant) -> (Sequencer, Vec<Verdict>) {
    let mut sequencer = Sequencer::default();
    let verdicts = ids.iter().map(|id| sequencer.take(&trade(*id, id.cast_signed()), None, now)).collect();
    (sequencer, verdicts)
}

fn range(first: u64, last: u64) -> IdRange {
    IdRange { first, last }
}

fn missing(sequencer: &Sequencer) -> Vec<IdRange> {
    sequencer.open().into_iter().map(|(_, range)| range).collect()
}

#[test]
fn contiguous_ids_are_new_and_leave_nothing_missing() {
    let (sequencer, verdicts) = taken(&[5, 6, 7], Instant::now());
    assert_eq!(verdicts, [Verdict::New; 3]);
    assert_eq!(missing(&sequencer), []);
    assert_eq!(sequencer.next_due(), None);
    assert_eq!(sequencer.spans().map(|(_, span)| span).collect::<Vec<_>>(), [range(5, 7)]);
}

#[test]
fn an_id_delivered_again_is_a_duplicate_wherever_it_is() {
    let (_, verdicts) = taken(&[5, 6, 9, 5, 6, 9, 8, 8], Instant::now());
    let duplicates: Vec<_> = verdicts.iter().map(|verdict| *verdict == Verdict::Duplicate).collect();
    assert_eq!(duplicates, [false, false, false, true, true, true, false, true]);
}

#[test]
fn a_hole_is_due_once_after_the_grace_and_only_what_is_still_missing() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[1, 10, 5, 6], now);
    assert_eq!(sequencer.next_due(), Some(now + GRACE));
    assert_eq!(sequencer.due_holes(now + GRACE / 2), []);
    let due: Vec<_> = sequencer.due_holes(now + GRACE).into_iter().map(|hole| hole.range).collect();
    assert_eq!(due, [range(2, 4), range(7, 9)]);
    assert_eq!(sequencer.due_holes(now + GRACE * 9), []);
    assert_eq!(missing(&sequencer), [range(2, 4), range(7, 9)], "reported is not repaired");
}

#[test]
fn a_hole_filled_within_the_grace_is_never_reported() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[1, 4, 2, 3], now);
    assert_eq!(sequencer.due_holes(now + GRACE), []);
}

#[test]
fn older_trades_that_come_later_are_new() {
    let (sequencer, verdicts) = taken(&[5_000, 4_010, 4_011], Instant::now());
    assert_eq!(verdicts, [Verdict::New; 3]);
    assert_eq!(missing(&sequencer), [range(4_012, 4_999)]);
}

#[test]
fn a_restarted_count_is_suspected_and_once_believed_forgets_the_old_one() {
    for restart_at in [1, 3, 5_000 - LATE - 1] {
        let mut sequencer = Sequencer::default();
        let now = Instant::now();
        for id in 1..=5_000 {
            sequencer.take(&trade(id, 1_000), None, now);
        }
        let first = trade(restart_at, 1_001);
        assert_eq!(sequencer.take(&first, None, now), Verdict::Suspect(Suspicion::IdBehind), "at {restart_at}");
        assert_eq!(sequencer.take(&trade(5_001, 1_001), None, now), Verdict::New, "alone it changes nothing");
        let first = trade(restart_at, 1_002);
        assert_eq!(sequencer.take(&first, None, now), Verdict::Suspect(Suspicion::IdBehind));
        assert!(sequencer.believe(&first, Suspicion::IdBehind, now), "a new count");
        assert_eq!(sequencer.take(&trade(restart_at + 1, 1_002), None, now), Verdict::New);
        assert_eq!(missing(&sequencer), []);
    }
}

#[test]
fn an_absurd_id_is_suspected_and_erases_nothing() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[1_000, 1_005], now);
    let huge = (1 << 62) + 7;
    assert_eq!(sequencer.take(&trade(huge, 1_006), None, now), Verdict::Suspect(Suspicion::IdAhead));
    assert_eq!(sequencer.take(&trade(1_006, 1_006), None, now), Verdict::New);
    assert_eq!(missing(&sequencer), [range(1_001, 1_004)], "what was missing is missing");
    // Far before everything, whatever its time: it would make a hole of all between.
    let (mut sequencer, _) = taken(&[5_000_000, 5_000_001], now);
    assert_eq!(sequencer.take(&trade(7, 1), None, now), Verdict::Suspect(Suspicion::IdBehind));
    assert!(!sequencer.believe(&trade(7, 1), Suspicion::IdBehind, now), "no new count: it is older");
    // Of a symbol of which nothing is known.
    assert_eq!(Sequencer::default().take(&trade(1 << 60, 1), None, now), Verdict::Suspect(Suspicion::IdAhead));
}

#[test]
fn a_jump_that_is_believed_is_one_hole() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[1, 2], now);
    let far = trade(2 * JUMP, 3);
    assert_eq!(sequencer.take(&far, None, now), Verdict::Suspect(Suspicion::IdAhead));
    assert!(!sequencer.believe(&far, Suspicion::IdAhead, now));
    assert_eq!(due(&mut sequencer, now + GRACE), [range(3, 2 * JUMP - 1)]);
}

#[test]
fn a_time_out_of_its_bounds_is_suspected() {
    let at = |ms| TradeTime::from_ms(ms).unwrap();
    let (now, bounds) = (Instant::now(), Some(TimeBounds { earliest: at(1_000), latest: at(2_000) }));
    let mut sequencer = Sequencer::default();
    let verdicts =
        [(1, 1_000), (2, 2_001), (3, 999), (4, 2_000)].map(|(id, ms)| sequencer.take(&trade(id, ms), bounds, now));
    let suspect = Verdict::Suspect;
    assert_eq!(verdicts, [Verdict::New, suspect(Suspicion::TimeAhead), suspect(Suspicion::TimeBehind), Verdict::New]);
    assert_eq!(missing(&sequencer), [range(2, 3)], "their ids are still wanted");
}

#[test]
fn symbols_have_ids_of_their_own() {
    let mut sequencer = Sequencer::default();
    let other = Trade { symbol: "ETHUSDT".parse().unwrap(), ..trade(7, 7) };
    assert_eq!(sequencer.take(&trade(7, 7), None, Instant::now()), Verdict::New);
    assert_eq!(sequencer.take(&other, None, Instant::now()), Verdict::New);
}

proptest! {
    #[test]
    fn any_order_of_ids_agrees_with_a_plain_set(ids in prop::collection::vec(1u64..60, 1..120)) {
        let now = Instant::now();
        let mut sequencer = Sequencer::default();
        let mut set = BTreeSet::new();
        for id in ids {
            // All at one time: nothing here is a restarted count.
            let expected = if set.insert(id) { Verdict::New } else { Verdict::Duplicate };
            prop_assert_eq!(sequencer.take(&trade(id, 0), None, now), expected);
        }
        let (first, last) = (*set.first().unwrap(), *set.last().unwrap());
        let absent = |ranges: Vec<IdRange>| ranges.iter().flat_map(|range| range.first..=range.last).collect::<Vec<_>>();
        let expected: Vec<_> = (first..=last).filter(|id| !set.contains(id)).collect();
        prop_assert_eq!(absent(missing(&sequencer)), expected);
    }

    #[test]
    fn due_holes_are_what_a_plain_set_lacks_above_the_first_id(ids in prop::collection::vec(2u64..80, 1..60)) {
        let now = Instant::now();
        let mut sequencer = Sequencer::default();
        sequencer.take(&trade(1, 0), None, now);
        let mut set = BTreeSet::from([1]);
        for id in ids {
            sequencer.take(&trade(id, 0), None, now);
            set.insert(id);
        }
        let mut due: Vec<_> = sequencer.due_holes(now + GRACE).iter().flat_map(|hole| hole.range.first..=hole.range.last).collect();
        due.sort_unstable();
        let expected: Vec<_> = (1..*set.last().unwrap()).filter(|id| !set.contains(id)).collect();
        prop_assert_eq!(due, expected);
    }
}

fn known(ranges: &[(u64, u64)]) -> IdRanges {
    let mut ids = IdRanges::default();
    ranges.iter().for_each(|(first, last)| _ = ids.insert(range(*first, *last)));
    ids
}

fn due(sequencer: &mut Sequencer, now: Instant) -> Vec<IdRange> {
    sequencer.due_holes(now).into_iter().map(|hole| hole.range).collect()
}

fn learn(sequencer: &mut Sequencer, ranges: &[(u64, u64)], newest_ms: i64) {
    learn_with(sequencer, ranges, &[], newest_ms);
}

fn learn_with(sequencer: &mut Sequencer, stored: &[(u64, u64)], ended: &[(u64, u64)], newest_ms: i64) {
    let (symbol, newest) = ("BTCUSDT".parse().unwrap(), TradeTime::from_ms(newest_ms).unwrap());
    sequencer.learn(&symbol, &known(stored), &known(ended), newest);
}

#[test]
fn what_a_ledger_lacks_and_the_time_without_a_capture_are_due_at_once() {
    let now = Instant::now();
    let mut sequencer = Sequencer::default();
    learn(&mut sequencer, &[(10, 19), (25, 30)], 30);
    assert_eq!(due(&mut sequencer, now), [range(20, 24)]);
    assert_eq!(sequencer.take(&trade(40, 40), None, now), Verdict::New);
    assert_eq!(due(&mut sequencer, now), [range(31, 39)]);
    assert_eq!(missing(&sequencer), [range(20, 24), range(31, 39)]);
    assert_eq!(sequencer.open_holes_in_run(), 0, "all of it was before this run");
    assert_eq!(sequencer.take(&trade(42, 42), None, now), Verdict::New);
    assert_eq!(due(&mut sequencer, now), [], "this one may still come");
    assert_eq!(sequencer.open_holes_in_run(), 1);
    assert_eq!(sequencer.spans().map(|(_, span)| span).collect::<Vec<_>>(), [range(40, 42)], "of this run");
}

#[test]
fn an_audit_that_ends_after_the_first_trades_says_the_same() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[40, 41], now);
    learn(&mut sequencer, &[(10, 19), (25, 30), (40, 50)], 30);
    assert_eq!(due(&mut sequencer, now), [range(20, 24), range(31, 39)]);
    assert_eq!(sequencer.take(&trade(44, 44), None, now), Verdict::New, "what another capture has is new to this one");
    assert_eq!(due(&mut sequencer, now + GRACE), [range(42, 43)]);
}

#[test]
fn a_trade_of_an_earlier_run_counts_once_in_this_one() {
    let mut sequencer = Sequencer::default();
    learn(&mut sequencer, &[(1, 50)], 50);
    assert_eq!(sequencer.take(&trade(7, 7), None, Instant::now()), Verdict::New);
    assert_eq!(sequencer.take(&trade(7, 7), None, Instant::now()), Verdict::Duplicate);
}

#[test]
fn a_count_that_started_again_between_two_runs_makes_no_hole() {
    let now = Instant::now();
    let mut sequencer = Sequencer::default();
    learn(&mut sequencer, &[(1_000_000, 2_000_000)], 50);
    assert_eq!(sequencer.take(&trade(5, 60), None, now), Verdict::Suspect(Suspicion::IdBehind));
    assert!(sequencer.believe(&trade(5, 60), Suspicion::IdBehind, now));
    assert_eq!(due(&mut sequencer, now + GRACE), []);
    learn(&mut sequencer, &[(1_000_000, 2_000_000)], 50);
    assert_eq!(due(&mut sequencer, now + GRACE), [], "nor does an audit that comes late");
}

#[test]
fn ids_that_stay_missing_are_no_hole_and_make_none_of_what_lies_between_them() {
    let now = Instant::now();
    let mut sequencer = Sequencer::default();
    learn_with(&mut sequencer, &[], &[(1, 5), (5_000, 5_001)], 50);
    assert_eq!(due(&mut sequencer, now), [], "nothing is stored, so nothing is known to be missing");
    learn_with(&mut sequencer, &[(4_000, 4_009), (5_002, 5_100)], &[(4_010, 4_500), (5_000, 5_001)], 50);
    assert_eq!(due(&mut sequencer, now), [range(4_501, 4_999)]);
    let symbol = "BTCUSDT".parse().unwrap();
    assert_eq!(sequencer.open_holes(), 1);
    sequencer.end(&symbol, range(4_501, 4_600));
    assert_eq!(missing(&sequencer), [range(4_601, 4_999)], "what has ended is not open");
    sequencer.end(&symbol, range(4_601, 4_999));
    assert_eq!((sequencer.open_holes(), missing(&sequencer)), (0, vec![]));
    assert!(sequencer.fill(&trade(4_700, 60)), "and if it comes after all, it is new");
    assert!(!sequencer.fill(&trade(4_700, 60)));
}

#[test]
fn a_trade_that_the_history_gives_is_never_a_restarted_count() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[100, 102], now);
    assert!(sequencer.fill(&trade(101, 9_999)), "though its time is later than all");
    assert_eq!(missing(&sequencer), []);
    assert_eq!(sequencer.open_holes(), 0);
}

#[test]
fn lost_trades_that_follow_each_other_are_one_hole() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&(1..=100).collect::<Vec<_>>(), now);
    let symbol = "BTCUSDT".parse().unwrap();
    (1..=50).for_each(|id| sequencer.lose(&symbol, range(2 * id - 1, 2 * id), TradeTime::from_ms(100).unwrap()));
    assert_eq!(due(&mut sequencer, now), [range(1, 100)]);
    assert_eq!(sequencer.open_holes(), 1, "though nothing else is there any more");
}

#[test]
fn what_lies_between_lost_trades_and_the_known_ones_is_missing_with_them() {
    let now = Instant::now();
    let symbol = "BTCUSDT".parse().unwrap();
    let at = |ms| TradeTime::from_ms(ms).unwrap();
    let (mut sequencer, _) = taken(&[50, 51], now);
    sequencer.lose(&symbol, range(10, 20), at(10));
    assert_eq!(due(&mut sequencer, now), [range(10, 49)]);
    sequencer.lose(&symbol, range(60, 70), at(70));
    assert_eq!(due(&mut sequencer, now), [range(52, 70)]);
    assert_eq!(missing(&sequencer), [range(10, 49), range(52, 70)]);
    // Nothing else is known of the symbol.
    let mut sequencer = Sequencer::default();
    sequencer.lose(&symbol, range(10, 20), at(10));
    assert_eq!(due(&mut sequencer, now), [range(10, 20)]);
}

#[test]
fn what_lies_between_a_trade_before_all_others_and_these_is_missing() {
    let now = Instant::now();
    // The history gave what an earlier run had given up.
    let (mut sequencer, _) = taken(&[50, 51], now);
    assert!(sequencer.fill(&trade(10, 10)));
    assert_eq!(due(&mut sequencer, now), [range(11, 49)]);
    assert!(sequencer.fill(&trade(30, 30)));
    assert_eq!(due(&mut sequencer, now), [], "each is given once");
    // A stream gave it late.
    let (mut sequencer, _) = taken(&[50, 51, 47, 49], now);
    assert_eq!(due(&mut sequencer, now), [range(48, 48)]);
    assert_eq!(missing(&sequencer), [range(48, 48)]);
}

#[test]
fn lost_trades_are_due_at_once_and_new_when_they_come_again() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[1, 2, 3, 4], now);
    sequencer.lose(&"BTCUSDT".parse().unwrap(), range(3, 4), TradeTime::from_ms(4).unwrap());
    assert_eq!(missing(&sequencer), [range(3, 4)]);
    assert_eq!(due(&mut sequencer, now), [range(3, 4)]);
    assert_eq!(sequencer.take(&trade(5, 5), None, now), Verdict::New);
    assert_eq!(sequencer.take(&trade(3, 3), None, now), Verdict::New);
    assert_eq!(due(&mut sequencer, now + GRACE), []);
    assert_eq!(missing(&sequencer), [range(4, 4)]);
}

#[test]
fn what_the_exchange_has_beyond_the_stream_is_missing_after_the_grace() {
    let now = Instant::now();
    let (mut sequencer, _) = taken(&[5, 6], now);
    let (symbol, at) = ("BTCUSDT".parse().unwrap(), |ms| TradeTime::from_ms(ms).unwrap());
    assert!(!sequencer.reach(&symbol, 6, at(6), now));
    assert!(sequencer.reach(&symbol, 9, at(9), now));
    assert_eq!(sequencer.take(&trade(7, 7), None, now), Verdict::New, "it was on its way");
    assert_eq!(due(&mut sequencer, now + GRACE), [range(8, 9)]);
    assert_eq!(sequencer.take(&trade(10, 10), None, now), Verdict::New);
    assert_eq!(due(&mut sequencer, now + GRACE * 9), []);
    let never: Symbol = "NEVER".parse().unwrap();
    assert!(!sequencer.reach(&never, 100, at(1), now), "it may have been quiet since long before");
    assert!(sequencer.reach(&never, 101, at(2), now));
}

#[test]
fn what_is_learned_in_parts_shows_every_hole_once() {
    let now = Instant::now();
    let mut sequencer = Sequencer::default();
    learn(&mut sequencer, &[(7, 9)], 1);
    assert_eq!(due(&mut sequencer, now), []);
    learn(&mut sequencer, &[(1, 4), (20, 50)], 50);
    assert_eq!(due(&mut sequencer, now), [range(5, 6), range(10, 19)]);
    learn(&mut sequencer, &[(60, 70)], 70);
    assert_eq!(due(&mut sequencer, now), [range(51, 59)], "the others are known to be missing");
}

#[test]
fn a_backfill_that_is_answered_before_the_audit_loses_nothing() {
    let now = Instant::now();
    let mut sequencer = Sequencer::default();
    learn(&mut sequencer, &[(99, 99)], 1);
    learn(&mut sequencer, &[(500, 900)], 900);
    assert_eq!(due(&mut sequencer, now), [range(100, 499)]);
    assert_eq!(sequencer.take(&trade(901, 901), None, now), Verdict::New);
    assert_eq!(due(&mut sequencer, now + GRACE), []);
}

#[test]
fn an_exchange_with_a_hole_after_each_trade_takes_a_bounded_account() {
    let now = Instant::now();
    let trades = 2 * (RUNS_MAX as u64 + 7);
    let mut sequencer = Sequencer::default();
    for id in (1..=trades).step_by(2) {
        let at = now + Duration::from_micros(id);
        assert_eq!(sequencer.take(&trade(id, id.cast_signed()), None, at), Verdict::New, "{id}");
    }
    let ids = &sequencer.symbols[&trade(1, 1).symbol];
    assert!(ids.seen.runs() <= RUNS_MAX && ids.fresh.len() <= 10, "{} {}", ids.seen.runs(), ids.fresh.len());
    let open = missing(&sequencer);
    assert!(open[0].first == 1 && open[0].count() > 2, "what is forgotten is missing again: {:?}", open[0]);
    let due = sequencer.due_holes(now + GRACE + Duration::from_secs(9)).into_iter().map(|hole| hole.range);
    let due: IdRanges = due.collect();
    assert!(open.iter().all(|range| due.absent_in(*range).is_empty()), "all of it is asked for");
}
