//! The minutes of each store, and of an archive, are what a plain computation over the trades gives, and its sums tell what they can tell.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;
use tickflux::binance::rest::{Kline, read_recorded};
use tickflux::store::minutes::{Account, Minute};
use tickflux::store::{Attempt, Scope, Store};
use tickflux::trade::{Quantity, Trade, TradeTime};
use tickflux::verify::{Comparison, Field, compare};

use crate::kit::{MINUTE, klines, minute_of};
use crate::support::{minute_ago, now, seed, trade, with_all_that_answer, with_each_store};

async fn ask(store: &dyn Store, symbol: &str, since: i64, until: i64) -> Vec<Minute> {
    let scope = Scope { symbols: vec![symbol.parse().unwrap()], exchange: None };
    let time = |ms| TradeTime::from_ms(ms).unwrap();
    store.minutes(&scope, time(since), time(until)).await.unwrap()
}

fn candles(trades: &[Trade]) -> Vec<Kline> {
    let rows: Vec<Value> = klines(trades);
    rows.chunks(1_000).flat_map(|rows| read_recorded(&serde_json::to_vec(rows).unwrap()).unwrap().remove(0)).collect()
}

/// Start, trades, lowest and highest id, open and close.
type Plain = (i64, u64, u64, u64, Decimal, Decimal);

fn plain(minute: &Minute) -> Plain {
    let (open, close) = match &minute.account {
        Account::Exact(account) => (account.open, account.close),
        Account::Sums(account) => (account.open.unwrap(), account.close.unwrap()),
    };
    let ids = minute.ids;
    (minute.start.ms(), minute.trades, ids.first, ids.last, open.to_decimal(), close.to_decimal())
}

fn expected(trades: &[Trade]) -> Vec<Plain> {
    let mut minutes: BTreeMap<i64, Vec<&Trade>> = BTreeMap::new();
    for trade in trades {
        minutes.entry(minute_of(trade)).or_default().push(trade);
    }
    let plain = |(start, mut inside): (i64, Vec<&Trade>)| {
        inside.sort_by_key(|trade| (trade.time, trade.id));
        let ids = || inside.iter().map(|trade| trade.id.get());
        let price = |trade: &Trade| trade.price.to_decimal();
        let edges = (price(inside[0]), price(inside[inside.len() - 1]));
        (start, inside.len() as u64, ids().min().unwrap(), ids().max().unwrap(), edges.0, edges.1)
    };
    minutes.into_iter().map(plain).collect()
}

/// Trades with many in one millisecond, ids across a million, holes, and few different prices.
fn random_trades(rng: &mut fastrand::Rng, symbol: &str, count: usize, start: i64, length: i64) -> Vec<Trade> {
    let mut id = 5_000_000 - rng.u64(0..count as u64);
    let mut times: Vec<_> = (0..count).map(|_| start + rng.i64(0..length) / 7 * 7).collect();
    times.sort_unstable();
    let mut make = |ms| {
        id += if rng.u8(0..50) == 0 { rng.u64(2..5) } else { 1 };
        let quantity = Quantity::new(&format!("{}.{:05}", rng.u8(0..3), rng.u32(1..100_000))).unwrap();
        Trade { quantity, ..trade(symbol, id, ms, &format!("{}.{}", rng.u8(1..4), rng.u8(0..6))) }
    };
    times.into_iter().map(&mut make).collect()
}

