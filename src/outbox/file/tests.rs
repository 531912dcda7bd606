//! The file against a plain model, opened again and again, and with its bytes changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Seek, SeekFrom, Write};

use proptest::prelude::*;

use super::*;
use crate::outbox::{Ended, Opened, target};
use crate::trade::example::trade;
use crate::trade::{HoleState, IdRange, Symbol};

const NOW_MS: i64 = 1_700_000_000_000;

fn now() -> TradeTime {
    TradeTime::from_ms(NOW_MS).unwrap()
}

fn target() -> Target {
    let exchange = "binance".parse().unwrap();
    Target {
        location: "a store".to_owned(),
        store_id: None,
        exchange,
        described: vec!["a store, exchange binance".to_owned()],
    }
}

fn try_open(folder: &Path) -> Result<Opened, OutboxError> {
    target::open(folder, &target(), 1_000)
}

/// The trades `first` to `last`.
fn trades(first: u64, last: u64) -> Vec<Trade> {
    (first..=last).map(|id| trade(id, NOW_MS)).collect()
}

fn ids(first: u64, last: u64) -> TradeIds {
    TradeIds::of(&trades(first, last))
}

fn symbol() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

fn kept(file: &mut OutboxFile, first: u64, last: u64) -> Rows {
    let batch = Some((&trades(first, last)[..], &ids(first, last)));
    let done = file.work(Work { batch, ..Work::default() }, now());
    assert!(done.error.is_none(), "{:?}", done.error);
    done.kept.unwrap().rows
}

fn change(file: &mut OutboxFile, changes: Changes) {
    change_at(file, changes, now());
}

fn change_at(file: &mut OutboxFile, changes: Changes, now: TradeTime) {
    let done = file.work(Work { changes, ..Work::default() }, now);
    assert!(done.error.is_none(), "{:?}", done.error);
}

/// The changes that remove rows whose ids the store has.
fn acknowledgement(rows: Rows, ids: TradeIds) -> Changes {
    Changes { removed: vec![rows], stored: ids, ..Changes::default() }
}

fn load(file: &mut OutboxFile, rows: Rows) -> Option<Vec<Trade>> {
    file.work(Work { load: Some(rows), ..Work::default() }, now()).loaded
}

fn numbers(ids: &TradeIds) -> BTreeSet<u64> {
    ids.ranges().flat_map(|(_, range, _)| range.first..=range.last).collect()
}

fn acknowledged(folder: &Path) -> BTreeSet<u64> {
    numbers(&try_open(folder).unwrap().found.known.stored)
}

fn ended(first: u64, last: u64, state: HoleState) -> Ended {
    Ended { symbol: symbol(), range: IdRange { first, last }, state }
}

#[test]
fn a_batch_is_there_after_a_kill_and_gone_with_its_acknowledgement() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let rows = kept(&mut opened.file, 5, 9);
    drop(opened);
    let mut opened = try_open(folder.path()).unwrap();
    assert_eq!(numbers(&opened.found.known.stored), BTreeSet::new(), "the store does not have it yet");
    let (left, found) = opened.found.left.pop().unwrap();
    assert_eq!((found, left.trades, numbers(&left.ids)), (rows, 5, (5..=9).collect()));
    assert_eq!(load(&mut opened.file, rows).unwrap(), trades(5, 9));
    change(&mut opened.file, acknowledgement(rows, left.ids));
    drop(opened);
    let opened = try_open(folder.path()).unwrap();
    assert!(opened.found.left.is_empty());
    drop(opened);
    assert_eq!(acknowledged(folder.path()), (5..=9).collect());
}

#[test]
fn small_batches_that_were_left_are_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    for at in 0..30 {
        kept(&mut opened.file, at * 100, at * 100 + 99);
    }
    drop(opened);
    let left = try_open(folder.path()).unwrap().found.left;
    assert_eq!(left.iter().map(|(left, _)| left.trades).collect::<Vec<_>>(), [1_000; 3]);
}

