//! The trades themselves: both stores, an archive and the command hand over exactly what the exchange's own list has, in the order of
//! (T, id), whatever is between them.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::influxd::Influxd;
use support::process::{peak_bytes, wait_until};
use support::tmux::Terminal;
use support::{
    column, exchange, minute_ago, now, practice, runtime, seed, tickflux, tickflux_in, tickflux_ok,
    tickflux_with_short_files, trade, with_all_that_answer, with_each_store,
};
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Scope, Store, StoredTrade};
use tickflux::trade::{Quantity, Trade, TradeTime};

const TICKFLUX: &str = env!("CARGO_BIN_EXE_tickflux");
const HOUR_MS: i64 = 3_600_000;

fn time(ms: i64) -> TradeTime {
    TradeTime::from_ms(ms).unwrap()
}

fn only(symbol: &str) -> Scope {
    Scope { symbols: vec![symbol.parse().unwrap()], exchange: None }
}

/// What a store hands over, `most` at most.
async fn read(store: &dyn Store, scope: &Scope, since: i64, until: Option<i64>, most: usize) -> Vec<StoredTrade> {
    let mut found = Vec::new();
    let mut keep = |trade| {
        found.push(trade);
        if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    store.trades(scope, time(since), until.map(time), &mut keep).await.unwrap();
    found
}

async fn ids(store: &dyn Store, symbol: &str, since: i64, until: Option<i64>) -> Vec<u64> {
    let found = read(store, &only(symbol), since, until, usize::MAX).await;
    found.iter().map(|stored| stored.trade.id.get()).collect()
}

/// The same by plain computation: sorted by (T, id).
fn expected(trades: &[Trade], since: i64, until: i64) -> Vec<Trade> {
    let mut kept: Vec<_> = trades.iter().filter(|trade| (since..until).contains(&trade.time.ms())).cloned().collect();
    kept.sort_by_key(|trade| (trade.time, trade.id));
    kept
}

#[test]
fn hand_made_cases() {
    with_all_that_answer(async |name, store, other| {
        let minute = minute_ago(10);
        let write = async |trades: &[Trade]| drop(store.write(trades, Attempt::default()).await.unwrap());
        assert_eq!(ids(store, "NOTHING", minute, None).await, [0; 0], "{name}");

        // The edges: from the first millisecond on, up to but not including the last.
        write(&[1, 2, 3].map(|id| trade("EDGES", id, minute + 1_000 * id as i64, "5"))).await;
        for (since, until, found) in [
            (0, None, &[1, 2, 3][..]),
            (1_000, None, &[1, 2, 3]),
            (1_001, None, &[2, 3]),
            (1_000, Some(3_000), &[1, 2]),
            (1_000, Some(3_001), &[1, 2, 3]),
            (2_000, Some(2_001), &[2]),
            (2_000, Some(2_000), &[]),
            (2_001, Some(2_999), &[]),
            (2_001, Some(2_000), &[]),
            (4_000, None, &[]),
            (-20 * HOUR_MS, Some(20 * HOUR_MS), &[1, 2, 3]),
        ] {
            let context = format!("{name} {since} {until:?}");
            assert_eq!(ids(store, "EDGES", minute + since, until.map(|ms| minute + ms)).await, found, "{context}");
        }

        // Inside a millisecond across a million: the point with the largest time is not the one with the largest id.
        let crossing = [(999_998, 0), (999_999, 0), (1_000_000, 0), (1_000_001, 0), (1_000_002, 1)];
        write(&crossing.map(|(id, ms)| trade("CROSS", id, minute + ms, "5"))).await;
        let all = [999_998, 999_999, 1_000_000, 1_000_001, 1_000_002];
        assert_eq!(ids(store, "CROSS", minute, None).await, all, "{name}");
        assert_eq!(ids(store, "CROSS", minute, Some(minute + 1)).await, all[..4], "{name}");

        // The order is that of (T, id): neither that of ids nor that of writing.
        write(&[(9, 5), (7, 6), (8, 6), (1, 7), (100, 4)].map(|(id, ms)| trade("ORDER", id, minute + ms, "5"))).await;
        assert_eq!(ids(store, "ORDER", minute, None).await, [100, 9, 7, 8, 1], "{name}");

        // Hours without a trade between.
        let far = [(1, -9 * HOUR_MS), (2, -9 * HOUR_MS + 1), (3, -HOUR_MS), (4, 0)];
        write(&far.map(|(id, ms)| trade("FAR", id, minute + ms, "5"))).await;
        assert_eq!(ids(store, "FAR", minute - 10 * HOUR_MS, None).await, [1, 2, 3, 4], "{name}");

        // The exchange's clock is ahead of the database's.
        write(&[trade("AHEAD", 1, now().ms() + 2_000, "5")]).await;
        assert_eq!(ids(store, "AHEAD", minute, None).await, [1], "{name}");

        // Series after series, by exchange and symbol; who breaks gets no more.
        write(&[(2, 1), (1, 0)].map(|(id, ms)| trade("BOTH", id, minute + ms, "5"))).await;
        let trades = [trade("BOTH", 3, minute, "6"), trade("ALSO", 4, minute + 5, "6")];
        other.write(&trades, Attempt::default()).await.unwrap();
        let series = |found: &[StoredTrade]| {
            let of = |stored: &StoredTrade| (stored.exchange.to_string(), stored.trade.id.get());
            found.iter().map(of).collect::<Vec<_>>()
        };
        let of = |exchange: &str, id| (exchange.to_owned(), id);
        for hours in [0, 20] {
            let since = minute - hours * HOUR_MS;
            let found = read(store, &only("BOTH"), since, Some(minute + 9), usize::MAX).await;
            assert_eq!(series(&found), [of("binance", 1), of("binance", 2), of("practice", 3)], "{name}");
            let practice = Scope { exchange: Some(exchange("practice")), ..Scope::default() };
            let found = read(store, &practice, since, Some(minute + 9), usize::MAX).await;
            assert_eq!(series(&found), [of("practice", 4), of("practice", 3)], "{name}");
        }
        for most in 1..3 {
            assert_eq!(read(store, &only("BOTH"), minute, None, most).await.len(), most, "{name}");
        }

        // The texts come back byte for byte.
        let exact = Trade { quantity: Quantity::new("0.00100").unwrap(), ..trade("EXACT", 1, minute, "0100.5000") };
        write(std::slice::from_ref(&exact)).await;
        let found = read(store, &only("EXACT"), minute, None, usize::MAX).await;
        assert_eq!(found, [StoredTrade { exchange: exchange("binance"), trade: exact }], "{name}");
    });
}

#[test]
fn a_trade_past_the_retention_is_not_handed_over() {
    with_each_store(async |name, store, _| {
        let bound = now().ms() - 24 * HOUR_MS;
        let trades = [trade("OLD", 1, bound + 2_000, "9"), trade("OLD", 2, bound + 9_000, "5")];
        assert_eq!(store.write(&trades, Attempt::default()).await.unwrap().expired.count(), 0);
        while now().ms() - 24 * HOUR_MS < bound + 2_500 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(ids(store, "OLD", bound - HOUR_MS, None).await, [2], "{name}");
    });
}

/// Trades with many in one millisecond, ids across a million, holes, and hours without one.
fn random_trades(rng: &mut fastrand::Rng, symbol: &str, start: i64, count: usize) -> Vec<Trade> {
    let (mut id, mut ms) = (5_000_000 - rng.u64(0..400), start);
    let mut trades = Vec::new();
    for _ in 0..count {
        ms += match rng.u32(0..1_000) {
            0 => rng.i64(0..600_000),
            1..200 => rng.i64(0..1_500),
            _ => 0,
        };
        id += if rng.u8(0..20) == 0 { rng.u64(2..5) } else { 1 };
        let quantity = Quantity::new(&format!("0.{:05}", rng.u32(1..100_000))).unwrap();
        trades.push(Trade { quantity, ..trade(symbol, id, ms, &format!("{}.{}", rng.u8(1..4), rng.u8(0..6))) });
    }
    trades
}

#[test]
fn random_trades_agree_with_a_plain_computation() {
    let seed = seed();
    with_all_that_answer(async |name, store, _| {
        let mut rng = fastrand::Rng::with_seed(seed);
        for symbol in ["R1", "R2", "R3"] {
            let start = minute_ago(23 * 60) + rng.i64(0..60_000);
            let count = rng.usize(1..12_000);
            let mut trades = random_trades(&mut rng, symbol, start, count);
            let end = trades[count - 1].time.ms();
            rng.shuffle(&mut trades);
            store.write(&trades, Attempt::default()).await.unwrap();
            for _ in 0..6 {
                let since = if rng.bool() { rng.i64(start - 9..=end) } else { rng.choice(&trades).unwrap().time.ms() };
                let until = rng.choice(&trades).unwrap().time.ms() + rng.i64(-1..2);
                let context = format!("{name} {symbol} {since} {until}");
                let found = read(store, &only(symbol), since, Some(until), usize::MAX).await;
                let found: Vec<_> = found.into_iter().map(|stored| stored.trade).collect();
                assert!(found == expected(&trades, since, until), "{context}");
            }
        }
    });
}

/// More than InfluxDB is asked for at once: by minutes, by parts of a minute, and in halves where it was not known.
#[test]
fn many_trades_come_in_parts_and_none_is_lost_between_them() {
    with_all_that_answer(async |name, store, _| {
        let minute = minute_ago(60);
        // A quiet time, a minute with more than a stretch holds, and one with more than an answer may have.
        let quiet = (0..30_000_i64).map(|at| minute - 1_200_000 + at * 40);
        let busy = (0..55_000_i64).map(|at| minute + at * 59_999 / 55_000);
        let burst = (0..105_000_i64).map(|at| minute + 60_000 + at / 20);
        let times = quiet.chain(busy).chain(burst);
        let trades: Vec<_> = (0_u64..).zip(times).map(|(at, ms)| trade("MANY", 6_900_000 + at, ms, "5")).collect();
        for part in trades.chunks(20_000) {
            store.write(part, Attempt::default()).await.unwrap();
        }
        let numbers = |found: Vec<StoredTrade>| {
            found.iter().map(|stored| (stored.trade.time.ms(), stored.trade.id.get())).collect::<Vec<_>>()
        };
        for (since, until) in [(minute - 2 * HOUR_MS, minute + HOUR_MS), (minute + 60_000, minute + 120_000)] {
            let found = numbers(read(store, &only("MANY"), since, Some(until), usize::MAX).await);
            let expected: Vec<_> =
                expected(&trades, since, until).iter().map(|trade| (trade.time.ms(), trade.id.get())).collect();
            assert_eq!(found.len(), expected.len(), "{name}");
            assert!(found == expected, "{name}");
        }
    });
}

/// Captures a market into `store`; gives the exchange's own list of BTCUSDT.
fn captured(folder: &Path, store: &str) -> Vec<Trade> {
    let runtime = runtime();
    let exchange = runtime.block_on(practice::start(practice::market(31, 12_000)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let capture = ["capture", "--exchange", "practice", "--stream-url", &stream, "--rest-url", &rest];
    let ends = ["--store", store, "--count", "12000", "--duration", "2m"];
    tickflux_ok(folder, &[&capture[..], &ends].concat());
    exchange.trades(&"BTCUSDT".parse().unwrap())
}

/// The exchange's list as the command is to print it.
fn as_json(trades: &[Trade]) -> String {
    let line = |trade: &Trade| {
        let Trade { symbol, id, time, price, quantity, buyer_is_maker } = trade;
        format!(
            "{{\"exchange\":\"practice\",\"symbol\":\"{symbol}\",\"trade_id\":{id},\"time\":\"{time}\",\"price\":\"{price}\",\
             \"quantity\":\"{quantity}\",\"buyer_is_maker\":{buyer_is_maker}}}\n"
        )
    };
    trades.iter().map(line).collect()
}

#[test]
fn the_command_prints_the_exchanges_own_list() {
    check_command("sqlite:trades.db");
    let Some(influxd) = Influxd::start() else { return };
    let list = check_command(&influxd.url);
    // The bundled file, for the minutes that it is asked for.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trades.flux");
    let args = ["flux", "trades", "--symbol", "BTCUSDT", "--since", "1h", "--until", "0s"];
    std::fs::write(&path, tickflux_ok(folder.path(), &args)).unwrap();
    let csv = influxd.influx_ok(&["query", "--raw", "--file", path.to_str().unwrap()]);
    let texts = |text: fn(&Trade) -> String| list.iter().map(text).collect::<Vec<_>>();
    assert_eq!(column(&csv, "trade_id"), texts(|trade| trade.id.to_string()));
    assert_eq!(column(&csv, "price"), texts(|trade| trade.price.to_string()));
    assert_eq!(column(&csv, "quantity"), texts(|trade| trade.quantity.to_string()));
}

fn check_command(store: &str) -> Vec<Trade> {
    let folder = tempfile::tempdir().unwrap();
    let list = captured(folder.path(), store);
    let args = |more: &[&'static str]| {
        let args = ["trades", "BTCUSDT", "--store", store];
        args.iter().map(ToString::to_string).chain(more.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    let printed = |more: &[&'static str]| {
        let args = args(more);
        tickflux_ok(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let json = printed(&["--format", "json"]);
    assert!(json == as_json(&list), "{store}: {} lines of {}", json.lines().count(), list.len());

    let csv = printed(&["--format", "csv"]);
    assert!(
        csv.starts_with("exchange,symbol,trade_id,time,price,quantity,buyer_is_maker\npractice,BTCUSDT,"),
        "{csv:.200}"
    );
    for (name, values) in [
        ("trade_id", list.iter().map(|trade| trade.id.to_string()).collect::<Vec<_>>()),
        ("time", list.iter().map(|trade| trade.time.to_string()).collect()),
        ("price", list.iter().map(|trade| trade.price.to_string()).collect()),
        ("quantity", list.iter().map(|trade| trade.quantity.to_string()).collect()),
        ("buyer_is_maker", list.iter().map(|trade| trade.buyer_is_maker.to_string()).collect()),
    ] {
        assert!(column(&csv, name) == values, "{store}: {name}");
    }

    // One heading, and each line as wide as the others.
    let table = printed(&["--format", "table"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2 + list.len(), "{store}");
    let id = |line: &str| line.split('|').nth(3).unwrap().trim().to_owned();
    let of_list: Vec<_> = list.iter().map(|trade| trade.id.to_string()).collect();
    assert_eq!((lines[0].starts_with("| exchange | symbol "), lines[1].starts_with("|---")), (true, true));
    assert!(lines[2..].iter().map(|line| id(line)).eq(of_list), "{store}");
    assert!(lines[2..].windows(2).all(|pair| pair[1].find("| BTCUSDT") == pair[0].find("| BTCUSDT")));

    // A file has the same, and nothing is on standard output.
    let args = args(&["--format", "csv", "--output", "trades.csv"]);
    let output = tickflux(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{stderr}");
    assert!(stderr.contains(&format!("{} trades in trades.csv", list.len())), "{stderr}");
    assert!(std::fs::read_to_string(folder.path().join("trades.csv")).unwrap() == csv);

    // From a trade on, and up to one.
    let (from, to) = (&list[list.len() / 3], &list[list.len() / 2]);
    let (since, until) = (from.time.to_string(), to.time.to_string());
    let args = ["trades", "btcusdt", "--store", store, "--format", "json", "--since", &since, "--until", &until];
    let expected = expected(&list, from.time.ms(), to.time.ms());
    assert!(tickflux_ok(folder.path(), &args) == as_json(&expected), "{store}");
    list
}

/// A store with so many trades of one a millisecond, up to a minute ago.
fn many(folder: &Path, count: i64) {
    drop(Sqlite::create(&folder.join("tickflux.db"), exchange("binance"), now).unwrap());
    let connection = rusqlite::Connection::open(folder.join("tickflux.db")).unwrap();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) \
               INSERT INTO trade SELECT 'binance', 'BTCUSDT', ?2 + i, 6000000000 + i, \
               printf('87%03d.%02d000000', i / 100 % 1000, i % 97), printf('0.%05d000', i % 9973 + 1), i % 2 FROM n";
    connection.execute(sql, [count, minute_ago(1) - count]).unwrap();
}

fn spawn(folder: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(TICKFLUX);
    command.args(["trades", "BTCUSDT", "--since", "23h"]).args(args).current_dir(folder).env_clear();
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kilobytes that a run had at once, at most: asked again and again until it has printed all but what a pipe holds.
fn peak_kb(folder: &Path, format: &str) -> u64 {
    let mut child = spawn(folder, &["--format", format]);
    let mut stdout = child.stdout.take().unwrap();
    let (mut piece, mut peak) = (vec![0; 64 << 10], 0);
    while stdout.read(&mut piece).unwrap() > 0 {
        peak = peak.max(peak_bytes(child.id()).unwrap_or(0) / 1_000);
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[test]
fn memory_does_not_grow_with_the_number_of_trades() {
    let peaks = [200_000, 1_000_000].map(|count| {
        let folder = tempfile::tempdir().unwrap();
        many(folder.path(), count);
        ["csv", "parquet"].map(|format| peak_kb(folder.path(), format))
    });
    eprintln!("peak RSS in kB, CSV and Parquet, of 200,000 and 1,000,000 trades: {peaks:?}");
    for (few, many) in peaks[0].into_iter().zip(peaks[1]) {
        assert!(few > 0 && many < 100_000 && many < few + 16_000, "{peaks:?}");
    }
}

#[test]
fn a_slow_reader_does_not_keep_the_log_of_a_capture_from_being_emptied() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path(), 200_000);
    let mut child = spawn(folder.path(), &["--format", "csv"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    // The pipe is full meanwhile.
    let connection = rusqlite::Connection::open(folder.path().join("tickflux.db")).unwrap();
    for id in 0..100 {
        let sql = "INSERT INTO trade VALUES ('binance', 'ETHUSDT', ?1, ?2, '1.0', '1.0', 1)";
        connection.execute(sql, [minute_ago(1), id]).unwrap();
    }
    wait_until("the log is emptied", || {
        let checkpoint = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], checkpoint).unwrap() == 0
    });
    assert!(child.try_wait().unwrap().is_none(), "it is still printing");
    assert_eq!(lines.lines().count(), 200_000);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_enough_ends_it_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path(), 100_000);
    for format in ["table", "json", "csv"] {
        let mut child = spawn(folder.path(), &["--format", format]);
        let mut first = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{format}");
    }
    // Half a Parquet file is none.
    let mut child = spawn(folder.path(), &["--format", "parquet"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(3), 1), "{stderr}");
    assert!(stderr.contains("cannot write all of it to standard output"), "{stderr}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.filter(|name| !name.starts_with("tickflux.db")).collect();
    names.sort();
    names
}

#[test]
fn what_cannot_be_is_refused_in_one_line_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path(), 10);
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let parquet = ["--format", "parquet", "--output", "file"];
    for (args, code, words) in [
        (&["NOTHING"][..], 1, "no trade of NOTHING since "),
        (&["NOTHING", "--format", "parquet", "--output", "file"], 1, "no trade of NOTHING since "),
        (&["BTCUSDT", "--exchange", "other", "--output", "file"], 1, "exchange other"),
        (&["BTCUSDT", "--since", "25h"], 1, "more than 24 h ago"),
        (&["BTCUSDT", "--since", "2h", "--until", "1h"], 1, " and before "),
        (&["BTC/USDT"], 2, "is not a name"),
        (&[], 2, "<SYMBOL>"),
        (&["BTCUSDT", "--since", "soon"], 2, "is not a time"),
        (&["BTCUSDT", "--since", "1m", "--until", "2m"], 2, "is not after --since"),
        (&["BTCUSDT", "--until", "1969-01-01"], 2, "is not between 1970 and 2262"),
        (&["BTCUSDT", "--format", "xml"], 2, "xml"),
        (&["BTCUSDT", "--output", "folder"], 2, "is no regular file"),
        (&["BTCUSDT", "--output", "/dev/null"], 2, "is no regular file"),
        (&["BTCUSDT", "--output", "absent/file"], 2, "cannot write --output absent/file: No such file or directory"),
        (&["BTCUSDT", "--output", ""], 2, "a value is required for '--output <FILE>'"),
        (&["BTCUSDT", "--output", "."], 2, "is no regular file"),
        (&["BTCUSDT", "--store", "sqlite:absent.db", "--output", "file"], 3, "no store at absent.db"),
        (&["BTCUSDT", "--store", "http://127.0.0.1:9", "--output", "file"], 3, "127.0.0.1:9"),
    ] {
        let output = tickflux(folder.path(), &[&["trades"], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{args:?}: {stderr}");
        let lines = stderr.lines().filter(|line| !line.contains("either no capture runs"));
        assert!(stderr.contains(words) && lines.count() == 1, "{args:?}: {stderr}");
        assert_eq!(names(folder.path()), ["folder"], "{args:?}");
    }
    // What was there stays.
    std::fs::write(folder.path().join("file"), "before").unwrap();
    assert_eq!(tickflux(folder.path(), &[&["trades", "NOTHING"], &parquet[..]].concat()).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "before");
}

#[test]
fn a_file_that_cannot_be_written_to_its_end_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path(), 50_000);
    for format in ["table", "json", "csv", "parquet"] {
        let args = ["trades", "BTCUSDT", "--since", "23h", "--format", format, "--output", "file"];
        let output = tickflux_with_short_files(folder.path(), 8, &args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(3), 1), "{format}: {stderr}");
        assert!(stderr.contains("cannot write file: ") && stderr.contains("nothing of it is left"), "{stderr}");
        assert_eq!(names(folder.path()), [""; 0], "{format}");
    }
    let output = Command::new("bash")
        .args(["-c", &format!("{TICKFLUX} trades BTCUSDT --format csv >/dev/full")])
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(3), 1), "{stderr}");
    assert!(stderr.contains("cannot print: No space left"), "{stderr}");
}

#[test]
fn an_interrupted_run_leaves_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // A store that takes the question and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("http://{}", silent.local_addr().unwrap());
    let mut command = Command::new(TICKFLUX);
    command.args(["trades", "BTCUSDT", "--store", &store, "--output", "file"]).current_dir(folder.path());
    let mut child = command.env_clear().env("INFLUX_TOKEN", "x").stderr(Stdio::piped()).spawn().unwrap();
    let _asked = silent.accept().unwrap();
    assert_eq!(names(folder.path()).len(), 1, "it is on its way");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("interrupted: file was not written"), "{stderr}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn on_a_terminal_a_bar_says_how_far_it_is_and_parquet_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path(), 500_000);
    let Some(terminal) = Terminal::start(folder.path(), 120, 24, &[]) else { return };
    terminal.run(&format!("clear; {TICKFLUX} trades BTCUSDT --format parquet; echo code $?"));
    let screen = terminal.wait_for("it ends", |screen| screen.iter().any(|line| line == "code 2"));
    assert!(
        screen.iter().any(|line| line.contains("Parquet is nothing to read on a terminal: give --output FILE")),
        "{screen:#?}"
    );
    terminal.run(&format!("clear; {TICKFLUX} trades BTCUSDT --since 23h --format json --output file; echo code $?"));
    terminal.wait_for("a bar is drawn", |screen| {
        screen.iter().any(|line| line.contains(" trades, ") && line.contains("/s, at 20"))
    });
    let screen = terminal.wait_for("it ends", |screen| screen.iter().any(|line| line == "code 0"));
    assert!(!screen.iter().any(|line| line.contains("/s, at 20")), "{screen:#?}");
    assert!(screen.iter().any(|line| line.contains("500000 trades in file")), "{screen:#?}");
}

#[test]
fn settings_of_the_environment_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path(), 3);
    let output = tickflux_in(folder.path(), &[("TICKFLUX_FORMAT", "csv")], &["trades", "BTCUSDT"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(column(&text, "trade_id"), ["6000000000", "6000000001", "6000000002"]);
    let local = tickflux_in(folder.path(), &[("TZ", "Asia/Kolkata")], &["trades", "BTCUSDT", "--local"]);
    assert!(String::from_utf8(local.stdout).unwrap().contains("+05:30 |"));
}
