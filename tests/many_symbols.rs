//! More symbols than Binance lets one connection carry, and more than it may be asked about one by one.
//!
//! The practice exchange keeps Binance's limits: 1,024 streams a connection, 8,004 bytes of URL, 6,000 weight a minute.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::path::Path;

use support::influxd::Influxd;
use support::process::{Capture, wait_until};
use support::proxy::Proxy;
use support::trades::{Trades, influx_ids, sqlite_trades, trades_of};
use support::{practice, runtime, summary, tickflux};
use tickflux::practice::{Running, Source, Speed};

const SYMBOLS: usize = 1_200;

fn names() -> Vec<String> {
    (0..SYMBOLS).map(|at| format!("S{at:04}USDT")).collect()
}

async fn start() -> Running {
    let symbols = names().iter().map(|name| name.parse().unwrap()).collect();
    practice::start(Source::Market {
        symbols,
        seed: 31,
        trades_per_second: 10_000.0,
        trades: None,
        speed: Speed::Times(1.0),
    })
    .await
}

fn capture(folder: &Path, exchange: &Running, symbols: &[String]) -> std::process::Output {
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let symbols = symbols.join(",");
    let args =
        ["capture", "--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest, "--format", "json"];
    tickflux(folder, &[&args[..], &["--symbols", &symbols, "--count", "50000", "--duration", "2m"]].concat())
}

#[test]
fn more_symbols_than_a_connection_carries_are_captured_completely() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(start());
    let output = capture(folder.path(), &exchange, &names());
    let (summary, log) = (summary(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(0), "{log}");
    for zero in ["duplicates", "holes_found", "dead_letters", "outbox_left"] {
        assert_eq!(summary[zero], 0, "{zero}: {log}");
    }
    // 1,200 names of 15 bytes with a slash between them are 19,199 bytes.
    assert_eq!(log.matches("Stream connection opened").count(), 3, "{log}");
    let stored = sqlite_trades(&folder.path().join("trades.db"));
    let spans = summary["symbols"].as_object().unwrap();
    assert_eq!(spans.len(), SYMBOLS, "fifty thousand trades are some of every symbol");
    let mut expected = Trades::new();
    for (symbol, span) in spans {
        let ids = span["first_id"].as_u64().unwrap()..=span["last_id"].as_u64().unwrap();
        expected.extend(trades_of(&exchange, symbol).into_iter().filter(|((_, id), _)| ids.contains(id)));
    }
    assert_eq!(summary["trades"].as_u64().unwrap(), expected.len() as u64);
    assert!(stored == expected, "{} trades are stored, the exchange has {}", stored.len(), expected.len());
}

#[test]
fn a_start_asks_the_store_about_one_symbol_at_a_time() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let (exchange, proxy) = (runtime.block_on(start()), Proxy::start(&influxd.url));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let (symbols, store) = (names()[..60].join(","), proxy.url());
    let args = ["--store", &store, "--stream-url", &stream, "--rest-url", &rest, "--symbols", &symbols];
    let capture = Capture::start(folder.path(), &args);
    // What is captured meanwhile is known, too.
    let told = |log: &str| log.matches("Nothing is known before now").count() + log.matches("are known.").count();
    wait_until("the store has told of each symbol", || told(&capture.log()) == 60);
    wait_until("a trade is stored", || !influx_ids(&influxd).is_empty());
    assert_eq!(capture.stop().status.code(), Some(0));
    assert_eq!(proxy.most_questions(), 1);
}

#[test]
fn one_unknown_symbol_among_many_is_named_and_costs_little_weight() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(start());
    let mut symbols = names();
    symbols.insert(1_177, "NOSUCH".to_owned());
    let output = capture(folder.path(), &exchange, &symbols);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert_eq!(log, "tickflux: the exchange does not list NOSUCH: see --symbols\n");
    let stats = support::server::get(&exchange.address().to_string(), "/stats");
    let stats: serde_json::Value = serde_json::from_str(stats.split_once("\r\n\r\n").unwrap().1).unwrap();
    // A twentieth of what asking for each would have used.
    assert!(stats["weight_used"].as_u64().unwrap() <= 24_000 / 20, "{stats}");
}
