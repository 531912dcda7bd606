//! What keeps trades and answers for them.
//!
//! Two stores, one trait: [`sqlite`], embedded and the default, and
//! [`influx`]. Both keep [`RETENTION`] and answer the same questions alike; so does an [`mod@archive`], which takes no trades.

pub mod archive;
pub mod candles;
pub mod extremes;
pub mod gaps;
pub mod influx;
pub mod lines;
pub mod minute_point;
pub mod minutes;
pub mod sqlite;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use thiserror::Error;

pub use self::candles::{Candle, Interval};
pub use self::gaps::{Gaps, KnownHole};
pub use self::lines::{LineStore, Lines};
pub use self::minute_point::{KeptMinute, MinutePoint};
pub use self::minutes::Minute;
use crate::text::Excerpt;
use crate::trade::{Exchange, Symbol, Trade, TradeId, TradeIds, TradeTime};

/// How long a trade is kept and answered for.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// [`RETENTION`] in milliseconds, to reckon with trade times.
pub const RETENTION_MS: i64 = 24 * 3600 * 1000;

/// How far ahead of the clock of whoever asks a trade may be to answer: the exchange's clock may be ahead of it.
pub const AHEAD_MS: i64 = 48 * 3600 * 1000;

/// What may answer at a moment, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// No older trade answers.
    pub oldest: i64,
    /// No older trade says where a hole begins: whole hours are dropped, so what is past the retention is complete down
    /// to the begin of the hour in which the retention begins.
    pub oldest_neighbour: i64,
    /// Trades from here on do not answer.
    pub end: i64,
}

impl Bounds {
    /// The bounds at `now`.
    pub fn at(now: TradeTime) -> Self {
        let oldest = now.ms() - RETENTION_MS;
        Self { oldest, oldest_neighbour: oldest - oldest.rem_euclid(3_600_000), end: now.ms() + AHEAD_MS }
    }

    /// What of the time from `since` up to `until` may answer, in milliseconds since the epoch; nothing if it ends before it
    /// begins.
    pub fn within(&self, since: TradeTime, until: Option<TradeTime>) -> (i64, i64) {
        (since.ms().max(self.oldest), until.map_or(self.end, |until| until.ms().min(self.end)))
    }
}

/// A trade as a store gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTrade {
    /// The exchange it was captured from.
    pub exchange: Exchange,
    /// The trade.
    pub trade: Trade,
}

impl StoredTrade {
    /// Of the trade before `time_ms` and the one from there on the nearer one; of two as near, the earlier.
    fn nearest(time_ms: i64, before: Option<Self>, after: Option<Self>) -> Option<Self> {
        match (before, after) {
            (Some(before), Some(after)) => {
                let before_is_nearer = time_ms - before.trade.time.ms() <= after.trade.time.ms() - time_ms;
                Some(if before_is_nearer { before } else { after })
            }
            (before, after) => before.or(after),
        }
    }
}

/// The extremes of one minute of one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighLow {
    /// The start of the minute.
    pub minute: TradeTime,
    /// How many trades it has.
    pub trades: u64,
    /// Ids that are missing in it ([`gaps`]).
    pub missing: u64,
    /// Whether the minute is still running.
    pub open: bool,
    /// The trade with the highest price; of several the one with the lowest id.
    pub high: StoredTrade,
    /// The trade with the lowest price; of several the one with the lowest id.
    pub low: StoredTrade,
}

/// Which series a question is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// These symbols; every symbol if empty.
    pub symbols: Vec<Symbol>,
    /// This exchange; every exchange if none.
    pub exchange: Option<Exchange>,
}

impl Scope {
    /// One series.
    pub fn of((exchange, symbol): (&Exchange, &Symbol)) -> Self {
        Self { symbols: vec![symbol.clone()], exchange: Some(exchange.clone()) }
    }
}

/// One try to write a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempt {
    /// Tries with this same batch before, from 0.
    pub number: u32,
    /// The exchange's time, if it is known: it judges what is older than the retention, never the host's clock alone.
    pub exchange_time: Option<TradeTime>,
}

/// What became of a batch that was written: what stands in neither list is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Trades older than the retention, left out.
    pub expired: TradeIds,
    /// Trades that the store refuses in its own words.
    pub refused: Vec<RefusedLine>,
}

/// A line that the store refuses, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Whose trade it is.
    pub symbol: Symbol,
    /// Which.
    pub id: TradeId,
    /// When it happened.
    pub time: TradeTime,
    /// The line, as it was sent.
    pub line: String,
    /// The store's words.
    pub why: Excerpt,
}

/// What a store says of itself before anything is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What to warn of.
    pub warnings: Vec<String>,
    /// Why it takes nothing now, if it may do so later.
    pub away: Option<String>,
    /// The store's own name for what it keeps, such as a bucket's id; `None` if it does not tell.
    pub id: Option<String>,
}

/// Why a batch is not stored yet. Whatever the reason, the batch is kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// It may work the next time.
    #[error("{why}")]
    Transient {
        /// What happened.
        why: String,
        /// The store's own wish, from `Retry-After`.
        wait: Option<Duration>,
    },
    /// It works once someone has mended the store or the rights.
    #[error("{why}")]
    Held {
        /// What happened and what to do.
        why: String,
    },
}

/// Why a store cannot be used or did not answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The settings cannot work: another URL, token, bucket or path is needed.
    #[error("{0}")]
    Settings(String),
    /// The store cannot be reached or does not work.
    #[error("{0}")]
    Unusable(String),
}

