use rust_decimal::Decimal;

use super::*;
use crate::text::Excerpt;

const NOON: MinuteNumber = 29_454_480;

/// A sign-off on clocks of the test's own; everything taken is stored at once.
struct Bench {
    it: SignOff,
    at: Instant,
    exchange_ms: i64,
}

fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

fn point(stretch: &Stretch, minute: MinuteNumber, difference: Option<&str>) -> MinutePoint {
    let one = Decimal::ONE;
    MinutePoint {
        symbol: stretch.symbol.clone(),
        start: time(minute),
        trades: 1,
        ids: Some(IdRange { first: 1, last: 1 }),
        open: one,
        high: one,
        low: one,
        close: one,
        volume: Some(one),
        taker_buy_volume: Some(one),
        difference: difference.map(Excerpt::of),
    }
}

impl Bench {
    /// In the middle of the minute of noon.
    fn new(symbols: &[&str]) -> Self {
        let at = Instant::now();
        let symbols: Vec<_> = symbols.iter().map(|name| symbol(name)).collect();
        let mut bench = Self { it: SignOff::new(&symbols, at), at, exchange_ms: time(NOON).ms() + 30_000 };
        bench.pass(0);
        bench
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..=seconds {
            self.it.pass(TradeTime::from_ms(self.exchange_ms).unwrap(), (7, 7), self.at);
            self.at += Duration::from_secs(1);
            self.exchange_ms += 1_000;
        }
    }

    fn next(&mut self) -> Option<(String, MinuteNumber, MinuteNumber)> {
        let found = self.it.next(self.at, || true);
        found.map(|stretch| (stretch.symbol.to_string(), number(stretch.first), number(stretch.last)))
    }

    /// What is new, as (symbol, first, last); each agrees.
    fn all(&mut self) -> Vec<(String, MinuteNumber, MinuteNumber)> {
        let mut all = Vec::new();
        while let Some(found) = self.next() {
            if self.answer(|_| None).1.verified == 0 {
                break;
            }
            all.push(found);
        }
        all
    }

    fn about(&self) -> Circumstances {
        Circumstances {
            exchange_now: TradeTime::from_ms(self.exchange_ms).unwrap(),
            begin: None,
            newest: Some(TradeTime::LATEST),
            has_open_holes: false,
        }
    }

    fn answer(&mut self, difference: impl Fn(MinuteNumber) -> Option<&'static str>) -> (usize, Kept) {
        self.answer_in(self.about(), difference)
    }

    /// How many points are to be kept, and what became of them.
    fn answer_in(
        &mut self,
        about: Circumstances,
        difference: impl Fn(MinuteNumber) -> Option<&'static str>,
    ) -> (usize, Kept) {
        let stretch = self.it.under_way().unwrap();
        let minutes = number(stretch.first)..=number(stretch.last);
        let points = minutes.map(|minute| point(&stretch, minute, difference(minute))).collect();
        let keep = self.it.found(Findings { points, ..Findings::default() }, &about, self.at);
        (keep.len(), self.it.kept(keep, self.at))
    }
}

#[test]
fn a_minute_is_due_some_seconds_after_its_end_and_once() {
    let mut bench = Bench::new(&["BTCUSDT", "ETHUSDT"]);
    assert_eq!(bench.all(), []);
    bench.pass(33);
    assert_eq!(bench.all(), [], "it ended a moment ago");
    bench.pass(3);
    assert_eq!(bench.all(), [("BTCUSDT".to_owned(), NOON, NOON), ("ETHUSDT".to_owned(), NOON, NOON)]);
    assert_eq!(bench.it.newest_verified(), Some(time(NOON)));
    bench.pass(60);
    let (first, rest) = (bench.next(), bench.answer(|_| None));
    assert_eq!(first, Some(("BTCUSDT".to_owned(), NOON + 1, NOON + 1)), "what is new goes before what is read again");
    assert_eq!(rest.1.verified, 1);
}

#[test]
fn a_minute_waits_until_what_was_taken_by_its_end_is_stored() {
    let mut bench = Bench::new(&["BTCUSDT"]);
    let over = |bench: &mut Bench, minutes: i64, counts| {
        let now = TradeTime::from_ms(time(NOON).ms() + 60_000 * minutes + 6_000).unwrap();
        bench.it.pass(now, counts, bench.at);
    };
    over(&mut bench, 1, (100, 99));
    over(&mut bench, 2, (150, 99));
    assert_eq!(bench.all(), []);
    bench.pass(0);
    over(&mut bench, 2, (200, 100));
    assert_eq!(bench.next(), Some(("BTCUSDT".to_owned(), NOON, NOON)));
    bench.answer(|_| None);
    over(&mut bench, 2, (250, 149));
    assert_eq!(bench.it.series[0].next_due(bench.at), None);
    over(&mut bench, 2, (250, 150));
    assert_eq!(bench.next().map(|(_, first, last)| (first, last)), Some((NOON + 1, NOON + 1)));
}

