//! The questions, by the rules of the other stores. What manifests tell is not read from files.

use std::ops::ControlFlow;

use tokio::task::{block_in_place, yield_now};

use super::hours::Hours;
use super::walk::{OpenHour, Walk};
use super::{Answer, Archive};
use crate::archive::manifest::Manifest;
use crate::archive::read::{Rows, Wanted};
use crate::archive::{HOUR_MS, Hour, Series};
use crate::store::candles::CandleSums;
use crate::store::extremes::Extremes;
use crate::store::gaps::{Audit, KnownHole};
use crate::store::minutes::{MinuteSums, Part};
use crate::store::{Candle, Gaps, HighLow, Interval, Minute, OnTrade, Scope, StoredTrade};
use crate::trade::{HoleState, IdRange, IdRanges, MINUTE_MS, Price, TradeId, TradeTime};

const KEYS: Wanted = Wanted { texts: false, floats: false };
const TEXTS: Wanted = Wanted { texts: true, floats: false };
const FLOATS: Wanted = Wanted { texts: false, floats: true };

/// One question.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) archive: &'a Archive,
    pub(super) scope: &'a Scope,
}

impl Question<'_> {
    /// Every series in scope of which there is anything, in order.
    pub(super) fn series(&self) -> Answer<Vec<Series>> {
        let Scope { symbols, exchange } = self.scope;
        let mut all = self.archive.folder.series().map_err(|source| self.archive.of_folder(source))?;
        all.retain(|(its, symbol)| {
            exchange.as_ref().is_none_or(|exchange| exchange == its) && (symbols.is_empty() || symbols.contains(symbol))
        });
        Ok(all)
    }

    fn each_series<T>(&self, mut answer: impl FnMut(&Series) -> Answer<Option<T>>) -> Answer<Vec<T>> {
        let mut answers = Vec::new();
        for series in self.series()? {
            answers.extend(answer(&series)?);
        }
        Ok(answers)
    }

    pub(super) fn latest(&self) -> Answer<Vec<StoredTrade>> {
        self.each_series(|series| self.last_before(series, i64::MAX))
    }

    pub(super) fn price_at(&self, time: TradeTime, as_of: bool) -> Answer<Vec<StoredTrade>> {
        let time = time.ms();
        self.each_series(|series| {
            if as_of {
                return self.last_before(series, time + 1);
            }
            let (before, after) = (self.last_before(series, time)?, self.first_from(series, time)?);
            Ok(StoredTrade::nearest(time, before, after))
        })
    }

    pub(super) fn high_low(&self, time: TradeTime, now: TradeTime) -> Answer<Vec<HighLow>> {
        let minute = time.minute();
        let next = minute.later_by(MINUTE_MS);
        self.each_series(|series| {
            let mut extremes = Extremes::default();
            let (mut trades, mut audit) = (0, Audit::default());
            let mut walk = Walk::new(self.archive, series, (minute.ms(), next.ms()), TEXTS)?;
            while let Some((rows, range)) = walk.next()? {
                for at in range {
                    if trades == 0 {
                        audit = Audit::after(self.last_id_before(series, minute.ms())?);
                    }
                    trades += 1;
                    let id = rows.keys[at].id;
                    audit.add(id.into())?;
                    extremes.add(id, rows.price(at), || Answer::Ok(stored(&rows, at, series)))?;
                }
            }
            let Some((high, low)) = extremes.found() else { return Ok(None) };
            let missing = audit.missing(self.first_id_from(series, next.ms())?);
            Ok(Some(HighLow { minute, trades, missing, open: now < next, high, low }))
        })
    }

    pub(super) fn gaps(&self, since: TradeTime, until: Option<TradeTime>) -> Answer<Vec<Gaps>> {
        let within = (since.ms(), end(until));
        let all = self.each_series(|series| {
            let mut audit = Audit::after(self.last_id_before(series, since.ms())?);
            let mut hours = Hours::within(self.archive, series, within)?;
            while let Some(hour) = hours.next()? {
                match self.told(series, hour, within)? {
                    Some(ids) => ids.iter().try_for_each(|ids| audit.add(ids))?,
                    None => {
                        let of_hour = (within.0.max(hour.begin().ms()), within.1.min(hour.begin().ms() + HOUR_MS));
                        let mut walk = Walk::new(self.archive, series, of_hour, KEYS)?;
                        while let Some((rows, range)) = walk.next()? {
                            rows.keys[range].iter().try_for_each(|key| audit.add(key.id.into()))?;
                        }
                    }
                }
            }
            Ok(Some(audit.finish(&series.0, &series.1)))
        })?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The ids of an hour that lies in a time as a whole, if its manifest tells them.
    fn told(&self, series: &Series, hour: Hour, (from, until): (i64, i64)) -> Answer<Option<IdRanges>> {
        if hour.begin().ms() < from || until < hour.begin().ms() + HOUR_MS {
            return Ok(None);
        }
        let manifest = self.archive.manifest(series, hour)?;
        let manifest = manifest.filter(|manifest| self.archive.is_there(series, hour, manifest));
        Ok(manifest.and_then(|manifest| ids(&manifest)))
    }

    /// What manifests say of ids that will never come.
    pub(super) fn known_holes(&self, since: TradeTime, until: Option<TradeTime>) -> Answer<Vec<KnownHole>> {
        let mut known = Vec::new();
        for series in self.series()? {
            let mut hours = Hours::within(self.archive, &series, (since.ms(), end(until)))?;
            while let Some(hour) = hours.next()? {
                let holes = self.archive.manifest(&series, hour)?.map(|manifest| manifest.holes).unwrap_or_default();
                known.extend(holes.iter().filter(|hole| hole.state != HoleState::Open).map(|hole| KnownHole {
                    exchange: series.0.clone(),
                    symbol: series.1.clone(),
                    range: hole.range(),
                    state: hole.state,
                }));
            }
        }
        Ok(known)
    }

    pub(super) fn candles(&self, since: TradeTime, until: Option<TradeTime>, every: Interval) -> Answer<Vec<Candle>> {
        let from = every.begin(since)?.ms();
        let end = end(every.end(until)?);
        let all = self.each_series(|series| {
            let mut candles = CandleSums::new(series, every);
            let mut walk = Walk::new(self.archive, series, (from, end), FLOATS)?;
            while let Some((rows, range)) = walk.next()? {
                for at in range {
                    candles.add(rows.keys[at].time, rows.price_floats[at], rows.quantity_floats[at])?;
                }
            }
            Ok(Some(candles.finish()))
        })?;
        Ok(all.into_iter().flatten().collect())
    }

    pub(super) fn minutes(&self, since: TradeTime, until: TradeTime) -> Answer<Vec<Minute>> {
        let all = self.each_series(|series| {
            let mut sums = MinuteSums::default();
            let mut walk = Walk::new(self.archive, series, (since.ms(), until.ms()), TEXTS)?;
            while let Some((rows, range)) = walk.next()? {
                range.filter_map(|at| part(&rows, at)).for_each(|(time, part)| sums.add(time, part));
            }
            Ok(Some(sums.finish(&series.0, &series.1)))
        })?;
        Ok(all.into_iter().flatten().collect())
    }

    pub(super) async fn trades(&self, since: TradeTime, until: Option<TradeTime>, on_trade: OnTrade<'_>) -> Answer<()> {
        for series in block_in_place(|| self.series())? {
            let mut walk = Walk::new(self.archive, &series, (since.ms(), end(until)), TEXTS)?;
            loop {
                let handed: Answer<_> = block_in_place(|| {
                    let Some((rows, mut range)) = walk.next()? else { return Ok(None) };
                    Ok(Some(range.try_for_each(|at| match stored(&rows, at, &series) {
                        Some(trade) => on_trade(trade),
                        None => ControlFlow::Continue(()),
                    })))
                });
                match handed? {
                    Some(ControlFlow::Continue(())) => {}
                    Some(ControlFlow::Break(())) => return Ok(()),
                    None => break,
                }
                // Here it can be cancelled.
                yield_now().await;
            }
        }
        Ok(())
    }

    /// The largest (T, id) before a time.
    fn last_before(&self, series: &Series, before: i64) -> Answer<Option<StoredTrade>> {
        let mut hours = Hours::within(self.archive, series, (i64::MIN, before))?;
        while let Some(hour) = hours.next_back()? {
            let Some(mut open) = OpenHour::open(self.archive, series, hour)? else { continue };
            if let Some((rows, at)) = open.last_before(before, TEXTS)? {
                return Ok(stored(&rows, at, series));
            }
        }
        Ok(None)
    }

    /// The smallest (T, id) from a time on.
    fn first_from(&self, series: &Series, from: i64) -> Answer<Option<StoredTrade>> {
        let mut walk = Walk::new(self.archive, series, (from, i64::MAX), TEXTS)?;
        Ok(walk.next()?.and_then(|(rows, range)| stored(&rows, range.start, series)))
    }

    /// The id of the largest (T, id) before a time.
    pub(super) fn last_id_before(&self, series: &Series, before: i64) -> Answer<Option<TradeId>> {
        let mut hours = Hours::within(self.archive, series, (i64::MIN, before))?;
        while let Some(hour) = hours.next_back()? {
            if hour.begin().ms() + HOUR_MS <= before {
                let Some(manifest) = self.archive.manifest(series, hour)? else { continue };
                return Ok(Some(TradeId::new(manifest.last_id)?));
            }
            let Some(mut open) = OpenHour::open(self.archive, series, hour)? else { continue };
            if let Some((rows, at)) = open.last_before(before, KEYS)? {
                return Ok(Some(rows.keys[at].id));
            }
        }
        Ok(None)
    }

    /// The id of the smallest (T, id) from a time on.
    fn first_id_from(&self, series: &Series, from: i64) -> Answer<Option<TradeId>> {
        let mut hours = Hours::within(self.archive, series, (from, i64::MAX))?;
        while let Some(hour) = hours.next()? {
            if from <= hour.begin().ms() {
                let Some(manifest) = self.archive.manifest(series, hour)? else { continue };
                return Ok(Some(TradeId::new(manifest.first_id)?));
            }
            let mut walk = Walk::new(self.archive, series, (from, hour.begin().ms() + HOUR_MS), KEYS)?;
            if let Some((rows, range)) = walk.next()? {
                return Ok(Some(rows.keys[range.start].id));
            }
        }
        Ok(None)
    }
}

