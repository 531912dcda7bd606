//! The embedded store: one SQLite file, a table of trades and one of minutes that were verified.
//!
//! What it survives: a kill at any moment (write-ahead log; a batch is one
//! transaction). What it does not: with `synchronous = NORMAL` a power loss may
//! take the last transactions, never the file; their ids are then missing.

mod file;
pub(crate) mod look;
mod minute_points;
mod minutes;
mod questions;
mod trades;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::params;

use self::file::{File, FileError};
use self::questions::{Look, QuestionError};
use super::{
    Attempt, Bounds, Candle, Checked, Gaps, HighLow, Interval, KeptMinute, Minute, MinutePoint, OnTrade, RETENTION_MS,
    Scope, Store, StoreError, StoredTrade, WriteError, Written,
};
use crate::trade::{Exchange, Trade, TradeTime};

/// Rows in one transaction, at most; from 1,000 on more buys little.
const BATCH_MAX: usize = 5_000;

/// Trades in an SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    exchange: Exchange,
    file: Mutex<File>,
    clock: fn() -> TradeTime,
    /// Rows that questions have passed over.
    passed_over: AtomicU64,
}

/// Where the store at `path` is, spelled in one way.
pub fn location(path: &Path) -> String {
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
    format!("sqlite:{}", absolute.unwrap_or_else(|_| path.to_owned()).display())
}

/// Looks whether `path` may be a file's.
///
/// # Errors
///
/// [`StoreError::Settings`] if SQLite has another meaning for it.
pub fn check_path(path: &Path) -> Result<(), StoreError> {
    file::check_name(path)
}

/// Looks whether a capture may use the file at `path`, without a trace. `false` if that cannot be seen: a log lies beside it
/// that only a capture may put right, as after a kill.
///
/// # Errors
///
/// [`StoreError`] if the path is none, or the file there is not a tickflux store.
pub fn look_at(path: &Path) -> Result<bool, StoreError> {
    file::look_at(path)
}

impl Sqlite {
    /// Opens `path` for capture of `exchange`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if the path is none, [`StoreError::Unusable`] if it cannot be written or the file is not a
    /// tickflux store.
    pub fn create(path: &Path, exchange: Exchange, clock: fn() -> TradeTime) -> Result<Self, StoreError> {
        Ok(Self::on(File::create(path)?, path, exchange, clock))
    }

    /// Opens `path` for questions; never makes a file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if the path is none, [`StoreError::Unusable`] if there is no such file or it is not a
    /// tickflux store.
    pub fn open(path: &Path, exchange: Exchange, clock: fn() -> TradeTime) -> Result<Self, StoreError> {
        Ok(Self::on(File::open(path)?, path, exchange, clock))
    }

    fn on(file: File, path: &Path, exchange: Exchange, clock: fn() -> TradeTime) -> Self {
        Self { path: path.to_owned(), exchange, file: Mutex::new(file), clock, passed_over: AtomicU64::new(0) }
    }

