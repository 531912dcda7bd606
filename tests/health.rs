//! Health answers whatever strangers do to its listener and whatever keeps the capture busy, and the log says what it says.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use support::influxd::free_port;
use support::process::{Capture, wait_until};
use support::trades::{exchanges_list, sqlite_trades, wait_for_a_trade};
use support::{practice, runtime, server, tickflux};
use tickflux::practice::{Config, Running};

const RSS_MAX: u64 = 100 << 20;
/// A capture of two symbols takes some 30 by itself.
const FILES_MAX: u32 = 128;

fn urls(exchange: SocketAddr) -> [String; 3] {
    [format!("ws://{exchange}"), format!("http://{exchange}"), format!("127.0.0.1:{}", free_port())]
}

fn args([stream, rest, listen]: &[String; 3]) -> [&str; 8] {
    ["--stream-url", stream, "--rest-url", rest, "--metrics-listen", listen, "--store", "sqlite:trades.db"]
}

fn health(folder: &Path, listen: &str) -> Output {
    tickflux(folder, &["health", "--metrics-listen", listen])
}

fn wait_until_well(folder: &Path, listen: &str) {
    wait_until("the capture is well", || health(folder, listen).status.success());
}

/// What a server says to these bytes, until it closes the connection.
fn say(listen: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(listen).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // It may close before all was sent.
    let _ = socket.read_to_string(&mut answer);
    answer
}

/// Sends `begin`, and then more and more; says how much was taken.
fn flood(listen: &str, begin: &str, bytes_max: usize) -> usize {
    let mut socket = TcpStream::connect(listen).unwrap();
    socket.write_all(begin.as_bytes()).unwrap();
    let more = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < bytes_max && socket.write_all(&more).is_ok() {
        sent += more.len();
    }
    sent
}

/// Each trade between the first and the last of a symbol, as the exchange has it.
fn assert_stores_what_the_exchange_sold(folder: &Path, exchange: &Running) {
    let (stored, mut list) = (sqlite_trades(&folder.join("trades.db")), exchanges_list(exchange));
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let ids: Vec<_> = stored.keys().filter(|(of, _)| of == symbol).map(|(_, id)| *id).collect();
        let span = *ids.first().unwrap()..=*ids.last().unwrap();
        list.retain(|(of, id), _| of != symbol || span.contains(id));
    }
    assert_eq!(stored, list);
}

#[test]
fn strangers_at_the_listener_take_neither_files_nor_memory_nor_the_answer() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(31, 1_000.0)));
    let urls = urls(exchange.address());
    let listen = urls[2].clone();
    let capture = Capture::start_with_few_files(folder.path(), &args(&urls), FILES_MAX);
    wait_until_well(folder.path(), &listen);
    let stored = || {
        let answer = server::get(&listen, "/metrics");
        let value = answer.lines().find_map(|line| line.strip_prefix("tickflux_trades_stored_total "));
        value.unwrap().parse::<u64>().unwrap()
    };
    let before = stored();

    // More than the process may have files, none of which says a word.
    let idle: Vec<_> = (0..500).map(|_| TcpStream::connect(&listen).unwrap()).collect();
    let ending = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A head that comes a byte at a time, again and again.
        scope.spawn(|| {
            while !ending.load(std::sync::atomic::Ordering::Relaxed) {
                let mut slow = TcpStream::connect(&listen).unwrap();
                let head = "GET /healthz HTTP/1.1\r\nX-Slow: ".bytes().chain(std::iter::repeat_n(b'x', 64));
                let _ = head.into_iter().try_for_each(|byte| {
                    std::thread::sleep(Duration::from_millis(10));
                    slow.write_all(&[byte])
                });
            }
        });
        let heads = [
            "GET /healthz HTTP/1.1\r\nX-Long: ",
            "GET /healthz?",
            "POST /healthz HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n",
        ];
        let floods = heads.map(|head| scope.spawn(|| flood(&listen, head, 1 << 30)));
        for _ in 0..20 {
            let output = health(folder.path(), &listen);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        for flood in floods {
            let sent = flood.join().unwrap();
            assert!(sent < 64 << 20, "{sent} bytes were taken");
        }
        let aim = stored() + 1_000;
        wait_until("trades go on being stored", || stored() > aim.max(before));
        ending.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let open = fs::read_dir(format!("/proc/{}/fd", capture.pid())).unwrap().count();
    assert!(open < 80, "{open} files are open");
    assert!(capture.peak_bytes() < RSS_MAX, "{} bytes", capture.peak_bytes());
    drop(idle);
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_stores_what_the_exchange_sold(folder.path(), &exchange);
}

