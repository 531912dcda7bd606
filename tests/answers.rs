//! The three questions: one suite, run against both stores and an archive, with hand-made cases and with random trades
//! whose answers a plain computation gives.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use support::{exchange, minute_ago, now, oracle, seed, trade, with_all_that_answer};
use tickflux::store::{Attempt, Gaps, Scope, Store, StoredTrade};
use tickflux::trade::{Trade, TradeTime};

/// No trade.
const NO_ID: [u64; 0] = [];

/// A store under test: writes as either exchange, answers for both.
struct Subject<'a> {
    name: &'static str,
    binance: &'a dyn Store,
    practice: &'a dyn Store,
}

impl Subject<'_> {
    async fn write(&self, trades: &[Trade]) {
        assert_eq!(self.binance.write(trades, Attempt::default()).await.unwrap().expired.count(), 0);
    }

    async fn latest(&self, scope: &Scope) -> Vec<u64> {
        ids(&self.binance.latest(scope).await.unwrap())
    }

    async fn at(&self, symbol: &str, ms: i64) -> Vec<u64> {
        ids(&self.binance.price_at(&only(symbol), time(ms), false).await.unwrap())
    }

    async fn as_of(&self, symbol: &str, ms: i64) -> Vec<u64> {
        ids(&self.binance.price_at(&only(symbol), time(ms), true).await.unwrap())
    }

    /// First and last id, trades, duplicates, and each hole.
    async fn gaps(&self, symbol: &str, since_ms: i64) -> Vec<oracle::CountGaps> {
        self.gaps_between(symbol, since_ms, None).await
    }

    async fn gaps_between(&self, symbol: &str, since_ms: i64, until_ms: Option<i64>) -> Vec<oracle::CountGaps> {
        let audits = self.binance.gaps(&only(symbol), time(since_ms), until_ms.map(time)).await.unwrap();
        let holes = |audit: &Gaps| audit.holes.iter().map(|hole| (hole.first, hole.last)).collect();
        audits
            .iter()
            .map(|audit| (audit.span.first, audit.span.last, audit.trades, audit.duplicates, holes(audit)))
            .collect()
    }

    /// Trades, missing, high id, low id.
    async fn high_low(&self, symbol: &str, ms: i64) -> Vec<(u64, u64, u64, u64)> {
        let answers = self.binance.high_low(&only(symbol), time(ms)).await.unwrap();
        answers
            .iter()
            .map(|answer| (answer.trades, answer.missing, answer.high.trade.id.get(), answer.low.trade.id.get()))
            .collect()
    }
}

fn ids(stored: &[StoredTrade]) -> Vec<u64> {
    stored.iter().map(|stored| stored.trade.id.get()).collect()
}

fn time(ms: i64) -> TradeTime {
    TradeTime::from_ms(ms).unwrap()
}

fn only(symbol: &str) -> Scope {
    Scope { symbols: vec![symbol.parse().unwrap()], exchange: None }
}

