//! The outbox with a real influxd: what was read survives kills and outages, and what was missed comes again.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use support::influxd::Influxd;
use support::process::{Capture, wait_until};
use support::proxy::{Mode, Proxy};
use support::scene::{Scene, outbox_in};
use support::server::Gate;
use support::trades::{exchanges_list, influx_trades};
use support::{practice, runtime, summary, tickflux};

#[test]
fn a_kill_while_the_store_is_away_and_another_before_it_is_back_lose_nothing() {
    let Some(scene) = Scene::new(41, 2_000.0) else { return };
    let gate = Gate::closed(&scene.influxd.url);
    let url = gate.url();
    gate.open();
    let first = scene.capture(&url, &[]);
    scene.wait_for_trades();
    gate.close();
    scene.wait_until_the_outbox_fills(&first);
    first.kill();
    let away = scene.newest();
    let second = scene.capture(&url, &[]);
    wait_until("the time without a capture is repaired into the outbox", || {
        second.log().contains("A hole was repaired")
    });
    second.kill();
    assert!(scene.outbox_batches() > 50, "nothing left the outbox");
    let third = scene.capture(&url, &[]);
    wait_until("the third capture reads", || scene.has_traded_on(away));
    gate.open();
    let last = scene.newest();
    scene.wait_until_stored_up_to(last);
    let output = third.stop();
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{summary} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&summary["outbox_left"], &summary["holes_open"]), (&0.into(), &0.into()), "{summary}");
    scene.assert_stored_is_the_exchanges_list(last);
    assert_eq!(scene.outbox_batches(), 0);
    let gaps = tickflux(scene.folder.path(), &["gaps", "--store", &scene.influxd.url]);
    assert_eq!(gaps.status.code(), Some(0), "{}", String::from_utf8_lossy(&gaps.stdout));
}

#[test]
fn the_ledger_repairs_the_time_without_a_capture() {
    let Some(scene) = Scene::new(42, 1_000.0) else { return };
    let url = scene.influxd.url.clone();
    let first = scene.capture(&url, &[]);
    scene.wait_for_trades();
    let output = first.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let away = scene.newest();
    wait_until("trades are missed", || scene.has_traded_on(away));
    // A token that may only write would do: the ledger tells, the store is not asked.
    let second = scene.capture(&url, &[]);
    wait_until("the ledger is read", || second.log().contains("source=\"ledger\""));
    let last = scene.newest();
    scene.wait_until_stored_up_to(last);
    let output = second.stop();
    assert!(summary(&output)["holes_repaired"].as_u64() >= Some(2), "{}", summary(&output));
    scene.assert_stored_is_the_exchanges_list(last);
}

#[test]
fn without_a_ledger_the_store_tells_what_it_has() {
    let Some(scene) = Scene::new(43, 1_000.0) else { return };
    let url = scene.influxd.url.clone();
    let first = scene.capture(&url, &[]);
    scene.wait_for_trades();
    first.stop();
    std::fs::remove_dir_all(scene.folder.path().join("tickflux-outbox")).unwrap();
    let away = scene.newest();
    wait_until("trades are missed", || scene.has_traded_on(away));
    let second = scene.capture(&url, &[]);
    wait_until("the store is asked", || second.log().contains("source=\"store\""));
    let last = scene.newest();
    scene.wait_until_stored_up_to(last);
    second.stop();
    scene.assert_stored_is_the_exchanges_list(last);
}

#[test]
fn a_damaged_outbox_is_set_aside_and_its_trades_come_from_the_exchange() {
    let Some(scene) = Scene::new(44, 2_000.0) else { return };
    let gate = Gate::closed(&scene.influxd.url);
    let url = gate.url();
    gate.open();
    let first = scene.capture(&url, &[]);
    scene.wait_for_trades();
    gate.close();
    scene.wait_until_the_outbox_fills(&first);
    first.kill();
    damage(&scene.outbox());
    let second = scene.capture(&url, &[]);
    wait_until("the file is set aside", || second.log().contains("set aside"));
    gate.open();
    let last = scene.newest();
    scene.wait_until_stored_up_to(last);
    second.stop();
    scene.assert_stored_is_the_exchanges_list(last);
    let is_aside = |path: PathBuf| path.extension().is_some_and(|extension| extension == "damaged-1");
    let files = std::fs::read_dir(scene.folder.path().join("tickflux-outbox")).unwrap();
    assert!(files.into_iter().any(|entry| is_aside(entry.unwrap().path())), "it is kept");
}

