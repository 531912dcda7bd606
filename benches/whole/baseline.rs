//! The baseline: what a program costs that is put together from the usual crates, with influxdb2 as its client.
//!
//! The same messages, read with tokio-tungstenite and serde_json into influxdb2's points, written 5,000 at a time. It
//! keeps no outbox, tries nothing twice and drops no duplicate. It runs as a process of its own, so that its CPU is its own.

use std::process::{Command, Stdio};
use std::time::Instant;

use futures_util::StreamExt;
use influxdb2::models::DataPoint;
use serde::Deserialize;
use serde_json::{Value, json};
use tickflux::telemetry::metrics::process_usage;
use tokio_tungstenite::tungstenite::Message;

use crate::feeder::{BUSY, Frames, Pace, prints, serve};
use crate::support::influxd::{Influxd, ORG, TOKEN};
use crate::support::now;

/// Fewer than a capture's, so that it stays short; its figures are scaled.
pub(crate) const TRADES: usize = 200_000;
/// As the first argument it makes a process the baseline.
pub(crate) const NAME: &str = "baseline";
const BATCH: usize = 5_000;

/// What it reached.
pub(crate) struct Baseline {
    pub(crate) trades_per_second: f64,
    pub(crate) cpu_seconds_per_million: f64,
}

/// Runs it into `bucket`, and checks that everything is there.
pub(crate) fn baseline(influxd: &Influxd, bucket: &str) -> Baseline {
    let stream = format!("ws://{}", serve(Frames::new(&prints(2, TRADES, BUSY, now().ms())), Pace::Max));
    let output = Command::new(std::env::current_exe().unwrap())
        .args([NAME, &stream, &influxd.url, bucket])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the baseline failed");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stored(influxd, bucket), TRADES);
    let per_million = 1e6 / TRADES as f64;
    Baseline {
        trades_per_second: TRADES as f64 / figures["seconds"].as_f64().unwrap(),
        cpu_seconds_per_million: figures["cpu_seconds"].as_f64().unwrap() * per_million,
    }
}

/// How many trades `bucket` holds.
fn stored(influxd: &Influxd, bucket: &str) -> usize {
    let query = format!(
        "from(bucket: \"{bucket}\") |> range(start: -24h, stop: 1h) |> filter(fn: (r) => r._field == \"trade_id\") \
         |> count() |> group() |> sum() |> keep(columns: [\"_value\"])"
    );
    let csv = influxd.influx_ok(&["query", "--raw", &query]);
    csv.trim().rsplit(',').next().unwrap().parse().unwrap()
}

#[derive(Deserialize)]
struct Wrapped {
    data: Event,
}

/// Binance's names.
#[derive(Deserialize)]
struct Event {
    s: String,
    t: i64,
    p: String,
    q: String,
    #[serde(rename = "T")]
    time_ms: i64,
    m: bool,
}

/// The process itself: `baseline STREAM INFLUXDB BUCKET`. Prints its figures.
pub(crate) fn run(args: &[String]) {
    let [stream, influxdb, bucket] = args else { panic!("baseline STREAM INFLUXDB BUCKET") };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = influxdb2::Client::new(influxdb, ORG, TOKEN);
        let url = format!("{stream}/stream?streams=btcusdt@trade/ethusdt@trade");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let (mut read, mut begin) = (0, None);
        let mut points = Vec::with_capacity(BATCH);
        while read < TRADES {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
            begin.get_or_insert_with(Instant::now);
            points.push(point(serde_json::from_str::<Wrapped>(&text).unwrap().data));
            read += 1;
            if points.len() == BATCH || read == TRADES {
                let batch = std::mem::replace(&mut points, Vec::with_capacity(BATCH));
                client.write(bucket, futures_util::stream::iter(batch)).await.unwrap();
            }
        }
        let seconds = begin.unwrap().elapsed().as_secs_f64();
        println!("{}", json!({ "seconds": seconds, "cpu_seconds": process_usage().0.as_secs_f64() }));
    });
}

/// The same point as tickflux writes.
fn point(Event { s, t, p, q, time_ms, m }: Event) -> DataPoint {
    let (price, quantity): (f64, f64) = (p.parse().unwrap(), q.parse().unwrap());
    DataPoint::builder("trade")
        .tag("exchange", "practice")
        .tag("symbol", s)
        .field("price", p)
        .field("price_float", price)
        .field("quantity", q)
        .field("quantity_float", quantity)
        .field("trade_id", t)
        .field("buyer_is_maker", m)
        .timestamp(time_ms * 1_000_000 + t % 1_000_000)
        .build()
        .unwrap()
}
