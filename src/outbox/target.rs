//! Whose outbox a file is: it belongs to a store and an exchange, not to a spelling of the store's address.
//!
//! A file records where its store was found, and the store's own id once it told it. The same id is the same store
//! whatever its address; without an id the same address is. A store of another id at the same address is a new
//! one in the old one's place: its outbox goes on, and what the ledger says of the old one has to be looked at.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::contents::{Known, Left, trades_left};
use super::file::{self, OutboxFile};
use super::{OutboxError, Rows};
use crate::files;
use crate::store::AnyStore;
use crate::trade::{Exchange, TradeIds};

/// `tkob`, in SQLite's `application_id`: marks a file as an outbox.
pub(super) const APPLICATION_ID: i64 = 0x746b_6f62;
/// In SQLite's `user_version`: the schema of batches and ledger.
pub(super) const SCHEMA_VERSION: i64 = 2;

/// A store and the exchange whose trades it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where the store is, spelled in one way.
    pub location: String,
    /// The store's own id, if it told it.
    pub store_id: Option<String>,
    /// The exchange.
    pub exchange: Exchange,
    /// How schema 1 may have spelled location and exchange.
    pub described: Vec<String>,
}

/// An outbox that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The file, ready for work.
    pub file: OutboxFile,
    /// What was in it.
    pub found: OutboxFound,
}

/// An outbox as it was found.
#[derive(Debug, Default)]
pub struct OutboxFound {
    /// What was left in it, oldest first.
    pub left: Vec<(Left, Rows)>,
    /// What its ledger knows.
    pub known: Known,
    /// Where a damaged file was put, with the reason.
    pub set_aside: Option<(PathBuf, String)>,
    /// How the store differs from the one that the ledger knows, in words.
    pub changed: Option<String>,
    /// Outboxes of other stores or exchanges in the folder in which trades wait.
    pub others: Vec<Other>,
}

/// An outbox that is not the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The file.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: String,
    /// Trades that wait in it.
    pub trades: u64,
}

/// What a file says of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) location: String,
    pub(super) store_id: Option<String>,
    pub(super) exchange: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exchange.as_str() {
            "" => f.write_str(&self.location),
            exchange => write!(f, "{}, exchange {exchange}", self.location),
        }
    }
}

/// What a file is to us.
#[derive(Debug)]
pub(super) enum Whose {
    /// An outbox of this store and exchange.
    Owned(Owner),
    /// An outbox of a schema that only another version knows.
    Unknown(i64),
    /// Something else.
    NoOutbox,
}

/// The outboxes of a folder, by path.
#[derive(Debug, Default)]
struct Outboxes {
    owners: Vec<(PathBuf, Owner)>,
    /// Those of a schema that is not known, with it.
    unknown: Vec<(PathBuf, i64)>,
}

/// How surely a file is the one that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// The same address.
    Location,
    /// The same store by its own id.
    Id,
}

impl Target {
    /// The target at a store's address.
    pub fn at(store: &AnyStore, exchange: &Exchange) -> Self {
        Self::located(store.location(), &store.describe(), exchange)
    }

    /// The target at a location, with the store's description.
    pub fn located(location: String, description: &str, exchange: &Exchange) -> Self {
        let described = [&location, description].map(|store| format!("{store}, exchange {exchange}"));
        Self { location, store_id: None, exchange: exchange.clone(), described: described.to_vec() }
    }

    /// Whether a file of `owner` is this target's.
    pub(super) fn is_of(&self, owner: &Owner) -> bool {
        self.matches(owner).is_some()
    }

    fn matches(&self, owner: &Owner) -> Option<Match> {
        if owner.exchange.is_empty() {
            return self.described.contains(&owner.location).then_some(Match::Location);
        }
        if owner.exchange != self.exchange.as_str() {
            return None;
        }
        if owner.store_id.is_some() && owner.store_id == self.store_id {
            return Some(Match::Id);
        }
        (owner.location == self.location).then_some(Match::Location)
    }

    /// The path of a new file for it in `folder`: none of another target that came to another address since it was made.
    fn new_path(&self, folder: &Path, found: &[(PathBuf, Owner)]) -> PathBuf {
        let owner = format!("{}, exchange {}", self.location, self.exchange);
        let word = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let mut name: String = owner.chars().map(word).collect();
        while name.contains("--") {
            name = name.replace("--", "-");
        }
        name.truncate(80);
        let hash = crc32fast::hash(owner.as_bytes());
        let path = |number: u32| folder.join(format!("{name}-{:08x}.db", hash.wrapping_add(number)));
        let is_free = |path: &PathBuf| found.iter().all(|(taken, _)| taken != path);
        (0..).map(path).find(is_free).unwrap_or_else(|| path(0))
    }
}

