//! The outbox with a real influxd: what was read survives kills and outages, and what was missed comes again.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use support::influxd::Influxd;
use support::process::{Capture, wait_until};
use support::server::Gate;
use support::trades::{exchanges_list, influx_ids, influx_trades};
use support::{practice, summary, tickflux};
use tickflux::practice::Running;

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

struct Scene {
    _runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    influxd: Influxd,
    exchange: Running,
}

impl Scene {
    fn new(seed: u64, trades_per_second: f64) -> Option<Self> {
        let influxd = Influxd::start()?;
        let runtime = support::runtime();
        let folder = tempfile::tempdir().unwrap();
        let exchange = runtime.block_on(practice::start(practice::live_market(seed, trades_per_second)));
        Some(Self { _runtime: runtime, folder, influxd, exchange })
    }

    /// A capture into the store at `url`.
    fn capture(&self, url: &str, more: &[&str]) -> Capture {
        let (stream, rest) =
            (format!("ws://{}", self.exchange.address()), format!("http://{}", self.exchange.address()));
        let args = ["--store", url, "--format", "json", "--stream-url", &stream, "--rest-url", &rest];
        Capture::start(self.folder.path(), &[&args[..], more].concat())
    }

    /// The newest id of each symbol.
    fn newest(&self) -> [u64; 2] {
        SYMBOLS.map(|symbol| self.exchange.trades(&symbol.parse().unwrap()).last().unwrap().id.get())
    }

    fn wait_until_stored_up_to(&self, last: [u64; 2]) {
        wait_until("the newest trades are stored", || {
            let stored = influx_ids(&self.influxd);
            SYMBOLS.iter().zip(last).all(|(symbol, last)| stored.contains(&((*symbol).to_owned(), last)))
                && missing(&stored, last) == 0
        });
    }

    /// The exchange's own list, from the first stored id of each symbol up to the ids in `last`.
    fn assert_stored_is_the_exchanges_list(&self, last: [u64; 2]) {
        let (mut stored, mut list) = (influx_trades(&self.influxd), exchanges_list(&self.exchange));
        for (symbol, last) in SYMBOLS.iter().zip(last) {
            let first = stored.keys().find(|(name, _)| name == symbol).unwrap().1;
            list.retain(|(name, id), _| name != symbol || (first..=last).contains(id));
            stored.retain(|(name, id), _| name != symbol || *id <= last);
        }
        assert_eq!(stored, list);
    }

    fn outbox(&self) -> PathBuf {
        let folder = self.folder.path().join("tickflux-outbox");
        let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "db")).unwrap()
    }

    fn outbox_batches(&self) -> u64 {
        let connection = rusqlite::Connection::open(self.outbox()).unwrap();
        connection.query_row("SELECT count(*) FROM batch", [], |row| row.get(0)).unwrap()
    }

    /// What was acknowledged stays in the outbox for a moment, too: only more than that is what the store did not take.
    fn wait_until_the_outbox_fills(&self, capture: &Capture) {
        wait_until("a write fails", || capture.log().contains("A batch could not be stored"));
        let acknowledged = self.outbox_batches();
        wait_until("the outbox fills", || self.outbox_batches() > acknowledged + 50);
    }
}

/// Ids that are missing between the first stored one of each symbol and `last`.
fn missing(stored: &BTreeSet<(String, u64)>, last: [u64; 2]) -> u64 {
    let of = |(symbol, last): (&&str, u64)| {
        let ids: Vec<_> = stored.iter().filter(|(name, id)| name == symbol && *id <= last).map(|(_, id)| *id).collect();
        ids.first().map_or(0, |first| last + 1 - first - ids.len() as u64)
    };
    SYMBOLS.iter().zip(last).map(of).sum()
}

/// Waits until the capture has stored something.
fn wait_for_trades(scene: &Scene) {
    wait_until("something of each symbol is stored", || {
        let stored = influx_ids(&scene.influxd);
        SYMBOLS.iter().all(|symbol| stored.iter().any(|(name, _)| name == symbol))
    });
}

#[test]
fn a_kill_while_the_store_is_away_and_another_before_it_is_back_lose_nothing() {
    let Some(scene) = Scene::new(41, 2_000.0) else { return };
    let gate = Gate::closed(&scene.influxd.url);
    let url = gate.url();
    gate.open();
    let first = scene.capture(&url, &[]);
    wait_for_trades(&scene);
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
    wait_until("the third capture reads", || has_traded_on(&scene, away));
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

fn has_traded_on(scene: &Scene, than: [u64; 2]) -> bool {
    scene.newest().iter().zip(than).all(|(newest, than)| *newest > than + 500)
}

#[test]
fn the_ledger_repairs_the_time_without_a_capture() {
    let Some(scene) = Scene::new(42, 1_000.0) else { return };
    let url = scene.influxd.url.clone();
    let first = scene.capture(&url, &[]);
    wait_for_trades(&scene);
    let output = first.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let away = scene.newest();
    wait_until("trades are missed", || has_traded_on(&scene, away));
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
    wait_for_trades(&scene);
    first.stop();
    std::fs::remove_dir_all(scene.folder.path().join("tickflux-outbox")).unwrap();
    let away = scene.newest();
    wait_until("trades are missed", || has_traded_on(&scene, away));
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
    wait_for_trades(&scene);
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
fn past_its_limit_the_outbox_drops_and_the_exchange_gives_again() {
    let Some(scene) = Scene::new(45, 3_000.0) else { return };
    let gate = Gate::closed(&scene.influxd.url);
    let url = gate.url();
    gate.open();
    let capture = scene.capture(&url, &["--outbox-limit", "300kB"]);
    wait_for_trades(&scene);
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
    wait_for_trades(&scene);
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
    wait_for_trades(&scene);
    let args = ["capture", "--store", &url, "--stream-url", "ws://127.0.0.1:9", "--rest-url", "http://127.0.0.1:9"];
    let second = tickflux(scene.folder.path(), &args);
    assert_eq!(second.status.code(), Some(2));
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains("another capture uses the outbox") && words.contains("--outbox"), "{words}");
    first.signal(Signal::SIGTERM);
    first.wait();
    // The file under another store's name, as after a copy.
    let path = scene.outbox();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE target SET location = 'elsewhere', store_id = 'another'", [])
        .unwrap();
    let third = tickflux(scene.folder.path(), &args);
    assert_eq!(third.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&third.stderr).contains("belongs to elsewhere"));
}
