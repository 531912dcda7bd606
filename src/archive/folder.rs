//! Where in an archive what lies.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate};

use super::{Hour, Series};
use crate::files::whole::{WholeFile, is_part};
use crate::trade::{Exchange, Symbol, TradeTime};

/// Says that a folder is an archive, and which form it has.
const MARK: &str = "_tickflux-archive";
const MARK_TEXT: &str = "tickflux archive, version 1\n";
/// Whoever seals holds it locked.
const LOCK: &str = ".tickflux-lock";

/// A folder that is an archive.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// Held while it is written.
    _lock: Option<File>,
}

/// What lies in an archive.
#[derive(Debug, Default)]
pub struct Contents {
    /// Every hour of which there is a file or a manifest, by series and time.
    pub hours: Vec<(Series, Hour)>,
    /// What is none.
    pub others: Vec<PathBuf>,
}

impl Folder {
    /// Opens an archive to read it.
    ///
    /// # Errors
    ///
    /// If the folder is none.
    pub fn open(root: &Path) -> io::Result<Self> {
        let mark = fs::read(root.join(MARK)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if root.is_dir() => {
                io::Error::other("it is no archive: tickflux archive --to makes one")
            }
            _ => error,
        })?;
        if mark != MARK_TEXT.as_bytes() {
            return Err(io::Error::other("it is an archive of another version: use the tickflux that wrote it"));
        }
        Ok(Self { root: root.to_owned(), _lock: None })
    }

    /// Opens an archive to seal into it, and makes it where there is nothing; what a killed process left is removed.
    ///
    /// # Errors
    ///
    /// If the folder is something else, cannot be written, or another process seals into it.
    pub fn open_to_seal(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        if fs::read_dir(root)?.next().is_none() {
            let mut mark = WholeFile::begin(&root.join(MARK))?;
            mark.write_all(MARK_TEXT.as_bytes())?;
            mark.finish()?;
        }
        let mut folder = Self::open(root)?;
        let lock = File::options().write(true).create(true).truncate(false).open(root.join(LOCK))?;
        lock.try_lock().map_err(|_| io::Error::other("another tickflux seals into it: wait for its end"))?;
        folder._lock = Some(lock);
        folder.visit(|path, name| if is_part(name) { fs::remove_file(path) } else { Ok(()) })?;
        Ok(folder)
    }

    /// Opens the archive that a folder in it belongs to, to read it.
    ///
    /// # Errors
    ///
    /// If it belongs to none.
    pub fn open_around(inside: &Path) -> io::Result<Self> {
        let inside = inside.canonicalize()?;
        let root = inside.ancestors().find(|folder| folder.join(MARK).exists());
        Self::open(root.unwrap_or(&inside))
    }

    /// The file of an hour.
    pub fn file(&self, series: &Series, hour: Hour) -> PathBuf {
        let time = DateTime::from_timestamp_millis(hour.begin().ms()).unwrap_or_default();
        let (exchange, symbol) = series;
        self.root
            .join(format!("exchange={exchange}"))
            .join(format!("symbol={symbol}"))
            .join(time.format("date=%Y-%m-%d").to_string())
            .join(time.format("hour=%H.parquet").to_string())
    }

    /// The manifest beside a file. Its name begins so that what reads all files of a folder passes over it.
    pub fn manifest(&self, series: &Series, hour: Hour) -> PathBuf {
        let time = DateTime::from_timestamp_millis(hour.begin().ms()).unwrap_or_default();
        self.file(series, hour).with_file_name(time.format("_hour-%H.json").to_string())
    }

    /// What lies in it.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read.
    pub fn contents(&self) -> io::Result<Contents> {
        let Contents { mut hours, mut others } = Contents::default();
        self.visit(|path, name| {
            if ![MARK, LOCK].contains(&name) && !is_part(name) {
                match self.named(path) {
                    Some(hour) => hours.push(hour),
                    None => others.push(path.to_owned()),
                }
            }
            Ok(())
        })?;
        hours.sort();
        hours.dedup();
        others.sort();
        Ok(Contents { hours, others })
    }

    /// Every series in it, in order.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read.
    pub fn series(&self) -> io::Result<Vec<Series>> {
        let mut all = Vec::new();
        for (exchange, folder) in folders_named(&self.root, "exchange=")? {
            let Ok(exchange) = exchange.parse::<Exchange>() else { continue };
            for (name, _) in folders_named(&folder, "symbol=")? {
                let symbol = name.parse().ok().filter(|symbol: &Symbol| symbol.as_str() == name);
                all.extend(symbol.map(|symbol| (exchange.clone(), symbol)));
            }
        }
        all.sort();
        Ok(all)
    }

    /// The first hour of each day of which a series has a folder, in order.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read.
    pub fn days(&self, (exchange, symbol): &Series) -> io::Result<Vec<Hour>> {
        let folder = self.root.join(format!("exchange={exchange}")).join(format!("symbol={symbol}"));
        let names = folders_named(&folder, "date=")?;
        let mut days: Vec<_> = names.iter().filter_map(|(date, _)| hour_of(date, "00")).collect();
        days.sort();
        Ok(days)
    }

    /// The hours of a day that have a file or a manifest, in order.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read.
    pub fn hours(&self, series: &Series, day: Hour) -> io::Result<Vec<Hour>> {
        let mut hours = Vec::new();
        for path in entries(self.file(series, day).parent().unwrap_or(&self.root))? {
            hours.extend(self.named(&path?.path()).map(|(_, hour)| hour));
        }
        hours.sort();
        hours.dedup();
        Ok(hours)
    }

    /// Whose file or manifest a path is.
    fn named(&self, path: &Path) -> Option<(Series, Hour)> {
        let parts: Vec<_> =
            path.strip_prefix(&self.root).ok()?.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
        let [exchange, symbol, date, name] = parts[..] else { return None };
        let hour = name.strip_prefix("hour=").and_then(|name| name.strip_suffix(".parquet"));
        let hour = hour.or_else(|| name.strip_prefix("_hour-")?.strip_suffix(".json"))?;
        let hour = hour_of(date.strip_prefix("date=")?, hour)?;
        let series = (exchange.strip_prefix("exchange=")?.parse().ok()?, symbol.strip_prefix("symbol=")?.parse().ok()?);
        // Only the name that it would be given is its own.
        let is_its_own = path == self.file(&series, hour) || path == self.manifest(&series, hour);
        is_its_own.then_some((series, hour))
    }

    /// Every file in the folder and those in it.
    fn visit(&self, mut on_file: impl FnMut(&Path, &str) -> io::Result<()>) -> io::Result<()> {
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else {
                    on_file(&entry.path(), &entry.file_name().to_string_lossy())?;
                }
            }
        }
        Ok(())
    }
}

/// The hour of a date and an hour, as they stand in names.
fn hour_of(date: &str, hour: &str) -> Option<Hour> {
    let date: NaiveDate = date.parse().ok()?;
    let time = date.and_hms_opt(hour.parse().ok()?, 0, 0)?.and_utc().timestamp_millis();
    Some(Hour::of(TradeTime::from_ms(time).ok()?))
}

/// The folders in a folder whose names begin so: what is behind that, and the path. None where there is no such folder.
fn folders_named(folder: &Path, begin: &str) -> io::Result<Vec<(String, PathBuf)>> {
    let mut all = Vec::new();
    for entry in entries(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(|name| name.strip_prefix(begin)).map(str::to_owned);
        if let Some(name) = name.filter(|_| entry.path().is_dir()) {
            all.push((name, entry.path()));
        }
    }
    Ok(all)
}

/// What lies in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    Ok(read.into_iter().flatten())
}