/// Up to when, in milliseconds.
fn end(until: Option<TradeTime>) -> i64 {
    until.map_or(i64::MAX, TradeTime::ms)
}

fn stored(rows: &Rows, at: usize, (exchange, symbol): &Series) -> Option<StoredTrade> {
    Some(StoredTrade { exchange: exchange.clone(), trade: rows.trade(at, symbol)? })
}

/// What a minute adds up of a row.
fn part(rows: &Rows, at: usize) -> Option<(TradeTime, Part<'_>)> {
    let price = Price::new(std::str::from_utf8(rows.price(at)).ok()?).ok()?;
    let (key, quantity) = (rows.keys[at], rows.quantity(at));
    Some((key.time, Part { id: key.id, price, quantity, buyer_is_maker: rows.buyer_is_maker(at) }))
}

/// The ids that a file has, if its manifest tells: those from its first to its last one without its holes. Where these are not as
/// many as it has trades, as after a restart of the count or with an id twice, only the file tells.
fn ids(manifest: &Manifest) -> Option<IdRanges> {
    let (first, last) = (manifest.first_id, manifest.last_id);
    if first > last {
        return None;
    }
    let mut ids = IdRanges::default();
    ids.insert(IdRange { first, last });
    manifest.holes.iter().for_each(|hole| ids.remove(hole.range()));
    let count = ids.iter().fold(0_u64, |sum, ids| sum.saturating_add(ids.count()));
    let has_ends = ids.contains(first) && ids.contains(last);
    (has_ends && count == manifest.trades).then_some(ids)
}
