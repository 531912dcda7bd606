//! Questions to a real InfluxDB while a capture writes: every call answers every symbol, and no hole is seen where there
//! is none. `TICKFLUX_TEST_SECONDS` and `TICKFLUX_TEST_AUDITS` make it longer.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::influxd::Influxd;
use support::process::{Capture, wait_until};
use support::trades::influx_ids;
use support::{practice, runtime, tickflux};
use tickflux::practice::Running;

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
    support::points::write(&influxd, "ticks", &[late]);
    let output = tickflux(folder.path(), &["gaps", "BTCUSDT", "--store", &influxd.url, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["holes"], serde_json::json!([{"from_id": newest + 1, "to_id": newest + 2, "state": "open"}]));
}
