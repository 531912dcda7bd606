//! In the steady state a trade touches no heap: it is read, sequenced and encoded where it lies.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::time::Instant;

use support::{exchange, minute_ago, practice, trade};
use tickflux::binance::message::{Message, SymbolTable, decode};
use tickflux::capture::sequencer::{Sequencer, Verdict};
use tickflux::store::influx::line;

#[test]
fn reading_sequencing_and_encoding_a_trade_allocates_nothing() {
    let start = minute_ago(1);
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let trades = (1..=5_000).flat_map(|id| symbols.map(|symbol| trade(symbol, id, start + 1, "61837.63000000")));
    let messages: Vec<_> = trades.map(|trade| practice::message(&trade)).collect();
    let table: SymbolTable = symbols.iter().map(|name| name.parse().unwrap()).collect();
    let (binance, now, mut sequencer) = (exchange("binance"), Instant::now(), Sequencer::default());
    let mut lines = Vec::with_capacity(messages.len() * line::LINE_BYTES);
    let mut take = |text: &str| {
        let Ok(Message::Trade(trade)) = decode(text, &table) else { panic!("{text}") };
        assert_eq!(sequencer.take(&trade, None, now), Verdict::New);
        line::encode(&trade, &binance, &mut lines);
    };
    let (first, steady) = messages.split_at(2);
    first.iter().for_each(|text| take(text));
    let allocations = allocation_counter::measure(|| steady.iter().for_each(|text| take(text)));
    assert_eq!(allocations.count_total, 0, "{} trades", steady.len());
}
