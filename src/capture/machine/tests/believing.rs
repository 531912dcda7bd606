//! Clocks, times and ids that are not to be believed alone.

use super::*;

#[test]
fn a_host_clock_that_is_a_day_off_expires_nothing_and_is_a_failure_that_names_both() {
    for offset in [25 * HOUR, -25 * HOUR] {
        let mut bench = Bench::with(settings(&[btc()]), offset);
        bench.begin_with(Known::default());
        for id in 1..=200 {
            bench.hear_ids([id]);
            bench.pass(Duration::from_secs(1));
            bench.disk_works();
            for (batch, _, attempt) in bench.writes() {
                let exchange_time = attempt.exchange_time.unwrap().ms();
                assert!((exchange_time - bench.exchange_now().ms()).abs() < 1_000, "judged by the exchange's time");
                bench.tell(Input::Written(batch, Ok(Written::default()), bench.at));
            }
        }
        assert_eq!(bench.capture.progress().trades, 200);
        let why = bench.why(Part::Clock);
        let (host, exchange) = (bench.now().wall.to_string(), bench.exchange_now().to_string());
        assert!(why.contains(&host[..15]) && why.contains(&exchange[..15]), "{why}");
        assert_eq!(bench.count(|event| matches!(event, Event::ClockDiffers { .. })), 1, "said once");
        let state = bench.capture.state(bench.now());
        assert!((state.clock_offset_ms.unwrap() - offset).abs() < 1_500);
        let expiries = bench.take(|command| if let Command::ExpireStore(at) = command { Ok(at) } else { Err(command) });
        assert!(expiries.iter().all(|at| (at.ms() - NOON).abs() < HOUR), "old is what the exchange's time says");
        assert!(!expiries.is_empty());
        bench.host_offset_ms = 0;
        bench.pass(Duration::from_secs(60));
        for id in 201..=240 {
            bench.hear_ids([id]);
            bench.pass(Duration::from_secs(1));
        }
        assert_eq!(bench.count(|event| matches!(event, Event::ClockAgrees)), 1, "a clock that is set is well");
        assert!(bench.healthy(Part::Clock));
    }
}

#[test]
fn one_impossible_trade_blinds_nothing_and_two_that_agree_are_taken() {
    let years = 20 * 365 * 24 * HOUR;
    for odd in [trade(11, NOON + years), trade((1 << 62) + 7, NOON + 1), trade(3, NOON + 2), trade(11, 1_000)] {
        let mut bench = Bench::begun(Known::default());
        bench.hear_ids([5_000, 5_001, 5_004]);
        bench.hear(std::slice::from_ref(&odd));
        bench.at += Duration::from_millis(10);
        bench.hear_ids([5_005]);
        bench.hear(std::slice::from_ref(&odd));
        assert_eq!(bench.count(|event| matches!(event, Event::TradeSuspected(..))), 1, "{odd:?}");
        let letters =
            bench.take(|command| if let Command::KeepDeadLetter(letter) = command { Ok(letter) } else { Err(command) });
        assert_eq!(letters.len(), 1);
        bench.store_answers(|| Ok(Written::default()));
        assert_eq!(bench.capture.progress().trades, 4, "{odd:?} is not among them");
        assert_eq!(bench.capture.journal().tally().dead_letters(), 1);
        bench.pass(Duration::from_secs(4));
        assert_eq!(
            bench.count(|event| *event == Event::HoleFound(btc(), range(5_002, 5_003))),
            1,
            "the real hole stays known"
        );
        // Another says the same: it is true.
        let other = trade(odd.id.get() + 1, odd.time.ms() + 1);
        bench.hear(&[other]);
        bench.store_answers(|| Ok(Written::default()));
        assert_eq!(bench.capture.progress().trades, 6, "{odd:?} and the next");
        assert_eq!(bench.capture.journal().tally().dead_letters(), 0);
    }
}

