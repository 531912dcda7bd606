//! Seals an hour: its trades go from the store into a file, a row group at a time.

use std::io::{self, BufWriter};
use std::ops::ControlFlow;

use thiserror::Error;

use super::checksum::Checksummed;
use super::folder::Folder;
use super::manifest::{Manifest, Replaced, VERSION};
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
    /// The store says something else than a moment ago.
    #[error("the store had {expected} trades of it and gave {found}: it changes, so ask again")]
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

/// Writes the file of an hour and its manifest.
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
    (revision, replaces): (u32, Option<Replaced>),
) -> Result<Manifest, SealError> {
    let path = folder.file(series, hour);
    let failed = |source| SealError::Write { path: path.display().to_string(), source };
    let begin = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        TradesFile::begin(Checksummed::new(BufWriter::new(WholeFile::begin(&path)?)), Names::InItsPath)
    };
    let mut file = begin().map_err(failed)?;
    let scope = Scope { symbols: vec![series.1.clone()], exchange: Some(series.0.clone()) };
    let (mut trades, mut ids, mut written) = (0, None, Ok(()));
    let mut add = |trade: StoredTrade| {
        let id = trade.trade.id.get();
        ids = Some((ids.map_or(id, |(first, _)| first), id));
        trades += 1;
        written = file.add(trade);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    store.trades(&scope, hour.begin(), Some(hour.next()?.begin()), &mut add).await?;
    written.map_err(failed)?;
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
            holes: facts.holes.clone(),
            revision,
            replaces,
            sealed_by: concat!("tickflux ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        manifest.write(&folder.manifest(series, hour))?;
        Ok(manifest)
    };
    tokio::task::block_in_place(finish).map_err(failed)
}
