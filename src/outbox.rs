//! The outbox: every batch is on disk until the store has acknowledged it, and a
//! ledger says which ids the store has (P4).
//!
//! One SQLite file a store and exchange, in the folder that `--outbox` names, locked by
//! the capture that uses it. It belongs to a store, not to a spelling of its address ([`target`]). One transaction at a
//! time takes the next batch in, removes what was acknowledged and enters its ids in the ledger.
//!
//! What it survives: a kill of tickflux at any moment, and any outage of the store.
//! A file that is torn or damaged is set aside, never used and never deleted; the exchange's
//! history gives its trades again. What it does not: `synchronous = NORMAL` syncs at
//! checkpoints only, so a power loss may take the last batches, never the file; the ledger loses them too, so the
//! next start repairs their ids from the exchange. `FULL` would cost a sync a commit, 0.3 ms and more.

mod body;
mod changes;
mod contents;
pub mod file;
mod ledger;
pub mod look;
pub mod target;

use std::path::PathBuf;

use thiserror::Error;

pub use self::changes::{Changes, Ended};
pub use self::contents::{Known, Left};
pub use self::file::{Done, Kept, OutboxFile, Work};
pub use self::target::{Opened, Other, OutboxFound, Target};

/// Rows of the outbox, from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// The number of the oldest row.
    pub first: i64,
    /// The number of the newest row.
    pub last: i64,
}

/// Why an outbox cannot be used.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The folder cannot be made or written.
    #[error("cannot use the outbox {}: {source}: name a folder that may be written with --outbox", path.display())]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another capture uses it.
    #[error("another capture uses the outbox {}: give this one a folder of its own with --outbox", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another store, exchange or program.
    #[error("the outbox {} belongs to {owner}: name another folder with --outbox", path.display())]
    OtherTarget {
        /// The file.
        path: PathBuf,
        /// The store and exchange that it was made for.
        owner: String,
    },
    /// Made by another version.
    #[error("the outbox {} has schema {schema}, which this tickflux does not know: use the tickflux that made it, or another folder with --outbox", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        schema: i64,
    },
    /// SQLite cannot do it.
    #[error("cannot {doing} the outbox {}: {source}: see that its disk works and has room, or name another folder with --outbox", path.display())]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}
