//! The baseline: what a program costs that is put together from the usual crates, with influxdb2 as its client.
//!
//! The same messages into the same points, written 5,000 at a time, by the witness of `tools/witness`: a process of its
//! own, so that its CPU is its own. It keeps no outbox, tries nothing twice and drops no duplicate.

use serde_json::Value;

use crate::feeder::{BUSY, Frames, Pace, prints, serve};
use crate::support::influxd::Influxd;
use crate::support::now;
use crate::support::witness::Witness;

/// Fewer than a capture's, so that it stays short; its figures are scaled.
pub(crate) const TRADES: usize = 200_000;

/// What it reached.
pub(crate) struct Baseline {
    pub(crate) trades_per_second: f64,
    pub(crate) cpu_seconds_per_million: f64,
}

/// Runs it into `bucket`, and checks that everything is there.
pub(crate) fn baseline(witness: &Witness, influxd: &Influxd, bucket: &str) -> Baseline {
    let stream = format!("ws://{}", serve(Frames::new(&prints(2, TRADES, BUSY, now().ms())), Pace::Max));
    let output = witness.run(influxd, bucket, &["baseline", &stream, &TRADES.to_string()], "");
    let figures: Value = serde_json::from_str(&output).unwrap();
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
