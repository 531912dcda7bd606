//! The main job end to end: from the practice exchange's stream into each store, by the real binary.
//!
//! Expected trades come from the exchange's own list.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::influxd::{BUCKET, Influxd, free_port};
use support::trades::{Trades, exchanges_list, sqlite_trades};
use support::witness::Witness;
use support::{minute_ago, practice, runtime, summary, tickflux, trade};
use tickflux::practice::Running;
use tickflux::practice::faults::Faults;

/// Captures from a stream; ends after two minutes at the latest, so that a fault is not a wait without an end.
fn capture_from(folder: &Path, stream: SocketAddr, rest: SocketAddr, store: &str, more: &[&str]) -> Output {
    let (stream, rest) = (format!("ws://{stream}"), format!("http://{rest}"));
    let args = ["capture", "--store", store, "--stream-url", &stream, "--rest-url", &rest, "--format", "json"];
    let end: &[&str] = if more.contains(&"--duration") { &[] } else { &["--duration", "2m"] };
    tickflux(folder, &[&args, end, more].concat())
}

fn capture(folder: &Path, exchange: &Running, store: &str, more: &[&str]) -> Output {
    capture_from(folder, exchange.address(), exchange.address(), store, more)
}

fn assert_clean(output: &Output, trades: u64) {
    let summary = summary(output);
    assert_eq!(output.status.code(), Some(0), "{summary} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(summary["trades"], trades, "{summary}");
    for zero in ["duplicates", "holes_found", "holes_open", "expired", "dead_letters", "outbox_left", "retries"] {
        assert_eq!(summary[zero], 0, "{zero} in {summary}");
    }
}

#[test]
fn a_market_is_captured_completely_and_exactly_into_sqlite() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(11, 20_000)));
    let output = capture(folder.path(), &exchange, "sqlite:trades.db", &["--count", "20000"]);
    assert_clean(&output, 20_000);
    assert_eq!(sqlite_trades(&folder.path().join("trades.db")), exchanges_list(&exchange));
    // The summary's ids are the list's.
    let list = exchanges_list(&exchange);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let ids: Vec<_> = list.keys().filter(|(name, _)| name == symbol).map(|(_, id)| *id).collect();
        let span = &summary(&output)["symbols"][symbol];
        assert_eq!((span["first_id"].as_u64(), span["last_id"].as_u64()), (ids.first().copied(), ids.last().copied()));
    }
}

#[test]
fn a_market_is_captured_completely_and_exactly_into_influxdb() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(12, 20_000)));
    assert_clean(&capture(folder.path(), &exchange, &influxd.url, &["--count", "20000"]), 20_000);
    assert_eq!(support::trades::influx_trades(&influxd), exchanges_list(&exchange));

    // The pack's files run as they are, and say what tickflux says.
    for (file, args) in
        [("flux/latest.flux", vec!["latest"]), ("flux/price_at.flux", vec![]), ("flux/high_low.flux", vec![])]
    {
        let csv = influxd.influx_ok(&["query", "--raw", "--file", file]);
        let rows = tickflux::store::influx::flux_csv::rows(&support::trades::without_annotations(&csv)).unwrap();
        for row in rows.iter().filter(|_| !args.is_empty()) {
            let symbol = row.text("symbol").unwrap();
            let answer = tickflux(folder.path(), &["latest", symbol, "--store", &influxd.url, "--format", "json"]);
            let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
            assert_eq!(answer["trade_id"].to_string(), row.text("trade_id").unwrap());
            assert_eq!(answer["price"], row.text("price").unwrap());
        }
        assert!(args.is_empty() || rows.len() == 2, "{csv}");
    }
}

