//! What lies in a folder of outboxes, seen without a trace: nothing is made, locked or changed, whoever uses it meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::contents::trades_left;
use super::target::{Target, Whose, whose};
use crate::files;
use crate::store::sqlite::look;

/// Files that are looked into, at most; a folder has one for each store and exchange that was ever captured into.
const FILES_MAX: usize = 1_000;

/// An outbox that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The file.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: String,
    /// Whether it belongs to the target that was asked for.
    pub is_ours: bool,
    /// Whether a capture is using it; `None` where that cannot be seen.
    pub is_used: Option<bool>,
    /// Trades that wait in it; `None` if they cannot be counted.
    pub trades: Option<u64>,
}

/// Every outbox in `folder`, sorted by path; what cannot be read is none.
///
/// # Errors
///
/// If the folder cannot be read.
pub fn look_in(folder: &Path, target: &Target) -> io::Result<Vec<Seen>> {
    let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let is_file = |path: &PathBuf| {
        let is_regular = path.symlink_metadata().is_ok_and(|found| found.is_file());
        is_regular && path.extension().is_some_and(|extension| extension == "db")
    };
    let files = entries.filter(is_file).take(FILES_MAX);
    let mut seen: Vec<_> = files.filter_map(|path| look_into(path, target)).collect();
    seen.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(seen)
}

fn look_into(path: PathBuf, target: &Target) -> Option<Seen> {
    files::look_beside_sqlite(&path).ok()?;
    let connection = look::open_once(&path).ok()?;
    let (is_ours, owner) = match whose(&connection).ok()? {
        Whose::Owned(owner) => (target.is_of(&owner), owner.to_string()),
        Whose::Unknown(schema) => (false, format!("a tickflux that knows schema {schema}")),
        Whose::NoOutbox => return None,
    };
    let (is_used, trades) = (files::is_locked(&path.with_extension("lock")), trades_left(&connection).ok());
    Some(Seen { path, is_ours, owner, is_used, trades })
}