/// Opens the outbox of `target` in `folder`, and makes it if there is none.
/// What is left is gathered into batches of up to `trades_max`.
///
/// # Errors
///
/// [`OutboxError`] if it cannot be used; a damaged file is set aside instead.
pub fn open(folder: &Path, target: &Target, trades_max: usize) -> Result<Opened, OutboxError> {
    let failed = |source| OutboxError::Folder { path: folder.to_owned(), source };
    files::make_folder(folder).map_err(failed)?;
    // SQLite follows no link below; the folder itself may be one, whoever named it.
    let folder = &folder.canonicalize().map_err(failed)?;
    let Outboxes { owners, unknown } = outboxes(folder).map_err(failed)?;
    let ours = owners
        .iter()
        .filter_map(|(path, owner)| Some((target.matches(owner)?, path, owner)))
        .max_by_key(|(how, ..)| *how);
    if let (None, Some((path, schema))) = (&ours, unknown.into_iter().next()) {
        // It may be the one that is looked for, with trades in it.
        return Err(OutboxError::Schema { path, schema });
    }
    let path = ours.map_or_else(|| target.new_path(folder, &owners), |(_, path, _)| path.clone());
    let lock = file::lock(&path)?;
    let changed = ours.and_then(|(_, _, owner)| changed(owner, target));
    let mut set_aside = None;
    let (connection, (left, known)) =
        match file::prepare(&path, target).and_then(|made| file::read(made, &path, trades_max)) {
            Err(OutboxError::Sqlite { source, .. }) if file::is_damage(&source) => {
                set_aside = Some((file::put_aside(&path)?, source.to_string()));
                file::prepare(&path, target).and_then(|made| file::read(made, &path, trades_max))?
            }
            made => made?,
        };
    let next_seq = left.last().map_or(1, |(_, rows)| rows.last + 1);
    let others =
        owners.iter().filter(|(other, _)| *other != path).filter_map(|(other, owner)| other_left(other, owner));
    let others = others.collect();
    let file = OutboxFile::new(path, target.clone(), connection, next_seq, lock);
    Ok(Opened { file, found: OutboxFound { left, known, set_aside, changed, others } })
}

/// What stays missing, as the ledger of `target` in `folder` says; nothing where there is no ledger. Reads only, beside a
/// capture, too.
///
/// # Errors
///
/// [`OutboxError`] if the file cannot be read.
pub fn read_ended(folder: &Path, target: &Target) -> Result<Vec<super::Ended>, OutboxError> {
    Ok(look_at(folder, target, super::ledger::ended)?.unwrap_or_default())
}

/// What was lost and may still come, as [`read_ended`].
///
/// # Errors
///
/// [`OutboxError`] if the file cannot be read.
pub fn read_lost(folder: &Path, target: &Target) -> Result<TradeIds, OutboxError> {
    Ok(look_at(folder, target, super::ledger::lost)?.unwrap_or_default())
}

fn look_at<T>(
    folder: &Path,
    target: &Target,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<Option<T>, OutboxError> {
    let found = folder.canonicalize().and_then(|folder| outboxes(&folder)).unwrap_or_default().owners;
    let ours =
        found.into_iter().filter_map(|(path, owner)| Some((target.matches(&owner)?, path))).max_by_key(|(how, _)| *how);
    let Some((_, path)) = ours else { return Ok(None) };
    let found = look_into(&path).and_then(|connection| read(&connection));
    found.map(Some).map_err(|source| OutboxError::Sqlite { doing: "read", path: path.clone(), source })
}

/// Every outbox in a folder; what cannot be read is none.
fn outboxes(folder: &Path) -> std::io::Result<Outboxes> {
    let mut found = Outboxes::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_file = path.extension().is_some_and(|extension| extension == "db") && path.symlink_metadata()?.is_file();
        // To look into a file SQLite writes beside it.
        if is_file
            && files::look_beside_sqlite(&path).is_ok()
            && let Ok(whose) = look_into(&path).and_then(|connection| whose(&connection))
        {
            match whose {
                Whose::Owned(owner) => found.owners.push((path, owner)),
                Whose::Unknown(schema) => found.unknown.push((path, schema)),
                Whose::NoOutbox => {}
            }
        }
    }
    found.owners.sort_by(|one, other| one.0.cmp(&other.0));
    found.unknown.sort();
    Ok(found)
}

/// Opens a file to look at it; nothing is made or changed.
fn look_into(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(file::BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Whose a file is; an outbox without its row about that is none.
pub(super) fn whose(connection: &Connection) -> rusqlite::Result<Whose> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("application_id")? != APPLICATION_ID {
        return Ok(Whose::NoOutbox);
    }
    let owner = match number("user_version")? {
        1 => {
            let described = connection.query_row("SELECT description FROM target", [], |row| row.get(0)).optional()?;
            described.map(|location| Owner { location, store_id: None, exchange: String::new() })
        }
        SCHEMA_VERSION => connection
            .query_row("SELECT location, store_id, exchange FROM target", [], |row| {
                Ok(Owner { location: row.get(0)?, store_id: row.get(1)?, exchange: row.get(2)? })
            })
            .optional()?,
        schema => return Ok(Whose::Unknown(schema)),
    };
    Ok(owner.map_or(Whose::NoOutbox, Whose::Owned))
}

/// How the store differs from the one that the file knows.
fn changed(owner: &Owner, target: &Target) -> Option<String> {
    let (known, found) = (owner.store_id.as_ref()?, target.store_id.as_ref()?);
    (known != found).then(|| format!("it is {found}, and the ledger is of {known}"))
}

/// An outbox of another target, if trades wait in it and no capture is using it.
fn other_left(path: &Path, owner: &Owner) -> Option<Other> {
    drop(file::lock(path).ok()?);
    let trades = look_into(path).and_then(|connection| trades_left(&connection)).ok().filter(|trades| *trades > 0)?;
    Some(Other { path: path.to_owned(), owner: owner.to_string(), trades })
}

#[cfg(test)]
mod tests;
