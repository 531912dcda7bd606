//! The questions, each answered by walking the table's key.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};
use thiserror::Error;

use crate::store::gaps::Audit;
use crate::store::{Candle, Gaps, HighLow, Interval, Scope, StoredTrade};
use crate::trade::{Exchange, Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime, compare_texts};

/// A minute in milliseconds.
const MINUTE_MS: i64 = 60_000;

/// Why the file gave no answer.
#[derive(Debug, Error)]
pub(super) enum QuestionError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("a row is not a trade: {0}")]
    Row(#[from] TradeError),
}

type Series = (Exchange, Symbol);
type Answer<T> = Result<T, QuestionError>;

/// Columns that [`stored_trade`] reads, in its order.
const COLUMNS: &str = "time, trade_id, price, quantity, buyer_is_maker";

pub(super) fn latest(connection: &Connection, scope: &Scope, bound: i64) -> Answer<Vec<StoredTrade>> {
    each_series(connection, scope, |series| last_before(connection, series, bound, i64::MAX))
}

pub(super) fn price_at(
    connection: &Connection,
    scope: &Scope,
    time: TradeTime,
    as_of: bool,
    bound: i64,
) -> Answer<Vec<StoredTrade>> {
    let time = time.ms();
    each_series(connection, scope, |series| {
        if as_of {
            return last_before(connection, series, bound, time + 1);
        }
        let before = last_before(connection, series, bound, time)?;
        let after = first_from(connection, series, time.max(bound))?;
        Ok(match (before, after) {
            (Some(before), Some(after)) => {
                let before_is_nearer = time - before.trade.time.ms() <= after.trade.time.ms() - time;
                Some(if before_is_nearer { before } else { after })
            }
            (before, after) => before.or(after),
        })
    })
}

pub(super) fn high_low(
    connection: &Connection,
    scope: &Scope,
    time: TradeTime,
    bound: i64,
    now: TradeTime,
) -> Answer<Vec<HighLow>> {
    let minute = time.ms() - time.ms() % MINUTE_MS;
    let open = now.ms() < minute + MINUTE_MS;
    let minute_time = TradeTime::from_ms(minute)?;
    each_series(connection, scope, |series| {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4"
        ))?;
        let mut rows =
            statement.query(params![series.0.as_str(), series.1.as_str(), minute.max(bound), minute + MINUTE_MS])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let mut high = stored_trade(row, series)?;
        let (mut low, mut trades, mut first, mut last) = (high.clone(), 1, high.trade.id, high.trade.id);
        while let Some(row) = rows.next()? {
            // Only an extreme is read as a whole: a minute may have ten thousand trades.
            let (id, price) = (id(row)?, row.get_ref(2)?.as_bytes().map_err(rusqlite::Error::from)?);
            // Of the same prices the lower id; the key's order by time is not the order of ids.
            if compare_texts(price, high.trade.price.as_bytes()).then(high.trade.id.cmp(&id)).is_gt() {
                high = stored_trade(row, series)?;
            }
            if compare_texts(price, low.trade.price.as_bytes()).then(id.cmp(&low.trade.id)).is_lt() {
                low = stored_trade(row, series)?;
            }
            trades += 1;
            (first, last) = (first.min(id), last.max(id));
        }
        // A count that began again in this minute has ids twice.
        let missing = (last.get() - first.get() + 1).saturating_sub(trades);
        Ok(Some(HighLow { minute: minute_time, trades, missing, open, high, low }))
    })
}

/// Which ids are absent among the trades from `since` on, in ms.
pub(super) fn gaps(connection: &Connection, scope: &Scope, since: i64) -> Answer<Vec<Gaps>> {
    each_series(connection, scope, |(exchange, symbol)| {
        let mut ids = connection.prepare_cached(
            "SELECT trade_id FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 ORDER BY time, trade_id",
        )?;
        let mut audit = Audit::default();
        let mut rows = ids.query(params![exchange.as_str(), symbol.as_str(), since])?;
        while let Some(row) = rows.next()? {
            audit.add(TradeId::new(row.get::<_, i64>(0)?.cast_unsigned())?.into());
        }
        Ok(audit.finish(exchange.clone(), symbol.clone()))
    })
}

/// The candles from the one that holds `since`, in one pass; not before `bound`, in ms.
pub(super) fn candles(
    connection: &Connection,
    scope: &Scope,
    since: TradeTime,
    every: Interval,
    bound: i64,
) -> Answer<Vec<Candle>> {
    let from = every.begin(since)?.ms().max(bound);
    let all = each_series(connection, scope, |series| candles_of(connection, series, from, every).map(Some))?;
    Ok(all.into_iter().flatten().collect())
}

