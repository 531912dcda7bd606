//! What an outbox holds when it is opened, without the trades.

use rusqlite::Connection;

use super::{Ended, Rows, ledger};
use crate::trade::{SymbolMap, TradeIds, TradeTime};

/// What the ledger knows at a start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Ids that the store acknowledged.
    pub stored: TradeIds,
    /// Ids that were taken or stored and then lost, and may still come.
    pub lost: TradeIds,
    /// Ids that stay missing.
    pub ended: Vec<Ended>,
}

/// Batches that an earlier run left, gathered into one write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// How many trades they hold.
    pub trades: usize,
    /// Bytes that they take.
    pub bytes: u64,
    /// Their ids, but those of a count that was started again since.
    pub ids: TradeIds,
}

/// Everything: what was left, oldest first in writes of up to `trades_max`, and what is known.
pub(super) fn read(connection: &Connection, trades_max: usize) -> rusqlite::Result<(Vec<(Left, Rows)>, Known)> {
    let (stored, lost) = (ledger::acknowledged(connection)?, ledger::lost(connection)?);
    let known = Known { stored, lost, ended: ledger::ended(connection)? };
    let restarted: SymbolMap<TradeTime> = ledger::restarted(connection)?.into_iter().collect();
    let mut left: Vec<(Left, Rows)> = Vec::new();
    let mut statement = connection.prepare("SELECT seq, trades, bytes, ids FROM batch ORDER BY seq")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (seq, trades, bytes) = (row.get(0)?, row.get::<_, usize>(1)?, row.get::<_, u64>(2)?);
        // Ids that cannot be read are not known: the exchange gives them again.
        let ids = TradeIds::from_text(row.get_ref(3)?.as_str()?).unwrap_or_default();
        let ids = of_the_newest_count(&ids, &restarted);
        match left.last_mut() {
            Some((last, rows)) if last.trades + trades <= trades_max => {
                rows.last = seq;
                last.trades += trades;
                last.bytes += bytes;
                last.ids.merge(&ids);
            }
            _ => left.push((Left { trades, bytes, ids }, Rows { first: seq, last: seq })),
        }
    }
    Ok((left, known))
}

/// How many trades wait in it.
pub(super) fn trades_left(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT coalesce(sum(trades), 0) FROM batch", [], |row| row.get(0))
}

/// Without ids of a count that ended before: they would name trades of the new one.
fn of_the_newest_count(ids: &TradeIds, restarted: &SymbolMap<TradeTime>) -> TradeIds {
    let mut kept = TradeIds::default();
    for (symbol, range, newest) in ids.ranges() {
        if restarted.get(symbol).is_none_or(|since| newest >= *since) {
            kept.add(symbol, range, newest);
        }
    }
    kept
}