#[test]
fn a_minute_that_differs_is_told_once_and_looked_at_until_it_agrees() {
    let mut bench = Bench::new(&["BTCUSDT"]);
    bench.pass(36);
    bench.next().unwrap();
    let (keep, kept) = bench.answer(|_| Some("volume"));
    assert_eq!((keep, kept.verified, kept.differ_now.len(), bench.it.different()), (1, 0, 1, 1));
    assert_eq!(bench.next(), None, "not at once");
    bench.pass(46);
    bench.next().unwrap();
    let (keep, kept) = bench.answer(|_| Some("volume"));
    assert_eq!((keep, kept), (1, Kept::default()), "it is known");
    bench.it.repaired(&symbol("BTCUSDT"), 7);
    bench.pass(1);
    // Another minute has ended meanwhile.
    let mut agree = Vec::new();
    while agree.is_empty() && bench.next().is_some() {
        agree.extend(bench.answer(|_| None).1.agree_now);
    }
    assert_eq!((agree, bench.it.different()), (vec![time(NOON)], 0));
}

#[test]
fn every_minute_that_differs_has_its_turn() {
    let mut bench = Bench::new(&["BTCUSDT"]);
    bench.pass(60 * 40);
    let differs = |minute: MinuteNumber| Some("volume").filter(|_| minute.is_multiple_of(2));
    while bench.next().is_some_and(|(_, _, last)| last < NOON + 39) {
        bench.answer(differs);
    }
    bench.answer(differs);
    assert_eq!(bench.it.different(), 20);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3_000 {
        bench.at += Duration::from_millis(100);
        if let Some((_, first, last)) = bench.next() {
            seen.extend((first..=last).filter(|minute| differs(*minute).is_some()));
            bench.answer(differs);
        }
    }
    assert_eq!(seen.len(), 20);
}

#[test]
fn what_may_still_become_whole_does_not_differ() {
    let judge = |change: fn(&mut Circumstances), is_behind: bool| {
        let mut bench = Bench::new(&["BTCUSDT"]);
        bench.pass(36);
        bench.next().unwrap();
        let mut about = bench.about();
        change(&mut about);
        let stretch = bench.it.under_way().unwrap();
        let behind = if is_behind { vec![time(NOON)] } else { vec![] };
        let points = vec![point(&stretch, NOON, Some("trades"))];
        let keep = bench.it.found(Findings { points, behind, ..Findings::default() }, &about, bench.at);
        (
            keep.len(),
            bench.it.kept(keep, bench.at).differ_now.len(),
            bench.it.series[0].next_again(bench.at + Duration::from_secs(60)),
        )
    };
    let noon = IdRange { first: NOON, last: NOON };
    let (differs, waits, is_none) = ((1, 1, Some(noon)), (0, 0, Some(noon)), (0, 0, None));
    assert_eq!(judge(|_| {}, false), differs);
    assert_eq!(judge(|about| about.newest = None, false), waits, "its last trades may be missing");
    assert_eq!(judge(|about| about.newest = Some(time(NOON)), false), waits);
    assert_eq!(judge(|about| about.has_open_holes = true, false), waits);
    assert_eq!(judge(|_| {}, true), waits, "the candle is behind the store");
    assert_eq!(judge(|about| about.begin = Some(time(NOON).later_by(1)), false), is_none, "the store begins in it");
    let late = |about: &mut Circumstances| {
        about.exchange_now = time(NOON + 5);
        about.has_open_holes = true;
    };
    assert_eq!(judge(late, true), differs, "not for ever");
}

