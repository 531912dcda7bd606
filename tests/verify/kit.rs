//! A captured market, and what verify says of it.

use std::process::Output;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tickflux::practice::{Running, Source, Speed};
use tickflux::trade::Trade;

use crate::support::influxd::Influxd;
use crate::support::{practice, runtime, server, tickflux};

pub(crate) const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];
pub(crate) const MINUTE: i64 = 60_000;
/// About ten minutes of a market that ends now.
const TRADES: u64 = 8_000;

/// A market that was captured into a store.
pub(crate) struct World {
    _runtime: tokio::runtime::Runtime,
    pub(crate) folder: TempDir,
    pub(crate) exchange: Running,
    pub(crate) influxd: Option<Influxd>,
    pub(crate) store: String,
    pub(crate) until: String,
}

/// One world a store.
pub(crate) fn worlds(seed: u64) -> Vec<World> {
    let influxd = Influxd::start();
    let stores = [None, Some(influxd)].into_iter().filter(|influxd| !matches!(influxd, Some(None)));
    stores.map(|influxd| World::new(seed, influxd.flatten())).collect()
}

impl World {
    pub(crate) fn new(seed: u64, influxd: Option<Influxd>) -> Self {
        let symbols = SYMBOLS.map(|symbol| symbol.parse().unwrap()).to_vec();
        let (trades_per_second, speed) = (TRADES as f64 / 600.0, Speed::Max);
        Self::of(Source::Market { symbols, seed, trades_per_second, trades: Some(TRADES), speed }, TRADES, influxd)
    }

    /// A world of another source with so many trades.
    pub(crate) fn of(source: Source, trades: u64, influxd: Option<Influxd>) -> Self {
        let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
        let exchange = runtime.block_on(practice::start(source));
        let store = influxd.as_ref().map_or_else(|| "sqlite:trades.db".to_owned(), |influxd| influxd.url.clone());
        let mut world = Self { _runtime: runtime, folder, exchange, influxd, store, until: String::new() };
        let stream = format!("ws://{}", world.exchange.address());
        let args = ["capture", "--exchange", "practice", "--stream-url", &stream, "--rest-url", &world.rest()];
        let ends = ["--store", &world.store, "--count", &trades.to_string(), "--duration", "2m"];
        let output = tickflux(world.folder.path(), &[&args[..], &ends].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let newest = SYMBOLS.iter().map(|symbol| minute_of(world.trades(symbol).last().unwrap())).min().unwrap();
        world.until = utc(newest - MINUTE);
        world
    }

    pub(crate) fn rest(&self) -> String {
        format!("http://{}", self.exchange.address())
    }

    pub(crate) fn trades(&self, symbol: &str) -> Vec<Trade> {
        self.exchange.trades(&symbol.parse().unwrap())
    }

    /// Runs verify against the exchange.
    pub(crate) fn verify(&self, args: &[&str]) -> Verified {
        self.verify_against(&self.rest(), args)
    }

    /// The same against another one.
    pub(crate) fn verify_against(&self, rest: &str, args: &[&str]) -> Verified {
        self.verify_with(&[&["--rest-url", rest], args].concat())
    }

    /// Only minutes that were over long before: so the number of them does not depend on when it runs.
    pub(crate) fn verify_with(&self, args: &[&str]) -> Verified {
        let common =
            ["verify", "--store", &self.store, "--exchange", "practice", "--until", &self.until, "--format", "json"];
        Verified::new(&tickflux(self.folder.path(), &[&common[..], args].concat()))
    }

    /// The address of an exchange whose answers about candles go through `change`: path and whole answer in, a whole answer out.
    pub(crate) fn with_candles(&self, change: impl Fn(&str, String) -> String + Send + Sync + 'static) -> String {
        let behind = self.exchange.address().to_string();
        let address = server::answering(move |line| {
            let path = line.split(' ').nth(1).unwrap();
            let answer = server::get(&behind, path);
            if path.starts_with("/api/v3/klines") { change(path, answer) } else { answer }
        });
        format!("http://{address}")
    }

    /// The trades of the minutes that are compared.
    pub(crate) fn compared(&self, symbol: &str) -> Vec<Trade> {
        let mut trades = self.trades(symbol);
        trades.retain(|trade| utc(minute_of(trade)) < self.until);
        trades
    }

    /// Runs a statement in the store's file; gives how many rows it changed.
    fn sql(&self, statement: &str) -> usize {
        let connection = rusqlite::Connection::open(self.folder.path().join("trades.db")).unwrap();
        connection.execute(statement, []).unwrap()
    }

    /// Writes another trade over a stored one.
    pub(crate) fn put(&self, trade: &Trade) {
        let Trade { symbol, id, price, quantity, buyer_is_maker, .. } = trade;
        let Some(influxd) = &self.influxd else {
            let values = format!("price = '{price}', quantity = '{quantity}', buyer_is_maker = {buyer_is_maker}");
            let statement = format!("UPDATE trade SET {values} WHERE symbol = '{symbol}' AND trade_id = {id}");
            assert_eq!(self.sql(&statement), 1, "{statement}");
            return;
        };
        let (texts, ns) = (format!("price=\"{price}\",quantity=\"{quantity}\""), trade.point_time_ns());
        let others = format!("price_float={price},quantity_float={quantity},trade_id={id}i");
        let line =
            format!("trade,exchange=practice,symbol={symbol} {texts},{others},buyer_is_maker={buyer_is_maker} {ns}");
        influxd.influx_ok(&["write", "--bucket", "ticks", "--precision", "ns", &line]);
    }

    /// Deletes what is stored from one trade to another.
    pub(crate) fn delete(&self, first: &Trade, last: &Trade) {
        let symbol = &first.symbol;
        let Some(influxd) = &self.influxd else {
            let (first, last) = (first.id, last.id);
            let statement =
                format!("DELETE FROM trade WHERE symbol = '{symbol}' AND trade_id BETWEEN {first} AND {last}");
            assert!(self.sql(&statement) > 0, "{statement}");
            return;
        };
        let time = |trade: &Trade| {
            let time = chrono::DateTime::from_timestamp_nanos(trade.point_time_ns());
            time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
        };
        let predicate = format!("_measurement=\"trade\" AND symbol=\"{symbol}\"");
        let range = ["--start", &time(first), "--stop", &time(last), "--predicate", &predicate];
        influxd.influx_ok(&[&["delete", "--bucket", "ticks"], &range[..]].concat());
    }
}

/// What verify printed.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) code: i32,
    pub(crate) rows: Vec<Value>,
    pub(crate) summary: Value,
    pub(crate) stderr: String,
}

