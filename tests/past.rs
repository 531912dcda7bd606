//! What happened before a capture, beside it, and without one: backfill, a silent symbol, `gaps --repair`.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{SinkExt, StreamExt};
use support::process::{Capture, wait_until};
use support::trades::{exchanges_list, sqlite_trades};
use support::{practice, runtime, summary, tickflux};
use tickflux::practice::Running;

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

fn start_capture(folder: &Path, stream: &str, exchange: &Running, more: &[&str]) -> Capture {
    let rest = format!("http://{}", exchange.address());
    let args = ["--store", "sqlite:trades.db", "--format", "json", "--stream-url", stream, "--rest-url", &rest];
    Capture::start(folder, &[&args[..], more].concat())
}

fn newest(exchange: &Running) -> [u64; 2] {
    SYMBOLS.map(|symbol| exchange.trades(&symbol.parse().unwrap()).last().unwrap().id.get())
}

/// Waits until everything that the exchange has up to the ids in `last` is stored.
fn wait_until_all_is_stored(path: &Path, exchange: &Running, last: [u64; 2]) {
    wait_until("everything is stored", || {
        let (stored, list) = (sqlite_trades(path), exchanges_list(exchange));
        let is_wanted =
            |key: &(String, u64)| SYMBOLS.iter().zip(last).any(|(name, last)| key.0 == *name && key.1 <= last);
        list.keys().filter(|key| is_wanted(key)).all(|key| stored.contains_key(key))
    });
}

#[test]
fn backfill_fetches_what_happened_before_the_start() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(51, 2_000.0)));
    wait_until("there is a past", || exchange.trades(&"BTCUSDT".parse().unwrap()).len() > 3_000);
    let stream = format!("ws://{}", exchange.address());
    let capture = start_capture(folder.path(), &stream, &exchange, &["--backfill", "1h"]);
    let path = folder.path().join("trades.db");
    wait_until("the capture runs", || capture.log().contains("Stream connection opened"));
    wait_until_all_is_stored(&path, &exchange, newest(&exchange));
    let summary = summary(&capture.stop());
    let list = exchanges_list(&exchange);
    for symbol in SYMBOLS {
        let first = list.keys().find(|(name, _)| name == symbol).unwrap().1;
        assert_eq!(summary["symbols"][symbol]["first_id"], first, "{summary}");
    }
    assert_eq!(summary["holes_open"], 0, "{summary}");
}

#[test]
fn a_backfill_goes_back_as_far_as_it_is_told_to() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(52, 1_000.0)));
    let symbol = "BTCUSDT".parse().unwrap();
    wait_until("there is a past", || {
        let trades = exchange.trades(&symbol);
        trades.first().zip(trades.last()).is_some_and(|(first, last)| last.time.ms() > first.time.ms() + 5_000)
    });
    let stream = format!("ws://{}", exchange.address());
    let capture = start_capture(folder.path(), &stream, &exchange, &["--backfill", "2s"]);
    wait_until("both are repaired", || capture.log().matches("A hole was repaired").count() >= 2);
    let output = capture.stop();
    let stored = sqlite_trades(&folder.path().join("trades.db"));
    let oldest = stored.values().map(|trade| trade.0).min().unwrap();
    let list = exchanges_list(&exchange);
    assert!(list.values().any(|trade| trade.0 < oldest), "not everything: {}", summary(&output));
    // Every trade since the oldest one of each symbol.
    for name in SYMBOLS {
        let first = stored.keys().find(|(symbol, _)| symbol == name).unwrap().1;
        let last = stored.keys().rfind(|(symbol, _)| symbol == name).unwrap().1;
        let of = |(key, _): &(&(String, u64), _)| key.0 == name && (first..=last).contains(&key.1);
        assert_eq!(stored.iter().filter(of).count() as u64, last - first + 1);
    }
}

/// Whether a symbol is left out of a stream, and whether one of its trades has come through.
struct Muting {
    is_on: AtomicBool,
    has_passed: AtomicBool,
}

