//! The file: ours or not, made or only opened.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use thiserror::Error;

use super::look::{self, AtRest, BUSY_TIMEOUT};
use super::minute_points;
use crate::store::StoreError;

/// `tkfx`, in SQLite's `application_id`: marks a file as ours.
const APPLICATION_ID: i64 = 0x746b_6678;
/// In SQLite's `user_version`: the schema below.
const SCHEMA_VERSION: i64 = 1;
/// So often a question is asked again of a file that is being written; then someone has it open, and it has a log.
const STALE_MAX: usize = 3;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// `time` is the exchange's `T` in ms. The key is the order in which every question reads.
const SCHEMA: &str = "
    CREATE TABLE trade (
        exchange       TEXT    NOT NULL,
        symbol         TEXT    NOT NULL,
        time           INTEGER NOT NULL,
        trade_id       INTEGER NOT NULL,
        price          TEXT    NOT NULL,
        quantity       TEXT    NOT NULL,
        buyer_is_maker INTEGER NOT NULL,
        PRIMARY KEY (exchange, symbol, time, trade_id)
    ) STRICT, WITHOUT ROWID;
";

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that is at `path` now.
    fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Why something could not be done with the file.
#[derive(Debug, Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "it was removed or renamed while trades were written into it ({0}): put it back, or end the capture and start it again"
    )]
    Gone(StoreError),
    #[error(transparent)]
    Lost(StoreError),
}

/// The store at a path, open.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// `None` while the file that is captured into is gone.
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    connection: Connection,
    id: Option<FileId>,
    /// How it was when it was opened to be asked; `None` while someone writes it, and for whoever writes it.
    at_rest: Option<AtRest>,
    is_written: bool,
}

impl File {
    /// Opens `path` for writing; an absent or empty file becomes a store.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        check_name(path)?;
        Ok(Self { path: path.to_owned(), opened: Some(open_to_write(path, true)?) })
    }

    /// Opens `path` for questions.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        check_name(path)?;
        Ok(Self { path: path.to_owned(), opened: Some(open_to_ask(path)?) })
    }

    /// What is at the path. A store that was removed or renamed is let go; another one that is put there is opened, but
    /// none is ever made: an empty one would hide that everything is gone.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, FileError> {
        let path = &self.path;
        if let Some(gone) = self.opened.take_if(|opened| opened.is_written && FileId::at(path) != opened.id) {
            // What is still in its log goes into it, wherever it is now; under the old name an other file would get it.
            let _ = gone.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE");
        }
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => open_to_write(path, false).map_err(FileError::Gone)?,
        };
        Ok(&mut self.opened.insert(opened).connection)
    }

    /// Asks; once more if the file was written meanwhile, or another one is there.
    pub(super) fn ask<T>(&mut self, question: impl Fn(&Connection) -> T) -> Result<T, FileError> {
        for _ in 0..STALE_MAX {
            if self.opened.as_ref().is_some_and(|opened| opened.is_stale(&self.path)) {
                self.opened = Some(open_to_ask(&self.path).map_err(FileError::Lost)?);
            }
            let answer = question(self.connection()?);
            if !self.opened.as_ref().is_some_and(|opened| opened.is_stale(&self.path)) {
                return Ok(answer);
            }
        }
        Ok(question(self.connection()?))
    }
}

impl Opened {
    /// Whether what is read of it may be out of date.
    fn is_stale(&self, path: &Path) -> bool {
        let is_moved = || FileId::at(path) != self.id;
        !self.is_written && (is_moved() || self.at_rest.is_some_and(|then| AtRest::now(path) != Some(then)))
    }
}

