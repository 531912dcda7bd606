//! tickflux captures every Binance trade, exactly and exactly once.

pub mod practice;
pub mod trade;
