//! Faults of the stream: whatever it drops comes from the exchange's history, exactly and once.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use support::influxd::Influxd;
use support::process::{Capture, wait_until};
use support::trades::{Trades, exchanges_list, influx_ids, influx_trades, sqlite_trades};
use support::{practice, seed, summary, tickflux};
use tickflux::practice::Running;
use tickflux::practice::faults::Faults;

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// A capture of the exchange into `store`.
fn start_capture(folder: &Path, exchange: &Running, store: &str, more: &[&str]) -> Capture {
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["--store", store, "--format", "json", "--stream-url", &stream, "--rest-url", &rest];
    Capture::start(folder, &[&args[..], more].concat())
}

/// The part of `list` from the first stored id of each symbol up to the ids in `last`.
fn span(list: &Trades, stored: &Trades, last: [u64; 2]) -> Trades {
    let mut list = list.clone();
    for (symbol, last) in SYMBOLS.iter().zip(last) {
        let first = stored.keys().find(|(name, _)| name == symbol).map_or(u64::MAX, |(_, id)| *id);
        list.retain(|(name, id), _| name != symbol || (first..=last).contains(id));
    }
    list
}

/// Whether the ids of each symbol are stored without a hole from the first one to the last one, and beyond those in `last`:
/// a hole that began before them may end after them.
fn is_stored_beyond(ids: &BTreeSet<(String, u64)>, last: [u64; 2]) -> bool {
    SYMBOLS.iter().zip(last).all(|(symbol, last)| {
        let found: Vec<_> = ids.iter().filter(|(name, _)| name == symbol).map(|(_, id)| *id).collect();
        let ends = found.first().zip(found.last());
        ends.is_some_and(|(first, newest)| *newest > last && found.len() as u64 == newest + 1 - first)
    })
}

fn traded(exchange: &Running) -> usize {
    SYMBOLS.iter().map(|symbol| exchange.trades(&symbol.parse().unwrap()).len()).sum()
}

fn newest(exchange: &Running) -> [u64; 2] {
    SYMBOLS.map(|symbol| exchange.trades(&symbol.parse().unwrap()).last().unwrap().id.get())
}

/// How many trades a stream with faults carries; `TICKFLUX_TEST_TRADES` sets it.
fn trades() -> usize {
    std::env::var("TICKFLUX_TEST_TRADES").map_or(15_000, |text| text.parse().unwrap())
}

/// Captures a stream with every fault into `store`, until all of it is there; `stored` reads what is.
fn capture_bad_stream(store: &str, ids: impl Fn(&Path) -> BTreeSet<(String, u64)>, stored: impl Fn(&Path) -> Trades) {
    let seed = seed();
    let runtime = support::runtime();
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults {
        seed,
        drop: 0.05,
        duplicate: 0.05,
        reorder: 0.05,
        malformed: 0.01,
        cut_every: Some(Duration::from_secs(2)),
        rest_lag: Duration::from_millis(500),
        rest_short: 0.05,
        rest_shifted: 0.05,
        rest_status: [0.02, 0.0, 0.05, 0.0],
        ..Faults::default()
    };
    let exchange = runtime.block_on(practice::start_with(practice::live_market(seed, 4_000.0), faults));
    let capture = start_capture(folder.path(), &exchange, store, &[]);

    wait_until("enough has been traded", || traded(&exchange) > trades());
    exchange.calm();
    let last = newest(&exchange);
    wait_until("every trade up to then is stored", || is_stored_beyond(&ids(folder.path()), last));
    let output = capture.stop();
    let summary = summary(&output);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();

    let stored = stored(folder.path());
    let ends = SYMBOLS.map(|symbol| summary["symbols"][symbol]["last_id"].as_u64().unwrap());
    assert_eq!(stored, span(&exchanges_list(&exchange), &stored, ends), "{summary}");
    let count = |key: &str| summary[key].as_u64().unwrap();
    assert!(count("holes_found") > 0 && count("holes_repaired") > 0 && count("duplicates") > 0, "{summary}");
    assert_eq!(count("holes_open"), 0, "{summary}\n{log}");
    assert!(count("dead_letters") > 0, "{summary}");
    assert_eq!(output.status.code(), Some(1), "dead letters: the answer is no");
    assert_eq!(count("trades"), stored.len() as u64, "each counted once: {summary}");
    let gaps = tickflux(folder.path(), &["gaps", "--store", store]);
    assert_eq!(gaps.status.code(), Some(0), "{}", String::from_utf8_lossy(&gaps.stdout));
    eprintln!("{} trades are the exchange's: {summary}", stored.len());
}

#[test]
fn a_stream_that_drops_doubles_reorders_garbles_and_cuts_is_stored_completely_in_sqlite() {
    let path = |folder: &Path| folder.join("trades.db");
    let ids = |folder: &Path| sqlite_trades(&path(folder)).into_keys().collect();
    capture_bad_stream("sqlite:trades.db", ids, |folder| sqlite_trades(&path(folder)));
}

#[test]
fn a_stream_that_drops_doubles_reorders_garbles_and_cuts_is_stored_completely_in_influxdb() {
    let Some(influxd) = Influxd::start() else { return };
    capture_bad_stream(&influxd.url, |_| influx_ids(&influxd), |_| influx_trades(&influxd));
}

#[test]
fn without_repair_holes_stay_and_are_reported() {
    let seed = seed();
    let runtime = support::runtime();
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { seed, drop: 0.1, ..Faults::default() };
    let exchange = runtime.block_on(practice::start_with(practice::live_market(seed, 2_000.0), faults));
    let capture = start_capture(folder.path(), &exchange, "sqlite:trades.db", &["--no-repair"]);
    wait_until("trades are missing", || capture.log().matches("Trades are missing").count() > 20);
    exchange.calm();
    let after = newest(&exchange);
    let path = folder.path().join("trades.db");
    // The newest one itself may be what the stream dropped.
    let is_passed = |symbol: &str, id: u64| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let newest = "SELECT max(trade_id) FROM trade WHERE symbol = ?1";
        connection.query_row(newest, [symbol], |row| row.get(0)).is_ok_and(|newest: i64| newest.cast_unsigned() > id)
    };
    wait_until("later trades are stored", || SYMBOLS.iter().zip(after).all(|(symbol, id)| is_passed(symbol, id)));
    let output = capture.stop();
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{summary}");
    assert_eq!((&summary["holes_repaired"], &summary["holes_found"]), (&0.into(), &summary["holes_open"]), "{summary}");
    // The audit says the same, and so do the stored ids, counted plainly.
    let audit = tickflux(folder.path(), &["gaps", "--store", "sqlite:trades.db", "--format", "json"]);
    assert_eq!(audit.status.code(), Some(1));
    let audit: Vec<serde_json::Value> =
        String::from_utf8_lossy(&audit.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let holes = |row: &serde_json::Value| row["holes"].as_array().unwrap().len() as u64;
    assert_eq!(summary["holes_open"], audit.iter().map(holes).sum::<u64>(), "{audit:?}");
    assert_eq!(audit[0]["holes"][0]["state"], "open");
    let stored = sqlite_trades(&path);
    let runs = |symbol: &str| {
        let ids: Vec<_> = stored.keys().filter(|(name, _)| name == symbol).map(|(_, id)| *id).collect();
        ids.windows(2).filter(|pair| pair[0] + 1 < pair[1]).count() as u64
    };
    assert_eq!(summary["holes_open"], SYMBOLS.iter().map(|symbol| runs(symbol)).sum::<u64>(), "{summary}");
}
