//! The rows of a series in a stretch of time, a row group at a time.

use std::ops::Range;
use std::path::PathBuf;

use super::hours::Hours;
use super::{Answer, Archive, QuestionError};
use crate::archive::read::{Key, Rows, TradesReader, Wanted};
use crate::archive::{HOUR_MS, Hour, Series};

/// Reads on, group after group.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    archive: &'a Archive,
    series: &'a Series,
    hours: Hours<'a>,
    within: (i64, i64),
    wanted: Wanted,
    open: Option<OpenHour>,
}

/// A file of which groups are left.
#[derive(Debug)]
pub(super) struct OpenHour {
    path: PathBuf,
    hour: Hour,
    file: TradesReader,
    next: usize,
    /// The last key that was read.
    last: Option<Key>,
}

impl<'a> Walk<'a> {
    /// Over the rows with `from <= T < until`.
    pub(super) fn new(archive: &'a Archive, series: &'a Series, within: (i64, i64), wanted: Wanted) -> Answer<Self> {
        let hours = Hours::within(archive, series, within)?;
        Ok(Self { archive, series, hours, within, wanted, open: None })
    }

    /// The next row group with rows of that time, and which of its rows these are.
    pub(super) fn next(&mut self) -> Answer<Option<(Rows, Range<usize>)>> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(found) = open.next(self.within, self.wanted)? {
                    return Ok(Some(found));
                }
                self.open = None;
            }
            let Some(hour) = self.hours.next()? else { return Ok(None) };
            self.open = OpenHour::open(self.archive, self.series, hour)?;
        }
    }
}

impl OpenHour {
    /// Opens the file of an hour; `None` if it is not sealed.
    pub(super) fn open(archive: &Archive, series: &Series, hour: Hour) -> Answer<Option<Self>> {
        let path = archive.folder.file(series, hour);
        let Some((_, file)) = archive.sealed(series, hour)? else { return Ok(None) };
        let begin = hour.begin().ms();
        let is_of_hour = |(first, last): (i64, i64)| begin <= first && last < begin + HOUR_MS;
        if !(0..file.groups()).filter_map(|group| file.times(group)).all(is_of_hour) {
            return Err(QuestionError::Odd { path, why: "it has trades of another hour".to_owned() });
        }
        Ok(Some(Self { path, hour, file, next: 0, last: None }))
    }

    /// The next row group with rows of `within`, and which of its rows these are.
    fn next(&mut self, within: (i64, i64), wanted: Wanted) -> Answer<Option<(Rows, Range<usize>)>> {
        while self.next < self.file.groups() {
            let group = self.next;
            self.next += 1;
            if self.may_have(group, within) {
                let rows = self.read(group, wanted)?;
                let range = rows_within(&rows.keys, within);
                if !range.is_empty() {
                    return Ok(Some((rows, range)));
                }
            }
        }
        Ok(None)
    }

    /// The last row before a time, and the group that it is in.
    pub(super) fn last_before(&mut self, before: i64, wanted: Wanted) -> Answer<Option<(Rows, usize)>> {
        for group in (0..self.file.groups()).rev() {
            if self.may_have(group, (i64::MIN, before)) {
                self.last = None;
                let rows = self.read(group, wanted)?;
                if let Some(at) = rows_within(&rows.keys, (i64::MIN, before)).last() {
                    return Ok(Some((rows, at)));
                }
            }
        }
        Ok(None)
    }

    /// Whether a row group may have rows of that time.
    fn may_have(&self, group: usize, (from, until): (i64, i64)) -> bool {
        self.file.times(group).is_none_or(|(first, last)| first < until && from <= last)
    }

    /// Reads a row group, whose rows have to be of the hour and in order.
    fn read(&mut self, group: usize, wanted: Wanted) -> Answer<Rows> {
        let of_file = |source| QuestionError::File { path: self.path.clone(), source };
        let rows = self.file.read(group, wanted).map_err(of_file)?;
        let begin = self.hour.begin().ms();
        for key in &rows.keys {
            let is_of_hour = (begin..begin + HOUR_MS).contains(&key.time.ms());
            if !is_of_hour || self.last.is_some_and(|last| last >= *key) {
                let why = format!("its rows are not those of its hour in order, at {} trade {}", key.time, key.id);
                return Err(QuestionError::Odd { path: self.path.clone(), why });
            }
            self.last = Some(*key);
        }
        Ok(rows)
    }
}

/// Which of keys in order are of a stretch of time.
fn rows_within(keys: &[Key], (from, until): (i64, i64)) -> Range<usize> {
    let before = |ms: i64| keys.partition_point(|key| key.time.ms() < ms);
    before(from)..before(until).max(before(from))
}
