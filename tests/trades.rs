//! The trades themselves: both stores hand over exactly what the exchange's own list has, in the order of
//! (T, id), whatever is between them.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::ops::ControlFlow;

use support::{exchange, minute_ago, now, seed, trade, with_each_store};
use tickflux::store::{Attempt, Scope, Store, StoredTrade};
use tickflux::trade::{Quantity, Trade, TradeTime};

const HOUR_MS: i64 = 3_600_000;

fn time(ms: i64) -> TradeTime {
    TradeTime::from_ms(ms).unwrap()
}

fn only(symbol: &str) -> Scope {
    Scope { symbols: vec![symbol.parse().unwrap()], exchange: None }
}

/// What a store hands over, `most` at most.
async fn read(store: &dyn Store, scope: &Scope, since: i64, until: Option<i64>, most: usize) -> Vec<StoredTrade> {
    let mut found = Vec::new();
    let mut keep = |trade| {
        found.push(trade);
        if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    store.trades(scope, time(since), until.map(time), &mut keep).await.unwrap();
    found
}

async fn ids(store: &dyn Store, symbol: &str, since: i64, until: Option<i64>) -> Vec<u64> {
    let found = read(store, &only(symbol), since, until, usize::MAX).await;
    found.iter().map(|stored| stored.trade.id.get()).collect()
}

/// The same by plain computation: sorted by (T, id).
fn expected(trades: &[Trade], since: i64, until: i64) -> Vec<Trade> {
    let mut kept: Vec<_> = trades.iter().filter(|trade| (since..until).contains(&trade.time.ms())).cloned().collect();
    kept.sort_by_key(|trade| (trade.time, trade.id));
    kept
}

#[test]
fn hand_made_cases() {
    with_each_store(async |name, store, other| {
        let minute = minute_ago(10);
        let write = async |trades: &[Trade]| drop(store.write(trades, Attempt::default()).await.unwrap());
        assert_eq!(ids(store, "NOTHING", minute, None).await, [0; 0], "{name}");

        // The edges: from the first millisecond on, up to but not including the last.
        write(&[1, 2, 3].map(|id| trade("EDGES", id, minute + 1_000 * id as i64, "5"))).await;
        for (since, until, found) in [
            (0, None, &[1, 2, 3][..]),
            (1_000, None, &[1, 2, 3]),
            (1_001, None, &[2, 3]),
            (1_000, Some(3_000), &[1, 2]),
            (1_000, Some(3_001), &[1, 2, 3]),
            (2_000, Some(2_001), &[2]),
            (2_000, Some(2_000), &[]),
            (2_001, Some(2_999), &[]),
            (2_001, Some(2_000), &[]),
            (4_000, None, &[]),
            (-20 * HOUR_MS, Some(20 * HOUR_MS), &[1, 2, 3]),
        ] {
            let context = format!("{name} {since} {until:?}");
            assert_eq!(ids(store, "EDGES", minute + since, until.map(|ms| minute + ms)).await, found, "{context}");
        }

        // Inside a millisecond across a million: the point with the largest time is not the one with the largest id.
        let crossing = [(999_998, 0), (999_999, 0), (1_000_000, 0), (1_000_001, 0), (1_000_002, 1)];
        write(&crossing.map(|(id, ms)| trade("CROSS", id, minute + ms, "5"))).await;
        let all = [999_998, 999_999, 1_000_000, 1_000_001, 1_000_002];
        assert_eq!(ids(store, "CROSS", minute, None).await, all, "{name}");
        assert_eq!(ids(store, "CROSS", minute, Some(minute + 1)).await, all[..4], "{name}");

        // The order is that of (T, id): neither that of ids nor that of writing.
        write(&[(9, 5), (7, 6), (8, 6), (1, 7), (100, 4)].map(|(id, ms)| trade("ORDER", id, minute + ms, "5"))).await;
        assert_eq!(ids(store, "ORDER", minute, None).await, [100, 9, 7, 8, 1], "{name}");

        // Hours without a trade between.
        let far = [(1, -9 * HOUR_MS), (2, -9 * HOUR_MS + 1), (3, -HOUR_MS), (4, 0)];
        write(&far.map(|(id, ms)| trade("FAR", id, minute + ms, "5"))).await;
        assert_eq!(ids(store, "FAR", minute - 10 * HOUR_MS, None).await, [1, 2, 3, 4], "{name}");

        // The exchange's clock is ahead of the database's.
        write(&[trade("AHEAD", 1, now().ms() + 2_000, "5")]).await;
        assert_eq!(ids(store, "AHEAD", minute, None).await, [1], "{name}");

        // Series after series, by exchange and symbol; who breaks gets no more.
        write(&[(2, 1), (1, 0)].map(|(id, ms)| trade("BOTH", id, minute + ms, "5"))).await;
        let trades = [trade("BOTH", 3, minute, "6"), trade("ALSO", 4, minute + 5, "6")];
        other.write(&trades, Attempt::default()).await.unwrap();
        let series = |found: &[StoredTrade]| {
            let of = |stored: &StoredTrade| (stored.exchange.to_string(), stored.trade.id.get());
            found.iter().map(of).collect::<Vec<_>>()
        };
        let of = |exchange: &str, id| (exchange.to_owned(), id);
        for hours in [0, 20] {
            let since = minute - hours * HOUR_MS;
            let found = read(store, &only("BOTH"), since, Some(minute + 9), usize::MAX).await;
            assert_eq!(series(&found), [of("binance", 1), of("binance", 2), of("practice", 3)], "{name}");
            let practice = Scope { exchange: Some(exchange("practice")), ..Scope::default() };
            let found = read(store, &practice, since, Some(minute + 9), usize::MAX).await;
            assert_eq!(series(&found), [of("practice", 4), of("practice", 3)], "{name}");
        }
        for most in 1..3 {
            assert_eq!(read(store, &only("BOTH"), minute, None, most).await.len(), most, "{name}");
        }

        // The texts come back byte for byte.
        let exact = Trade { quantity: Quantity::new("0.00100").unwrap(), ..trade("EXACT", 1, minute, "0100.5000") };
        write(std::slice::from_ref(&exact)).await;
        let found = read(store, &only("EXACT"), minute, None, usize::MAX).await;
        assert_eq!(found, [StoredTrade { exchange: exchange("binance"), trade: exact }], "{name}");
    });
}

#[test]
fn a_trade_past_the_retention_is_not_handed_over() {
    with_each_store(async |name, store, _| {
        let bound = now().ms() - 24 * HOUR_MS;
        let trades = [trade("OLD", 1, bound + 2_000, "9"), trade("OLD", 2, bound + 9_000, "5")];
        assert_eq!(store.write(&trades, Attempt::default()).await.unwrap().expired.count(), 0);
        while now().ms() - 24 * HOUR_MS < bound + 2_500 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(ids(store, "OLD", bound - HOUR_MS, None).await, [2], "{name}");
    });
}

/// Trades with many in one millisecond, ids across a million, holes, and hours without one.
fn random_trades(rng: &mut fastrand::Rng, symbol: &str, start: i64, count: usize) -> Vec<Trade> {
    let (mut id, mut ms) = (5_000_000 - rng.u64(0..400), start);
    let mut trades = Vec::new();
    for _ in 0..count {
        ms += match rng.u32(0..1_000) {
            0 => rng.i64(0..600_000),
            1..200 => rng.i64(0..1_500),
            _ => 0,
        };
        id += if rng.u8(0..20) == 0 { rng.u64(2..5) } else { 1 };
        let quantity = Quantity::new(&format!("0.{:05}", rng.u32(1..100_000))).unwrap();
        trades.push(Trade { quantity, ..trade(symbol, id, ms, &format!("{}.{}", rng.u8(1..4), rng.u8(0..6))) });
    }
    trades
}

#[test]
fn random_trades_agree_with_a_plain_computation() {
    let seed = seed();
    with_each_store(async |name, store, _| {
        let mut rng = fastrand::Rng::with_seed(seed);
        for symbol in ["R1", "R2", "R3"] {
            let start = minute_ago(23 * 60) + rng.i64(0..60_000);
            let count = rng.usize(1..12_000);
            let mut trades = random_trades(&mut rng, symbol, start, count);
            let end = trades[count - 1].time.ms();
            rng.shuffle(&mut trades);
            store.write(&trades, Attempt::default()).await.unwrap();
            for _ in 0..6 {
                let since = if rng.bool() { rng.i64(start - 9..=end) } else { rng.choice(&trades).unwrap().time.ms() };
                let until = rng.choice(&trades).unwrap().time.ms() + rng.i64(-1..2);
                let context = format!("{name} {symbol} {since} {until}");
                let found = read(store, &only(symbol), since, Some(until), usize::MAX).await;
                let found: Vec<_> = found.into_iter().map(|stored| stored.trade).collect();
                assert!(found == expected(&trades, since, until), "{context}");
            }
        }
    });
}

/// More than InfluxDB is asked for at once: by minutes, by parts of a minute, and in halves where it was not known.
#[test]
fn many_trades_come_in_parts_and_none_is_lost_between_them() {
    with_each_store(async |name, store, _| {
        let minute = minute_ago(60);
        // A quiet time, a minute with more than a stretch holds, and one with more than an answer may have.
        let quiet = (0..60_000_i64).map(|at| minute - 1_200_000 + at * 20);
        let busy = (0..70_000_i64).map(|at| minute + at * 59_999 / 70_000);
        let burst = (0..210_000_i64).map(|at| minute + 60_000 + at / 20);
        let times = quiet.chain(busy).chain(burst);
        let trades: Vec<_> = (0_u64..).zip(times).map(|(at, ms)| trade("MANY", 6_900_000 + at, ms, "5")).collect();
        for part in trades.chunks(20_000) {
            store.write(part, Attempt::default()).await.unwrap();
        }
        let numbers = |found: Vec<StoredTrade>| {
            found.iter().map(|stored| (stored.trade.time.ms(), stored.trade.id.get())).collect::<Vec<_>>()
        };
        for (since, until) in [(minute - 2 * HOUR_MS, minute + HOUR_MS), (minute + 60_000, minute + 120_000)] {
            let found = numbers(read(store, &only("MANY"), since, Some(until), usize::MAX).await);
            let expected: Vec<_> =
                expected(&trades, since, until).iter().map(|trade| (trade.time.ms(), trade.id.get())).collect();
            assert_eq!(found.len(), expected.len(), "{name}");
            assert!(found == expected, "{name}");
        }
    });
}