#[test]
fn an_absurd_time_of_the_exchange_gives_up_nothing() {
    let years = 200 * 365 * 24 * HOUR;
    let dropped = |bench: &mut Bench| {
        let mut bounds: Vec<_> = bench.entered().forget_before.into_iter().collect();
        bounds.extend(bench.take(|command| if let Command::ExpireStore(at) = command { Ok(at) } else { Err(command) }));
        bounds.into_iter().map(|bound| bound.ms()).max()
    };
    // REST says it, before any trade has come.
    let mut bench = Bench::with(settings(&[btc()]), 0);
    bench.run();
    bench.tell(Input::StoreChecked(Ok(Checked::default())));
    bench.tell(Input::OutboxOpened(Box::new(found(ledger(&[(1, 1_000)], &[])))));
    let told = crate::capture::history::Found { id: 0, time: time(NOON + years) };
    bench.tell(Input::History(HistoryAnswer::Found(Some(told)), None));
    bench.pass(Duration::from_secs(70));
    assert!(dropped(&mut bench).unwrap() < NOON + HOUR);
    assert_eq!(bench.count(|event| *event == Event::Known(btc(), range(1, 1_000), Source::Ledger)), 1);
    // The stream says it, twice: then it is believed, and nothing else is too old for that.
    let mut bench = Bench::begun(Known::default());
    bench.hear_ids(1..=5);
    bench.hear(&[trade(6, NOON + years), trade(7, NOON + years)]);
    for id in 8..=90 {
        bench.hear_ids([id]);
        bench.disk_works();
        for (batch, _, attempt) in bench.writes() {
            assert!(attempt.exchange_time.unwrap().ms() < NOON + HOUR, "{id}");
            bench.tell(Input::Written(batch, Ok(Written::default()), bench.at));
        }
        bench.pass(Duration::from_secs(1));
    }
    assert!(dropped(&mut bench).unwrap() < NOON + HOUR);
    bench.store_answers(|| Ok(Written::default()));
    assert_eq!((bench.capture.progress().trades, bench.capture.journal().tally().dead_letters()), (90, 0));
}

#[test]
fn a_restarted_count_is_taken_and_the_ledger_knows_of_the_new_one_only() {
    let mut bench = Bench::begun(ledger(&[(4_000, 4_999)], &[]));
    bench.hear_ids(5_000..=5_010);
    bench.store_answers(|| Ok(Written::default()));
    // On its way when the count restarts.
    bench.hear_ids(5_011..=5_020);
    bench.disk_works();
    bench.at += Duration::from_secs(1);
    bench.hear_ids([1, 2, 3]);
    assert_eq!(bench.count(|event| matches!(event, Event::CountRestarted(..))), 1);
    bench.store_answers(|| Ok(Written::default()));
    bench.pass(Duration::from_secs(2));
    let changes = bench.entered();
    assert_eq!(changes.restarted.len(), 1);
    let stored: Vec<_> = changes.stored.ranges().map(|(_, range, _)| (range.first, range.last)).collect();
    assert_eq!(stored, [(1, 3)]);
    assert_eq!(bench.capture.progress().trades, 24);
    bench.pass(Duration::from_secs(10));
    assert_eq!(
        bench.count(|event| matches!(event, Event::HoleFound(symbol, hole) if *symbol == btc() && hole.first > 4_999)),
        0
    );
}

#[test]
fn a_trade_that_only_a_wrong_clock_makes_suspect_is_taken_when_the_exchange_tells_its_time() {
    let mut bench = Bench::with(settings(&[btc()]), -2 * HOUR);
    bench.run();
    bench.tell(Input::StreamOpened(0));
    bench.hear_ids([1]);
    assert_eq!(bench.count(|event| matches!(event, Event::TradeSuspected(..))), 1);
    bench.begin_with(Known::default());
    assert_eq!(bench.count(|event| matches!(event, Event::TradeBelieved(..))), 1);
    bench.hear_ids([2]);
    bench.store_answers(|| Ok(Written::default()));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.entered().stored.of_symbol(&btc()).unwrap().0.span(), Some(range(1, 2)));
}
