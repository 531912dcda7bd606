//! What becomes of a batch: refusals, a disk that fails, limits.

use super::*;

#[test]
fn a_refused_line_is_a_hole_with_its_reason_and_does_not_make_the_store_well() {
    let mut bench = Bench::begun(Known::default());
    bench.hear_ids(1..=1);
    bench.disk_works();
    let (batch, ..) = bench.writes().pop().unwrap();
    bench.tell(Input::Written(batch, Err(WriteError::Transient { why: "away".to_owned(), wait: None }), bench.at));
    assert!(!bench.healthy(Part::Store));
    bench.pass(Duration::from_secs(1));
    let (batch, ..) = bench.writes().pop().unwrap();
    let refused = |id: u64| {
        let trade = trade(id, NOON);
        RefusedLine {
            symbol: btc(),
            id: trade.id,
            time: trade.time,
            line: "trade …".to_owned(),
            why: Excerpt::of("bad"),
        }
    };
    bench.tell(Input::Written(batch, Ok(Written { refused: vec![refused(1)], ..Written::default() }), bench.at));
    assert!(!bench.healthy(Part::Store), "nothing of the batch was stored");
    assert_eq!(bench.capture.progress().trades, 0);
    bench.pass(Duration::from_secs(2));
    let changes = bench.entered();
    assert!(changes.stored.is_empty(), "what was refused is not done");
    assert_eq!(changes.ended, [Ended { symbol: btc(), range: range(1, 1), state: HoleState::RefusedByStore }]);
    assert!(bench.why(Part::Trades).contains("1 refused"));
    bench.hear_ids(2..=2);
    bench.store_answers(|| Ok(Written::default()));
    assert!(bench.healthy(Part::Store));
    bench.pass(Duration::from_secs(70));
    assert!(bench.healthy(Part::Trades), "it is shown for a minute");
}

#[test]
fn what_the_store_dropped_for_its_age_is_said_in_health_and_in_the_ledger() {
    let mut bench = Bench::begun(Known::default());
    bench.hear_ids(1..=2);
    bench.disk_works();
    let (batch, ..) = bench.writes().pop().unwrap();
    let mut expired = TradeIds::default();
    expired.add(&btc(), range(1, 1), time(NOON));
    bench.tell(Input::Written(batch, Ok(Written { expired, ..Written::default() }), bench.at));
    bench.pass(Duration::from_secs(2));
    let changes = bench.entered();
    assert_eq!(changes.ended, [Ended { symbol: btc(), range: range(1, 1), state: HoleState::Expired }]);
    assert_eq!(changes.stored.count(), 1);
    assert!(bench.why(Part::Trades).contains("1 expired"));
}

#[test]
fn a_page_of_the_outbox_that_cannot_be_read_stops_nothing() {
    let mut bench = Bench::begun(Known::default());
    // A long outage: the first batches are in memory, too, later ones on disk only.
    bench.capture.settings.route.batch_max = 1_000;
    for batch in 0..100 {
        bench.hear_ids(batch * 1_000 + 1..=batch * 1_000 + 1_000);
        bench.disk_works();
        bench.at += Duration::from_millis(1);
    }
    assert!(bench.capture.backlog.weight().line_bytes < 13 << 20);
    let held = |bench: &Bench| bench.capture.backlog.weight();
    assert_eq!((held(&bench).trades, held(&bench).memory_only), (100_000, 0));
    // The store is back, and every page behind is unreadable (EIO), while the disk takes new batches.
    for second in 0..300 {
        for (batch, ..) in bench.writes() {
            bench.tell(Input::Written(batch, Ok(Written::default()), bench.at));
        }
        for work in bench.disk_work() {
            let loaded = work.load.map(|_| Loaded::Failed);
            let error = loaded.is_some().then(|| "disk I/O error".to_owned());
            let batch = work.batch.map(|(trades, _)| (lines(trades.len()), None));
            bench.tell(Input::Disk(Box::new(DiskDone { batch, loaded, error, ..DiskDone::default() })));
        }
        bench.hear_ids([100_001 + second]);
        bench.pass(Duration::from_secs(1));
    }
    assert!(bench.capture.reads(bench.at), "reading goes on");
    let stored = bench.capture.progress().trades;
    assert!(stored > 60_000, "{stored}: what could be read is stored, and what came since");
    assert_eq!(held(&bench).memory_only, held(&bench).trades);
    assert!(bench.count(|event| matches!(event, Event::OutboxLost(_))) > 0);
    assert!(!bench.pages().is_empty(), "the exchange gives the rest again");
}

#[test]
fn what_cannot_be_done_now_wakes_nobody() {
    let mut bench = Bench::begun(Known::default());
    bench.hear_ids(1..=10);
    // The only rows on disk cannot be read, and are given up.
    bench.disk_work();
    let batch = Lines { bytes: vec![b'x'; 13 << 20].into(), ..lines(10) };
    let kept = Some(Kept { rows: Rows { first: 1, last: 1 }, bytes: 300 });
    bench.tell(Input::Disk(Box::new(DiskDone { batch: Some((batch, kept)), ..DiskDone::default() })));
    for _ in 0..5 {
        bench.pass(Duration::from_secs(6));
        bench.disk_work();
        let error = Some("disk I/O error".to_owned());
        bench.tell(Input::Disk(Box::new(DiskDone { loaded: Some(Loaded::Failed), error, ..DiskDone::default() })));
    }
    assert_eq!(bench.count(|event| matches!(event, Event::OutboxLost(10))), 1);
    bench.pass(Duration::from_secs(10));
    assert!(bench.capture.deadline(bench.at) > bench.at, "nothing is due: the loop would not rest");
    // The store does not say what it has, and the run ends meanwhile.
    bench.tell(Input::Audited(btc(), Err(StoreError::Unusable("away".to_owned()))));
    bench.tell(Input::Stop);
    bench.pass(Duration::from_secs(12));
    assert!(bench.capture.deadline(bench.at) > bench.at);
}

#[test]
fn past_its_limit_the_outbox_drops_into_one_growing_hole_and_says_so() {
    let mut bench = Bench::with(Settings { outbox_limit: 1, ..settings(&[btc()]) }, 0);
    bench.begin_with(Known::default());
    bench.hear_ids(1..=10);
    bench.disk_works();
    for batch in 1..5_000 {
        bench.hear_ids(batch * 10 + 1..=batch * 10 + 10);
        bench.disk_works();
    }
    assert!(bench.why(Part::Outbox).contains("full"));
    assert_eq!(bench.capture.journal().tally().dropped, 49_990);
    assert_eq!(bench.count(|event| matches!(event, Event::HoleFound(..))), 1, "and not a hole for each batch");
    assert_eq!(bench.capture.state(bench.now()).open_holes, 1);
}
