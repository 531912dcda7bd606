//! The questions, asked with the bundled Flux files.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Response, StatusCode};
use thiserror::Error;

use super::flux_csv::{Decoder, FluxCsvError, Row};
use super::rules::OwnWords;
use super::{Influx, quoted};
use crate::flux::{Question, Selection, render};
use crate::net::body::read_begin;
use crate::store::{Candle, HighLow, Interval, Scope, StoreError, StoredTrade};
use crate::text::Excerpt;
use crate::trade::{MINUTE_MS, Price, Quantity, Trade, TradeId, TradeTime};

/// The queries take milliseconds; a day of trades on a busy machine a few seconds.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Before each look at what is no trade; a write that the first one saw is done by the last.
const FOREIGN_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1_200)];
/// What is older is not being written.
const IN_FLIGHT_MS: i64 = 60_000;
/// Columns that hold what others may have written.
const FOREIGN_TEXTS: [&str; 4] = ["exchange", "symbol", "price", "quantity"];
/// Rows of an answer that is kept whole; a day of candles of a second has 86,400.
const LIST_ROWS_MAX: usize = 200_000;

impl Influx {
    pub(super) async fn ask_latest(&self, scope: &Scope) -> Result<Vec<StoredTrade>, StoreError> {
        self.ask(Question::Latest, scope, stored_trade).await
    }

    pub(super) async fn ask_price_at(
        &self,
        scope: &Scope,
        time: TradeTime,
        as_of: bool,
    ) -> Result<Vec<StoredTrade>, StoreError> {
        let question = Question::PriceAt { time_ms: Some(time.ms()), as_of };
        self.ask(question, scope, stored_trade).await
    }

    pub(super) async fn ask_high_low(&self, scope: &Scope, time: TradeTime) -> Result<Vec<HighLow>, StoreError> {
        let rows = self.ask(Question::HighLow { minute_ms: Some(time.ms()) }, scope, extreme).await?;
        let minute = time.minute();
        let open = (self.clock)() < minute.later_by(MINUTE_MS);
        Ok(minutes(minute, open, rows))
    }

    pub(super) async fn ask_candles(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        every: Interval,
    ) -> Result<Vec<Candle>, StoreError> {
        let question = Question::Candles { since_ms: Some(since.ms()), every_ms: Some(every.ms()) };
        let mut candles = self.ask(question, scope, candle).await?;
        candles.retain(|candle| until.is_none_or(|until| candle.time < until));
        Ok(candles)
    }