#[test]
fn the_minutes_of_each_store_are_those_of_its_trades() {
    let seed = seed();
    with_all_that_answer(async |name, store, _| {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Few trades are read one by one, many are added up by the engine.
        for (symbol, count, minutes) in [("FEW", 900, 20), ("MANY", 12_000, 190)] {
            let mut trades = random_trades(&mut rng, symbol, count, minute_ago(200), minutes * MINUTE);
            rng.shuffle(&mut trades);
            for chunk in trades.chunks(5_000) {
                store.write(chunk, Attempt::default()).await.unwrap();
            }
            let found = ask(store, symbol, minute_ago(300), minute_ago(-1)).await;
            assert_eq!(found.iter().map(plain).collect::<Vec<_>>(), expected(&trades), "{name} {symbol}");
            for (minute, candle) in found.iter().zip(candles(&trades)) {
                assert_eq!(compare(minute, &candle), Comparison::Same, "{name}: {minute:?} {candle:?}");
            }
            // A part of them.
            let (since, until) = (minute_ago(195), minute_ago(185));
            let inside = |trade: &&Trade| (since..until).contains(&trade.time.ms());
            let inside: Vec<_> = trades.iter().filter(inside).cloned().collect();
            let found: Vec<_> = ask(store, symbol, since, until).await.iter().map(plain).collect();
            assert_eq!(found, expected(&inside), "{name} {symbol}");
        }
        assert_eq!(ask(store, "NOTHING", minute_ago(10), minute_ago(0)).await, [], "{name}");
        assert_eq!(ask(store, "FEW", minute_ago(10), minute_ago(20)).await, [], "{name}");
    });
}

/// What a storage engine's sums agree with is so, but for what they do not tell; what else is changed has to be read.
#[test]
fn sums_are_unsure_of_whatever_they_see_changed() {
    with_all_that_answer(async |name, store, _| {
        let start = minute_ago(30);
        let mut rng = fastrand::Rng::with_seed(seed());
        let trades = random_trades(&mut rng, "SUMS", 6_000, start, MINUTE);
        for chunk in trades.chunks(5_000) {
            store.write(chunk, Attempt::default()).await.unwrap();
        }
        let minute = ask(store, "SUMS", start, start + MINUTE).await.remove(0);
        let candle = candles(&trades).remove(0);
        assert_eq!(compare(&minute, &candle), Comparison::Same, "{name}");
        let step = Decimal::new(1, 8);
        for field in [Field::Trades, Field::Open, Field::High, Field::Low, Field::Close, Field::Volume] {
            let mut other = candle.clone();
            match field {
                Field::Trades => other.trades += 1,
                Field::Open => other.open += step,
                Field::High => other.high += step,
                Field::Low => other.low -= step,
                Field::Close => other.close -= step,
                _ => other.volume -= step,
            }
            let expected = match minute.account {
                Account::Exact(_) => Comparison::Different(vec![field]),
                Account::Sums(_) => Comparison::Unsure,
            };
            assert_eq!(compare(&minute, &other), expected, "{name}: {field:?}");
        }
        // These InfluxQL adds up; of the first it sees no more than what the rounding of floats leaves.
        for (field, step) in [(Field::QuoteVolume, Decimal::new(1, 7)), (Field::TakerBuyVolume, step)] {
            let mut other = candle.clone();
            *(if field == Field::QuoteVolume { &mut other.quote_volume } else { &mut other.taker_buy_volume }) += step;
            let expected = match minute.account {
                Account::Exact(_) => Comparison::Different(vec![field]),
                Account::Sums(_) => Comparison::Unsure,
            };
            assert_eq!(compare(&minute, &other), expected, "{name}: {field:?}");
        }
    });
}

#[test]
fn a_minute_past_the_retention_is_left_out() {
    with_each_store(async |name, store, _| {
        // InfluxDB shows an expired point for a while.
        let bound = now().ms() - 24 * 60 * MINUTE;
        let trades = [trade("OLD", 1, bound + 2_000, "9"), trade("OLD", 2, bound + 2 * MINUTE, "5")];
        assert_eq!(store.write(&trades, Attempt::default()).await.unwrap().expired.count(), 0);
        while now().ms() - 24 * 60 * MINUTE < bound + 2_500 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let found: Vec<_> = ask(store, "OLD", bound - MINUTE, minute_ago(0)).await.iter().map(plain).collect();
        assert_eq!(found, expected(&trades[1..]), "{name}");
    });
}
