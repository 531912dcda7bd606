//! The other commands, and the life of a capture: health, signals, the demo.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::process::Command;

use nix::sys::signal::Signal;
use support::influxd::free_port;
use support::process::{Capture, wait_until};
use support::{practice, summary, tickflux};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

#[test]
fn the_demo_answers_all_three_questions_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tickflux"))
        .args(["demo", "--seed", "5"])
        .current_dir(folder.path())
        .env_clear()
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout} {}", String::from_utf8_lossy(&output.stderr));
    for words in ["tickflux latest", "tickflux at BTCUSDT", "tickflux high-low BTCUSDT", "the exchange's own list"] {
        assert!(stdout.contains(words), "{stdout}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_capture_is_well_while_trades_come_and_are_stored() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(21, 500.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let listen = format!("127.0.0.1:{}", free_port());
    let health = || tickflux(folder.path(), &["health", "--metrics-listen", &listen]).status.code();
    assert_eq!(health(), Some(3), "nothing runs yet");
    let args = ["--stream-url", &stream, "--rest-url", &rest, "--metrics-listen", &listen, "--format", "json"];
    let capture = Capture::start(folder.path(), &args);
    wait_until("the capture is well", || health() == Some(0));
    let metrics = || support::server::get(&listen, "/metrics");
    let value = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok())
    };
    wait_until("trades are counted", || value(&metrics(), "tickflux_trades_stored_total") > Some(100.0));
    let text = metrics();
    assert_eq!(value(&text, "tickflux_healthy"), Some(1.0), "{text}");
    assert_eq!(value(&text, "tickflux_connections_open"), Some(1.0), "{text}");
    assert_eq!(value(&text, "tickflux_holes_found_total"), Some(0.0), "what has not happened is zero: {text}");
    let latencies = value(&text, "tickflux_latency_seconds_count");
    assert!(latencies >= value(&text, "tickflux_trades_stored_total"), "{text}");
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(summary(&output)["trades"].as_u64() > Some(0));
    assert_eq!(health(), Some(3));
}

#[test]
fn a_capture_whose_store_is_away_says_so_and_two_signals_end_it_at_once() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(22, 500.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let (listen, store) = (format!("127.0.0.1:{}", free_port()), format!("http://127.0.0.1:{}", free_port()));
    let args = ["--store", &store, "--stream-url", &stream, "--rest-url", &rest, "--metrics-listen", &listen];
    let capture = Capture::start(folder.path(), &args);
    wait_until("health names the store", || {
        let output = tickflux(folder.path(), &["health", "--metrics-listen", &listen]);
        output.status.code() == Some(3) && String::from_utf8_lossy(&output.stderr).contains(&format!("store: {store}"))
    });
    assert!(capture.log().contains("kept and tried again"), "{}", capture.log());
    capture.signal(Signal::SIGINT);
    wait_until("the exchange sees it leave", || exchange.subscribers() == 0);
    capture.signal(Signal::SIGINT);
    assert_eq!(capture.wait().status.code(), Some(130));
}

#[test]
fn completions_are_printed_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = tickflux(folder.path(), &["completions", shell]);
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("high-low"), "{shell}");
    }
}
