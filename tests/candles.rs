//! Candles: both stores, an archive, the command and the bundled file give what a plain computation over the trades gives.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::time::Duration;

use serde_json::Value;
use support::influxd::Influxd;
use support::{
    exchange, minute_ago, now, oracle, practice, runtime, seed, tickflux, trade, with_all_that_answer, with_each_store,
};
use tickflux::store::influx::flux_csv;
use tickflux::store::{Attempt, Candle, Interval, Scope, Store};
use tickflux::trade::{Quantity, Trade, TradeTime};

const HOUR_MS: i64 = 3_600_000;

/// A candle as the oracle gives it: begin, open, high, low, close, volume, trades.
type Plain = (i64, [f64; 4], f64, u64);

fn scope(symbol: &str) -> Scope {
    Scope { symbols: vec![symbol.parse().unwrap()], exchange: None }
}

async fn ask(store: &dyn Store, symbol: &str, since: i64, every: i64) -> Vec<Candle> {
    ask_until(store, symbol, since, None, every).await
}

async fn ask_until(store: &dyn Store, symbol: &str, since: i64, until: Option<i64>, every: i64) -> Vec<Candle> {
    let every = Interval::try_from(Duration::from_millis(every.unsigned_abs())).unwrap();
    let time = |ms| TradeTime::from_ms(ms).unwrap();
    store.candles(&scope(symbol), time(since), until.map(time), every).await.unwrap()
}

fn plain(candle: &Candle) -> Plain {
    let Candle { time, open, high, low, close, volume, trades, .. } = candle;
    (time.ms(), [*open, *high, *low, *close], *volume, *trades)
}

/// Everything exactly, only the sums up to the order in which they were added.
fn assert_same(found: &[Plain], expected: &[Plain], context: &str) {
    let exact = |candles: &[Plain]| candles.iter().map(|(time, prices, _, trades)| (*time, *prices, *trades)).collect();
    let (found_exact, expected_exact): (Vec<_>, Vec<_>) = (exact(found), exact(expected));
    assert_eq!(found_exact, expected_exact, "{context}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.2 - expected.2).abs() <= expected.2 * 1e-9, "{context}: volume {} {}", found.2, expected.2);
    }
}

#[test]
fn hand_made_cases() {
    with_all_that_answer(async |name, store, other| {
        let minute = minute_ago(10);
        let at = async |symbol: &str| ask(store, symbol, minute, 60_000).await.iter().map(plain).collect::<Vec<_>>();
        assert_same(&at("NOTHING").await, &[], name);

        // One trade; an empty minute; the last millisecond of a minute and the first of the next.
        let times = [(1, minute, "5"), (2, minute + 179_999, "6.5"), (3, minute + 180_000, "7")];
        store.write(&times.map(|(id, ms, price)| trade("BORDER", id, ms, price)), Attempt::default()).await.unwrap();
        let one = |begin, price: f64| (begin, [price; 4], 0.1, 1);
        let expected = [one(minute, 5.0), one(minute + 120_000, 6.5), one(minute + 180_000, 7.0)];
        assert_same(&at("BORDER").await, &expected, name);

        // The first and the last millisecond cross a multiple of a million: their points are not in the order of ids.
        let first = [(999_998, "5"), (999_999, "9"), (1_000_000, "4"), (1_000_001, "6")];
        store.write(&first.map(|(id, price)| trade("FIRST", id, minute, price)), Attempt::default()).await.unwrap();
        store.write(&[trade("FIRST", 1_000_002, minute + 9, "7")], Attempt::default()).await.unwrap();
        assert_same(&at("FIRST").await, &[(minute, [5.0, 9.0, 4.0, 7.0], 0.5, 5)], name);
        store.write(&[trade("LAST", 999_997, minute, "7")], Attempt::default()).await.unwrap();
        store
            .write(&first.map(|(id, price)| trade("LAST", id, minute + 59_999, price)), Attempt::default())
            .await
            .unwrap();
        assert_same(&at("LAST").await, &[(minute, [7.0, 9.0, 4.0, 6.0], 0.5, 5)], name);

        // The exchange's clock is ahead of the database's.
        let ahead = now().ms() + 2_000;
        store.write(&[trade("AHEAD", 1, ahead, "5")], Attempt::default()).await.unwrap();
        assert_same(&at("AHEAD").await, &[one(ahead / 60_000 * 60_000, 5.0)], name);

        // A row for each exchange and symbol in scope.
        store.write(&[trade("BOTH", 1, minute, "5")], Attempt::default()).await.unwrap();
        other.write(&[trade("BOTH", 2, minute, "6")], Attempt::default()).await.unwrap();
        let found = ask(store, "BOTH", minute, 60_000).await;
        let found: Vec<_> = found.iter().map(|candle| (candle.exchange.as_str(), candle.open)).collect();
        assert_eq!(found, [("binance", 5.0), ("practice", 6.0)], "{name}");
        let practice = Scope { exchange: Some(exchange("practice")), ..Scope::default() };
        let since = TradeTime::from_ms(minute).unwrap();
        let hour = Interval::try_from(Duration::from_secs(3_600)).unwrap();
        let found = store.candles(&practice, since, None, hour).await.unwrap();
        assert_eq!(found.iter().map(|candle| candle.symbol.as_str()).collect::<Vec<_>>(), ["BOTH"], "{name}");
    });
}

