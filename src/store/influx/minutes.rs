//! What a bucket has of each minute, as the storage engine adds it up.

use super::Influx;
use super::flux_csv::{FluxCsvError, Row};
use super::influxql::ProductSums;
use super::questions::time;
use crate::flux::Question;
use crate::store::minutes::{Account, Minute, SumsAccount};
use crate::store::{RETENTION_MS, Scope, StoreError};
use crate::trade::{IdRange, Price, TradeId, TradeTime};

impl Influx {
    pub(super) async fn ask_minutes(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> Result<Vec<Minute>, StoreError> {
        let since = since.ms().max((self.clock)().ms() - RETENTION_MS);
        // An empty range is an error to InfluxDB; the file takes a millisecond instead.
        if until.ms() <= since {
            return Ok(Vec::new());
        }
        let question = Question::Minutes { since_ms: Some(since), until_ms: Some(until.ms()) };
        let from = TradeTime::from_ms(since).unwrap_or(TradeTime::EPOCH);
        let (minutes, products) =
            tokio::join!(self.ask(question, scope, minute), self.ask_products(scope, from, until));
        let mut minutes = minutes?;
        if let Some(products) = products {
            minutes.iter_mut().for_each(|minute| add(minute, &products));
        }
        Ok(minutes)
    }
}

/// Adds what InfluxQL has added up. A minute without a sum of what takers bought has none who did.
fn add(minute: &mut Minute, products: &ProductSums) {
    if let Account::Sums(account) = &mut minute.account {
        let key = (minute.exchange.to_string(), minute.symbol.to_string(), minute.start.ms());
        account.taker_buy_volume = Some(products.taker_buys.get(&key).copied().unwrap_or(0.0));
        account.quote_volume = Some(products.quotes.get(&key).copied().unwrap_or(0.0));
    }
}

fn minute(row: &Row) -> Result<Minute, FluxCsvError> {
    let id = |text: &str| Some(TradeId::new(text.parse().ok()?).ok()?.get());
    let float = |column| row.value(column, |text| text.parse().ok());
    // What is no price is no trade's: then every trade is read.
    let price = |column| Ok(Price::new(row.text(column)?).ok());
    Ok(Minute {
        exchange: row.value("exchange", |text| text.parse().ok())?,
        symbol: row.value("symbol", |text| text.parse().ok())?,
        start: row.value("minute", time)?,
        trades: row.value("trades", |text| text.parse().ok())?,
        ids: IdRange { first: row.value("first_id", id)?, last: row.value("last_id", id)? },
        account: Account::Sums(SumsAccount {
            open: price("open")?,
            high: float("high")?,
            low: float("low")?,
            close: price("close")?,
            volume: float("volume")?,
            quote_volume: None,
            taker_buy_volume: None,
        }),
    })
}
