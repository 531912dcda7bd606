//! An archive as something to ask: whole hours as Parquet files, for as long as they are kept.
//!
//! It answers as the stores do, by the same rules, for any time that it holds. A question reads the manifests and files of
//! the hours that it needs, and of these the row groups and columns; one row group is in memory at a time. What a file says
//! is looked at as far as it is read: `tickflux archive --check` reads all of it.

mod hours;
mod questions;
mod unsealed;
mod walk;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::task::block_in_place;

use self::questions::Question;
use super::gaps::{KnownHole, TooManyHoles};
use super::{
    Attempt, Candle, Checked, Gaps, HighLow, Interval, Minute, OnTrade, Scope, Store, StoreError, StoredTrade,
    WriteError, Written,
};
use crate::archive::folder::Folder;
use crate::archive::read::ReadError;
use crate::trade::{Trade, TradeError, TradeTime};

/// What to say to whoever wants to write.
const TAKES_NONE: &str =
    "an archive takes no trades: capture into a store, and seal its hours with tickflux archive --to";

/// An archive that is asked.
#[derive(Debug)]
pub struct Archive {
    root: PathBuf,
    folder: Folder,
    clock: fn() -> TradeTime,
    /// Files without a manifest that questions came across.
    without_manifest: Mutex<BTreeSet<PathBuf>>,
}

/// Why an archive gave no answer.
#[derive(Debug, Error)]
enum QuestionError {
    #[error("cannot read {path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot read {path}: {source}")]
    Manifest { path: PathBuf, source: io::Error },
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: ReadError },
    #[error("cannot read {path}: {why}")]
    Odd { path: PathBuf, why: String },
    #[error(transparent)]
    Holes(#[from] TooManyHoles),
    #[error(transparent)]
    Time(#[from] TradeError),
}

type Answer<T> = Result<T, QuestionError>;

impl Archive {
    /// Opens the archive at `root` to ask it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if the folder is no archive, or one of another version.
    pub fn open(root: &Path, clock: fn() -> TradeTime) -> Result<Self, StoreError> {
        if root.as_os_str().is_empty() {
            return Err(StoreError::Settings(
                "cannot use --store archive: there is no folder behind it: write archive:DIR".to_owned(),
            ));
        }
        let folder = Folder::open(root).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is no such folder: tickflux archive --to makes one".to_owned(),
                _ => error.to_string(),
            };
            StoreError::Settings(format!("cannot use --store archive:{}: {why}", root.display()))
        })?;
        Ok(Self { root: root.to_owned(), folder, clock, without_manifest: Mutex::default() })
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        question: impl FnOnce(&Question<'a>) -> Answer<T> + Send + 'a,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        async move {
            block_in_place(|| question(&Question { archive: self, scope })).map_err(|error| self.unusable(&error))
        }
        .boxed()
    }

    fn unusable(&self, error: &QuestionError) -> StoreError {
        let check = match error {
            QuestionError::Holes(_) | QuestionError::Time(_) | QuestionError::Folder { .. } => String::new(),
            _ => format!(" (tickflux archive --check {} looks at every file)", self.root.display()),
        };
        StoreError::Unusable(format!("{error}{check}"))
    }
}

impl Store for Archive {
    fn describe(&self) -> String {
        format!("archive:{}", self.root.display())
    }

    fn location(&self) -> String {
        let absolute = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        format!("archive:{}", absolute.display())
    }

    fn slots(&self) -> usize {
        1
    }

    fn batch_max(&self) -> usize {
        1
    }

    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>> {
        std::future::ready(Err(StoreError::Settings(TAKES_NONE.to_owned()))).boxed()
    }

    fn write<'a>(&'a self, _: &'a [Trade], _: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
        std::future::ready(Err(WriteError::Held { why: TAKES_NONE.to_owned() })).boxed()
    }

    /// It keeps what it has.
    fn expire(&self, _: TradeTime) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Noted while the questions read: the span says nothing more.
    fn passed_over<'a>(&'a self, _: &'a Scope, _: TradeTime, _: Option<TradeTime>) -> BoxFuture<'a, Option<String>> {
        let paths = self.without_manifest.lock().unwrap_or_else(PoisonError::into_inner);
        let words = paths.first().map(|first| {
            let (count, first) = (paths.len(), first.display());
            format!("{count} files without a manifest were left out, such as {first}: they are being sealed, or a run of tickflux archive was killed and its next one mends it")
        });
        std::future::ready(words).boxed()
    }

    fn latest<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        self.ask(|question| question.latest(), scope)
    }

    fn price_at<'a>(
        &'a self,
        scope: &'a Scope,
        time: TradeTime,
        as_of: bool,
    ) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        self.ask(move |question| question.price_at(time, as_of), scope)
    }

    fn gaps<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Vec<Gaps>, StoreError>> {
        self.ask(move |question| question.gaps(since, until), scope)
    }

    fn known_holes<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Vec<KnownHole>, StoreError>> {
        self.ask(move |question| question.known_holes(since, until), scope)
    }

    fn unsealed<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        self.ask(move |question| question.unsealed(since, until), scope)
    }

    fn high_low<'a>(&'a self, scope: &'a Scope, time: TradeTime) -> BoxFuture<'a, Result<Vec<HighLow>, StoreError>> {
        let now = (self.clock)();
        self.ask(move |question| question.high_low(time, now), scope)
    }

    fn candles<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        every: Interval,
    ) -> BoxFuture<'a, Result<Vec<Candle>, StoreError>> {
        self.ask(move |question| question.candles(since, until, every), scope)
    }

    fn minutes<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<Minute>, StoreError>> {
        self.ask(move |question| question.minutes(since, until), scope)
    }

    fn trades<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        on_trade: OnTrade<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let question = Question { archive: self, scope };
            question.trades(since, until, on_trade).await.map_err(|error| self.unusable(&error))
        }
        .boxed()
    }
}
