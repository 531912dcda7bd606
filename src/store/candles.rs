//! Candles: what a price did in each stretch of time, for drawing.
//!
//! Their numbers are floats, unlike those of trades: a pixel is coarser.

use std::time::Duration;

use thiserror::Error;

use super::RETENTION_MS;
use crate::trade::{Exchange, Symbol, TradeError, TradeTime};

/// A shorter candle than this has hardly a trade.
const INTERVAL_MIN_MS: i64 = 1_000;

/// One candle of one series; there is none without a trade.
#[derive(Debug, Clone, PartialEq)]
pub struct Candle {
    /// The exchange.
    pub exchange: Exchange,
    /// The symbol.
    pub symbol: Symbol,
    /// Its begin, a multiple of its interval since the epoch.
    pub time: TradeTime,
    /// The price of the smallest (T, id).
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The price of the largest (T, id).
    pub close: f64,
    /// The sum of the quantities.
    pub volume: f64,
    /// How many trades it has.
    pub trades: u64,
}

impl Candle {
    /// The candle of one trade.
    pub fn of_one(exchange: Exchange, symbol: Symbol, time: TradeTime, price: f64, quantity: f64) -> Self {
        Self { exchange, symbol, time, open: price, high: price, low: price, close: price, volume: quantity, trades: 1 }
    }

    /// Takes the next trade by (T, id).
    pub fn add(&mut self, price: f64, quantity: f64) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.volume += quantity;
        self.trades += 1;
    }
}

/// The candles of one series, added up trade by trade.
#[derive(Debug)]
pub struct CandleSums<'a> {
    series: &'a (Exchange, Symbol),
    every: Interval,
    candles: Vec<Candle>,
}

impl<'a> CandleSums<'a> {
    /// None yet, of this length.
    pub fn new(series: &'a (Exchange, Symbol), every: Interval) -> Self {
        Self { series, every, candles: Vec::new() }
    }

    /// Takes the next trade, in the order of (T, id).
    ///
    /// # Errors
    ///
    /// As [`Interval::begin`].
    pub fn add(&mut self, time: TradeTime, price: f64, quantity: f64) -> Result<(), TradeError> {
        let is_of = |candle: &&mut Candle| time.ms() - candle.time.ms() < self.every.ms();
        match self.candles.last_mut().filter(is_of) {
            Some(candle) => candle.add(price, quantity),
            None => {
                let (exchange, symbol) = self.series.clone();
                self.candles.push(Candle::of_one(exchange, symbol, self.every.begin(time)?, price, quantity));
            }
        }
        Ok(())
    }

    /// The candles, in order.
    pub fn finish(self) -> Vec<Candle> {
        self.candles
    }
}

/// How long a candle lasts, or how far candles go back: 1 s to 24 h, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(i64);

/// A duration that candles cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not 1s to 24h in whole milliseconds")]
pub struct IntervalError;

impl Interval {
    /// The length in milliseconds.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// The begin of the candle that holds `time`.
    ///
    /// # Errors
    ///
    /// [`TradeError::Time`], which no time that has passed gives.
    pub fn begin(self, time: TradeTime) -> Result<TradeTime, TradeError> {
        TradeTime::from_ms(time.ms() - time.ms() % self.0)
    }

    /// The end of the last candle that begins before `until`.
    ///
    /// # Errors
    ///
    /// As [`Interval::begin`].
    pub fn end(self, until: Option<TradeTime>) -> Result<Option<TradeTime>, TradeError> {
        until.map(|until| self.begin(until.earlier_by(1)).map(|begin| begin.later_by(self.0))).transpose()
    }
}

impl TryFrom<Duration> for Interval {
    type Error = IntervalError;

    fn try_from(duration: Duration) -> Result<Self, IntervalError> {
        let ms = i64::try_from(duration.as_millis()).map_err(|_| IntervalError)?;
        let is_whole = duration.subsec_nanos().is_multiple_of(1_000_000);
        if is_whole && (INTERVAL_MIN_MS..=RETENTION_MS).contains(&ms) { Ok(Self(ms)) } else { Err(IntervalError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_a_second_to_a_day_in_whole_milliseconds() {
        for (duration, ms) in [
            (Duration::from_secs(1), 1_000),
            (Duration::from_millis(1_001), 1_001),
            (Duration::from_secs(86_400), 86_400_000),
        ] {
            assert_eq!(Interval::try_from(duration).map(Interval::ms), Ok(ms));
        }
        for duration in [
            Duration::ZERO,
            Duration::from_millis(999),
            Duration::from_micros(1_000_500),
            Duration::from_millis(86_400_001),
            Duration::MAX,
        ] {
            assert_eq!(Interval::try_from(duration), Err(IntervalError), "{duration:?}");
        }
    }

    #[test]
    fn a_candle_begins_at_a_multiple_of_its_interval() {
        let interval = Interval::try_from(Duration::from_secs(7)).unwrap();
        for (ms, begin) in [(0, 0), (6_999, 0), (7_000, 7_000), (1_767_268_800_123, 1_767_268_797_000)] {
            assert_eq!(interval.begin(TradeTime::from_ms(ms).unwrap()).unwrap().ms(), begin);
        }
    }

    #[test]
    fn a_candle_keeps_its_first_price_and_takes_the_last() {
        let (exchange, symbol) = ("binance".parse().unwrap(), "BTCUSDT".parse().unwrap());
        let mut candle = Candle::of_one(exchange, symbol, TradeTime::EPOCH, 5.0, 0.5);
        [(7.0, 0.25), (4.0, 0.25), (6.0, 1.0)].into_iter().for_each(|(price, quantity)| candle.add(price, quantity));
        assert_eq!((candle.open, candle.high, candle.low, candle.close), (5.0, 7.0, 4.0, 6.0));
        assert_eq!((candle.volume, candle.trades), (2.0, 4));
    }
}
