//! An archive as a session, or a part of one, or a single file of trades: the trades at their own times.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{ReplayError, Session};
use crate::archive::folder::Folder;
use crate::archive::manifest::Manifest;
use crate::archive::parquet::Names;
use crate::archive::read::{ReadError, Rows, TradesReader, Wanted};
use crate::practice::tape::Print;
use crate::trade::{Exchange, Symbol, Trade};

/// With this a Parquet file begins.
const MAGIC: [u8; 4] = *b"PAR1";
const NS_PER_MS: u64 = 1_000_000;

/// Why trades that lie as files cannot be replayed.
#[derive(Debug, Error)]
pub enum ArchivedError {
    /// A folder or a manifest cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A file is none of trades.
    #[error("{0}")]
    File(#[from] ReadError),
    /// A file does not fit its manifest.
    #[error("it has {found} trades, its manifest says {told}: tickflux archive --check looks at every file")]
    Count {
        /// Those in the file.
        found: u64,
        /// Those that the manifest tells.
        told: u64,
    },
    /// Neither its rows nor its path have names.
    #[error("neither its rows nor its path say whose trades these are: leave it where the archive has it")]
    Nameless,
    /// One practice exchange cannot be two.
    #[error("it has trades of {0} and of {1}: name what one of them has, such as exchange={0} in an archive")]
    Exchanges(Exchange, Exchange),
}

/// Whether a path is that of an archive, of a folder in one, or of a Parquet file.
pub(super) fn is_archived(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(true);
    }
    let mut begin = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(begin == MAGIC)
}

/// Reads all of it, of `most` trades at most, with its own times.
pub(super) fn read(path: &Path, most: usize) -> Result<Session, ReplayError> {
    let failed = |at: &Path, error: ArchivedError| ReplayError::Archived { path: at.to_owned(), why: error };
    let files = if path.is_dir() { sealed(path) } else { Ok(vec![(path.to_owned(), None)]) };
    let mut reading = Reading { most, session: Session::default(), exchange: None };
    let files = files.map_err(|error| failed(path, error.into()))?;
    // More than is kept is told before anything is read.
    let told = files.iter().filter_map(|(_, told)| *told).fold(0_u64, u64::saturating_add);
    if told > most as u64 {
        return Err(ReplayError::TooLong { path: path.to_owned(), most });
    }
    for (at, told) in files {
        match reading.file(&at, told) {
            Ok(()) => {}
            Err(Stopped::Full) => return Err(ReplayError::TooLong { path: path.to_owned(), most }),
            Err(Stopped::Failed(error)) => return Err(failed(&at, error)),
        }
    }
    let mut session = reading.session;
    // Each file has the trades of a series in order.
    session.prints.sort_by_key(|(_, print)| print.trade.time);
    let first = session.prints.first().map_or(0, |(_, print)| print.trade.time.ms());
    for (since_start_ns, print) in &mut session.prints {
        *since_start_ns = (print.trade.time.ms() - first).unsigned_abs().saturating_mul(NS_PER_MS);
    }
    Ok(session)
}

/// The sealed files in a folder of an archive, with the trades that their manifests tell.
fn sealed(path: &Path) -> io::Result<Vec<(PathBuf, Option<u64>)>> {
    let (folder, inside) = (Folder::open_around(path)?, path.canonicalize()?);
    let mut files = Vec::new();
    for (series, hour) in folder.contents()?.hours {
        let file = folder.file(&series, hour);
        if file.starts_with(&inside)
            && let Some(manifest) = Manifest::read(&folder.manifest(&series, hour))?
        {
            files.push((file, Some(manifest.trades)));
        }
    }
    Ok(files)
}

/// What was read so far.
struct Reading {
    most: usize,
    session: Session,
    exchange: Option<Exchange>,
}

/// Why reading ended before its end.
enum Stopped {
    /// There is more than is kept.
    Full,
    Failed(ArchivedError),
}

impl<E: Into<ArchivedError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Reading {
    fn file(&mut self, at: &Path, told: Option<u64>) -> Result<(), Stopped> {
        let file = TradesReader::open(at)?;
        if let Some(told) = told.filter(|told| *told != file.trades()) {
            return Err(ArchivedError::Count { found: file.trades(), told }.into());
        }
        let names =
            if file.names() == Names::InItsPath { Some(in_path(at).ok_or(ArchivedError::Nameless)?) } else { None };
        for group in 0..file.groups() {
            let rows = file.read(group, Wanted { texts: true, floats: false })?;
            for row in 0..rows.keys.len() {
                let (exchange, symbol) = match &names {
                    Some(names) => names.clone(),
                    None => in_row(&rows, row).ok_or(ArchivedError::Nameless)?,
                };
                self.is_of(exchange)?;
                if self.session.prints.len() == self.most {
                    return Err(Stopped::Full);
                }
                // It was looked at when it was read.
                rows.trade(row, &symbol).into_iter().for_each(|trade| self.session.push(0, print(trade)));
            }
        }
        Ok(())
    }

    /// Refuses a second exchange.
    fn is_of(&mut self, exchange: Exchange) -> Result<(), ArchivedError> {
        match &self.exchange {
            Some(first) if *first != exchange => Err(ArchivedError::Exchanges(first.clone(), exchange)),
            _ => {
                self.exchange = Some(exchange);
                Ok(())
            }
        }
    }
}

/// The push time is not in an archive: it is pushed when it happens.
fn print(trade: Trade) -> Print {
    Print { event_ms: trade.time.ms(), trade }
}

fn in_row(rows: &Rows, row: usize) -> Option<(Exchange, Symbol)> {
    let (exchange, symbol) = rows.names(row)?;
    exchange.parse().ok().zip(symbol.parse().ok())
}

/// The names in the path of a file of an archive.
fn in_path(path: &Path) -> Option<(Exchange, Symbol)> {
    let path = path.canonicalize().ok()?;
    let named = |begin: &str| path.iter().rev().find_map(|part| part.to_str()?.strip_prefix(begin));
    Some((named("exchange=")?.parse().ok()?, named("symbol=")?.parse().ok()?))
}
