//! REST: which symbols the exchange lists, what time it has, and its history of trades.
//!
//! Source: Binance's `rest-api.md` and `errors.md`.

mod klines;
mod page;

use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use thiserror::Error;

pub use self::klines::{Asked, KLINES_MAX, Kline, KlinesError, RowError, read_klines, read_recorded};
pub use self::page::{BadRow, Page, PageError, Row, read_page};
use super::{MARKET_DATA_REST_URL, MARKET_DATA_STREAM_URL, url_word};
use crate::net::Network;
use crate::net::body::{self, BodyError};
use crate::net::endpoint::Endpoint;
use crate::text::Excerpt;
use crate::trade::{MINUTE_MS, Symbol, TradeTime};

/// Rows in one page of trades, at most.
pub const PAGE_MAX: u64 = 1_000;
/// How long one REST request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Symbols in one question whether they are listed: their names are part of a URL.
const LISTED_AT_ONCE: usize = 100;
/// Bytes of an answer, at most: a thousand rows are 170 kB.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer about [`LISTED_AT_ONCE`] symbols, at most: each takes some kB.
const LISTED_BYTES_MAX: usize = 8 << 20;
/// Waits that are believed: Binance counts weight by the minute, and bans for three days at most.
const LIMITED_WAIT_MAX: Duration = Duration::from_secs(3_600);
const BANNED_WAIT_MAX: Duration = Duration::from_secs(72 * 3_600);
/// The wait of an answer that names none.
const LIMITED_WAIT: Duration = Duration::from_secs(60);
/// The weight that this address has used within a minute.
const USED_WEIGHT: &str = "x-mbx-used-weight-1m";
/// Binance's code for a symbol that it does not list.
pub const INVALID_SYMBOL: i64 = -1121;
/// Binance's codes for a request that wants a key.
const WANTS_KEY: [i64; 2] = [-2014, -2015];

/// Why a REST request gave no answer that can be used; the causes stand in its sources. A `url` is the address asked,
/// and the proxy on the way.
#[derive(Debug, Error)]
pub enum RestError {
    /// The HTTP client could not be set up.
    #[error("cannot set up HTTP")]
    Setup(#[source] reqwest::Error),
    /// No answer; it may come the next time.
    #[error("{url} does not answer")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What reqwest says.
        source: reqwest::Error,
    },
    /// An answer that breaks off, or does not end.
    #[error("the answer of {url} cannot be read")]
    Unreadable {
        /// Who was asked.
        url: String,
        /// What is wrong with it.
        source: BodyError,
    },
    /// The limits of the address are reached (429, 418).
    #[error("{url} asks to wait {} s: {body}", wait.as_secs())]
    Limited {
        /// Who was asked.
        url: String,
        /// `Retry-After`, an hour at most and three days of a ban, or a minute.
        wait: Duration,
        /// The exchange's words.
        body: Excerpt,
    },
    /// Binance does not serve this place or this host (451, 403).
    #[error(
        "{url} answered {status}, it is not to be used from here: market data is also at \
         --rest-url {MARKET_DATA_REST_URL} --stream-url {MARKET_DATA_STREAM_URL}: {body}"
    )]
    NotFromHere {
        /// Who was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The exchange's words.
        body: Excerpt,
    },
    /// This host gives no history (404, or it wants a key): no later time will change that.
    #[error(
        "{url} answered {status}, it does not serve historicalTrades, as hosts for market data only: give \
         --rest-url {}, if that may be used from here: {body}",
        super::DEFAULT_REST_URL
    )]
    NotServed {
        /// Who was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The exchange's words.
        body: Excerpt,
    },
    /// It is elsewhere; nobody is followed to another host.
    #[error("{url} answered {status} and points to {to}: give where it is with --rest-url")]
    Moved {
        /// Who was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Where it is.
        to: Excerpt,
    },
    /// Another answer that says no.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// Who was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Binance's code, if the answer has one.
        code: Option<i64>,
        /// The exchange's words.
        body: Excerpt,
    },
    /// An answer that is not Binance's, such as a login page.
    #[error("{url} answered with what is not Binance's, see --rest-url: {body}")]
    Foreign {
        /// Who was asked.
        url: String,
        /// The begin of it.
        body: Excerpt,
        /// What is wrong with it.
        source: PageError,
    },
}

/// An answer, and what it says of the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The weight that this address has used within a minute, whoever asked; of several requests the last one's.
    pub used_weight: Option<u32>,
}

impl<T> Answered<T> {
    /// The same of what is made of the answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answered<U> {
        Answered { value: change(self.value), used_weight: self.used_weight }
    }
}

