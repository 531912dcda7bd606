//! What gathers until it becomes a batch.

use std::time::Instant;

use crate::trade::{Symbol, Trade, TradeIds};

/// Trades of one batch to be, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) trades: Vec<Trade>,
    pub(super) arrivals: Vec<(Instant, u32)>,
    /// How many trades had been taken before its first one.
    pub(super) taken_before: u64,
    /// Nothing is added any more.
    pub(super) is_closed: bool,
    /// Symbols whose count was started again behind it: its ids are of the old one.
    pub(super) old_counts: Vec<Symbol>,
}

impl Gathered {
    /// The ids, but those of a count that was started again behind them.
    pub(super) fn ids(&self) -> TradeIds {
        let mut ids = TradeIds::of(&self.trades);
        self.old_counts.iter().for_each(|symbol| ids.forget(symbol));
        ids
    }
}
