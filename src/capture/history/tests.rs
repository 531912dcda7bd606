//! Requests on a clock of the test's own.

use super::*;
use crate::capture::page::Row;
use crate::trade::IdRange;
use crate::trade::example::trade;

struct Bench {
    now: Instant,
    rng: fastrand::Rng,
    history: History,
}

impl Bench {
    fn new(holes: &[(u64, u64)]) -> Self {
        let now = Instant::now();
        let mut bench = Self { now, rng: fastrand::Rng::with_seed(5), history: History::new(now) };
        holes.iter().for_each(|(first, last)| bench.add(*first, *last));
        bench
    }

    fn add(&mut self, first: u64, last: u64) {
        let (symbol, time) = ("BTCUSDT".parse().unwrap(), TradeTime::from_ms(1_000).unwrap());
        self.history.add(Hole { symbol, range: IdRange { first, last }, time }, self.now);
    }

    /// Lets time pass until something is asked for.
    fn ask(&mut self) -> Request {
        self.now = self.history.deadline(true, self.now).unwrap().max(self.now);
        self.history.next_request(true, self.now).unwrap()
    }

    fn answer(&mut self, answer: HistoryAnswer) -> Outcome {
        self.history.answered(answer, None, self.now, &mut self.rng)
    }

    fn refuse(&mut self, kind: RefusalKind) {
        let refusal = Refusal { kind, why: Excerpt::of("no") };
        assert_eq!(self.answer(HistoryAnswer::Refused(refusal.clone())), Outcome::Failed(refusal));
    }
}

fn page(ids: std::ops::RangeInclusive<u64>) -> HistoryAnswer {
    HistoryAnswer::Page(Page { rows: ids.map(|id| Row::Trade(trade(id, 1_000))).collect() })
}

fn is_page(request: &Request) -> bool {
    matches!(request, Request::Page(_))
}

#[test]
fn lookups_go_before_pages_and_each_once() {
    let mut bench = Bench::new(&[(5, 7)]);
    let symbol: Symbol = "ETHUSDT".parse().unwrap();
    for _ in 0..3 {
        bench.history.look_up(Lookup::Newest(symbol.clone()), bench.now);
    }
    assert_eq!(bench.ask(), Request::Lookup(Lookup::Newest(symbol.clone())));
    bench.history.look_up(Lookup::Newest(symbol.clone()), bench.now);
    let found = Found { id: 9, time: TradeTime::EPOCH };
    assert_eq!(bench.answer(HistoryAnswer::Found(Some(found))), Outcome::Found(Lookup::Newest(symbol), found));
    assert!(is_page(&bench.ask()));
    assert!(matches!(bench.answer(page(5..=7)), Outcome::Brought(brought) if brought.trades.len() == 3));
    assert!(bench.history.is_idle());
}

#[test]
fn the_exchanges_wish_to_wait_is_granted_up_to_a_bound() {
    for (asked, at_least, at_most) in [(30, 30, 31), (u64::MAX, 72 * 3_600, 72 * 3_600 + 1)] {
        let mut bench = Bench::new(&[(5, 7)]);
        bench.ask();
        let before = bench.now;
        bench.refuse(RefusalKind::Limited(Duration::from_secs(asked)));
        bench.ask();
        let waited = bench.now - before;
        let bounds = Duration::from_secs(at_least)..=Duration::from_secs(at_most + 1);
        assert!(bounds.contains(&waited), "{asked} s were asked for, {waited:?} were waited");
    }
}

#[test]
fn failures_back_off_and_never_give_up() {
    let mut bench = Bench::new(&[(5, 7)]);
    let start = bench.now;
    for _ in 0..60 {
        assert!(is_page(&bench.ask()));
        bench.refuse(RefusalKind::Failed);
    }
    assert!(bench.now - start > Duration::from_secs(600));
    assert!(is_page(&bench.ask()));
    assert!(matches!(bench.answer(page(5..=7)), Outcome::Brought(_)));
}

#[test]
fn a_host_without_a_history_is_asked_for_its_newest_trades_and_for_the_history_now_and_then() {
    let mut bench = Bench::new(&[(5, 7)]);
    assert!(is_page(&bench.ask()));
    bench.refuse(RefusalKind::NotServed);
    let before = bench.now;
    assert!(matches!(bench.ask(), Request::NewestTrades(_)));
    assert!(bench.now - before < Duration::from_secs(1), "at once");
    assert!(matches!(bench.answer(page(1..=1_000)), Outcome::Brought(brought) if brought.trades.len() == 3));
    bench.now += NOT_SERVED_WAIT;
    bench.add(2_000, 2_001);
    assert!(is_page(&bench.ask()), "it may be served by now");
}

#[test]
fn what_the_exchange_says_of_its_weight_is_believed() {
    let mut bench = Bench::new(&[(1, 5_000)]);
    bench.ask();
    bench.history.answered(page(1..=1_000), Some((5_990, Duration::from_secs(20))), bench.now, &mut bench.rng);
    let before = bench.now;
    bench.ask();
    assert_eq!(bench.now - before, Duration::from_secs(20));
}

#[test]
fn pages_wait_where_nothing_may_be_repaired() {
    let mut bench = Bench::new(&[(5, 7)]);
    assert_eq!((bench.history.next_request(false, bench.now), bench.history.deadline(false, bench.now)), (None, None));
    bench.history.look_up(Lookup::Time, bench.now);
    assert_eq!(bench.history.next_request(false, bench.now), Some(Request::Lookup(Lookup::Time)));
}
