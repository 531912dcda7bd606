//! What each part of the way of a trade costs, in time a trade.
//!
//! `cargo bench --bench parts` prints items a second: a trade is an item.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark may fail so")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use flate2::Compression;
use flate2::write::GzEncoder;
use support::{exchange, now};
use tickflux::binance::message::{Message, SymbolTable, decode};
use tickflux::capture::sequencer::Sequencer;
use tickflux::outbox::{Changes, Target, Work, target};
use tickflux::practice::market::Market;
use tickflux::store::influx::{flux_csv, line};
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Scope, Store};
use tickflux::trade::{Symbol, Trade, TradeId, TradeIds, TradeTime};

/// Trades in one run of a part.
const TRADES: usize = 10_000;

fn main() {
    divan::main();
}

fn trades() -> Vec<Trade> {
    trades_of(&["BTCUSDT", "ETHUSDT"].map(|name| name.parse().unwrap()))
}

fn trades_of(symbols: &[Symbol]) -> Vec<Trade> {
    let start = TradeTime::from_ms(now().ms() - 10_000).unwrap();
    let prints = Market::new(symbols, 7, 2_000.0, start).until(now()).unwrap();
    prints.into_iter().map(|print| print.trade).take(TRADES).collect()
}

fn messages() -> Vec<String> {
    trades().iter().map(support::practice::message).collect()
}

fn table() -> SymbolTable {
    ["BTCUSDT", "ETHUSDT"].iter().map(|name| name.parse::<Symbol>().unwrap()).collect()
}

#[divan::bench]
fn message_to_trade(bencher: Bencher<'_, '_>) {
    let (messages, table) = (messages(), table());
    bencher
        .counter(ItemsCount::new(messages.len()))
        .bench(|| messages.iter().filter(|text| matches!(decode(text, &table), Ok(Message::Trade(_)))).count());
}

#[divan::bench]
fn sequencing(bencher: Bencher<'_, '_>) {
    let (trades, now) = (trades(), Instant::now());
    bencher.counter(ItemsCount::new(trades.len())).with_inputs(Sequencer::default).bench_refs(|sequencer| {
        trades.iter().for_each(|trade| _ = divan::black_box(sequencer.take(trade, None, now)));
    });
}

#[divan::bench]
fn trade_to_line(bencher: Bencher<'_, '_>) {
    let (trades, exchange) = (trades(), exchange("binance"));
    bencher.counter(ItemsCount::new(trades.len())).bench(|| line::encode_all(&trades, &exchange));
}

#[divan::bench]
fn gzip_of_lines(bencher: Bencher<'_, '_>) {
    let trades = trades();
    let lines = line::encode_all(&trades, &exchange("binance"));
    bencher.counter(ItemsCount::new(trades.len())).bench(|| {
        let mut encoder = GzEncoder::new(Vec::with_capacity(lines.bytes.len() / 4), Compression::fast());
        encoder.write_all(&lines.bytes).unwrap();
        encoder.finish().unwrap()
    });
}

/// Batches of so many trades: appended, and removed with the append of the next.
#[divan::bench(args = [1, 10, 100, 1_000, 10_000])]
fn outbox_append_and_remove(bencher: Bencher<'_, '_>, batch: usize) {
    let (trades, folder) = (trades(), tempfile::tempdir().unwrap());
    let target =
        Target { location: "bench".to_owned(), store_id: None, exchange: exchange("binance"), described: vec![] };
    let mut file = target::open(folder.path(), &target, 10_000).unwrap().file;
    let ids: Vec<_> = trades.chunks(batch).map(TradeIds::of).collect();
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        let mut changes = Changes::default();
        for (trades, ids) in trades.chunks(batch).zip(&ids).take(2) {
            let changes_due = std::mem::take(&mut changes);
            let done = file.work(Work { batch: Some((trades, ids)), changes: changes_due, load: None }, now());
            done.kept.into_iter().for_each(|kept| changes.remove(kept.rows));
            changes.store(ids);
        }
        file.work(Work { changes, ..Work::default() }, now())
    });
}

/// A new store, which lasts as long as its folder.
fn sqlite() -> (tempfile::TempDir, tokio::runtime::Runtime, Sqlite) {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), tokio::runtime::Runtime::new().unwrap());
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    (folder, runtime, store)
}

/// Makes them later, as a stream is.
fn move_on(trades: &mut [Trade]) {
    for trade in trades {
        trade.id = TradeId::new(trade.id.get() + TRADES as u64).unwrap();
        trade.time = TradeTime::from_ms(trade.time.ms() + 10_000).unwrap();
    }
}

#[divan::bench(args = [100, 1_000, 5_000])]
fn sqlite_insert(bencher: Bencher<'_, '_>, batch: usize) {
    let (_folder, runtime, store) = sqlite();
    let mut trades = trades();
    trades.truncate(batch);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        move_on(&mut trades);
        runtime.block_on(store.write(&trades, Attempt::default())).unwrap()
    });
}

/// Batches of fifty trades of so many symbols: each symbol is another page of the table.
#[divan::bench(args = [2, 1_000], sample_count = 5)]
fn sqlite_insert_of_symbols(bencher: Bencher<'_, '_>, symbols: usize) {
    let (_folder, runtime, store) = sqlite();
    let symbols: Vec<_> = (0..symbols).map(|at| format!("S{at:04}USDT").parse().unwrap()).collect();
    let mut trades = trades_of(&symbols);
    bencher.counter(ItemsCount::new(trades.len())).bench_local(|| {
        move_on(&mut trades);
        for batch in trades.chunks(50) {
            runtime.block_on(store.write(batch, Attempt::default())).unwrap();
        }
    });
}

/// A minute of ten thousand trades.
#[divan::bench]
fn sqlite_high_low(bencher: Bencher<'_, '_>) {
    let (_folder, runtime, store) = sqlite();
    let (mut trades, minute) = (trades(), TradeTime::from_ms(now().ms() / 60_000 * 60_000).unwrap());
    let symbol = trades[0].symbol.clone();
    for (at, trade) in trades.iter_mut().enumerate() {
        (trade.symbol, trade.time) = (symbol.clone(), TradeTime::from_ms(minute.ms() + at as i64 * 6).unwrap());
    }
    runtime.block_on(store.write(&trades, Attempt::default())).unwrap();
    let scope = Scope::default();
    bencher.counter(ItemsCount::new(TRADES)).bench_local(|| {
        let answer = runtime.block_on(store.high_low(&scope, minute)).unwrap();
        assert_eq!(answer[0].trades, TRADES as u64);
    });
}

#[divan::bench]
fn flux_csv(bencher: Bencher<'_, '_>) {
    let mut csv = String::from(",result,table,exchange,symbol,trade_id,time,price,quantity,buyer_is_maker\r\n");
    for trade in trades() {
        let Trade { symbol, id, time, price, quantity, buyer_is_maker } = trade;
        csv += &format!(",_result,0,binance,{symbol},{id},{time},{price},{quantity},{buyer_is_maker}\r\n");
    }
    bencher.counter(ItemsCount::new(TRADES)).bench(|| flux_csv::rows(&csv).unwrap());
}
