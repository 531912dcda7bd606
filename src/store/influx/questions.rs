//! The questions, asked with the bundled Flux files.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

use super::Influx;
use super::flux_csv::{FluxCsvError, Row, rows};
use crate::flux::{Question, Selection, render};
use crate::store::{Candle, HighLow, Interval, Scope, StoreError, StoredTrade};
use crate::trade::{Price, Quantity, Trade, TradeId, TradeTime};

/// The queries take milliseconds; a day of trades on a busy machine a few seconds.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

impl Influx {
    pub(super) async fn ask_latest(&self, scope: &Scope) -> Result<Vec<StoredTrade>, StoreError> {
        self.ask(Question::Latest, scope, |row| stored_trade(row, &TRADE)).await
    }

    pub(super) async fn ask_price_at(
        &self,
        scope: &Scope,
        time: TradeTime,
        as_of: bool,
    ) -> Result<Vec<StoredTrade>, StoreError> {
        let question = Question::PriceAt { time_ms: Some(time.ms()), as_of };
        self.ask(question, scope, |row| stored_trade(row, &TRADE)).await
    }

    pub(super) async fn ask_high_low(&self, scope: &Scope, time: TradeTime) -> Result<Vec<HighLow>, StoreError> {
        self.ask(Question::HighLow { minute_ms: Some(time.ms()) }, scope, high_low).await
    }

    pub(super) async fn ask_candles(
        &self,
        scope: &Scope,
        since: TradeTime,
        every: Interval,
    ) -> Result<Vec<Candle>, StoreError> {
        let question = Question::Candles { since_ms: Some(since.ms()), every_ms: Some(every.ms()) };
        self.ask(question, scope, candle).await
    }

    pub(super) async fn ask<T>(
        &self,
        question: Question,
        scope: &Scope,
        read: impl Fn(&Row) -> Result<T, FluxCsvError>,
    ) -> Result<Vec<T>, StoreError> {
        let symbols: Vec<_> = scope.symbols.iter().map(ToString::to_string).collect();
        let exchanges: Vec<_> = scope.exchange.iter().map(ToString::to_string).collect();
        let selection = Selection { bucket: &self.bucket, symbols: &symbols, exchanges: &exchanges };
        let script = render(&question, &selection).map_err(|error| StoreError::Settings(error.to_string()))?;
        let answer = self.query(script).await?;
        let read_all = || rows(&answer)?.iter().map(read).collect::<Result<Vec<T>, _>>();
        read_all().map_err(|error| {
            let name = question.script().name();
            StoreError::Unusable(format!("{} answered {name}.flux with what is no answer: {error}", self.base))
        })
    }

    /// Runs a Flux script and gives the CSV of its answer.
    async fn query(&self, script: String) -> Result<String, StoreError> {
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
        let status = reply.status();
        let body = reply.text().await.map_err(no_answer)?;
        let said = self.said(status.as_u16(), &body);
        match status.as_u16() {
            200 => Ok(body),
            // A missing bucket is a 404, and so is one that the token may not read; an unknown organization is a 400.
            400 if !body.contains("organization") => Err(StoreError::Unusable(said)),
            400 | 401 | 403 | 404 => {
                Err(StoreError::Settings(format!("{said}: see --org, --bucket and a token that may read")))
            }
            _ => Err(StoreError::Unusable(said)),
        }
    }
}

/// Names of the columns that hold a trade.
struct Columns {
    trade_id: &'static str,
    time: &'static str,
    price: &'static str,
    quantity: &'static str,
    buyer_is_maker: &'static str,
}

const TRADE: Columns = Columns {
    trade_id: "trade_id",
    time: "time",
    price: "price",
    quantity: "quantity",
    buyer_is_maker: "buyer_is_maker",
};

const HIGH: Columns = Columns {
    trade_id: "high_trade_id",
    time: "high_time",
    price: "high_price",
    quantity: "high_quantity",
    buyer_is_maker: "high_buyer_is_maker",
};

const LOW: Columns = Columns {
    trade_id: "low_trade_id",
    time: "low_time",
    price: "low_price",
    quantity: "low_quantity",
    buyer_is_maker: "low_buyer_is_maker",
};

fn stored_trade(row: &Row, columns: &Columns) -> Result<StoredTrade, FluxCsvError> {
    let trade = Trade {
        symbol: row.value("symbol", |text| text.parse().ok())?,
        id: row.value(columns.trade_id, |text| TradeId::new(text.parse().ok()?).ok())?,
        time: row.value(columns.time, time)?,
        price: row.value(columns.price, |text| Price::new(text).ok())?,
        quantity: row.value(columns.quantity, |text| Quantity::new(text).ok())?,
        buyer_is_maker: row.value(columns.buyer_is_maker, |text| text.parse().ok())?,
    };
    Ok(StoredTrade { exchange: row.value("exchange", |text| text.parse().ok())?, trade })
}

fn high_low(row: &Row) -> Result<HighLow, FluxCsvError> {
    Ok(HighLow {
        minute: row.value("minute", time)?,
        trades: row.value("trades", |text| text.parse().ok())?,
        missing: row.value("missing", |text| text.parse().ok())?,
        open: row.value("open", |text| text.parse().ok())?,
        high: stored_trade(row, &HIGH)?,
        low: stored_trade(row, &LOW)?,
    })
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
