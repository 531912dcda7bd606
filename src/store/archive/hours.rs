//! Which hours of a series are sealed, looked up where they lie, and only as far as a question goes.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use super::{Answer, Archive, QuestionError};
use crate::archive::manifest::Manifest;
use crate::archive::parquet::Names;
use crate::archive::read::{ReadError, TradesReader};
use crate::archive::{HOUR_MS, Hour, Series};

/// A day in milliseconds.
const DAY_MS: i64 = 24 * HOUR_MS;
/// Between a file that is sealed again and its manifest lies a moment, which is waited for so often.
const LOOKS: u32 = 25;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The hours of a series that have a file or a manifest, in order, a day's folder at a time.
#[derive(Debug)]
pub(super) struct Hours<'a> {
    archive: &'a Archive,
    series: &'a Series,
    days: VecDeque<Hour>,
    /// Those of the day whose turn it is.
    hours: VecDeque<Hour>,
    /// Only hours of which some of this time is part, in milliseconds.
    within: (i64, i64),
}

impl<'a> Hours<'a> {
    /// Those of which some of the time `from..until` is part.
    pub(super) fn within(archive: &'a Archive, series: &'a Series, (from, until): (i64, i64)) -> Answer<Self> {
        let days = archive.folder.days(series).map_err(|source| archive.of_folder(source))?;
        let is_within = |day: &Hour| is_part((from, until), day.begin().ms(), DAY_MS);
        let days = days.into_iter().filter(is_within).collect();
        Ok(Self { archive, series, days, hours: VecDeque::new(), within: (from, until) })
    }

    /// The first of them that is left.
    pub(super) fn next(&mut self) -> Answer<Option<Hour>> {
        self.one(VecDeque::pop_front)
    }

    /// The last of them that is left.
    pub(super) fn next_back(&mut self) -> Answer<Option<Hour>> {
        self.one(VecDeque::pop_back)
    }

    /// Taken from one end only.
    fn one(&mut self, pop: fn(&mut VecDeque<Hour>) -> Option<Hour>) -> Answer<Option<Hour>> {
        loop {
            if let Some(hour) = pop(&mut self.hours) {
                return Ok(Some(hour));
            }
            let Some(day) = pop(&mut self.days) else { return Ok(None) };
            let hours = self.archive.folder.hours(self.series, day);
            self.hours = hours.map_err(|source| self.archive.of_folder(source))?.into();
            self.hours.retain(|hour| is_part(self.within, hour.begin().ms(), HOUR_MS));
        }
    }
}

/// Whether something that begins at a time and lasts so long has a part in another stretch of time.
fn is_part((from, until): (i64, i64), begin: i64, length: i64) -> bool {
    begin < until && from < begin + length
}

impl Archive {
    pub(super) fn of_folder(&self, source: std::io::Error) -> QuestionError {
        QuestionError::Folder { path: self.root.clone(), source }
    }

    /// The manifest of an hour; `None` if there is none, as while it is sealed for the first time.
    pub(super) fn manifest(&self, series: &Series, hour: Hour) -> Answer<Option<Manifest>> {
        let path = self.folder.manifest(series, hour);
        let read = Manifest::read(&path);
        let Some(manifest) = read.map_err(|source| QuestionError::Manifest { path: path.clone(), source })? else {
            let mut without = self.without_manifest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            without.insert(self.folder.file(series, hour));
            return Ok(None);
        };
        let of = (manifest.exchange.as_str(), manifest.symbol.as_str(), manifest.hour.as_str());
        if of != (series.0.as_str(), series.1.as_str(), hour.begin().to_string().as_str()) {
            return Err(QuestionError::Odd { path, why: format!("it is that of {} {} {}", of.0, of.1, of.2) });
        }
        Ok(Some(manifest))
    }

    /// Whether an hour has a manifest, whatever that says.
    pub(super) fn is_sealed(&self, series: &Series, hour: Hour) -> bool {
        self.folder.manifest(series, hour).exists()
    }

    /// The manifest of an hour and its file, which fit each other; `None` if it has no manifest.
    pub(super) fn sealed(&self, series: &Series, hour: Hour) -> Answer<Option<(Manifest, TradesReader)>> {
        let path = self.folder.file(series, hour);
        let mut looks = 1;
        loop {
            let Some(manifest) = self.manifest(series, hour)? else { return Ok(None) };
            let opened = TradesReader::open(&path);
            let file = opened.map_err(|source| QuestionError::File { path: path.clone(), source })?;
            if file.names() != Names::InItsPath {
                return Err(QuestionError::File { path, source: ReadError::Columns });
            }
            let found = file.trades();
            if found == manifest.trades {
                return Ok(Some((manifest, file)));
            }
            if looks == LOOKS {
                let why = format!("it has {found} trades, its manifest says {}", manifest.trades);
                return Err(QuestionError::Odd { path, why });
            }
            looks += 1;
            thread::sleep(LOOK_PAUSE);
        }
    }

    /// Whether the file of an hour is as long as its manifest says.
    pub(super) fn is_there(&self, series: &Series, hour: Hour, manifest: &Manifest) -> bool {
        std::fs::metadata(self.folder.file(series, hour)).is_ok_and(|file| file.len() == manifest.bytes)
    }
}
