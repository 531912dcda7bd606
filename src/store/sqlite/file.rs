//! The file: ours or not, made or only opened.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::files;
use crate::store::StoreError;

/// `tkfx`, in SQLite's `application_id`: marks a file as ours.
const APPLICATION_ID: i64 = 0x746b_6678;
/// In SQLite's `user_version`: the schema below.
const SCHEMA_VERSION: i64 = 1;
/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
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

/// Opens `path` for writing; an absent or empty file becomes a store.
pub(super) fn create(path: &Path) -> Result<Connection, StoreError> {
    // SQLite makes what is beside a file with the file's mode. What cannot be made here it says itself.
    let _ = files::make_new(path);
    let started = Instant::now();
    let mut prepared = prepare(path);
    // SQLite does not wait by itself while another process turns the write-ahead log on.
    while started.elapsed() < BUSY_TIMEOUT && prepared.as_ref().is_err_and(is_busy) {
        std::thread::sleep(BUSY_PAUSE);
        prepared = prepare(path);
    }
    let connection = prepared.map_err(|error| cannot_use(path, &error))?;
    check_ours(&connection, path)?;
    Ok(connection)
}

fn prepare(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if is_empty(&connection)? {
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

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Opens `path` for reading.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Unusable(format!(
            "no store at {}: run tickflux capture first, or name another with --store",
            path.display()
        )));
    }
    // A reader of a write-ahead log writes its index beside it; where it may not, read the file alone.
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY))
        .map_err(|error| cannot_use(path, &error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| cannot_use(path, &error))?;
    check_ours(&connection, path)?;
    connection.pragma_update(None, "query_only", true).map_err(|error| cannot_use(path, &error))?;
    Ok(connection)
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
