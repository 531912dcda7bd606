//! `flux/volume.flux`: what it adds up is what a plain computation over the trades gives, and a graph has the same numbers.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::influxd::{BUCKET, Influxd};
use support::{column, minute_ago, now, runtime, seed, tickflux_ok, trade};
use tickflux::store::{Attempt, Store};
use tickflux::trade::{Quantity, Trade};

const HOUR_MS: i64 = 3_600_000;

/// Trades, volume, taker buy, taker sell, vwap.
type Plain = (u64, [f64; 4]);

/// The windows from the one that holds `since` on, by symbol and begin.
fn plain(trades: &[Trade], since: i64, every: i64) -> BTreeMap<(String, i64), Plain> {
    let mut sums: BTreeMap<(String, i64), (u64, [f64; 3])> = BTreeMap::new();
    for trade in trades.iter().filter(|trade| trade.time.ms() >= since / every * every) {
        let begin = trade.time.ms() / every * every;
        let (count, [bought, sold, turnover]) = sums.entry((trade.symbol.to_string(), begin)).or_default();
        let quantity: f64 = trade.quantity.as_str().parse().unwrap();
        *count += 1;
        *(if trade.buyer_is_maker { sold } else { bought }) += quantity;
        *turnover += trade.price.as_str().parse::<f64>().unwrap() * quantity;
    }
    let windows = sums.into_iter().map(|(key, (count, [bought, sold, turnover]))| {
        (key, (count, [bought + sold, bought, sold, turnover / (bought + sold)]))
    });
    windows.collect()
}

struct Asked<'a> {
    influxd: &'a Influxd,
    folder: &'a Path,
}

impl Asked<'_> {
    /// The columns of the file with these parameters.
    fn columns<const N: usize>(&self, args: &[&str], names: [&str; N]) -> Vec<[String; N]> {
        let path = self.folder.join("asked.flux");
        std::fs::write(&path, tickflux_ok(self.folder, &[&["flux", "volume"], args].concat())).unwrap();
        let csv = self.influxd.influx_ok(&["query", "--raw", "--file", path.to_str().unwrap()]);
        let columns = names.map(|name| if csv.trim().is_empty() { Vec::new() } else { column(&csv, name) });
        (0..columns[0].len()).map(|row| columns.each_ref().map(|column| column[row].clone())).collect()
    }

    fn windows(&self, args: &[&str]) -> BTreeMap<(String, i64), Plain> {
        let names = ["symbol", "time", "trades", "volume", "taker_buy", "taker_sell", "vwap"];
        let rows = self.columns(args, names).into_iter().map(|[symbol, time, trades, rest @ ..]| {
            ((symbol, ms(&time)), (trades.parse().unwrap(), rest.map(|float| float.parse().unwrap())))
        });
        rows.collect()
    }
}

fn ms(time: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp_millis()
}

/// Everything but the sums exactly, and those up to the order in which they were added.
fn assert_same(found: &BTreeMap<(String, i64), Plain>, expected: &BTreeMap<(String, i64), Plain>, context: &str) {
    let counts = |windows: &BTreeMap<(String, i64), Plain>| {
        windows.iter().map(|(key, (count, _))| (key.clone(), *count)).collect::<Vec<_>>()
    };
    assert_eq!(counts(found), counts(expected), "{context}");
    for (key, (_, floats)) in found {
        let expected = expected[key].1;
        let is_near = floats.iter().zip(expected).all(|(one, other)| (one - other).abs() <= other * 1e-9);
        assert!(is_near, "{context} {key:?}: {floats:?} {expected:?}");
    }
}

/// Trades over `span_ms`, of either side, some in one millisecond, in stretches of one side alone.
fn random_trades(rng: &mut fastrand::Rng, symbol: &str, begin: i64, count: u64, span_ms: i64) -> Vec<Trade> {
    let mut times: Vec<_> = (0..count).map(|_| begin + rng.i64(0..span_ms) / 10 * 10).collect();
    times.sort_unstable();
    let make = |(at, ms): (usize, i64)| {
        let quantity = Quantity::new(&format!("{}.{:05}", rng.u8(0..3), rng.u32(1..100_000))).unwrap();
        let buyer_is_maker = if at % 1_000 < 200 { at % 2_000 < 200 } else { rng.bool() };
        let price = format!("{}.{:02}", rng.u32(86_000..88_000), rng.u8(0..100));
        Trade { quantity, buyer_is_maker, ..trade(symbol, at as u64 + 1, ms, &price) }
    };
    times.into_iter().enumerate().map(make).collect()
}

#[test]
fn it_agrees_with_a_plain_computation() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder, seed) = (runtime(), tempfile::tempdir().unwrap(), seed());
    let asked = Asked { influxd: &influxd, folder: folder.path() };
    assert_eq!(asked.windows(&[]), BTreeMap::new(), "an empty bucket");

    // Few trades are read one by one, many are added up by the engine and by the hour.
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut trades = random_trades(&mut rng, "FEW", minute_ago(100), 300, 90 * 60_000);
    trades.extend(random_trades(&mut rng, "MANY", minute_ago(200), 12_000, 190 * 60_000));
    // One window has no buyer at all.
    trades.push(Trade { buyer_is_maker: true, ..trade("LONE", 1, minute_ago(9), "5") });
    let store = influxd.store(BUCKET, "practice");
    for chunk in trades.chunks(5_000) {
        runtime.block_on(store.write(chunk, Attempt::default())).unwrap();
    }
    for (every, every_ms) in [("1m", 60_000), ("7s", 7_000), ("90m", 90 * 60_000), ("24h", 24 * HOUR_MS)] {
        for symbols in ["FEW", "MANY", "LONE", "FEW,MANY,LONE"] {
            let of: Vec<_> = trades.iter().filter(|trade| symbols.contains(trade.symbol.as_str())).cloned().collect();
            let since = minute_ago(150) + rng.i64(0..60_000);
            let since_text = tickflux::trade::TradeTime::from_ms(since).unwrap().to_string();
            // Nothing is older than a day.
            let from = (since / every_ms * every_ms).max(now().ms() - 24 * HOUR_MS);
            let kept: Vec<_> = of.into_iter().filter(|trade| trade.time.ms() >= from).collect();
            let found = asked.windows(&["--symbol", symbols, "--every", every, "--since", &since_text]);
            assert_same(&found, &plain(&kept, since, every_ms), &format!("{symbols} every {every} since {since}"));
        }
    }

    // As a graph: the same numbers, named by _field.
    let args = ["--symbol", "FEW", "--every", "1m", "--since", "3h"];
    let rows = asked.columns(&[&args[..], &["--graph"]].concat(), ["symbol", "_time", "_field", "_value"]);
    let expected: Vec<_> = asked.windows(&args).into_iter().collect();
    assert_eq!(rows.len(), expected.len() * 3);
    for ((symbol, begin), (_, floats)) in expected {
        for (name, float) in ["volume", "taker_buy", "taker_sell"].into_iter().zip(floats) {
            let of = |row: &&[String; 4]| row[0] == symbol && ms(&row[1]) == begin && row[2] == name;
            let value: f64 = rows.iter().find(of).unwrap()[3].parse().unwrap();
            assert!((value - float).abs() <= float * 1e-9, "{name} {value} {float}");
        }
    }
}
