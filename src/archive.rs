//! Trades as files that other programs read, and that outlive the stores.
//!
//! [`mod@parquet`] is the form of such a file. An archive is a folder with a file for each hour of each series in which there
//! are trades, and a manifest beside it:
//!
//! ```text
//! exchange=binance/symbol=BTCUSDT/date=2026-11-30/hour=14.parquet
//! exchange=binance/symbol=BTCUSDT/date=2026-11-30/_hour-14.json
//! ```
//!
//! [`plan`] decides what is sealed, [`seal`] does it, [`check`] reads everything back. [`crate::store::archive`] answers
//! questions out of it.

pub mod check;
pub(crate) mod checksum;
pub mod dump;
pub mod folder;
pub mod manifest;
pub mod parquet;
pub mod plan;
pub mod read;
pub mod seal;

use crate::trade::{Exchange, Symbol, TradeError, TradeTime};

/// An hour in milliseconds.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// Whose trades a file has.
pub type Series = (Exchange, Symbol);

/// An hour, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(TradeTime);

impl Hour {
    /// The hour that holds `time`.
    pub fn of(time: TradeTime) -> Self {
        Self(time.earlier_by(time.ms() % HOUR_MS))
    }

    /// Its begin.
    pub fn begin(self) -> TradeTime {
        self.0
    }

    /// The begin of the next one.
    ///
    /// # Errors
    ///
    /// [`TradeError::Time`] if there is none that a trade can have.
    pub fn next(self) -> Result<Self, TradeError> {
        TradeTime::from_ms(self.0.ms() + HOUR_MS).map(Self)
    }
}
