//! The ledger: which ids the store has acknowledged, and which will never come.

use rusqlite::{Connection, params};

use super::TradeIds;
use crate::trade::{IdRange, Symbol, TradeTime};

/// `newest` is the time of the newest trade in the range, in ms. Ranges of a symbol never touch.
pub(super) const SCHEMA: &str = "
    CREATE TABLE acknowledged (
        symbol   TEXT    NOT NULL,
        first_id INTEGER NOT NULL,
        last_id  INTEGER NOT NULL,
        newest   INTEGER NOT NULL,
        PRIMARY KEY (symbol, last_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ended (
        symbol   TEXT    NOT NULL,
        first_id INTEGER NOT NULL,
        last_id  INTEGER NOT NULL,
        state    TEXT    NOT NULL,
        since    INTEGER NOT NULL,
        PRIMARY KEY (symbol, first_id, last_id)
    ) STRICT, WITHOUT ROWID;
";

/// Ids whose story is over without a trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whose ids.
    pub symbol: Symbol,
    /// Which.
    pub range: IdRange,
    /// The contract's word for why: `not_at_exchange`, `expired` or `refused`.
    pub state: String,
}

/// What the ledger knows at a start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Ids that the store acknowledged, and those that still wait in the outbox.
    pub stored: TradeIds,
    /// Ids that will never come.
    pub ended: Vec<Ended>,
}

/// Enters ids as acknowledged; a range becomes one with those that it overlaps or touches.
pub(super) fn acknowledge(connection: &Connection, ids: &TradeIds) -> rusqlite::Result<()> {
    // In the order of `last_id`, so that the search ends at the first range behind.
    let mut near = connection.prepare_cached(
        "SELECT first_id, last_id, newest FROM acknowledged WHERE symbol = ?1 AND last_id >= ?2 ORDER BY last_id",
    )?;
    let mut delete = connection.prepare_cached("DELETE FROM acknowledged WHERE symbol = ?1 AND last_id = ?2")?;
    let mut insert = connection.prepare_cached("INSERT INTO acknowledged VALUES (?1, ?2, ?3, ?4)")?;
    for (symbol, range, newest) in ids.ranges() {
        let (mut first, mut last, mut newest) = (range.first.cast_signed(), range.last.cast_signed(), newest.ms());
        let mut joined = Vec::new();
        let mut rows = near.query(params![symbol.as_str(), first - 1])?;
        while let Some(row) = rows.next()? {
            let (other_first, other_last, other_newest): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if other_first > last + 1 {
                break;
            }
            joined.push(other_last);
            (first, last, newest) = (first.min(other_first), last.max(other_last), newest.max(other_newest));
        }
        drop(rows);
        for last_id in joined {
            delete.execute(params![symbol.as_str(), last_id])?;
        }
        insert.execute(params![symbol.as_str(), first, last, newest])?;
    }
    Ok(())
}

/// Enters ids as never to come, as of `now`.
pub(super) fn end(connection: &Connection, ended: &[Ended], now: TradeTime) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO ended VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for Ended { symbol, range, state } in ended {
        let (first, last) = (range.first.cast_signed(), range.last.cast_signed());
        insert.execute(params![symbol.as_str(), first, last, state, now.ms()])?;
    }
    Ok(())
}

/// Forgets a symbol whose count started again.
pub(super) fn forget(connection: &Connection, symbol: &Symbol) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM acknowledged WHERE symbol = ?1")?.execute([symbol.as_str()])?;
    connection.prepare_cached("DELETE FROM ended WHERE symbol = ?1")?.execute([symbol.as_str()])?;
    Ok(())
}

/// Forgets what is older than `bound`.
pub(super) fn trim(connection: &Connection, bound_ms: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM acknowledged WHERE newest < ?1")?.execute([bound_ms])?;
    connection.prepare_cached("DELETE FROM ended WHERE since < ?1")?.execute([bound_ms])?;
    Ok(())
}

/// Everything that was acknowledged.
pub(super) fn acknowledged(connection: &Connection) -> rusqlite::Result<TradeIds> {
    let mut ids = TradeIds::default();
    let mut statement = connection.prepare("SELECT symbol, first_id, last_id, newest FROM acknowledged")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some((symbol, range)) = read_range(row)? {
            ids.add(&symbol, range, TradeTime::from_ms(row.get(3)?).unwrap_or(TradeTime::EPOCH));
        }
    }
    Ok(ids)
}

/// Every id that will never come.
pub(super) fn ended(connection: &Connection) -> rusqlite::Result<Vec<Ended>> {
    let mut ended = Vec::new();
    let mut statement = connection.prepare("SELECT symbol, first_id, last_id, state FROM ended ORDER BY 1, 2")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some((symbol, range)) = read_range(row)? {
            ended.push(Ended { symbol, range, state: row.get(3)? });
        }
    }
    Ok(ended)
}

/// A row's ids; `None` if its symbol is none, which only a stranger could have written.
fn read_range(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(Symbol, IdRange)>> {
    let (symbol, first, last): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let range = IdRange { first: first.cast_unsigned(), last: last.cast_unsigned() };
    Ok(symbol.parse().ok().filter(|_| first <= last).map(|symbol| (symbol, range)))
}
