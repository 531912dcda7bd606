//! The whole machine, told what happens by hand, on clocks of the test's own.

use std::time::UNIX_EPOCH;

use super::*;
use crate::binance::stream::Group;
use crate::capture::backlog::{Payload, Route};
use crate::capture::history::{Answer, Request};
use crate::capture::input::{Audited, DiskDone, DiskWork, Loaded};
use crate::capture::page::{Page, Row};
use crate::capture::summary::Usage;
use crate::outbox::{Changes, Ended, Kept, Known, OutboxFound, Rows};
use crate::store::{Attempt, Checked, Lines, RefusedLine, StoreError, WriteError, Written};
use crate::telemetry::Source;
use crate::trade::example::trade;
use crate::trade::{HoleState, IdRange, IdRanges, Trade, TradeTime};

const NOON: i64 = 1_767_268_800_000;
const HOUR: i64 = 3_600_000;

/// A capture and what it has said so far; the exchange's clock is right, the host's may be off.
struct Bench {
    capture: Capture,
    begin: Instant,
    at: Instant,
    host_offset_ms: i64,
    commands: Vec<Command>,
    events: Vec<Event>,
    open: Vec<u64>,
    seq: i64,
    /// What was entered in the ledger and not looked at yet.
    entered: Changes,
}

fn settings(symbols: &[Symbol]) -> Settings {
    Settings {
        symbols: symbols.to_vec(),
        subsets: vec![symbols.len()],
        connections: 1,
        idle_timeout: Duration::from_secs(30),
        route: Route { is_over_disk: true, slots: 2, batch_max: 1_000 },
        outbox_limit: 1 << 30,
        asks: true,
        repairs: true,
        backfill: None,
        count: None,
        duration: None,
        seed: 7,
    }
}

fn btc() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

fn time(ms: i64) -> TradeTime {
    TradeTime::from_ms(ms).unwrap()
}

fn range(first: u64, last: u64) -> IdRange {
    IdRange { first, last }
}

fn message(trade: &Trade) -> String {
    let Trade { symbol, id, time, price, quantity, buyer_is_maker } = trade;
    format!(
        r#"{{"stream":"x@trade","data":{{"e":"trade","E":1,"s":"{symbol}","t":{id},"p":"{price}","q":"{quantity}","T":{},"m":{buyer_is_maker},"M":true}}}}"#,
        time.ms()
    )
}

impl Bench {
    fn with(settings: Settings, host_offset_ms: i64) -> Self {
        let begin = Instant::now();
        let now = Moment { at: begin, wall: time(NOON + host_offset_ms) };
        let capture = Capture::new(settings, now);
        let (commands, events, open) = (Vec::new(), Vec::new(), Vec::new());
        Self { capture, begin, at: begin, host_offset_ms, commands, events, open, seq: 0, entered: Changes::default() }
    }

    /// A capture of BTCUSDT that has begun: its outbox is open and knows this, its stream is open, the time is known.
    fn begun(known: Known) -> Self {
        let mut bench = Self::with(settings(&[btc()]), 0);
        bench.begin_with(known);
        bench
    }

    fn begin_with(&mut self, known: Known) {
        self.run();
        self.tell(Input::SymbolsChecked(Ok(None)));
        self.tell(Input::StoreChecked(Ok(Checked::default())));
        self.tell(Input::OutboxOpened(Box::new(found(known))));
        self.tell(Input::StreamOpened(0));
        let told = crate::capture::history::Found { id: 0, time: self.exchange_now() };
        self.tell(Input::History(Answer::Found(Some(told)), None));
    }

    fn exchange_now(&self) -> TradeTime {
        time(NOON + i64::try_from((self.at - self.begin).as_millis()).unwrap())
    }

    fn now(&self) -> Moment {
        Moment { at: self.at, wall: time(self.exchange_now().ms() + self.host_offset_ms) }
    }

    fn run(&mut self) {
        // What was found to be due at the end of a turn is done in the next.
        for _ in 0..2 {
            self.capture.advance(true, self.now());
            while let Some(command) = self.capture.next_command() {
                if let Command::OpenStream(id, _) = &command {
                    self.open.push(*id);
                }
                self.commands.push(command);
            }
        }
        self.events.extend(self.capture.journal().take());
        assert!(self.capture.deadline(self.at) > self.at, "nothing more is due now: the loop would not rest");
    }

    fn tell(&mut self, input: Input) {
        self.capture.handle(input, self.now());
        self.run();
    }

    /// Lets time pass, waking up whenever the capture wants to.
    fn pass(&mut self, time: Duration) {
        let end = self.at + time;
        while self.at < end {
            self.at = self.capture.deadline(self.at).clamp(self.at + Duration::from_millis(1), end);
            self.run();
        }
    }

    fn hear(&mut self, trades: &[Trade]) {
        let received_wall = UNIX_EPOCH + Duration::from_millis(self.now().wall.ms().unsigned_abs());
        let texts = trades.iter().map(|trade| message(trade).into()).collect();
        let id = *self.open.last().unwrap();
        self.tell(Input::StreamMessages(id, Group { received: self.at, received_wall, texts, binary: 0 }));
    }