#[test]
fn a_trade_past_the_retention_is_in_no_candle() {
    with_each_store(async |name, store, _| {
        // InfluxDB shows an expired point for a while.
        let bound = now().ms() - 24 * HOUR_MS;
        let trades = [trade("OLD", 1, bound + 2_000, "9"), trade("OLD", 2, bound + 5_000, "5")];
        assert_eq!(store.write(&trades, Attempt::default()).await.unwrap().expired.count(), 0);
        while now().ms() - 24 * HOUR_MS < bound + 2_500 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for every in [1_000, HOUR_MS, 24 * HOUR_MS] {
            let found: Vec<_> = ask(store, "OLD", bound - HOUR_MS, every).await.iter().map(plain).collect();
            let begin = (bound + 5_000) / every * every;
            assert_same(&found, &[(begin, [5.0; 4], 0.1, 1)], &format!("{name}, every {every}"));
        }
    });
}

/// Trades with many in one millisecond, ids across a million, holes, and few different prices.
fn random_trades(rng: &mut fastrand::Rng, symbol: &str, start: i64) -> Vec<Trade> {
    let (mut id, mut ms) = (5_000_000 - rng.u64(0..400), start);
    let mut trades = Vec::new();
    for _ in 0..rng.usize(1..500) {
        ms += if rng.u8(0..4) == 0 { rng.i64(0..1_500) } else { 0 };
        id += if rng.u8(0..20) == 0 { rng.u64(2..5) } else { 1 };
        let quantity = Quantity::new(&format!("0.{:05}", rng.u32(1..100_000))).unwrap();
        trades.push(Trade { quantity, ..trade(symbol, id, ms, &format!("{}.{}", rng.u8(1..4), rng.u8(0..6))) });
    }
    trades
}

#[test]
fn random_trades_agree_with_a_plain_computation() {
    let seed = seed();
    with_all_that_answer(async |name, store, _| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut expected_of_all = Vec::new();
        for symbol in ["R1", "R2", "R3"] {
            let start = minute_ago(20) + rng.i64(0..60_000);
            let mut trades = random_trades(&mut rng, symbol, start);
            rng.shuffle(&mut trades);
            store.write(&trades, Attempt::default()).await.unwrap();
            let all: Vec<_> = trades.iter().collect();
            let end = all.iter().map(|trade| trade.time.ms()).max().unwrap();
            for every in [1_000, 1_001, 7_000, 60_000, 90_500, HOUR_MS] {
                for since in [start - HOUR_MS, rng.i64(start..=end), rng.choice(&all).unwrap().time.ms()] {
                    let mut expected = oracle::candles(&all, since / every * every, every);
                    let context = format!("{name} {symbol} since {since} every {every}");
                    let found: Vec<_> = ask(store, symbol, since, every).await.iter().map(plain).collect();
                    assert_same(&found, &expected, &context);
                    // Up to a time: those that begin before it, and the last one is whole.
                    let until =
                        rng.choice(&all).unwrap().time.ms() / every * every + rng.choice([0, 1, every]).unwrap();
                    expected.retain(|(begin, ..)| *begin < until);
                    let found = ask_until(store, symbol, since, Some(until), every).await;
                    assert_same(
                        &found.iter().map(plain).collect::<Vec<_>>(),
                        &expected,
                        &format!("{context} until {until}"),
                    );
                }
            }
            expected_of_all.extend(oracle::candles(&all, 0, 60_000));
        }
        // Several symbols at once, most of them with an id across a million.
        let minute = Interval::try_from(Duration::from_secs(60)).unwrap();
        let found = store.candles(&Scope::default(), TradeTime::EPOCH, None, minute).await.unwrap();
        let found: Vec<_> = found.iter().map(plain).collect();
        assert_same(&found, &expected_of_all, &format!("{name}, every symbol"));
    });
}