fn candles_of(connection: &Connection, series: &Series, from: i64, every: Interval) -> Answer<Vec<Candle>> {
    let (exchange, symbol) = series;
    let mut trades = connection.prepare_cached(
        "SELECT time, price, quantity FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 \
         ORDER BY time, trade_id",
    )?;
    let mut rows = trades.query(params![exchange.as_str(), symbol.as_str(), from])?;
    let mut candles: Vec<Candle> = Vec::new();
    while let Some(row) = rows.next()? {
        let time = TradeTime::from_ms(row.get(0)?)?;
        let (price, quantity) = (float(row, 1, "price")?, float(row, 2, "quantity")?);
        match candles.last_mut().filter(|candle| time.ms() - candle.time.ms() < every.ms()) {
            Some(candle) => candle.add(price, quantity),
            None => {
                let (exchange, symbol) = (exchange.clone(), symbol.clone());
                candles.push(Candle::of_one(exchange, symbol, every.begin(time)?, price, quantity));
            }
        }
    }
    Ok(candles)
}

/// The exchange's text as a float: to draw, not to reckon with.
fn float(row: &Row<'_>, column: usize, what: &'static str) -> Answer<f64> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    text.parse().map_err(|_| QuestionError::Row(TradeError::Number { what, text: text.to_owned() }))
}

/// Every series in scope, by steps from key to key: as quick with many trades as with few.
pub(super) fn series(connection: &Connection, scope: &Scope) -> rusqlite::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for exchange in exchanges(connection, scope)? {
        let symbols = symbols(connection, &exchange, scope)?;
        all.extend(symbols.into_iter().map(|symbol| (exchange.clone(), symbol)));
    }
    Ok(all)
}

fn exchanges(connection: &Connection, scope: &Scope) -> rusqlite::Result<Vec<String>> {
    if let Some(exchange) = &scope.exchange {
        return Ok(vec![exchange.to_string()]);
    }
    let mut next =
        connection.prepare_cached("SELECT exchange FROM trade WHERE exchange > ?1 ORDER BY exchange LIMIT 1")?;
    steps(|last| next.query_row([last], |row| row.get(0)).optional())
}

/// Those that are asked for and stored: to walk over a thousand others for each would take longer than its answer.
fn symbols(connection: &Connection, exchange: &str, scope: &Scope) -> rusqlite::Result<Vec<String>> {
    if scope.symbols.is_empty() {
        let mut next = connection
            .prepare_cached("SELECT symbol FROM trade WHERE exchange = ?1 AND symbol > ?2 ORDER BY symbol LIMIT 1")?;
        return steps(|last| next.query_row([exchange, last], |row| row.get(0)).optional());
    }
    let mut any = connection.prepare_cached("SELECT 1 FROM trade WHERE exchange = ?1 AND symbol = ?2 LIMIT 1")?;
    let mut stored = Vec::new();
    for symbol in scope.symbols.iter().collect::<BTreeSet<_>>() {
        if any.exists([exchange, symbol.as_str()])? {
            stored.push(symbol.to_string());
        }
    }
    Ok(stored)
}

/// Every value that `next` gives of the one before it, from the smallest on.
fn steps(mut next: impl FnMut(&str) -> rusqlite::Result<Option<String>>) -> rusqlite::Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    while let Some(value) = next(all.last().map_or("", String::as_str))? {
        all.push(value);
    }
    Ok(all)
}

/// The oldest trade time of a series, in ms.
pub(super) fn oldest_time(connection: &Connection, key: (&str, &str)) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(time) FROM trade WHERE exchange = ?1 AND symbol = ?2")?
        .query_row(params![key.0, key.1], |row| row.get(0))
}

fn each_series<T>(
    connection: &Connection,
    scope: &Scope,
    mut answer: impl FnMut(&Series) -> Answer<Option<T>>,
) -> Answer<Vec<T>> {
    let mut answers = Vec::new();
    for (exchange, symbol) in series(connection, scope)? {
        answers.extend(answer(&(exchange.parse()?, symbol.parse()?))?);
    }
    Ok(answers)
}

/// The largest (T, id) with `from <= T < before`.
fn last_before(connection: &Connection, series: &Series, from: i64, before: i64) -> Answer<Option<StoredTrade>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4 \
         ORDER BY time DESC, trade_id DESC LIMIT 1"
    );
    one(connection, &sql, series, from, before)
}

/// The smallest (T, id) with `from <= T`.
fn first_from(connection: &Connection, series: &Series, from: i64) -> Answer<Option<StoredTrade>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM trade WHERE exchange = ?1 AND symbol = ?2 AND time >= ?3 AND time < ?4 \
         ORDER BY time, trade_id LIMIT 1"
    );
    one(connection, &sql, series, from, i64::MAX)
}

fn one(connection: &Connection, sql: &str, series: &Series, from: i64, before: i64) -> Answer<Option<StoredTrade>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![series.0.as_str(), series.1.as_str(), from, before])?;
    rows.next()?.map(|row| stored_trade(row, series)).transpose()
}

fn stored_trade(row: &Row<'_>, (exchange, symbol): &Series) -> Answer<StoredTrade> {
    let trade = Trade {
        symbol: symbol.clone(),
        id: id(row)?,
        time: TradeTime::from_ms(row.get(0)?)?,
        price: Price::new(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?,
        quantity: Quantity::new(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)?,
        buyer_is_maker: row.get(4)?,
    };
    Ok(StoredTrade { exchange: exchange.clone(), trade })
}

fn id(row: &Row<'_>) -> Answer<TradeId> {
    Ok(TradeId::new(row.get::<_, i64>(1)?.cast_unsigned())?)
}
