//! The SQLite file and those who share it: it is removed or renamed while it is written, and asked by someone else than
//! who captures.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use support::process::{Capture, wait_until};
use support::trades::{sqlite_trades, wait_for_a_trade};
use support::{exchange, minute_ago, now, practice, runtime, tickflux, trade};
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Scope, Store, StoreError, WriteError};

/// Users that own nothing else.
const CAPTURER: u32 = 61_001;
const ASKER: u32 = 61_002;

fn create(path: &Path) -> Sqlite {
    Sqlite::create(path, exchange("binance"), now).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_no_path_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (store, words) in [
        ("sqlite:", "no file name behind sqlite:"),
        ("sqlite::memory:", "in memory"),
        ("sqlite:file:trades.db", "not a URI"),
        ("sqlite:file:trades.db?mode=memory", "not a URI"),
    ] {
        for command in ["latest", "capture"] {
            let output = tickflux(folder.path(), &[command, "--store", store]);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains(words) && stderr.contains("sqlite:PATH"), "{stderr}");
        }
    }
    assert_eq!(names(folder.path()), [] as [&str; 0]);
}

#[test]
fn a_file_that_is_renamed_or_removed_is_missed_at_the_next_write_and_never_made_again() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let (path, away) = (folder.path().join("trades.db"), folder.path().join("away.db"));
    let store = create(&path);
    let minute = minute_ago(5);
    let write =
        |id| runtime.block_on(store.write(&[trade("BTCUSDT", id, minute + id as i64, "5")], Attempt::default()));
    let ids = |path: &Path| sqlite_trades(path).keys().map(|(_, id)| *id).collect::<Vec<_>>();
    write(1).unwrap();

    fs::rename(&path, &away).unwrap();
    for _ in 0..2 {
        let Err(WriteError::Held { why }) = write(2) else { panic!("the file is not there") };
        assert!(["trades.db", "removed or renamed", "put it back"].iter().all(|words| why.contains(words)), "{why}");
    }
    assert!(!path.exists(), "it is not made again");
    assert_eq!(ids(&away), [1], "everything that was written is in the file that was moved");
    fs::rename(&away, &path).unwrap();
    write(2).unwrap();
    assert_eq!(ids(&path), [1, 2]);

    // What comes into its place may be no store, or another one.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "this is no store, and longer than the header of one".repeat(9)).unwrap();
    let Err(WriteError::Held { why }) = write(3) else { panic!("another file is there") };
    assert!(why.contains("not an SQLite file"), "{why}");
    fs::remove_file(&path).unwrap();
    assert!(matches!(write(3), Err(WriteError::Held { .. })));
    let other = create(&path);
    runtime.block_on(other.write(&[trade("BTCUSDT", 9, minute, "5")], Attempt::default())).unwrap();
    drop(other);
    write(3).unwrap();
    assert_eq!(ids(&path), [3, 9], "the store that is there now");
    assert!(matches!(runtime.block_on(store.latest(&Scope::default())), Ok(latest) if latest.len() == 1));
}

#[test]
fn a_capture_keeps_its_trades_until_its_file_is_there_again() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(71, 500.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let (path, away) = (folder.path().join("trades.db"), folder.path().join("away.db"));
    let args = ["--store", "sqlite:trades.db", "--no-repair", "--stream-url", &stream, "--rest-url", &rest];
    let capture = Capture::start(folder.path(), &args);
    wait_for_a_trade(&path);
    fs::rename(&path, &away).unwrap();
    wait_until("it is missed", || capture.log().contains("removed or renamed"));
    assert!(!path.exists());
    fs::rename(&away, &path).unwrap();
    let newest = |symbol: &str| exchange.trades(&symbol.parse().unwrap()).last().unwrap().id.get();
    let last = ["BTCUSDT", "ETHUSDT"].map(|symbol| (symbol.to_owned(), newest(symbol)));
    wait_until("it is written again", || last.iter().all(|key| sqlite_trades(&path).contains_key(key)));
    assert_eq!(capture.stop().status.code(), Some(0));
    let gaps = tickflux(folder.path(), &["gaps", "--store", "sqlite:trades.db"]);
    assert_eq!(gaps.status.code(), Some(0), "nothing is missing: {}", String::from_utf8_lossy(&gaps.stdout));
}

