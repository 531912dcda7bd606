//! The file on disk: what one transaction does, and what becomes of a damaged file.

use std::collections::VecDeque;
use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};

use super::body;
use super::encoded::{SeqRange, Waiting};
use super::ledger::{self, Ended, Known};
use super::{OutboxError, TradeIds};
use crate::files;
use crate::store::RETENTION_MS;
use crate::trade::{Exchange, Symbol, Trade, TradeTime};

/// `tkob`, in SQLite's `application_id`: marks a file as an outbox.
const APPLICATION_ID: i64 = 0x746b_6f62;
/// In SQLite's `user_version`: the schema below and the ledger's.
const SCHEMA_VERSION: i64 = 1;
/// A question about the ledger may hold a lock for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A file that is empty but for the ledger gives its space back above this.
const IDLE_BYTES_MAX: i64 = 64 << 20;

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
    CREATE TABLE target (description TEXT NOT NULL) STRICT;
";

/// The outbox of one store and exchange.
#[derive(Debug)]
pub struct OutboxFile {
    path: PathBuf,
    target: String,
    connection: Connection,
    next_seq: i64,
    /// Held for as long as the file is used.
    _lock: fs::File,
}

/// An outbox as it was found.
#[derive(Debug)]
pub struct Opened {
    /// The file, ready for work.
    pub file: OutboxFile,
    /// What was left in it, oldest first.
    pub left: VecDeque<Waiting>,
    /// What its ledger knows.
    pub known: Known,
    /// Where a damaged file was put, with the reason.
    pub set_aside: Option<(PathBuf, String)>,
}

/// What one transaction is to do.
#[derive(Debug, Default)]
pub struct Work {
    /// Rows to remove with the ids to enter in the ledger; rows are `None` for a batch that the disk did not take.
    pub stored: Vec<(Option<SeqRange>, TradeIds)>,
    /// Ids that will never come.
    pub ended: Vec<Ended>,
    /// Symbols whose count started again.
    pub restarted: Vec<Symbol>,
    /// Rows to read again.
    pub load: Option<SeqRange>,
    /// Forget of the ledger what is older than the retention.
    pub trim: bool,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Done {
    /// The batch that was to be kept, if the disk took it.
    pub kept: Option<Kept>,
    /// The trades of the rows that were to be read, if they are what was written.
    pub loaded: Option<Vec<Trade>>,
    /// What could not be done and is to be tried again.
    pub undone: Option<Work>,
    /// Why not.
    pub error: Option<OutboxError>,
    /// The file was damaged and set aside here: what was on disk only is gone.
    pub set_aside: Option<PathBuf>,
}

/// A batch on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its row.
    pub rows: SeqRange,
    /// The bytes that it takes.
    pub bytes: u64,
}

impl Work {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Self { stored, ended, restarted, load, trim } = self;
        stored.is_empty() && ended.is_empty() && restarted.is_empty() && load.is_none() && !trim
    }

    /// Adds rows to remove with their ids; those that follow each other become one.
    pub fn add_stored(&mut self, rows: Option<SeqRange>, ids: TradeIds) {
        match (self.stored.last_mut(), rows) {
            (Some((Some(last), known)), Some(rows)) if last.last + 1 == rows.first => {
                last.last = rows.last;
                known.merge(&ids);
            }
            _ => self.stored.push((rows, ids)),
        }
    }

    /// Puts what came earlier in front of it.
    pub fn put_before(&mut self, earlier: Self) {
        let later = std::mem::replace(self, earlier);
        self.stored.extend(later.stored);
        self.ended.extend(later.ended);
        self.restarted.extend(later.restarted);
        self.trim |= later.trim;
    }
}

/// The path of the outbox of `identity` and `exchange` in `folder`.
pub fn path(folder: &Path, identity: &str, exchange: &Exchange) -> PathBuf {
    let target = target(identity, exchange);
    let word = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let mut name: String = target.chars().map(word).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name.truncate(80);
    folder.join(format!("{name}-{:08x}.db", crc32fast::hash(target.as_bytes())))
}

