//! The questions, each answered by walking the table's key.
//!
//! A row that is no trade (a price that is no number, a name that is none, an impossible id) is passed over and counted.

use std::cell::Cell;
use std::collections::BTreeSet;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};
use thiserror::Error;

use super::file::FileError;
use crate::store::candles::CandleSums;
use crate::store::extremes::Extremes;
use crate::store::gaps::{Audit, TooManyHoles};
use crate::store::{Bounds, Candle, Gaps, HighLow, Interval, Scope, StoredTrade};
use crate::trade::{
    Exchange, MINUTE_MS, Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime, is_decimal_text,
};

/// Why the file gave no answer.
#[derive(Debug, Error)]
pub(super) enum QuestionError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Holes(#[from] TooManyHoles),
    #[error(transparent)]
    Time(#[from] TradeError),
    #[error(transparent)]
    File(#[from] FileError),
}

pub(super) type Series = (Exchange, Symbol);
pub(super) type Answer<T> = Result<T, QuestionError>;

/// Columns that [`Look::stored_trade`] reads, in its order.
pub(super) const COLUMNS: &str = "time, trade_id, price, quantity, buyer_is_maker";

/// One look into the file.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) connection: &'a Connection,
    pub(super) scope: &'a Scope,
    pub(super) bounds: Bounds,
    /// Rows that were passed over.
    pub(super) passed_over: Cell<u64>,
}

impl Look<'_> {
    pub(super) fn latest(&self) -> Answer<Vec<StoredTrade>> {
        self.each_series(|series| self.last_before(series, self.bounds.oldest, self.bounds.end))
    }

    pub(super) fn price_at(&self, time: TradeTime, as_of: bool) -> Answer<Vec<StoredTrade>> {
        let (time, Bounds { oldest, end, .. }) = (time.ms(), self.bounds);
        self.each_series(|series| {
            if as_of {
                return self.last_before(series, oldest, end.min(time.saturating_add(1)));
            }
            let before = self.last_before(series, oldest, end.min(time))?;
            let after = self.first_from(series, time.max(oldest), end)?;
            Ok(StoredTrade::nearest(time, before, after))
        })
    }

    pub(super) fn high_low(&self, time: TradeTime, now: TradeTime) -> Answer<Vec<HighLow>> {
        let minute = time.minute();
        let next = minute.later_by(MINUTE_MS);
        let (open, (from, until)) = (now < next, self.bounds.within(minute, Some(next)));
        self.each_series(|series| {
            let mut extremes = Extremes::default();
            let (mut trades, mut audit) = (0, None::<Audit>);
            self.each_row(series, (from, until), |row| {
                let Some((id, price)) = self.checked(row)? else { return Ok(()) };
                trades += 1;
                extremes.add(id, price, || self.stored_trade(row, series))?;
                if audit.is_none() {
                    audit = Some(Audit::after(self.last_id_before(series, from)?));
                }
                if let Some(audit) = &mut audit {
                    audit.add(id.into())?;
                }
                Ok(())
            })?;
            let Some(((high, low), audit)) = extremes.found().zip(audit) else { return Ok(None) };
            let after = self.first_from(series, until, self.bounds.end)?.map(|after| after.trade.id);
            let missing = audit.missing(after);
            Ok(Some(HighLow { minute, trades, missing, open, high, low }))
        })
    }

    /// Which ids are absent among the trades from `since` on and before `until`.
    pub(super) fn gaps(&self, since: TradeTime, until: Option<TradeTime>) -> Answer<Vec<Gaps>> {
        let (since, end) = self.bounds.within(since, until);
        let all = self.each_series(|series| {
            let (exchange, symbol) = series;
            let mut audit = Audit::after(self.last_id_before(series, since)?);
            self.each_row(series, (since, end), |row| {
                if let Some((id, _)) = self.checked(row)? {
                    audit.add(id.into())?;
                }
                Ok(())
            })?;
            Ok(Some(audit.finish(exchange, symbol)))
        })?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The candles from the one that holds `since` to the last one that begins before `until`, in one pass.
    pub(super) fn candles(&self, since: TradeTime, until: Option<TradeTime>, every: Interval) -> Answer<Vec<Candle>> {
        let within = self.bounds.within(every.begin(since)?, every.end(until)?);
        let all = self.each_series(|series| self.candles_of(series, within, every).map(Some))?;
        Ok(all.into_iter().flatten().collect())
    }

    fn candles_of(&self, series: &Series, within: (i64, i64), every: Interval) -> Answer<Vec<Candle>> {
        let mut candles = CandleSums::new(series, every);
        self.each_row(series, within, |row| {
            let Some((_, price)) = self.checked(row)? else { return Ok(()) };
            let time = TradeTime::from_ms(row.get(0)?)?;
            // The exchange's texts as floats: to draw, not to reckon with.
            let Some((price, quantity)) = float(price).zip(float(text(row, 3)?)) else { return Ok(()) };
            candles.add(time, price, quantity)?;
            Ok(())
        })?;
        Ok(candles.finish())
    }

    /// Walks over the rows of a series with `from <= T < until`, in the order of (T, id).
    pub(super) fn each_row(
        &self,
        (exchange, symbol): &Series,
        (from, until): (i64, i64),
        mut on_row: impl FnMut(&Row<'_>) -> Answer<()>,
    ) -> Answer<()> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4 \
             ORDER BY time, trade_id"
        ))?;
        let mut rows = statement.query(params![exchange.as_str(), symbol.as_str(), from, until])?;
        while let Some(row) = rows.next()? {
            on_row(row)?;
        }
        Ok(())
    }

    pub(super) fn each_series<T>(&self, mut answer: impl FnMut(&Series) -> Answer<Option<T>>) -> Answer<Vec<T>> {
        let mut answers = Vec::new();
        for key in series(self.connection, self.scope)? {
            match named(&key) {
                Some(series) => answers.extend(answer(&series)?),
                None => self.pass_over(rows_of(self.connection, &key, self.bounds)?),
            }
        }
        Ok(answers)
    }

    /// The last id before a time, if it may be a neighbour.
    fn last_id_before(&self, series: &Series, before: i64) -> Answer<Option<TradeId>> {
        Ok(self.last_before(series, self.bounds.oldest_neighbour, before)?.map(|before| before.trade.id))
    }

    /// The largest (T, id) with `from <= T < before`.
    fn last_before(&self, series: &Series, from: i64, before: i64) -> Answer<Option<StoredTrade>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4 \
             ORDER BY time DESC, trade_id DESC"
        );
        self.one(&sql, series, from, before)
    }

    /// The smallest (T, id) with `from <= T < before`.
    fn first_from(&self, series: &Series, from: i64, before: i64) -> Answer<Option<StoredTrade>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4 \
             ORDER BY time, trade_id"
        );
        self.one(&sql, series, from, before)
    }

    fn one(&self, sql: &str, series: &Series, from: i64, before: i64) -> Answer<Option<StoredTrade>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![series.0.as_str(), series.1.as_str(), from, before])?;
        while let Some(row) = rows.next()? {
            if let Some(trade) = self.stored_trade(row, series)? {
                return Ok(Some(trade));
            }
            self.pass_over(1);
        }
        Ok(None)
    }

    /// The id and the price of a row that is a trade; `None`, and counted, if it is none.
    fn checked<'r>(&self, row: &'r Row<'_>) -> rusqlite::Result<Option<(TradeId, &'r [u8])>> {
        let (price, quantity) = (text(row, 2)?, text(row, 3)?);
        let is_trade = is_decimal_text(price) && is_decimal_text(quantity);
        let checked = id(row)?.filter(|_| is_trade).map(|id| (id, price));
        self.pass_over(u64::from(checked.is_none()));
        Ok(checked)
    }

    /// The trade in a row, if it is one.
    pub(super) fn stored_trade(
        &self,
        row: &Row<'_>,
        (exchange, symbol): &Series,
    ) -> rusqlite::Result<Option<StoredTrade>> {
        let texts = (std::str::from_utf8(text(row, 2)?).ok(), std::str::from_utf8(text(row, 3)?).ok());
        let (Some(price), Some(quantity)) = texts else { return Ok(None) };
        let parts = (id(row)?, TradeTime::from_ms(row.get(0)?), Price::new(price), Quantity::new(quantity));
        let (Some(id), Ok(time), Ok(price), Ok(quantity)) = parts else { return Ok(None) };
        let trade = Trade { symbol: symbol.clone(), id, time, price, quantity, buyer_is_maker: row.get(4)? };
        Ok(Some(StoredTrade { exchange: exchange.clone(), trade }))
    }

    pub(super) fn pass_over(&self, rows: u64) {
        self.passed_over.set(self.passed_over.get() + rows);
    }
}

