//! Trades in the form in which a store over the network takes them: lines, one a trade.
//!
//! Encoded once, they are merged, sent, sent again and halved without being looked at again.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Attempt, WriteError, Written};
use crate::trade::{Trade, TradeTime};

/// Encoded trades: lines of line protocol, each with its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The lines.
    pub bytes: Bytes,
    /// How many they are.
    pub count: usize,
    /// No trade in them is older.
    pub oldest: TradeTime,
}

impl Lines {
    /// Appends `more`.
    pub fn append(&mut self, more: Self) {
        let mut bytes = Vec::from(std::mem::take(&mut self.bytes));
        bytes.extend_from_slice(&more.bytes);
        self.bytes = bytes.into();
        self.count += more.count;
        self.oldest = self.oldest.min(more.oldest);
    }
}

/// A store that takes encoded trades.
pub trait LineStore {
    /// Encodes trades.
    fn encode(&self, trades: &[Trade]) -> Lines;

    /// Tries once to write lines; writing them again changes nothing (P3).
    ///
    /// # Errors
    ///
    /// [`WriteError`] says whether to try again soon or to wait for someone.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was written is written, and may be written again.
    fn write_lines<'a>(&'a self, lines: &'a Lines, attempt: Attempt) -> BoxFuture<'a, Result<Written, WriteError>>;
}