#[test]
fn a_recording_replayed_is_the_file_with_its_times_moved() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let start = minute_ago(100_000);
    let mut trades: Vec<_> =
        (0..3_000).map(|at| trade("BTCUSDT", 999_000 + at, start + at.cast_signed() / 9, "5.10")).collect();
    trades.extend((0..2_000).map(|at| trade("ETHUSDT", 77 + at, start + at.cast_signed() / 9, "0.00000001")));
    let messages: Vec<_> = trades.iter().map(practice::message).collect();
    let file = practice::recording(messages.iter().map(String::as_str));
    let exchange = runtime.block_on(practice::start(practice::replay(file.path())));
    assert_clean(&capture(folder.path(), &exchange, "sqlite:trades.db", &["--count", "5000"]), 5_000);
    let shift = exchange.shift_minutes() * 60_000;
    let expected: Trades = trades
        .iter()
        .map(|trade| {
            let value =
                (trade.time.ms() + shift, trade.price.to_string(), trade.quantity.to_string(), trade.buyer_is_maker);
            ((trade.symbol.to_string(), trade.id.get()), value)
        })
        .collect();
    assert_eq!(sqlite_trades(&folder.path().join("trades.db")), expected);
}

#[test]
fn a_session_that_was_recorded_replays_as_it_was() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    for name in ["session.txt", "session.txt.gz"] {
        let exchange = runtime.block_on(practice::start(practice::market(13, 4_000)));
        let store = format!("sqlite:{name}.db");
        assert_clean(&capture(folder.path(), &exchange, &store, &["--count", "4000", "--record", name]), 4_000);
        let again = runtime.block_on(practice::start(practice::replay(&folder.path().join(name))));
        assert_clean(&capture(folder.path(), &again, "sqlite:again.db", &["--count", "4000"]), 4_000);
        let ids = |trades: Trades| trades.into_iter().map(|(key, value)| (key, value.1, value.2)).collect::<Vec<_>>();
        assert_eq!(ids(exchanges_list(&again)), ids(exchanges_list(&exchange)));
        std::fs::remove_file(folder.path().join("again.db")).unwrap();
        let output = capture(folder.path(), &exchange, &store, &["--record", name, "--duration", "1s"]);
        assert_eq!(output.status.code(), Some(2), "a recording is never overwritten");
    }
}

#[test]
fn a_recording_with_messages_that_were_refused_can_be_replayed() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let faults = Faults { seed: 3, malformed: 0.2, ..Faults::default() };
    let exchange = runtime.block_on(practice::start_with(practice::market(18, 2_000), faults));
    let output = capture(folder.path(), &exchange, "sqlite:first.db", &["--count", "2000", "--record", "bad.txt.gz"]);
    let dead = summary(&output)["dead_letters"].as_u64().unwrap();
    assert!(output.status.code() == Some(1) && dead > 100, "{dead} {}", String::from_utf8_lossy(&output.stderr));

    let again = runtime.block_on(practice::start(practice::replay(&folder.path().join("bad.txt.gz"))));
    let refused = again.recording().unwrap().refused.as_ref().unwrap();
    // An empty message and one that is JSON of something else may be no dead letter.
    assert!(refused.messages > 50 && refused.first.as_str().starts_with("line "), "{refused:?}");
    assert_clean(&capture(folder.path(), &again, "sqlite:again.db", &["--count", "2000"]), 2_000);
    let ids = |name: &str| sqlite_trades(&folder.path().join(name)).into_keys().collect::<Vec<_>>();
    assert_eq!(ids("again.db"), ids("first.db"));
}

#[test]
fn two_captures_of_the_same_symbols_store_each_trade_once() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(14, 5_000.0)));
    let outputs = std::thread::scope(|scope| {
        let (folder, exchange) = (folder.path(), &exchange);
        // Longer than the grace of a hole: one may lie between what the other had stored and the first live trade.
        let run =
            |outbox| move || capture(folder, exchange, "sqlite:trades.db", &["--duration", "7s", "--outbox", outbox]);
        let both = [scope.spawn(run("one")), scope.spawn(run("other"))];
        both.map(|run| run.join().unwrap())
    });
    let mut list = exchanges_list(&exchange);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let id = |output: &Output, key: &str| summary(output)["symbols"][symbol][key].as_u64().unwrap();
        let first = outputs.iter().map(|output| id(output, "first_id")).min().unwrap();
        let last = outputs.iter().map(|output| id(output, "last_id")).max().unwrap();
        list.retain(|(name, id), _| name != symbol || (first..=last).contains(id));
    }
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{} {}", summary(output), String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(sqlite_trades(&folder.path().join("trades.db")), list);
}

