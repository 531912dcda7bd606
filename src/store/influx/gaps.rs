//! The audit of a bucket: minutes first, ids only where a minute is not whole.
//!
//! The storage engine goes through a day of minutes in tenths of a second; reading every id takes seconds. Writes land
//! out of order, so what has just been written is looked at again before a hole in it is believed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Influx;
use super::flux_csv::{FluxCsvError, Row};
use super::questions::time;
use crate::flux::Question;
use crate::store::gaps::{Audit, RUNS_MAX, TooManyHoles};
use crate::store::{Gaps, RETENTION_MS, Scope, StoreError};
use crate::trade::{Exchange, IdRange, MINUTE_MS, Symbol, TradeId, TradeTime};

/// Minutes whose ids are read at once; a busy one has some 50,000 trades.
const MINUTES_AT_ONCE: i64 = 10;
/// A hole so near to the newest trade, by the exchange's time, may be a write in flight.
const YOUNG_MS: i64 = 60_000;
/// When such a hole is looked at again; it is one if it is still there after the last look.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_millis(250), Duration::from_millis(750), Duration::from_secs(2)];

/// Runs and broken minutes of all series, at most: 32 bytes each. A series counts as some more.
const KNOWN_MAX: usize = 1_000_000;
const SERIES_SIZE: usize = 16;

type Series = (Exchange, Symbol);

/// A minute of one series, or a part of one, as `gaps.flux` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Minute {
    series: Series,
    start_ms: i64,
    ids: IdRange,
    /// The last id before it.
    before: Option<TradeId>,
    /// Whether it holds each id of the range exactly once.
    whole: bool,
}

/// Ids that follow each other, with the times between which they were traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    ids: IdRange,
    from_ms: i64,
    until_ms: i64,
}

/// What is known of a series, in the order of time.
#[derive(Debug, Default)]
struct Known {
    /// The minute that came last: more of it may follow.
    newest: Option<Minute>,
    /// The last id before the first run.
    before: Option<TradeId>,
    runs: Vec<Run>,
    /// Minutes whose ids have to be read, by their start.
    broken: Vec<i64>,
}

impl Influx {
    pub(super) async fn ask_gaps(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> Result<Vec<Gaps>, StoreError> {
        let since = since.ms().max((self.clock)().ms() - RETENTION_MS);
        let until = until.map(TradeTime::ms);
        // An empty range is an error to InfluxDB; the file takes a millisecond instead.
        if until.is_some_and(|until| until <= since) {
            return Ok(Vec::new());
        }
        let mut all: BTreeMap<Series, Known> = BTreeMap::new();
        let question = Question::Gaps { since_ms: Some(since), until_ms: until, all: true };
        let mut size = 0;
        self.ask_each(question, scope, |row| {
            let minute = minute(row)?;
            let series = all.len();
            let known = all.entry(minute.series.clone()).or_default();
            let before = known.runs.len() + known.broken.len();
            known.take(minute);
            size += known.runs.len() + known.broken.len() - before;
            if size + series * SERIES_SIZE > KNOWN_MAX { Err(FluxCsvError::Rows(KNOWN_MAX)) } else { Ok(()) }
        })
        .await?;
        let mut audits = Vec::new();
        for (series, mut known) in all {
            known.end_minute();
            for (from_ms, until_ms) in stretches(&known.broken) {
                known.runs.extend(
                    self.runs(&series, from_ms.max(since), until.map_or(until_ms, |until| until.min(until_ms))).await?,
                );
            }
            known.runs.sort_by_key(|run| run.from_ms);
            let audit = known.audit(&series).map_err(|error| StoreError::Unusable(error.to_string()))?;
            audits.push((series, known, audit));
        }
        for pause in LOOK_AGAIN {
            let young = audits.iter_mut().filter_map(|(series, known, audit)| {
                let newest = audit.last_mut()?;
                Some((&*series, known.young(newest)?, newest))
            });
            let young: Vec<_> = young.collect();
            if young.is_empty() {
                break;
            }
            tokio::time::sleep(pause).await;
            for (series, (from_ms, until_ms), newest) in young {
                let seen = self.runs(series, from_ms.max(since), until_ms).await?;
                seen.iter().for_each(|run| newest.fill(run.ids));
            }
        }
        Ok(audits.into_iter().flat_map(|(.., audit)| audit).collect())
    }

    /// The ids of a stretch of time, as runs in the order of (T, id).
    async fn runs(&self, (exchange, symbol): &Series, from_ms: i64, until_ms: i64) -> Result<Vec<Run>, StoreError> {
        let scope = Scope::of((exchange, symbol));
        let question = Question::Ids { from_ms: Some(from_ms), until_ms: Some(until_ms) };
        let mut runs = Runs::default();
        self.ask_each(question, &scope, |row| {
            let id: TradeId = row.value("trade_id", |text| TradeId::new(text.parse().ok()?).ok())?;
            runs.take(row.value("time", time)?.ms(), id)
        })
        .await?;
        Ok(runs.finish())
    }
}

/// Makes runs of ids that come in the order of a point's time: inside a millisecond that is not always the ids' order.
#[derive(Debug, Default)]
struct Runs {
    millisecond: (i64, Vec<TradeId>),
    runs: Vec<Run>,
}

impl Runs {
    fn take(&mut self, ms: i64, id: TradeId) -> Result<(), FluxCsvError> {
        if ms != self.millisecond.0 {
            self.end_millisecond();
            self.millisecond.0 = ms;
        }
        self.millisecond.1.push(id);
        if self.runs.len() + self.millisecond.1.len() > RUNS_MAX { Err(FluxCsvError::Rows(RUNS_MAX)) } else { Ok(()) }
    }

