//! The file on disk: what one transaction does, and what becomes of a damaged file.

use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params};

use super::body;
use super::contents::{self, Known, Left};
use super::target::{APPLICATION_ID, SCHEMA_VERSION, Target, Whose, whose};
use super::{Changes, OutboxError, Rows, ledger};
use crate::files;
use crate::trade::{Trade, TradeIds, TradeTime};

/// A question about the ledger may hold a lock for a moment.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A file that is empty but for the ledger gives its space back above this.
const IDLE_BYTES_MAX: i64 = 64 << 20;
/// Pages of the log from which on it is moved into the file.
const CHECKPOINT_PAGES: i64 = 1_000;

/// `body` stands last, so that the others are read without it.
const SCHEMA: &str = "
    CREATE TABLE batch (
        seq      INTEGER PRIMARY KEY,
        trades   INTEGER NOT NULL,
        bytes    INTEGER NOT NULL,
        ids      TEXT    NOT NULL,
        checksum INTEGER NOT NULL,
        body     BLOB    NOT NULL
    ) STRICT;
";
const TARGET_SCHEMA: &str =
    "CREATE TABLE target (location TEXT NOT NULL, store_id TEXT, exchange TEXT NOT NULL) STRICT;";

/// The outbox of one store and exchange.
#[derive(Debug)]
pub struct OutboxFile {
    path: PathBuf,
    target: Target,
    connection: Connection,
    next_seq: i64,
    /// Pages that the log has got since it was moved into the file.
    log_pages: i64,
    /// Where the damaged file was put whose successor could not be made yet.
    aside: Option<PathBuf>,
    /// Held for as long as the file is used.
    _lock: fs::File,
}

/// What is to be done in one go.
#[derive(Debug, Default)]
pub struct Work<'a> {
    /// A batch to keep, with its ids.
    pub batch: Option<(&'a [Trade], &'a TradeIds)>,
    /// What to remove, and to enter in the ledger.
    pub changes: Changes,
    /// Rows to read again.
    pub load: Option<Rows>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Done {
    /// The batch that was to be kept, if the disk took it.
    pub kept: Option<Kept>,
    /// The trades of the rows that were to be read, if they are what was written.
    pub loaded: Option<Vec<Trade>>,
    /// What could not be done and is to be tried again.
    pub undone: Option<Changes>,
    /// Why not.
    pub error: Option<OutboxError>,
    /// The file was damaged and set aside here: what was on disk only is gone.
    pub set_aside: Option<PathBuf>,
}

/// A batch on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its row.
    pub rows: Rows,
    /// The bytes that it takes.
    pub bytes: u64,
}

impl OutboxFile {
    pub(super) fn new(path: PathBuf, target: Target, connection: Connection, next_seq: i64, lock: fs::File) -> Self {
        Self { path, target, connection, next_seq, log_pages: 0, aside: None, _lock: lock }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does all of `work`, batch and changes in one transaction, as of `now`.
    pub fn work(&mut self, work: Work<'_>, now: TradeTime) -> Done {
        let Work { batch, changes, load } = work;
        let mut done = Done::default();
        match self.transact(batch, &changes, now) {
            Ok(kept) => done.kept = kept,
            Err(source) => {
                let is_damaged = is_damage(&source);
                done.undone = Some(changes);
                self.fail("write", source, &mut done);
                // A disk that is full can still be read; a file that is gone cannot.
                if is_damaged {
                    return done;
                }
            }
        }
        if let Some(rows) = load {
            match self.load(rows) {
                Ok(trades) => done.loaded = trades,
                Err(source) => self.fail("read", source, &mut done),
            }
        }
        done
    }

    /// Whether the log has become so long that it should be moved into the file.
    pub fn wants_checkpoint(&self) -> bool {
        self.log_pages >= CHECKPOINT_PAGES
    }

    /// Moves the log into the file, and syncs both: that may take long.
    ///
    /// # Errors
    ///
    /// [`OutboxError`] if the disk does not take it; nothing is lost then.
    pub fn checkpoint(&mut self) -> Result<(), OutboxError> {
        self.log_pages = 0;
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        moved.map_err(|source| OutboxError::Sqlite { doing: "sync", path: self.path.clone(), source })
    }

    fn transact(
        &mut self,
        batch: Option<(&[Trade], &TradeIds)>,
        changes: &Changes,
        now: TradeTime,
    ) -> rusqlite::Result<Option<Kept>> {
        // A row alone is a transaction by itself.
        let transaction = if changes.is_empty() { None } else { Some(self.connection.unchecked_transaction()?) };
        let connection = &self.connection;
        for rows in &changes.removed {
            connection
                .prepare_cached("DELETE FROM batch WHERE seq BETWEEN ?1 AND ?2")?
                .execute([rows.first, rows.last])?;
        }
        ledger::enter(connection, changes, now)?;
        if let Some(id) = &changes.store_id {
            connection.execute("UPDATE target SET store_id = ?1", [id])?;
        }
        let mut kept = None;
        if let Some((trades, ids)) = batch {
            let (seq, ids, body) = (self.next_seq, ids.to_text(), body::encode(trades));
            let checksum = checksum(ids.as_bytes(), &body);
            connection.prepare_cached("INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                seq,
                trades.len(),
                body.len(),
                ids,
                checksum,
                body
            ])?;
            self.log_pages += 2 + i64::try_from(body.len() / 4096).unwrap_or(0);
            kept = Some(Kept { rows: Rows { first: seq, last: seq }, bytes: body.len() as u64 });
        }
        transaction.map_or(Ok(()), Transaction::commit)?;
        self.log_pages += if changes.is_empty() { 0 } else { 8 };
        self.next_seq += i64::from(kept.is_some());
        if changes.forget_before.is_some() {
            self.give_space_back()?;
        }
        Ok(kept)
    }

