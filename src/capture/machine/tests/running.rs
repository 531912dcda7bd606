//! Begin, connections, figures and end of a run.

use super::*;

#[test]
fn streams_open_before_anything_else_and_what_comes_meanwhile_is_kept() {
    let mut bench = Bench::with(settings(&[btc()]), 0);
    bench.run();
    assert!(matches!(bench.commands[..], [Command::OpenStream(0, 0), Command::CheckStore, Command::CheckSymbols, ..]));
    // The store accepts the connection and says nothing for half a minute.
    bench.tell(Input::StreamOpened(0));
    for id in 1..=30 {
        bench.hear_ids([id]);
        bench.pass(Duration::from_secs(1));
    }
    assert!(bench.disk_work().is_empty() && bench.writes().is_empty());
    bench.tell(Input::StoreChecked(Ok(Checked { away: Some("no answer".to_owned()), ..Checked::default() })));
    assert!(!bench.healthy(Part::Store));
    bench.tell(Input::OutboxOpened(Box::new(found(Known::default()))));
    let kept: usize = bench.disk_work().iter().filter_map(|work| Some(work.batch.as_ref()?.0.len())).sum();
    assert_eq!(kept, 30, "nothing that came meanwhile is lost");
}

#[test]
fn a_definite_no_at_the_start_ends_the_run() {
    for (input, failure) in [
        (Input::StoreChecked(Err(StoreError::Settings("401".to_owned()))), CaptureFailure::Settings("401".to_owned())),
        (Input::SymbolsChecked(Ok(Some(btc()))), CaptureFailure::UnknownSymbol(btc())),
    ] {
        let mut bench = Bench::with(settings(&[btc()]), 0);
        bench.tell(input);
        assert_eq!(bench.capture.failure(), Some(&failure));
    }
    let mut bench = Bench::begun(Known::default());
    bench.tell(Input::StoreChecked(Err(StoreError::Settings("401".to_owned()))));
    assert_eq!(bench.capture.failure(), None, "later it is held");
}

#[test]
fn an_outage_of_many_quiet_symbols_is_no_reconnect_storm() {
    let symbols: Vec<Symbol> = (0..400).map(|at| format!("S{at:03}USDT").parse().unwrap()).collect();
    let mut bench = Bench::with(Settings { subsets: vec![200, 200], ..settings(&symbols) }, 0);
    bench.begin_with(Known::default());
    bench.tell(Input::StreamOpened(1));
    let of = |symbol: &Symbol, id: u64, ms: i64| Trade { symbol: symbol.clone(), ..trade(id, ms) };
    let all = |ms: i64, id: u64| symbols.iter().map(|symbol| of(symbol, id, ms)).collect::<Vec<_>>();
    let first = all(bench.exchange_now().ms(), 10);
    bench.open = vec![1];
    bench.hear(&first[200..]);
    bench.open = vec![0];
    bench.hear(&first[..200]);
    // 36 s without a network: both connections close, and two others open behind it.
    bench.tell(Input::StreamClosed(0, Excerpt::of("broke")));
    bench.tell(Input::StreamClosed(1, Excerpt::of("broke")));
    bench.pass(Duration::from_secs(36));
    bench.open.sort_unstable();
    let (last, before) = (*bench.open.last().unwrap(), bench.open.len());
    bench.tell(Input::StreamOpened(last));
    bench.tell(Input::StreamOpened(last - 1));
    // Every symbol traded once during the outage, and says nothing since, but one of each subset.
    let missed = bench.exchange_now().ms() - 20_000;
    for _ in 0..600 {
        let ms = bench.exchange_now().ms();
        bench.hear(&[of(&symbols[0], 12 + ms.unsigned_abs() % 1_000_000, ms)]);
        bench.pass(Duration::from_millis(500));
        let asked = bench.take(|command| match command {
            Command::Ask(Request::Lookup(Lookup::Newest(symbol))) => Ok(symbol),
            other => Err(other),
        });
        for symbol in asked {
            assert!(symbols.contains(&symbol));
            let found = crate::capture::history::Found { id: 11, time: time(missed) };
            bench.tell(Input::History(HistoryAnswer::Found(Some(found)), None));
        }
        let pages = bench.pages();
        for (from, limit) in pages {
            let rows = (from..from + limit).map(|id| Row::Trade(trade(id, missed))).collect();
            bench.tell(Input::History(HistoryAnswer::Page(Page { rows }), None));
        }
        bench.store_answers(|| Ok(Written::default()));
    }
    let opened = bench.open.len() - before;
    assert!(opened <= 12, "{opened} connections in 5 minutes");
    assert_eq!(bench.count(|event| matches!(event, Event::SymbolSilent(_))), 0);
}

