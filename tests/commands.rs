//! The other commands, and the life of a capture: health, signals, the demo.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::process::Command;

use nix::sys::signal::Signal;
use support::influxd::free_port;
use support::process::{Capture, wait_until};
use support::trades::{exchanges_list, sqlite_trades, wait_for_a_trade};
use support::{practice, runtime, server, summary, tickflux, tickflux_ok};

/// What `/metrics` says, by series.
struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// Reads all of it; what is not Prometheus' text format fails the test.
    fn read(address: &str) -> Self {
        let answer = server::get(address, "/metrics");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        let mut typed = BTreeSet::new();
        let mut values = HashMap::new();
        for line in body.lines().filter(|line| !line.is_empty() && !line.starts_with("# HELP ")) {
            if let Some(name) = line.strip_prefix("# TYPE ") {
                assert!(typed.insert(name.split(' ').next().unwrap().to_owned()), "{line} twice");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(typed.contains(name) || family.is_some_and(|family| typed.contains(family)), "{line} has no type");
            assert!(values.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{line} twice");
        }
        Self(values)
    }

    fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series} in {:?}", self.0))
    }
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
    wait_until("trades are counted", || Metrics::read(&listen).value("tickflux_trades_stored_total") > 100.0);
    wait_until("the connection is counted", || Metrics::read(&listen).value("tickflux_connections_open") == 1.0);
    for part in ["stream", "store", "memory", "outbox"] {
        assert_eq!(Metrics::read(&listen).value(&format!("tickflux_healthy{{part=\"{part}\"}}")), 1.0, "{part}");
    }
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(summary(&output)["trades"].as_u64() > Some(0));
    assert_eq!(health(), Some(3));
}

#[test]
fn the_metrics_say_what_the_exchange_sold() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(23, 5_000)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["--stream-url", &stream, "--rest-url", &rest, "--metrics-listen", &listen];
    let capture = Capture::start(folder.path(), &args);
    wait_until("everything is stored", || {
        std::net::TcpStream::connect(&listen).is_ok()
            && Metrics::read(&listen).value("tickflux_trades_stored_total") == 5_000.0
            && Metrics::read(&listen).value("tickflux_trades_waiting") == 0.0
    });
    wait_until("batches are shown", || Metrics::read(&listen).value("tickflux_batches_stored_total") >= 1.0);
    let metrics = Metrics::read(&listen);
    let list = exchanges_list(&exchange);
    assert_eq!(list.len(), 5_000);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let newest = list.keys().filter(|(of, _)| of == symbol).map(|(_, id)| *id).max().unwrap();
        let series = format!("tickflux_trade_id_newest{{symbol=\"{symbol}\"}}");
        wait_until("the newest id is shown", || Metrics::read(&listen).value(&series) == newest as f64);
    }
    assert_eq!(metrics.value("tickflux_latency_seconds_count"), 5_000.0);
    assert_eq!(metrics.value("tickflux_latency_seconds_bucket{le=\"+Inf\"}"), 5_000.0);
    assert_eq!(metrics.value("tickflux_build_info{version=\"0.1.0\"}"), 1.0);
    assert!(metrics.value("process_start_time_seconds") > 1.7e9);
    for fault in ["holes_found_total", "duplicates_total", "write_failures_total{kind=\"held\"}", "holes_open"] {
        assert_eq!(metrics.value(&format!("tickflux_{fault}")), 0.0, "{fault}");
    }
    assert_eq!(capture.stop().status.code(), Some(0));
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
    wait_until("the metrics name the store", || {
        Metrics::read(&listen).value("tickflux_healthy{part=\"store\"}") == 0.0
    });
    // The check of the start may have said it first.
    wait_until("a write has failed", || {
        Metrics::read(&listen).value("tickflux_write_failures_total{kind=\"transient\"}") >= 1.0
    });
    wait_until("the log says so", || capture.log().contains("kept and tried again"));
    capture.signal(Signal::SIGINT);
    wait_until("the exchange sees it leave", || exchange.subscribers() == 0);
    capture.signal(Signal::SIGINT);
    assert_eq!(capture.wait().status.code(), Some(130));
}

#[test]
fn a_closed_terminal_ends_a_capture_as_sigterm_does_unless_it_is_to_be_ignored() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(23, 500.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = |store| ["--store", store, "--stream-url", &stream, "--rest-url", &rest];
    let store = |name: &str| folder.path().join(name);
    let capture = Capture::start_in_a_terminal(folder.path(), &args("sqlite:one.db"));
    wait_for_a_trade(&store("one.db"));
    capture.signal(Signal::SIGHUP);
    assert_eq!(capture.wait().status.code(), Some(0));

    let capture = Capture::start_as_nohup_does(folder.path(), &args("sqlite:two.db"));
    wait_for_a_trade(&store("two.db"));
    let before = sqlite_trades(&store("two.db")).len();
    capture.signal(Signal::SIGHUP);
    wait_until("it goes on", || sqlite_trades(&store("two.db")).len() > before + 100);
    assert_eq!(capture.stop().status.code(), Some(0));
}

#[test]
fn completions_are_printed_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = tickflux(folder.path(), &["completions", shell]);
        let script = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && ["high-low", "candles"].iter().all(|name| script.contains(name)), "{shell}");
    }
}

#[test]
fn manual_pages_are_printed_for_every_command_with_exit_codes_and_examples() {
    let folder = tempfile::tempdir().unwrap();
    let page = |args: &[&str]| tickflux_ok(folder.path(), &[&["man"], args].concat());
    let whole = page(&[]);
    assert!(whole.contains(".TH tickflux 1") && whole.contains("\n.SH \"EXIT STATUS\"\n"), "{whole}");
    for command in [
        "capture",
        "latest",
        "at",
        "high\\-low",
        "candles",
        "gaps",
        "trades",
        "verify",
        "archive",
        "doctor",
        "flux",
        "health",
        "completions",
    ] {
        assert!(whole.contains(&format!("tickflux\\-{command}(1)")), "{command}: {whole}");
        let page = page(&[&command.replace('\\', "")]);
        assert!(page.contains(&format!("\\fBtickflux {command}\\fR")), "{page}");
    }
    let capture = page(&["capture"]);
    assert!(capture.contains("\n.SH EXAMPLES\n.nf\ntickflux capture\n") && !capture.contains("EXTRA"), "{capture}");
    assert_eq!(tickflux(folder.path(), &["man", "nosuch"]).status.code(), Some(2));
}
