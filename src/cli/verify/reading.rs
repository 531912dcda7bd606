//! Minutes whose every trade is read, where a store's own sums do not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::{Failure, drawing};
use crate::store::AnyStore;
use crate::store::minutes::{Account, Minute, add_up};
use crate::trade::{Exchange, MINUTE_MS, Symbol, TradeTime};
use crate::verify::{Judged, Verdict};

/// So many trades of a series are read in any case: it takes a few seconds.
const TRADES_READ: u64 = 300_000;
/// Minutes that are read at once if they follow each other; a store cuts what is too much.
const MINUTES_AT_ONCE: i64 = 60;

/// The minutes whose trades are to be read: where only sums are known, and they do not tell or few trades are in them.
pub(super) fn wanted(judged: &[Judged<'_>], is_exact: bool) -> Vec<TradeTime> {
    let trades: u64 = judged.iter().filter_map(|judged| Some(judged.minute?.trades)).sum();
    let is_of_all = is_exact || trades <= TRADES_READ;
    let is_wanted = |judged: &&Judged<'_>| {
        let is_sums = judged.minute.is_some_and(|minute| matches!(minute.account, Account::Sums(_)));
        is_sums && (is_of_all || judged.verdict != Verdict::Agrees) && judged.verdict != Verdict::Untold
    };
    judged.iter().filter(is_wanted).map(|judged| judged.start).collect()
}

/// Those of the `read` minutes that do not agree with their candle now.
pub(super) fn still_doubtful(read: &[TradeTime], judged: &[Judged<'_>]) -> Vec<TradeTime> {
    let agree = judged.iter().filter(|judged| judged.verdict == Verdict::Agrees).map(|judged| judged.start);
    let agree: BTreeSet<_> = agree.collect();
    read.iter().filter(|start| !agree.contains(start)).copied().collect()
}

/// Puts the exact account of each of the `wanted` minutes, which are in order, in the place of its sums. `is_quick`: by the quickest
/// way, which only tells those that agree.
pub(super) async fn read(
    store: &AnyStore,
    series: (&Exchange, &Symbol),
    wanted: &[TradeTime],
    minutes: &mut Vec<Minute>,
    is_quick: bool,
) -> Result<(), Failure> {
    let is_wanted = |minute: &&Minute| wanted.binary_search(&minute.start).is_ok();
    let all = minutes.iter().filter(is_wanted).map(|minute| minute.trades).sum();
    let done = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&done);
    let bar = (all > 0).then(|| drawing::bar("trades", all, move || shown.load(Ordering::Relaxed)));
    let count = |trades| {
        done.fetch_add(trades, Ordering::Relaxed);
    };
    let mut exact = BTreeMap::new();
    for (first, last) in stretches(wanted) {
        let until = last.later_by(MINUTE_MS);
        let read = if is_quick {
            let read = store.exact_minutes(series, first, until).await?;
            count(read.iter().map(|minute| minute.trades).sum());
            read
        } else {
            add_up(store.as_ref(), series, first, until, || count(1)).await?
        };
        exact.extend(read.into_iter().map(|minute| (minute.start, minute)));
    }
    bar.into_iter().for_each(drawing::Drawing::end);
    // What has no trade after all, such as one with points that are none, is no minute.
    minutes.retain(|minute| wanted.binary_search(&minute.start).is_err());
    minutes.extend(exact.into_values());
    minutes.sort_by_key(|minute| minute.start);
    Ok(())
}

/// Minutes that follow each other, as the first and the last of them.
fn stretches(wanted: &[TradeTime]) -> Vec<(TradeTime, TradeTime)> {
    let mut stretches: Vec<(TradeTime, TradeTime)> = Vec::new();
    for start in wanted {
        let next = |last: TradeTime| start.ms() - last.ms() == MINUTE_MS;
        match stretches.last_mut() {
            Some((first, last)) if next(*last) && start.ms() - first.ms() < MINUTES_AT_ONCE * MINUTE_MS => {
                *last = *start
            }
            _ => stretches.push((*start, *start)),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_that_follow_each_other_are_read_together() {
        let time = |minute: i64| TradeTime::from_ms(minute * MINUTE_MS).unwrap();
        let wanted: Vec<_> = [3, 4, 7].into_iter().chain(100..170).map(time).collect();
        let expected = [(3, 4), (7, 7), (100, 159), (160, 169)].map(|(first, last)| (time(first), time(last)));
        assert_eq!(stretches(&wanted), expected);
        assert_eq!(stretches(&[]), []);
    }
}
