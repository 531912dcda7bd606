//! InfluxDB's answers to a write: one table, in one place.
//!
//! What was measured of InfluxDB 2.9.1: a 400 stores nothing, a 422 stores the
//! rest, a 5xx or a broken connection may have stored everything. Points are
//! idempotent, so whatever is not definite is sent again (P3).

use std::time::Duration;

/// After so many tries without a definite answer, the batch itself may be the cause.
const SUSPECT_AFTER: u32 = 5;

/// An answer to a write.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body, InfluxDB's JSON or a proxy's words.
    pub body: &'a str,
    /// `Retry-After`, where it came.
    pub retry_after: Option<Duration>,
}

/// What the writer does about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Everything is stored and synced.
    Stored,
    /// Everything is stored but these trades, which are older than the retention.
    Expired(u64),
    /// Some line is refused: halve the batch to find it.
    Split,
    /// Nothing can be written until someone mends it: keep everything, try slowly.
    Hold(&'static str),
    /// Try again, after this at least.
    Retry(Option<Duration>),
}

/// The table. `attempt` counts from 0 the tries with this same batch.
pub fn rule(answer: Answer<'_>, attempt: u32) -> Rule {
    match answer.status {
        204 => Rule::Stored,
        400 | 413 => Rule::Split,
        422 if answer.body.contains("outside retention policy") => Rule::Expired(dropped(answer.body)),
        422 => Rule::Split,
        401 => Rule::Hold("the token is not valid there: give another with --token-file or INFLUX_TOKEN"),
        403 => Rule::Hold("the token may not write to this bucket: give one that may"),
        404 => Rule::Hold("no such bucket, organization or path: see --bucket, --org and --store, or run provision"),
        429 | 503 => Rule::Retry(answer.retry_after),
        // Neither InfluxDB nor a proxy has a reason to answer a write so.
        200..=399 | 405 => Rule::Hold("that is not an InfluxDB 2 write endpoint: see --store"),
        // A 500 may be the batch's own fault; splitting once in a while finds out.
        500..=599 if is_suspect(attempt) => Rule::Split,
        _ => Rule::Retry(answer.retry_after),
    }
}

/// Whether a batch that gets no definite answer should be halved at this try.
fn is_suspect(attempt: u32) -> bool {
    attempt > 0 && attempt.is_multiple_of(SUSPECT_AFTER)
}

/// The number behind `dropped=`; InfluxDB counts the first failing shard only,
/// so it is a lower bound.
fn dropped(body: &str) -> u64 {
    let digits = body.rsplit("dropped=").next().unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(status: u16, body: &str) -> Rule {
        rule(Answer { status, body, retry_after: None }, 0)
    }

    #[test]
    fn success_is_204_alone() {
        assert_eq!(ruled(204, ""), Rule::Stored);
        for status in [200, 201, 301, 302, 304, 405] {
            assert!(matches!(ruled(status, "<html>"), Rule::Hold(_)), "{status}");
        }
    }

    #[test]
    fn a_bad_line_or_a_large_batch_is_split() {
        assert_eq!(ruled(400, r#"{"code":"invalid","message":"unable to parse"}"#), Rule::Split);
        assert_eq!(ruled(413, ""), Rule::Split);
    }

    #[test]
    fn a_partial_write_is_expired_or_split() {
        let expired = r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 2 points outside retention policy of duration 24h0m0s - oldest point … dropped=2 for database: 7221 for retention policy: autogen"}"#;
        assert_eq!(ruled(422, expired), Rule::Expired(2));
        let conflict = r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"price\" on measurement \"trade\" is type string, already exists as type float dropped=10"}"#;
        assert_eq!(ruled(422, conflict), Rule::Split);
        assert_eq!(ruled(422, "dropped 1 points outside retention policy, no number"), Rule::Expired(1));
    }

    #[test]
    fn rights_and_names_hold() {
        for status in [401, 403, 404] {
            assert!(matches!(ruled(status, "{}"), Rule::Hold(_)), "{status}");
        }
    }

    #[test]
    fn busy_answers_are_tried_again_when_they_ask_for_it() {
        for status in [429, 503] {
            assert_eq!(ruled(status, ""), Rule::Retry(None));
            let wait = Some(Duration::from_secs(7));
            assert_eq!(rule(Answer { status, body: "", retry_after: wait }, 0), Rule::Retry(wait));
        }
    }

    #[test]
    fn unknown_outcomes_are_tried_again_and_split_only_now_and_then() {
        for status in [500, 502, 504, 499] {
            assert_eq!(ruled(status, ""), Rule::Retry(None), "{status}");
        }
        let split_at: Vec<_> = (0..16)
            .filter(|attempt| rule(Answer { status: 500, body: "", retry_after: None }, *attempt) == Rule::Split)
            .collect();
        assert_eq!(split_at, [5, 10, 15]);
    }
}
