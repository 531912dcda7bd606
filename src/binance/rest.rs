//! REST: which symbols the exchange lists, and its history of trades.
//!
//! Source: Binance's `rest-api.md` and `errors.md`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use thiserror::Error;

use super::url_word;
use crate::trade::{Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime};

/// Rows in one page of history, at most.
pub const PAGE_MAX: u64 = 1_000;
/// How long one REST request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Symbols in one question whether they are listed: their names are part of a URL.
const LISTED_AT_ONCE: usize = 100;
/// Binance's code for a symbol that it does not list.
const INVALID_SYMBOL: i64 = -1121;

/// Why a REST request gave no answer that can be used; the causes stand in its sources.
#[derive(Debug, Error)]
pub enum RestError {
    /// The HTTP client could not be set up.
    #[error("cannot set up HTTP")]
    Setup(#[source] reqwest::Error),
    /// No usable answer; it may come the next time.
    #[error("{url} does not answer")]
    Unreachable {
        /// The address asked.
        url: String,
        /// What reqwest says.
        source: reqwest::Error,
    },
    /// The limits of the address are reached (429, 418).
    #[error("{url} asks to wait {} s: {body}", wait.as_secs())]
    Limited {
        /// The address asked.
        url: String,
        /// `Retry-After`, or a minute.
        wait: Duration,
        /// The exchange's words.
        body: String,
    },
    /// Binance does not serve this place or this host (451, 403).
    #[error("{url} answered {status}, it is not to be used from here: give another --rest-url: {body}")]
    NotFromHere {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The exchange's words.
        body: String,
    },
    /// Another answer that says no.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The exchange's words.
        body: String,
    },
    /// A page of history that is none.
    #[error("{url} answered with what is no page of trades")]
    Page {
        /// The address asked.
        url: String,
        /// What is wrong with it.
        source: PageError,
    },
}

/// Why a text is not a page of history.
#[derive(Debug, Error)]
pub enum PageError {
    /// Not JSON, or rows without the documented keys.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A row whose values are not a trade's.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

/// A client for the exchange's REST.
#[derive(Debug, Clone)]
pub struct Rest {
    base: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerTime {
    server_time: i64,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: i64,
}

/// A row of `historicalTrades`; numbers come as text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    id: u64,
    price: &'a str,
    qty: &'a str,
    time: i64,
    is_buyer_maker: bool,
}

/// A row of `aggTrades`: trades of one taker order at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Aggregate {
    /// The id of its first trade; negative in a row that Binance has voided.
    #[serde(rename = "f")]
    pub first_id: i64,
    /// The id of its last trade.
    #[serde(rename = "l")]
    pub last_id: i64,
    /// When they happened, in milliseconds.
    #[serde(rename = "T")]
    pub time_ms: i64,
}

