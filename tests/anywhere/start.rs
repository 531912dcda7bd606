//! Streams open before anything else.

use std::net::TcpListener;

use crate::support::process::{Capture, wait_until};
use crate::support::scene::SYMBOLS;
use crate::support::trades::trades_of;
use crate::support::{practice, runtime, summary};

#[test]
fn an_influxdb_that_accepts_and_says_nothing_costs_no_trade() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(95, 1_000.0)));
    // Connections wait in its backlog for ever.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("http://{}", silent.local_addr().unwrap());
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let before = SYMBOLS.map(|symbol| trades_of(&exchange, symbol).len());
    let args = ["--store", &store, "--stream-url", &stream, "--rest-url", &rest, "--format", "json"];
    let capture = Capture::start(folder.path(), &args);
    wait_until("the exchange has a subscriber", || exchange.subscribers() > 0);
    let opened = SYMBOLS.map(|symbol| trades_of(&exchange, symbol).into_keys().next_back());
    wait_until("it trades on", || {
        SYMBOLS.iter().zip(before).all(|(symbol, before)| trades_of(&exchange, symbol).len() > before + 3_000)
    });
    let output = capture.stop();
    let (summary, log) = (summary(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(3), "{summary} {log}");
    for (symbol, opened) in SYMBOLS.iter().zip(opened) {
        let first = summary["symbols"][symbol]["first_id"].as_u64().unwrap();
        let is_there = opened.as_ref().is_none_or(|(_, opened)| first <= opened + 1);
        assert!(is_there, "{symbol}: {first} is the first, {opened:?} was there when it subscribed");
    }
    assert!(summary["outbox_left"].as_u64() > Some(4_000), "{summary}");
    assert!(log.lines().last().unwrap().contains("the next capture sends what the outbox holds"), "{log}");
    let outbox = std::fs::read_dir(folder.path().join("tickflux-outbox")).unwrap();
    assert!(outbox.into_iter().any(|entry| entry.unwrap().path().extension().is_some_and(|end| end == "db")));
}
