//! The archive: whole hours out of either store, once; what is repaired is sealed again; what is damaged is found.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use support::process::wait_until;
use support::{exchange, files, now, runtime, seed, tickflux, tickflux_with_short_files, trade, with_stores};
use tickflux::archive::read::keys;
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, MinutePoint, Store};
use tickflux::text::Excerpt;
use tickflux::trade::{Trade, TradeTime};

const HOUR_MS: i64 = 3_600_000;

/// The hour before that in which the tests began: over, whenever it is asked.
static LAST: LazyLock<i64> = LazyLock::new(|| now().ms() / HOUR_MS * HOUR_MS - HOUR_MS);

/// The begin of the hour so many hours before that, of which none is the last.
fn hour_ago(hours: i64) -> i64 {
    assert!(hours > 0);
    *LAST - hours * HOUR_MS
}

/// Of the running hour, whichever that is when it is asked.
fn later() -> i64 {
    now().ms() + 30_000
}

fn only_one(folder: &Path, is_it: impl Fn(&str) -> bool) -> PathBuf {
    let names: Vec<_> = files(folder).into_keys().filter(|name| is_it(name)).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    folder.join(&names[0])
}

/// Symbol, state, trades, missing and revision of an hour.
type Row = (String, String, u64, u64, u64);

/// The code of a run, and what it printed of each hour.
fn sealed(folder: &Path, store: &str, more: &[&str]) -> (Option<i32>, Vec<Row>) {
    let args = ["archive", "--to", "archive", "--store", store, "--format", "json"];
    let output = tickflux(folder, &[&args[..], more].concat());
    let stdout = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let (text, number) =
            (|key: &str| row[key].as_str().unwrap().to_owned(), |key: &str| row[key].as_u64().unwrap());
        (text("symbol"), text("state"), number("trades"), number("missing"), number("revision"))
    };
    (output.status.code(), stdout.lines().map(row).collect())
}

