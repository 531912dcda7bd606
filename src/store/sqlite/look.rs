//! To look into an SQLite file without a trace: nothing is made, changed or left beside it, whoever uses it meanwhile.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

/// How long to wait for another process that writes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What stays as it is in a path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// A file that nobody has open: without a log beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AtRest {
    length: u64,
    changed: (i64, i64),
}

impl AtRest {
    /// How the file is now; `None` if there is a log beside it, or no file.
    pub(super) fn now(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        if has_beside(path, "-wal") || has_beside(path, "-shm") {
            return None;
        }
        Some(Self { length: metadata.len(), changed: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

fn has_beside(path: &Path, suffix: &str) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    Path::new(&name).symlink_metadata().is_ok()
}

/// Reads the file alone.
const ALONE: &str = "immutable=1";
/// Reads the file by the index of its log, which need not be written to be read.
const BY_INDEX: &str = "readonly_shm=1";

/// Opens `path` to ask it for as long as it is as it was.
pub(super) fn open(path: &Path, at_rest: Option<AtRest>) -> rusqlite::Result<Connection> {
    open_as(path, if at_rest.is_some() { ALONE } else { BY_INDEX })
}

/// Opens `path` for one look, and leaves no trace: what has no log is read alone, for SQLite would make one.
pub(crate) fn open_once(path: &Path) -> rusqlite::Result<Connection> {
    let has_log = || has_beside(path, "-wal");
    if !has_log() {
        return open_as(path, ALONE);
    }
    // The log goes when its last capture ends.
    open_as(path, BY_INDEX).or_else(|error| if has_log() { Err(error) } else { open_as(path, ALONE) })
}

/// Opens `path` to read it; an index that is not there or that needs a recovery is written by whoever may.
pub(super) fn open_with_index(path: &Path) -> rusqlite::Result<Connection> {
    open_as(path, "")
}

fn open_as(path: &Path, how: &str) -> rusqlite::Result<Connection> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = percent_encode(absolute.as_os_str().as_encoded_bytes(), PATH);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{name}?mode=ro&{how}"), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Only a read shows whether it can be read.
    connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}