#[test]
fn minutes_of_before_the_run_are_looked_at_once_where_they_are_not_verified() {
    let mut bench = Bench::new(&["BTCUSDT", "ETHUSDT"]);
    assert!(bench.it.asks_for_known(bench.at));
    assert!(!bench.it.asks_for_known(bench.at));
    bench.it.not_known(bench.at);
    assert!(!bench.it.asks_for_known(bench.at + Duration::from_secs(29)));
    assert!(bench.it.asks_for_known(bench.at + Duration::from_secs(30)));
    let kept = |minute, is_verified| KeptMinute {
        exchange: "binance".parse().unwrap(),
        symbol: symbol("BTCUSDT"),
        start: time(minute),
        is_verified,
    };
    let begins = [(symbol("BTCUSDT"), time(NOON - 5).later_by(7))];
    bench.it.known(&[kept(NOON - 4, true), kept(NOON - 2, false)], &begins);
    assert_eq!(bench.it.different(), 1);
    let mut seen = Vec::new();
    for _ in 0..20 {
        bench.at += Duration::from_secs(30);
        if let Some((name, first, last)) = bench.next() {
            seen.push((name, first, last));
            bench.answer(|_| None);
        }
    }
    let mut minutes: Vec<_> = seen.iter().flat_map(|(_, first, last)| *first..=*last).collect();
    minutes.truncate(4);
    assert_eq!(minutes, [NOON - 3, NOON - 2, NOON - 1, NOON - 5]);
    assert!(seen.iter().all(|(name, ..)| name == "BTCUSDT"), "nothing of the other one is stored");
    assert_eq!(bench.it.different(), 0);
}

#[test]
fn what_is_fetched_is_looked_at_even_if_it_was_found_before_the_time_was_known() {
    let mut it = SignOff::new(&[symbol("BTCUSDT")], Instant::now());
    it.fetched(&symbol("BTCUSDT"), time(NOON - 3));
    it.pass(time(NOON), (0, 0), Instant::now());
    let stretch = it.next(Instant::now(), || true).unwrap();
    assert_eq!((number(stretch.first), number(stretch.last)), (NOON - 3, NOON - 1));
}

#[test]
fn what_is_verified_is_read_again_and_the_newest_of_it_every_other_time() {
    let mut bench = Bench::new(&["BTCUSDT"]);
    bench.pass(60 * 10);
    bench.all();
    let mut seen = Vec::new();
    for _ in 0..30 {
        bench.at += Duration::from_secs(3);
        let Some((_, first, last)) = bench.next() else { continue };
        seen.push((first, last));
        let (keep, kept) = bench.answer(|_| None);
        assert_eq!((keep, kept), (0, Kept::default()), "what was found is kept already");
    }
    assert!(seen.len() > 20);
    let newest = bench.it.series[0].newest_verified().unwrap();
    assert!(
        seen.iter().step_by(2).all(|(_, last)| *last == newest)
            || seen.iter().skip(1).step_by(2).all(|(_, last)| *last == newest)
    );
    let minutes: std::collections::BTreeSet<_> = seen.iter().flat_map(|(first, last)| *first..=*last).collect();
    assert_eq!(minutes.len() as u64, newest - NOON + 1, "each has its turn: {seen:?}");
}

#[test]
fn a_failure_is_tried_again_later_and_loses_nothing() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut bench = Bench::new(&["BTCUSDT"]);
    bench.pass(36);
    let first = bench.next();
    bench.it.failed(bench.at, &mut rng);
    assert_eq!(bench.it.under_way(), None);
    bench.at += Duration::from_secs(5);
    assert_eq!(bench.next(), first);
    assert_eq!(bench.it.next(bench.at, || true), None, "one at a time");
}

#[test]
fn nothing_is_begun_that_may_not_be_asked_for() {
    let mut bench = Bench::new(&["BTCUSDT"]);
    bench.pass(36);
    assert_eq!(bench.it.next(bench.at, || false), None);
    bench.at += LOOK_EVERY;
    assert!(bench.next().is_some());
}

#[test]
fn what_is_past_the_retention_is_forgotten_and_a_clock_that_jumps_does_no_harm() {
    let mut bench = Bench::new(&["BTCUSDT"]);
    bench.pass(36);
    bench.next().unwrap();
    bench.answer(|_| Some("trades"));
    bench.it.pass(time(NOON + 1_440), (7, 7), bench.at);
    assert_eq!(bench.it.different(), 0);
    bench.it.pass(TradeTime::LATEST, (7, 7), bench.at);
    assert!(bench.it.passing.is_empty());
    bench.it.pass(time(NOON), (7, 7), bench.at);
}

/// Of a symbol whose candles never come nobody else has to wait.
#[test]
fn a_symbol_that_fails_keeps_no_other_one_waiting() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut bench = Bench::new(&["BTCUSDT", "ETHUSDT"]);
    for _ in 0..20 {
        bench.pass(60);
        for _ in 0..10 {
            bench.at += Duration::from_secs(1);
            match bench.next() {
                Some((name, ..)) if name == "BTCUSDT" => bench.it.failed(bench.at, &mut rng),
                Some(_) => drop(bench.answer(|_| None)),
                None => {}
            }
        }
    }
    assert_eq!(bench.it.series[0].newest_verified(), None);
    assert!(bench.it.series[1].newest_verified() >= Some(NOON + 18));
}