fn checked(folder: &Path) -> Output {
    tickflux(folder, &["archive", "--check", "archive"])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Three hours that are over, with ids across a million, and a trade of the running one; of ETHUSDT fewer.
fn some_trades() -> Vec<Trade> {
    let times = |hours, count: u64| (0..count).map(move |at| hour_ago(hours) + at as i64 * 35_000 / 4);
    let mut trades: Vec<_> = (999_900..)
        .zip(times(3, 400).chain(times(2, 300)).chain(times(1, 200)).chain([later()]))
        .map(|(id, ms)| trade("BTCUSDT", id, ms, "87000.10"))
        .collect();
    trades.extend(
        (7..).zip([hour_ago(2), hour_ago(2) + HOUR_MS - 1, later()]).map(|(id, ms)| trade("ETHUSDT", id, ms, "2900.5")),
    );
    trades
}

#[test]
fn whole_hours_are_sealed_once_and_again_when_a_hole_is_repaired() {
    with_stores(|store, write, folder| {
        let trades = some_trades();
        // One of the second hour is missing.
        let (lost, others): (Vec<_>, Vec<_>) = trades.iter().cloned().partition(|trade| trade.id.get() == 1_000_500);
        write(&others);
        let row = |symbol: &str, state: &str, trades, missing, revision| {
            (symbol.to_owned(), state.to_owned(), trades, missing, revision)
        };
        let whole = [
            row("BTCUSDT", "sealed", 400, 0, 1),
            row("BTCUSDT", "sealed", 200, 0, 1),
            row("ETHUSDT", "sealed", 2, 0, 1),
        ];
        let left = row("BTCUSDT", "left: ids are missing", 299, 1, 0);
        let expected = [&whole[..1], std::slice::from_ref(&left), &whole[1..]].concat();
        assert_eq!(sealed(folder, store, &[]), (Some(1), expected), "{store}");
        let found = checked(folder);
        assert_eq!(found.status.code(), Some(1), "{store}");
        assert!(
            said(&found).contains("ids 1000300 to 1000599 are missing, and its manifest does not say so"),
            "{}",
            said(&found)
        );

        let rows = vec![row("BTCUSDT", "sealed", 299, 1, 1)];
        assert_eq!(sealed(folder, store, &["--seal-with-holes"]), (Some(0), rows), "{store}");
        let found = checked(folder);
        assert_eq!(found.status.code(), Some(0), "{store}: {}", said(&found));
        assert!(
            said(&found).starts_with("4 files, 901 trades, 1 ids are listed as missing, 0 problems"),
            "{}",
            said(&found)
        );

        // Again it changes nothing.
        let before = files(folder.join("archive").as_path());
        assert_eq!(sealed(folder, store, &[]), (Some(0), vec![]), "{store}");
        assert!(files(folder.join("archive").as_path()) == before, "{store}");

        write(&lost);
        assert_eq!(sealed(folder, store, &[]), (Some(0), vec![row("BTCUSDT", "sealed again", 300, 0, 2)]), "{store}");
        let found = checked(folder);
        assert_eq!(found.status.code(), Some(0), "{store}: {}", said(&found));
        let of_hour = |text: &str| serde_json::from_slice::<Value>(text.as_bytes()).unwrap();
        let manifests = |all: BTreeMap<String, Vec<u8>>| {
            let texts = all.into_iter().filter(|(name, _)| name.ends_with(".json") && name.contains("BTCUSDT"));
            texts.map(|(_, bytes)| of_hour(&String::from_utf8(bytes).unwrap())).collect::<Vec<_>>()
        };
        let (before, after) = (manifests(before), manifests(files(folder.join("archive").as_path())));
        assert_eq!((before.len(), after.len()), (3, 3));
        let (before, after) = before.iter().zip(&after).find(|(before, after)| before != after).unwrap();
        assert_eq!(before["holes"][0], serde_json::json!({"from_id": 1_000_500, "to_id": 1_000_500, "state": "open"}));
        assert_eq!((&before["whole"], &after["whole"]), (&Value::Bool(false), &Value::Bool(true)));
        assert_eq!(after["replaces"], serde_json::json!({"revision": 1, "sha256": before["sha256"]}));

        // Every trade of the hours that are over is in a file, in its order.
        let mut found = Vec::new();
        for name in files(folder.join("archive").as_path()).into_keys().filter(|name| name.ends_with(".parquet")) {
            assert!(name.starts_with("exchange=binance/symbol="), "{name}");
            keys(&folder.join("archive").join(name), |_, key| found.push((key.time, key.id))).unwrap();
        }
        let expected = trades.iter().filter(|trade| trade.time.ms() < *LAST);
        assert_eq!(found, expected.map(|trade| (trade.time, trade.id)).collect::<Vec<_>>(), "{store}");
    });
}

/// A SQLite store with these trades in a folder, and an archive of it.
fn archived() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    runtime().block_on(store.write(&some_trades(), Attempt::default())).unwrap();
    assert_eq!(sealed(folder.path(), "sqlite:trades.db", &[]).0, Some(0));
    folder
}

