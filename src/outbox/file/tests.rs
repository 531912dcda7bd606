//! The file against a plain model, opened again and again, and with its bytes changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, SeekFrom, Write};

use proptest::prelude::*;

use super::*;
use crate::trade::IdRange;
use crate::trade::example::trade;

const NOW_MS: i64 = 1_700_000_000_000;

fn now() -> TradeTime {
    TradeTime::from_ms(NOW_MS).unwrap()
}

fn try_open(folder: &Path) -> Result<Opened, OutboxError> {
    open(folder, "a store", &"binance".parse().unwrap(), 1_000)
}

/// The trades `first` to `last`.
fn trades(first: u64, last: u64) -> Vec<Trade> {
    (first..=last).map(|id| trade(id, NOW_MS)).collect()
}

fn ids(first: u64, last: u64) -> TradeIds {
    TradeIds::of(&trades(first, last))
}

fn kept(file: &mut OutboxFile, first: u64, last: u64) -> SeqRange {
    let done = file.work(Some((&trades(first, last), &ids(first, last))), Work::default(), now());
    assert!(done.error.is_none(), "{:?}", done.error);
    done.kept.unwrap().rows
}

fn numbers(ids: &TradeIds) -> BTreeSet<u64> {
    ids.ranges().flat_map(|(_, range, _)| range.first..=range.last).collect()
}

fn acknowledged(folder: &Path) -> BTreeSet<u64> {
    let opened = try_open(folder).unwrap();
    numbers(&ledger::acknowledged(&opened.file.connection).unwrap())
}

#[test]
fn a_batch_is_there_after_a_kill_and_gone_with_its_acknowledgement() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let rows = kept(&mut opened.file, 5, 9);
    drop(opened);
    let mut opened = try_open(folder.path()).unwrap();
    assert_eq!(numbers(&opened.known.stored), (5..=9).collect(), "what waits will be stored");
    let left = opened.left.pop_front().unwrap();
    assert_eq!((left.rows, left.trades, left.is_of_this_run), (Some(rows), 5, false));
    let done = opened.file.work(None, Work { load: left.rows, ..Work::default() }, now());
    assert_eq!(done.loaded.unwrap(), trades(5, 9));
    let done = opened.file.work(None, Work { stored: vec![(left.rows, left.ids)], ..Work::default() }, now());
    assert!(done.error.is_none());
    drop(opened);
    let opened = try_open(folder.path()).unwrap();
    assert!(opened.left.is_empty());
    drop(opened);
    assert_eq!(acknowledged(folder.path()), (5..=9).collect());
}

#[test]
fn removals_that_follow_each_other_become_one() {
    let mut work = Work::default();
    let rows = |first, last| Some(SeqRange { first, last });
    work.add_stored(rows(1, 2), ids(1, 5));
    work.add_stored(rows(3, 3), ids(6, 9));
    work.add_stored(None, ids(20, 21));
    work.add_stored(rows(7, 8), ids(30, 31));
    work.add_stored(rows(4, 6), ids(40, 41));
    let found: Vec<_> = work.stored.iter().map(|(rows, ids)| (*rows, numbers(ids).len())).collect();
    assert_eq!(found, [(rows(1, 3), 9), (None, 2), (rows(7, 8), 2), (rows(4, 6), 2)]);
}

#[test]
fn small_batches_that_were_left_are_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    for at in 0..30 {
        kept(&mut opened.file, at * 100, at * 100 + 99);
    }
    drop(opened);
    let left = try_open(folder.path()).unwrap().left;
    assert_eq!(left.iter().map(|batch| batch.trades).collect::<Vec<_>>(), [1_000; 3]);
}

#[test]
fn what_will_never_come_is_known_until_the_retention_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let symbol: Symbol = "BTCUSDT".parse().unwrap();
    let ended =
        Ended { symbol: symbol.clone(), range: IdRange { first: 7, last: 9 }, state: "not_at_exchange".to_owned() };
    let mut stored = TradeIds::default();
    stored.add(&symbol, IdRange { first: 1, last: 6 }, now());
    let work = Work { ended: vec![ended.clone()], stored: vec![(None, stored)], ..Work::default() };
    assert!(opened.file.work(None, work, now()).error.is_none());
    drop(opened);
    let mut opened = try_open(folder.path()).unwrap();
    assert_eq!(opened.known.ended, [ended]);
    let later = TradeTime::from_ms(NOW_MS + RETENTION_MS + 1).unwrap();
    assert!(opened.file.work(None, Work { trim: true, ..Work::default() }, later).error.is_none());
    drop(opened);
    assert_eq!(try_open(folder.path()).unwrap().known, Known::default());
}

#[test]
fn a_restarted_count_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let stored = ids(1, 9);
    opened.file.work(None, Work { stored: vec![(None, stored)], ..Work::default() }, now());
    let restarted = vec!["BTCUSDT".parse().unwrap()];
    opened.file.work(None, Work { restarted, ..Work::default() }, now());
    drop(opened);
    assert_eq!(acknowledged(folder.path()), BTreeSet::new());
}

#[test]
fn a_disk_that_refuses_leaves_everything_to_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = try_open(folder.path()).unwrap();
    let rows = kept(&mut opened.file, 1, 9);
    // SQLite's own limit stands for a full disk.
    opened.file.connection.pragma_update(None, "max_page_count", 1).unwrap();
    let work = Work { stored: vec![(Some(rows), ids(1, 9))], ..Work::default() };
    let done = opened.file.work(Some((&trades(10, 5_000), &ids(10, 5_000))), work, now());
    assert!(done.error.unwrap().to_string().contains("full"));
    assert_eq!(done.kept, None);
    opened.file.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    let done = opened.file.work(None, done.undone.unwrap(), now());
    assert!(done.error.is_none());
    kept(&mut opened.file, 10, 5_000);
    drop(opened);
    assert_eq!(acknowledged(folder.path()), (1..=9).collect());
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
        let done = opened.file.work(None, Work { load: Some(rows), ..Work::default() }, now());
        assert_eq!(done.loaded, None, "{column}");
    }
}

#[test]
fn a_file_that_is_no_database_is_set_aside_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = try_open(folder.path()).unwrap().file.path().to_owned();
    for number in 1..=2 {
        std::fs::write(&path, b"this is no database, and long enough to be sure of it".repeat(9)).unwrap();
        let opened = try_open(folder.path()).unwrap();
        let (aside, _) = opened.set_aside.unwrap();
        assert!(aside.to_string_lossy().ends_with(&format!("damaged-{number}")));
        assert!(std::fs::read(aside).unwrap().starts_with(b"this is no database"));
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
                    let about = super::tests::ids(*ids.start(), *ids.end());
                    let work = Work { stored: vec![(Some(rows), about)], ..Work::default() };
                    prop_assert!(file.work(None, work, now()).error.is_none());
                    stored.extend(ids);
                },
                Step::Reopen => {
                    opened = None;
                    let found = opened.insert(try_open(folder.path()).unwrap());
                    let left: BTreeSet<_> = found.left.iter().flat_map(|batch| numbers(&batch.ids)).collect();
                    prop_assert_eq!(&left, &waiting.iter().flat_map(|(_, ids)| ids.clone()).collect());
                    let known: BTreeSet<_> = left.union(&stored).copied().collect();
                    prop_assert_eq!(numbers(&found.known.stored), known);
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
                for left in opened.left {
                    let Some(rows) = left.rows else { continue };
                    let found = opened.file.work(None, Work { load: Some(rows), ..Work::default() }, now()).loaded;
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