    /// How many points of a stretch of time are no trades, and why. A point that is being written is one a moment later.
    pub(super) async fn ask_foreign(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> Option<String> {
        let mut until_ms = until.map(TradeTime::ms);
        let count = |row: &Row| {
            let newest_ms = row.value("newest", time)?.ms();
            Ok((row.text("reason")? == "name", row.value("points", |text| text.parse::<u64>().ok())?, newest_ms))
        };
        let (mut names, mut points) = (0, 0);
        for pause in FOREIGN_PAUSES {
            tokio::time::sleep(pause).await;
            let question = Question::Foreign { since_ms: Some(since.ms()), until_ms };
            let rows = self.ask(question, scope, count).await.ok()?;
            let of = |wanted| rows.iter().filter(|(is_name, ..)| *is_name == wanted).map(|(_, count, _)| *count).sum();
            (names, points) = (of(true), of(false));
            if names + points == 0 {
                return None;
            }
            // What is written after this look is none of what it saw.
            let newest_ms = rows.iter().map(|(.., newest_ms)| *newest_ms).max()?;
            if newest_ms < (self.clock)().ms() - IN_FLIGHT_MS {
                break;
            }
            until_ms = Some(newest_ms + 1);
        }
        Some(format!(
            "{} points of bucket {} are no trades and were passed over: {names} whose exchange or symbol is no name, \
             {points} with fields missing, other types or other tags: see flux/foreign.flux",
            names + points,
            self.bucket
        ))
    }

    /// Asks for a list, which is kept whole.
    pub(super) async fn ask<T>(
        &self,
        question: Question,
        scope: &Scope,
        read: impl Fn(&Row) -> Result<T, FluxCsvError> + Send + Sync,
    ) -> Result<Vec<T>, StoreError>
    where
        T: Send,
    {
        let mut list = Vec::new();
        let keep = |row: &Row| {
            if list.len() == LIST_ROWS_MAX {
                return Err(FluxCsvError::Rows(LIST_ROWS_MAX));
            }
            list.push(read(row)?);
            Ok(())
        };
        self.ask_each(question, scope, keep).await?;
        Ok(list)
    }

    /// Asks, and hands over each row as it comes.
    pub(super) async fn ask_each(
        &self,
        question: Question,
        scope: &Scope,
        mut on_row: impl FnMut(&Row) -> Result<(), FluxCsvError> + Send,
    ) -> Result<(), StoreError> {
        let symbols: Vec<_> = scope.symbols.iter().map(ToString::to_string).collect();
        let exchanges: Vec<_> = scope.exchange.iter().map(ToString::to_string).collect();
        let selection = Selection { bucket: &self.bucket, symbols: &symbols, exchanges: &exchanges };
        let script = render(&question, &selection).map_err(|error| StoreError::Settings(error.to_string()))?;
        let reply = self.query(script).await?;
        // The scripts pass over what is no trade; what only this program would not take is passed over here.
        let answered = read_answer(reply, |row| match on_row(row) {
            Err(FluxCsvError::Value { column, .. }) if FOREIGN_TEXTS.contains(&column) => Ok(()),
            other => other,
        })
        .await;
        answered.map_err(|error| {
            let name = question.script().name();
            StoreError::Unusable(format!(
                "{}{} answered {name}.flux with what is no answer: {error}",
                self.base, self.via
            ))
        })
    }

    /// Runs a Flux script; gives InfluxDB's answer as soon as it begins.
    async fn query(&self, script: String) -> Result<Response, StoreError> {
        let no_answer = |error: reqwest::Error| {
            StoreError::Unusable(format!("{}: see --store, or start InfluxDB", self.silent(&error)))
        };
        let reply = self
            .http
            .post(format!("{}/api/v2/query", self.base))
            .query(&[("org", &self.org)])
            .timeout(QUERY_TIMEOUT)
            .header(AUTHORIZATION, self.credentials.header())
            .header(CONTENT_TYPE, "application/vnd.flux")
            .header(ACCEPT, "application/csv")
            .body(script)
            .send()
            .await
            .map_err(no_answer)?;
        if reply.status() == StatusCode::OK && is_csv(&reply) {
            return Ok(reply);
        }
        let status = reply.status().as_u16();
        let said = read_begin(reply).await;
        Err(match (status, serde_json::from_str::<OwnWords>(&said)) {
            // A missing bucket is a 404, and so is one that the token may not read; an unknown organization is a 400.
            (401 | 403 | 404, Ok(words)) => StoreError::Settings(self.refused(status, &words)),
            (400, Ok(words)) if words.message.contains("organization") => {
                StoreError::Settings(self.refused(status, &words))
            }
            (400.., Ok(OwnWords { message, .. })) => StoreError::Unusable(self.said(status, cause(&message))),
            _ => StoreError::Unusable(self.no_influxdb(status, &quoted(&said))),
        })
    }

    fn refused(&self, status: u16, words: &OwnWords) -> String {
        let said = Excerpt::of(cause(&words.message));
        format!("{}{} answered {status}: {said}: see --org, --bucket and a token that may read", self.base, self.via)
    }
}

/// What went wrong, without the way of the calls to it.
fn cause(message: &str) -> &str {
    match message.rsplit_once("error calling function") {
        Some((_, call)) => call.split_once(": ").map_or(message, |(_, cause)| cause),
        None => message,
    }
}

fn is_csv(reply: &Response) -> bool {
    let kind = reply.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| matches!(kind.trim(), "text/csv" | "application/csv"))
}

