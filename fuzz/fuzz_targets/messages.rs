//! Messages of a stream: whatever comes is a trade or an error, and a trade's values are the message's own text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickflux::binance::message::{Message, SymbolTable, decode};

fuzz_target!(|text: &str| {
    let symbols: SymbolTable = ["BTCUSDT", "ETHUSDT"].into_iter().filter_map(|name| name.parse().ok()).collect();
    if let Ok(Message::Trade(trade)) = decode(text, &symbols) {
        // Escapes aside, which Binance does not use, the text stands in the message.
        assert!(text.contains('\\') || text.contains(trade.price.as_str()) && text.contains(trade.quantity.as_str()));
    }
});