#[test]
fn a_gauge_of_open_holes_falls_when_a_hole_has_ended() {
    let mut bench = Bench::begun(Known::default());
    bench.hear_ids([1, 5]);
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.capture.state(bench.now()).open_holes, 1);
    // The exchange skips them again and again.
    for _ in 0..3 {
        assert_eq!(bench.pages().len(), 1);
        let rows = vec![Row::Trade(trade(5, NOON))];
        bench.tell(Input::History(HistoryAnswer::Page(Page { rows }), None));
        bench.pass(Duration::from_secs(6));
    }
    assert_eq!(bench.count(|event| *event == Event::HoleStays(btc(), range(2, 4), HoleState::NotAtExchange)), 1);
    assert_eq!(bench.capture.state(bench.now()).open_holes, 0);
    // It comes after all, a minute later.
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.pages(), [(2, 3)]);
    let rows = (2..=4).map(|id| Row::Trade(trade(id, NOON))).collect();
    bench.tell(Input::History(HistoryAnswer::Page(Page { rows }), None));
    bench.store_answers(|| Ok(Written::default()));
    assert_eq!(bench.capture.progress().trades, 5);
    assert_eq!(bench.count(|event| *event == Event::HoleRepaired(btc(), range(2, 4))), 1);
}

#[test]
fn a_run_that_got_nothing_says_why() {
    let end = |bench: &mut Bench| {
        bench.tell(Input::Stop);
        bench.tell(Input::StreamsEnded);
        bench.pass(Duration::from_secs(2));
        bench.disk_works();
        let now = bench.now();
        assert!(bench.capture.is_finished(now.at));
        bench.capture.finish(Usage::default(), now).shortfall
    };
    let mut bench = Bench::with(settings(&[btc()]), 0);
    bench.tell(Input::StreamClosed(0, Excerpt::of("cannot open wss://x: HTTP error: 451")));
    bench.tell(Input::StoreChecked(Ok(Checked::default())));
    bench.tell(Input::OutboxOpened(Box::new(found(Known::default()))));
    assert!(matches!(end(&mut bench), Some(Shortfall::NoTrade(why)) if why.as_str().contains("451")));
    let mut bench = Bench::begun(Known::default());
    assert!(matches!(end(&mut bench), Some(Shortfall::NoTrade(why)) if why.as_str().contains("no trade yet")));
    let mut bench = Bench::begun(Known::default());
    let received_wall = UNIX_EPOCH;
    bench.tell(Input::StreamMessages(0, Group { received: bench.at, received_wall, texts: Vec::new(), binary: 2 }));
    assert!(matches!(end(&mut bench), Some(Shortfall::NoTrade(why)) if why.as_str().contains("binary messages")));
    let mut bench = Bench::with(Settings { count: Some(10), ..settings(&[btc()]) }, 0);
    bench.begin_with(Known::default());
    bench.hear_ids(1..=3);
    bench.store_answers(|| Ok(Written::default()));
    assert!(matches!(end(&mut bench), Some(Shortfall::TooFew { trades: 3, count: 10, .. })));
    let mut bench = Bench::begun(Known::default());
    bench.hear_ids(1..=3);
    bench.store_answers(|| Ok(Written::default()));
    assert_eq!(end(&mut bench), None);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_commands() {
    let run = || {
        let mut bench = Bench::begun(Known::default());
        for id in 0..50 {
            bench.tell(Input::StreamClosed(*bench.open.last().unwrap(), Excerpt::of("broke")));
            bench.pass(Duration::from_secs(7));
            bench.tell(Input::StreamOpened(*bench.open.last().unwrap()));
            bench.hear_ids([id * 3 + 1]);
        }
        let begin = bench.begin;
        (bench.open.len(), format!("{:?}", bench.events), bench.at - begin)
    };
    assert_eq!(run(), run());
}
