//! The answers by plain computation over all trades; shares no code with the stores.

use std::collections::BTreeSet;

use tickflux::store::StoredTrade;
use tickflux::trade::Trade;

type Key = (String, String);

/// The trades of one series.
pub fn of_series<'a>(all: &'a [StoredTrade], exchange: &str, symbol: &str) -> Vec<&'a Trade> {
    let is_in = |stored: &&StoredTrade| stored.exchange.as_str() == exchange && stored.trade.symbol.as_str() == symbol;
    all.iter().filter(is_in).map(|stored| &stored.trade).collect()
}

/// Every series, sorted.
pub fn series(all: &[StoredTrade]) -> Vec<Key> {
    let mut keys: Vec<_> =
        all.iter().map(|stored| (stored.exchange.to_string(), stored.trade.symbol.to_string())).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The id with the largest (T, id).
pub fn latest(trades: &[&Trade]) -> Option<u64> {
    trades.iter().map(|trade| (trade.time.ms(), trade.id.get())).max().map(|(_, id)| id)
}

/// The id nearest to a time by the rules of `at`.
pub fn at(trades: &[&Trade], ms: i64) -> Option<u64> {
    let rank = |trade: &Trade| {
        let (distance, id) = (trade.time.ms() - ms, trade.id.get().cast_signed());
        // Nearest; then the earlier side; then the highest id before, the lowest from there on.
        (distance.abs(), distance >= 0, if distance < 0 { -id } else { id })
    };
    trades.iter().min_by_key(|trade| rank(trade)).map(|trade| trade.id.get())
}

/// The id with the largest (T, id) at or before a time.
pub fn as_of(trades: &[&Trade], ms: i64) -> Option<u64> {
    let past: Vec<_> = trades.iter().copied().filter(|trade| trade.time.ms() <= ms).collect();
    latest(&past)
}

/// Trades in the order of (T, id), split where an id is more than 1,000 below the one before: a count that began again.
fn counts<'a>(trades: &[&'a Trade]) -> Vec<Vec<&'a Trade>> {
    let mut sorted = trades.to_vec();
    sorted.sort_by_key(|trade| (trade.time, trade.id));
    sorted.chunk_by(|before, next| next.id.get() + 1_000 >= before.id.get()).map(<[_]>::to_vec).collect()
}

/// The ids between the lowest and the highest of these that are not among them, as ranges.
fn absent(ids: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let pairs = ids.iter().zip(ids.iter().skip(1));
    pairs.filter(|(one, next)| *one + 1 < **next).map(|(one, next)| (one + 1, next - 1)).collect()
}

/// Of a count the trades of a stretch of time, and their ids with those of their neighbours in the count.
fn part<'a>(count: &[&'a Trade], from: i64, until: i64) -> (Vec<&'a Trade>, BTreeSet<u64>) {
    let inside: Vec<_> = count.iter().copied().filter(|trade| (from..until).contains(&trade.time.ms())).collect();
    let before = count.iter().rfind(|trade| trade.time.ms() < from);
    let after = count.iter().find(|trade| trade.time.ms() >= until);
    let ids = inside.iter().chain(before).chain(after).map(|trade| trade.id.get()).collect();
    (inside, ids)
}

/// First and last id, trades, duplicates and holes.
pub type CountGaps = (u64, u64, u64, u64, Vec<(u64, u64)>);

/// The gaps of each count since a time, as if there were nothing from `until` on.
pub fn gaps(trades: &[&Trade], since: i64, until: i64) -> Vec<CountGaps> {
    let mut found = Vec::new();
    let before: Vec<_> = trades.iter().copied().filter(|trade| trade.time.ms() < until).collect();
    for count in counts(&before) {
        let (inside, ids) = part(&count, since, i64::MAX);
        let stored: BTreeSet<_> = inside.iter().map(|trade| trade.id.get()).collect();
        if let (Some(first), Some(last)) = (stored.first(), stored.last()) {
            let duplicates = inside.len() - stored.len();
            found.push((*first, *last, inside.len() as u64, duplicates as u64, absent(&ids)));
        }
    }
    found
}

/// Trades, missing ids, and the ids of high and low of the minute that begins at `minute`.
pub fn high_low(trades: &[&Trade], minute: i64) -> Option<(u64, u64, u64, u64)> {
    let inside: Vec<_> = trades.iter().filter(|trade| (minute..minute + 60_000).contains(&trade.time.ms())).collect();
    let price = |trade: &Trade| trade.price.to_decimal();
    let high = inside.iter().min_by_key(|trade| (-price(trade), trade.id))?.id.get();
    let low = inside.iter().min_by_key(|trade| (price(trade), trade.id))?.id.get();
    let parts = counts(trades).into_iter().map(|count| part(&count, minute, minute + 60_000));
    let holes = parts.filter(|(inside, _)| !inside.is_empty()).flat_map(|(_, ids)| absent(&ids));
    Some((inside.len() as u64, holes.map(|(first, last)| last - first + 1).sum(), high, low))
}

/// The candles from `from` on: begin, open, high, low, close, volume, trades.
pub fn candles(trades: &[&Trade], from: i64, every: i64) -> Vec<(i64, [f64; 4], f64, u64)> {
    let mut kept: Vec<_> = trades.iter().filter(|trade| trade.time.ms() >= from).collect();
    kept.sort_by_key(|trade| (trade.time, trade.id));
    let begin = |trade: &Trade| trade.time.ms().div_euclid(every) * every;
    kept.chunk_by(|one, next| begin(one) == begin(next))
        .map(|inside| {
            let prices: Vec<f64> = inside.iter().map(|trade| trade.price.as_str().parse().unwrap()).collect();
            let high = prices.iter().copied().fold(f64::MIN, f64::max);
            let low = prices.iter().copied().fold(f64::MAX, f64::min);
            let volume = inside.iter().map(|trade| trade.quantity.as_str().parse::<f64>().unwrap()).sum();
            (begin(inside[0]), [prices[0], high, low, prices[prices.len() - 1]], volume, inside.len() as u64)
        })
        .collect()
}
