//! The embedded store: one SQLite file, one table.
//!
//! What it survives: a kill at any moment (write-ahead log; a batch is one
//! transaction). What it does not: with `synchronous = NORMAL` a power loss may
//! take the last transactions, never the file; their ids are then missing.

mod file;
mod questions;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, params};

use super::{
    Attempt, Candle, Checked, Gaps, HighLow, Interval, RETENTION_MS, Scope, Store, StoreError, StoredTrade, WriteError,
    Written,
};
use crate::trade::{Exchange, Trade, TradeTime};

/// Rows in one transaction, at most; from 1,000 on more buys little.
const BATCH_MAX: usize = 5_000;

/// Trades in an SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    exchange: Exchange,
    connection: Mutex<Connection>,
    clock: fn() -> TradeTime,
}

impl Sqlite {
    /// Opens `path` for capture of `exchange`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] if the path cannot be written or the file is not a tickflux store.
    pub fn create(path: &Path, exchange: Exchange, clock: fn() -> TradeTime) -> Result<Self, StoreError> {
        Ok(Self { connection: Mutex::new(file::create(path)?), path: path.to_owned(), exchange, clock })
    }

    /// Opens `path` for questions; never makes a file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] if there is no such file or it is not a tickflux store.
    pub fn open(path: &Path, exchange: Exchange, clock: fn() -> TradeTime) -> Result<Self, StoreError> {
        Ok(Self { connection: Mutex::new(file::open(path)?), path: path.to_owned(), exchange, clock })
    }

    /// The connection stays usable after a panic: a transaction not committed is rolled back.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest trade time that is still kept.
    fn bound(&self) -> i64 {
        (self.clock)().ms() - RETENTION_MS
    }

    fn insert(&self, trades: &[Trade], exchange_time: Option<TradeTime>) -> rusqlite::Result<Written> {
        let bound = exchange_time.map_or(i64::MIN, |now| now.ms() - RETENTION_MS);
        let mut written = Written::default();
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR IGNORE INTO trade (exchange, symbol, time, trade_id, price, quantity, buyer_is_maker) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for trade in trades {
                if trade.time.ms() < bound {
                    written.expired.add(&trade.symbol, trade.id.into(), trade.time);
                    continue;
                }
                insert.execute(params![
                    self.exchange.as_str(),
                    trade.symbol.as_str(),
                    trade.time.ms(),
                    trade.id.get().cast_signed(),
                    trade.price.as_str(),
                    trade.quantity.as_str(),
                    trade.buyer_is_maker,
                ])?;
            }
        }
        transaction.commit()?;
        Ok(written)
    }

    /// Deletes a minute a transaction and series, so that no write waits long.
    fn delete_older_than(&self, bound_ms: i64) -> rusqlite::Result<()> {
        let all = questions::series(&self.connection(), &Scope::default())?;
        for (exchange, symbol) in all {
            loop {
                let connection = self.connection();
                let key = (exchange.as_str(), symbol.as_str());
                let Some(oldest) = questions::oldest_time(&connection, key)?.filter(|oldest| *oldest < bound_ms) else {
                    break;
                };
                connection
                    .prepare_cached("DELETE FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time < ?3")?
                    .execute(params![key.0, key.1, bound_ms.min(oldest + 60_000)])?;
            }
        }
        Ok(())
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        question: impl FnOnce(&Connection) -> Result<T, questions::QuestionError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        async move {
            tokio::task::block_in_place(|| question(&self.connection())).map_err(|error| self.unusable("read", &error))
        }
        .boxed()
    }

    fn unusable(&self, doing: &str, error: &dyn std::error::Error) -> StoreError {
        StoreError::Unusable(format!("cannot {doing} {}: {error}", self.path.display()))
    }
}

impl Store for Sqlite {
    fn describe(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    fn location(&self) -> String {
        let path = self.path.canonicalize().or_else(|_| std::path::absolute(&self.path));
        format!("sqlite:{}", path.unwrap_or_else(|_| self.path.clone()).display())
    }

    fn slots(&self) -> usize {
        1
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>> {
        async move {
            let begun = tokio::task::block_in_place(|| self.connection().execute_batch("BEGIN IMMEDIATE; ROLLBACK"));
            begun.map(|()| Checked::default()).map_err(|error| self.unusable("write", &error))
        }
        .boxed()
    }

    fn write<'a>(&'a self, trades: &'a [Trade], attempt: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
        async move {
            tokio::task::block_in_place(|| self.insert(trades, attempt.exchange_time)).map_err(|error| {
                WriteError::Transient { why: format!("cannot write {}: {error}", self.path.display()), wait: None }
            })
        }
        .boxed()
    }

    fn expire(&self, now: TradeTime) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            tokio::task::block_in_place(|| self.delete_older_than(now.ms() - RETENTION_MS))
                .map_err(|error| self.unusable("expire trades in", &error))
        }
        .boxed()
    }

    fn latest<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        let bound = self.bound();
        self.ask(move |connection| questions::latest(connection, scope, bound))
    }

    fn price_at<'a>(
        &'a self,
        scope: &'a Scope,
        time: TradeTime,
        as_of: bool,
    ) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        let bound = self.bound();
        self.ask(move |connection| questions::price_at(connection, scope, time, as_of, bound))
    }

    fn gaps<'a>(&'a self, scope: &'a Scope, since: TradeTime) -> BoxFuture<'a, Result<Vec<Gaps>, StoreError>> {
        let since = since.ms().max(self.bound());
        self.ask(move |connection| questions::gaps(connection, scope, since))
    }

    fn high_low<'a>(&'a self, scope: &'a Scope, time: TradeTime) -> BoxFuture<'a, Result<Vec<HighLow>, StoreError>> {
        let (bound, now) = (self.bound(), (self.clock)());
        self.ask(move |connection| questions::high_low(connection, scope, time, bound, now))
    }

    fn candles<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        every: Interval,
    ) -> BoxFuture<'a, Result<Vec<Candle>, StoreError>> {
        let bound = self.bound();
        self.ask(move |connection| questions::candles(connection, scope, since, every, bound))
    }
}
