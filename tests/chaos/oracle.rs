//! Whether the store holds the exchange's own list: complete, exact, once, and nothing else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::world::{SYMBOLS, World};
use crate::support::tickflux;
use crate::support::trades::{Trades, exchanges_list, influx_ids, influx_trades};

/// Everything is mended by then, and stored within this.
const WAIT_MAX: Duration = Duration::from_secs(150);
/// Trades that a failure shows.
const SHOWN: usize = 5;

/// Waits for everything to be stored, ends the captures, and compares every trade. Gives how many these are.
pub(crate) fn verify(world: &mut World) -> Result<usize, String> {
    world.exchange.calm();
    let newest = SYMBOLS.map(|symbol| world.exchange.trades(&symbol.parse().unwrap()).last().unwrap().id.get());
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        // What came later must be whole, too, or a capture would be ended in the middle of a repair.
        let ids = influx_ids(&world.influxd);
        let missing = missing(&ids, world.first, latest(&ids, newest));
        if missing.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("after {} s still missing: {}", WAIT_MAX.as_secs(), shown(&missing)));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let ended = world.end();
    if let Some((code, _)) = ended.iter().find(|(code, _)| !matches!(code, Some(0 | 1))) {
        return Err(format!("a capture ended with {code:?}"));
    }
    if ended.iter().any(|(code, log)| *code == Some(0) && log.contains("kept as a dead letter")) {
        return Err("a capture with dead letters ended with 0".to_owned());
    }
    // One that was ended right after it connected again may miss what passed by, and says so. What all say is whole is.
    if ended.iter().any(|(code, _)| *code == Some(1)) {
        let (store, rest) = (&world.influxd.url, format!("http://{}", world.exchange.address()));
        let repaired = tickflux(world.folder.path(), &["gaps", "--store", store, "--repair", "--rest-url", &rest]);
        if repaired.status.code() != Some(0) {
            return Err(format!("the repair after the end: {repaired:?}"));
        }
    }
    let compared = compare(&influx_trades(&world.influxd), &exchanges_list(&world.exchange), world.first, newest)?;
    let gaps = tickflux(world.folder.path(), &["gaps", "--store", &world.influxd.url]);
    match gaps.status.code() {
        Some(0) => Ok(compared),
        code => Err(format!("gaps ended with {code:?}: {}", String::from_utf8_lossy(&gaps.stdout))),
    }
}

/// An id twice in the store is what [`influx_trades`] fails at.
fn compare(stored: &Trades, list: &Trades, first: [u64; 2], newest: [u64; 2]) -> Result<usize, String> {
    let not_so: Vec<_> = stored.iter().filter(|(key, trade)| list.get(*key) != Some(*trade)).collect();
    if !not_so.is_empty() {
        return Err(format!("stored and not so at the exchange: {}", shown(&not_so)));
    }
    // The captures read on until they ended: what they stored by then has no holes either.
    let ids = stored.keys().cloned().collect();
    let missing = missing(&ids, first, latest(&ids, newest));
    if missing.is_empty() { Ok(stored.len()) } else { Err(format!("missing: {}", shown(&missing))) }
}

/// The highest id of each symbol, `newest` at least.
fn latest(ids: &BTreeSet<(String, u64)>, newest: [u64; 2]) -> [u64; 2] {
    let highest = |symbol| ids.iter().filter(|(name, _)| name == symbol).map(|(_, id)| *id).max();
    let [one, other] = SYMBOLS.map(|symbol| highest(symbol).unwrap_or(0));
    [one.max(newest[0]), other.max(newest[1])]
}

/// The ids that are not there between the first and the last of each symbol.
fn missing(ids: &BTreeSet<(String, u64)>, first: [u64; 2], last: [u64; 2]) -> Vec<(String, u64)> {
    let wanted = SYMBOLS.iter().zip(first.into_iter().zip(last));
    let keys = wanted.flat_map(|(symbol, (first, last))| (first..=last).map(|id| ((*symbol).to_owned(), id)));
    keys.filter(|key| !ids.contains(key)).collect()
}

/// How many, the first and the last of them.
fn shown<T: std::fmt::Debug>(all: &[T]) -> String {
    format!("{}: {:?} … {:?}", all.len(), &all[..all.len().min(SHOWN)], all.last())
}

#[test]
fn the_oracle_sees_a_hole_a_wrong_price_and_a_stranger() {
    let trade = |price: &str| (1_000, price.to_owned(), "1.0".to_owned(), true);
    let list: Trades =
        SYMBOLS.iter().flat_map(|name| (1..=9).map(|id| (((*name).to_owned(), id), trade("1.10")))).collect();
    let eth = |id| ("ETHUSDT".to_owned(), id);
    assert_eq!(compare(&list, &list, [1, 1], [5, 9]), Ok(18));
    let mut stored = list.clone();
    stored.remove(&eth(9));
    assert!(compare(&stored, &list, [1, 1], [5, 9]).is_err(), "missing at the end");
    assert_eq!(compare(&stored, &list, [1, 1], [5, 8]), Ok(17));
    stored.remove(&eth(4));
    assert!(compare(&stored, &list, [1, 1], [5, 3]).is_err(), "a hole behind what had to be there");
    stored.insert(eth(4), trade("1.1"));
    assert!(compare(&stored, &list, [1, 1], [5, 3]).is_err(), "a digit less");
    stored.insert(eth(4), trade("1.10"));
    stored.insert(eth(10), trade("1.10"));
    assert!(compare(&stored, &list, [1, 1], [5, 3]).is_err(), "an id that the exchange does not have");
}
