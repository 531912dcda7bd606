//! A trade for unit tests.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use super::{Price, Quantity, Trade, TradeId, TradeTime};

/// A BTCUSDT trade with this id and time, in milliseconds.
pub(crate) fn trade(id: u64, ms: i64) -> Trade {
    Trade {
        symbol: "BTCUSDT".parse().unwrap(),
        id: TradeId::new(id).unwrap(),
        time: TradeTime::from_ms(ms).unwrap(),
        price: Price::new("61837.63000000").unwrap(),
        quantity: Quantity::new("0.02000000").unwrap(),
        buyer_is_maker: true,
    }
}
