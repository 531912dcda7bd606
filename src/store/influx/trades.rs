//! The trades themselves, in stretches of time that hold some ten thousand: neither InfluxDB nor this program holds
//! much.
//!
//! How many there are in each minute is asked first. That only cuts the time into stretches: all of it is read.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use tokio::task::block_in_place;

use super::Influx;
use super::fields::Fields;
use super::flux_csv::{FluxCsvError, Row};
use super::questions::time;
use crate::flux::Question;
use crate::store::{Bounds, OnTrade, Scope, StoreError, StoredTrade};
use crate::trade::{Exchange, MINUTE_MS, Symbol, TradeTime};

/// Trades in a stretch, if their minutes allow it.
const STRETCH_TRADES: u64 = 50_000;
/// A stretch that holds more is asked for again in halves; some 300 bytes each.
const STRETCH_TRADES_MAX: usize = 100_000;
/// No more points of a series share a millisecond.
const MILLISECOND_TRADES_MAX: usize = 1_000_000;
/// Of so short a time it is not asked first how many there are: a busy minute has some 50,000.
const SHORT_MS: i64 = 2 * MINUTE_MS;
/// Minutes with a trade in them of all series, at most; 16 bytes each.
const MINUTES_MAX: usize = 3_000_000;

type Series = (Exchange, Symbol);
/// From and up to, in ms.
type Stretch = (i64, i64);

