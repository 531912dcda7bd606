//! The practice exchange replays an archive, a folder in one, or a Parquet file of trades: what is captured of it is what is in
//! it, and archived again it is the same files, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::archived::Archived;
use support::trades::{Trades, exchanges_list, sqlite_trades};
use support::{files, now, practice, runtime, tickflux, tickflux_ok, trade};
use tickflux::practice::{Running, Source, Speed};
use tickflux::store::{Attempt, Store};
use tickflux::trade::{Quantity, Trade, TradeTime};

const HOUR_MS: i64 = 3_600_000;

/// The names and bytes of the Parquet files in a folder.
fn parquet_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files(folder).into_iter().filter(|(name, _)| name.ends_with(".parquet")).collect()
}

fn replay(path: &Path, shift_minutes: Option<i64>) -> Source {
    Source::Replay { path: path.to_owned(), speed: Speed::Max, shift_minutes }
}

/// Captures so many trades of an exchange into a file.
fn capture(folder: &Path, exchange: &Running, name: &str, store: &str, count: usize) {
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args = ["capture", "--exchange", name, "--stream-url", &stream, "--rest-url", &rest, "--duration", "2m"];
    tickflux_ok(folder, &[&args[..], &["--store", store, "--count", &count.to_string()]].concat());
}

#[test]
fn what_is_captured_of_a_replayed_archive_is_archived_as_the_same_files() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let symbols = ["BTCUSDT", "ETHUSDT"].map(|symbol| symbol.parse().unwrap()).to_vec();
    // About three hours, which end now.
    let market = Source::Market { symbols, seed: 11, trades_per_second: 0.6, trades: Some(6_000), speed: Speed::Max };
    let exchange = runtime.block_on(practice::start(market));
    capture(folder.path(), &exchange, "practice", "sqlite:one.db", 6_000);
    let archive = |store: &str, to: &str| {
        let args = ["archive", "--to", to, "--store", store, "--seal-with-holes"];
        let output = tickflux(folder.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        parquet_files(&folder.path().join(to))
    };
    let first = archive("sqlite:one.db", "first");
    assert!(first.len() >= 4, "{:?}", first.keys());
    let replayed = runtime.block_on(practice::start(replay(&folder.path().join("first"), Some(0))));
    let count = usize::try_from(replayed.recording().unwrap().trades).unwrap();
    capture(folder.path(), &replayed, "practice", "sqlite:two.db", count);
    // The exchange's own list, of the hours that were over.
    let (mut list, hours) = (exchanges_list(&exchange), exchanges_list(&replayed));
    list.retain(|key, _| hours.contains_key(key));
    assert_eq!(list.len(), count);
    assert_eq!(sqlite_trades(&folder.path().join("two.db")), list);
    assert!(archive("sqlite:two.db", "second") == first, "the same files");
}

/// A month ago.
fn then() -> TradeTime {
    now().earlier_by(30 * 24 * HOUR_MS)
}

/// Trades of two symbols in three hours of a month ago, with odd texts.
fn old_trades() -> Vec<Trade> {
    let begin = then().ms() / HOUR_MS * HOUR_MS - 5 * HOUR_MS;
    let texts = ["0087000.100", "5", "2.50", "99999.99999999"];
    let of = |symbol: &str, first: u64| {
        let times = (0..600_i64).map(|at| begin + at * 17_000);
        let make = |(id, ms): (u64, i64)| Trade {
            quantity: Quantity::new(["0.00100", "7", "0.1"][id as usize % 3]).unwrap(),
            ..trade(symbol, id, ms, texts[id as usize % 4])
        };
        (first..).zip(times).map(make).collect::<Vec<_>>()
    };
    [of("BTCUSDT", 999_700), of("ETHUSDT", 5)].concat()
}

fn plain(trades: &[Trade], shift_ms: i64) -> Trades {
    let entry = |trade: &Trade| {
        let value =
            (trade.time.ms() + shift_ms, trade.price.to_string(), trade.quantity.to_string(), trade.buyer_is_maker);
        ((trade.symbol.to_string(), trade.id.get()), value)
    };
    trades.iter().map(entry).collect()
}

/// An archive of them in a folder.
fn old_archive() -> (tempfile::TempDir, Vec<Trade>) {
    let (folder, trades) = (tempfile::tempdir().unwrap(), old_trades());
    let archived = Archived::at(folder.path(), "binance", then);
    runtime().block_on(archived.write(&trades, Attempt::default())).unwrap();
    (folder, trades)
}