#[test]
fn what_is_damaged_is_named() {
    type Damage = fn(&Path);
    let eth = |name: &str| name.contains("ETHUSDT");
    let damages: [(&str, Damage); 7] = [
        ("its SHA-256 is ", |archive| {
            let path = only_one(archive, |name| name.contains("ETHUSDT") && name.ends_with(".parquet"));
            let mut bytes = fs::read(&path).unwrap();
            bytes[40] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("it cannot be read: No such file", |archive| {
            fs::remove_file(only_one(archive, |name| name.contains("ETHUSDT") && name.ends_with(".parquet"))).unwrap();
        }),
        ("it has no manifest", |archive| {
            fs::remove_file(only_one(archive, |name| name.contains("ETHUSDT") && name.ends_with(".json"))).unwrap();
        }),
        ("it has version 2, this tickflux knows 1", |archive| {
            edit(archive, "\"version\": 1", "\"version\": 2");
        }),
        ("it is no manifest", |archive| edit(archive, "\"trades\": 2", "\"trades\": \"two\"")),
        ("its manifest says 3 from 7 to 8", |archive| edit(archive, "\"trades\": 2", "\"trades\": 3")),
        ("it is no file of an archive", |archive| fs::write(archive.join("notes.ETHUSDT"), "x").unwrap()),
    ];
    for (words, damage) in damages {
        let folder = archived();
        assert!(files(&folder.path().join("archive")).into_keys().any(|name| eth(&name)));
        damage(&folder.path().join("archive"));
        let output = checked(folder.path());
        assert_eq!(output.status.code(), Some(1), "{words}: {}", said(&output));
        assert!(said(&output).contains(words) && said(&output).contains("ETHUSDT"), "{words}: {}", said(&output));
        assert!(said(&output).contains(" 1 problems"), "{words}: {}", said(&output));
    }
}

fn edit(archive: &Path, from: &str, to: &str) {
    let path = only_one(archive, |name| name.contains("ETHUSDT") && name.ends_with(".json"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = archived();
    fs::create_dir(folder.path().join("other")).unwrap();
    fs::write(folder.path().join("other/file"), "mine").unwrap();
    drop(Sqlite::create(&folder.path().join("empty.db"), exchange("binance"), now).unwrap());
    for (args, code, words) in [
        (&["--check", "other"][..], 2, "it is no archive"),
        (&["--check", "absent"], 2, "No such file"),
        (&["--to", "other", "--store", "sqlite:trades.db"], 2, "it is no archive"),
        (&["--to", "trades.db", "--store", "sqlite:trades.db"], 2, "cannot use trades.db"),
        (&["--to", "new", "--store", "sqlite:absent.db"], 3, "no store at absent.db"),
        (&["--to", "new", "--store", "sqlite:empty.db"], 1, "no trade since "),
        (&["--to", "new", "--check", "archive"], 2, "cannot be used with"),
        (&[], 2, "--to <DIR>"),
        (&["--to", "new", "--since", "25h"], 2, "25h"),
    ] {
        let output = tickflux(folder.path(), &[&["archive"], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{args:?}: {stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{args:?}: {stderr}");
    }
    assert!(!folder.path().join("new").exists());
    assert_eq!(files(&folder.path().join("other")).len(), 1);
}

/// `tickflux archive --follow` on a SQLite store, looking every second.
fn following(folder: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickflux"));
    command
        .args(["archive", "--to", "archive", "--store", "sqlite:trades.db", "--follow", "--every", "1s"])
        .args(more)
        .current_dir(folder)
        .env_clear();
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn it_follows_a_capture_seals_again_and_ends_when_asked() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    let write = |trades: &[Trade]| drop(runtime.block_on(store.write(trades, Attempt::default())).unwrap());
    // Nothing is stored yet, and then an hour whose end nothing proves.
    let mut child = following(folder.path(), &[]);
    let trades: Vec<_> =
        (1..=9).map(|id| trade("BTCUSDT", id, hour_ago(2) + i64::try_from(id).unwrap() * 1_000, "5")).collect();
    write(&trades[..7]);
    let archive = folder.path().join("archive");
    wait_until("the archive is begun", || archive.join("_tickflux-archive").exists());
    assert!(!files(&archive).into_keys().any(|name| name.ends_with(".parquet")));
    // The ninth proves that the eighth is missing.
    write(&trades[8..]);
    write(&[trade("BTCUSDT", 10, later(), "5")]);
    write(&trades[7..8]);
    let manifest = || {
        let name = files(&archive).into_keys().find(|name| name.ends_with(".json"))?;
        serde_json::from_slice::<Value>(&fs::read(archive.join(name)).ok()?).ok()
    };
    wait_until("the hour is sealed", || manifest().is_some());
    assert_eq!((&manifest().unwrap()["trades"], &manifest().unwrap()["revision"]), (&Value::from(9), &Value::from(1)));
    // A file that somebody removed is sealed again.
    let file = only_one(&archive, |name| name.ends_with(".parquet"));
    fs::remove_file(&file).unwrap();
    wait_until("the hour is sealed again", || file.exists());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(checked(folder.path()).status.code(), Some(0));
}

#[test]
fn following_a_writer_and_killed_at_any_moment_it_leaves_no_torn_file() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trades.db");
    let times = (1..=20).rev().flat_map(|hours| (0..200).map(move |at| hour_ago(hours) + at * 17_000)).chain([later()]);
    let trades: Vec<_> = (1..).zip(times).map(|(id, ms)| trade("BTCUSDT", id, ms, "5.5")).collect();
    let store = Sqlite::create(&path, exchange("binance"), now).unwrap();
    let mut withheld = Vec::new();
    let mut rounds = trades.chunks(trades.len() / 20 + 1).enumerate();
    for (round, batch) in rounds.by_ref() {
        // What a capture misses comes by a repair, some rounds later.
        let (missed, taken): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(|_| rng.u32(0..100) == 0);
        let repaired: Vec<_> = if round % 3 == 2 { std::mem::take(&mut withheld) } else { Vec::new() };
        withheld.extend(missed);
        let mut child = following(folder.path(), if round % 2 == 0 { &[] } else { &["--seal-with-holes"] });
        for part in taken.chunks(20).chain(repaired.chunks(20)) {
            runtime().block_on(store.write(part, Attempt::default())).unwrap();
        }
        std::thread::sleep(Duration::from_millis(rng.u64(0..600)));
        child.kill().unwrap();
        child.wait().unwrap();
        let archive = folder.path().join("archive");
        let names = if archive.exists() { files(&archive) } else { BTreeMap::new() };
        for name in names.into_keys().filter(|name| name.ends_with(".parquet")) {
            keys(&archive.join(&name), |_, _| ()).unwrap_or_else(|error| panic!("{round}: {name}: {error}"));
        }
    }
    runtime().block_on(store.write(&withheld, Attempt::default())).unwrap();
    assert_eq!(sealed(folder.path(), "sqlite:trades.db", &[]).0, Some(0));
    let output = checked(folder.path());
    assert!(said(&output).contains("20 files, 4000 trades, 0 problems"), "{}", said(&output));
}

#[test]
fn killed_at_any_moment_it_leaves_no_torn_file_and_the_next_run_ends_it() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    let times = (1..=20).rev().flat_map(|hours| (0..500).map(move |at| hour_ago(hours) + at * 7_000)).chain([later()]);
    let trades: Vec<_> = (1..).zip(times).map(|(id, ms)| trade("BTCUSDT", id, ms, "5.5")).collect();
    runtime().block_on(store.write(&trades, Attempt::default())).unwrap();
    let archive = folder.path().join("archive");
    for round in 0..20 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickflux"));
        command
            .args(["archive", "--to", "archive", "--store", "sqlite:trades.db"])
            .current_dir(folder.path())
            .env_clear();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.u64(0..400)));
        child.kill().unwrap();
        child.wait().unwrap();
        if !archive.join("_tickflux-archive").exists() {
            continue;
        }
        // Whatever stands under a final name is whole.
        for name in files(&archive).into_keys().filter(|name| name.ends_with(".parquet")) {
            let mut count = 0;
            keys(&archive.join(&name), |_, _| count += 1).unwrap();
            assert_eq!(count, 500, "{round}: {name}");
        }
        if round % 5 == 4 {
            fs::remove_dir_all(&archive).unwrap();
        }
    }
    let rows = sealed(folder.path(), "sqlite:trades.db", &[]);
    assert_eq!(rows.0, Some(0));
    let output = checked(folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("20 files, 10000 trades, 0 problems"), "{}", said(&output));
    assert!(!files(&archive).into_keys().any(|name| name.contains(".part")));
}

/// What was found of minutes stands in their hour's manifest, and is renewed without sealing anything again.
#[test]
fn a_manifest_says_how_many_minutes_were_verified() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    runtime.block_on(store.write(&some_trades(), Attempt::default())).unwrap();
    let point = |symbol: &str, ms: i64, difference: Option<&str>| MinutePoint {
        symbol: symbol.parse().unwrap(),
        start: TradeTime::from_ms(ms).unwrap(),
        trades: 1,
        ids: None,
        open: 1.into(),
        high: 1.into(),
        low: 1.into(),
        close: 1.into(),
        volume: None,
        taker_buy_volume: None,
        difference: difference.map(Excerpt::of),
    };
    let keep = |points: &[MinutePoint]| runtime.block_on(store.keep_minutes(points)).unwrap();
    let minutes = || {
        let manifests = files(&folder.path().join("archive")).into_iter().filter(|(name, _)| name.ends_with(".json"));
        let of = |(name, bytes): (String, Vec<u8>)| {
            let manifest: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(manifest["revision"], 1, "{name}");
            let count = |key: &str| manifest["minutes"][key].as_u64().unwrap();
            (manifest["symbol"].as_str().unwrap().to_owned(), count("verified"), count("different"))
        };
        manifests.map(of).collect::<Vec<_>>()
    };
    let row = |symbol: &str, verified, different| (symbol.to_owned(), verified, different);
    keep(&[point("BTCUSDT", hour_ago(2), None), point("BTCUSDT", hour_ago(2) + 60_000, Some("volume"))]);
    assert_eq!(sealed(folder.path(), "sqlite:trades.db", &[]).0, Some(0));
    let none = |symbol| row(symbol, 0, 0);
    assert_eq!(minutes(), [none("BTCUSDT"), row("BTCUSDT", 1, 1), none("BTCUSDT"), none("ETHUSDT")]);
    let before = files(&folder.path().join("archive"));
    keep(&[point("BTCUSDT", hour_ago(2) + 60_000, None), point("ETHUSDT", hour_ago(2) + HOUR_MS - 60_000, None)]);
    assert_eq!(sealed(folder.path(), "sqlite:trades.db", &[]), (Some(0), vec![]));
    assert_eq!(minutes(), [none("BTCUSDT"), row("BTCUSDT", 2, 0), none("BTCUSDT"), row("ETHUSDT", 1, 0)]);
    let after = files(&folder.path().join("archive"));
    let parquet = |all: &BTreeMap<String, Vec<u8>>| {
        all.iter().filter(|(name, _)| name.ends_with(".parquet")).map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    assert!(parquet(&before) == parquet(&after));
    assert_eq!(checked(folder.path()).status.code(), Some(0));
}

/// A disk that takes no more, as a limit of the system on the length of files: nothing half-written is left, and the next run seals.
#[test]
fn a_disk_that_is_full_leaves_nothing_half_written() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    runtime.block_on(store.write(&some_trades(), Attempt::default())).unwrap();
    drop(store);
    let args = ["archive", "--to", "archive", "--store", "sqlite:trades.db"];
    let output = tickflux_with_short_files(folder.path(), 1, &args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(3), 1), "{stderr}");
    assert!(stderr.contains("cannot write") && stderr.contains("File too large"), "{stderr}");
    let left: Vec<_> =
        files(&folder.path().join("archive")).into_keys().filter(|name| name.contains("hour=")).collect();
    assert_eq!(left, [] as [String; 0]);
    assert_eq!(sealed(folder.path(), "sqlite:trades.db", &[]).0, Some(0));
    assert_eq!(checked(folder.path()).status.code(), Some(0));
}
