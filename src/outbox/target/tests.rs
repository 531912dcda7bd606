//! Which file is whose.

use super::*;
use crate::outbox::{Changes, Work};
use crate::trade::TradeIds;
use crate::trade::TradeTime;
use crate::trade::example::trade;

fn target(location: &str, store_id: Option<&str>, exchange: &str) -> Target {
    Target {
        location: location.to_owned(),
        store_id: store_id.map(str::to_owned),
        exchange: exchange.parse().unwrap(),
        described: vec![format!("{location}, exchange {exchange}")],
    }
}

fn opened(folder: &Path, target: &Target) -> Opened {
    open(folder, target, 1_000).unwrap()
}

/// Leaves a batch of three trades in an outbox.
fn leave(opened: &mut Opened) {
    let trades = [1, 2, 3].map(|id| trade(id, 1_000));
    let ids = TradeIds::of(&trades);
    let done = opened.file.work(Work { batch: Some((&trades, &ids)), ..Work::default() }, TradeTime::EPOCH);
    assert!(done.kept.is_some());
}

#[test]
fn the_same_store_is_one_outbox_whatever_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let first = opened(folder.path(), &target("http://here:8086", Some("bucket 1"), "binance"));
    let path = first.file.path().to_owned();
    let twice = open(folder.path(), &target("http://there:8086", Some("bucket 1"), "binance"), 1_000);
    assert!(matches!(twice, Err(OutboxError::Locked { .. })), "it is in use");
    drop(first);
    let again = opened(folder.path(), &target("http://there:8086", Some("bucket 1"), "binance"));
    assert_eq!((again.file.path(), again.found.changed), (&*path, None));
    drop(again.file);
    // Its last address finds it while the store tells no id.
    assert_eq!(opened(folder.path(), &target("http://there:8086", None, "binance")).file.path(), path);
}

#[test]
fn an_id_that_is_told_later_is_entered() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = opened(folder.path(), &target("http://here:8086", None, "binance"));
    let changes = Changes { store_id: Some("bucket 1".to_owned()), ..Changes::default() };
    first.file.work(Work { changes, ..Work::default() }, TradeTime::EPOCH);
    let path = first.file.path().to_owned();
    drop(first);
    let again = opened(folder.path(), &target("http://elsewhere:8086", Some("bucket 1"), "binance"));
    assert_eq!(again.file.path(), path);
}

#[test]
fn a_new_store_at_the_same_address_takes_the_outbox_over_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = opened(folder.path(), &target("http://here:8086", Some("bucket 1"), "binance")).file.path().to_owned();
    let found = opened(folder.path(), &target("http://here:8086", Some("bucket 2"), "binance"));
    assert_eq!(found.file.path(), path);
    assert_eq!(found.found.changed.unwrap(), "it is bucket 2, and the ledger is of bucket 1");
    drop(found.file);
    assert_eq!(
        opened(folder.path(), &target("http://here:8086", Some("bucket 2"), "binance")).found.changed,
        None,
        "once"
    );
}

#[test]
fn what_waits_for_another_store_or_exchange_is_named_unless_it_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let mut other_store = opened(folder.path(), &target("http://there:8086", None, "binance"));
    let mut other_exchange = opened(folder.path(), &target("http://here:8086", None, "practice"));
    let empty = opened(folder.path(), &target("sqlite:/t.db", None, "binance"));
    leave(&mut other_store);
    leave(&mut other_exchange);
    drop((other_store.file, empty.file));
    let found = opened(folder.path(), &target("http://here:8086", None, "binance"));
    let others: Vec<_> = found.found.others.iter().map(|other| (other.owner.as_str(), other.trades)).collect();
    assert_eq!(others, [("http://there:8086, exchange binance", 3)]);
    drop(other_exchange.file);
    drop(found.file);
    assert_eq!(opened(folder.path(), &target("http://here:8086", None, "binance")).found.others.len(), 2);
}

#[test]
fn a_new_outbox_never_takes_the_file_of_a_store_that_moved() {
    let folder = tempfile::tempdir().unwrap();
    let mut moved = opened(folder.path(), &target("http://here:8086", Some("bucket 1"), "binance"));
    leave(&mut moved);
    drop(moved);
    let there = opened(folder.path(), &target("http://there:8086", Some("bucket 1"), "binance"));
    assert_eq!((there.found.left.len(), there.found.changed), (1, None));
    drop(there.file);
    let here = opened(folder.path(), &target("http://here:8086", Some("bucket 2"), "binance"));
    assert_eq!((here.found.left.len(), here.found.changed, here.found.others.len()), (0, None, 1));
    assert_eq!(
        (here.found.others[0].owner.as_str(), here.found.others[0].trades),
        ("http://there:8086, exchange binance", 3)
    );
}

#[test]
fn a_file_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ours = target("http://here:8086", None, "binance");
    let path = ours.new_path(folder.path(), &[]);
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE note (text TEXT)").unwrap();
    let refused = open(folder.path(), &ours, 1_000).unwrap_err().to_string();
    assert!(refused.contains("another program"), "{refused}");
}

#[test]
fn folder_and_files_are_for_their_owner_and_links_are_not_followed() {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (outbox, victim) = (folder.path().join("outbox"), folder.path().join("victim"));
    let ours = target("http://here:8086", None, "binance");
    drop(opened(&outbox, &ours));
    assert_eq!(fs::metadata(&outbox).unwrap().mode() & 0o777, 0o700);
    let lock = ours.new_path(&outbox, &[]).with_extension("lock");
    assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o777, 0o600);
    fs::write(&victim, "precious").unwrap();
    for planted in [lock.clone(), ours.new_path(&outbox, &[])] {
        fs::remove_file(&planted).unwrap();
        symlink(&victim, &planted).unwrap();
        assert!(open(&outbox, &ours, 1_000).is_err(), "{}", planted.display());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_file(&planted).unwrap();
        drop(opened(&outbox, &ours));
    }
}
