//! The outbox as a model: transactions on a disk, of which a power loss takes the last ones that were not synced.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tickflux::capture::input::{DiskDone, DiskWork, Loaded};
use tickflux::outbox::{Changes, Ended, Kept, Known, Left, Other, OutboxFound, Rows};
use tickflux::store::influx::line::encode_all;
use tickflux::trade::{Exchange, HoleState, IdRange, IdRanges, Symbol, Trade, TradeIds, TradeTime};

use crate::file::{Real, difference};

/// Transactions between two syncs.
const SYNC_EVERY: usize = 400;
pub const BYTES_A_TRADE: u64 = 30;

#[derive(Debug, Clone)]
struct Row {
    trades: Arc<Vec<Trade>>,
    ids: TradeIds,
}

impl Row {
    fn bytes(&self) -> u64 {
        self.trades.len() as u64 * BYTES_A_TRADE
    }
}

#[derive(Debug, Clone)]
struct Transaction {
    row: Option<(i64, Row)>,
    changes: Changes,
    time: TradeTime,
}

#[derive(Debug, Clone, Default)]
struct State {
    rows: BTreeMap<i64, Row>,
    stored: TradeIds,
    ended: Vec<(Ended, TradeTime)>,
    restarted: BTreeMap<Symbol, TradeTime>,
    store_id: Option<String>,
}

/// One capture's outbox.
#[derive(Debug)]
pub struct Disk {
    exchange: Exchange,
    synced: State,
    unsynced: Vec<Transaction>,
    state: State,
    next_row: i64,
    /// The file was damaged, and is found so at the next touch.
    pub is_damaged: bool,
    /// The real outbox, which does the work where there is one; the model says what it should have done.
    real: Option<Real>,
}

/// What of the disk does not work now.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    pub refuses: bool,
    pub unreadable: bool,
}

impl State {
    fn apply(&mut self, transaction: &Transaction) {
        let Transaction { row, changes, time } = transaction;
        for rows in &changes.removed {
            let removed: Vec<_> = self.rows.range(rows.first..=rows.last).map(|(number, _)| *number).collect();
            removed.iter().for_each(|number| drop(self.rows.remove(number)));
        }
        for (symbol, time) in &changes.restarted {
            self.stored.forget(symbol);
            self.ended.retain(|(ended, _)| ended.symbol != *symbol);
            self.restarted.insert(symbol.clone(), *time);
        }
        for (symbol, range, newest) in changes.lost.ranges() {
            self.stored.remove_range(symbol, range);
            self.unend(symbol, range);
            self.ended.push((Ended { symbol: symbol.clone(), range, state: HoleState::Open }, newest));
        }
        for ended in &changes.ended {
            self.unend(&ended.symbol, ended.range);
            self.ended.push((ended.clone(), *time));
        }
        for (symbol, range, newest) in changes.stored.ranges() {
            self.stored.add(symbol, range, newest);
            self.unend(symbol, range);
        }
        if let Some(bound) = changes.forget_before {
            self.stored.forget_before(bound);
            self.ended.retain(|(_, since)| *since >= bound);
            self.restarted.retain(|_, time| *time >= bound);
        }
        if changes.store_id.is_some() {
            self.store_id.clone_from(&changes.store_id);
        }
        if let Some((number, row)) = row {
            self.rows.insert(*number, row.clone());
        }
    }

    fn unend(&mut self, symbol: &Symbol, range: IdRange) {
        let (ours, others): (Vec<_>, Vec<_>) = self.ended.drain(..).partition(|(ended, _)| ended.symbol == *symbol);
        self.ended = others;
        for (ended, since) in ours {
            let mut left = IdRanges::from(ended.range);
            left.remove(range);
            self.ended.extend(left.iter().map(|range| (Ended { range, ..ended.clone() }, since)));
        }
    }
}

impl Disk {
    /// The model alone, or the real outbox on a file beside it.
    pub fn new(exchange: Exchange, is_real: bool) -> Self {
        let real = is_real.then(|| Real::new(exchange.clone()));
        let (synced, state, unsynced) = (State::default(), State::default(), Vec::new());
        Self { exchange, synced, unsynced, state, next_row: 1, is_damaged: false, real }
    }

    /// Opens it for a store with this id. `Err` if the real one is not as the model says.
    pub fn open(&mut self, store_id: Option<&String>, batch_max: usize) -> Result<OutboxFound, String> {
        let model = self.open_model(store_id, batch_max);
        let Some(real) = &mut self.real else { return Ok(model) };
        let found = real.open(store_id, batch_max)?;
        match difference(&found, &model) {
            Some(difference) => Err(format!("the outbox's file is not what it should be: {difference}")),
            None => Ok(found),
        }
    }