#[test]
fn a_request_has_its_limits_and_its_words() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(32, 500.0)));
    let urls = urls(exchange.address());
    let listen = &urls[2];
    let capture = Capture::start(folder.path(), &args(&urls));
    wait_until_well(folder.path(), listen);
    let end = "HTTP/1.1\r\nHost: x\r\n\r\n";
    let answers = [
        (format!("GET /healthz {end}"), "HTTP/1.1 200 ", "\r\n\r\nok\n"),
        (format!("GET /healthz?x=y {end}"), "HTTP/1.1 200 ", "\r\n\r\nok\n"),
        (format!("HEAD /healthz {end}"), "HTTP/1.1 200 ", "\r\n\r\n"),
        (format!("HEAD /metrics {end}"), "HTTP/1.1 200 ", "\r\n\r\n"),
        (format!("GET / {end}"), "HTTP/1.1 404 ", "only /healthz and /metrics are here\n"),
        (format!("POST /metrics {end}"), "HTTP/1.1 405 ", "only GET and HEAD are answered\n"),
        (format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(17 << 10)), "HTTP/1.1 431 ", ""),
        (format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200)), "HTTP/1.1 431 ", ""),
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400 ", ""),
        // A second request on the same connection is not read.
        (format!("GET /healthz {end}").repeat(2), "HTTP/1.1 200 ", "\r\n\r\nok\n"),
    ];
    for (request, begin, end) in answers {
        let answer = say(listen, &request);
        assert!(answer.starts_with(begin) && answer.ends_with(end), "{request:.80}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:.80}: {answer}");
    }
    assert!(say(listen, &format!("DELETE /healthz {end}")).to_lowercase().contains("allow: get, head\r\n"));

    let begun = Instant::now();
    assert_eq!(say(listen, "GET /healthz HTTP/1.1\r\n"), "", "half a head is closed");
    assert!((4..60).contains(&begun.elapsed().as_secs()), "after {:?}", begun.elapsed());
    wait_for_a_trade(&folder.path().join("trades.db"));
    assert_eq!(capture.stop().status.code(), Some(0));
}

/// The threads that the capture's loop may be on.
fn workers(capture: &Capture) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", capture.pid())).unwrap();
    let is_worker = |path: &Path| fs::read_to_string(path.join("comm")).unwrap_or_default().starts_with("tokio-rt");
    let workers = tasks.map(|task| task.unwrap().path()).filter(|path| is_worker(path));
    workers.map(|path| Pid::from_raw(path.file_name().unwrap().to_str().unwrap().parse().unwrap())).collect()
}