impl Verified {
    pub(crate) fn new(output: &Output) -> Self {
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        let mut rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = rows.pop().unwrap_or_default();
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        Self { code: output.status.code().unwrap(), rows, summary, stderr }
    }

    /// Fails unless every minute that could be compared agrees; gives how many.
    pub(crate) fn agreed(&self, context: &str) -> u64 {
        assert_eq!((self.code, self.rows.len()), (0, 0), "{context}: {self:?}");
        let compared = self.summary["compared"].as_u64().unwrap();
        assert_eq!(self.summary["agree"], compared, "{context}: {self:?}");
        assert!(compared > 0, "{context}: {self:?}");
        compared
    }

    /// Fails unless exactly one minute differs; gives its row.
    pub(crate) fn one(&self, context: &str) -> &Value {
        assert_eq!((self.code, self.rows.len()), (1, 1), "{context}: {self:?}");
        assert_eq!(self.summary["different"], 1, "{context}: {self:?}");
        &self.rows[0]
    }
}

/// The rows of a whole answer about candles.
pub(crate) fn rows_of(answer: &str) -> Vec<Value> {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// A whole answer with these rows.
pub(crate) fn rows(rows: &[Value]) -> String {
    answer("200 OK", "Content-Type: application/json", &serde_json::to_string(rows).unwrap())
}

/// A whole answer.
pub(crate) fn answer(status: &str, head: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Adds a last digit to the volume of a row.
pub(crate) fn raise_volume(row: &mut Value) {
    row[5] = json!(format!("{:.8}", row[5].as_str().unwrap().parse::<f64>().unwrap() + 0.000_000_01));
}

/// The minute of a trade.
pub(crate) fn minute_of(trade: &Trade) -> i64 {
    trade.time.ms() / MINUTE * MINUTE
}

/// A time as it is printed.
pub(crate) fn utc(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms).unwrap();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The minutes of `trades` in which something was traded, as rows of klines, computed plainly.
pub(crate) fn klines(trades: &[Trade]) -> Vec<Value> {
    let mut sorted: Vec<_> = trades.iter().collect();
    sorted.sort_by_key(|trade| (trade.time, trade.id));
    let row = |inside: &[&Trade]| {
        let price = |trade: &Trade| trade.price.as_str().parse::<Decimal>().unwrap();
        let quantity = |trade: &Trade| trade.quantity.as_str().parse::<Decimal>().unwrap();
        let sum = |values: Vec<Decimal>| format!("{:.8}", values.into_iter().sum::<Decimal>());
        let prices: Vec<_> = inside.iter().map(|trade| price(trade)).collect();
        let bought: Vec<_> = inside.iter().filter(|trade| !trade.buyer_is_maker).collect();
        let text = |price: &Decimal| format!("{price:.8}");
        let start = minute_of(inside[0]);
        json!([
            start,
            text(&prices[0]),
            text(prices.iter().max().unwrap()),
            text(prices.iter().min().unwrap()),
            text(&prices[prices.len() - 1]),
            sum(inside.iter().map(|trade| quantity(trade)).collect()),
            start + MINUTE - 1,
            sum(inside.iter().map(|trade| price(trade) * quantity(trade)).collect()),
            inside.len(),
            sum(bought.iter().map(|trade| quantity(trade)).collect()),
            sum(bought.iter().map(|trade| price(trade) * quantity(trade)).collect()),
            "0"
        ])
    };
    sorted.chunk_by(|one, next| minute_of(one) == minute_of(next)).map(row).collect()
}

/// The whole trade list of a minute in the middle.
pub(crate) fn middle(trades: &[Trade]) -> Vec<Trade> {
    let (first, last) = (minute_of(&trades[0]), minute_of(&trades[trades.len() - 1]));
    let middle = first + (last - first) / MINUTE / 2 * MINUTE;
    trades.iter().filter(|trade| minute_of(trade) == middle).cloned().collect()
}
