//! InfluxDB's answers to a write: one table, in one place.
//!
//! What was measured of InfluxDB 2.9.1: a 400 stores nothing, a 422 stores the rest, a 5xx or a broken connection may
//! have stored everything. Points are idempotent, so whatever is not definite is sent again (P3).
//!
//! A status alone proves nothing: proxies, login pages and other servers answer 400, 403 and 413 too. A refusal is
//! definite only in InfluxDB's own JSON, and of a line only when that JSON quotes it; everything else is held (P1).

use std::time::Duration;

use serde::Deserialize;

use super::retention::Retention;
use crate::text::Excerpt;

/// After so many tries without a definite answer, the batch itself may be the cause.
const SUSPECT_AFTER: u32 = 5;

/// An answer to a write.
#[derive(Debug, Clone, Copy)]
pub struct WriteAnswer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body, InfluxDB's JSON or a proxy's words; perhaps only its begin.
    pub body: &'a str,
    /// `Retry-After`, where it came.
    pub retry_after: Option<Duration>,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The line, if it was one alone.
    pub lone_line: Option<&'a str>,
    /// Tries with this same batch before, from 0.
    pub attempt: u32,
}

/// What the writer does about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Everything is stored and synced.
    Stored,
    /// Everything is stored but what is older than the bucket keeps.
    Expired(Retention),
    /// Some line is refused, or the batch is too large: halve it.
    Split,
    /// This one line is refused, and quoted.
    Refuse,
    /// Nothing can be written until someone mends it: keep everything, try slowly.
    Hold(&'static str),
    /// Try again, after this at least.
    Retry(Option<Duration>),
}

/// InfluxDB's own words: the JSON that it answers with whenever it says no.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct OwnWords {
    pub(super) code: String,
    pub(super) message: String,
}

const NOT_INFLUXDB: &str =
    "that is not InfluxDB's own answer, so trades are kept: see --store, and what stands in front of it";
const WRONG_SCHEME_OR_PORT: &str = "that port speaks TLS: write https:// in --store";
const TOO_LARGE: &str = "even one line is too large for it: raise the body limit of the proxy in front of InfluxDB";
const NOT_QUOTED: &str = "it refuses without naming a line, so no trade is given up: see --org, --bucket and --store";
const OTHER_TYPE: &str = "another program wrote other types into this bucket: mend it";

/// The table.
pub fn rule(answer: WriteAnswer<'_>, sent: Sent<'_>) -> Rule {
    let WriteAnswer { status, body, retry_after } = answer;
    let halve = |alone: Rule| if sent.lone_line.is_some() { alone } else { Rule::Split };
    match (status, own_words(body)) {
        (204, _) => Rule::Stored,
        (413, _) => halve(Rule::Hold(TOO_LARGE)),
        (400, _) if body.contains("HTTP request to an HTTPS server") => Rule::Hold(WRONG_SCHEME_OR_PORT),
        (400, Some(own)) if own.code == "invalid" && own.message.contains("unable to parse") => {
            halve(if own.quotes(sent) { Rule::Refuse } else { Rule::Hold(NOT_QUOTED) })
        }
        // Bytes were lost on the way: what arrived was not what was sent.
        (400, Some(own)) if own.message.contains("gzip") => Rule::Retry(retry_after),
        (400, None) if begins_to_refuse_lines(body) => halve(Rule::Hold(NOT_INFLUXDB)),
        (422, Some(own)) => match Retention::read(&own.message) {
            Some(retention) => Rule::Expired(retention),
            // With our fixed set of fields a conflict of types is never the fault of a line.
            None if own.message.contains("field type conflict") => Rule::Hold(OTHER_TYPE),
            None => halve(if own.quotes(sent) { Rule::Refuse } else { Rule::Hold(NOT_QUOTED) }),
        },
        (400, Some(_)) => Rule::Hold(NOT_QUOTED),
        (401, Some(_)) => Rule::Hold("the token is not valid there: give another with --token-file or INFLUX_TOKEN"),
        (403, Some(_)) => Rule::Hold("the token may not write to this bucket: give one that may"),
        (404, Some(_)) => {
            Rule::Hold("no such bucket, organization or path: see --bucket, --org and --store, or run provision")
        }
        (408 | 425 | 429 | 499 | 503, _) => Rule::Retry(retry_after),
        (407, _) => Rule::Hold("the proxy wants credentials: see HTTPS_PROXY and NO_PROXY"),
        // A 500 may be the batch's own fault; splitting once in a while finds out.
        (500..=599, _) if is_suspect(sent.attempt) => Rule::Split,
        (500..=599, _) => Rule::Retry(retry_after),
        _ => Rule::Hold(NOT_INFLUXDB),
    }
}

/// Whether a batch that gets no definite answer should be halved at this try.
fn is_suspect(attempt: u32) -> bool {
    attempt > 0 && attempt.is_multiple_of(SUSPECT_AFTER)
}

fn own_words(body: &str) -> Option<OwnWords> {
    serde_json::from_str(body).ok()
}

/// A 400 grows with every bad line and may be cut; halving it kills no line, and the halves' answers are shorter.
fn begins_to_refuse_lines(body: &str) -> bool {
    body.starts_with(r#"{"code":"invalid","message":"unable to parse"#)
}

/// Why a line is refused, in InfluxDB's words; the line that they quote stands beside them.
pub fn reason(body: &str) -> Excerpt {
    let Some(OwnWords { message, .. }) = own_words(body) else { return Excerpt::of(body) };
    match message.split_once("unable to parse '").zip(message.rsplit_once("': ")) {
        Some((_, (_, reason))) => Excerpt::of(&format!("unable to parse it: {reason}")),
        None => Excerpt::of(&message),
    }
}

impl OwnWords {
    /// Whether the point that was sent alone is named in the message: its series and its time, should its fields
    /// have been changed on the way.
    fn quotes(&self, sent: Sent<'_>) -> bool {
        let point = sent.lone_line.and_then(|line| Some((line.split_once(' ')?.0, line.rsplit_once(' ')?.1)));
        point.is_some_and(|(series, time)| self.message.contains(series) && self.message.contains(time))
    }
}

#[cfg(test)]
mod tests;