#[test]
fn messages_that_are_no_trades_are_kept_and_never_fatal() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    // The practice exchange replays only what is well-formed, so a plain server sends these.
    let start = minute_ago(2);
    let good =
        [practice::message(&trade("BTCUSDT", 1, start, "5")), practice::message(&trade("BTCUSDT", 2, start, "6"))];
    let bad = [
        good[0].replace("\"5\"", "\"5,0\""),
        good[0].replace("\"p\":\"5\"", "\"p\":5"),
        "{\"stream\":".to_owned(),
        "hello".to_owned(),
    ];
    let fine = ["{\"result\":null,\"id\":1}", "{\"e\":\"kline\",\"p\":1}"].map(str::to_owned);
    let messages = [&good[..1], &bad[..], &fine[..], &good[..1], &good[1..]].concat();
    let address = runtime.block_on(support::server::send_once(messages));
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let output = capture_from(folder.path(), address, nobody, "sqlite:tickflux.db", &["--count", "2"]);
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(1), "dead letters: the answer is no");
    assert_eq!(
        (&summary["trades"], &summary["dead_letters"], &summary["duplicates"]),
        (&2.into(), &4.into(), &1.into())
    );
    let kept = std::fs::read_to_string(folder.path().join("tickflux-outbox/dead-letters/messages.txt")).unwrap();
    for message in &bad {
        assert!(kept.contains(message), "{message} is not in {kept}");
    }
}

#[test]
fn a_hole_is_reported_and_the_answer_is_no() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let start = minute_ago(2);
    let messages: Vec<_> =
        [1, 2, 6, 7, 4].iter().map(|id| practice::message(&trade("BTCUSDT", *id, start, "5"))).collect();
    let address = runtime.block_on(support::server::send_once(messages));
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let output = capture_from(folder.path(), address, nobody, "sqlite:tickflux.db", &["--count", "5"]);
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&summary["holes_found"], &summary["holes_open"]), (&2.into(), &2.into()));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("from_id=3 to_id=3") && log.contains("from_id=5 to_id=5"), "{log}");
}

#[test]
fn trades_held_while_the_store_is_away_are_stored_when_it_comes_back() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(15, 20_000)));
    // A port that refuses connections until the gate opens; then everything goes to influxd.
    let gate = support::server::Gate::closed(&influxd.url);
    let url = gate.url();
    let output = std::thread::scope(|scope| {
        let running = scope.spawn(|| capture(folder.path(), &exchange, &url, &["--count", "20000"]));
        gate.open_after_refusals(8);
        running.join().unwrap()
    });
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{summary} {}", String::from_utf8_lossy(&output.stderr));
    assert!(summary["retries"].as_u64() > Some(0), "{summary}");
    assert_eq!(support::trades::influx_trades(&influxd), exchanges_list(&exchange));
}

#[test]
fn an_unrelated_client_reads_what_tickflux_wrote_and_the_pack_reads_what_it_wrote() {
    let (Some(witness), Some(influxd)) = (Witness::find(), Influxd::start()) else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(16, 1_000)));
    assert_clean(&capture(folder.path(), &exchange, &influxd.url, &["--count", "1000"]), 1_000);
    let found = witness.run(&influxd, BUCKET, &["prices"], "");
    let mut found: Vec<_> = found.lines().collect();
    let list = exchanges_list(&exchange);
    let mut expected: Vec<_> = list
        .iter()
        .map(|((symbol, id), (ms, price, ..))| format!("{symbol} {} {price}", ms * 1_000_000 + (id % 1_000_000) as i64))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    let ms = minute_ago(1);
    let trade = format!(r#"{{"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":{ms},"m":true}}"#);
    witness.run(&influxd, BUCKET, &["write"], &trade);
    let args = ["latest", "--exchange", "witness", "--store", &influxd.url, "--format", "json"];
    let answer: Value = serde_json::from_slice(&tickflux(folder.path(), &args).stdout).unwrap();
    assert_eq!(answer["trade_id"], 3_735_683_259_u64);
    assert_eq!(answer["price"], "61837.63000000");
    assert_eq!(answer["quantity"], "0.02000000");
}