/// A series whose names are as a capture writes them.
fn named((exchange, symbol): &Key) -> Option<Series> {
    let (exchange, symbol) = (std::str::from_utf8(&exchange.0).ok()?, std::str::from_utf8(&symbol.0).ok()?);
    let series: Series = (exchange.parse().ok()?, symbol.parse().ok()?);
    // A symbol in small letters is another one, which no capture writes.
    (series.1.as_str() == symbol).then_some(series)
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    row.get_ref(column)?.as_bytes().map_err(Into::into)
}

fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn id(row: &Row<'_>) -> rusqlite::Result<Option<TradeId>> {
    Ok(TradeId::new(row.get::<_, i64>(1)?.cast_unsigned()).ok())
}

/// A text as it lies in the file, whether it is UTF-8 or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawText(Vec<u8>);

impl FromSql for RawText {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_bytes().map(|bytes| Self(bytes.to_vec()))
    }
}

impl ToSql for RawText {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

/// The names of a series in the file.
pub(super) type Key = (RawText, RawText);

/// Every series in scope, by steps from key to key: as quick with many trades as with few.
pub(super) fn series(connection: &Connection, scope: &Scope) -> rusqlite::Result<Vec<Key>> {
    let mut all = Vec::new();
    for exchange in exchanges(connection, scope)? {
        let symbols = symbols(connection, &exchange, scope)?;
        all.extend(symbols.into_iter().map(|symbol| (exchange.clone(), symbol)));
    }
    Ok(all)
}

fn exchanges(connection: &Connection, scope: &Scope) -> rusqlite::Result<Vec<RawText>> {
    if let Some(exchange) = &scope.exchange {
        return Ok(vec![RawText(exchange.as_str().into())]);
    }
    let mut first = connection.prepare_cached("SELECT exchange FROM trade ORDER BY exchange LIMIT 1")?;
    let mut next =
        connection.prepare_cached("SELECT exchange FROM trade WHERE exchange > ?1 ORDER BY exchange LIMIT 1")?;
    steps(|last| match last {
        None => first.query_row([], |row| row.get(0)).optional(),
        Some(last) => next.query_row([last], |row| row.get(0)).optional(),
    })
}

/// Those that are asked for and stored: to walk over a thousand others for each would take longer than its answer.
fn symbols(connection: &Connection, exchange: &RawText, scope: &Scope) -> rusqlite::Result<Vec<RawText>> {
    if scope.symbols.is_empty() {
        let mut first =
            connection.prepare_cached("SELECT symbol FROM trade WHERE exchange = ?1 ORDER BY symbol LIMIT 1")?;
        let mut next = connection
            .prepare_cached("SELECT symbol FROM trade WHERE exchange = ?1 AND symbol > ?2 ORDER BY symbol LIMIT 1")?;
        return steps(|last| match last {
            None => first.query_row([exchange], |row| row.get(0)).optional(),
            Some(last) => next.query_row([exchange, last], |row| row.get(0)).optional(),
        });
    }
    let mut any = connection.prepare_cached("SELECT 1 FROM trade WHERE exchange = ?1 AND symbol = ?2 LIMIT 1")?;
    let mut stored = Vec::new();
    for symbol in scope.symbols.iter().collect::<BTreeSet<_>>() {
        let symbol = RawText(symbol.as_str().into());
        if any.exists([exchange, &symbol])? {
            stored.push(symbol);
        }
    }
    Ok(stored)
}

/// Every value that `next` gives of the one before it, from the smallest on.
fn steps(
    mut next: impl FnMut(Option<&RawText>) -> rusqlite::Result<Option<RawText>>,
) -> rusqlite::Result<Vec<RawText>> {
    let mut all: Vec<RawText> = Vec::new();
    while let Some(value) = next(all.last())? {
        all.push(value);
    }
    Ok(all)
}

/// How many rows a series has within the bounds.
fn rows_of(connection: &Connection, key: &Key, bounds: Bounds) -> rusqlite::Result<u64> {
    let mut count = connection.prepare_cached(
        "SELECT count(*) FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4",
    )?;
    count.query_row(params![key.0, key.1, bounds.oldest, bounds.end], |row| row.get(0))
}

/// The oldest trade time of a series, in ms.
pub(super) fn oldest_time(connection: &Connection, key: &Key) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(time) FROM trade WHERE exchange = ?1 AND symbol = ?2")?
        .query_row(params![key.0, key.1], |row| row.get(0))
}