/// What keeps trades.
///
/// Object safe, so that capture and commands do not care which it is.
pub trait Store: Send + Sync + fmt::Debug {
    /// Which store this is, in words for people; never with a secret in it.
    fn describe(&self) -> String;

    /// Where it is, spelled in one way whatever the settings' spelling is.
    fn location(&self) -> String;

    /// The store as one that takes encoded trades, which an outbox can keep; `None`
    /// for a store that is as near and as durable as an outbox.
    fn lines(&self) -> Option<&dyn LineStore> {
        None
    }

    /// How many writes it takes at a time.
    fn slots(&self) -> usize;

    /// Trades in one write, at most.
    fn batch_max(&self) -> usize;

    /// Whether trades can be written, and what the store says of itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] for a definite no, [`StoreError::Unusable`] if it cannot be reached or written now.
    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>>;

    /// The store's own id, if it has one and tells it.
    fn id(&self) -> BoxFuture<'_, Option<String>> {
        std::future::ready(None).boxed()
    }

    /// Tries once to write trades; writing them again changes nothing (P3).
    ///
    /// # Errors
    ///
    /// [`WriteError`] says whether to try again soon or to wait for someone.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was written is written, and may be written again.
    fn write<'a>(&'a self, trades: &'a [Trade], attempt: Attempt) -> BoxFuture<'a, Result<Written, WriteError>>;

    /// What a question about the time from `since` up to `until` has passed over, in words for people: points or rows that
    /// are no trades. To be awaited after the question, or beside it.
    fn passed_over<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Option<String>>;

    /// Drops what is older than the retention at `now`, the exchange's time, where the store does not do so itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be changed.
    fn expire(&self, now: TradeTime) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The newest trade of each series: the largest (T, id).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn latest<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>>;

    /// The trade nearest to `time`: before it the highest id of its
    /// millisecond, at or after it the lowest; of two as near, the earlier.
    /// With `as_of`: the largest (T, id) at or before `time`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn price_at<'a>(
        &'a self,
        scope: &'a Scope,
        time: TradeTime,
        as_of: bool,
    ) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>>;

    /// Which ids are missing among the trades since `since` and before `until`, within the retention: an entry for each
    /// count of each series, a series' oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn gaps<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Vec<Gaps>, StoreError>>;

    /// What it knows itself of ids that will never come, of the time from `since` up to `until`: an archive's manifests say so
    /// of theirs, of a store the ledger does.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    fn known_holes<'a>(
        &'a self,
        _scope: &'a Scope,
        _since: TradeTime,
        _until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Vec<KnownHole>, StoreError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    /// What it cannot know of the time from `since` up to `until`, in words for people: an archive the hours that are not
    /// sealed. Nothing of a store, whose trades are those that were captured.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    fn unsealed<'a>(
        &'a self,
        _scope: &'a Scope,
        _since: TradeTime,
        _until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// The extremes of the minute that holds `time`; nothing for a series without a trade in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn high_low<'a>(&'a self, scope: &'a Scope, time: TradeTime) -> BoxFuture<'a, Result<Vec<HighLow>, StoreError>>;

    /// The candles of each series from the one that holds `since` to the last one that begins before `until`, within the
    /// retention; none without a trade.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn candles<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        every: Interval,
    ) -> BoxFuture<'a, Result<Vec<Candle>, StoreError>>;

    /// What the trades of each minute from `since` up to `until` add up to, within the retention, in the order of time in
    /// each series; none without a trade. Both times are begins of minutes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn minutes<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<Minute>, StoreError>>;

    /// The exact account of each minute of one series from `since` up to `until`, both begins of minutes, by the quickest way to read
    /// every trade. Where there also is what is no trade, it may take that for one or leave trades out: what agrees with the
    /// exchange does, what does not is to be added up again with [`minutes::add_up`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn exact_minutes<'a>(
        &'a self,
        series: (&'a Exchange, &'a Symbol),
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<Minute>, StoreError>> {
        async move { self.minutes(&Scope::of(series), since, until).await }.boxed()
    }

    /// Hands over each trade with `since <= T < until`, within the retention, series after series by (exchange, symbol), in
    /// a series by (T, id), until `on_trade` breaks.
    ///
    /// It is read in parts, and nothing is held in the store while `on_trade` has them, which may block. What is written
    /// meanwhile may be among them or not.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer; trades may have been handed over before.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    fn trades<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        on_trade: OnTrade<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Keeps what was found of minutes; of the same minute what was kept last. Those past the retention are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not take them, or is one that takes none.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was kept is kept, and may be kept again.
    fn keep_minutes<'a>(&'a self, _points: &'a [MinutePoint]) -> BoxFuture<'a, Result<(), StoreError>> {
        let why = format!("{} takes no verified minutes", self.describe());
        std::future::ready(Err(StoreError::Settings(why))).boxed()
    }

    /// Which minutes from `since` up to `until` are kept, in the order of time in each series, within the retention.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store does not answer.
    fn kept_minutes<'a>(
        &'a self,
        _scope: &'a Scope,
        _since: TradeTime,
        _until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<KeptMinute>, StoreError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}

/// What takes trades one by one, and says whether it wants more.
pub type OnTrade<'a> = &'a mut (dyn FnMut(StoredTrade) -> ControlFlow<()> + Send);

/// A store, whichever it is.
pub type AnyStore = Arc<dyn Store>;
