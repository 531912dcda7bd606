//! An archive that can be written into: by way of a store, out of which each hour is sealed again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tickflux::archive::folder::Folder;
use tickflux::archive::manifest::{Hole, Manifest, Minutes, Replaced};
use tickflux::archive::plan::{End, Facts};
use tickflux::archive::seal::seal;
use tickflux::archive::{Hour, Series};
use tickflux::store::archive::Archive;
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{
    Attempt, Candle, Checked, Gaps, HighLow, Interval, Minute, OnTrade, Scope, Store, StoreError, StoredTrade,
    WriteError, Written,
};
use tickflux::trade::{Exchange, HoleState, Trade, TradeTime};

use super::{exchange, now};

/// What answers is the archive alone.
#[derive(Debug)]
pub struct Archived {
    exchange: Exchange,
    store: Sqlite,
    root: PathBuf,
    archive: Archive,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl Archived {
    /// An archive in `folder` for trades of an exchange, which others may share.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self::at(folder, name, now)
    }

    /// The same at another time.
    pub fn at(folder: &Path, name: &str, clock: fn() -> TradeTime) -> Self {
        let root = folder.join("archive");
        drop(Folder::open_to_seal(&root).unwrap());
        let store = Sqlite::create(&folder.join("trades.db"), exchange(name), clock).unwrap();
        Self { exchange: exchange(name), store, archive: Archive::open(&root, clock).unwrap(), root }
    }

    /// Seals every hour of these trades as the store has it, whether it is over or not.
    async fn seal(&self, trades: &[Trade]) {
        let folder = Folder::open_to_seal(&self.root).unwrap();
        let hours: BTreeSet<(Series, Hour)> =
            trades.iter().map(|trade| ((self.exchange.clone(), trade.symbol.clone()), Hour::of(trade.time))).collect();
        for (series, hour) in hours {
            let scope = Scope { symbols: vec![series.1.clone()], exchange: Some(series.0.clone()) };
            let until = hour.next().unwrap().begin();
            let gaps = self.store.gaps(&scope, hour.begin(), Some(until)).await.unwrap();
            let holes = gaps.iter().flat_map(|gaps| &gaps.holes);
            let hole =
                |ids: &tickflux::trade::IdRange| Hole { from_id: ids.first, to_id: ids.last, state: HoleState::Open };
            let facts = Facts {
                trades: gaps.iter().map(|gaps| gaps.trades).sum(),
                holes: holes.map(hole).collect(),
                end: End::Proven,
            };
            // All of it may be past the retention.
            if facts.trades > 0 {
                let before = Manifest::read(&folder.manifest(&series, hour)).unwrap();
                let replaces = before.map(|it| Replaced { revision: it.revision, sha256: it.sha256 });
                let revision = replaces.as_ref().map_or(1, |replaced| replaced.revision + 1);
                seal(&folder, &self.store, &series, hour, &facts, (revision, replaces, Minutes::default()))
                    .await
                    .unwrap();
            }
        }
    }
}

impl Store for Archived {
    fn describe(&self) -> String {
        self.archive.describe()
    }

    fn location(&self) -> String {
        self.archive.location()
    }

    fn slots(&self) -> usize {
        self.archive.slots()
    }

    fn batch_max(&self) -> usize {
        self.archive.batch_max()
    }

    fn check(&self) -> Answer<'_, Checked> {
        self.archive.check()
    }

    fn write<'a>(&'a self, trades: &'a [Trade], attempt: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
        async move {
            let written = self.store.write(trades, attempt).await?;
            self.seal(trades).await;
            Ok(written)
        }
        .boxed()
    }

    fn passed_over<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Option<String>> {
        self.archive.passed_over(scope, since, until)
    }

    fn expire(&self, now: TradeTime) -> Answer<'_, ()> {
        self.archive.expire(now)
    }

    fn latest<'a>(&'a self, scope: &'a Scope) -> Answer<'a, Vec<StoredTrade>> {
        self.archive.latest(scope)
    }

    fn price_at<'a>(&'a self, scope: &'a Scope, time: TradeTime, as_of: bool) -> Answer<'a, Vec<StoredTrade>> {
        self.archive.price_at(scope, time, as_of)
    }

    fn gaps<'a>(&'a self, scope: &'a Scope, since: TradeTime, until: Option<TradeTime>) -> Answer<'a, Vec<Gaps>> {
        self.archive.gaps(scope, since, until)
    }

    fn high_low<'a>(&'a self, scope: &'a Scope, time: TradeTime) -> Answer<'a, Vec<HighLow>> {
        self.archive.high_low(scope, time)
    }

    fn candles<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        every: Interval,
    ) -> Answer<'a, Vec<Candle>> {
        self.archive.candles(scope, since, until, every)
    }

    fn minutes<'a>(&'a self, scope: &'a Scope, since: TradeTime, until: TradeTime) -> Answer<'a, Vec<Minute>> {
        self.archive.minutes(scope, since, until)
    }

    fn trades<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        on_trade: OnTrade<'a>,
    ) -> Answer<'a, ()> {
        self.archive.trades(scope, since, until, on_trade)
    }
}