/// Overwrites the middle of every page but keeps the header, after the log has been moved into the file.
fn damage(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(path).unwrap();
    for page in bytes.chunks_mut(8192).skip(1) {
        page.fill(0x5a);
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damage_while_capturing_costs_no_trade() {
    const TRADES: u64 = 140_000;
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(48, TRADES)));
    let proxy = Proxy::start(&influxd.url);
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["--store", &proxy.url(), "--stream-url", &stream, "--rest-url", &rest, "--count", &TRADES.to_string()];
    proxy.set(Mode::CutBefore);
    let capture = Capture::start(folder.path(), &args);
    let waiting = |path: PathBuf| -> rusqlite::Result<u64> {
        rusqlite::Connection::open(path)?.query_row("SELECT sum(trades) FROM batch", [], |row| row.get(0))
    };
    // So much that most of it is on disk only, and that SQLite does not remember its pages.
    wait_until("all is in the outbox", || outbox_in(folder.path()).is_some_and(|path| waiting(path) == Ok(TRADES)));
    let path = outbox_in(folder.path()).unwrap();
    for suffix in ["", "-wal"] {
        let mut path = path.clone().into_os_string();
        path.push(suffix);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0xa5; 1 << 20], file.metadata().unwrap().len() / 2).unwrap();
    }
    proxy.set(Mode::Pass);
    let log = capture.wait();
    assert_eq!(log.status.code(), Some(0), "{}", String::from_utf8_lossy(&log.stderr));
    assert!(String::from_utf8_lossy(&log.stderr).contains("The outbox was damaged and is set aside"));
    assert_eq!(influx_trades(&influxd), exchanges_list(&exchange));
}

#[test]
fn past_its_limit_the_outbox_drops_and_the_exchange_gives_again() {
    let Some(scene) = Scene::new(45, 3_000.0) else { return };
    let gate = Gate::closed(&scene.influxd.url);
    let url = gate.url();
    gate.open();
    let capture = scene.capture(&url, &["--outbox-limit", "300kB"]);
    scene.wait_for_trades();
    gate.close();
    wait_until("the outbox is full", || capture.log().contains("The outbox is full"));
    gate.open();
    let last = scene.newest();
    scene.wait_until_stored_up_to(last);
    let output = capture.stop();
    let summary = summary(&output);
    assert!(summary["holes_repaired"].as_u64() > Some(0), "{summary}");
    assert_eq!(output.status.code(), Some(0), "{summary}");
    scene.assert_stored_is_the_exchanges_list(last);
}

#[test]
fn what_is_only_in_the_outbox_at_the_end_is_named() {
    let Some(scene) = Scene::new(46, 1_000.0) else { return };
    let gate = Gate::closed(&scene.influxd.url);
    let url = gate.url();
    gate.open();
    let capture = scene.capture(&url, &[]);
    scene.wait_for_trades();
    gate.close();
    scene.wait_until_the_outbox_fills(&capture);
    let output = capture.stop();
    let (summary, log) = (summary(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(3), "{log}");
    let left = summary["outbox_left"].as_u64().unwrap();
    assert!(left > 0 && log.contains("Only the outbox has these trades"), "{log}");
    gate.open();
    let next = scene.capture(&url, &["--duration", "1s"]);
    let output = next.wait();
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("trades={left}")), "it begins with them");
}

#[test]
fn an_outbox_serves_one_capture_and_one_store() {
    let Some(scene) = Scene::new(47, 100.0) else { return };
    let url = scene.influxd.url.clone();
    let first = scene.capture(&url, &[]);
    scene.wait_for_trades();
    let args = ["capture", "--store", &url, "--stream-url", "ws://127.0.0.1:9", "--rest-url", "http://127.0.0.1:9"];
    let second = tickflux(scene.folder.path(), &args);
    assert_eq!(second.status.code(), Some(2));
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains("another capture uses the outbox") && words.contains("--outbox"), "{words}");
    first.signal(Signal::SIGTERM);
    first.wait();
    // A file of another program in its place.
    let path = scene.outbox();
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "application_id", 1).unwrap();
    let third = tickflux(scene.folder.path(), &args);
    assert_eq!(third.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&third.stderr).contains("belongs to another program"));
}
