//! Writing a batch: send, and where the rules say so, halve until the culprit is found.

use std::io::Write as _;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};

use super::rules::{Answer, Rule, rule};
use super::{Influx, line};
use crate::store::{DeadLine, Lines, RETENTION_MS, WriteError, Written};

/// InfluxDB refuses what is older than the retention; what is older by this
/// much is left out before sending, so that its clock and ours may differ.
const EXPIRED_MARGIN_MS: i64 = 120_000;
/// InfluxDB's own limit for one write is 10 s; a large body on a slow line takes longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Lines that can be halved.
struct Places {
    bytes: Bytes,
    count: usize,
    /// Where each line ends; found out when the first halving asks for it.
    ends: OnceLock<Vec<usize>>,
}

impl Places {
    /// Of `lines`, without what is older than `bound`.
    fn new(lines: &Lines, bound_ms: i64) -> Self {
        if lines.oldest.ms() >= bound_ms {
            return Self { bytes: lines.bytes.clone(), count: lines.count, ends: OnceLock::new() };
        }
        let is_kept = |line: &&[u8]| line::time(line.trim_ascii_end()).is_none_or(|time| time.ms() >= bound_ms);
        let kept: Vec<_> = lines.bytes.split_inclusive(|byte| *byte == b'\n').filter(is_kept).collect();
        Self { bytes: kept.concat().into(), count: kept.len(), ends: OnceLock::new() }
    }

    fn bytes(&self, lines: &Range<usize>) -> Bytes {
        if lines.len() == self.count {
            return self.bytes.clone();
        }
        let line_feeds = || self.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let ends = self.ends.get_or_init(|| line_feeds().map(|(at, _)| at + 1).collect());
        let start = lines.start.checked_sub(1).map_or(0, |before| ends[before]);
        self.bytes.slice(start..ends[lines.end - 1])
    }
}

/// A definite or indefinite end of one request.
struct Reply {
    status: u16,
    body: String,
    retry_after: Option<Duration>,
}

impl Influx {
    pub(super) async fn write_once(&self, lines: &Lines, attempt: u32) -> Result<Written, WriteError> {
        let given = lines.count;
        let lines = Places::new(lines, (self.clock)().ms() - RETENTION_MS - EXPIRED_MARGIN_MS);
        let mut written = Written { expired: (given - lines.count) as u64, dead: Vec::new() };
        if lines.count == 0 {
            return Ok(written);
        }
        let mut left = vec![(0..lines.count, attempt)];
        while let Some((range, attempt)) = left.pop() {
            let reply = self.post(lines.bytes(&range)).await?;
            let answer = Answer { status: reply.status, body: &reply.body, retry_after: reply.retry_after };
            let said = || self.said(reply.status, &reply.body);
            match rule(answer, attempt) {
                Rule::Stored => {}
                Rule::Expired(count) => written.expired += count,
                // The halves are judged afresh: a 500 is split once, not down to single lines.
                Rule::Split if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    left.push((middle..range.end, 0));
                    left.push((range.start..middle, 0));
                }
                Rule::Split if reply.status >= 500 => return Err(WriteError::Transient { why: said(), wait: None }),
                Rule::Split => {
                    let line = String::from_utf8_lossy(&lines.bytes(&range)).trim_end().to_owned();
                    written.dead.push(DeadLine { line, reason: reply.body.clone() });
                    // A type written by someone else makes every line of its hour guilty; none of them is.
                    if reply.status == 422 && written.dead.len() * 10 > lines.count {
                        let why = format!("{}: another program wrote other types into this bucket: mend it", said());
                        return Err(WriteError::Held { why });
                    }
                }
                // Tokens are replaced while captures run.
                Rule::Hold(_) if reply.status == 401 && self.credentials.reload() => left.push((range, attempt)),
                Rule::Hold(advice) => return Err(WriteError::Held { why: format!("{}: {advice}", said()) }),
                Rule::Retry(wait) => return Err(WriteError::Transient { why: said(), wait }),
            }
        }
        Ok(written)
    }

    /// Sends no line, which shows whether the token may write to the bucket.
    pub(super) async fn write_nothing(&self) -> Result<(u16, String), WriteError> {
        self.post(Bytes::new()).await.map(|reply| (reply.status, reply.body))
    }

    async fn post(&self, lines: Bytes) -> Result<Reply, WriteError> {
        let mut request = self
            .http
            .post(self.write_url.clone())
            .timeout(WRITE_TIMEOUT)
            .header(AUTHORIZATION, self.credentials.header())
            .header(CONTENT_TYPE, "text/plain; charset=utf-8");
        // On loopback compression costs more than it saves; an empty gzip body is a 500.
        let body = if self.compress && !lines.is_empty() {
            request = request.header(CONTENT_ENCODING, "gzip");
            gzip(&lines).map_err(|error| transient(format!("cannot compress a batch: {error}")))?
        } else {
            lines
        };
        let reply = request.body(body).send().await.map_err(|error| self.no_answer(&error))?;
        let status = reply.status().as_u16();
        let retry_after = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = reply.text().await.map_err(|error| self.no_answer(&error))?;
        Ok(Reply { status, body, retry_after: retry_after.map(Duration::from_secs) })
    }

    fn no_answer(&self, error: &reqwest::Error) -> WriteError {
        transient(self.silent(error))
    }
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