/// A client for the exchange's REST.
#[derive(Debug, Clone)]
pub struct Rest {
    base: Endpoint,
    via: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: i64,
}

#[derive(Deserialize)]
struct ServerTime {
    #[serde(rename = "serverTime")]
    ms: i64,
}

#[derive(Deserialize)]
struct ExchangeInfo {
    #[serde(rename = "symbols")]
    _symbols: Vec<IgnoredAny>,
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

/// A body, and who gave it.
struct Reply {
    url: String,
    bytes: Vec<u8>,
}

impl Reply {
    fn json<T: DeserializeOwned>(&self) -> Result<T, RestError> {
        serde_json::from_slice(&self.bytes).map_err(|error| self.foreign(error.into()))
    }

    fn page(&self, symbol: &Symbol) -> Result<Page, RestError> {
        read_page(symbol, &self.bytes).map_err(|error| self.foreign(error))
    }

    fn foreign(&self, source: PageError) -> RestError {
        RestError::Foreign { url: self.url.clone(), body: Excerpt::of_bytes(&self.bytes), source }
    }
}

impl Rest {
    /// A client below `base`, such as `https://api.binance.com`.
    ///
    /// # Errors
    ///
    /// [`RestError::Setup`] if the HTTP client cannot be made.
    pub fn new(base: &Endpoint, network: &Network) -> Result<Self, RestError> {
        let http = network.http().timeout(REQUEST_TIMEOUT).build().map_err(RestError::Setup)?;
        Ok(Self { base: base.clone(), via: network.via(base.url()), http })
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
    pub async fn unlisted<'a>(&self, symbols: &'a [Symbol]) -> Result<Answered<Option<&'a Symbol>>, RestError> {
        let mut used_weight = None;
        for mut asked in symbols.chunks(LISTED_AT_ONCE) {
            let all = self.lists(asked).await?;
            used_weight = all.used_weight.or(used_weight);
            if all.value {
                continue;
            }
            while asked.len() > 1 {
                let (first, second) = asked.split_at(asked.len() / 2);
                let half = self.lists(first).await?;
                used_weight = half.used_weight.or(used_weight);
                asked = if half.value { second } else { first };
            }
            return Ok(Answered { value: asked.first(), used_weight });
        }
        Ok(Answered { value: None, used_weight })
    }

    /// Whether the exchange lists all of `symbols`: it refuses to tell of any if one is unknown.
    async fn lists(&self, symbols: &[Symbol]) -> Result<Answered<bool>, RestError> {
        let names: Vec<_> = symbols.iter().map(Symbol::as_str).collect();
        let names = url_word(&serde_json::json!(names).to_string());
        match self.get("exchangeInfo", &format!("?symbols={names}"), LISTED_BYTES_MAX).await {
            Ok(reply) => reply.value.json::<ExchangeInfo>().map(|_| reply.map(|_| true)),
            Err(RestError::Refused { code: Some(INVALID_SYMBOL), .. }) => {
                Ok(Answered { value: false, used_weight: None })
            }
            Err(error) => Err(error),
        }
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
    pub async fn time(&self) -> Result<Answered<TradeTime>, RestError> {
        let reply = self.get("time", "", ANSWER_BYTES_MAX).await?;
        let said = reply.value.json::<ServerTime>()?;
        let time = TradeTime::from_ms(said.ms).map_err(|error| reply.value.foreign(error.into()))?;
        Ok(reply.map(|_| time))
    }

    /// Up to `limit` trades of `symbol` with ids from `from_id` on (`historicalTrades`, weight 25).
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or its answer is no page; [`RestError::NotServed`] if this host
    /// never gives any.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn history(&self, symbol: &Symbol, from_id: u64, limit: u64) -> Result<Answered<Page>, RestError> {
        let query = format!("?{}&fromId={from_id}&limit={limit}", of_symbol(symbol));
        match self.get("historicalTrades", &query, ANSWER_BYTES_MAX).await {
            Ok(reply) => reply.value.page(symbol).map(|page| reply.map(|_| page)),
            Err(RestError::Refused { url, status, code, body })
                if matches!(status, 401 | 404) || code.is_some_and(|code| WANTS_KEY.contains(&code)) =>
            {
                Err(RestError::NotServed { url, status, body })
            }
            Err(error) => Err(error),
        }
    }