    fn open_model(&mut self, store_id: Option<&String>, batch_max: usize) -> OutboxFound {
        let set_aside = std::mem::take(&mut self.is_damaged).then(|| {
            (self.synced, self.state, self.unsynced) = (State::default(), State::default(), Vec::new());
            (PathBuf::from("aside.db"), "damaged".to_owned())
        });
        let (known, found) = (self.state.store_id.as_ref(), store_id);
        let changed = known.zip(found).filter(|(known, found)| known != found);
        let changed = changed.map(|(known, found)| format!("it is {found}, and the ledger is of {known}"));
        let mut left: Vec<(Left, Rows)> = Vec::new();
        for (number, row) in &self.state.rows {
            let mut ids = TradeIds::default();
            for (symbol, range, newest) in row.ids.ranges() {
                if self.state.restarted.get(symbol).is_none_or(|since| newest >= *since) {
                    ids.add(symbol, range, newest);
                }
            }
            match left.last_mut() {
                Some((last, rows)) if last.trades + row.trades.len() <= batch_max => {
                    rows.last = *number;
                    last.trades += row.trades.len();
                    last.bytes += row.bytes();
                    last.ids.merge(&ids);
                }
                _ => {
                    let left_row = Left { trades: row.trades.len(), bytes: row.bytes(), ids };
                    left.push((left_row, Rows { first: *number, last: *number }));
                }
            }
        }
        self.next_row = self.state.rows.keys().next_back().map_or(1, |last| last + 1);
        let (open, ended): (Vec<_>, Vec<_>) =
            self.state.ended.iter().cloned().partition(|(ended, _)| ended.state == HoleState::Open);
        let mut lost = TradeIds::default();
        open.iter().for_each(|(ended, newest)| lost.add(&ended.symbol, ended.range, *newest));
        let ended = ended.into_iter().map(|(ended, _)| ended).collect();
        let known = Known { stored: self.state.stored.clone(), lost, ended };
        // Another store's outbox lies beside it where this one's bucket was made anew.
        let other = Other { path: PathBuf::from("other.db"), owner: "another bucket".to_owned(), trades: 7 };
        let others = changed.iter().map(|_| other.clone()).collect();
        OutboxFound { left, known, set_aside, changed, others }
    }

    /// The trades of the rows that are removed with these changes.
    pub fn trades_of(&self, removed: &[Rows]) -> impl Iterator<Item = &Trade> {
        let rows = removed.iter().flat_map(|rows| self.state.rows.range(rows.first..=rows.last));
        rows.flat_map(|(_, row)| row.trades.iter())
    }

    /// How many it holds.
    pub fn trades(&self) -> u64 {
        self.state.rows.values().map(|row| row.trades.len() as u64).sum()
    }

    /// The process is gone.
    pub fn kill(&mut self) {
        self.real.iter_mut().for_each(Real::kill);
    }

    /// One transaction. `Err` if the real outbox does not do what the model says.
    pub fn work(&mut self, work: DiskWork, trouble: Trouble) -> Result<DiskDone, String> {
        let Some(real) = &mut self.real else { return Ok(self.work_model(work, trouble)) };
        let DiskWork { batch, changes, load, time } = &work;
        let done = real.work(DiskWork { batch: batch.clone(), changes: changes.clone(), load: *load, time: *time });
        let model = self.work_model(work, trouble);
        let rows =
            |done: &DiskDone| done.batch.as_ref().map(|(lines, kept)| (lines.clone(), kept.map(|kept| kept.rows)));
        let loaded = |done: &DiskDone| done.loaded.as_ref().map(|loaded| format!("{loaded:?}"));
        if rows(&done) != rows(&model) || loaded(&done) != loaded(&model) || done.error != model.error {
            return Err(format!("the outbox's file did not do what it should: {done:?}, and the model {model:?}"));
        }
        Ok(done)
    }

    fn work_model(&mut self, work: DiskWork, trouble: Trouble) -> DiskDone {
        let DiskWork { batch, changes, load, time } = work;
        let encode = |trades: &[Trade]| encode_all(trades, &self.exchange);
        let lines = batch.as_ref().map(|(trades, _)| encode(trades));
        if self.is_damaged {
            self.is_damaged = false;
            (self.synced, self.state, self.unsynced) = (State::default(), State::default(), Vec::new());
            let error = Some("malformed".to_owned());
            let batch = lines.map(|lines| (lines, None));
            let set_aside = Some(PathBuf::from("aside.db"));
            let loaded = load.map(|_| Loaded::Failed);
            return DiskDone { batch, undone: Some(changes), error, set_aside, loaded };
        }
        if trouble.refuses {
            let batch = lines.map(|lines| (lines, None));
            let loaded = load.map(|rows| self.load(rows, trouble));
            return DiskDone { batch, loaded, undone: Some(changes), error: Some("full".to_owned()), set_aside: None };
        }
        let row = batch.map(|(trades, ids)| (self.next_row, Row { trades, ids }));
        let kept =
            row.as_ref().map(|(number, row)| Kept { rows: Rows { first: *number, last: *number }, bytes: row.bytes() });
        self.next_row += i64::from(kept.is_some());
        let transaction = Transaction { row, changes, time };
        self.state.apply(&transaction);
        self.unsynced.push(transaction);
        if self.unsynced.len() >= SYNC_EVERY {
            self.sync();
        }
        let loaded = load.map(|rows| self.load(rows, trouble));
        let error = matches!(loaded, Some(Loaded::Failed)).then(|| "disk I/O error".to_owned());
        DiskDone { batch: lines.map(|lines| (lines, kept)), loaded, undone: None, error, set_aside: None }
    }

    fn load(&self, rows: Rows, trouble: Trouble) -> Loaded {
        if trouble.unreadable {
            return if rows.first % 2 == 0 { Loaded::Changed } else { Loaded::Failed };
        }
        let found = self.state.rows.range(rows.first..=rows.last);
        let trades: Vec<_> = found.flat_map(|(_, row)| row.trades.iter().cloned()).collect();
        Loaded::Lines(encode_all(&trades, &self.exchange))
    }

    fn sync(&mut self) {
        self.unsynced.drain(..).for_each(|transaction| self.synced.apply(&transaction));
    }

    /// The power fails: of what was not synced some is kept, in order.
    pub fn lose_power(&mut self, rng: &mut fastrand::Rng) {
        self.unsynced.truncate(rng.usize(0..=self.unsynced.len()));
        self.sync();
        self.state = self.synced.clone();
    }

    pub fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.state.ended.iter().map(|(ended, _)| ended)
    }
}