#[test]
fn a_loop_that_stands_still_is_said_by_health_and_in_the_log() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(33, 500.0)));
    let urls = urls(exchange.address());
    let listen = &urls[2];
    let capture = Capture::start(folder.path(), &args(&urls));
    wait_until_well(folder.path(), listen);
    // As a debugger does: these threads stand still, the others go on.
    let stopped = workers(&capture);
    assert!(!stopped.is_empty());
    for thread in &stopped {
        ptrace::attach(*thread).unwrap();
        waitpid(*thread, Some(WaitPidFlag::__WALL)).unwrap();
    }
    let mut said = String::new();
    wait_until("health names the loop", || {
        let output = health(folder.path(), listen);
        said = String::from_utf8(output.stderr).unwrap();
        output.status.code() == Some(3)
    });
    assert!(said.contains("loop: has not moved for 1") && said.contains(" s"), "{said}");
    let metrics = server::get(listen, "/metrics");
    assert!(metrics.contains("tickflux_healthy{part=\"loop\"} 0\n"), "{metrics}");
    stopped.iter().for_each(|thread| ptrace::detach(*thread, None).unwrap());
    wait_until_well(folder.path(), listen);
    let log = capture.log();
    assert!(log.contains(r#" WARN A part of the capture fails. part="loop" why=has not moved for 1"#), "{log}");
    assert!(log.contains(r#" INFO A part of the capture works again. part="loop""#), "{log}");
    wait_for_a_trade(&folder.path().join("trades.db"));
    assert_eq!(capture.stop().status.code(), Some(0));
}

#[test]
fn what_health_says_is_in_the_log() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = || Config::new(practice::live_market(34, 500.0), support::now);
    let start = || runtime.block_on(tickflux::practice::start(address, config())).unwrap();
    let exchange = start();
    let urls = urls(address);
    let listen = &urls[2];
    // An empty filter is none.
    let stderr = fs::File::create(folder.path().join("stderr")).unwrap();
    let capture = Capture::start_with(folder.path(), &args(&urls), &[("RUST_LOG", "")], stderr.into());
    wait_until_well(folder.path(), listen);
    assert!(!capture.log().contains("A part of the capture"), "a start is no failure: {}", capture.log());
    runtime.block_on(exchange.shutdown());
    let mut reason = String::new();
    wait_until("health names the stream", || {
        let answer = server::get(listen, "/healthz");
        reason = answer.lines().find_map(|line| line.strip_prefix("stream: ")).unwrap_or_default().to_owned();
        !reason.is_empty()
    });
    wait_until("the log has the same reason, once five seconds are over", || {
        let answer = server::get(listen, "/healthz");
        reason = answer.lines().find_map(|line| line.strip_prefix("stream: ")).unwrap_or_default().to_owned();
        capture.log().contains(&format!(r#" WARN A part of the capture fails. part="stream" why={reason}"#))
    });
    let _exchange = start();
    wait_until_well(folder.path(), listen);
    assert!(capture.log().contains(r#" INFO A part of the capture works again. part="stream""#), "{}", capture.log());
    let _ = capture.stop();
}

#[test]
fn a_filter_of_the_log_that_cannot_be_read_or_lets_nothing_through_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = |filter: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickflux"));
        // It ends by itself: there is no such recording.
        command.args(["exchange", "--listen", "127.0.0.1:0", "--replay", "absent"]).current_dir(folder.path());
        let output = command.env_clear().env("RUST_LOG", filter).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for filter in ["tickflux=loud", "tickflux==warn", "a=b=c", "tickflux=\u{1b}[2J"] {
        let (code, said) = exchange(filter);
        assert!(code == Some(2) && said.starts_with("tickflux: RUST_LOG="), "{filter}: {code:?} {said}");
        assert!(
            said.contains("RUST_LOG=tickflux=debug") && said.lines().count() == 1 && !said.contains('\u{1b}'),
            "{said}"
        );
    }
    for filter in ["", " ", "debug", "off", "tickflux=off", "tickflux=error,hyper=debug", "tickflux::capture=debug"] {
        let (code, said) = exchange(filter);
        assert!(code == Some(3) && !said.contains("RUST_LOG"), "{filter}: {code:?} {said}");
    }
    for filter in ["eror", "hyper=debug"] {
        let (code, said) = exchange(filter);
        assert!(
            code == Some(3) && said.contains(&format!("RUST_LOG={filter} lets no line")),
            "{filter}: {code:?} {said}"
        );
    }
}
