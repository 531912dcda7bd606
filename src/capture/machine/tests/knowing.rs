//! What there was before the run: ledger, store and exchange.

use super::*;

#[test]
fn what_the_ledger_knows_is_merged_before_anything_is_learned() {
    // Two ended rows of a symbol make no hole of what lies between them.
    let mut bench = Bench::begun(ledger(&[], &[(1, 5), (5_000, 5_001)]));
    bench.hear_ids([6_000]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.count(|event| matches!(event, Event::HoleFound(..))), 0);
    // Stored and ended ids together leave one hole, and it is asked for.
    let mut bench = Bench::begun(ledger(&[(1, 10), (31, 40)], &[(11, 20)]));
    bench.hear_ids([41]);
    bench.pass(Duration::from_secs(1));
    let holes: Vec<_> = bench.events.iter().filter(|event| matches!(event, Event::HoleFound(..))).collect();
    assert_eq!(holes, [&Event::HoleFound(btc(), range(21, 30))]);
    assert_eq!(bench.pages(), [(21, 10)]);
    assert_eq!(bench.capture.state(bench.now()).open_holes, 1, "what has ended is not open");
}

#[test]
fn every_start_audits_the_store_and_finds_what_it_has_lost() {
    let mut bench = Bench::begun(ledger(&[(1, 1_000)], &[]));
    assert_eq!(bench.audits(), [btc()]);
    bench.hear_ids(1_001..=1_010);
    bench.store_answers(|| Ok(Written::default()));
    // Restored from a copy that is older than the ledger: it ends at 700.
    let answer = Ok(audited(&[(1, 700)]));
    bench.tell(Input::Audited(btc(), answer));
    assert_eq!(bench.count(|event| *event == Event::StoreLost(btc(), 300)), 1);
    assert_eq!(bench.count(|event| *event == Event::HoleFound(btc(), range(701, 1_000))), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.pages(), [(701, 300)]);
    assert_eq!(bench.entered().lost.count(), 300, "the ledger does not claim it any more");
}

#[test]
fn a_start_asks_about_the_time_before_the_run_and_misses_nothing_of_the_run_in_the_answer() {
    let mut bench = Bench::with(settings(&[btc()]), 0);
    bench.run();
    bench.tell(Input::StreamOpened(0));
    bench.hear_ids(1_001..=1_010);
    bench.begin_with(ledger(&[(1, 1_000)], &[]));
    let asked = |bench: &mut Bench| {
        bench.take(|command| if let Command::Audit(_, _, until) = command { Ok(until) } else { Err(command) })
    };
    assert_eq!(asked(&mut bench), [Some(time(NOON + 1))]);
    bench.store_answers(|| Ok(Written::default()));
    bench.tell(Input::Audited(btc(), Err(StoreError::Unusable("away".to_owned()))));
    bench.pass(Duration::from_secs(10));
    assert_eq!(asked(&mut bench), [Some(time(NOON + 1))], "what was acknowledged meanwhile changes nothing");
    bench.tell(Input::Audited(btc(), Ok(audited(&[(1, 990)]))));
    let lost: Vec<_> = bench.events.iter().filter(|event| matches!(event, Event::StoreLost(..))).collect();
    assert_eq!(lost, [&Event::StoreLost(btc(), 10)]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.entered().lost.count(), 10);
}

#[test]
fn what_the_exchange_did_not_have_is_asked_for_again_in_the_next_run() {
    let mut bench = Bench::begun(ledger(&[(1, 10), (21, 40)], &[(11, 20)]));
    bench.hear_ids([41]);
    assert_eq!(bench.pages(), []);
    bench.pass(Duration::from_secs(61));
    assert_eq!(bench.pages(), [(11, 10)]);
    assert_eq!(bench.capture.state(bench.now()).open_holes, 0);
}

#[test]
fn what_was_lost_and_not_repaired_is_missing_in_the_next_run_too() {
    // Known around it or not: the store was emptied, and the run ended before the exchange gave anything again.
    for stored in [&[(401, 500)][..], &[]] {
        let mut known = ledger(stored, &[]);
        known.lost.add(&btc(), range(101, 400), time(NOON - HOUR));
        let mut bench = Bench::begun(known);
        bench.hear_ids([501]);
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.pages(), [(101, 300)]);
    }
    // Trades that the disk cannot give back are entered, and nothing else is claimed.
    let mut bench = Bench::begun(ledger(&[(1, 1_000)], &[]));
    bench.tell(Input::Audited(btc(), Ok(audited(&[(1, 700)]))));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.entered().lost.of_symbol(&btc()).unwrap().0.span(), Some(range(701, 1_000)));
}

#[test]
fn a_store_that_lost_trades_is_asked_again_when_the_clock_is_right() {
    let mut bench = Bench::with(settings(&[btc()]), 2 * HOUR);
    bench.begin_with(ledger(&[(1, 1_000)], &[]));
    assert_eq!(bench.audits(), [btc()]);
    bench.hear_ids([1_001]);
    bench.tell(Input::Audited(btc(), Ok(audited(&[(1, 700)]))));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.count(|event| matches!(event, Event::StoreLost(..))), 0, "by a wrong clock nothing is judged");
    bench.host_offset_ms = 0;
    bench.hear_ids([1_002]);
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.count(|event| *event == Event::ClockAgrees), 1);
    assert_eq!(bench.audits(), [btc()]);
    bench.tell(Input::Audited(btc(), Ok(audited(&[(1, 700)]))));
    assert_eq!(bench.count(|event| *event == Event::StoreLost(btc(), 300)), 1);
}

#[test]
fn an_emptied_store_is_filled_again_and_a_token_that_may_not_read_leaves_the_ledger_alone() {
    let mut bench = Bench::begun(ledger(&[(1, 1_000)], &[]));
    bench.tell(Input::Audited(btc(), Ok(None)));
    assert_eq!(bench.count(|event| *event == Event::StoreLost(btc(), 1_000)), 1);
    let mut bench = Bench::begun(ledger(&[(1, 1_000)], &[]));
    bench.tell(Input::Audited(btc(), Err(StoreError::Settings("may not read".to_owned()))));
    assert_eq!(bench.count(|event| matches!(event, Event::StoreLost(..))), 0);
    bench.hear_ids([1_011]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.pages(), [(1_001, 10)]);
}

#[test]
fn a_store_that_is_back_is_asked_again_whether_it_is_the_same() {
    let mut bench = Bench::begun(Known::default());
    bench.audits();
    bench.tell(Input::Audited(btc(), Ok(None)));
    bench.hear_ids(1..=10);
    bench.store_answers(|| Ok(Written::default()));
    bench.hear_ids(11..=12);
    bench.store_answers(|| Err(WriteError::Held { why: "404: no such bucket".to_owned() }));
    assert!(!bench.healthy(Part::Store));
    bench.pass(Duration::from_secs(30));
    bench.take(|command| if matches!(command, Command::CheckStore) { Ok(()) } else { Err(command) });
    bench.store_answers(|| Ok(Written::default()));
    let checks = bench.take(|command| if matches!(command, Command::CheckStore) { Ok(()) } else { Err(command) });
    assert_eq!(checks.len(), 1);
    bench.tell(Input::StoreChecked(Ok(Checked { id: Some("bucket 2".to_owned()), ..Checked::default() })));
    assert_eq!(bench.audits(), [btc()]);
    bench.tell(Input::Audited(btc(), Ok(audited(&[(11, 12)]))));
    // Of the hour that is not over, too.
    assert_eq!(bench.count(|event| *event == Event::StoreLost(btc(), 10)), 1, "{:?}", bench.events);
}