/// Reads a page of `historicalTrades` of `symbol`, up to the first row that is no trade.
///
/// # Errors
///
/// [`PageError`] if it is not an array of documented rows, or its first row is no trade.
pub fn read_page(symbol: &Symbol, text: &str) -> Result<Vec<Trade>, PageError> {
    let rows: Vec<Row<'_>> = serde_json::from_str(text)?;
    let trade = |row: &Row<'_>| {
        Ok(Trade {
            symbol: symbol.clone(),
            id: TradeId::new(row.id)?,
            time: TradeTime::from_ms(row.time)?,
            price: Price::new(row.price)?,
            quantity: Quantity::new(row.qty)?,
            buyer_is_maker: row.is_buyer_maker,
        })
    };
    let mut trades = Vec::with_capacity(rows.len());
    for row in &rows {
        match trade(row) {
            Ok(trade) => trades.push(trade),
            Err(error) if trades.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(trades)
}

impl Rest {
    /// A client below `base`, such as `https://api.binance.com`.
    ///
    /// # Errors
    ///
    /// [`RestError::Setup`] if the HTTP client cannot be made.
    pub fn new(base: &str, tls: &Arc<rustls::ClientConfig>) -> Result<Self, RestError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(RestError::Setup)?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// The first of `symbols` that the exchange does not list, if there is one.
    ///
    /// `exchangeInfo`, weight 20 for a hundred symbols, and for a hundred with an unknown one at most seven times more.
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or does not say.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn unlisted<'a>(&self, symbols: &'a [Symbol]) -> Result<Option<&'a Symbol>, RestError> {
        for mut asked in symbols.chunks(LISTED_AT_ONCE) {
            if self.lists(asked).await? {
                continue;
            }
            while asked.len() > 1 {
                let (first, second) = asked.split_at(asked.len() / 2);
                asked = if self.lists(first).await? { second } else { first };
            }
            return Ok(asked.first());
        }
        Ok(None)
    }

    /// Whether the exchange lists all of `symbols`: it refuses to tell of any if one is unknown.
    async fn lists(&self, symbols: &[Symbol]) -> Result<bool, RestError> {
        let names: Vec<_> = symbols.iter().map(Symbol::as_str).collect();
        let names = url_word(&serde_json::json!(names).to_string());
        match self.get("exchangeInfo", &format!("symbols={names}")).await {
            Ok(_) => Ok(true),
            Err(RestError::Refused { body, .. }) if code(&body) == Some(INVALID_SYMBOL) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Up to `limit` trades of `symbol` with ids from `from_id` on (`historicalTrades`, weight 25).
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or its answer is no page.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn history(&self, symbol: &Symbol, from_id: u64, limit: u64) -> Result<Vec<Trade>, RestError> {
        let query = format!("{}&fromId={from_id}&limit={limit}", of_symbol(symbol));
        let (url, body) = self.get("historicalTrades", &query).await?;
        read_page(symbol, &body).map_err(|source| RestError::Page { url, source })
    }

    /// The newest trades of `symbol` (`trades`, weight 25), oldest first.
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or its answer is no page.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn newest_trades(&self, symbol: &Symbol) -> Result<Vec<Trade>, RestError> {
        let (url, body) = self.get("trades", &format!("{}&limit={PAGE_MAX}", of_symbol(symbol))).await?;
        read_page(symbol, &body).map_err(|source| RestError::Page { url, source })
    }

    /// The exchange's time (`time`, weight 1).
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or does not say.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn time(&self) -> Result<TradeTime, RestError> {
        let (url, body) = self.get("time", "").await?;
        let said: ServerTime = serde_json::from_str(&body)
            .map_err(|source| RestError::Page { url: url.clone(), source: source.into() })?;
        TradeTime::from_ms(said.server_time).map_err(|source| RestError::Page { url, source: source.into() })
    }

    /// The first aggregate of `symbol` at or after `since`, or its newest one (`aggTrades`, weight 4).
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or its answer is no page.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn aggregate(&self, symbol: &Symbol, since: Option<TradeTime>) -> Result<Option<Aggregate>, RestError> {
        // Binance has voided single rows; the first of some that is not will do.
        let start = since.map_or_else(String::new, |since| format!("&startTime={}", since.ms()));
        let query = format!("{}&limit=10{start}", of_symbol(symbol));
        let (url, body) = self.get("aggTrades", &query).await?;
        let rows: Vec<Aggregate> =
            serde_json::from_str(&body).map_err(|source| RestError::Page { url, source: source.into() })?;
        let mut valid = rows.into_iter().filter(|row| row.first_id >= 0 && row.last_id >= row.first_id);
        Ok(if since.is_some() { valid.next() } else { valid.next_back() })
    }

    /// Gives the address and the body of a successful answer.
    async fn get(&self, path: &str, query: &str) -> Result<(String, String), RestError> {
        let url = format!("{}/api/v3/{path}?{query}", self.base);
        let unreachable =
            |source: reqwest::Error| RestError::Unreachable { url: url.clone(), source: source.without_url() };
        let answer = self.http.get(&url).send().await.map_err(unreachable)?;
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.text().await.map_err(unreachable)?;
        match status.as_u16() {
            200..=299 => Ok((url, body)),
            418 | 429 => Err(RestError::Limited { url, wait: Duration::from_secs(retry_after.unwrap_or(60)), body }),
            status @ (403 | 451) => Err(RestError::NotFromHere { url, status, body }),
            status => Err(RestError::Refused { url, status, body }),
        }
    }
}

fn of_symbol(symbol: &Symbol) -> String {
    format!("symbol={}", url_word(symbol.as_str()))
}

fn code(body: &str) -> Option<i64> {
    serde_json::from_str(body).ok().map(|ErrorBody { code }| code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(text: &str) -> Result<Vec<Trade>, PageError> {
        read_page(&"BTCUSDT".parse().unwrap(), text)
    }

    #[test]
    fn a_page_keeps_every_value() {
        let row = r#"{"id":42,"price":"37000.10000000","qty":"0.00200000","quoteQty":"74.00020000","time":1700000000000,"isBuyerMaker":true,"isBestMatch":true}"#;
        let trades = page(&format!("[{row}]")).unwrap();
        assert_eq!((trades[0].id.get(), trades[0].time.ms()), (42, 1_700_000_000_000));
        assert_eq!((trades[0].price.as_str(), trades[0].quantity.as_str()), ("37000.10000000", "0.00200000"));
        assert!(trades[0].buyer_is_maker);
        assert_eq!(page("[]").unwrap(), []);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in ["", "{}", r#"{"code":-1121,"msg":"Invalid symbol."}"#, r#"[{"id":1}]"#, "[1]"] {
            assert!(matches!(page(text), Err(PageError::Json(_))), "{text}");
        }
        let zero = r#"[{"id":42,"price":"0","qty":"1","time":1,"isBuyerMaker":true}]"#;
        assert!(matches!(page(zero), Err(PageError::Trade(_))));
        let good = zero.replace("\"0\"", "\"5\"");
        let both = format!("[{},{}]", good.trim_matches(['[', ']']), zero.trim_matches(['[', ']']));
        assert_eq!(page(&both).unwrap().len(), 1, "the rows before it are taken");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = page(&text);
        }
    }
}
