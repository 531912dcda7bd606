//! Questions to a real InfluxDB while a capture writes: every call answers every symbol, and no hole is seen where there
//! is none. `TICKFLUX_TEST_SECONDS` and `TICKFLUX_TEST_AUDITS` make it longer.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::influxd::Influxd;
use support::points;
use support::process::{Capture, wait_until};
use support::trades::influx_ids;
use support::{minute_ago, practice, runtime, tickflux, tickflux_ok, trade};
use tickflux::practice::Running;
use tickflux::store::{Attempt, Store};
use tickflux::trade::{Trade, TradeTime};

const CLIENTS: usize = 6;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A capture of a live market that has begun to store.
fn begin(runtime: &tokio::runtime::Runtime, influxd: &Influxd, folder: &Path, rate: f64) -> (Running, Capture) {
    let exchange = runtime.block_on(practice::start(practice::live_market(81, rate)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["--store", &influxd.url, "--stream-url", &stream, "--rest-url", &rest];
    let capture = Capture::start(folder, &args);
    wait_until("both symbols are stored", || {
        let ids = influx_ids(influxd);
        ["BTCUSDT", "ETHUSDT"].iter().all(|symbol| ids.iter().any(|(of, _)| of == symbol))
    });
    (exchange, capture)
}

#[test]
fn every_call_answers_every_symbol() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let (_exchange, capture) = begin(&runtime, &influxd, folder.path(), 3_000.0);
    let end = Instant::now() + Duration::from_secs(setting("TICKFLUX_TEST_SECONDS", 10));
    let calls = AtomicUsize::new(0);
    let questions: [&[&str]; 4] =
        [&["latest"], &["latest", "ETHUSDT"], &["at", "BTCUSDT", "-0s"], &["latest", "BTCUSDT", "ETHUSDT"]];
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (folder, calls, url) = (folder.path(), &calls, &influxd.url);
            scope.spawn(move || {
                while Instant::now() < end {
                    let args = questions[(client + calls.fetch_add(1, Ordering::Relaxed)) % questions.len()];
                    let output = tickflux(folder, &[args, &["--store", url, "--format", "json"]].concat());
                    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
                    let symbols = if args.len() == 2 || args[0] == "at" { 1 } else { 2 };
                    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
                    assert_eq!(stdout.lines().count(), symbols, "{args:?}: {stdout}");
                }
            });
        }
    });
    assert!(calls.load(Ordering::Relaxed) > CLIENTS);
    eprintln!("{} calls", calls.load(Ordering::Relaxed));
    assert_eq!(capture.stop().status.code(), Some(0));
}

#[test]
fn no_hole_is_seen_where_writes_land_out_of_order() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let (_exchange, capture) = begin(&runtime, &influxd, folder.path(), 5_000.0);
    for audit in 0..setting("TICKFLUX_TEST_AUDITS", 10) {
        let output = tickflux(folder.path(), &["gaps", "--store", &influxd.url, "--format", "json"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{audit}: {said} {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    let output = capture.stop();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!log.contains("Trades are missing"), "the stream itself lost nothing: {log}");

    // A hole at the end of a store that nobody writes to is one.
    let newest = influx_ids(&influxd).into_iter().filter(|(symbol, _)| symbol == "BTCUSDT").max().unwrap().1;
    let late = format!(
        "trade,exchange=binance,symbol=BTCUSDT price=\"5\",price_float=5,quantity=\"1\",quantity_float=1,trade_id={}i,buyer_is_maker=true {}",
        newest + 3,
        chrono::Utc::now().timestamp_millis() * 1_000_000
    );
    points::write(&influxd, "ticks", &[late]);
    let output = tickflux(folder.path(), &["gaps", "BTCUSDT", "--store", &influxd.url, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["holes"], serde_json::json!([{"from_id": newest + 1, "to_id": newest + 2, "state": "open"}]));
}

/// A question is several reads, and between two of them a minute or a symbol may begin.
#[test]
fn what_begins_between_two_reads_breaks_no_answer() {
    const MINUTES: i64 = 1_400;
    const SYMBOLS: i64 = 4;
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let store = influxd.store("ticks", "binance");
    let write = |trades: &[Trade]| runtime.block_on(store.write(trades, Attempt::default())).unwrap();
    let minute = minute_ago(30);
    // So many that the storage engine is asked to add up.
    write(&(0..6_000).map(|n| trade("MANY", 1_000 + n, minute + n.cast_signed(), "5")).collect::<Vec<_>>());

    let is_over = AtomicBool::new(false);
    let begin = |n: i64| {
        let (symbol, nth) = (format!("S{}", n % SYMBOLS), n / SYMBOLS);
        let next = trade(&symbol, 1_000 + nth.cast_unsigned(), minute_ago(MINUTES + 1 - nth), "5");
        write(&[next, trade(&format!("NEW{}", n / 100), 1_000, minute, "5")]);
    };
    let high_low = folder.path().join("high_low.flux");
    let time = TradeTime::from_ms(minute).unwrap().to_string();
    std::fs::write(&high_low, tickflux_ok(folder.path(), &["flux", "high-low", "--time", &time])).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..SYMBOLS * MINUTES).take_while(|_| !is_over.load(Ordering::Relaxed)).for_each(begin));
        let end = Instant::now() + Duration::from_secs(setting("TICKFLUX_TEST_SECONDS", 10));
        let mut failed = None;
        while failed.is_none() && Instant::now() < end {
            let gaps = tickflux(folder.path(), &["gaps", "--store", &influxd.url]);
            let high_low = influxd.influx(&["query", "--raw", "--file", high_low.to_str().unwrap()]);
            failed = (!matches!(gaps.status.code(), Some(0 | 1))).then_some(gaps);
            failed = failed.or((!high_low.status.success()).then_some(high_low));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(failed.is_none(), "{}", String::from_utf8_lossy(&failed.unwrap().stderr));
    });
}
