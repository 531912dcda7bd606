//! The words everything else speaks: a trade and its parts.
//!
//! Price and quantity stay the exchange's text (P2). They live inline in the
//! trade, so that a trade can be parsed, queued and encoded without touching
//! the heap.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

pub use self::decimal_text::{Price, Quantity, compare_texts, is_decimal_text};
pub use self::hole::{HoleState, HoleStateError};
pub use self::ids::{IdRange, IdRanges};
pub use self::trade_ids::TradeIds;

mod decimal_text;
#[cfg(test)]
pub(crate) mod example;
mod hole;
mod ids;
pub(crate) mod trade_ids;

/// A minute in milliseconds.
pub const MINUTE_MS: i64 = 60_000;

/// Nanoseconds in a millisecond, and the number of trade ids that a
/// millisecond of point times can tell apart (P3).
const NS_PER_MS: i64 = 1_000_000;

/// A map by symbol. Its order is the same in every run, so that the same inputs give the same commands: the symbols are those
/// that were asked for, and nobody chooses them to collide.
pub type SymbolMap<V> = std::collections::HashMap<Symbol, V, foldhash::fast::FixedState>;

/// A set of symbols, as [`SymbolMap`].
pub type SymbolSet = std::collections::HashSet<Symbol, foldhash::fast::FixedState>;

/// Why a text is not a trade, or not a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TradeError {
    /// The name breaks the rules for symbols and exchanges.
    #[error("{text:?} is not a name: 1 to 32 letters, digits, '_', '-' or '.'")]
    Name {
        /// The text as given.
        text: String,
    },
    /// The number is not a plain positive decimal.
    #[error("{what} {text:?} is not a plain decimal above zero with at most 28 digits")]
    Number {
        /// `price` or `quantity`.
        what: &'static str,
        /// The text as given.
        text: String,
    },
    /// The trade time does not fit a point's time.
    #[error("trade time {0} is not a time in milliseconds between 1970 and 2262")]
    Time(i64),
    /// The trade id does not fit the store's signed 64-bit integer.
    #[error("trade id {0} is out of range")]
    Id(u64),
}

/// A symbol as the exchange writes it in messages, such as `BTCUSDT`.
///
/// Binance also lists symbols with letters outside ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// The symbol's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its trade stream: `btcusdt@trade`, not yet percent-encoded.
    pub fn stream_name(&self) -> String {
        format!("{}@trade", self.0.to_lowercase())
    }
}

impl FromStr for Symbol {
    type Err = TradeError;

    /// Takes any case; ASCII letters are made upper case.
    fn from_str(text: &str) -> Result<Self, TradeError> {
        checked_name(text).map(|name| Self(name.to_ascii_uppercase().into()))
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of the `exchange` tag, such as `binance` or `practice`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Exchange(Arc<str>);

impl Exchange {
    /// The exchange's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Exchange {
    type Err = TradeError;

    fn from_str(text: &str) -> Result<Self, TradeError> {
        checked_name(text).map(|name| Self(name.into()))
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checked_name(text: &str) -> Result<&str, TradeError> {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=32).contains(&text.chars().count()) && text.chars().all(legal) {
        Ok(text)
    } else {
        Err(TradeError::Name { text: text.to_owned() })
    }
}

/// A trade id: per symbol, rising by exactly one a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TradeId(u64);

impl TradeId {
    /// An id from the exchange's number.
    ///
    /// # Errors
    ///
    /// [`TradeError::Id`] for more than the 63 bits that Binance and InfluxDB have for it.
    pub fn new(id: u64) -> Result<Self, TradeError> {
        if i64::try_from(id).is_ok() { Ok(Self(id)) } else { Err(TradeError::Id(id)) }
    }

    /// The id as a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The exchange's trade time `T`, in whole milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TradeTime(i64);

impl TradeTime {
    /// 1970-01-01T00:00:00.000Z.
    pub const EPOCH: Self = Self(0);
    /// The last one whose nanoseconds fit 64 bits, with an id in them.
    pub const LATEST: Self = Self(i64::MAX / NS_PER_MS - 1);

    /// A time from milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`TradeError::Time`] if it is before 1970 or its nanoseconds do not fit 64 bits.
    pub fn from_ms(ms: i64) -> Result<Self, TradeError> {
        if (0..=Self::LATEST.0).contains(&ms) { Ok(Self(ms)) } else { Err(TradeError::Time(ms)) }
    }

    /// Milliseconds since the epoch.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// So many milliseconds before, but not before 1970.
    #[must_use]
    pub fn earlier_by(self, ms: i64) -> Self {
        Self::from_ms(self.0.saturating_sub(ms)).unwrap_or(Self::EPOCH)
    }

    /// So many milliseconds after, but not after [`TradeTime::LATEST`].
    #[must_use]
    pub fn later_by(self, ms: i64) -> Self {
        Self::from_ms(self.0.saturating_add(ms)).unwrap_or(Self::LATEST)
    }

    /// The begin of the minute that holds it.
    #[must_use]
    pub fn minute(self) -> Self {
        self.earlier_by(self.0 % MINUTE_MS)
    }

    /// The trade time inside a point's time (nanoseconds): the id is cut off.
    ///
    /// # Errors
    ///
    /// [`TradeError::Time`] as for [`TradeTime::from_ms`].
    pub fn from_point_time_ns(ns: i64) -> Result<Self, TradeError> {
        Self::from_ms(ns.div_euclid(NS_PER_MS))
    }
}

/// RFC 3339 in UTC with milliseconds: `2024-08-08T23:54:15.342Z`.
impl fmt::Display for TradeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// One trade of one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// What was traded.
    pub symbol: Symbol,
    /// The exchange's number of the trade.
    pub id: TradeId,
    /// When the exchange's engine matched it.
    pub time: TradeTime,
    /// The price, as the exchange wrote it.
    pub price: Price,
    /// The quantity of the base asset, as the exchange wrote it.
    pub quantity: Quantity,
    /// Whether the buyer's order was resting: then the taker sold.
    pub buyer_is_maker: bool,
}

impl Trade {
    /// The point's time in nanoseconds: `T_ms * 1_000_000 + id mod 1_000_000`.
    ///
    /// A pure function of the trade, so that a trade delivered, retried,
    /// replayed or repaired again is the same point (P3).
    pub fn point_time_ns(&self) -> i64 {
        let id_part = (self.id.get() % NS_PER_MS.unsigned_abs()).cast_signed();
        self.time.ms() * NS_PER_MS + id_part
    }
}

#[cfg(test)]
mod tests;
