//! The baseline: what a program costs that is put together from the usual crates, with influxdb2 as its client.
//!
//! Read with tokio-tungstenite and serde_json into influxdb2's points, written 5,000 at a time. It keeps no outbox,
//! tries nothing twice and drops no duplicate.

use std::time::Instant;

use futures_util::StreamExt;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{Failure, Target, Trade};

const BATCH: usize = 5_000;

#[derive(Deserialize)]
struct Wrapped {
    data: Trade,
}

/// Stores `trades` trades of the stream at `base`, and prints seconds and CPU seconds.
pub(crate) async fn run(target: &Target, base: &str, trades: usize) -> Result<(), Failure> {
    let url = format!("{base}/stream?streams=btcusdt@trade/ethusdt@trade");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let (mut read, mut begin) = (0, None);
    let mut points = Vec::with_capacity(BATCH);
    while read < trades {
        let Message::Text(text) = socket.next().await.ok_or("the stream ended")?? else { continue };
        begin.get_or_insert_with(Instant::now);
        points.push(serde_json::from_str::<Wrapped>(&text)?.data.point("practice")?);
        read += 1;
        if points.len() == BATCH || read == trades {
            let batch = std::mem::replace(&mut points, Vec::with_capacity(BATCH));
            target.client.write(&target.bucket, futures_util::stream::iter(batch)).await?;
        }
    }
    let seconds = begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
    println!("{}", json!({ "seconds": seconds, "cpu_seconds": cpu_seconds()? }));
    Ok(())
}

/// User and system time of this process so far.
fn cpu_seconds() -> Result<f64, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}
