//! A batch on its way into InfluxDB: what to send next, and what an answer means for the rest.
//!
//! A state machine without effects: `write` sends what it says, and tells it what was answered.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::line;
use super::places::Places;
use super::refusals::Refusals;
use super::retention::Retention;
use super::rules::{Rule, Sent, WriteAnswer, reason, rule};
use crate::store::{Attempt, Lines, RETENTION_MS, RefusedLine, WriteError, Written};
use crate::trade::{IdRange, TradeIds, TradeTime};

/// InfluxDB refuses what is older than the retention; what is older by this
/// much is left out before sending, so that its clock and the exchange's may differ.
const EXPIRED_MARGIN_MS: i64 = 120_000;
const SYSTEMATIC: &str = "so many lines are refused that no line is at fault: mend the bucket";

/// An answer to one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, perhaps only its begin.
    pub body: String,
    /// `Retry-After`, where it came.
    pub retry_after: Option<Duration>,
}

/// Bytes that one body may have, as far as the answers tell: a proxy's limit is found by its refusals.
#[derive(Debug)]
pub struct BodyLimit(AtomicUsize);

/// A batch of which not everything is settled.
#[derive(Debug)]
pub struct Writing<'a> {
    lines: Places,
    /// What is still to be sent, the next last: which lines, and how often this same body was tried.
    left: Vec<(Range<usize>, u32)>,
    limit: &'a BodyLimit,
    /// What became of the last lines of all batches, with those of this one.
    judged: Refusals,
    batch: Refusals,
    written: Written,
}

impl Default for BodyLimit {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl BodyLimit {
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

impl<'a> Writing<'a> {
    /// Of `lines`, without what is too old by the exchange's time; `before` is what became of the lines before them.
    pub fn new(lines: &Lines, attempt: Attempt, limit: &'a BodyLimit, before: Refusals) -> Self {
        let bound = attempt.exchange_time.map(|now| now.ms() - RETENTION_MS - EXPIRED_MARGIN_MS);
        let (lines, expired) = Places::new(lines, bound);
        let left = vec![(lines.all(), attempt.number)];
        let written = Written { expired, refused: Vec::new() };
        Self { lines, left, limit, judged: before, batch: Refusals::default(), written }
    }

    /// The body to send next; `None` if every line is settled.
    pub fn next_body(&mut self) -> Option<Bytes> {
        self.left.pop_if(|(range, _)| range.start >= range.end);
        let (range, number) = self.left.last_mut()?;
        let head = self.lines.head(range, self.limit.bytes());
        if head.end < range.end {
            // The limit may have grown when the rest is due.
            range.start = head.end;
            let number = *number;
            self.left.push((head.clone(), number));
        }
        Some(self.lines.bytes(&head))
    }

    /// The answer to it came, at the exchange's time `now`; `said` puts the answer in words for people.
    ///
    /// # Errors
    ///
    /// [`WriteError`] if the batch is to be tried again as a whole.
    pub fn answered(&mut self, reply: &Reply, now: TradeTime, said: impl Fn() -> String) -> Result<(), WriteError> {
        let Some((range, number)) = self.left.pop() else { return Ok(()) };
        let bytes = self.lines.bytes(&range);
        let lone_line = (range.len() == 1).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned());
        let answer = WriteAnswer { status: reply.status, body: &reply.body, retry_after: reply.retry_after };
        match rule(answer, Sent { lone_line: lone_line.as_deref(), attempt: number }) {
            Rule::Stored => {
                self.limit.taken(bytes.len());
                self.stored(range.len());
            }
            Rule::Expired(retention) => {
                let expired = expired_of(&bytes, retention, now).map_err(|clocks| held(&said(), &clocks))?;
                self.stored(range.len().saturating_sub(usize::try_from(expired.count()).unwrap_or(usize::MAX)));
                self.written.expired.merge(&expired);
            }
            // The halves are judged afresh: a 500 is split once, not down to single lines.
            Rule::Split if range.len() > 1 => {
                if reply.status == 413 {
                    self.limit.refused(bytes.len());
                }
                let middle = range.start + range.len() / 2;
                self.left.push((middle..range.end, 0));
                self.left.push((range.start..middle, 0));
            }
            Rule::Split => return Err(WriteError::Transient { why: said(), wait: None }),
            Rule::Refuse if self.judged.may_give_up() => {
                let _ = self.batch.may_give_up();
                self.written.refused.extend(lone_line.and_then(|line| refused(line, &reply.body)));
            }
            Rule::Refuse => return Err(held(&said(), SYSTEMATIC)),
            Rule::Hold(advice) => return Err(held(&said(), advice)),
            Rule::Retry(wait) => return Err(WriteError::Transient { why: said(), wait }),
        }
        Ok(())
    }

    /// What became of the batch, and of its lines in their order: only one that ends counts, for one that does not is tried
    /// again with the same lines.
    pub fn finish(self) -> (Written, Refusals) {
        (self.written, self.batch)
    }

    fn stored(&mut self, lines: usize) {
        self.judged.stored(lines);
        self.batch.stored(lines);
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

#[cfg(test)]
mod tests;
