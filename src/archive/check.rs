//! Reads an archive back: checksums, columns, order, manifests, and whether ids follow each other from file to file.

use std::io;
use std::path::PathBuf;

use super::checksum::checksum;
use super::folder::{Contents, Folder};
use super::manifest::{Hole, Manifest};
use super::read::{Key, ReadError, keys};
use super::{Hour, Series};
use crate::store::gaps::Audit;
use crate::trade::{IdRange, IdRanges, TradeId};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Files that are as their manifests say.
    pub files: u64,
    /// Trades in them.
    pub trades: u64,
    /// Ids that their manifests list as missing.
    pub missing: u64,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub why: String,
}

/// Looks at every file of an archive; each problem is handed over as it is found.
///
/// # Errors
///
/// If a folder of it cannot be read.
pub fn check(folder: &Folder, mut on_problem: impl FnMut(Problem)) -> io::Result<Found> {
    let Contents { hours, others } = folder.contents()?;
    others.into_iter().for_each(|path| on_problem(Problem { path, why: "it is no file of an archive".to_owned() }));
    let mut found = Found::default();
    let mut before: Option<(Series, TradeId)> = None;
    for (series, hour) in hours {
        let id_before = before.take().filter(|(other, _)| *other == series).map(|(_, id)| id);
        match check_hour(folder, &series, hour, id_before) {
            Ok(manifest) => {
                found.files += 1;
                found.trades += manifest.trades;
                found.missing += manifest.missing();
                before = TradeId::new(manifest.last_id).ok().map(|id| (series, id));
            }
            Err(why) => {
                let path = folder.file(&series, hour);
                on_problem(Problem { path, why });
                // What follows it says nothing of what it should have.
                before = None;
            }
        }
    }
    Ok(found)
}

/// Looks at one hour; gives its manifest, or what is wrong.
fn check_hour(folder: &Folder, series: &Series, hour: Hour, id_before: Option<TradeId>) -> Result<Manifest, String> {
    let (file, path) = (folder.file(series, hour), folder.manifest(series, hour));
    let manifest = Manifest::read(&path).map_err(|error| format!("its manifest: {error}"))?;
    let manifest = manifest.ok_or("it has no manifest: seal it again")?;
    let of = (manifest.exchange.as_str(), manifest.symbol.as_str(), manifest.hour.as_str());
    if of != (series.0.as_str(), series.1.as_str(), hour.begin().to_string().as_str()) {
        return Err(format!("its manifest is that of {} {} {}", of.0, of.1, of.2));
    }
    let (sha256, bytes) = checksum(&file).map_err(|error| format!("it cannot be read: {error}"))?;
    if (&sha256, bytes) != (&manifest.sha256, manifest.bytes) {
        return Err(format!("its SHA-256 is {sha256}, its manifest says {}", manifest.sha256));
    }
    let end = hour.next().map_err(|error| error.to_string())?.begin();
    let mut ends: Option<(Key, Key)> = None;
    let (mut trades, mut audit, mut odd) = (0, Audit::after(id_before), None);
    let read = keys(&file, |row, key| {
        trades += 1;
        let is_in_order = ends.is_none_or(|(_, last)| last < key);
        if !is_in_order {
            odd = odd.take().or(Some(format!("row {row} does not come after the one before it")));
        }
        if !(hour.begin()..end).contains(&key.time) {
            odd = odd.take().or(Some(format!("row {row} is from another hour, {}", key.time)));
        }
        if audit.add(IdRange::from(key.id)).is_err() {
            odd = odd.take().or(Some("it has more holes than an audit holds".to_owned()));
        }
        ends = Some((ends.map_or(key, |(first, _)| first), key));
    });
    read.map_err(|error: ReadError| error.to_string())?;
    if let Some(odd) = odd {
        return Err(odd);
    }
    let (first, last) = ends.ok_or("it has no trade")?;
    let found = (trades, first.id.get(), last.id.get());
    if found != (manifest.trades, manifest.first_id, manifest.last_id) {
        return Err(format!(
            "it has {} trades from {} to {}, its manifest says {} from {} to {}",
            found.0, found.1, found.2, manifest.trades, manifest.first_id, manifest.last_id
        ));
    }
    let listed: IdRanges = manifest.holes.iter().map(Hole::range).collect();
    let counts = audit.finish(&series.0, &series.1);
    for hole in counts.iter().flat_map(|count| &count.holes) {
        if let Some(ids) = listed.absent_in(*hole).first() {
            return Err(format!("ids {} to {} are missing, and its manifest does not say so", ids.first, ids.last));
        }
    }
    Ok(manifest)
}
