//! What was found when a minute was held against the exchange's own candle, as a store keeps it: a point of the measurement
//! `minute`, or a row of the table `minute`.

use rust_decimal::Decimal;

use crate::text::Excerpt;
use crate::trade::{Exchange, IdRange, Symbol, TradeTime};

/// What a store has of one minute of one symbol, and whether the exchange's candle says the same.
///
/// Of a minute without a trade the prices are those of its candle: the last one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinutePoint {
    /// The symbol.
    pub symbol: Symbol,
    /// The begin of the minute.
    pub start: TradeTime,
    /// How many trades it has.
    pub trades: u64,
    /// Their lowest id and their highest, if there is one.
    pub ids: Option<IdRange>,
    /// The first price, by (T, id).
    pub open: Decimal,
    /// The highest price.
    pub high: Decimal,
    /// The lowest price.
    pub low: Decimal,
    /// The last price.
    pub close: Decimal,
    /// The sum of the quantities; none if it has more digits than a decimal.
    pub volume: Option<Decimal>,
    /// The sum of the quantities of those trades whose taker bought.
    pub taker_buy_volume: Option<Decimal>,
    /// In what the exchange's candle differs, in words; none if the minute is verified.
    pub difference: Option<Excerpt>,
}

impl MinutePoint {
    /// The numbers that are kept as an exact text and as a float, with their names.
    pub fn decimals(&self) -> [(&'static str, Option<Decimal>); 6] {
        [
            ("open", Some(self.open)),
            ("high", Some(self.high)),
            ("low", Some(self.low)),
            ("close", Some(self.close)),
            ("volume", self.volume),
            ("taker_buy_volume", self.taker_buy_volume),
        ]
    }

    /// The lowest id and the highest as they are kept: -1 without a trade.
    pub fn kept_ids(&self) -> (i64, i64) {
        self.ids.map_or((-1, -1), |ids| (ids.first.cast_signed(), ids.last.cast_signed()))
    }
}

/// Which minute a store says is verified, or differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMinute {
    /// The exchange.
    pub exchange: Exchange,
    /// The symbol.
    pub symbol: Symbol,
    /// The begin of the minute.
    pub start: TradeTime,
    /// Whether the exchange's candle was the same.
    pub is_verified: bool,
}
