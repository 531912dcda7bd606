//! Seals an hour: its trades go from where they are into a file, a row group at a time.

use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::PathBuf;

use thiserror::Error;

use super::checksum::Checksummed;
use super::folder::Folder;
use super::manifest::{Manifest, Minutes, Replaced, Source, VERSION};
use super::parquet::{Names, TradesFile};
use super::plan::Facts;
use super::{Hour, Series};
use crate::files::whole::WholeFile;
use crate::store::{Scope, Store, StoreError, StoredTrade};
use crate::trade::TradeError;

/// Why an hour is not sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error("cannot write {path}: {source}: nothing of it is left")]
    Write {
        /// What was to be written.
        path: String,
        /// Why it was not.
        source: io::Error,
    },
    /// The store, or the daily file, says something else than a moment ago.
    #[error("there were {expected} trades of it and then {found}: it changes, so ask again")]
    Changed {
        /// As it was counted.
        expected: u64,
        /// As it was read.
        found: u64,
    },
    /// No hour can be named so.
    #[error(transparent)]
    Time(#[from] TradeError),
}

/// How an hour is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// Which.
    pub hour: Hour,
    /// What is known of it.
    pub facts: Facts,
    /// The number of its revision.
    pub revision: u32,
    /// What it replaces.
    pub replaces: Option<Replaced>,
    /// How many of its minutes were held against candles.
    pub minutes: Minutes,
    /// Where its trades come from.
    pub source: Source,
}

/// The file of an hour on its way: dropped before its end, nothing of it is left.
#[derive(Debug)]
pub struct HourFile<'a> {
    folder: &'a Folder,
    series: &'a Series,
    sealing: Sealing,
    path: PathBuf,
    file: TradesFile<Checksummed<BufWriter<WholeFile>>>,
    trades: u64,
    /// The first and the last id.
    ids: Option<(u64, u64)>,
}

impl<'a> HourFile<'a> {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// [`SealError::Write`].
    pub fn begin(folder: &'a Folder, series: &'a Series, sealing: Sealing) -> Result<Self, SealError> {
        let path = folder.file(series, sealing.hour);
        let begin = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            TradesFile::begin(Checksummed::new(BufWriter::new(WholeFile::begin(&path)?)), Names::InItsPath)
        };
        let file = begin().map_err(|source| SealError::Write { path: path.display().to_string(), source })?;
        Ok(Self { folder, series, sealing, path, file, trades: 0, ids: None })
    }

    /// Adds the next trade.
    ///
    /// # Errors
    ///
    /// [`SealError::Write`].
    pub fn add(&mut self, trade: StoredTrade) -> Result<(), SealError> {
        let id = trade.trade.id.get();
        self.ids = Some((self.ids.map_or(id, |(first, _)| first), id));
        self.trades += 1;
        self.file.add(trade).map_err(|source| SealError::Write { path: self.path.display().to_string(), source })
    }

    /// Ends it, and writes its manifest.
    ///
    /// # Errors
    ///
    /// [`SealError`]; then the archive is as it was, but for a file whose manifest could not be written, which the next run
    /// seals again.
    pub fn finish(self) -> Result<Manifest, SealError> {
        let Self { folder, series, sealing, path, file, trades, ids } = self;
        let Sealing { hour, facts, revision, replaces, minutes, source } = sealing;
        let Some((first_id, last_id)) = ids.filter(|_| trades == facts.trades) else {
            return Err(SealError::Changed { expected: facts.trades, found: trades });
        };
        let finish = || {
            let (out, sha256, bytes) = file.finish()?.end();
            out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
            let manifest = Manifest {
                version: VERSION,
                exchange: series.0.to_string(),
                symbol: series.1.to_string(),
                hour: hour.begin().to_string(),
                sha256,
                bytes,
                trades,
                first_id,
                last_id,
                whole: facts.is_whole(),
                holes: facts.holes,
                revision,
                replaces,
                minutes,
                source,
                sealed_by: concat!("tickflux ", env!("CARGO_PKG_VERSION")).to_owned(),
            };
            manifest.write(&folder.manifest(series, hour))?;
            Ok(manifest)
        };
        finish().map_err(|source| SealError::Write { path: path.display().to_string(), source })
    }
}

/// Writes the file of an hour out of a store, and its manifest.
///
/// # Errors
///
/// [`SealError`]; then the archive is as it was, but for a file whose manifest could not be written, which the next run
/// seals again.
///
/// # Cancel safety
///
/// Safe: what was on its way is gone.
pub async fn seal(
    folder: &Folder,
    store: &dyn Store,
    series: &Series,
    hour: Hour,
    facts: &Facts,
    (revision, replaces, minutes): (u32, Option<Replaced>, Minutes),
) -> Result<Manifest, SealError> {
    let sealing = Sealing { hour, facts: facts.clone(), revision, replaces, minutes, source: Source::Capture };
    let mut file = HourFile::begin(folder, series, sealing)?;
    let scope = Scope::of((&series.0, &series.1));
    let mut written = Ok(());
    let mut add = |trade: StoredTrade| {
        written = file.add(trade);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    store.trades(&scope, hour.begin(), Some(hour.next()?.begin()), &mut add).await?;
    written?;
    tokio::task::block_in_place(|| file.finish())
}
