//! Pages of the exchange's history.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickflux::binance::rest::read_page;

fuzz_target!(|body: &[u8]| {
    let Ok(symbol) = "BTCUSDT".parse() else { return };
    if let Ok(page) = read_page(&symbol, body) {
        assert!(page.trades().all(|trade| trade.symbol == symbol));
    }
});