    fn end_millisecond(&mut self) {
        let (ms, ids) = &mut self.millisecond;
        ids.sort_unstable();
        for id in ids.drain(..) {
            let ids = IdRange::from(id);
            push(&mut self.runs, Run { ids, from_ms: *ms, until_ms: *ms });
        }
    }

    fn finish(mut self) -> Vec<Run> {
        self.end_millisecond();
        self.runs
    }
}

/// Appends a run, as part of the last one if it follows it.
fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.ids.last + 1 == run.ids.first => {
            last.ids.last = run.ids.last;
            last.until_ms = run.until_ms;
        }
        _ => runs.push(run),
    }
}

impl Known {
    fn take(&mut self, minute: Minute) {
        match &mut self.newest {
            // Of a minute in which a count began again there are parts: they are read together.
            Some(newest) if newest.start_ms == minute.start_ms => newest.whole = false,
            _ => {
                self.end_minute();
                self.newest = Some(minute);
            }
        }
    }

    fn end_minute(&mut self) {
        let Some(Minute { start_ms, ids, before, whole, .. }) = self.newest.take() else { return };
        if self.runs.is_empty() && self.broken.is_empty() {
            self.before = before;
        }
        if whole {
            let run = Run { ids, from_ms: start_ms, until_ms: start_ms + MINUTE_MS - 1 };
            // What is read of a minute between them comes between them.
            let is_apart =
                self.broken.last().is_some_and(|broken| self.runs.last().is_some_and(|last| last.from_ms < *broken));
            if is_apart { self.runs.push(run) } else { push(&mut self.runs, run) }
        } else {
            self.broken.push(start_ms);
        }
    }

    fn audit(&self, (exchange, symbol): &Series) -> Result<Vec<Gaps>, TooManyHoles> {
        let mut audit = Audit::after(self.before);
        self.runs.iter().try_for_each(|run| audit.add(run.ids))?;
        Ok(audit.finish(exchange, symbol))
    }

    /// From when up to when to look again, if a hole of the newest count is so young that a write may fill it.
    fn young(&self, newest: &Gaps) -> Option<(i64, i64)> {
        let last_ms = self.runs.last()?.until_ms;
        let mut after = None;
        for run in self.runs.iter().rev().take_while(|run| run.from_ms >= last_ms - YOUNG_MS - MINUTE_MS) {
            let is_after_a_hole = newest.holes.iter().any(|hole| hole.last + 1 == run.ids.first);
            after = if is_after_a_hole { Some(run.from_ms) } else { after };
        }
        let before = self.runs.iter().rev().find(|run| Some(run.from_ms) < after);
        after.map(|after| (before.map_or(after, |run| run.until_ms.min(after)), last_ms + 1))
    }
}

/// Broken minutes, neighbours together: from and up to, in ms.
fn stretches(broken: &[i64]) -> Vec<(i64, i64)> {
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for start in broken {
        let end = start + MINUTE_MS;
        match stretches.last_mut() {
            Some((from, until)) if until == start && end - *from <= MINUTES_AT_ONCE * MINUTE_MS => *until = end,
            _ => stretches.push((*start, end)),
        }
    }
    stretches
}