    /// The trades of these rows; `None` if any of them is not what was written.
    fn load(&self, rows: Rows) -> rusqlite::Result<Option<Vec<Trade>>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT ids, checksum, body FROM batch WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq")?;
        let mut found = statement.query([rows.first, rows.last])?;
        let mut trades = Vec::new();
        while let Some(row) = found.next()? {
            let body = row.get_ref(2)?.as_blob()?;
            let is_whole = checksum(row.get_ref(0)?.as_bytes()?, body) == row.get::<_, u32>(1)?;
            let Some(more) = body::decode(body).filter(|_| is_whole) else { return Ok(None) };
            trades.extend(more);
        }
        Ok(Some(trades))
    }

    /// Sets the file aside if it is damaged, and goes on with a new one.
    fn fail(&mut self, doing: &'static str, source: rusqlite::Error, done: &mut Done) {
        if is_damage(&source) {
            match self.begin_anew() {
                Ok(aside) => done.set_aside = Some(aside),
                Err(error) => {
                    done.error = Some(error);
                    return;
                }
            }
        }
        done.error = Some(OutboxError::Sqlite { doing, path: self.path.clone(), source });
    }

    fn begin_anew(&mut self) -> Result<PathBuf, OutboxError> {
        let failed = |source| OutboxError::Sqlite { doing: "close", path: self.path.clone(), source };
        // Closed before it is renamed: SQLite removes what is beside a file by name when it closes.
        drop(std::mem::replace(&mut self.connection, Connection::open_in_memory().map_err(failed)?));
        let aside = match self.aside.take() {
            Some(aside) => aside,
            None => put_aside(&self.path)?,
        };
        // The rows' numbers go on: those of the old file are not those of the new one.
        match prepare(&self.path, &self.target) {
            Ok(connection) => self.connection = connection,
            Err(error) => {
                self.aside = Some(aside);
                return Err(error);
            }
        }
        Ok(aside)
    }

    /// After a long outage the file is large and nearly empty.
    fn give_space_back(&self) -> rusqlite::Result<()> {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let bytes = number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?;
        if bytes > IDLE_BYTES_MAX && number("SELECT count(*) FROM (SELECT 1 FROM batch LIMIT 1)")? == 0 {
            self.connection.execute_batch("VACUUM")?;
        }
        Ok(())
    }
}