#[test]
fn what_stays_missing_is_known_until_it_comes_or_the_retention_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let mut changes = Changes::default();
    changes.store(&ids(1, 6));
    [7, 8, 9].into_iter().for_each(|id| changes.end(ended(id, id, HoleState::NotAtExchange)));
    changes.end(ended(20, 25, HoleState::RefusedByStore));
    change(&mut opened.file, changes);
    drop(opened);
    let mut opened = try_open(folder.path()).unwrap();
    let whole = [ended(7, 9, HoleState::NotAtExchange), ended(20, 25, HoleState::RefusedByStore)];
    assert_eq!(opened.found.known.ended, whole, "what follows each other is one");
    // One of them is stored after all, and one counts as something else now.
    change(&mut opened.file, Changes { stored: ids(8, 8), ..Changes::default() });
    change(&mut opened.file, Changes { ended: vec![ended(20, 21, HoleState::Expired)], ..Changes::default() });
    drop(opened);
    let mut opened = try_open(folder.path()).unwrap();
    let expected = [
        (7, 7, HoleState::NotAtExchange),
        (9, 9, HoleState::NotAtExchange),
        (20, 21, HoleState::Expired),
        (22, 25, HoleState::RefusedByStore),
    ];
    assert_eq!(opened.found.known.ended, expected.map(|(first, last, state)| ended(first, last, state)));
    let later = TradeTime::from_ms(NOW_MS + 1).unwrap();
    change_at(&mut opened.file, Changes { forget_before: Some(later), ..Changes::default() }, later);
    drop(opened);
    let opened = try_open(folder.path()).unwrap();
    assert_eq!((opened.found.known.ended, numbers(&opened.found.known.stored)), (vec![], BTreeSet::new()));
}

#[test]
fn what_was_lost_is_claimed_no_more_and_known_as_missing_until_it_is_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    change(&mut opened.file, Changes { stored: ids(1, 9), ..Changes::default() });
    change(&mut opened.file, Changes { lost: ids(4, 6), stored: ids(5, 5), ..Changes::default() });
    drop(opened);
    let mut opened = try_open(folder.path()).unwrap();
    let known = &opened.found.known;
    assert_eq!(numbers(&known.stored), BTreeSet::from([1, 2, 3, 5, 7, 8, 9]));
    assert_eq!((numbers(&known.lost), known.ended.len()), (BTreeSet::from([4, 6]), 0), "open, and not ended");
    change(&mut opened.file, Changes { stored: ids(6, 6), ..Changes::default() });
    change(&mut opened.file, Changes { ended: vec![ended(4, 4, HoleState::NotAtExchange)], ..Changes::default() });
    drop(opened);
    let known = try_open(folder.path()).unwrap().found.known;
    assert_eq!((known.lost, known.ended), (TradeIds::default(), vec![ended(4, 4, HoleState::NotAtExchange)]));
}

#[test]
fn a_restarted_count_is_forgotten_and_what_is_acknowledged_with_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    change(
        &mut opened.file,
        Changes { stored: ids(1, 9), ended: vec![ended(10, 11, HoleState::Expired)], ..Changes::default() },
    );
    let waiting = kept(&mut opened.file, 12, 20);
    // The new count begins later than all of it; ids of it are acknowledged in the same transaction.
    let restart = TradeTime::from_ms(NOW_MS + 1).unwrap();
    let mut changes = Changes::default();
    changes.restart(&symbol(), restart);
    let mut stored = TradeIds::default();
    stored.add(&symbol(), IdRange { first: 100, last: 102 }, restart);
    changes.store(&stored);
    change(&mut opened.file, changes);
    drop(opened);
    let opened = try_open(folder.path()).unwrap();
    assert_eq!((numbers(&opened.found.known.stored), opened.found.known.ended.len()), ((100..=102).collect(), 0));
    let (left, rows) = &opened.found.left[0];
    assert_eq!(
        (*rows, left.trades, left.ids.count()),
        (waiting, 9, 0),
        "it is sent, and its ids name nothing of the new count"
    );
}

#[test]
fn a_disk_that_refuses_leaves_everything_to_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let rows = kept(&mut opened.file, 1, 9);
    // SQLite's own limit stands for a full disk.
    opened.file.connection.pragma_update(None, "max_page_count", 1).unwrap();
    let changes = acknowledgement(rows, ids(1, 9));
    let batch = (&trades(10, 5_000)[..], &ids(10, 5_000));
    let done = opened.file.work(Work { batch: Some(batch), changes: changes.clone(), load: None }, now());
    assert!(done.error.unwrap().to_string().contains("full"));
    assert_eq!((done.kept, done.undone.as_ref()), (None, Some(&changes)));
    opened.file.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    change(&mut opened.file, done.undone.unwrap());
    kept(&mut opened.file, 10, 5_000);
    drop(opened);
    assert_eq!(acknowledged(folder.path()), (1..=9).collect());
}

