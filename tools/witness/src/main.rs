//! An unrelated client of InfluxDB, made with influxdb2.
//!
//! ```text
//! witness prices                     prints "SYMBOL TIME_NS PRICE" of every point in the bucket
//! witness write                      writes the trades on standard input, an object a line
//! witness baseline STREAM TRADES     stores so many trades of the stream, prints what that cost
//! ```
//!
//! Which bucket: INFLUX_HOST, INFLUX_ORG, INFLUX_BUCKET_NAME and INFLUX_TOKEN.

mod baseline;

use std::error::Error;
use std::io::stdin;

use influxdb2::Client;
use influxdb2::models::{DataPoint, Query};
use influxdb2_structmap::value::Value;
use serde::Deserialize;

type Failure = Box<dyn Error>;

/// A trade in Binance's names.
#[derive(Debug, Deserialize)]
struct Trade {
    s: String,
    t: i64,
    p: String,
    q: String,
    #[serde(rename = "T")]
    time_ms: i64,
    m: bool,
}

impl Trade {
    /// The point that tickflux writes, as influxdb2 makes it.
    fn point(self, exchange: &str) -> Result<DataPoint, Failure> {
        let (price, quantity): (f64, f64) = (self.p.parse()?, self.q.parse()?);
        let point = DataPoint::builder("trade")
            .tag("exchange", exchange)
            .tag("symbol", self.s)
            .field("price", self.p)
            .field("price_float", price)
            .field("quantity", self.q)
            .field("quantity_float", quantity)
            .field("trade_id", self.t)
            .field("buyer_is_maker", self.m)
            .timestamp(self.time_ms * 1_000_000 + self.t % 1_000_000)
            .build()?;
        Ok(point)
    }
}

/// A bucket and the client for it.
struct Target {
    client: Client,
    bucket: String,
}

impl Target {
    fn from_env() -> Result<Self, Failure> {
        let setting = |name| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let client = Client::new(setting("INFLUX_HOST")?, setting("INFLUX_ORG")?, setting("INFLUX_TOKEN")?);
        Ok(Self { client, bucket: setting("INFLUX_BUCKET_NAME")? })
    }
}

async fn print_prices(target: &Target) -> Result<(), Failure> {
    let query = Query::new(format!(
        "from(bucket: \"{}\") |> range(start: -24h, stop: 1h) |> filter(fn: (r) => r._field == \"price\")",
        target.bucket
    ));
    for record in target.client.query_raw(Some(query)).await? {
        let value = |column: &str| record.values.get(column).ok_or_else(|| format!("no column {column}"));
        match (value("symbol")?, value("_time")?, value("_value")?) {
            (Value::String(symbol), Value::TimeRFC(time), Value::String(price)) => {
                println!("{symbol} {} {price}", time.timestamp_nanos_opt().ok_or("a time past 2262")?);
            }
            other => return Err(format!("not the types of a trade: {other:?}").into()),
        }
    }
    Ok(())
}

async fn write(target: &Target) -> Result<(), Failure> {
    let trades = stdin().lines().map(|line| serde_json::from_str::<Trade>(&line?)?.point("witness"));
    let points: Vec<_> = trades.collect::<Result<_, Failure>>()?;
    Ok(target.client.write(&target.bucket, futures_util::stream::iter(points)).await?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let target = Target::from_env()?;
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prices"] => print_prices(&target).await,
        ["write"] => write(&target).await,
        ["baseline", stream, trades] => baseline::run(&target, stream, trades.parse()?).await,
        _ => Err("usage: witness prices | write | baseline STREAM TRADES".into()),
    }
}
