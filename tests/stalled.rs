//! Nobody who stops reading standard error or output stops a capture, or its end (P1, P6).

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::influxd::free_port;
use support::process::{Capture, wait_until};
use support::trades::{exchanges_list, sqlite_trades};
use support::{practice, runtime, seed, server, summary};
use tickflux::practice::faults::Faults;
use tickflux::practice::{Running, Source, Speed};
use tokio::runtime::Runtime;

const TRADES: u64 = 6_000;
/// What a pipe holds on Linux unless told otherwise (pipe(7)).
const PIPE_BYTES: usize = 64 << 10;

/// Two seconds of a market on a bad day: each fault is a log line or more.
fn bad_day() -> (Runtime, Running) {
    let source = Source::Market {
        symbols: ["BTCUSDT", "ETHUSDT"].map(|symbol| symbol.parse().unwrap()).to_vec(),
        seed: seed(),
        trades_per_second: 3_000.0,
        trades: Some(TRADES),
        speed: Speed::Times(1.0),
    };
    let faults = Faults {
        seed: 1,
        // What is lost at the very end nothing later shows.
        ends_after: Some(Duration::from_millis(1_500)),
        drop: 0.02,
        duplicate: 0.02,
        malformed: 0.2,
        ..Faults::default()
    };
    let runtime = runtime();
    let exchange = runtime.block_on(practice::start_with(source, faults));
    (runtime, exchange)
}

/// A pipe that takes nothing more, and its reader, who does not read.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'.'; PIPE_BYTES]).unwrap();
    (reader, writer.into())
}

/// Captures from `exchange` into `folder`, with every log line there is, into `stderr`.
fn start(folder: &Path, exchange: &Running, stderr: Stdio, more: &[&str]) -> Capture {
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest, "--format", "json"];
    // What was traded before it was there is wanted, too.
    let args = [&args[..], &["--backfill", "1m"]].concat();
    Capture::start_with(folder, &[&args, more].concat(), &[("RUST_LOG", "trace"), ("TERM", "xterm")], stderr)
}

/// Waits until the capture ended because its count was reached; then the store is the exchange's list.
fn assert_captures_all(mut capture: Capture, folder: &Path, exchange: &Running) {
    wait_until("the count is reached and the capture has ended", || capture.has_ended());
    let output = capture.wait();
    assert_eq!(output.status.code(), Some(1), "garbage became dead letters, and nothing else is amiss");
    assert_eq!(summary(&output)["trades"], TRADES);
    assert_eq!(sqlite_trades(&folder.join("trades.db")), exchanges_list(exchange));
}

#[test]
fn a_capture_whose_log_nobody_reads_stores_everything_and_ends() {
    let ((_runtime, exchange), folder) = (bad_day(), tempfile::tempdir().unwrap());
    let (_reader, stderr) = full_pipe();
    let capture = start(folder.path(), &exchange, stderr, &["--count", &TRADES.to_string()]);
    assert_captures_all(capture, folder.path(), &exchange);
}

#[test]
fn a_capture_on_a_terminal_that_was_stopped_stores_everything_and_ends() {
    let ((_runtime, exchange), folder) = (bad_day(), tempfile::tempdir().unwrap());
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let mut master = File::from(master);
    let capture = start(folder.path(), &exchange, slave.into(), &["--count", &TRADES.to_string()]);
    // The status line is being drawn; then Ctrl-S.
    let mut drawn = String::new();
    while !drawn.contains(" waiting") {
        let mut bytes = [0; 4_096];
        let read = master.read(&mut bytes).unwrap();
        drawn += &String::from_utf8_lossy(&bytes[..read]);
    }
    master.write_all(b"\x13").unwrap();
    assert_captures_all(capture, folder.path(), &exchange);
}

#[test]
fn a_capture_whose_terminal_is_gone_stores_everything_and_ends() {
    let ((_runtime, exchange), folder) = (bad_day(), tempfile::tempdir().unwrap());
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let capture = start(folder.path(), &exchange, slave.into(), &["--count", &TRADES.to_string()]);
    drop(master);
    assert_captures_all(capture, folder.path(), &exchange);
}

#[test]
fn what_nobody_read_for_a_while_is_read_later() {
    let ((_runtime, exchange), folder) = (bad_day(), tempfile::tempdir().unwrap());
    let (mut reader, stderr) = full_pipe();
    let listen = format!("127.0.0.1:{}", free_port());
    let capture = start(folder.path(), &exchange, stderr, &["--metrics-listen", &listen]);
    let value = |name: &str| {
        std::net::TcpStream::connect(&listen).ok()?;
        let answer = server::get(&listen, "/metrics");
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Some(line.unwrap_or_else(|| panic!("no {name} in {answer}")))
    };
    wait_until("everything is stored", || value("tickflux_trades_stored_total ") == Some(TRADES as f64));
    assert_eq!(value("tickflux_log_lines_dropped_total "), Some(0.0), "so few lines wait");
    let reading = std::thread::spawn(move || {
        let mut log = Vec::new();
        reader.read_to_end(&mut log).unwrap();
        String::from_utf8(log.split_off(PIPE_BYTES)).unwrap()
    });
    assert_eq!(capture.stop().status.code(), Some(1));
    let log = reading.join().unwrap();
    assert!(log.contains("tickflux: capturing BTCUSDT, ETHUSDT from"), "{log:.2000}");
    assert!(log.contains("Stream connection opened.") && log.contains("A hole was repaired."), "{log:.2000}");
}

#[test]
fn a_last_line_that_nobody_reads_is_waited_for_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["latest", "--store", "mysql://x"][..], &["nonsense"], &[]] {
        let (_reader, stderr) = full_pipe();
        let mut child = tickflux(folder.path(), args, Stdio::null(), stderr);
        let begun = Instant::now();
        wait_until("it ends", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(2), "{args:?}");
        assert!(begun.elapsed() > Duration::from_secs(1), "{args:?} waits a moment");
    }
}

#[test]
fn a_summary_that_nobody_reads_ends_with_3_and_says_so() {
    let ((_runtime, exchange), folder) = (bad_day(), tempfile::tempdir().unwrap());
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args =
        ["capture", "--stream-url", &stream, "--rest-url", &rest, "--store", "sqlite:trades.db", "--count", "100"];
    let (_reader, stdout) = full_pipe();
    let mut child = tickflux(folder.path(), &args, stdout, Stdio::piped());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{stderr}");
    let last = stderr.lines().last().unwrap();
    assert_eq!(last, "tickflux: cannot print: nobody reads standard output for 10 s");
}

#[test]
fn two_signals_end_a_capture_that_waits_for_its_reader() {
    let ((_runtime, exchange), folder) = (bad_day(), tempfile::tempdir().unwrap());
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args =
        ["capture", "--stream-url", &stream, "--rest-url", &rest, "--store", "sqlite:trades.db", "--count", "3000"];
    let (_reader, stdout) = full_pipe();
    let mut child = tickflux(folder.path(), &args, stdout, Stdio::null());
    wait_until("it came", || exchange.subscribers() > 0);
    wait_until("its count is reached", || exchange.subscribers() == 0);
    let begun = Instant::now();
    // Two of a kind could arrive as one.
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    }
    let code = child.wait().unwrap().code();
    assert!(code == Some(130) || begun.elapsed() > Duration::from_secs(9), "{code:?} after {:?}", begun.elapsed());
}

fn tickflux(folder: &Path, args: &[&str], stdout: Stdio, stderr: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickflux"));
    command.args(args).current_dir(folder).env_clear().stdout(stdout).stderr(stderr).spawn().unwrap()
}
