//! Sums of what needs two fields of a trade, which Flux can only add up by reading every trade: InfluxQL does it in the engine.
//!
//! InfluxDB 2.x serves it at `/query`, for any bucket under its own name, to tokens that may read the bucket. Measured with 2.9.1
//! and five million trades of one symbol: 4 s of CPU for both, against 60 s in Flux (docs/performance.md). What
//! answers in its place, or what is no trade in the bucket, makes a sum that no candle agrees with: then every trade is read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reqwest::Response;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Influx;
use super::questions::QUERY_TIMEOUT;
use crate::net::body::read_whole;
use crate::store::Scope;
use crate::trade::TradeTime;

/// Bytes of an answer, at most; a day of one symbol has 100 kB.
const ANSWER_BYTES_MAX: usize = 16 << 20;

const BY_MINUTE: &str = "GROUP BY time(1m), exchange, symbol fill(none)";

/// The sums of a minute, by its series and its begin.
pub(super) type Sums = BTreeMap<(String, String, i64), f64>;

/// Two sums of each minute.
#[derive(Debug, Default)]
pub(super) struct ProductSums {
    /// Of the quantities of those whose taker bought; a minute without one has none.
    pub(super) taker_buys: Sums,
    /// Of price times quantity.
    pub(super) quotes: Sums,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    results: Vec<Statement<'a>>,
}

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(borrow, default)]
    series: Vec<Series<'a>>,
    error: Option<String>,
    /// There is more than was answered.
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
struct Series<'a> {
    tags: Tags,
    #[serde(borrow)]
    values: Vec<(i64, &'a RawValue)>,
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
struct Tags {
    exchange: String,
    symbol: String,
}

impl Influx {
    /// The sums of the minutes from `since` up to `until`; `None` if InfluxQL is not served here.
    pub(super) async fn ask_products(&self, scope: &Scope, since: TradeTime, until: TradeTime) -> Option<ProductSums> {
        // The engine takes one core for a statement, and for these the longest.
        let middle = TradeTime::from_ms(since.ms().midpoint(until.ms())).ok()?.minute().max(since);
        let (taker_buys, quotes, later) = tokio::join!(
            self.taker_buys(scope, since, until),
            self.quotes(scope, since, middle),
            self.quotes(scope, middle, until),
        );
        let mut quotes = quotes?;
        quotes.extend(later?);
        Some(ProductSums { taker_buys: taker_buys?, quotes })
    }

    async fn taker_buys(&self, scope: &Scope, since: TradeTime, until: TradeTime) -> Option<Sums> {
        let is_in = is_in(scope, since, until);
        let statement = format!("SELECT sum(quantity_float) FROM trade WHERE {is_in} AND buyer_is_maker = false");
        self.sums(&format!("{statement} {BY_MINUTE}")).await
    }

    async fn quotes(&self, scope: &Scope, since: TradeTime, until: TradeTime) -> Option<Sums> {
        if until <= since {
            return Some(Sums::new());
        }
        let (is_in, is_then) = (is_in(scope, since, until), is_then(since, until));
        let products = format!("SELECT price_float * quantity_float AS product FROM trade WHERE {is_in}");
        // Without its time the outer one would be of all time; grouped inside, too, it takes twice as long.
        self.sums(&format!("SELECT sum(product) FROM ({products}) WHERE {is_then} {BY_MINUTE}")).await
    }

    async fn sums(&self, statement: &str) -> Option<Sums> {
        let reply = self.influxql(statement, &[("epoch", "ms")], "application/json").await?;
        read(&read_whole(reply, ANSWER_BYTES_MAX).await.ok()?)
    }

    /// The answer to one statement as soon as it begins; `None` if InfluxQL is not served here.
    pub(super) async fn influxql(
        &self,
        statement: &str,
        how: &[(&str, &str)],
        accept: &'static str,
    ) -> Option<Response> {
        let reply = self
            .http
            .post(format!("{}/query", self.base))
            .query(&[("db", self.bucket.as_str()), ("q", statement)])
            .query(how)
            .timeout(QUERY_TIMEOUT)
            .header(AUTHORIZATION, self.credentials.header())
            .header(ACCEPT, accept)
            .send()
            .await;
        reply.ok().filter(|reply| reply.status().is_success())
    }
}

fn is_then(since: TradeTime, until: TradeTime) -> String {
    format!("time >= {}ms AND time < {}ms", since.ms(), until.ms())
}

/// The condition for the trades in scope. Names hold nothing that ends a literal, and no quote.
pub(super) fn is_in(scope: &Scope, since: TradeTime, until: TradeTime) -> String {
    let mut is_in = is_then(since, until);
    if let Some(exchange) = &scope.exchange {
        let _ = write!(is_in, " AND exchange = '{exchange}'");
    }
    if !scope.symbols.is_empty() {
        let names: Vec<_> = scope.symbols.iter().map(|symbol| format!("symbol = '{symbol}'")).collect();
        let _ = write!(is_in, " AND ({})", names.join(" OR "));
    }
    is_in
}

/// The sums of an answer to one statement; `None` if it is none, or not a whole one.
fn read(answer: &[u8]) -> Option<Sums> {
    let Answer { results } = serde_json::from_slice(answer).ok()?;
    let [Statement { series, error, partial }] = <[Statement<'_>; 1]>::try_from(results).ok()?;
    if error.is_some() || partial || series.iter().any(|series| series.partial) {
        return None;
    }
    let mut sums = Sums::new();
    for Series { tags, values, .. } in series {
        for (start_ms, value) in values {
            // `serde_json` may be a last digit off.
            let sum = value.get().parse().ok()?;
            sums.insert((tags.exchange.clone(), tags.symbol.clone(), start_ms), sum);
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIES: &str =
        r#"{"name":"trade","tags":{"exchange":"practice","symbol":"BTCUSDT"},"columns":["time","sum"],"#;

    fn time(ms: i64) -> TradeTime {
        TradeTime::from_ms(ms).unwrap()
    }

    #[test]
    fn the_sum_of_each_minute_is_read_and_nothing_else() {
        let answer =
            |values: &str| format!(r#"{{"results":[{{"statement_id":0,"series":[{SERIES}"values":[{values}]}}]}}]}}"#);
        let whole = answer("[60000,26.41661000000016],[120000,7]");
        let key = |ms| ("practice".to_owned(), "BTCUSDT".to_owned(), ms);
        let expected = Sums::from([(key(60_000), 26.41661000000016), (key(120_000), 7.0)]);
        assert_eq!(read(whole.as_bytes()), Some(expected));
        assert_eq!(read(br#"{"results":[{"statement_id":0}]}"#), Some(Sums::new()));
        for text in [
            "",
            "<html>",
            "{}",
            r#"{"results":[]}"#,
            r#"{"results":[{"statement_id":0},{"statement_id":1}]}"#,
            r#"{"results":[{"statement_id":0,"error":"timeout"}]}"#,
            &answer("[60000,null]"),
            &whole.replace("}]}", r#","partial":true}]}"#),
            &whole.replace("}]}]}", r#"}],"partial":true}]}"#),
        ] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_is_in_scope() {
        let mut scope = Scope::default();
        assert_eq!(is_in(&scope, time(1), time(2)), "time >= 1ms AND time < 2ms");
        scope.exchange = "practice".parse().ok();
        scope.symbols = vec!["BTCUSDT".parse().unwrap(), "币USDT".parse().unwrap()];
        let expected = " AND exchange = 'practice' AND (symbol = 'BTCUSDT' OR symbol = '币USDT')";
        assert_eq!(is_in(&scope, time(1), time(2)), format!("time >= 1ms AND time < 2ms{expected}"));
    }
}
