//! Writing a batch: send, and where the rules say so, halve until the culprit is found.

use std::io::Write as _;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};

use super::places::Places;
use super::refusals::Refusals;
use super::retention::Retention;
use super::rules::{Rule, Sent, WriteAnswer, reason, rule};
use super::{Influx, line};
use crate::net::body::read_begin;
use crate::store::{Attempt, Lines, RETENTION_MS, RefusedLine, WriteError, Written};
use crate::trade::{IdRange, TradeIds, TradeTime};

/// InfluxDB refuses what is older than the retention; what is older by this
/// much is left out before sending, so that its clock and the exchange's may differ.
const EXPIRED_MARGIN_MS: i64 = 120_000;
/// InfluxDB's own limit for one write is 10 s; a large body on a slow line takes longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer to one request.
struct Reply {
    status: u16,
    body: String,
    retry_after: Option<Duration>,
}

/// Bytes that one body may have, as far as the answers tell: a proxy's limit is found by its refusals.
#[derive(Debug)]
pub(super) struct BodyLimit(AtomicUsize);

impl BodyLimit {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// So many bytes were too many.
    fn refused(&self, bytes: usize) {
        self.0.fetch_min((bytes / 2).max(1), Ordering::Relaxed);
    }

    /// So many bytes were taken: where the limit was as low, try more.
    fn taken(&self, bytes: usize) {
        let limit = self.bytes();
        if bytes >= limit / 2 {
            self.0.store(limit.saturating_mul(2), Ordering::Relaxed);
        }
    }
}

impl Influx {
    pub(super) async fn write_once(&self, lines: &Lines, attempt: Attempt) -> Result<Written, WriteError> {
        let bound = attempt.exchange_time.map(|now| now.ms() - RETENTION_MS - EXPIRED_MARGIN_MS);
        let (lines, expired) = Places::new(lines, bound);
        let mut written = Written { expired, refused: Vec::new() };
        let (mut judged, mut batch) = (self.refusals(|refusals| refusals.clone()), Refusals::default());
        let mut left: Vec<_> = lines.pieces(self.body_limit.bytes()).map(|piece| (piece, attempt.number)).collect();
        left.reverse();
        while let Some((range, number)) = left.pop() {
            let bytes = lines.bytes(&range);
            let reply = self.post(bytes.clone()).await?;
            let lone_line = (range.len() == 1).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned());
            let answer = WriteAnswer { status: reply.status, body: &reply.body, retry_after: reply.retry_after };
            let said = || self.said(reply.status, &reply.body);
            match rule(answer, Sent { lone_line: lone_line.as_deref(), attempt: number }) {
                Rule::Stored => {
                    self.body_limit.taken(bytes.len());
                    judged.stored(range.len());
                    batch.stored(range.len());
                }
                Rule::Expired(retention) => {
                    let now = attempt.exchange_time.unwrap_or_else(self.clock);
                    let expired = expired_of(&bytes, retention, now).map_err(|clocks| held(&said(), &clocks))?;
                    let stored = range.len() - usize::try_from(expired.count()).unwrap_or(range.len()).min(range.len());
                    judged.stored(stored);
                    batch.stored(stored);
                    written.expired.merge(&expired);
                }
                // The halves are judged afresh: a 500 is split once, not down to single lines.
                Rule::Split if range.len() > 1 => {
                    if reply.status == 413 {
                        self.body_limit.refused(bytes.len());
                    }
                    let middle = range.start + range.len() / 2;
                    left.push((middle..range.end, 0));
                    left.push((range.start..middle, 0));
                }
                Rule::Split => return Err(WriteError::Transient { why: said(), wait: None }),
                Rule::Refuse => {
                    if !judged.may_give_up() {
                        return Err(held(
                            &said(),
                            "so many lines are refused that no line is at fault: mend the bucket",
                        ));
                    }
                    let _ = batch.may_give_up();
                    written.refused.extend(lone_line.and_then(|line| refused(line, &reply.body)));
                }
                // Tokens are replaced while captures run.
                Rule::Hold(_) if reply.status == 401 && self.credentials.reload() => left.push((range, number)),
                Rule::Hold(advice) => return Err(held(&said(), advice)),
                Rule::Retry(wait) => return Err(WriteError::Transient { why: said(), wait }),
            }
        }
        // Only a batch that ends counts: one that is held is tried again with the same lines.
        self.refusals(|refusals| refusals.append(&batch));
        Ok(written)
    }

    /// Sends no line, which shows whether the token may write to the bucket.
    pub(super) async fn write_nothing(&self) -> Result<(u16, String), WriteError> {
        self.post(Bytes::new()).await.map(|reply| (reply.status, reply.body))
    }

    fn refusals<T>(&self, with: impl FnOnce(&mut Refusals) -> T) -> T {
        with(&mut self.refusals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn post(&self, lines: Bytes) -> Result<Reply, WriteError> {
        let mut request = self
            .http
            .post(self.write_url.clone())
            .timeout(WRITE_TIMEOUT)
            .header(AUTHORIZATION, self.credentials.header())
            .header(CONTENT_TYPE, "text/plain; charset=utf-8");
        let body = if lines.is_empty() {
            // Other servers of this API refuse a request that does not state its length, and HTTP leaves a zero out.
            request = request.header(CONTENT_LENGTH, 0);
            lines
        } else if self.compress {
            // On loopback compression costs more than it saves; an empty gzip body is a 500.
            request = request.header(CONTENT_ENCODING, "gzip");
            gzip(&lines).map_err(|error| transient(format!("cannot compress a batch: {error}")))?
        } else {
            lines
        };
        let reply = request.body(body).send().await.map_err(|error| transient(self.silent(&error)))?;
        let status = reply.status().as_u16();
        let retry_after = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Reply { status, body: read_begin(reply).await, retry_after: retry_after.map(Duration::from_secs) })
    }
}

/// The trades of `bytes` that the server dropped for their age; an error that names the clocks if by the exchange's
/// time, `now`, one of them is not so old.
fn expired_of(bytes: &[u8], retention: Retention, now: TradeTime) -> Result<TradeIds, String> {
    let mut expired = TradeIds::default();
    for line in String::from_utf8_lossy(bytes).lines() {
        let Some((symbol, id, time)) = line::trade_of(line).filter(|(_, _, time)| retention.dropped(*time, now)) else {
            continue;
        };
        if !retention.is_over(time, now) {
            let server = retention.server_clock().map_or_else(|| "another time".to_owned(), |clock| clock.to_string());
            return Err(format!("its clock says {server} and the exchange's {now}: set the clock that is wrong"));
        }
        expired.add(&symbol, IdRange::from(id), time);
    }
    if expired.is_empty() {
        return Err("it drops trades that are not older than it says: look at the bucket's retention".to_owned());
    }
    Ok(expired)
}

fn refused(line: String, body: &str) -> Option<RefusedLine> {
    let (symbol, id, time) = line::trade_of(&line)?;
    Some(RefusedLine { symbol, id, time, line, why: reason(body) })
}

fn held(said: &str, advice: &str) -> WriteError {
    WriteError::Held { why: format!("{said}: {advice}") }
}

fn transient(why: String) -> WriteError {
    WriteError::Transient { why, wait: None }
}

/// Level 1: a quarter of the CPU of level 6 for 1.3 times its size.
fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}