    /// A connection stays usable after a panic: a transaction not committed is rolled back.
    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, trades: &[Trade], exchange_time: Option<TradeTime>) -> Result<Written, FileError> {
        let bound = exchange_time.map_or(i64::MIN, |now| now.ms() - RETENTION_MS);
        let mut written = Written::default();
        let mut file = self.file();
        let connection = file.connection()?;
        let transaction = connection.transaction()?;
        {
            // As in InfluxDB the last write wins; the same trade again changes nothing.
            let mut insert = transaction.prepare_cached(
                "INSERT INTO trade (exchange, symbol, time, trade_id, price, quantity, buyer_is_maker) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE \
                 SET price = excluded.price, quantity = excluded.quantity, buyer_is_maker = excluded.buyer_is_maker \
                 WHERE price <> excluded.price OR quantity <> excluded.quantity \
                 OR buyer_is_maker <> excluded.buyer_is_maker",
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
    fn delete_older_than(&self, bound_ms: i64) -> Result<(), FileError> {
        let all = questions::series(self.file().connection()?, &Scope::default())?;
        for key in &all {
            loop {
                let mut file = self.file();
                let connection = file.connection()?;
                let Some(oldest) = questions::oldest_time(connection, key)?.filter(|oldest| *oldest < bound_ms) else {
                    break;
                };
                connection
                    .prepare_cached("DELETE FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time < ?3")?
                    .execute(params![key.0, key.1, bound_ms.min(oldest.saturating_add(60_000))])?;
            }
        }
        minute_points::delete_older_than(self.file().connection()?, bound_ms)?;
        Ok(())
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        scope: &'a Scope,
        question: impl Fn(&Look<'_>) -> Result<T, QuestionError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let bounds = Bounds::at((self.clock)());
        async move { tokio::task::block_in_place(|| self.look(scope, bounds, question)) }.boxed()
    }

    /// One look into the file, which is let go before the answer is used.
    fn look<T>(
        &self,
        scope: &Scope,
        bounds: Bounds,
        question: impl Fn(&Look<'_>) -> Result<T, QuestionError>,
    ) -> Result<T, StoreError> {
        let look = || {
            let (answer, passed_over) = self.file().ask(|connection| {
                let look = Look { connection, scope, bounds, passed_over: Cell::new(0) };
                (question(&look), look.passed_over.get())
            })?;
            self.passed_over.fetch_add(passed_over, Ordering::Relaxed);
            answer
        };
        look().map_err(|error| self.unusable("read", &error))
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
        location(&self.path)
    }

    fn slots(&self) -> usize {
        1
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>> {
        async move {
            let begin = || Ok(self.file().connection()?.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?);
            let begun: Result<(), FileError> = tokio::task::block_in_place(begin);
            begun.map(|()| Checked::default()).map_err(|error| self.unusable("write", &error))
        }
        .boxed()
    }

    fn write<'a>(&'a self, trades: &'a [Trade], attempt: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
        async move {
            let why = |error: &FileError| format!("cannot write {}: {error}", self.path.display());
            tokio::task::block_in_place(|| self.insert(trades, attempt.exchange_time)).map_err(|error| match error {
                FileError::Sqlite(_) => WriteError::Transient { why: why(&error), wait: None },
                FileError::Gone(_) | FileError::Lost(_) => WriteError::Held { why: why(&error) },
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

    /// Counted while the questions read: the span says nothing more.
    fn passed_over<'a>(
        &'a self,
        _scope: &'a Scope,
        _since: TradeTime,
        _until: Option<TradeTime>,
    ) -> BoxFuture<'a, Option<String>> {
        async move {
            let rows = self.passed_over.load(Ordering::Relaxed);
            (rows > 0).then(|| format!("{rows} rows of {} are no trades and were passed over", self.path.display()))
        }
        .boxed()
    }

    fn latest<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        self.ask(scope, |look| look.latest())
    }

    fn price_at<'a>(
        &'a self,
        scope: &'a Scope,
        time: TradeTime,
        as_of: bool,
    ) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        self.ask(scope, move |look| look.price_at(time, as_of))
    }

    fn gaps<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Vec<Gaps>, StoreError>> {
        self.ask(scope, move |look| look.gaps(since, until))
    }

    fn high_low<'a>(&'a self, scope: &'a Scope, time: TradeTime) -> BoxFuture<'a, Result<Vec<HighLow>, StoreError>> {
        let now = (self.clock)();
        self.ask(scope, move |look| look.high_low(time, now))
    }

    fn candles<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        every: Interval,
    ) -> BoxFuture<'a, Result<Vec<Candle>, StoreError>> {
        self.ask(scope, move |look| look.candles(since, until, every))
    }

    fn minutes<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<Minute>, StoreError>> {
        self.ask(scope, move |look| look.minutes(since, until))
    }

    fn trades<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        on_trade: OnTrade<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.read_trades(scope, since, until, on_trade).boxed()
    }

    fn keep_minutes<'a>(&'a self, points: &'a [MinutePoint]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            tokio::task::block_in_place(|| self.put_minute_points(points))
                .map_err(|error| self.unusable("write minutes into", &error))
        }
        .boxed()
    }

    fn kept_minutes<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<KeptMinute>, StoreError>> {
        async move { tokio::task::block_in_place(|| self.minute_points_of(scope, since, until)) }.boxed()
    }
}