#[test]
fn a_disk_that_is_full_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let rows = kept(&mut opened.file, 1, 9);
    opened.file.connection.pragma_update(None, "max_page_count", 1).unwrap();
    let batch = (&trades(10, 5_000)[..], &ids(10, 5_000));
    let done = opened.file.work(Work { batch: Some(batch), load: Some(rows), ..Work::default() }, now());
    assert!(done.error.unwrap().to_string().contains("full"));
    assert_eq!(done.loaded.unwrap(), trades(1, 9), "what waits for the store can be sent");
}

#[test]
fn a_new_file_that_cannot_be_made_at_once_is_made_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = try_open(folder.path()).unwrap().file;
    kept(&mut file, 1, 9);
    file.connection.execute_batch("DROP TABLE batch").unwrap();
    let in_the_way = PathBuf::from(format!("{}-journal", file.path().display()));
    std::fs::create_dir(&in_the_way).unwrap();
    let (trades, ids) = (trades(10, 12), ids(10, 12));
    let mut keep = || file.work(Work { batch: Some((&trades[..], &ids)), ..Work::default() }, now());
    for _ in 0..3 {
        let done = keep();
        assert!(done.error.is_some() && done.set_aside.is_none() && done.kept.is_none());
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    assert!(keep().set_aside.unwrap().to_string_lossy().ends_with("damaged-1"));
    assert!(keep().kept.is_some());
}

#[test]
fn trades_that_changed_on_disk_are_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    for column in ["body", "ids"] {
        let rows = kept(&mut opened.file, 1, 9);
        let cast = if column == "body" { "BLOB" } else { "TEXT" };
        let change = format!("UPDATE batch SET {column} = CAST(replace(CAST({column} AS TEXT), '1', '2') AS {cast})");
        opened.file.connection.execute(&change, []).unwrap();
        assert_eq!(load(&mut opened.file, rows), None, "{column}");
    }
}

#[test]
fn the_log_is_moved_into_the_file_when_it_is_asked_for_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let mut first = 1;
    while !opened.file.wants_checkpoint() {
        kept(&mut opened.file, first, first + 999);
        first += 1_000;
    }
    let path = opened.file.path().to_owned();
    let before = fs::metadata(&path).unwrap().len();
    opened.file.checkpoint().unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 10 * before);
    assert!(!opened.file.wants_checkpoint());
}

#[test]
fn a_file_that_is_no_database_is_set_aside_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = try_open(folder.path()).unwrap().file.path().to_owned();
    for number in 1..=2 {
        std::fs::write(&path, b"this is no database, and long enough to be sure of it".repeat(9)).unwrap();
        let opened = try_open(folder.path()).unwrap();
        let (aside, _) = opened.found.set_aside.unwrap();
        assert!(aside.to_string_lossy().ends_with(&format!("damaged-{number}")));
        assert!(std::fs::read(aside).unwrap().starts_with(b"this is no database"));
    }
}

#[test]
fn a_file_of_schema_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a-store-exchange-binance-00000000.db");
    let old = Connection::open(&path).unwrap();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.execute_batch(&format!(
        "CREATE TABLE batch (seq INTEGER PRIMARY KEY, trades INTEGER NOT NULL, bytes INTEGER NOT NULL, ids TEXT NOT NULL,
             checksum INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
         CREATE TABLE target (description TEXT NOT NULL) STRICT;
         CREATE TABLE acknowledged (symbol TEXT NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
             newest INTEGER NOT NULL, PRIMARY KEY (symbol, last_id)) STRICT, WITHOUT ROWID;
         CREATE TABLE ended (symbol TEXT NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL, state TEXT NOT NULL,
             since INTEGER NOT NULL, PRIMARY KEY (symbol, first_id, last_id)) STRICT, WITHOUT ROWID;
         INSERT INTO target VALUES ('a store, exchange binance');
         INSERT INTO acknowledged VALUES ('BTCUSDT', 1, 9, {NOW_MS});
         INSERT INTO ended VALUES ('BTCUSDT', 10, 12, 'not_at_exchange', {NOW_MS});
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
    ))
    .unwrap();
    let body = body::encode(&trades(13, 15));
    let text = ids(13, 15).to_text();
    let row = params![1, 3, body.len(), text, checksum(text.as_bytes(), &body), body];
    old.execute("INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
    drop(old);
    for _ in 0..2 {
        let mut opened = try_open(folder.path()).unwrap();
        assert_eq!(opened.file.path(), path);
        assert_eq!(
            (numbers(&opened.found.known.stored), &opened.found.known.ended),
            ((1..=9).collect(), &vec![ended(10, 12, HoleState::NotAtExchange)])
        );
        let (left, rows) = opened.found.left[0].clone();
        assert_eq!((left.trades, load(&mut opened.file, rows).unwrap()), (3, trades(13, 15)));
    }
}