#[test]
fn a_question_leaves_nothing_beside_the_file_and_sees_what_is_written_meanwhile() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    // A name that would mean something in a URI.
    let path = folder.path().join("a b?immutable=0#1%41.db");
    let write = |store: &Sqlite, id: u64| {
        runtime
            .block_on(store.write(&[trade("BTCUSDT", id, minute_ago(5) + id as i64, "5")], Attempt::default()))
            .unwrap();
    };
    write(&create(&path), 1);
    assert_eq!(names(folder.path()).len(), 1, "closed, it is one file");
    let asked = Sqlite::open(&path, exchange("binance"), now).unwrap();
    let latest = || runtime.block_on(asked.latest(&Scope::default())).unwrap()[0].trade.id.get();
    assert_eq!(latest(), 1);
    assert_eq!(names(folder.path()).len(), 1, "a question makes no file");

    // A capture begins, writes and ends while the store is open to be asked.
    let captured = create(&path);
    write(&captured, 2);
    assert_eq!(latest(), 2);
    write(&captured, 3);
    assert_eq!(latest(), 3);
    drop(captured);
    assert_eq!(latest(), 3);
    write(&create(&path), 4);
    assert_eq!(latest(), 4);
    drop(asked);
    // Gone while it is asked.
    let asked = Sqlite::open(&path, exchange("binance"), now).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(runtime.block_on(asked.latest(&Scope::default())), Err(StoreError::Unusable(_))));
}

/// Runs tickflux as another user; `None`, and said, if this one may not become another.
fn as_user(user: u32, folder: &Path, args: &[&str]) -> Option<Output> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("LEFT OUT: only root can become another user");
        return None;
    }
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", env!("CARGO_BIN_EXE_tickflux")]);
    Some(command.args(args).current_dir(folder).env_clear().output().unwrap())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every file in the folder belongs to this user.
fn assert_owned(folder: &Path, user: u32) {
    for name in names(folder) {
        assert_eq!(fs::metadata(folder.join(&name)).unwrap().uid(), user, "{name}");
    }
}

#[test]
fn whoever_asks_never_stops_the_next_capture_of_another_user() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    set_mode(folder.path(), 0o777);
    let exchange = runtime.block_on(practice::start(practice::market(72, 2_000)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["capture", "--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest];
    let capture = || as_user(CAPTURER, folder.path(), &[&args[..], &["--count", "2000", "--duration", "1m"]].concat());
    let Some(output) = capture() else { return };
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for command in [&["latest"][..], &["gaps", "--outbox", "none"], &["candles", "BTCUSDT"]] {
        let args = [command, &["--store", "sqlite:trades.db"]].concat();
        // As root, and as someone who may write in the folder but not the file.
        for output in [tickflux(folder.path(), &args), as_user(ASKER, folder.path(), &args).unwrap()] {
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert_owned(folder.path(), CAPTURER);
    let again = as_user(CAPTURER, folder.path(), &[&args[..], &["--duration", "1s"]].concat()).unwrap();
    let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!stderr.contains("readonly") && !stderr.contains("cannot use"), "{stderr}");

    // Nobody may write anything there.
    set_mode(&folder.path().join("trades.db"), 0o444);
    set_mode(folder.path(), 0o555);
    let output = as_user(ASKER, folder.path(), &["latest", "--store", "sqlite:trades.db"]).unwrap();
    set_mode(folder.path(), 0o777);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn another_user_sees_the_newest_trades_beside_a_capture_and_after_its_kill() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    set_mode(folder.path(), 0o755);
    let exchange = runtime.block_on(practice::start(practice::live_market(73, 500.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest];
    let capture = Capture::start(folder.path(), &args);
    let path = folder.path().join("trades.db");
    wait_until("trades are stored", || path.exists() && sqlite_trades(&path).len() > 500);
    let latest = || {
        let output =
            as_user(ASKER, folder.path(), &["latest", "BTCUSDT", "--store", "sqlite:trades.db", "--format", "json"])?;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        row["trade_id"].as_u64()
    };
    let Some(first) = latest() else { return };
    let newest = exchange.trades(&"BTCUSDT".parse().unwrap()).last().unwrap().id.get();
    assert!(newest - first < 500, "the newest trade but those of the last moment");
    wait_until("it goes on", || latest() > Some(newest));
    let before = names(folder.path());
    capture.kill();
    let stored = sqlite_trades(&path).keys().filter(|(symbol, _)| symbol == "BTCUSDT").map(|(_, id)| *id).max();
    assert_eq!(latest(), stored, "what was committed survives, and is seen");
    assert_owned(folder.path(), 0);
    assert!(names(folder.path()).iter().all(|name| before.contains(name)), "{:?}", names(folder.path()));
}