fn minute(row: &Row) -> Result<Minute, FluxCsvError> {
    let id = |text: &str| Some(TradeId::new(text.parse().ok()?).ok()?.get());
    Ok(Minute {
        series: (row.value("exchange", |text| text.parse().ok())?, row.value("symbol", |text| text.parse().ok())?),
        start_ms: row.value("minute", time)?.ms(),
        ids: IdRange { first: row.value("first_id", id)?, last: row.value("last_id", id)? },
        before: row.value("id_before", |text| Some(text.parse().ok().and_then(|id| TradeId::new(id).ok())))?,
        whole: row.value("whole", |text| text.parse().ok())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64, first: u64, last: u64, whole: bool) -> Minute {
        let series = ("binance".parse().unwrap(), "BTCUSDT".parse().unwrap());
        Minute { series, start_ms: minute * MINUTE_MS, ids: IdRange { first, last }, before: None, whole }
    }

    #[test]
    fn neighbours_are_read_together_up_to_a_limit() {
        let broken: Vec<_> = [1, 2, 5].into_iter().chain(20..32).map(|minute| minute * MINUTE_MS).collect();
        let found: Vec<_> =
            stretches(&broken).iter().map(|(from, until)| (from / MINUTE_MS, until / MINUTE_MS)).collect();
        assert_eq!(found, [(1, 3), (5, 6), (20, 30), (30, 32)]);
    }

    #[test]
    fn whole_minutes_are_runs_and_the_others_are_read() {
        let mut known = Known::default();
        let first = Minute { before: TradeId::new(7).ok(), ..minute(1, 10, 19, true) };
        let minutes = [
            first,
            minute(2, 20, 25, true),
            minute(4, 30, 39, false),
            minute(5, 26, 27, true),
            minute(6, 28, 29, true),
            minute(7, 40, 49, true),
            minute(7, 1, 3, true),
        ];
        minutes.into_iter().for_each(|minute| known.take(minute));
        known.end_minute();
        assert_eq!(known.before.map(TradeId::get), Some(7));
        let run = |first, last, from, until| {
            let (from_ms, until_ms) = (from * MINUTE_MS, until * MINUTE_MS - 1);
            Run { ids: IdRange { first, last }, from_ms, until_ms }
        };
        // What is read of the broken minute comes between the two.
        let whole = vec![run(10, 25, 1, 3), run(26, 29, 5, 7)];
        assert_eq!((known.runs, known.broken), (whole, vec![4 * MINUTE_MS, 7 * MINUTE_MS]));
    }

    #[test]
    fn runs_are_in_the_order_of_time_and_id() {
        let mut runs = Runs::default();
        // As the points come: the low six digits of the id are their nanoseconds.
        for (ms, id) in
            [(1, 999_997), (2, 1_000_000), (2, 1_000_001), (2, 999_998), (2, 999_999), (3, 1_000_003), (3, 5)]
        {
            runs.take(ms, TradeId::new(id).unwrap()).unwrap();
        }
        let run = |first, last, from_ms, until_ms| Run { ids: IdRange { first, last }, from_ms, until_ms };
        let expected = [run(999_997, 1_000_001, 1, 2), run(5, 5, 3, 3), run(1_000_003, 1_000_003, 3, 3)];
        assert_eq!(runs.finish(), expected);
    }

    #[test]
    fn only_a_hole_near_the_newest_trade_is_looked_at_again() {
        let run = |first, last, from_ms, until_ms| Run { ids: IdRange { first, last }, from_ms, until_ms };
        let young = |runs: &[Run]| {
            let known = Known { runs: runs.to_vec(), ..Known::default() };
            let gaps = known.audit(&("binance".parse().unwrap(), "BTCUSDT".parse().unwrap())).unwrap();
            known.young(gaps.last().unwrap())
        };
        assert_eq!(young(&[run(1, 9, 0, 500_000)]), None);
        assert_eq!(young(&[run(1, 9, 0, 500), run(11, 20, 1_000, 500_000)]), None);
        assert_eq!(young(&[run(1, 9, 0, 480_000), run(11, 20, 480_002, 500_000)]), Some((480_000, 500_001)));
        let old_and_young = [run(1, 9, 0, 500), run(11, 20, 1_000, 480_000), run(22, 30, 480_002, 500_000)];
        assert_eq!(young(&old_and_young), Some((480_000, 500_001)));
    }
}