/// Locks the outbox at `path` for as long as the file that it gives is open.
pub(super) fn lock(path: &Path) -> Result<fs::File, OutboxError> {
    let lock_path = path.with_extension("lock");
    let failed = |source| OutboxError::Folder { path: lock_path.clone(), source };
    let lock = files::open_or_make(&lock_path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OutboxError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Opens the file for writing; an absent or empty one becomes an outbox of `target`, one of schema 1 is brought up to date.
pub(super) fn prepare(path: &Path, target: &Target) -> Result<Connection, OutboxError> {
    let failed = |source| OutboxError::Sqlite { doing: "open", path: path.to_owned(), source };
    let real = files::for_sqlite(path).map_err(|source| OutboxError::Folder { path: path.to_owned(), source })?;
    let connect = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&real, flags | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            create(&connection, target)?;
        }
        // Without it SQLite prepares a statement again whenever its bounds change.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
        // A sync may take long: it is done where nobody waits for it.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (schema, whose) = (number("user_version")?, whose(&connection)?);
        Ok((connection, schema, whose))
    };
    let (connection, schema, whose) = connect().map_err(failed)?;
    let other = |owner: String| OutboxError::OtherTarget { path: path.to_owned(), owner };
    let owner = match whose {
        Whose::Owned(owner) => owner,
        Whose::Unknown(schema) => return Err(OutboxError::Schema { path: path.to_owned(), schema }),
        Whose::NoOutbox => return Err(other("another program".to_owned())),
    };
    if !target.is_of(&owner) {
        return Err(other(owner.to_string()));
    }
    if schema < SCHEMA_VERSION {
        upgrade(&connection, target).map_err(failed)?;
    } else if owner.location != target.location || target.store_id.is_some() && owner.store_id != target.store_id {
        let sql = "UPDATE target SET location = ?1, store_id = coalesce(?2, store_id)";
        connection.execute(sql, params![target.location, target.store_id]).map_err(failed)?;
    }
    Ok(connection)
}

fn create(connection: &Connection, target: &Target) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let schema = format!("{SCHEMA} {TARGET_SCHEMA} {}", ledger::SCHEMA);
    connection.execute_batch(&format!("BEGIN; {schema} PRAGMA application_id = {APPLICATION_ID};"))?;
    enter_target(connection, target)
}

fn upgrade(connection: &Connection, target: &Target) -> rusqlite::Result<()> {
    let (before, after) = (ledger::FROM_SCHEMA_1, ledger::FROM_SCHEMA_1_FILL);
    connection
        .execute_batch(&format!("BEGIN; {before} {} {after} DROP TABLE target; {TARGET_SCHEMA}", ledger::SCHEMA))?;
    enter_target(connection, target)
}

fn enter_target(connection: &Connection, target: &Target) -> rusqlite::Result<()> {
    let row = params![target.location, target.store_id, target.exchange.as_str()];
    connection.execute("INSERT INTO target VALUES (?1, ?2, ?3)", row)?;
    connection.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"))
}

/// What a file holds, without the trades.
type Contents = (Vec<(Left, Rows)>, Known);

pub(super) fn read(
    connection: Connection,
    path: &Path,
    trades_max: usize,
) -> Result<(Connection, Contents), OutboxError> {
    let contents = contents::read(&connection, trades_max);
    let failed = |source| OutboxError::Sqlite { doing: "read", path: path.to_owned(), source };
    contents.map_err(failed).map(|contents| (connection, contents))
}

/// SQLite finds a damaged page, not a changed byte in one.
fn checksum(ids: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(ids);
    hasher.update(body);
    hasher.finalize()
}

/// Whether the file is at fault, not the disk, the rights or another process.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
    let is_file = |code| matches!(code, DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown);
    // Without a code of SQLite's it is what stands in the file that makes no sense.
    error.sqlite_error_code().is_none_or(is_file)
}

/// Renames the file and what SQLite keeps beside it; gives its new name.
pub(super) fn put_aside(path: &Path) -> Result<PathBuf, OutboxError> {
    let failed = |source| OutboxError::Folder { path: path.to_owned(), source };
    let mut number = 1;
    let aside = loop {
        let aside = path.with_extension(format!("damaged-{number}"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    for suffix in ["-wal", "-shm"] {
        let (mut beside, mut beside_aside) = (path.as_os_str().to_owned(), aside.as_os_str().to_owned());
        beside.push(suffix);
        beside_aside.push(suffix);
        if Path::new(&beside).exists() {
            fs::rename(beside, beside_aside).map_err(failed)?;
        }
    }
    fs::rename(path, &aside).map_err(failed)?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
