//! Pages of the exchange's history.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickflux::binance::rest::read_page;

fuzz_target!(|text: &str| {
    let Ok(symbol) = "BTCUSDT".parse() else { return };
    if let Ok(trades) = read_page(&symbol, text) {
        assert!(trades.iter().all(|trade| trade.symbol == symbol));
    }
});
