//! Asks the store and the capture, and tells what they said.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::Duration;

use reqwest::Client;
use tokio::time::{Instant, sleep_until, timeout};

use super::history::{STEP, STEPS_MAX};
use super::metrics::Metrics;
use super::model::Said;
use crate::net::body;
use crate::store::{AnyStore, Interval, Scope, StoreError};
use crate::telemetry::ask::{Heard, ask_through, reachable};
use crate::text::Excerpt;
use crate::trade::TradeTime;

/// Nobody is asked more often.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A store that takes long is asked less often: it works for us a fifth of the time, at most.
const SHARE: u32 = 4;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is asked what is missing, and for all steps: a repair or a backfill adds to old ones.
const ALL_EVERY: Duration = Duration::from_secs(60);
/// In how long a time it is asked what is missing.
const MISSING_SINCE_MS: i64 = 3_600_000;
/// Steps that may change: the one that runs, and two before it, in which trades may be late.
const CHANGING_STEPS: i64 = 2;
/// Bytes of a capture's metrics, at most: ten times what it says of every symbol that Binance lists.
const METRICS_BYTES_MAX: usize = 4 << 20;

/// Asks a store, about once a second, until nobody listens.
///
/// # Cancel safety
///
/// Safe: it only asks.
pub(super) async fn ask_store(store: AnyStore, scope: Scope, clock: fn() -> TradeTime, tell: Sender<Said>) {
    let Ok(step) = Interval::try_from(STEP) else { return };
    let mut next_all = Instant::now();
    loop {
        let begun = Instant::now();
        let asks_all = begun >= next_all;
        let steps = if asks_all { STEPS_MAX } else { CHANGING_STEPS };
        let since = clock().earlier_by(steps * step.ms());
        let said = match answer(store.latest(&scope)).await {
            Ok(latest) => {
                if tell.send(Said::Latest(latest)).is_err() {
                    return;
                }
                answer(store.candles(&scope, since, None, step)).await.map(Said::Steps)
            }
            Err(why) => Err(why),
        };
        let has_failed = said.is_err();
        if has_failed {
            next_all = begun;
        }
        if tell.send(said.unwrap_or_else(Said::StoreFailed)).is_err() {
            return;
        }
        if asks_all && !has_failed {
            next_all = begun + ALL_EVERY;
            let since = clock().earlier_by(MISSING_SINCE_MS);
            // Another question says whether the store answers.
            if let Ok(gaps) = answer(store.gaps(&scope, since, None)).await {
                let missing = gaps.into_iter().map(|gaps| {
                    let missing = gaps.missing();
                    (gaps.exchange, gaps.symbol, missing)
                });
                if tell.send(Said::Missing(missing.collect())).is_err() {
                    return;
                }
            }
        }
        sleep_until(begun + ASK_EVERY.max(begun.elapsed() * (SHARE + 1))).await;
    }
}

async fn answer<T>(question: impl Future<Output = Result<T, StoreError>>) -> Result<T, Excerpt> {
    match timeout(ANSWER_TIMEOUT, question).await {
        Ok(answer) => answer.map_err(|error| Excerpt::line(&error.to_string())),
        Err(_) => Err(Excerpt::of(&format!("it takes more than {} s", ANSWER_TIMEOUT.as_secs()))),
    }
}

/// Asks a capture once a second, until nobody listens.
///
/// # Cancel safety
///
/// Safe: it only asks.
pub(super) async fn ask_capture(client: Client, address: SocketAddr, tell: Sender<Said>) {
    loop {
        let begun = Instant::now();
        let said = capture_says(&client, address).await.unwrap_or_else(Said::CaptureFailed);
        if tell.send(said).is_err() {
            return;
        }
        sleep_until(begun + ASK_EVERY).await;
    }
}

async fn capture_says(client: &Client, address: SocketAddr) -> Result<Said, Excerpt> {
    let failed = |error: reqwest::Error| Excerpt::line(&last_cause(&error));
    let reasons = match ask_through(client, address, ANSWER_TIMEOUT).await.map_err(failed)? {
        Heard::Well(_) => Vec::new(),
        Heard::Unwell(reasons) => reasons.iter().map(|why| Excerpt::of(why)).collect(),
        Heard::Stranger { status, .. } => {
            return Err(Excerpt::of(&format!("what answers is no capture ({status})")));
        }
    };
    let metrics = client.get(format!("http://{}/metrics", reachable(address))).timeout(ANSWER_TIMEOUT).send();
    let metrics = metrics.await.map_err(failed)?;
    let metrics = body::read_whole(metrics, METRICS_BYTES_MAX).await;
    let metrics = metrics.map_err(|error| Excerpt::line(&crate::error_chain(&error)))?;
    let metrics = Metrics::parse(&String::from_utf8_lossy(&metrics));
    let metrics = metrics.ok_or_else(|| Excerpt::of("what answers is no capture: it has no metrics of one"))?;
    Ok(Said::Capture(Box::new(metrics), reasons))
}

/// What is in front of it only says that a request failed.
fn last_cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}