/// What a step of the property test does.
#[derive(Debug, Clone)]
enum Step {
    Keep(u64),
    Acknowledge,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![(1u64..40).prop_map(Step::Keep), Just(Step::Acknowledge), Just(Step::Reopen)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_use_agrees_with_a_plain_list(steps in prop::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = Some(try_open(folder.path()).unwrap());
        let (mut waiting, mut stored, mut next) = (VecDeque::new(), BTreeSet::new(), 1);
        for step in steps {
            let file = &mut opened.as_mut().unwrap().file;
            match step {
                Step::Keep(trades) => {
                    waiting.push_back((kept(file, next, next + trades - 1), next..=next + trades - 1));
                    // A hole now and then.
                    next += trades + trades % 3;
                }
                Step::Acknowledge => if let Some((rows, ids)) = waiting.pop_front() {
                    change(file, acknowledgement(rows, super::tests::ids(*ids.start(), *ids.end())));
                    stored.extend(ids);
                },
                Step::Reopen => {
                    opened = None;
                    let found = opened.insert(try_open(folder.path()).unwrap());
                    let left: BTreeSet<_> = found.found.left.iter().flat_map(|(left, _)| numbers(&left.ids)).collect();
                    prop_assert_eq!(&left, &waiting.iter().flat_map(|(_, ids)| ids.clone()).collect());
                    prop_assert_eq!(numbers(&found.found.known.stored), stored.clone());
                }
            }
        }
    }

    #[test]
    fn changed_bytes_never_give_other_trades(
        batches in prop::collection::vec(1u64..900, 1..12),
        changes in prop::collection::vec((0.0f64..1.0, any::<[u8; 4]>()), 1..6),
        cut in prop::option::of(0.0f64..1.0),
        in_log in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = try_open(folder.path()).unwrap();
        let (mut written, mut next) = (BTreeMap::new(), 1);
        for trades in batches {
            let rows = kept(&mut opened.file, next, next + trades - 1);
            written.insert(rows.first, super::tests::trades(next, next + trades - 1));
            next += trades;
        }
        let path = opened.file.path().to_owned();
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let target = if in_log {
            // A kill leaves the log; closing would have moved it into the file.
            let copy = folder.path().join("copy");
            std::fs::copy(&log, &copy).unwrap();
            std::fs::copy(&path, folder.path().join("main")).unwrap();
            drop(opened);
            std::fs::rename(copy, &log).unwrap();
            std::fs::rename(folder.path().join("main"), &path).unwrap();
            PathBuf::from(log)
        } else {
            drop(opened);
            path
        };
        let mut bytes = fs::OpenOptions::new().write(true).open(&target).unwrap();
        let length = bytes.metadata().unwrap().len();
        for (place, change) in changes {
            bytes.seek(SeekFrom::Start((place * length as f64) as u64)).unwrap();
            bytes.write_all(&change).unwrap();
        }
        if let Some(place) = cut {
            bytes.set_len((place * length as f64) as u64).unwrap();
        }
        drop(bytes);
        match try_open(folder.path()) {
            Ok(mut opened) => {
                for (left, rows) in opened.found.left {
                    let found = load(&mut opened.file, rows);
                    // Rows may be gone, and then their trades; others are what was written.
                    let whole: Vec<_> = written.range(rows.first..=rows.last).flat_map(|(_, trades)| trades.clone()).collect();
                    prop_assert!(found.is_none_or(|found| found.len() != left.trades || found == whole));
                }
            }
            // A changed name or number of the program, or of the target, is refused with a reason.
            Err(OutboxError::OtherTarget { .. } | OutboxError::Schema { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
