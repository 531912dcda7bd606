//! A capture that is replaced while it runs, without REST to mend anything: no id is missing.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::Path;

use nix::sys::signal::Signal;
use support::influxd::{Influxd, free_port};
use support::process::{Capture, wait_until};
use support::trades::{influx_ids, sqlite_trades, wait_for_a_trade};
use support::{practice, runtime};

const NOBODY: &str = "http://127.0.0.1:1";

/// Replaces a capture into `store` twice, and checks what `ids` gives in the end.
fn replace_twice(store: &str, folder: &Path, ids: impl Fn() -> BTreeSet<(String, u64)>) {
    let runtime = runtime();
    let exchange = runtime.block_on(practice::start(practice::live_market(71, 2_000.0)));
    let stream = format!("ws://{}", exchange.address());
    let (outbox, address) = (folder.join("outbox"), format!("127.0.0.1:{}", free_port()));
    let args = ["--store", store, "--stream-url", &stream, "--rest-url", NOBODY, "--no-repair"];
    let more = ["--outbox", outbox.to_str().unwrap(), "--metrics-listen", &address, "--take-over"];
    let start = |name: &str| {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        Capture::start(&folder, &[&args[..], &more].concat())
    };
    let stored = |symbol: &str| ids().iter().filter(|(of, _)| of == symbol).count();
    let mut capture = start("0");
    for name in ["1", "2"] {
        let before = ["BTCUSDT", "ETHUSDT"].map(&stored);
        wait_until("both symbols are stored", || ["BTCUSDT", "ETHUSDT"].map(&stored) > before.map(|count| count + 500));
        let next = start(name);
        wait_until("the old one has ended", || capture.has_ended());
        let old = std::mem::replace(&mut capture, next).wait();
        let log = String::from_utf8_lossy(&old.stderr).into_owned();
        assert!(old.status.code() == Some(0) && log.contains("Another capture takes over"), "{:?} {log}", old.status);
        wait_until("the new one has the outbox", || capture.log().contains("has let go of the outbox"));
        wait_until("the new one is asked for its health", || TcpStream::connect(&address).is_ok());
    }
    let before = ["BTCUSDT", "ETHUSDT"].map(&stored);
    wait_until("the last one stores", || ["BTCUSDT", "ETHUSDT"].map(&stored) > before.map(|count| count + 500));
    let last = capture.stop();
    assert_eq!(last.status.code(), Some(0), "{}", String::from_utf8_lossy(&last.stderr));
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let ids: Vec<_> = ids().into_iter().filter(|(of, _)| of == symbol).map(|(_, id)| id).collect();
        let whole: Vec<_> = (ids[0]..=*ids.last().unwrap()).collect();
        assert!(ids == whole, "{symbol}: {} of {} are stored", ids.len(), whole.len());
    }
    let left: Vec<_> = std::fs::read_dir(&outbox).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!left.iter().any(|path| path.extension().is_some_and(|is| is == "take-over")), "{left:?}");
}

#[test]
fn a_capture_into_influxdb_is_replaced_without_a_hole() {
    let Some(influxd) = Influxd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    replace_twice(&influxd.url, folder.path(), || influx_ids(&influxd));
}

#[test]
fn a_capture_into_sqlite_is_replaced_without_a_hole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trades.db");
    replace_twice(&format!("sqlite:{}", file.display()), folder.path(), || sqlite_trades(&file).into_keys().collect());
}

/// Who is killed while it waits has asked for nothing, and without the flag nobody waits.
#[test]
fn only_who_reads_every_symbol_takes_over() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(72, 500.0)));
    let stream = format!("ws://{}", exchange.address());
    let (store, outbox) = (folder.path().join("trades.db"), folder.path().join("outbox"));
    let (store, outbox) = (format!("sqlite:{}", store.display()), outbox.to_str().unwrap().to_owned());
    let start = |name: &str, stream: &str, more: &[&str]| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let args =
            ["--store", &store, "--stream-url", stream, "--rest-url", NOBODY, "--outbox", &outbox, "--no-repair"];
        Capture::start(&folder, &[&args[..], more].concat())
    };
    let mut old = start("old", &stream, &[]);
    wait_for_a_trade(&folder.path().join("trades.db"));
    let refused = start("refused", &stream, &[]).wait();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    // This one reads nothing.
    let idle = start("idle", "ws://127.0.0.1:1", &["--take-over"]);
    wait_until("it has tried to connect", || idle.log().contains("Stream connection closed"));
    assert!(!old.has_ended());
    idle.signal(Signal::SIGTERM);
    idle.wait();
    assert!(!old.has_ended());
    assert_eq!(old.stop().status.code(), Some(0));
}