    /// Live trades of now with these ids.
    fn hear_ids(&mut self, ids: impl IntoIterator<Item = u64>) {
        let ms = self.exchange_now().ms();
        let trades: Vec<_> = ids.into_iter().map(|id| trade(id, ms)).collect();
        self.hear(&trades);
    }

    /// Takes the commands of a kind out.
    fn take<T>(&mut self, pick: impl Fn(Command) -> Result<T, Command>) -> Vec<T> {
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        for command in std::mem::take(&mut self.commands) {
            match pick(command) {
                Ok(one) => taken.push(one),
                Err(other) => others.push(other),
            }
        }
        self.commands = others;
        taken
    }

    fn disk_work(&mut self) -> Vec<DiskWork> {
        self.take(|command| if let Command::Disk(work) = command { Ok(*work) } else { Err(command) })
    }

    fn writes(&mut self) -> Vec<(u64, Payload, Attempt)> {
        self.take(|command| match command {
            Command::Write(batch, payload, attempt) => Ok((batch, payload, attempt)),
            other => Err(other),
        })
    }

    fn audits(&mut self) -> Vec<Symbol> {
        self.take(|command| if let Command::Audit(symbol, ..) = command { Ok(symbol) } else { Err(command) })
    }

    fn pages(&mut self) -> Vec<(u64, u64)> {
        self.take(|command| match command {
            Command::Ask(Request::Page(page)) => Ok((page.from_id, page.limit)),
            other => Err(other),
        })
    }

    fn count(&self, is_one: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is_one(event)).count()
    }

    /// Lets the disk do what it has to.
    fn disk_works(&mut self) {
        for _ in 0..100 {
            let Some(work) = self.disk_work().pop() else { break };
            let kept = work.batch.map(|(trades, _)| {
                self.seq += 1;
                let rows = Rows { first: self.seq, last: self.seq };
                (lines(trades.len()), Some(Kept { rows, bytes: 30 * trades.len() as u64 }))
            });
            let mut entered = work.changes;
            entered.put_before(std::mem::take(&mut self.entered));
            self.entered = entered;
            self.tell(Input::Disk(Box::new(DiskDone { batch: kept, ..DiskDone::default() })));
        }
    }

    /// Lets the disk do what it has to, and gives what was entered in the ledger since this was asked last.
    fn entered(&mut self) -> Changes {
        self.disk_works();
        std::mem::take(&mut self.entered)
    }

    /// Lets the store answer every write, and what follows, for some time.
    fn store_answers(&mut self, answer: impl Fn() -> Result<Written, WriteError>) {
        for _ in 0..20 {
            self.disk_works();
            for (batch, ..) in self.writes() {
                self.tell(Input::Written(batch, answer(), self.at));
            }
        }
    }

    fn healthy(&mut self, part: Part) -> bool {
        self.capture.condition().is_working(part)
    }

    fn why(&mut self, part: Part) -> String {
        self.capture.condition().why(part).map(ToString::to_string).unwrap_or_default()
    }
}

fn lines(count: usize) -> Lines {
    Lines { bytes: vec![b'x'; count * 200].into(), count, oldest: TradeTime::EPOCH }
}

fn found(known: Known) -> OutboxFound {
    OutboxFound { left: Vec::new(), known, set_aside: None, changed: None, others: Vec::new() }
}

/// A ledger that knows of these ids, an hour ago.
fn ledger(stored: &[(u64, u64)], ended: &[(u64, u64)]) -> Known {
    let mut known = Known::default();
    stored.iter().for_each(|(first, last)| known.stored.add(&btc(), range(*first, *last), time(NOON - HOUR)));
    let state = HoleState::NotAtExchange;
    known.ended.extend(ended.iter().map(|(first, last)| Ended { symbol: btc(), range: range(*first, *last), state }));
    known
}

fn audited(stored: &[(u64, u64)]) -> Option<Audited> {
    let stored: IdRanges = stored.iter().map(|(first, last)| range(*first, *last)).collect();
    Some(Audited { stored, newest: time(NOON - 1_000) })
}

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
    bench.tell(Input::History(Answer::Found(Some(told)), None));
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
            bench.tell(Input::History(Answer::Found(Some(found)), None));
        }
        let pages = bench.pages();
        for (from, limit) in pages {
            let rows = (from..from + limit).map(|id| Row::Trade(trade(id, missed))).collect();
            bench.tell(Input::History(Answer::Page(Page { rows }), None));
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
        bench.tell(Input::History(Answer::Page(Page { rows }), None));
        bench.pass(Duration::from_secs(6));
    }
    assert_eq!(bench.count(|event| *event == Event::HoleStays(btc(), range(2, 4), HoleState::NotAtExchange)), 1);
    assert_eq!(bench.capture.state(bench.now()).open_holes, 0);
    // It comes after all, a minute later.
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.pages(), [(2, 3)]);
    let rows = (2..=4).map(|id| Row::Trade(trade(id, NOON))).collect();
    bench.tell(Input::History(Answer::Page(Page { rows }), None));
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