/// Why an answer was not read to its end.
#[derive(Debug, Error)]
enum AnswerError {
    #[error("it broke off: {0}")]
    Broken(String),
    #[error(transparent)]
    Csv(#[from] FluxCsvError),
    #[error("it is empty, and its head is not InfluxDB's: see --store")]
    Empty,
}

/// Reads an answer as it comes. One without a row proves nothing by itself: then its head must be InfluxDB's.
async fn read_answer(
    mut reply: Response,
    mut on_row: impl FnMut(&Row) -> Result<(), FluxCsvError> + Send,
) -> Result<(), AnswerError> {
    let is_influxdb = reply.headers().keys().any(|name| name.as_str().starts_with("x-influxdb-"));
    let mut decoder = Decoder::default();
    let broken = |error: reqwest::Error| AnswerError::Broken(crate::error_chain(&error.without_url()));
    while let Some(chunk) = reply.chunk().await.map_err(broken)? {
        if !chunk.is_empty() {
            decoder.push(&chunk, &mut on_row)?;
        }
    }
    decoder.push(&[], &mut on_row)?;
    if decoder.has_begun() || is_influxdb { Ok(()) } else { Err(AnswerError::Empty) }
}

fn stored_trade(row: &Row) -> Result<StoredTrade, FluxCsvError> {
    let trade = Trade {
        symbol: row.value("symbol", |text| text.parse().ok())?,
        id: row.value("trade_id", |text| TradeId::new(text.parse().ok()?).ok())?,
        time: row.value("time", time)?,
        price: row.value("price", |text| Price::new(text).ok())?,
        quantity: row.value("quantity", |text| Quantity::new(text).ok())?,
        buyer_is_maker: row.value("buyer_is_maker", |text| text.parse().ok())?,
    };
    Ok(StoredTrade { exchange: row.value("exchange", |text| text.parse().ok())?, trade })
}

/// A row of `high_low.flux`: the trade with the highest or the lowest price of a minute, and what it has of the minute.
struct Extreme {
    is_high: bool,
    trade: StoredTrade,
    trades: u64,
    missing: u64,
}

fn extreme(row: &Row) -> Result<Extreme, FluxCsvError> {
    let is_high = |text: &str| match text {
        "high" => Some(true),
        "low" => Some(false),
        _ => None,
    };
    Ok(Extreme {
        is_high: row.value("extreme", is_high)?,
        trade: stored_trade(row)?,
        trades: row.value("trades", |text| text.parse().ok())?,
        missing: row.value("missing", |text| text.parse().ok())?,
    })
}

/// Puts the two rows of each series together, which come one after the other, the high first. One whose other was passed
/// over is, too.
fn minutes(minute: TradeTime, open: bool, rows: Vec<Extreme>) -> Vec<HighLow> {
    let series = |extreme: &Extreme| (extreme.trade.exchange.clone(), extreme.trade.trade.symbol.clone());
    let mut minutes = Vec::new();
    let mut before: Option<Extreme> = None;
    for row in rows {
        match before.take().filter(|high| !row.is_high && series(high) == series(&row)) {
            Some(Extreme { trade: high, trades, missing, .. }) => {
                minutes.push(HighLow { minute, trades, missing, open, high, low: row.trade });
            }
            None => before = row.is_high.then_some(row),
        }
    }
    minutes
}

fn candle(row: &Row) -> Result<Candle, FluxCsvError> {
    let float = |column| row.value(column, |text| text.parse().ok());
    Ok(Candle {
        exchange: row.value("exchange", |text| text.parse().ok())?,
        symbol: row.value("symbol", |text| text.parse().ok())?,
        time: row.value("time", time)?,
        open: float("open")?,
        high: float("high")?,
        low: float("low")?,
        close: float("close")?,
        volume: float("volume")?,
        trades: row.value("trades", |text| text.parse().ok())?,
    })
}

pub(super) fn time(text: &str) -> Option<TradeTime> {
    TradeTime::from_ms(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::example::trade;

    #[test]
    fn a_minute_has_both_extremes_or_is_passed_over() {
        let row = |exchange: &str, is_high, id| Extreme {
            is_high,
            trade: StoredTrade { exchange: exchange.parse().unwrap(), trade: trade(id, 0) },
            trades: 2,
            missing: 0,
        };
        let rows = vec![
            row("a", true, 1),
            row("a", false, 2),
            row("b", true, 3),
            row("c", false, 4),
            row("d", true, 5),
            row("d", false, 5),
            row("e", true, 6),
            row("e", true, 7),
            row("e", false, 8),
        ];
        let ids = |minute: &HighLow| [&minute.high, &minute.low].map(|trade| trade.trade.id.get());
        assert_eq!(
            minutes(TradeTime::EPOCH, false, rows).iter().map(ids).collect::<Vec<_>>(),
            [[1, 2], [5, 5], [7, 8]]
        );
    }
}