#[test]
fn an_old_archive_a_part_of_it_and_a_file_are_moved_to_now_with_their_texts() {
    let (folder, trades) = old_archive();
    let range = ["--since", "40days", "--format", "parquet", "--output", "eth.parquet", "--store", "archive:archive"];
    tickflux_ok(folder.path(), &[&["trades", "ETHUSDT"], &range[..]].concat());
    let archive = folder.path().join("archive");
    let hour = parquet_files(&archive).into_keys().find(|name| name.contains("BTC")).unwrap();
    let first_hour = trades[0].time.ms() / HOUR_MS;
    type Is = fn(&Trade, i64) -> bool;
    let cases: [(PathBuf, Is); 5] = [
        (archive.clone(), |_, _| true),
        (archive.join("exchange=binance"), |_, _| true),
        (archive.join("exchange=binance/symbol=ETHUSDT"), |trade, _| trade.symbol.as_str() == "ETHUSDT"),
        (archive.join(hour), |trade, hour| trade.symbol.as_str() == "BTCUSDT" && trade.time.ms() / HOUR_MS == hour),
        (folder.path().join("eth.parquet"), |trade, _| trade.symbol.as_str() == "ETHUSDT"),
    ];
    for (at, (path, is_in)) in cases.into_iter().enumerate() {
        let inside: Vec<_> = trades.iter().filter(|trade| is_in(trade, first_hour)).cloned().collect();
        let runtime = runtime();
        let exchange = runtime.block_on(practice::start(replay(&path, None)));
        let shift_ms = exchange.shift_minutes() * 60_000;
        let last = inside.iter().map(|trade| trade.time.ms()).max().unwrap() + shift_ms;
        assert!((0..2 * 60_000).contains(&(now().ms() - last)), "{}: the last one is {last}", path.display());
        let file = format!("{at}.db");
        let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
        let symbols: Vec<_> = ["BTCUSDT", "ETHUSDT"]
            .into_iter()
            .filter(|symbol| inside.iter().any(|it| it.symbol.as_str() == *symbol))
            .collect();
        let args = [
            "capture",
            "--stream-url",
            &stream,
            "--rest-url",
            &rest,
            "--duration",
            "2m",
            "--symbols",
            &symbols.join(","),
        ];
        let ends = ["--store", &format!("sqlite:{file}"), "--count", &inside.len().to_string()];
        tickflux_ok(folder.path(), &[&args[..], &ends].concat());
        assert_eq!(sqlite_trades(&folder.path().join(file)), plain(&inside, shift_ms), "{}", path.display());
    }
}

#[test]
fn what_cannot_be_replayed_is_one_line() {
    let (folder, _) = old_archive();
    let archive = folder.path().join("archive");
    let file = |symbol: &str| {
        let names = parquet_files(&archive);
        archive.join(names.keys().find(|name| name.contains(symbol)).unwrap())
    };
    let refused = |path: &Path, more: &[&str], code: i32, words: &[&str]| {
        // One that starts would run until somebody ends it.
        let args = ["30", env!("CARGO_BIN_EXE_tickflux"), "exchange", "--listen", "127.0.0.1:0", "--replay"];
        let output = Command::new("timeout").args(args).arg(path).args(more).env_clear().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    };
    fs::create_dir_all(folder.path().join("other/exchange=binance")).unwrap();
    refused(&folder.path().join("other"), &[], 3, &["other", "it is no archive"]);
    refused(&archive, &["--history", "1199"], 2, &["more than 1199 trades", "--history"]);
    refused(&file("BTC"), &["--history", "100"], 2, &["more than 100 trades", "--history"]);
    fs::create_dir(archive.join("exchange=none")).unwrap();
    refused(&archive.join("exchange=none"), &[], 3, &["holds no trade"]);
    fs::copy(file("BTC"), folder.path().join("some.parquet")).unwrap();
    refused(&folder.path().join("some.parquet"), &[], 3, &["some.parquet", "whose trades these are"]);
    fs::write(folder.path().join("torn.parquet"), &fs::read(file("BTC")).unwrap()[..900]).unwrap();
    refused(&folder.path().join("torn.parquet"), &[], 3, &["torn.parquet", "no whole Parquet file"]);
    // Another exchange beside it.
    let other = Archived::at(folder.path(), "practice", then);
    runtime().block_on(other.write(&old_trades()[..5], Attempt::default())).unwrap();
    refused(&archive, &[], 3, &["of binance and of practice", "exchange=binance"]);
    fs::remove_dir_all(archive.join("exchange=practice")).unwrap();
    let eth = file("ETH");
    let manifest = fs::read_dir(eth.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let manifest = manifest.filter(|path| path.extension().is_some_and(|is| is == "json")).min().unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"trades\": ", "\"trades\": 1")).unwrap();
    refused(&archive, &[], 3, &["its manifest says 1", "archive --check"]);
    fs::write(&manifest, text.replace("\"version\": 1", "\"version\": 9")).unwrap();
    refused(&archive, &[], 3, &["version 9"]);
}
