//! Seals past days out of the daily files that the exchange publishes.
//!
//! Such a file is read twice: [`survey`] looks at all of it, so that nothing of a damaged one is sealed, and holds it against
//! what is sealed; [`seal`] writes the hours that are to be.

use std::io;

use thiserror::Error;

use super::folder::Folder;
use super::manifest::{Hole, Manifest, Source};
use super::plan::{End, Facts, Sameness};
use super::read::{ReadError, trades};
use super::seal::{HourFile, SealError, Sealing};
use super::{Hour, Series};
use crate::dump::file::{DumpError, DumpFile, DumpLines};
use crate::dump::line::DumpTrade;
use crate::dump::lines::Line;
use crate::store::StoredTrade;
use crate::trade::{HoleState, Symbol, Trade, TradeId, TradeTime};
use crate::verify::dump::{Audit, Counts};

/// Holes of a day, at most: as many as an audit of a store has.
const HOLES_MAX: usize = 100_000;

/// Why a daily file is not sealed.
#[derive(Debug, Error)]
pub enum FromDumpError {
    /// It cannot be read.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// A line is no trade, or not in its place.
    #[error("line {line}: {why}: nothing of it is sealed")]
    Line {
        /// Its number.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It has so many holes that they cannot be listed.
    #[error("more than {HOLES_MAX} runs of ids are missing in it: nothing of it is sealed")]
    Holes,
    /// What is sealed cannot be read.
    #[error("cannot read {path}: {why}: tickflux archive --check looks at every file")]
    Sealed {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
    /// An hour cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// What a daily file has of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourOfDump {
    /// Which.
    pub hour: Hour,
    /// What is known of it.
    pub facts: Facts,
    /// What is sealed of it, and whether it is the same.
    pub sealed: Option<(Manifest, Sameness)>,
}

/// What is known of a daily file before it is read.
#[derive(Debug, Clone, Copy)]
pub struct Day<'a> {
    /// Whose trades it has.
    pub series: &'a Series,
    /// The file, as it will stand in the manifests.
    pub source: &'a Source,
    /// Whether its day is over, so that it ends with the day's last trade.
    pub is_over: bool,
}

/// What takes how far the reading is: bytes and lines.
pub type OnRead<'a> = dyn Fn(u64, u64) + Send + Sync + 'a;

/// Reads all of a daily file, and holds each hour against what is sealed of it.
///
/// # Errors
///
/// [`FromDumpError`] if a line is not as it should be, or something cannot be read.
pub fn survey(
    file: &mut DumpFile,
    folder: &Folder,
    day: Day<'_>,
    on_read: &OnRead<'_>,
) -> Result<Vec<HourOfDump>, FromDumpError> {
    let begin = Hour::of(file.name().day.begin());
    let before = last_before(folder, day.series, begin)?;
    let mut reading = Reading::begin(file, on_read)?;
    let mut hours: Vec<HourOfDump> = Vec::new();
    // The hole before the day is that of the days before, and none that could still be filled.
    let mut last = before.map(|id| (id, HoleState::Expired));
    let mut holes = 0;
    while let Some(first) = reading.next {
        let hour = Hour::of(first.trade.time);
        let sealed = sealed(folder, day.series, hour)?;
        let mut facts = Facts { trades: 0, holes: Vec::new(), end: End::Unknown };
        let mut is_proven = true;
        let mut next = || {
            let Some(line) = reading.take_in(hour)? else { return Ok(None) };
            let id = line.trade.id;
            if let Some((last, state)) = last.filter(|(last, _)| last.get() + 1 < id.get()) {
                holes += 1;
                is_proven &= facts.trades > 0 || state != HoleState::Open;
                facts.holes.push(Hole { from_id: last.get() + 1, to_id: id.get() - 1, state });
            }
            if holes > HOLES_MAX {
                return Err(FromDumpError::Holes);
            }
            last = Some((id, HoleState::Open));
            facts.trades += 1;
            Ok(Some(Line { number: line.number, read: Ok(line.trade) }))
        };
        let sameness = match &sealed {
            Some(sealed) if sealed.source != *day.source => Some(compare(folder, day.series, hour, &mut next)?),
            _ => {
                while next()?.is_some() {}
                // Sealed out of this very file it has the same trades.
                sealed.as_ref().map(|sealed| same_count(sealed, &facts))
            }
        };
        if let Some(before) = hours.last_mut() {
            before.facts.end = if is_proven { End::Proven } else { End::Open };
        }
        hours.push(HourOfDump { hour, facts, sealed: sealed.zip(sameness) });
    }
    if let Some(last) = hours.last_mut().filter(|_| day.is_over) {
        last.facts.end = End::Proven;
    }
    Ok(hours)
}

/// Seals these hours of a daily file, in their order, and gives their manifests.
///
/// # Errors
///
/// [`FromDumpError`]; what was sealed before stays.
pub fn seal(
    file: &mut DumpFile,
    folder: &Folder,
    series: &Series,
    sealings: Vec<Sealing>,
    on_read: &OnRead<'_>,
) -> Result<Vec<Manifest>, FromDumpError> {
    let mut sealed = Vec::new();
    if sealings.is_empty() {
        return Ok(sealed);
    }
    let mut reading = Reading::begin(file, on_read)?;
    for sealing in sealings {
        let hour = sealing.hour;
        while let Some(line) = reading.next.filter(|line| Hour::of(line.trade.time) < hour) {
            reading.take_in(Hour::of(line.trade.time))?;
        }
        let mut file = HourFile::begin(folder, series, sealing)?;
        while let Some(line) = reading.take_in(hour)? {
            file.add(StoredTrade { exchange: series.0.clone(), trade: trade_of(&line.trade, &series.1) })?;
        }
        sealed.push(file.finish()?);
    }
    Ok(sealed)
}

/// A line that is a trade.
#[derive(Debug, Clone, Copy)]
struct TradeLine {
    number: u64,
    trade: DumpTrade,
}

/// The lines of a daily file, each of which has to be a trade behind the one before.
struct Reading<'a> {
    lines: DumpLines<'a>,
    on_read: &'a OnRead<'a>,
    next: Option<TradeLine>,
}

