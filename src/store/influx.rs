//! InfluxDB 2.x: line protocol in, Flux out, over one HTTP client.

mod control;
pub mod flux_csv;
mod gaps;
pub mod line;
mod questions;
pub mod rules;
mod token;
mod write;

use std::fmt;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Url;

pub use self::control::{Bucket, Provisioned};
pub use self::token::{Credentials, Token};
use super::{
    Candle, Gaps, HighLow, Interval, LineStore, Lines, Scope, Store, StoreError, StoredTrade, WriteError, Written,
};
use crate::trade::{Exchange, Trade, TradeTime};

/// Lines in one write, at most; larger ones make InfluxDB little cheaper and answers slow.
const BATCH_MAX: usize = 10_000;
/// Writes at a time: while one is answered the next one is on its way.
const SLOTS: usize = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// InfluxDB closes an idle connection after 3 minutes; ours are gone before that.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Where an InfluxDB is and what to use there.
#[derive(Debug)]
pub struct InfluxSettings {
    /// `http(s)://HOST:PORT`, perhaps with a path before `/api/v2`.
    pub url: String,
    /// The organization's name.
    pub org: String,
    /// The bucket's name.
    pub bucket: String,
    /// What to authenticate with.
    pub credentials: Credentials,
}

/// Trades in an InfluxDB bucket.
#[derive(Debug)]
pub struct Influx {
    http: reqwest::Client,
    base: String,
    write_url: Url,
    org: String,
    bucket: String,
    credentials: Credentials,
    exchange: Exchange,
    compress: bool,
    clock: fn() -> TradeTime,
}

impl Influx {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if the URL is none or HTTP cannot be set up.
    pub fn new(settings: InfluxSettings, exchange: Exchange, clock: fn() -> TradeTime) -> Result<Self, StoreError> {
        let InfluxSettings { url, org, bucket, credentials } = settings;
        let unusable = |why: &dyn fmt::Display| StoreError::Settings(format!("cannot use --store {url}: {why}"));
        let parsed = Url::parse(&url).map_err(|error| unusable(&error))?;
        let host = parsed.host_str().ok_or_else(|| unusable(&"it names no host"))?;
        let tls = crate::tls::client_config().map_err(|error| unusable(&error))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unusable(&error))?;
        let base = url.trim_end_matches('/').to_owned();
        let mut write_url = Url::parse(&format!("{base}/api/v2/write")).map_err(|error| unusable(&error))?;
        write_url
            .query_pairs_mut()
            .append_pair("org", &org)
            .append_pair("bucket", &bucket)
            .append_pair("precision", "ns");
        let compress = !is_loopback(host);
        Ok(Self { http, base, write_url, org, bucket, credentials, exchange, compress, clock })
    }

    /// An answer in words for people.
    fn said(&self, status: u16, body: &str) -> String {
        match body.trim() {
            "" => format!("{} answered {status} without a word, so it may be no InfluxDB", self.base),
            body => format!("{} answered {status}: {body}", self.base),
        }
    }

    /// No answer, in words for people.
    fn silent(&self, error: &reqwest::Error) -> String {
        format!("{} does not answer: {}", self.base, crate::error_chain(error))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Store for Influx {
    fn describe(&self) -> String {
        format!("{}, bucket {} of {}", self.base, self.bucket, self.org)
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn check(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.check_rights().boxed()
    }

    fn lines(&self) -> Option<&dyn LineStore> {
        Some(self)
    }

    fn write<'a>(&'a self, trades: &'a [Trade], attempt: u32) -> BoxFuture<'a, Result<Written, WriteError>> {
        async move { self.write_once(&self.encode(trades), attempt).await }.boxed()
    }

    /// InfluxDB drops whole shard groups by itself.
    fn expire(&self, _now: TradeTime) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn passed_over<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Option<String>> {
        self.ask_foreign(scope, since, until).boxed()
    }

    fn latest<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        self.ask_latest(scope).boxed()
    }

    fn price_at<'a>(
        &'a self,
        scope: &'a Scope,
        time: TradeTime,
        as_of: bool,
    ) -> BoxFuture<'a, Result<Vec<StoredTrade>, StoreError>> {
        self.ask_price_at(scope, time, as_of).boxed()
    }

    fn gaps<'a>(&'a self, scope: &'a Scope, since: TradeTime) -> BoxFuture<'a, Result<Vec<Gaps>, StoreError>> {
        self.ask_gaps(scope, since).boxed()
    }

    fn high_low<'a>(&'a self, scope: &'a Scope, time: TradeTime) -> BoxFuture<'a, Result<Vec<HighLow>, StoreError>> {
        self.ask_high_low(scope, time).boxed()
    }

    fn candles<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        every: Interval,
    ) -> BoxFuture<'a, Result<Vec<Candle>, StoreError>> {
        self.ask_candles(scope, since, every).boxed()
    }
}

impl LineStore for Influx {
    fn encode(&self, trades: &[Trade]) -> Lines {
        line::encode_all(trades, &self.exchange)
    }

    fn write_lines<'a>(&'a self, lines: &'a Lines, attempt: u32) -> BoxFuture<'a, Result<Written, WriteError>> {
        self.write_once(lines, attempt).boxed()
    }
}
