//! Writing a batch over HTTP: what [`Writing`] says is sent, and what was answered is told.

use std::io::Write as _;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};

use super::Influx;
use super::refusals::Refusals;
use super::writing::{Reply, Writing};
use crate::net::body::read_begin;
use crate::store::{Attempt, Lines, WriteError, Written};

/// InfluxDB's own limit for one write is 10 s; a large body on a slow line takes longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl Influx {
    pub(super) async fn write_once(&self, lines: &Lines, attempt: Attempt) -> Result<Written, WriteError> {
        let before = self.refusals(|refusals| refusals.clone());
        let mut writing = Writing::new(lines, attempt, &self.body_limit, before);
        while let Some(body) = writing.next_body() {
            let reply = self.post(body).await?;
            // Tokens are replaced while captures run.
            if reply.status == 401 && self.credentials.reload() {
                continue;
            }
            let now = attempt.exchange_time.unwrap_or_else(self.clock);
            writing.answered(&reply, now, || self.said(reply.status, &reply.body))?;
        }
        let (written, batch) = writing.finish();
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

    pub(super) async fn post(&self, lines: Bytes) -> Result<Reply, WriteError> {
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

fn transient(why: String) -> WriteError {
    WriteError::Transient { why, wait: None }
}

/// Level 1: a quarter of the CPU of level 6 for 1.3 times its size.
fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}
