//! InfluxDB 2.x: line protocol in, Flux out, over one HTTP client.

mod control;
mod dashboard;
pub mod examine;
mod fields;
pub mod flux_csv;
mod gaps;
mod influxql;
pub mod line;
mod minute_points;
mod minutes;
mod places;
mod questions;
pub mod refusals;
mod retention;
mod rows;
pub mod rules;
mod token;
mod trades;
mod write;
pub mod writing;

use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Url;

pub use self::control::{Bucket, Provisioned};
use self::refusals::Refusals;
pub use self::token::{Credentials, Token};
use self::writing::BodyLimit;
use super::minutes::add_up;
use super::{
    Attempt, Candle, Checked, Gaps, HighLow, Interval, KeptMinute, LineStore, Lines, Minute, MinutePoint, OnTrade,
    Scope, Store, StoreError, StoredTrade, WriteError, Written,
};
use crate::net::Network;
use crate::net::endpoint::{Endpoint, is_loopback};
use crate::text::Excerpt;
use crate::trade::{Exchange, Symbol, Trade, TradeTime};

/// Lines in one write, at most; larger ones make InfluxDB little cheaper and answers slow.
const BATCH_MAX: usize = 10_000;
/// Writes at a time: while one is answered the next one is on its way.
const SLOTS: usize = 2;
/// InfluxDB closes an idle connection after 3 minutes; ours are gone before that.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Where an InfluxDB is and what to use there.
#[derive(Debug)]
pub struct InfluxSettings {
    /// `http(s)://HOST:PORT`, perhaps with a path before `/api/v2`.
    pub url: Endpoint,
    /// The way to it.
    pub network: Network,
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
    /// The proxy on the way, in words.
    via: String,
    /// The same for every spelling of the URL.
    place: String,
    write_url: Url,
    org: String,
    bucket: String,
    credentials: Credentials,
    exchange: Exchange,
    compress: bool,
    refusals: Mutex<Refusals>,
    body_limit: BodyLimit,
    clock: fn() -> TradeTime,
}

impl Influx {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if HTTP cannot be set up.
    pub fn new(settings: InfluxSettings, exchange: Exchange, clock: fn() -> TradeTime) -> Result<Self, StoreError> {
        let InfluxSettings { url, network, org, bucket, credentials } = settings;
        let unusable = |error: reqwest::Error| {
            StoreError::Settings(format!("cannot use --store {url}: {}", crate::error_chain(&error)))
        };
        let http = network.http().pool_idle_timeout(POOL_IDLE_TIMEOUT).build().map_err(unusable)?;
        let mut write_url = url.url().clone();
        write_url.set_path(&format!("{}/api/v2/write", url.url().path().trim_end_matches('/')));
        write_url
            .query_pairs_mut()
            .append_pair("org", &org)
            .append_pair("bucket", &bucket)
            .append_pair("precision", "ns");
        let (via, compress, place) = (network.via(url.url()), !url.is_loopback(), place(url.url()));
        Ok(Self {
            http,
            base: url.to_string(),
            via,
            place,
            write_url,
            org,
            bucket,
            credentials,
            exchange,
            compress,
            refusals: Mutex::default(),
            body_limit: BodyLimit::default(),
            clock,
        })
    }

    /// An answer in words for people.
    fn said(&self, status: u16, body: &str) -> String {
        let body = Excerpt::of(body);
        if body.is_empty() {
            return format!("{}{} answered {status} without a word, so it may be no InfluxDB", self.base, self.via);
        }
        format!("{}{} answered {status}: {body}", self.base, self.via)
    }

    /// An answer that is no InfluxDB's, in words for people.
    fn no_influxdb(&self, status: u16, said: &str) -> String {
        let (base, via) = (&self.base, &self.via);
        format!("{base}{via} answered {status} and {said}, which is no InfluxDB's answer: see --store")
    }

    /// No answer, in words for people.
    fn silent(&self, error: &reqwest::Error) -> String {
        format!("{}{} does not answer: {}", self.base, self.via, crate::error_chain(error))
    }
}

/// What somebody answered, as a part of a sentence.
fn quoted(said: &str) -> String {
    let said = Excerpt::of(said);
    if said.is_empty() { "nothing more".to_owned() } else { format!("\"{said}\"") }
}

/// Where a URL leads: the names of this machine are one place, and a port that goes without saying is said.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let host = if is_loopback(host) { "localhost" } else { host.trim_end_matches('.') };
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}://{host}:{port}{}", url.scheme(), url.path().trim_end_matches('/'))
}

impl Store for Influx {
    fn describe(&self) -> String {
        format!("{}, bucket {} of {}", self.base, self.bucket, self.org)
    }

    fn location(&self) -> String {
        format!("{}, organization {}, bucket {}", self.place, self.org, self.bucket)
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>> {
        self.check_rights().boxed()
    }

    fn id(&self) -> BoxFuture<'_, Option<String>> {
        async { Some(self.find_bucket().await.ok()??.store_id()) }.boxed()
    }

    fn lines(&self) -> Option<&dyn LineStore> {
        Some(self)
    }

    fn write<'a>(&'a self, trades: &'a [Trade], attempt: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
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

    fn gaps<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
    ) -> BoxFuture<'a, Result<Vec<Gaps>, StoreError>> {
        self.ask_gaps(scope, since, until).boxed()
    }

    fn high_low<'a>(&'a self, scope: &'a Scope, time: TradeTime) -> BoxFuture<'a, Result<Vec<HighLow>, StoreError>> {
        self.ask_high_low(scope, time).boxed()
    }

    fn candles<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        every: Interval,
    ) -> BoxFuture<'a, Result<Vec<Candle>, StoreError>> {
        self.ask_candles(scope, since, until, every).boxed()
    }

    fn minutes<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<Minute>, StoreError>> {
        self.ask_minutes(scope, since, until).boxed()
    }

    fn exact_minutes<'a>(
        &'a self,
        series: (&'a Exchange, &'a Symbol),
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<Minute>, StoreError>> {
        async move {
            match self.ask_rows(series, since, until).await {
                Some(minutes) => Ok(minutes),
                None => add_up(self, series, since, until, || ()).await,
            }
        }
        .boxed()
    }

    fn trades<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        on_trade: OnTrade<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.ask_trades(scope, since, until, on_trade).boxed()
    }

    fn keep_minutes<'a>(&'a self, points: &'a [MinutePoint]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.post_minute_points(points).boxed()
    }

    fn kept_minutes<'a>(
        &'a self,
        scope: &'a Scope,
        since: TradeTime,
        until: TradeTime,
    ) -> BoxFuture<'a, Result<Vec<KeptMinute>, StoreError>> {
        self.ask_minute_points(scope, since, until).boxed()
    }
}

impl LineStore for Influx {
    fn encode(&self, trades: &[Trade]) -> Lines {
        line::encode_all(trades, &self.exchange)
    }

    fn write_lines<'a>(&'a self, lines: &'a Lines, attempt: Attempt) -> BoxFuture<'a, Result<Written, WriteError>> {
        self.write_once(lines, attempt).boxed()
    }
}