/// Every subject there is.
fn with_each_subject(check: impl AsyncFn(&Subject<'_>)) {
    with_all_that_answer(async |name, binance, practice| check(&Subject { name, binance, practice }).await);
}

#[test]
fn an_empty_store_gives_no_answer_and_no_error() {
    with_each_subject(async |subject| {
        assert_eq!(subject.latest(&Scope::default()).await, NO_ID, "{}", subject.name);
        assert_eq!(subject.latest(&only("BTCUSDT")).await, NO_ID);
        assert_eq!(subject.at("BTCUSDT", minute_ago(5)).await, NO_ID);
        assert_eq!(subject.as_of("BTCUSDT", minute_ago(5)).await, NO_ID);
        assert_eq!(subject.high_low("BTCUSDT", minute_ago(5)).await, []);
    });
}

#[test]
fn before_the_first_trade_of_an_hour_there_is_nothing_and_no_error() {
    with_each_subject(async |subject| {
        let name = subject.name;
        let hour = now().ms() / 3_600_000 * 3_600_000 - 2 * 3_600_000;
        let (ten, half) = (hour + 600_000, hour + 1_800_000);
        subject.write(&[trade("FIRST", 1, half, "5"), trade("FIRST", 3, half + 1, "5")]).await;
        assert_eq!(subject.gaps_between("FIRST", hour, Some(ten)).await, [], "{name}");
        assert_eq!(subject.gaps_between("FIRST", hour - 3_600_000, Some(hour)).await, [], "{name}");
        assert_eq!(subject.gaps_between("OTHER", hour, Some(ten)).await, [], "{name}");
        assert_eq!(subject.gaps_between("FIRST", hour, Some(half + 2)).await, [(1, 3, 2, 0, vec![(2, 2)])], "{name}");
        assert_eq!(subject.high_low("FIRST", ten).await, [], "{name}");
        assert_eq!(subject.high_low("OTHER", ten).await, [], "{name}");
        assert_eq!((subject.as_of("FIRST", ten).await, subject.at("FIRST", ten).await), (vec![], vec![1]), "{name}");
    });
}

#[test]
fn hand_made_cases() {
    with_each_subject(async |subject| {
        let name = subject.name;
        let minute = minute_ago(10);

        // The newest millisecond crosses a multiple of a million: the last point is not the last trade.
        subject.write(&(999_998..=1_000_002).map(|id| trade("CROSS", id, minute, "5")).collect::<Vec<_>>()).await;
        assert_eq!(subject.latest(&only("CROSS")).await, [1_000_002], "{name}");
        assert_eq!(subject.at("CROSS", minute).await, [999_998], "{name}: T equal to the time: the lowest id");
        assert_eq!(subject.at("CROSS", minute + 1).await, [1_000_002], "{name}: before it the highest id");
        assert_eq!(subject.at("CROSS", minute - 1).await, [999_998], "{name}: after it the lowest id");
        assert_eq!(subject.as_of("CROSS", minute).await, [1_000_002], "{name}");
        assert_eq!(subject.as_of("CROSS", minute - 1).await, NO_ID, "{name}");

        // Equal distance on both sides: the earlier one.
        subject.write(&[trade("EQUAL", 1, minute + 100, "5"), trade("EQUAL", 2, minute + 200, "6")]).await;
        assert_eq!(subject.at("EQUAL", minute + 150).await, [1], "{name}");
        assert_eq!(subject.at("EQUAL", minute + 151).await, [2], "{name}");
        assert_eq!(subject.as_of("EQUAL", minute + 199).await, [1], "{name}");
        assert_eq!(subject.as_of("EQUAL", minute + 200).await, [2], "{name}");

        // An extreme that is reached twice goes to the lower id, inside a crossing millisecond too.
        let prices = [(999_999, "7.5"), (1_000_000, "7.50"), (1_000_001, "7.2"), (1_000_003, "7.20")];
        subject.write(&prices.map(|(id, price)| trade("TWICE", id, minute, price))).await;
        assert_eq!(subject.high_low("TWICE", minute + 59_999).await, [(4, 1, 999_999, 1_000_001)], "{name}");
        assert_eq!(subject.high_low("TWICE", minute + 60_000).await, [], "{name}: an empty minute");
        assert_eq!(subject.high_low("TWICE", minute - 1).await, [], "{name}: an empty minute");

        // More digits than a quick look tells apart.
        let close = [(1, "99999.99999998"), (2, "99999.99999999"), (3, "99999.99999997")];
        subject.write(&close.map(|(id, price)| trade("CLOSE", id, minute, price))).await;
        assert_eq!(subject.high_low("CLOSE", minute).await, [(3, 0, 2, 3)], "{name}");

        // The exchange's clock is ahead of the database's.
        let ahead = now().ms() + 2_000;
        subject.write(&[trade("AHEAD", 1, ahead - 5_000, "5"), trade("AHEAD", 2, ahead, "6")]).await;
        assert_eq!(subject.latest(&only("AHEAD")).await, [2], "{name}");
        assert_eq!(subject.at("AHEAD", now().ms() + 1_000).await, [2], "{name}");

        // Names with letters of other scripts and with signs.
        for symbol in ["币安人生USDT", "A.B-C_D"] {
            subject.write(&[trade(symbol, 7, minute, "5")]).await;
            assert_eq!(subject.latest(&only(symbol)).await, [7], "{name}");
            assert_eq!(subject.at(symbol, minute).await, [7], "{name}");
            assert_eq!(subject.high_low(symbol, minute).await, [(1, 0, 7, 7)], "{name}");
        }

        // The texts come back byte for byte.
        let exact = Trade {
            quantity: tickflux::trade::Quantity::new("0.00100").unwrap(),
            ..trade("EXACT", 1, minute, "100.5000")
        };
        subject.write(std::slice::from_ref(&exact)).await;
        let stored = subject.binance.latest(&only("EXACT")).await.unwrap();
        assert_eq!(stored, [StoredTrade { exchange: exchange("binance"), trade: exact }], "{name}");
    });
}

#[test]
fn gaps_are_found_wherever_they_are() {
    with_each_subject(async |subject| {
        let name = subject.name;
        let minute = minute_ago(30);
        let at = |symbol: &str, ids: &[(u64, i64)]| {
            ids.iter().map(|(id, ms)| trade(symbol, *id, minute + ms, "5")).collect::<Vec<_>>()
        };
        assert_eq!(subject.gaps("NOTHING", minute).await, [], "{name}");

        subject.write(&at("WHOLE", &[(7, 0), (8, 0), (9, 61_000), (10, 300_000)])).await;
        assert_eq!(subject.gaps("WHOLE", minute).await, [(7, 10, 4, 0, vec![])], "{name}");
        assert_eq!(subject.gaps("WHOLE", minute + 61_000).await, [(9, 10, 2, 0, vec![])], "{name}: since");

        // A hole that began before the time asked for, in its minute and long before it.
        subject.write(&at("SINCE", &[(7, 0), (10, 61_000), (11, 62_000)])).await;
        for since in [1, 30_000, 60_000, 61_000] {
            assert_eq!(subject.gaps("SINCE", minute + since).await, [(10, 11, 2, 0, vec![(8, 9)])], "{name}: {since}");
        }
        assert_eq!(subject.gaps("SINCE", minute + 61_001).await, [(11, 11, 1, 0, vec![])], "{name}");

        // Up to a time, which does not count itself: before everything, in a minute, behind everything.
        let whole = async |until| subject.gaps_between("WHOLE", minute, Some(minute + until)).await;
        assert_eq!(whole(0).await, [], "{name}");
        for until in [1, 60_000, 61_000] {
            assert_eq!(whole(until).await, [(7, 8, 2, 0, vec![])], "{name}: {until}");
        }
        assert_eq!(whole(61_001).await, [(7, 9, 3, 0, vec![])], "{name}");
        assert_eq!(whole(900_000).await, [(7, 10, 4, 0, vec![])], "{name}");

        // Inside a minute, between two, across empty ones.
        subject.write(&at("HOLES", &[(1, 0), (3, 5), (4, 59_999), (6, 60_000), (7, 600_000), (12, 900_000)])).await;
        let holes = vec![(2, 2), (5, 5), (8, 11)];
        assert_eq!(subject.gaps("HOLES", minute).await, [(1, 12, 6, 0, holes)], "{name}");

        // A hole hidden by a duplicate: the count of the minute is right.
        subject.write(&at("HIDDEN", &[(1, 0), (2, 10), (2, 20), (4, 30)])).await;
        assert_eq!(subject.gaps("HIDDEN", minute).await, [(1, 4, 4, 1, vec![(3, 3)])], "{name}");

        // As many duplicates as holes, and the same sum of ids.
        subject.write(&at("BALANCED", &[(1, 0), (1, 1), (3, 2), (5, 3), (5, 4)])).await;
        assert_eq!(subject.gaps("BALANCED", minute).await, [(1, 5, 5, 2, vec![(2, 2), (4, 4)])], "{name}");
        assert_eq!(subject.high_low("BALANCED", minute).await, [(5, 2, 1, 1)], "{name}");

        // More duplicates than ids; an id far above what sums of ids have room for.
        subject.write(&at("DOUBLE", &[(1, 0), (1, 1), (1, 2), (2, 3)])).await;
        assert_eq!(subject.gaps("DOUBLE", minute).await, [(1, 2, 4, 2, vec![])], "{name}");
        assert_eq!(subject.high_low("DOUBLE", minute).await, [(4, 0, 1, 1)], "{name}");
        let top = i64::MAX as u64;
        subject.write(&at("TOP", &[(top - 9, 0), (top - 8, 5), (top - 5, 10), (top, 70_000)])).await;
        let holes = vec![(top - 7, top - 6), (top - 4, top - 1)];
        assert_eq!(subject.gaps("TOP", minute).await, [(top - 9, top, 4, 0, holes)], "{name}");
        assert_eq!(subject.high_low("TOP", minute).await, [(3, 6, top - 9, top - 9)], "{name}");
        assert_eq!(subject.latest(&only("TOP")).await, [top], "{name}");
        assert_eq!(subject.at("TOP", minute + 4).await, [top - 8], "{name}");

        // A count that began again: an entry each, and nothing is missing between them.
        subject.write(&at("AGAIN", &[(5_000, 0), (5_002, 5), (1, 20), (2, 25), (4, 90_000), (1, 200_000)])).await;
        let counts = [(5_000, 5_002, 2, 0, vec![(5_001, 5_001)]), (1, 4, 4, 1, vec![(3, 3)])];
        assert_eq!(subject.gaps("AGAIN", minute).await, counts, "{name}");
        assert_eq!(subject.gaps("AGAIN", minute + 10).await, counts[1..], "{name}");
        // Asked from the middle of the minute in which it began again.
        let again = [(5_000, 1), (5_003, 5), (1, 20)];
        subject.write(&at("AGAIN_SINCE", &again)).await;
        let counts_since = [(5_003, 5_003, 1, 0, vec![(5_001, 5_002)]), (1, 1, 1, 0, vec![])];
        assert_eq!(subject.gaps("AGAIN_SINCE", minute + 2).await, counts_since, "{name}");
        assert_eq!(subject.high_low("AGAIN", minute).await, [(4, 2, 1, 1)], "{name}");
        assert_eq!(subject.high_low("AGAIN", minute + 60_000).await, [(1, 1, 4, 4)], "{name}");

        // The second half of a minute is missing.
        subject.write(&at("HALF", &[(10, -1), (11, 0), (12, 29_999), (20, 60_000)])).await;
        assert_eq!(subject.high_low("HALF", minute).await, [(2, 7, 11, 11)], "{name}");

        // An id that is stored in two minutes.
        subject.write(&at("TWICE", &[(1, 0), (2, 10), (2, 60_000), (3, 60_010)])).await;
        assert_eq!(subject.gaps("TWICE", minute).await, [(1, 3, 4, 1, vec![])], "{name}");

        // Across a million inside a millisecond; and an id whose time lies in the minute of others.
        subject.write(&at("CROSS", &[(999_999, 0), (1_000_000, 0), (1_000_002, 59_999), (1_000_001, 60_000)])).await;
        assert_eq!(subject.gaps("CROSS", minute).await, [(999_999, 1_000_002, 4, 0, vec![])], "{name}");
        // A point at the very nanosecond up to which is asked.
        subject.write(&at("EDGE", &[(1_999_999, 0), (2_000_000, 5_000)])).await;
        let edge = subject.gaps_between("EDGE", minute, Some(minute + 5_000)).await;
        assert_eq!(edge, [(1_999_999, 1_999_999, 1, 0, vec![])], "{name}");

        let all = subject.binance.gaps(&Scope::default(), time(minute), None).await.unwrap();
        assert_eq!(all.len(), 15, "{name}: a row for each count");
    });
}

#[test]
fn every_exchange_answers_with_a_row_of_its_own() {
    with_each_subject(async |subject| {
        let minute = minute_ago(10);
        subject.write(&[trade("BTCUSDT", 1, minute, "5"), trade("ETHUSDT", 2, minute, "5")]).await;
        subject.practice.write(&[trade("BTCUSDT", 3, minute, "5")], Attempt::default()).await.unwrap();
        let scope = |symbols: &[&str], named: Option<&str>| Scope {
            symbols: symbols.iter().map(|symbol| symbol.parse().unwrap()).collect(),
            exchange: named.map(exchange),
        };
        assert_eq!(subject.latest(&scope(&[], None)).await, [1, 2, 3], "{}", subject.name);
        assert_eq!(subject.latest(&scope(&["BTCUSDT"], None)).await, [1, 3], "{}", subject.name);
        assert_eq!(subject.latest(&scope(&[], Some("practice"))).await, [3], "{}", subject.name);
        assert_eq!(subject.latest(&scope(&["ETHUSDT"], Some("practice"))).await, NO_ID, "{}", subject.name);
        assert_eq!(subject.at("BTCUSDT", minute).await, [1, 3], "{}", subject.name);
        assert_eq!(subject.high_low("BTCUSDT", minute).await, [(1, 0, 1, 1), (1, 0, 3, 3)], "{}", subject.name);
    });
}

#[test]
fn a_running_minute_is_open_and_others_are_not() {
    with_each_subject(async |subject| {
        // Twice, in case the minute ends between writing and asking.
        for symbol in ["OPEN1", "OPEN2"] {
            let asked = now();
            subject.write(&[trade(symbol, 1, asked.ms(), "5"), trade(symbol, 2, minute_ago(3), "5")]).await;
            let open = |answers: Vec<tickflux::store::HighLow>| answers[0].open;
            assert!(!open(subject.binance.high_low(&only(symbol), time(minute_ago(3))).await.unwrap()));
            let is_open = open(subject.binance.high_low(&only(symbol), asked).await.unwrap());
            if now().ms() / 60_000 == asked.ms() / 60_000 {
                assert!(is_open, "{}", subject.name);
            }
        }
    });
}

#[test]
fn trades_past_the_retention_are_left_out_and_counted() {
    with_each_subject(async |subject| {
        let old = now().ms() - 24 * 3_600_000;
        let trades = [trade("OLD", 1, old - 300_000, "5"), trade("OLD", 2, old + 300_000, "5")];
        let attempt = Attempt { number: 0, exchange_time: Some(now()) };
        let written = subject.binance.write(&trades, attempt).await.unwrap();
        assert_eq!((written.expired.count(), written.refused.len()), (1, 0), "{}", subject.name);
        assert_eq!(subject.latest(&only("OLD")).await, [2], "{}", subject.name);
        assert_eq!(subject.at("OLD", old + 600_000).await, [2], "{}", subject.name);
    });
}

/// Trades with many in one millisecond, ids across a million, holes, duplicates, empty minutes, counts that begin again,
/// and few different prices.
fn random_trades(rng: &mut fastrand::Rng, symbol: &str, start: i64) -> Vec<Trade> {
    let mut id = 5_000_000 - rng.u64(0..400);
    let mut ms = start;
    let mut trades = Vec::new();
    for _ in 0..rng.usize(1..500) {
        ms += match rng.u32(0..400) {
            0 => rng.i64(60_000..200_000),
            1..100 => rng.i64(0..1_500),
            _ => 0,
        };
        match rng.u8(0..200) {
            // Later than the trade of the same id, and than the old count.
            0..4 => ms += 1,
            4 => (ms, id) = (ms + 1, rng.u64(0..5_000)),
            5..15 => id += rng.u64(2..5),
            _ => id += 1,
        }
        trades.push(trade(symbol, id, ms, &format!("{}.{}", rng.u8(1..4), rng.u8(0..6))));
    }
    trades
}

#[test]
fn random_trades_agree_with_a_plain_computation() {
    let seed = seed();
    with_each_subject(async |subject| {
        let mut rng = fastrand::Rng::with_seed(seed);
        for symbol in ["R1", "R2", "R3", "R4"] {
            let start = minute_ago(20) + rng.i64(0..60_000);
            let mut trades = random_trades(&mut rng, symbol, start);
            rng.shuffle(&mut trades);
            subject.write(&trades).await;
            // Again: nothing changes (P3).
            subject.write(&trades).await;
            let all: Vec<_> = trades.iter().collect();
            let one = |id: Option<u64>| id.into_iter().collect::<Vec<_>>();
            assert_eq!(subject.latest(&only(symbol)).await, one(oracle::latest(&all)), "{} {symbol}", subject.name);
            let end = all.iter().map(|trade| trade.time.ms()).max().unwrap();
            for _ in 0..25 {
                let asked = if rng.bool() {
                    rng.choice(&all).unwrap().time.ms() + rng.i64(-2..3)
                } else {
                    rng.i64(start - 9..end + 9)
                };
                let context = format!("{} {symbol} at {asked}", subject.name);
                assert_eq!(subject.at(symbol, asked).await, one(oracle::at(&all, asked)), "{context}");
                assert_eq!(subject.as_of(symbol, asked).await, one(oracle::as_of(&all, asked)), "{context} as of");
            }
            for since in [start - 2 * 3_600_000, start, rng.i64(start..=end), rng.choice(&all).unwrap().time.ms()] {
                let context = format!("{} {symbol} since {since}", subject.name);
                assert_eq!(subject.gaps(symbol, since).await, oracle::gaps(&all, since, i64::MAX), "{context}");
                let until = rng.choice(&all).unwrap().time.ms() + rng.i64(-1..2);
                let expected = oracle::gaps(&all, since, until);
                assert_eq!(subject.gaps_between(symbol, since, Some(until)).await, expected, "{context} until {until}");
            }
            let mut minute = start / 60_000 * 60_000;
            while minute <= end {
                let expected = oracle::high_low(&all, minute).into_iter().collect::<Vec<_>>();
                assert_eq!(
                    subject.high_low(symbol, minute + 30_000).await,
                    expected,
                    "{} {symbol} {minute}",
                    subject.name
                );
                minute += 60_000;
            }
        }
    });
}