    /// The newest trades of `symbol`, up to [`PAGE_MAX`] (`trades`, weight 25); hosts for market data serve these, too.
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or its answer is no page.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn newest_trades(&self, symbol: &Symbol) -> Result<Answered<Page>, RestError> {
        let reply = self.get("trades", &format!("?{}&limit={PAGE_MAX}", of_symbol(symbol)), ANSWER_BYTES_MAX).await?;
        reply.value.page(symbol).map(|page| reply.map(|_| page))
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
    pub async fn aggregate(
        &self,
        symbol: &Symbol,
        since: Option<TradeTime>,
    ) -> Result<Answered<Option<Aggregate>>, RestError> {
        // Binance has voided single rows; the first of some that is not will do.
        let start = since.map_or_else(String::new, |since| format!("&startTime={}", since.ms()));
        let query = format!("?{}&limit=10{start}", of_symbol(symbol));
        let reply = self.get("aggTrades", &query, ANSWER_BYTES_MAX).await?;
        let rows: Vec<Aggregate> = reply.value.json()?;
        let mut valid = rows.into_iter().filter(|row| row.first_id >= 0 && row.last_id >= row.first_id);
        Ok(reply.map(|_| if since.is_some() { valid.next() } else { valid.next_back() }))
    }

    /// How many candles of a minute the exchange gives of `symbol` if it is asked for the newest one (`klines`, weight 2).
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or its answer is no list of candles.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn newest_kline(&self, symbol: &Symbol) -> Result<Answered<usize>, RestError> {
        let query = format!("?{}&interval=1m&limit=1", of_symbol(symbol));
        let reply = self.get("klines", &query, ANSWER_BYTES_MAX).await?;
        let rows: Vec<Vec<IgnoredAny>> = reply.value.json()?;
        Ok(reply.map(|_| rows.len()))
    }

    /// The candles of a minute of `symbol` whose begins lie from `first` up to `last`, the first [`KLINES_MAX`] of them
    /// (`klines`, weight 2); hosts for market data serve these, too.
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or answers with other candles.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn klines(
        &self,
        symbol: &Symbol,
        first: TradeTime,
        last: TradeTime,
    ) -> Result<Answered<Vec<Kline>>, RestError> {
        let minutes = usize::try_from((last.ms() - first.ms()) / MINUTE_MS + 1).unwrap_or(0);
        let asked = Asked { first, last, most: minutes.min(KLINES_MAX) };
        let (begin, end) = (first.ms(), last.ms() + MINUTE_MS - 1);
        let times = format!("startTime={begin}&endTime={end}&limit={}", asked.most);
        let reply =
            self.get("klines", &format!("?{}&interval=1m&{times}", of_symbol(symbol)), ANSWER_BYTES_MAX).await?;
        let klines = read_klines(&reply.value.bytes, asked).map_err(|error| reply.value.foreign(error.into()))?;
        Ok(reply.map(|_| klines))
    }

    /// The body of a successful answer, of at most `limit` bytes.
    async fn get(&self, path: &str, query: &str, limit: usize) -> Result<Answered<Reply>, RestError> {
        let address = self.base.join(&format!("/api/v3/{path}{query}"));
        // All of a hundred symbols would fill a screen.
        let url = format!("{address:.200}{}", self.via);
        let answer = match self.http.get(&address).send().await {
            Ok(answer) => answer,
            Err(error) => return Err(RestError::Unreachable { url, source: error.without_url() }),
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers());
        if (200..300).contains(&status) {
            let used_weight = number(headers, USED_WEIGHT).and_then(|weight| u32::try_from(weight).ok());
            return match body::read_whole(answer, limit).await {
                Ok(bytes) => Ok(Answered { value: Reply { url, bytes }, used_weight }),
                Err(source) => Err(RestError::Unreadable { url, source }),
            };
        }
        if (300..400).contains(&status) {
            let to =
                headers.get(LOCATION).map_or_else(|| Excerpt::of("nowhere"), |to| Excerpt::of_bytes(to.as_bytes()));
            return Err(RestError::Moved { url, status, to });
        }
        let wait = number(headers, RETRY_AFTER.as_str()).map(Duration::from_secs);
        let text = body::read_begin(answer).await;
        let body = Excerpt::of(&text);
        Err(match status {
            418 | 429 => {
                let most = if status == 418 { BANNED_WAIT_MAX } else { LIMITED_WAIT_MAX };
                RestError::Limited { url, wait: wait.unwrap_or(LIMITED_WAIT).min(most), body }
            }
            403 | 451 => RestError::NotFromHere { url, status, body },
            _ => {
                let code = serde_json::from_str(&text).ok().map(|ErrorBody { code }| code);
                RestError::Refused { url, status, code, body }
            }
        })
    }
}

/// A header that is a whole number; one that no integer holds is the greatest.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

fn of_symbol(symbol: &Symbol) -> String {
    format!("symbol={}", url_word(symbol.as_str()))
}
