//! Files that an older tickflux made: the outbox of schema 1, the SQLite store of schema 1.
//!
//! `fixtures/` has them as that capture left them: a practice market at 40 trades a second that dropped one in thirty, into an
//! InfluxDB that was stopped after five seconds; and one into a store. What is expected was read from them with SQL.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use support::{exchange, runtime};
use tickflux::outbox::{Rows, Target, Work, target};
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Scope, Store};
use tickflux::trade::{Trade, TradeTime};

/// A moment after the newest trade of both files.
const NOW_MS: i64 = 1_796_045_900_000;
const ACKNOWLEDGED: u64 = 197;
const WAITING: u64 = 92;

fn now() -> TradeTime {
    TradeTime::from_ms(NOW_MS).unwrap()
}

/// A copy of a fixture in a folder.
fn copy_of(fixture: &str, folder: &Path) -> PathBuf {
    let path = folder.join(fixture);
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture), &path).unwrap();
    path
}

/// The store of the file, as a capture of today spells it.
fn influxdb() -> Target {
    let location = "http://localhost:8086, organization tickflux, bucket ticks".to_owned();
    Target::located(location, "http://127.0.0.1:8086, bucket ticks of tickflux", &exchange("practice"))
}

/// Symbol and id of the trades that wait in an outbox, from the lists of ids beside them.
fn waiting(path: &Path) -> Vec<(String, u64)> {
    let connection = Connection::open(path).unwrap();
    let mut rows = connection.prepare("SELECT ids FROM batch ORDER BY seq").unwrap();
    let lists: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for line in lists.iter().flat_map(|list| list.lines()) {
        let words: Vec<_> = line.split(' ').collect();
        let (first, last): (u64, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
        all.extend((first..=last).map(|id| (words[0].to_owned(), id)));
    }
    all
}

#[test]
fn an_outbox_of_schema_1_gives_its_trades_and_its_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of("outbox-schema-1.db", folder.path());
    let mut expected = waiting(&path);
    assert_eq!(expected.len() as u64, WAITING);
    expected.sort();
    // The second time it is of today's schema.
    for _ in 0..2 {
        let mut opened = target::open(folder.path(), &influxdb(), 1_000).unwrap();
        assert_eq!(opened.file.path(), path, "the same file goes on");
        assert_eq!(opened.found.set_aside, None);
        let known = &opened.found.known.stored;
        assert_eq!(known.ranges().map(|(_, range, _)| range.last - range.first + 1).sum::<u64>(), ACKNOWLEDGED);
        let mut found = Vec::new();
        for (_, Rows { first, last }) in opened.found.left {
            for row in first..=last {
                let load = Some(Rows { first: row, last: row });
                let loaded: Vec<Trade> =
                    opened.file.work(Work { load, ..Work::default() }, now()).loaded.unwrap_or_default();
                found.extend(loaded.into_iter().map(|trade| (trade.symbol.to_string(), trade.id.get())));
            }
        }
        found.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn an_upgrade_that_breaks_off_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of("outbox-schema-1.db", folder.path());
    // A table of the new schema's name is in the way of its last step but one.
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE restarted (x)").unwrap();
    let schema = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        let mut names = connection.prepare("SELECT name || sql FROM sqlite_schema ORDER BY name").unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        (names, connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap())
    };
    let before = schema(&path);
    let (aside, why) = target::open(folder.path(), &influxdb(), 1_000).unwrap().found.set_aside.unwrap();
    assert!(why.contains("restarted"), "{why}");
    assert_eq!(schema(&aside), before);
    assert_eq!(waiting(&aside).len() as u64, WAITING);
}

#[test]
fn an_outbox_of_a_newer_schema_is_refused_with_advice_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of("outbox-schema-1.db", folder.path());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    let refused = target::open(folder.path(), &influxdb(), 1_000).unwrap_err().to_string();
    assert!(refused.contains("schema 99") && refused.contains("use the tickflux that made it"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_store_of_schema_1_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy_of("store-schema-1.db", folder.path());
    let store = Sqlite::open(&path, exchange("practice"), now).unwrap();
    let latest = runtime().block_on(store.latest(&Scope::default())).unwrap();
    let newest: Vec<_> = latest.iter().map(|it| (it.trade.symbol.as_str(), it.trade.id.get())).collect();
    assert_eq!(newest, [("BTCUSDT", 6_328_000_282), ("ETHUSDT", 6_099_999_820)]);
    assert_eq!((latest[0].trade.price.as_str(), latest[0].trade.quantity.as_str()), ("87003.29000000", "0.00007000"));
    let gaps = runtime().block_on(store.gaps(&Scope::default(), TradeTime::EPOCH, None)).unwrap();
    assert_eq!(gaps.iter().map(|it| it.trades).collect::<Vec<_>>(), [261, 8]);
}