impl Influx {
    pub(super) async fn ask_trades(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        on_trade: OnTrade<'_>,
    ) -> Result<(), StoreError> {
        let (from, until) = Bounds::at((self.clock)()).within(since, until);
        if until <= from {
            return Ok(());
        }
        if until - from <= SHORT_MS
            && let Some(trades) = self.stretch(scope, (from, until)).await?
        {
            let _ = block_in_place(|| hand_over(trades, on_trade));
            return Ok(());
        }
        for ((exchange, symbol), minutes) in self.minutes(scope, from, until).await? {
            let scope = Scope::of((&exchange, &symbol));
            if self.read_stretches(&scope, stretches(&minutes, from, until), on_trade).await?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The minutes of each series in which there are trades, and how many.
    async fn minutes(
        &self,
        scope: &Scope,
        from: i64,
        until: i64,
    ) -> Result<BTreeMap<Series, Vec<(i64, u64)>>, StoreError> {
        let mut all: BTreeMap<Series, Vec<(i64, u64)>> = BTreeMap::new();
        let mut count = 0;
        let question = Question::Gaps { since_ms: Some(from), until_ms: Some(until), all: true };
        self.ask_each(question, scope, |row| {
            let (series, minute) = minute(row)?;
            all.entry(series).or_default().push(minute);
            count += 1;
            if count > MINUTES_MAX { Err(FluxCsvError::Rows(MINUTES_MAX)) } else { Ok(()) }
        })
        .await?;
        Ok(all)
    }

    async fn read_stretches(
        &self,
        scope: &Scope,
        stretches: Vec<Stretch>,
        on_trade: OnTrade<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let mut left = VecDeque::from(stretches);
        while let Some((from, until)) = left.pop_front() {
            let Some(trades) = self.stretch(scope, (from, until)).await? else {
                let middle = from.midpoint(until);
                left.push_front((middle, until));
                left.push_front((from, middle));
                continue;
            };
            if block_in_place(|| hand_over(trades, on_trade)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The trades of a stretch; `None` if they are too many and it can be halved.
    async fn stretch(&self, scope: &Scope, (from, until): Stretch) -> Result<Option<Vec<StoredTrade>>, StoreError> {
        let question = Question::Trades { from_ms: Some(from), until_ms: Some(until), by_field: true };
        let is_cut = until - from > 1;
        let most = if is_cut { STRETCH_TRADES_MAX } else { MILLISECOND_TRADES_MAX };
        let (mut fields, mut is_full) = (Fields::default(), false);
        let read = self.ask_each(question, scope, |row| {
            let taken = fields.take(row, most);
            is_full = matches!(taken, Err(FluxCsvError::Rows(_)));
            taken
        });
        match read.await {
            Err(_) if is_full && is_cut => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(Some(fields.trades())),
        }
    }
}

fn hand_over(trades: Vec<StoredTrade>, on_trade: OnTrade<'_>) -> ControlFlow<()> {
    trades.into_iter().try_for_each(on_trade)
}

fn minute(row: &Row) -> Result<(Series, (i64, u64)), FluxCsvError> {
    let series = (row.value("exchange", |text| text.parse().ok())?, row.value("symbol", |text| text.parse().ok())?);
    Ok((series, (row.value("minute", time)?.ms(), row.value("trades", |text| text.parse().ok())?)))
}

/// The whole time from `from` up to `until`, cut at minutes so that no stretch has many more than [`STRETCH_TRADES`]; a
/// minute with more is cut, too.
fn stretches(minutes: &[(i64, u64)], from: i64, until: i64) -> Vec<Stretch> {
    let mut ends = Vec::new();
    let mut sum = 0;
    for (minute, trades) in minutes {
        if sum > 0 && sum + trades > STRETCH_TRADES {
            ends.push(*minute);
            sum = 0;
        }
        let parts = i64::try_from(trades.div_ceil(STRETCH_TRADES)).unwrap_or(MINUTE_MS).min(MINUTE_MS);
        ends.extend((1..parts).map(|part| minute + MINUTE_MS * part / parts));
        sum = if parts > 1 { STRETCH_TRADES } else { sum + trades };
    }
    let mut begin = from;
    let mut all = Vec::with_capacity(ends.len() + 1);
    for end in ends.into_iter().chain([until]) {
        // Of the first and the last minute only a part may be asked for.
        if (begin + 1..=until).contains(&end) {
            all.push((begin, end));
            begin = end;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In minutes since `from`.
    fn cut(minutes: &[(i64, u64)], until: i64) -> Vec<(i64, i64)> {
        let minutes: Vec<_> = minutes.iter().map(|(minute, trades)| (minute * MINUTE_MS, *trades)).collect();
        let cut = stretches(&minutes, 0, until * MINUTE_MS);
        cut.iter().map(|(from, until)| (from / MINUTE_MS, until / MINUTE_MS)).collect()
    }

    #[test]
    fn a_time_with_few_trades_is_one_stretch() {
        assert_eq!(cut(&[], 9), [(0, 9)]);
        assert_eq!(cut(&[(3, 1), (5, STRETCH_TRADES - 1)], 9), [(0, 9)]);
    }

    #[test]
    fn many_trades_are_cut_where_a_minute_begins() {
        let half = STRETCH_TRADES / 2;
        assert_eq!(cut(&[(1, half), (2, half), (3, 1), (7, half), (8, half)], 9), [(0, 3), (3, 8), (8, 9)]);
    }

    #[test]
    fn a_minute_with_too_many_is_cut_itself() {
        let found = stretches(&[(0, 5), (MINUTE_MS, 2 * STRETCH_TRADES + 1), (2 * MINUTE_MS, 1)], 0, 4 * MINUTE_MS);
        assert_eq!(found, [(0, 60_000), (60_000, 80_000), (80_000, 100_000), (100_000, 120_000), (120_000, 240_000)]);
    }

    #[test]
    fn nothing_before_the_first_or_behind_the_last_millisecond_is_asked_for() {
        let minutes = [(0, 2 * STRETCH_TRADES), (MINUTE_MS, 2 * STRETCH_TRADES)];
        assert_eq!(stretches(&minutes, 40_000, 70_000), [(40_000, 60_000), (60_000, 70_000)]);
        assert_eq!(stretches(&minutes, 30_000, 60_000), [(30_000, 60_000)]);
    }

    #[test]
    fn whatever_the_counts_are_all_of_the_time_is_read_once() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let minutes: Vec<_> = (0..60).map(|minute| (minute * MINUTE_MS, rng.u64(0..3 * STRETCH_TRADES))).collect();
            let (from, until) = (rng.i64(0..1_000_000), rng.i64(2_000_000..4_000_000));
            let found = stretches(&minutes, from, until);
            assert_eq!((found[0].0, found[found.len() - 1].1), (from, until));
            assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].0));
            assert!(found.iter().all(|(from, until)| from < until));
        }
    }
}
