//! The table `minute`: a row for each minute that was held against the exchange's candle.

use rusqlite::{Connection, params};

use super::Sqlite;
use super::file::FileError;
use super::questions::{Answer, Look};
use crate::store::minute_point::{KeptMinute, MinutePoint};
use crate::store::{Scope, StoreError};
use crate::trade::TradeTime;

/// `start` is in ms; numbers are exact texts. It came after the first stores were made, so whoever writes one makes it, and
/// whoever asks finds it or not.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS minute (
        exchange         TEXT    NOT NULL,
        symbol           TEXT    NOT NULL,
        start            INTEGER NOT NULL,
        trades           INTEGER NOT NULL,
        first_id         INTEGER NOT NULL,
        last_id          INTEGER NOT NULL,
        open             TEXT    NOT NULL,
        high             TEXT    NOT NULL,
        low              TEXT    NOT NULL,
        close            TEXT    NOT NULL,
        volume           TEXT    NOT NULL,
        taker_buy_volume TEXT    NOT NULL,
        verified         INTEGER NOT NULL,
        difference       TEXT    NOT NULL,
        PRIMARY KEY (exchange, symbol, start)
    ) STRICT, WITHOUT ROWID;
";

impl Sqlite {
    pub(super) fn put_minute_points(&self, points: &[MinutePoint]) -> Result<(), FileError> {
        let mut file = self.file();
        let transaction = file.connection()?.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO minute (exchange, symbol, start, trades, first_id, last_id, open, high, low, close, \
                 volume, taker_buy_volume, verified, difference) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?;
            for point in points {
                let (first, last) = point.kept_ids();
                let [open, high, low, close, volume, taker_buy_volume] = point
                    .decimals()
                    .map(|(_, decimal)| decimal.map_or_else(String::new, |decimal| decimal.to_string()));
                insert.execute(params![
                    self.exchange.as_str(),
                    point.symbol.as_str(),
                    point.start.ms(),
                    point.trades,
                    first,
                    last,
                    open,
                    high,
                    low,
                    close,
                    volume,
                    taker_buy_volume,
                    point.difference.is_none(),
                    point.difference.as_ref().map_or("", |difference| difference.as_str()),
                ])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn minute_points_of(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> Result<Vec<KeptMinute>, StoreError> {
        let bounds = crate::store::Bounds::at((self.clock)());
        self.look(scope, bounds, |look| look.minute_points(since, until))
    }
}

/// Drops what is older than a bound, in ms.
pub(super) fn delete_older_than(connection: &Connection, bound_ms: i64) -> rusqlite::Result<()> {
    if is_there(connection)? {
        connection.prepare_cached("DELETE FROM minute WHERE start < ?1")?.execute([bound_ms])?;
    }
    Ok(())
}

fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    connection.table_exists(None, "minute")
}

impl Look<'_> {
    fn minute_points(&self, since: TradeTime, until: TradeTime) -> Answer<Vec<KeptMinute>> {
        if !is_there(self.connection)? {
            return Ok(Vec::new());
        }
        let (begin, end) = self.bounds.within(since, Some(until));
        let mut statement = self.connection.prepare_cached(
            "SELECT exchange, symbol, start, verified FROM minute WHERE start >= ?1 AND start < ?2 \
             ORDER BY exchange, symbol, start",
        )?;
        let mut rows = statement.query(params![begin, end])?;
        let mut kept = Vec::new();
        while let Some(row) = rows.next()? {
            let (exchange, symbol): (String, String) = (row.get(0)?, row.get(1)?);
            let (Ok(exchange), Ok(symbol)) = (exchange.parse(), symbol.parse()) else { continue };
            let is_asked = self.scope.exchange.as_ref().is_none_or(|asked| *asked == exchange)
                && (self.scope.symbols.is_empty() || self.scope.symbols.contains(&symbol));
            if is_asked {
                kept.push(KeptMinute {
                    exchange,
                    symbol,
                    start: TradeTime::from_ms(row.get(2)?)?,
                    is_verified: row.get(3)?,
                });
            }
        }
        Ok(kept)
    }
}
