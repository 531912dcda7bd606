//! The ledger: which ids the store has acknowledged, which were lost again, and which stay missing.

use rusqlite::{Connection, params};

use super::{Changes, Ended};
use crate::trade::trade_ids::HOUR_MS;
use crate::trade::{HoleState, IdRange, Symbol, TradeIds, TradeTime};

/// `newest` is the time of the newest trade in the range, in ms; `ended` has what was lost, too, as open. Ranges of a symbol and hour never touch, nor do
/// those of a symbol and state. `restarted` has the time of the first trade of a symbol's newest count.
pub(super) const SCHEMA: &str = "
    CREATE TABLE acknowledged (
        symbol   TEXT    NOT NULL,
        hour     INTEGER NOT NULL,
        first_id INTEGER NOT NULL,
        last_id  INTEGER NOT NULL,
        newest   INTEGER NOT NULL,
        PRIMARY KEY (symbol, hour, last_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ended (
        symbol   TEXT    NOT NULL,
        state    TEXT    NOT NULL,
        first_id INTEGER NOT NULL,
        last_id  INTEGER NOT NULL,
        since    INTEGER NOT NULL,
        PRIMARY KEY (symbol, state, last_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE restarted (
        symbol TEXT    PRIMARY KEY NOT NULL,
        time   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// From schema 1, which knew neither hours nor restarted counts.
pub(super) const FROM_SCHEMA_1: &str = "
    ALTER TABLE acknowledged RENAME TO acknowledged_1;
    ALTER TABLE ended RENAME TO ended_1;
";
pub(super) const FROM_SCHEMA_1_FILL: &str = "
    INSERT INTO acknowledged SELECT symbol, newest / 3600000, first_id, last_id, newest FROM acknowledged_1;
    INSERT OR REPLACE INTO ended SELECT symbol, state, first_id, last_id, since FROM ended_1;
    DROP TABLE acknowledged_1;
    DROP TABLE ended_1;
";

/// Enters changes as of `now`, but removals of batches.
pub(super) fn enter(connection: &Connection, changes: &Changes, now: TradeTime) -> rusqlite::Result<()> {
    for (symbol, time) in &changes.restarted {
        restart(connection, symbol, *time)?;
    }
    for (symbol, range, newest) in changes.lost.ranges() {
        remove(connection, ACKNOWLEDGED, symbol, range)?;
        end(connection, &Ended { symbol: symbol.clone(), range, state: HoleState::Open }, newest)?;
    }
    for ended in &changes.ended {
        end(connection, ended, now)?;
    }
    acknowledge(connection, &changes.stored)?;
    if let Some(bound) = changes.forget_before {
        connection.prepare_cached("DELETE FROM acknowledged WHERE newest < ?1")?.execute([bound.ms()])?;
        connection.prepare_cached("DELETE FROM ended WHERE since < ?1")?.execute([bound.ms()])?;
        connection.prepare_cached("DELETE FROM restarted WHERE time < ?1")?.execute([bound.ms()])?;
    }
    Ok(())
}

/// Enters ids as acknowledged; they stay missing no more. A range becomes one with those that it overlaps or touches.
fn acknowledge(connection: &Connection, ids: &TradeIds) -> rusqlite::Result<()> {
    // In the order of `last_id`, so that the search ends at the first range behind.
    let mut near = connection.prepare_cached(
        "SELECT first_id, last_id, newest FROM acknowledged \
         WHERE symbol = ?1 AND hour = ?2 AND last_id >= ?3 ORDER BY last_id",
    )?;
    let mut delete =
        connection.prepare_cached("DELETE FROM acknowledged WHERE symbol = ?1 AND hour = ?2 AND last_id = ?3")?;
    let mut insert = connection.prepare_cached("INSERT INTO acknowledged VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (symbol, range, newest) in ids.ranges() {
        let hour = newest.ms() / HOUR_MS;
        let (mut first, mut last, mut newest) = (range.first.cast_signed(), range.last.cast_signed(), newest.ms());
        let mut joined = Vec::new();
        let mut rows = near.query(params![symbol.as_str(), hour, first - 1])?;
        while let Some(row) = rows.next()? {
            let (other_first, other_last, other_newest): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if other_first > last.saturating_add(1) {
                break;
            }
            joined.push(other_last);
            (first, last, newest) = (first.min(other_first), last.max(other_last), newest.max(other_newest));
        }
        drop(rows);
        for last_id in joined {
            delete.execute(params![symbol.as_str(), hour, last_id])?;
        }
        insert.execute(params![symbol.as_str(), hour, first, last, newest])?;
        remove(connection, ENDED, symbol, range)?;
    }
    Ok(())
}

/// A table of ranges: its name, and the columns that stand between `symbol` and `first_id`, and behind `last_id`.
struct Ranges {
    select: &'static str,
    delete: &'static str,
    insert: &'static str,
}

const ACKNOWLEDGED: Ranges = Ranges {
    select: "SELECT hour, first_id, last_id, newest FROM acknowledged WHERE symbol = ?1 AND last_id >= ?2 AND first_id <= ?3",
    delete: "DELETE FROM acknowledged WHERE symbol = ?1 AND hour = ?2 AND last_id = ?3",
    insert: "INSERT OR REPLACE INTO acknowledged VALUES (?1, ?2, ?3, ?4, ?5)",
};

const ENDED: Ranges = Ranges {
    select: "SELECT state, first_id, last_id, since FROM ended WHERE symbol = ?1 AND last_id >= ?2 AND first_id <= ?3",
    delete: "DELETE FROM ended WHERE symbol = ?1 AND state = ?2 AND last_id = ?3",
    insert: "INSERT OR REPLACE INTO ended VALUES (?1, ?2, ?3, ?4, ?5)",
};

/// Takes the ids of `range` out of a table.
fn remove(connection: &Connection, table: Ranges, symbol: &Symbol, range: IdRange) -> rusqlite::Result<()> {
    let (from, to) = (range.first.cast_signed(), range.last.cast_signed());
    let mut found: Vec<(rusqlite::types::Value, i64, i64, i64)> = Vec::new();
    let mut select = connection.prepare_cached(table.select)?;
    let mut rows = select.query(params![symbol.as_str(), from, to])?;
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    }
    for (kind, first, last, time) in found {
        connection.prepare_cached(table.delete)?.execute(params![symbol.as_str(), kind, last])?;
        let mut insert = connection.prepare_cached(table.insert)?;
        if first < from {
            insert.execute(params![symbol.as_str(), kind, first, from - 1, time])?;
        }
        if last > to {
            insert.execute(params![symbol.as_str(), kind, to + 1, last, time])?;
        }
    }
    Ok(())
}

/// Enters ids as missing for good, as of `now`; of two reasons for the same ids the later one stands.
fn end(connection: &Connection, ended: &Ended, now: TradeTime) -> rusqlite::Result<()> {
    let Ended { symbol, range, state } = ended;
    remove(connection, ENDED, symbol, *range)?;
    let (mut first, mut last) = (range.first.cast_signed(), range.last.cast_signed());
    let touching =
        "SELECT first_id, last_id FROM ended WHERE symbol = ?1 AND state = ?2 AND last_id >= ?3 AND first_id <= ?4";
    let mut select = connection.prepare_cached(touching)?;
    let mut rows = select.query(params![symbol.as_str(), state.name(), first - 1, last.saturating_add(1)])?;
    let mut joined = Vec::new();
    while let Some(row) = rows.next()? {
        let (other_first, other_last): (i64, i64) = (row.get(0)?, row.get(1)?);
        joined.push(other_last);
        (first, last) = (first.min(other_first), last.max(other_last));
    }
    drop(rows);
    for last_id in joined {
        connection.prepare_cached(ENDED.delete)?.execute(params![symbol.as_str(), state.name(), last_id])?;
    }
    let mut insert = connection.prepare_cached(ENDED.insert)?;
    insert.execute(params![symbol.as_str(), state.name(), first, last, now.ms()])?;
    Ok(())
}

/// Forgets a symbol whose count started again with a trade of `time`.
fn restart(connection: &Connection, symbol: &Symbol, time: TradeTime) -> rusqlite::Result<()> {
    for table in ["acknowledged", "ended"] {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE symbol = ?1"))?.execute([symbol.as_str()])?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO restarted VALUES (?1, ?2)")?
        .execute(params![symbol.as_str(), time.ms()])?;
    Ok(())
}

/// Everything that was acknowledged.
pub(super) fn acknowledged(connection: &Connection) -> rusqlite::Result<TradeIds> {
    let mut ids = TradeIds::default();
    let mut statement = connection.prepare("SELECT symbol, first_id, last_id, newest FROM acknowledged")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some((symbol, range)) = read_range(row)? {
            ids.add_bounded(&symbol, range, TradeTime::from_ms(row.get(3)?).unwrap_or(TradeTime::EPOCH));
        }
    }
    Ok(ids)
}

/// Every id that was lost and may still come, with the time of the newest trade among those that follow it.
pub(super) fn lost(connection: &Connection) -> rusqlite::Result<TradeIds> {
    let mut lost = TradeIds::default();
    let mut statement = connection.prepare("SELECT symbol, first_id, last_id, since FROM ended WHERE state = ?1")?;
    let mut rows = statement.query([HoleState::Open.name()])?;
    while let Some(row) = rows.next()? {
        if let Some((symbol, range)) = read_range(row)? {
            lost.add_bounded(&symbol, range, TradeTime::from_ms(row.get(3)?).unwrap_or(TradeTime::EPOCH));
        }
    }
    Ok(lost)
}

/// Every id that stays missing.
pub(super) fn ended(connection: &Connection) -> rusqlite::Result<Vec<Ended>> {
    let mut ended = Vec::new();
    let mut statement = connection.prepare("SELECT symbol, first_id, last_id, state FROM ended ORDER BY 1, 2")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let state = row.get_ref(3)?.as_str()?.parse::<HoleState>().ok();
        if let Some(((symbol, range), state)) = read_range(row)?.zip(state.filter(|state| *state != HoleState::Open)) {
            ended.push(Ended { symbol, range, state });
        }
    }
    Ok(ended)
}

/// When the newest count of each symbol began whose count was started again.
pub(super) fn restarted(connection: &Connection) -> rusqlite::Result<Vec<(Symbol, TradeTime)>> {
    let mut statement = connection.prepare("SELECT symbol, time FROM restarted")?;
    let mut rows = statement.query([])?;
    let mut restarted = Vec::new();
    while let Some(row) = rows.next()? {
        let symbol = row.get_ref(0)?.as_str()?.parse::<Symbol>().ok();
        restarted.extend(symbol.zip(TradeTime::from_ms(row.get(1)?).ok()));
    }
    Ok(restarted)
}

/// A row's ids; `None` if its symbol is none, which only a stranger could have written.
fn read_range(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(Symbol, IdRange)>> {
    let (symbol, first, last): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let range = IdRange { first: first.cast_unsigned(), last: last.cast_unsigned() };
    Ok(symbol.parse().ok().filter(|_| (0..=last).contains(&first)).map(|symbol| (symbol, range)))
}
