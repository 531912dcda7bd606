//! A doctor leaves no trace: names, bytes and times are the same before and after, also beside a running capture.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::signal::Signal;

use crate::World;
use crate::local::outbox_rows;
use crate::support::influxd::Influxd;
use crate::support::process::{Capture, wait_until};
use crate::support::trades::{influx_ids, wait_for_a_trade};

/// Of every file its mode, when it was changed, and its bytes.
type Snapshot = BTreeMap<PathBuf, (u32, SystemTime, Vec<u8>)>;

/// Everything below a folder.
pub(crate) fn snapshot(folder: &Path) -> Snapshot {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        let bytes = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        all.insert(path.clone(), (metadata.mode(), metadata.modified().unwrap(), bytes));
        if metadata.is_dir() {
            all.extend(snapshot(&path));
        }
    }
    all
}

/// Stops a capture where it is, until it is told to go on: so that only others could change anything.
fn hold(capture: &Capture) {
    capture.signal(Signal::SIGSTOP);
    let threads = format!("/proc/{}/task", capture.pid());
    let stands = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    };
    wait_until("every thread stands still", || fs::read_dir(&threads).unwrap().all(|thread| stands(thread.unwrap())));
}

/// Everything below a folder is as it was.
pub(crate) fn assert_same(folder: &Path, before: &Snapshot) {
    let now = snapshot(folder);
    let changed: Vec<_> = now.keys().chain(before.keys()).filter(|path| now.get(*path) != before.get(*path)).collect();
    assert!(changed.is_empty(), "{changed:?}");
}

fn names(folder: &Path) -> Vec<PathBuf> {
    snapshot(folder).into_keys().collect()
}

#[test]
fn a_folder_without_anything_stays_so() {
    let world = World::new(191);
    for store in ["sqlite:trades.db", "http://127.0.0.1:1"] {
        world.doctor(&["--store", store, "--outbox", "a/b"]);
        assert_eq!(names(world.path()), [] as [PathBuf; 0]);
    }
}

#[test]
fn an_sqlite_store_is_looked_at_while_a_capture_writes_it_and_after() {
    let world = World::new(192);
    let (stream, rest) = (world.stream(), world.rest());
    let args = ["--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest];
    let capture = Capture::start(world.path(), &args);
    wait_for_a_trade(&world.path().join("trades.db"));
    wait_until("there is an outbox", || outbox_rows(&world, "target") == 1);
    hold(&capture);
    let before = snapshot(world.path());
    assert!(before.keys().any(|path| path.ends_with("trades.db-wal")), "{:?}", before.keys());
    let told = world.doctor(&["--store", "sqlite:trades.db"]);
    assert_same(world.path(), &before);
    capture.signal(Signal::SIGCONT);
    told.assert_good();
    assert!(told.of("store").found.contains("trades.db is a store"), "{told}");
    assert!(told.of("outbox").found.contains("a capture is using"), "{told}");
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let before = snapshot(world.path());
    let told = world.doctor(&["--store", "sqlite:trades.db"]);
    told.assert_good();
    assert!(told.of("outbox").found.contains("nothing waits in it"), "{told}");
    assert_same(world.path(), &before);
}

#[test]
fn a_store_whose_capture_was_killed_is_left_as_it_is() {
    let world = World::new(193);
    let (stream, rest) = (world.stream(), world.rest());
    let args = ["--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest];
    let capture = Capture::start(world.path(), &args);
    wait_for_a_trade(&world.path().join("trades.db"));
    capture.kill();
    // With its log and the log's index, with the log alone, and with what is no log's index.
    for (removed, put_back) in [(None, None), (Some("-shm"), None), (Some("-wal"), Some("-shm"))] {
        let beside = |suffix: &str| world.path().join(format!("trades.db{suffix}"));
        removed.map(beside).iter().for_each(|path| fs::remove_file(path).unwrap());
        put_back.map(beside).iter().for_each(|path| fs::write(path, [0; 32 << 10]).unwrap());
        let before = snapshot(world.path());
        let told = world.doctor(&["--store", "sqlite:trades.db"]);
        assert_same(world.path(), &before);
        // Without its log it may have lost everything.
        if removed != Some("-wal") {
            told.assert_good();
        }
    }
}

#[test]
fn the_outbox_of_a_running_capture_is_not_disturbed() {
    let Some(mut influxd) = Influxd::start() else { return };
    let world = World::new(194);
    let (stream, rest) = (world.stream(), world.rest());
    let args = ["--store", &influxd.url, "--stream-url", &stream, "--rest-url", &rest];
    let capture = Capture::start(world.path(), &args);
    wait_until("something is stored", || !influx_ids(&influxd).is_empty());
    wait_until("there is an outbox", || outbox_rows(&world, "target") == 1);
    hold(&capture);
    let before = snapshot(world.path());
    let told = world.doctor(&["--store", &influxd.url]);
    assert_same(world.path(), &before);
    told.assert_good();
    assert!(told.of("outbox").found.contains("a capture is using"), "{told}");
    assert!(told.of("flux").found.contains("the newest trade is"), "{told}");
    // Another target's doctor sees that somebody sends what waits.
    influxd.kill();
    capture.signal(Signal::SIGCONT);
    wait_until("the outbox fills", || capture.log().contains("kept and tried again"));
    world.doctor(&["--store", "sqlite:trades.db"]).assert_good();
    influxd.start_again();
    let newest = world.exchange.trades(&"BTCUSDT".parse().unwrap()).last().unwrap().id.get();
    wait_until("the newest is stored", || influx_ids(&influxd).contains(&("BTCUSDT".to_owned(), newest)));
    let output = capture.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(names(world.path()).iter().all(|path| !path.ends_with("trades.db")), "{:?}", names(world.path()));
}
