//! What an archive cannot know: hours that are not sealed. An hour without a trade has no file either; that it had none is
//! known where the ids before and after it follow each other.

use super::Answer;
use super::hours::Hours;
use super::questions::Question;
use crate::archive::manifest::Manifest;
use crate::archive::{HOUR_MS, Hour, Series};
use crate::trade::{HoleState, IdRange, IdRanges, TradeTime};

/// What is not sealed of a series within a stretch of time.
#[derive(Debug, Default)]
struct Unsealed {
    /// How many hours.
    hours: i64,
    /// The begin of the first of them, in milliseconds.
    first: Option<i64>,
}

impl Question<'_> {
    /// Says what of a time is not sealed, up to now, and what is.
    pub(super) fn unsealed(&self, since: TradeTime, until: Option<TradeTime>) -> Answer<Option<String>> {
        let mut words = Vec::new();
        let mut series = self.series()?;
        // So many names stand in a line.
        let named = series.len().min(3);
        let others = series.split_off(named).len();
        for series in &series {
            words.extend(self.unsealed_of(series, since.ms(), until.map(TradeTime::ms))?);
        }
        if words.is_empty() {
            return Ok(None);
        }
        let others = if others > 0 { format!("; {others} more series were not looked at") } else { String::new() };
        Ok(Some(format!("{}{others}", words.join("; "))))
    }

    fn unsealed_of(&self, series: &Series, since: i64, until: Option<i64>) -> Answer<Option<String>> {
        let mut all = Hours::within(self.archive, series, (i64::MIN, i64::MAX))?;
        let (first, mut last) = (all.next()?, None);
        let mut from_behind = Hours::within(self.archive, series, (i64::MIN, i64::MAX))?;
        while let (None, Some(hour)) = (last, from_behind.next_back()?) {
            last = Some(hour).filter(|hour| self.archive.is_sealed(series, *hour));
        }
        let Some((first, last)) = first.zip(last) else { return Ok(None) };
        let end = until.unwrap_or(i64::MAX).min((self.archive.clock)().ms());
        let unsealed = self.between(series, (since, end), last)?;
        let sealed_until = last.begin().later_by(HOUR_MS);
        if unsealed.hours == 0 && since >= first.begin().ms() && end <= sealed_until.ms() {
            return Ok(None);
        }
        let mut words = format!("{} {} is sealed from {} to {sealed_until}", series.0, series.1, first.begin());
        if let Some(first) = unsealed.first.and_then(|first| TradeTime::from_ms(first).ok()) {
            words = format!(
                "{words} without {} hours of the time that was asked for, the first at {first}",
                unsealed.hours
            );
        }
        Ok(Some(words))
    }

    /// The hours of a time that are not sealed, between those that are.
    fn between(&self, series: &Series, (since, end): (i64, i64), last: Hour) -> Answer<Unsealed> {
        let mut unsealed = Unsealed::default();
        // From the sealed hour before the time on to the one after it.
        let mut before = None;
        let mut hours = Hours::within(self.archive, series, (i64::MIN, since))?;
        while let (None, Some(hour)) = (before, hours.next_back()?) {
            before = Some(hour).filter(|hour| self.archive.is_sealed(series, *hour));
        }
        let from = before.map_or(since, |hour: Hour| hour.begin().ms() + HOUR_MS);
        let mut hours = Hours::within(self.archive, series, (from, last.begin().ms() + HOUR_MS))?;
        while let Some(hour) = hours.next()? {
            let begin = hour.begin().ms();
            if !self.archive.is_sealed(series, hour) {
                continue;
            }
            if let Some(before) = before {
                // Of what is between them what was asked for, in whole hours.
                let (from, until) = ((before.begin().ms() + HOUR_MS).max(floor(since)), begin.min(end));
                if from < until && !self.follows(series, before, hour)? {
                    unsealed.hours += (until - from + HOUR_MS - 1) / HOUR_MS;
                    unsealed.first = unsealed.first.or(Some(from));
                }
            }
            if begin >= end {
                break;
            }
            before = Some(hour);
        }
        Ok(unsealed)
    }

    /// Whether nothing was traded between two hours.
    fn follows(&self, series: &Series, before: Hour, after: Hour) -> Answer<bool> {
        let manifests = (self.archive.manifest(series, before)?, self.archive.manifest(series, after)?);
        let (Some(before), Some(after)) = manifests else { return Ok(false) };
        Ok(follows(&before, &after))
    }
}

/// The begin of the hour that holds a time.
fn floor(ms: i64) -> i64 {
    ms - ms.rem_euclid(HOUR_MS)
}

/// Whether the ids of two hours follow each other, but for such as will never come.
fn follows(before: &Manifest, after: &Manifest) -> bool {
    let Some(first) = before.last_id.checked_add(1) else { return false };
    if first == after.first_id {
        return true;
    }
    let Some(last) = after.first_id.checked_sub(1).filter(|last| *last >= first) else { return false };
    let never = after.holes.iter().filter(|hole| hole.state != HoleState::Open).map(|hole| hole.range());
    never.collect::<IdRanges>().absent_in(IdRange { first, last }).is_empty()
}
