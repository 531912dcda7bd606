//! Candles as the exchange tells them, and recorded ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickflux::binance::rest::{Asked, read_klines, read_recorded};
use tickflux::trade::TradeTime;

fuzz_target!(|body: &[u8]| {
    let asked = Asked { first: TradeTime::EPOCH, last: TradeTime::LATEST, most: 10 };
    if let Ok(klines) = read_klines(body, asked) {
        assert!(klines.len() <= 10 && klines.windows(2).all(|pair| pair[0].start < pair[1].start));
    }
    let _ = read_recorded(body);
});