/// In front of the exchange's stream: as long as it is muted, no connection says a word about `symbol`.
async fn muted(exchange: std::net::SocketAddr, symbol: &'static str, muting: Arc<Muting>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let muting = Arc::clone(&muting);
            tokio::spawn(async move {
                let mut client = tokio_tungstenite::accept_async(socket).await.unwrap();
                let url = format!("ws://{exchange}/stream?streams=btcusdt@trade/ethusdt@trade");
                let (mut server, _) = tokio_tungstenite::connect_async(url).await.unwrap();
                while let Some(Ok(message)) = server.next().await {
                    let is_its = message.to_text().unwrap_or_default().contains(symbol);
                    let is_left_out = is_its && muting.is_on.load(Ordering::Relaxed);
                    if message.is_text() && !is_left_out {
                        if client.send(message).await.is_err() {
                            return;
                        }
                        muting.has_passed.fetch_or(is_its, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    format!("ws://{address}")
}

#[test]
fn a_symbol_that_the_stream_forgot_is_found_out_and_repaired() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(53, 500.0)));
    let muting = Arc::new(Muting { is_on: AtomicBool::new(true), has_passed: AtomicBool::new(false) });
    let stream = runtime.block_on(muted(exchange.address(), "ETHUSDT", Arc::clone(&muting)));
    let capture = start_capture(folder.path(), &stream, &exchange, &["--idle-timeout", "1s"]);
    wait_until("the silence is noticed", || capture.log().contains("keeps silent about a symbol"));
    muting.is_on.store(false, Ordering::Relaxed);
    // Trades of it may be fetched before; what is missing up to the stream's first one is known once that has come.
    wait_until("the stream has the muted symbol", || muting.has_passed.load(Ordering::Relaxed));
    let [_, last] = newest(&exchange);
    wait_until("the muted symbol is stored", || {
        sqlite_trades(&folder.path().join("trades.db")).keys().any(|(name, id)| name == "ETHUSDT" && *id >= last)
    });
    wait_until("nothing is missing", || {
        tickflux(folder.path(), &["gaps", "--store", "sqlite:trades.db"]).status.code() == Some(0)
    });
    let output = capture.stop();
    assert_eq!(summary(&output)["holes_open"], 0, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn gaps_repairs_a_store_without_a_capture() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(54, 20_000)));
    let rest = format!("http://{}", exchange.address());
    let capture =
        start_capture(folder.path(), &format!("ws://{}", exchange.address()), &exchange, &["--count", "20000"]);
    assert_eq!(capture.wait().status.code(), Some(0));
    let path = folder.path().join("trades.db");
    rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM trade WHERE trade_id % 7 < 2", []).unwrap();
    let gaps = |more: &[&str]| {
        let args = ["gaps", "--store", "sqlite:trades.db", "--rest-url", &rest];
        tickflux(folder.path(), &[&args[..], more].concat())
    };
    assert_eq!(gaps(&[]).status.code(), Some(1));
    let repaired = gaps(&["--repair"]);
    assert_eq!(repaired.status.code(), Some(0), "{}", String::from_utf8_lossy(&repaired.stderr));
    // What was deleted at either end is outside of the audit.
    let (stored, list) = (sqlite_trades(&path), exchanges_list(&exchange));
    assert!(stored.len() as u64 > 19_990 && stored.iter().all(|(key, trade)| list.get(key) == Some(trade)));
    let nobody = tickflux(
        folder.path(),
        &["gaps", "--store", "sqlite:trades.db", "--repair", "--rest-url", "http://127.0.0.1:9"],
    );
    assert_eq!(nobody.status.code(), Some(0), "nothing is missing, so nobody is asked");
}

#[test]
fn a_repair_that_the_exchange_does_not_serve_says_so() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(55, 2_000)));
    let capture =
        start_capture(folder.path(), &format!("ws://{}", exchange.address()), &exchange, &["--count", "2000"]);
    assert_eq!(capture.wait().status.code(), Some(0));
    let path = folder.path().join("trades.db");
    rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM trade WHERE trade_id % 7 = 0", []).unwrap();
    let args = ["gaps", "--store", "sqlite:trades.db", "--repair", "--rest-url", "http://127.0.0.1:9"];
    let output = tickflux(folder.path(), &args);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot repair: http://127.0.0.1:9"));
}