fn open_to_write(path: &Path, may_make: bool) -> Result<Opened, StoreError> {
    let started = Instant::now();
    let mut prepared = prepare(path, may_make);
    // SQLite does not wait by itself while another process turns the write-ahead log on.
    while started.elapsed() < BUSY_TIMEOUT && prepared.as_ref().is_err_and(is_busy) {
        std::thread::sleep(BUSY_PAUSE);
        prepared = prepare(path, may_make);
    }
    let connection = prepared.map_err(|error| cannot_use(path, &error))?;
    check_ours(&connection, path)?;
    connection.execute_batch(minute_points::SCHEMA).map_err(|error| cannot_use(path, &error))?;
    Ok(Opened { connection, id: FileId::at(path), at_rest: None, is_written: true })
}

fn prepare(path: &Path, may_make: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, may_make);
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if may_make && is_empty(&connection)? {
        connection.pragma_update(None, "page_size", 8192)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been first.
        if is_empty(&transaction)? {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        transaction.commit()?;
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

/// SQLite has names that are no file's, or not that file's.
pub(super) fn check_name(path: &Path) -> Result<(), StoreError> {
    let name = path.as_os_str().as_encoded_bytes();
    let why = match name {
        b"" => "there is no file name behind sqlite:",
        b":memory:" => "a store in memory would be gone with the program that wrote it",
        name if name.starts_with(b"file:") => "it is a file's path, not a URI",
        _ => return Ok(()),
    };
    Err(StoreError::Settings(format!(
        "cannot use --store sqlite:{}: {why}: write sqlite:PATH, such as sqlite:tickflux.db",
        path.display()
    )))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Opens `path` for reading, without a trace: whoever asks may be someone else than who captures, and a log or an index
/// of theirs beside the file would stop the next capture.
fn open_to_ask(path: &Path) -> Result<Opened, StoreError> {
    if !path.exists() {
        return Err(StoreError::Unusable(format!(
            "no store at {}: run tickflux capture first, or name another with --store",
            path.display()
        )));
    }
    let id = FileId::at(path);
    let at_rest = AtRest::now(path);
    let connection = look::open(path, at_rest)
        .or_else(|error| if at_rest.is_some() { Err(error) } else { look::open_with_index(path) })
        .map_err(|error| cannot_use(path, &error))?;
    check_ours(&connection, path)?;
    Ok(Opened { connection, id, at_rest, is_written: false })
}

/// Looks whether the file at `path` is a store of ours, without a trace; `false` if a log lies beside it that only a capture
/// may put right.
pub(super) fn look_at(path: &Path) -> Result<bool, StoreError> {
    check_name(path)?;
    match look::open_once(path) {
        Ok(connection) => check_ours(&connection, path).map(|()| true),
        Err(error) if AtRest::now(path).is_none() && is_unfinished(&error) => Ok(false),
        Err(error) => Err(cannot_use(path, &error)),
    }
}

/// Whether a log has no index yet, as after a kill.
fn is_unfinished(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0 && pragma(connection, "application_id")? == 0)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn check_ours(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let application = pragma(connection, "application_id").map_err(|error| cannot_use(path, &error))?;
    if application != APPLICATION_ID {
        return Err(StoreError::Unusable(format!(
            "{} is an SQLite file of another program: name another path with --store sqlite:PATH",
            path.display()
        )));
    }
    let version = pragma(connection, "user_version").map_err(|error| cannot_use(path, &error))?;
    if version != SCHEMA_VERSION {
        return Err(StoreError::Unusable(format!(
            "{} has schema {version}, this tickflux knows schema {SCHEMA_VERSION}: use the tickflux that wrote it, or \
             another path",
            path.display()
        )));
    }
    Ok(())
}

fn cannot_use(path: &Path, error: &rusqlite::Error) -> StoreError {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not an SQLite file; name another path with --store sqlite:PATH",
        Some(ErrorCode::DatabaseBusy) => "another process keeps it locked; end that one or name another path",
        _ => "check that its directory exists and may be written, or name another path with --store sqlite:PATH",
    };
    StoreError::Unusable(format!("cannot use {}: {error}: {advice}", path.display()))
}