#[test]
fn the_command_and_the_bundled_file_say_what_the_exchanges_own_list_says() {
    check_command("sqlite:trades.db");
    let Some(influxd) = Influxd::start() else { return };
    let lists = check_command(&influxd.url);
    let csv = influxd.influx_ok(&["query", "--raw", "--file", "flux/candles.flux"]);
    let rows = flux_csv::rows(&support::trades::without_annotations(&csv)).unwrap();
    for list in lists {
        let symbol = list[0].symbol.as_str();
        let expected = oracle::candles(&list.iter().collect::<Vec<_>>(), 0, 60_000);
        let of_symbol = rows.iter().filter(|row| row.text("symbol").unwrap() == symbol);
        let found: Vec<_> = of_symbol.map(|row| from_texts(|column| row.text(column).unwrap().to_owned())).collect();
        assert_same(&found, &expected, &format!("candles.flux {symbol}"));
    }
}

/// Captures a market into `store` and asks the command about it; gives the exchange's own list of each symbol.
fn check_command(store: &str) -> [Vec<Trade>; 2] {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(31, 20_000)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let capture = ["capture", "--exchange", "practice", "--stream-url", &stream, "--rest-url", &rest];
    let ends = ["--store", store, "--count", "20000", "--duration", "2m"];
    let output = tickflux(folder.path(), &[&capture[..], &ends].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    [("BTCUSDT", "1m", 60_000), ("ETHUSDT", "1s", 1_000)].map(|(symbol, every, every_ms)| {
        let list = exchange.trades(&symbol.parse().unwrap());
        let expected = oracle::candles(&list.iter().collect::<Vec<_>>(), 0, every_ms);
        let printed = |format: &str| {
            let args = ["candles", symbol, "--store", store, "--every", every, "--format", format];
            String::from_utf8(tickflux(folder.path(), &args).stdout).unwrap()
        };
        let rows: Vec<Value> = printed("json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: Vec<_> = rows.iter().map(|row| from_texts(|column| row[column].to_string())).collect();
        assert_same(&found, &expected, &format!("{store} {symbol}"));
        let keys: Vec<_> = rows[0].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["exchange", "symbol", "time", "open", "high", "low", "close", "volume", "trades"]);
        assert!(rows.iter().all(|row| row["symbol"] == symbol && row["trades"].is_u64()));
        let csv = printed("csv");
        assert!(csv.starts_with(&format!("{}\npractice,{symbol},", keys.join(","))), "{csv}");
        assert_eq!(csv.lines().count(), 1 + expected.len());
        let table = printed("table");
        assert!(table.contains("| exchange |") && table.contains("| practice |"), "{table}");
        list
    })
}

/// A candle from the texts of its columns; a JSON string is still in its quotes.
fn from_texts(text: impl Fn(&'static str) -> String) -> Plain {
    let float = |column| text(column).parse().unwrap();
    let time = chrono::DateTime::parse_from_rfc3339(text("time").trim_matches('"')).unwrap();
    let prices = ["open", "high", "low", "close"].map(float);
    (time.timestamp_millis(), prices, float("volume"), text("trades").parse().unwrap())
}
