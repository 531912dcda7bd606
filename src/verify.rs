//! Holds what a store has of each minute against the exchange's own candle, which never passed through a capture.
//!
//! Pure: minutes and candles come in, verdicts go out. [`mod@compare`] says whether two accounts of a minute are the same, and
//! [`series`] which minutes of a series are held to that; [`finding`] is what a capture keeps of minutes whose every trade it read, and
//! [`dump`] holds trade by trade against the exchange's daily file.

pub mod compare;
pub mod dump;
pub mod finding;
pub mod series;

pub use self::compare::{Comparison, Field, compare};
pub use self::finding::{Findings, find};
pub use self::series::{Edges, Judged, Told, Verdict, judge};

#[cfg(test)]
mod tests;