/// Opens the outbox of the store `identity` and `exchange` in `folder`, and makes it if there is none.
/// What is left is gathered into batches of up to `trades_max`.
///
/// # Errors
///
/// [`OutboxError`] if it cannot be used; a damaged file is set aside instead.
pub fn open(folder: &Path, identity: &str, exchange: &Exchange, trades_max: usize) -> Result<Opened, OutboxError> {
    let path = path(folder, identity, exchange);
    let failed = |source| OutboxError::Folder { path: folder.to_owned(), source };
    files::make_folder(folder).map_err(failed)?;
    let lock_path = path.with_extension("lock");
    let lock = files::open_or_make(&lock_path).map_err(|source| OutboxError::Folder { path: lock_path, source })?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OutboxError::Locked { path }),
        Err(TryLockError::Error(source)) => return Err(OutboxError::Folder { path, source }),
    }
    let target = target(identity, exchange);
    let mut set_aside = None;
    let (connection, (left, known)) = match prepare(&path, &target).and_then(|found| read(found, &path, trades_max)) {
        Err(OutboxError::Sqlite { source, .. }) if is_damage(&source) => {
            set_aside = Some((put_aside(&path)?, source.to_string()));
            prepare(&path, &target).and_then(|found| read(found, &path, trades_max))?
        }
        found => found?,
    };
    let next_seq = left.back().and_then(|batch| batch.rows).map_or(1, |rows| rows.last + 1);
    let file = OutboxFile { path, target, connection, next_seq, _lock: lock };
    Ok(Opened { file, left, known, set_aside })
}

/// What will never come, as the ledger of the store `identity` and `exchange` in `folder` says;
/// nothing where there is no ledger. Reads only, beside a capture, too.
///
/// # Errors
///
/// [`OutboxError`] if the file cannot be read.
pub fn read_ended(folder: &Path, identity: &str, exchange: &Exchange) -> Result<Vec<Ended>, OutboxError> {
    let path = path(folder, identity, exchange);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = || {
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        ledger::ended(&connection)
    };
    read().map_err(|source| OutboxError::Sqlite { doing: "read", path: path.clone(), source })
}