impl<'a> Reading<'a> {
    fn begin(file: &'a mut DumpFile, on_read: &'a OnRead<'a>) -> Result<Self, FromDumpError> {
        let mut reading = Self { lines: file.lines()?, on_read, next: None };
        reading.advance(TradeTime::EPOCH)?;
        Ok(reading)
    }

    /// Takes the next line, if it is of this hour.
    fn take_in(&mut self, hour: Hour) -> Result<Option<TradeLine>, FromDumpError> {
        let Some(line) = self.next.filter(|line| Hour::of(line.trade.time) == hour) else { return Ok(None) };
        self.advance(line.trade.time)?;
        Ok(Some(line))
    }

    fn advance(&mut self, last: TradeTime) -> Result<(), FromDumpError> {
        let line = self.lines.next()?;
        let Some(Line { number, read }) = line else {
            self.next = None;
            return Ok(());
        };
        (self.on_read)(self.lines.bytes(), number);
        let wrong = |why| FromDumpError::Line { line: number, why };
        let trade = read.map_err(|bad| wrong(bad.why))?;
        if !trade.is_quote_right {
            return Err(wrong("its quote quantity is not price times quantity"));
        }
        if trade.time < last {
            return Err(wrong("its time is before that of the line before it"));
        }
        self.next = Some(TradeLine { number, trade });
        Ok(())
    }
}

fn trade_of(line: &DumpTrade, symbol: &Symbol) -> Trade {
    let DumpTrade { id, time, price, quantity, buyer_is_maker, .. } = *line;
    Trade { symbol: symbol.clone(), id, time, price, quantity, buyer_is_maker }
}

/// What is sealed of an hour; nothing if its file is not there, whatever its manifest says.
fn sealed(folder: &Folder, series: &Series, hour: Hour) -> Result<Option<Manifest>, FromDumpError> {
    let path = folder.manifest(series, hour);
    let cannot = |error: io::Error| FromDumpError::Sealed { path: path.display().to_string(), why: error.to_string() };
    Ok(Manifest::read(&path).map_err(cannot)?.filter(|_| folder.file(series, hour).is_file()))
}

/// The last id that is sealed of the time before an hour.
fn last_before(folder: &Folder, series: &Series, hour: Hour) -> Result<Option<TradeId>, FromDumpError> {
    let cannot = |error: io::Error| FromDumpError::Sealed { path: "the archive".to_owned(), why: error.to_string() };
    let hours = folder.contents().map_err(cannot)?.hours;
    let before = hours.into_iter().filter(|(other, at)| other == series && *at < hour);
    let last = before.map(|(_, at)| at).max();
    let manifest = last.map(|last| sealed(folder, series, last)).transpose()?.flatten();
    Ok(manifest.and_then(|manifest| TradeId::new(manifest.last_id).ok()))
}

/// What was counted of an hour that was sealed out of the same file.
fn same_count(sealed: &Manifest, facts: &Facts) -> Sameness {
    match facts.trades.cmp(&sealed.trades) {
        std::cmp::Ordering::Equal => Sameness::Same,
        std::cmp::Ordering::Greater => Sameness::More,
        std::cmp::Ordering::Less => Sameness::Less,
    }
}

/// Holds the lines of an hour against what is sealed of it.
fn compare(
    folder: &Folder,
    series: &Series,
    hour: Hour,
    next: &mut (dyn FnMut() -> Result<Option<Line>, FromDumpError> + Send),
) -> Result<Sameness, FromDumpError> {
    let path = folder.file(series, hour);
    let cannot = |error: ReadError| FromDumpError::Sealed { path: path.display().to_string(), why: error.to_string() };
    let mut on_found = |_| ();
    let mut audit = Audit::begin(hour.begin(), next, &mut on_found)?;
    let mut broken = None;
    let read = trades(&path, &series.1, |trade| {
        if broken.is_none() {
            broken = audit.take(trade).err();
        }
    });
    if let Some(error) = broken {
        return Err(error);
    }
    read.map_err(cannot)?;
    let Counts { different, missing, extra, .. } = audit.finish()?;
    Ok(match (different, extra, missing) {
        (0, 0, 0) => Sameness::Same,
        (0, 0, _) => Sameness::More,
        (0, ..) => Sameness::Less,
        _ => Sameness::Different,
    })
}
