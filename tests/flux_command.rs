//! `tickflux flux`: what it prints is the bundled file with its parameters set, and the influx CLI runs it as it is.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::path::Path;

use support::influxd::{BUCKET, Influxd};
use support::{column, minute_ago, runtime, tickflux, tickflux_ok, trade};
use tickflux::store::{Attempt, Store};
use tickflux::trade::TradeTime;

fn at(ms: i64) -> String {
    TradeTime::from_ms(ms).unwrap().to_string()
}

fn printed(folder: &Path, args: &[&str]) -> String {
    tickflux_ok(folder, &[&["flux"], args].concat())
}

#[test]
fn without_parameters_it_is_the_file_itself() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in [
        ("latest", "latest"),
        ("price-at", "price_at"),
        ("high-low", "high_low"),
        ("candles", "candles"),
        ("volume", "volume"),
        ("minutes", "minutes"),
        ("gaps", "gaps"),
        ("trades", "trades"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("flux").join(file).with_extension("flux");
        assert_eq!(printed(folder.path(), &[name]), std::fs::read_to_string(path).unwrap(), "{name}");
    }
}

#[test]
fn what_a_file_does_not_have_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    for (args, words) in [
        (&["latest", "--time", "-5m"][..], "latest.flux has no parameter time"),
        (&["high-low", "--as-of"], "high_low.flux has no parameter as_of"),
        (&["price-at", "--every", "1m"], "price_at.flux has no parameter every"),
        (&["candles", "--until", "1m"], "candles.flux has no parameter until"),
        (&["trades", "--time", "1m"], "trades.flux has no parameter time"),
        (&["latest", "--bucket", "_monitoring"], "--bucket"),
        (&["latest", "--symbol", "BTC/USDT"], "is not a name"),
        (&["nosuch"], "nosuch"),
    ] {
        let output = tickflux(folder.path(), &[&["flux"], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{args:?}: {stderr}");
    }
}

#[test]
fn the_influx_cli_runs_what_it_prints() {
    const OTHER: &str = "other ${x} 'bucket'";
    let Some(influxd) = Influxd::start() else { return };
    influxd.make_bucket(OTHER);
    let minute = minute_ago(3);
    let trades = [
        trade("BTCUSDT", 7, minute, "87000.10"),
        trade("BTCUSDT", 8, minute + 30_000, "87000.90"),
        trade("ETHUSDT", 1, minute + 40_000, "2900.00"),
        trade("BTCUSDT", 9, minute + 60_000, "87000.50"),
    ];
    runtime().block_on(influxd.store(OTHER, "practice").write(&trades, Attempt::default())).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let ask = |args: &[&str], columns: &[&str]| {
        let path = folder.path().join("asked.flux");
        std::fs::write(&path, printed(folder.path(), &[args, &["--bucket", OTHER]].concat())).unwrap();
        let csv = influxd.influx_ok(&["query", "--raw", "--file", path.to_str().unwrap()]);
        columns.iter().map(|name| column(&csv, name).join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(ask(&["latest"], &["symbol", "trade_id"]), ["BTCUSDT ETHUSDT", "9 1"]);
    assert_eq!(ask(&["latest", "--symbol", "ETHUSDT"], &["trade_id", "price"]), ["1", "2900.00"]);
    assert_eq!(ask(&["latest", "--symbol", "ETHUSDT,BTCUSDT", "--exchange", "practice"], &["trade_id"]), ["9 1"]);
    let time = at(minute + 59_000);
    assert_eq!(ask(&["price-at", "--symbol", "BTCUSDT", "--time", &time], &["trade_id"]), ["9"]);
    assert_eq!(ask(&["price-at", "--symbol", "BTCUSDT", "--time", &time, "--as-of"], &["trade_id"]), ["8"]);
    assert_eq!(ask(&["price-at", "--symbol", "BTCUSDT", "--time", "-23h"], &["trade_id"]), ["7"]);
    let high_low = ask(&["high-low", "--symbol", "BTCUSDT", "--time", &time], &["extreme", "price"]);
    assert_eq!(high_low, ["high low", "87000.90 87000.10"]);
    let candles = ask(&["candles", "--symbol", "BTCUSDT", "--since", "1h", "--every", "1m"], &["trades", "high"]);
    assert_eq!(candles, ["2 1", "87000.9 87000.5"]);
    let until = at(minute + 60_000);
    let ids = ask(&["trades", "--symbol", "BTCUSDT", "--since", "1h", "--until", &until], &["trade_id", "price"]);
    assert_eq!(ids, ["7 8", "87000.10 87000.90"]);
    assert_eq!(ask(&["trades", "--since", &until, "--until", "0s"], &["trade_id"]), ["9"]);
    let minutes = ask(&["gaps", "--symbol", "BTCUSDT", "--since", "1h", "--all"], &["missing"]);
    assert!(!minutes[0].is_empty() && minutes[0].split(' ').all(|missing| missing == "0"), "{minutes:?}");
}

#[test]
fn gaps_says_so_where_nothing_is_missing() {
    let Some(influxd) = Influxd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ask = |args: &[&str]| {
        let path = folder.path().join("asked.flux");
        std::fs::write(&path, printed(folder.path(), &[&["gaps"], args].concat())).unwrap();
        let csv = influxd.influx_ok(&["query", "--raw", "--file", path.to_str().unwrap()]);
        let rows = csv.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).skip(1);
        let of = rows.map(|row| row.trim_end_matches(',').trim_start_matches(',').to_owned());
        of.map(|row| row.split_once(',').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((ask(&[]), ask(&["--all"])), (vec!["no trade in this time".to_owned()], vec![]));
    let minute = minute_ago(3);
    let write = |ids: &[u64]| {
        let trades: Vec<_> = ids.iter().map(|id| trade("BTCUSDT", *id, minute + 1_000 * *id as i64, "5")).collect();
        runtime().block_on(influxd.store(BUCKET, "practice").write(&trades, Attempt::default())).unwrap();
    };
    write(&[1, 2]);
    assert_eq!(ask(&[]), ["nothing is missing"]);
    assert!(ask(&["--all"])[0].starts_with("practice,BTCUSDT,"));
    write(&[4]);
    let missing = format!("practice,BTCUSDT,{},3,1,4,1,0,false,-1", at(minute).replace(".000Z", "Z"));
    assert_eq!((ask(&[]), ask(&["--all"])), (vec![missing.clone()], vec![missing]));
    write(&[3]);
    assert_eq!(ask(&[]), ["nothing is missing"]);
}

#[test]
fn a_graph_has_the_numbers_of_the_table() {
    let Some(influxd) = Influxd::start() else { return };
    let minute = minute_ago(3);
    let trades = [
        trade("BTCUSDT", 7, minute, "87000.10"),
        trade("BTCUSDT", 8, minute + 30_000, "87000.90"),
        trade("BTCUSDT", 9, minute + 30_001, "87000.05"),
    ];
    runtime().block_on(influxd.store(BUCKET, "practice").write(&trades, Attempt::default())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ask = |name: &str| {
        let path = folder.path().join("asked.flux");
        std::fs::write(&path, printed(folder.path(), &[name, "--graph"])).unwrap();
        let csv = influxd.influx_ok(&["query", "--raw", "--file", path.to_str().unwrap()]);
        let [symbols, times, fields, values] = ["symbol", "_time", "_field", "_value"].map(|name| column(&csv, name));
        let rows = symbols.iter().zip(times).zip(fields.iter().zip(values));
        let mut rows: Vec<_> = rows.map(|((a, b), (c, d))| format!("{a} {b} {c} {d}")).collect();
        rows.sort();
        rows
    };
    assert_eq!(ask("latest"), [format!("BTCUSDT {} price 87000.05", at(minute + 30_001))]);
    let begin = at(minute).replace(".000Z", "Z");
    let of = |field: &str, price: &str| format!("BTCUSDT {begin} {field} {price}");
    let candle = [of("close", "87000.05"), of("high", "87000.9"), of("low", "87000.05"), of("open", "87000.1")];
    assert_eq!(ask("candles"), candle);
}