impl OutboxFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a batch of `trades` with these ids and does `work`, in one transaction, as of `now`.
    pub fn work(&mut self, batch: Option<(&[Trade], &TradeIds)>, work: Work, now: TradeTime) -> Done {
        let mut done = Done::default();
        match self.transact(batch, &work, now) {
            Ok(kept) => done.kept = kept,
            Err(source) => {
                done.undone = Some(Work { load: None, ..work });
                self.fail("write", source, &mut done);
                return done;
            }
        }
        if let Some(rows) = work.load {
            match self.load(rows) {
                Ok(trades) => done.loaded = trades,
                Err(source) => self.fail("read", source, &mut done),
            }
        }
        done
    }

    fn transact(
        &mut self,
        batch: Option<(&[Trade], &TradeIds)>,
        work: &Work,
        now: TradeTime,
    ) -> rusqlite::Result<Option<Kept>> {
        // A row alone is a transaction by itself.
        let transaction = if work.is_empty() { None } else { Some(self.connection.unchecked_transaction()?) };
        let connection = &self.connection;
        for (rows, ids) in &work.stored {
            if let Some(rows) = rows {
                connection
                    .prepare_cached("DELETE FROM batch WHERE seq BETWEEN ?1 AND ?2")?
                    .execute([rows.first, rows.last])?;
            }
            ledger::acknowledge(connection, ids)?;
        }
        for symbol in &work.restarted {
            ledger::forget(connection, symbol)?;
        }
        ledger::end(connection, &work.ended, now)?;
        if work.trim {
            ledger::trim(connection, now.ms() - RETENTION_MS)?;
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
            kept = Some(Kept { rows: SeqRange { first: seq, last: seq }, bytes: body.len() as u64 });
        }
        transaction.map_or(Ok(()), Transaction::commit)?;
        self.next_seq += i64::from(kept.is_some());
        if work.trim {
            self.give_space_back()?;
        }
        Ok(kept)
    }

    /// The trades of these rows; `None` if any of them is not what was written.
    fn load(&self, rows: SeqRange) -> rusqlite::Result<Option<Vec<Trade>>> {
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
        let aside = put_aside(&self.path)?;
        // The rows' numbers go on: those of the old file are not those of the new one.
        self.connection = prepare(&self.path, &self.target)?;
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

fn target(identity: &str, exchange: &Exchange) -> String {
    format!("{identity}, exchange {exchange}")
}

/// Opens the file for writing; an absent or empty one becomes an outbox.
fn prepare(path: &Path, target: &str) -> Result<Connection, OutboxError> {
    let failed = |source| OutboxError::Sqlite { doing: "open", path: path.to_owned(), source };
    let real = files::for_sqlite(path).map_err(|source| OutboxError::Folder { path: path.to_owned(), source })?;
    let connect = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&real, flags | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            connection.pragma_update(None, "page_size", 4096)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            let begin = format!("BEGIN; {SCHEMA} {} PRAGMA application_id = {APPLICATION_ID};", ledger::SCHEMA);
            connection.execute_batch(&begin)?;
            connection.execute("INSERT INTO target VALUES (?1)", [target])?;
            connection.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"))?;
        }
        // Without it SQLite prepares a statement again whenever its bounds change.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, schema) = (number("application_id")?, number("user_version")?);
        let owner = if application == APPLICATION_ID && schema == SCHEMA_VERSION {
            connection.query_row("SELECT description FROM target", [], |row| row.get::<_, String>(0)).optional()?
        } else {
            None
        };
        Ok((connection, application, schema, owner))
    };
    let (connection, application, schema, owner) = connect().map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(OutboxError::OtherTarget { path: path.to_owned(), owner: "another program".to_owned() });
    }
    if schema != SCHEMA_VERSION {
        return Err(OutboxError::Schema { path: path.to_owned(), schema });
    }
    match owner {
        Some(owner) if owner == target => Ok(connection),
        owner => Err(OutboxError::OtherTarget { path: path.to_owned(), owner: owner.unwrap_or_default() }),
    }
}

/// What a file holds, without the trades.
type Contents = (VecDeque<Waiting>, Known);

fn read(connection: Connection, path: &Path, trades_max: usize) -> Result<(Connection, Contents), OutboxError> {
    let contents = contents(&connection, trades_max);
    let failed = |source| OutboxError::Sqlite { doing: "read", path: path.to_owned(), source };
    contents.map_err(failed).map(|contents| (connection, contents))
}

fn contents(connection: &Connection, trades_max: usize) -> rusqlite::Result<Contents> {
    let mut known = Known { stored: ledger::acknowledged(connection)?, ended: ledger::ended(connection)? };
    let mut left: VecDeque<Waiting> = VecDeque::new();
    let mut statement = connection.prepare("SELECT seq, trades, bytes, ids FROM batch ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        // Ids that cannot be read are not known: the exchange gives them again.
        let ids = TradeIds::from_text(row.get_ref(3)?.as_str()?).unwrap_or_default();
        known.stored.merge(&ids);
        let batch = Waiting {
            rows: Some(SeqRange { first: seq, last: seq }),
            trades: row.get(1)?,
            disk_bytes: row.get(2)?,
            ids,
            arrivals: Vec::new(),
            is_of_this_run: false,
        };
        match left.back_mut() {
            Some(last) if last.may_absorb(&batch, trades_max) => last.absorb(batch),
            _ => left.push_back(batch),
        }
    }
    Ok((left, known))
}

/// SQLite finds a damaged page, not a changed byte in one.
fn checksum(ids: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(ids);
    hasher.update(body);
    hasher.finalize()
}

/// Whether the file is at fault, not the disk, the rights or another process.
fn is_damage(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
    let is_file = |code| matches!(code, DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown);
    // Without a code of SQLite's it is what stands in the file that makes no sense.
    error.sqlite_error_code().is_none_or(is_file)
}

/// Renames the file and what SQLite keeps beside it; gives its new name.
fn put_aside(path: &Path) -> Result<PathBuf, OutboxError> {
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
