//! The real outbox, SQLite on a file, under a simulated capture: a process is killed between any two of its operations.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tickflux::capture::input::{DiskDone, DiskWork};
use tickflux::outbox::{Ended, Known, OutboxFile, OutboxFound, Target, target};
use tickflux::shell::disk;
use tickflux::store::influx::line::encode_all;
use tickflux::store::{
    AnyStore, Attempt, Candle, Checked, Gaps, HighLow, Interval, LineStore, Lines, Minute, OnTrade, Scope, Store,
    StoreError, StoredTrade, WriteError, Written,
};
use tickflux::trade::{Exchange, HoleState, IdRanges, Symbol, Trade, TradeIds, TradeTime};

/// What the shell's disk work wants of a store: how trades are encoded. It is asked nothing else.
#[derive(Debug)]
struct Encoder(Exchange);

#[derive(Debug)]
pub struct Real {
    folder: TempDir,
    file: Option<OutboxFile>,
    store: AnyStore,
    exchange: Exchange,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl LineStore for Encoder {
    fn encode(&self, trades: &[Trade]) -> Lines {
        encode_all(trades, &self.0)
    }

    fn write_lines<'a>(&'a self, _: &'a Lines, _: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
        unreachable!("the world writes")
    }
}

impl Store for Encoder {
    fn describe(&self) -> String {
        "simulated".to_owned()
    }

    fn location(&self) -> String {
        "simulated".to_owned()
    }

    fn lines(&self) -> Option<&dyn LineStore> {
        Some(self)
    }

    fn slots(&self) -> usize {
        2
    }

    fn batch_max(&self) -> usize {
        10_000
    }

    fn check(&self) -> Answer<'_, Checked> {
        unreachable!("the world answers")
    }

    fn write<'a>(&'a self, _: &'a [Trade], _: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
        unreachable!("the world writes")
    }

    fn passed_over<'a>(&'a self, _: &'a Scope, _: TradeTime, _: Option<TradeTime>) -> BoxFuture<'a, Option<String>> {
        unreachable!("the world answers")
    }

    fn expire(&self, _: TradeTime) -> Answer<'_, ()> {
        unreachable!("the world expires")
    }

    fn latest<'a>(&'a self, _: &'a Scope) -> Answer<'a, Vec<StoredTrade>> {
        unreachable!("the world answers")
    }

    fn price_at<'a>(&'a self, _: &'a Scope, _: TradeTime, _: bool) -> Answer<'a, Vec<StoredTrade>> {
        unreachable!("the world answers")
    }

    fn gaps<'a>(&'a self, _: &'a Scope, _: TradeTime, _: Option<TradeTime>) -> Answer<'a, Vec<Gaps>> {
        unreachable!("the world answers")
    }

    fn high_low<'a>(&'a self, _: &'a Scope, _: TradeTime) -> Answer<'a, Vec<HighLow>> {
        unreachable!("the world answers")
    }

    fn candles<'a>(&'a self, _: &'a Scope, _: TradeTime, _: Option<TradeTime>, _: Interval) -> Answer<'a, Vec<Candle>> {
        unreachable!("the world answers")
    }

    fn minutes<'a>(&'a self, _: &'a Scope, _: TradeTime, _: TradeTime) -> Answer<'a, Vec<Minute>> {
        unreachable!("the world answers")
    }

    fn trades<'a>(&'a self, _: &'a Scope, _: TradeTime, _: Option<TradeTime>, _: OnTrade<'a>) -> Answer<'a, ()> {
        unreachable!("the world answers")
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

impl Real {
    pub fn new(exchange: Exchange) -> Self {
        Self { folder: folder(), file: None, store: Arc::new(Encoder(exchange.clone())), exchange }
    }

    /// The process is killed: the file is as it was that moment, with its log beside it.
    pub fn kill(&mut self) {
        let Some(file) = self.file.take() else { return };
        let copy = folder();
        for entry in fs::read_dir(self.folder.path()).expect("the folder is there") {
            let entry = entry.expect("the folder is there");
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a file can be copied");
        }
        // Closing it would tidy up, as no killed process does.
        drop(file);
        self.folder = copy;
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// If the outbox cannot be opened.
    pub fn open(&mut self, store_id: Option<&String>, batch_max: usize) -> Result<OutboxFound, String> {
        self.kill();
        let target = Target { store_id: store_id.cloned(), ..Target::at(&self.store, &self.exchange) };
        let opened = target::open(self.folder.path(), &target, batch_max).map_err(|error| error.to_string())?;
        self.file = Some(opened.file);
        Ok(opened.found)
    }

    pub fn work(&mut self, work: DiskWork) -> DiskDone {
        disk::work(self.file.as_mut().expect("it is open"), work, &self.store)
    }
}

/// How two outboxes differ, if they do.
pub fn difference(real: &OutboxFound, model: &OutboxFound) -> Option<String> {
    let left = |found: &OutboxFound| -> Vec<_> {
        found.left.iter().map(|(left, rows)| (left.trades, *rows, ids(&left.ids))).collect()
    };
    if left(real) != left(model) {
        return Some(format!("left: {:?}, and the model {:?}", real.left, model.left));
    }
    let (real, model) = (books(&real.known), books(&model.known));
    (real != model).then(|| format!("ledger: {real:?}, and the model {model:?}"))
}

fn ids(ids: &TradeIds) -> BTreeMap<Symbol, IdRanges> {
    let mut by_symbol: BTreeMap<Symbol, IdRanges> = BTreeMap::new();
    for (symbol, range, _) in ids.ranges() {
        by_symbol.entry(symbol.clone()).or_default().insert(range);
    }
    by_symbol
}

type Books = [BTreeMap<(Symbol, Option<HoleState>), IdRanges>; 3];

fn books(known: &Known) -> Books {
    let plain = |of: &TradeIds| ids(of).into_iter().map(|(symbol, ids)| ((symbol, None), ids)).collect();
    let mut ended: BTreeMap<_, IdRanges> = BTreeMap::new();
    for Ended { symbol, range, state } in &known.ended {
        ended.entry((symbol.clone(), Some(*state))).or_default().insert(*range);
    }
    [plain(&known.stored), plain(&known.lost), ended]
}
