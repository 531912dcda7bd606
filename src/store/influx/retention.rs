//! What InfluxDB says of points that it dropped for their age, and whose clock is to blame.
//!
//! Measured of 2.9.1: `…dropped 2 points outside retention policy of duration 24h0m0s - oldest point … dropped because
//! it violates a Retention Policy Lower Bound at 2026-11-22T00:54:23.252503041Z, newest point …`. The bound is the
//! server's clock less the duration, so the answer shows that clock.

use std::time::Duration;

use chrono::DateTime;

use crate::store::RETENTION;
use crate::trade::TradeTime;

/// Clocks may differ by so much before one of them is wrong.
const MARGIN: Duration = Duration::from_secs(120);

/// The bucket's retention as an answer states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long the bucket keeps a point.
    pub keeps: Duration,
    /// Nothing older is stored; `None` if the answer does not say.
    pub bound: Option<TradeTime>,
}

impl Retention {
    /// Reads it in InfluxDB's message; `None` if the message is about something else.
    pub fn read(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("outside retention policy")?;
        let keeps = rest.strip_prefix(" of duration ").and_then(|rest| duration(rest.split_whitespace().next()?));
        let bound = rest.split_once("Retention Policy Lower Bound at ").and_then(|(_, rest)| {
            let end = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
            let bound = DateTime::parse_from_rfc3339(&rest[..end]).ok()?;
            TradeTime::from_ms(bound.timestamp_millis()).ok()
        });
        Some(Self { keeps: keeps.unwrap_or(RETENTION), bound })
    }

    /// What the server's clock says, if the answer shows it.
    pub fn server_clock(&self) -> Option<TradeTime> {
        TradeTime::from_ms(self.bound?.ms().saturating_add(ms(self.keeps))).ok()
    }

    /// Whether the server dropped a point of `time`. Where it does not say, what is over at `now` was dropped.
    pub fn dropped(&self, time: TradeTime, now: TradeTime) -> bool {
        self.bound.map_or_else(|| self.is_over(time, now), |bound| time < bound)
    }

    /// Whether a point of `time` is too old by a clock that says `now`, too.
    pub fn is_over(&self, time: TradeTime, now: TradeTime) -> bool {
        time.ms() < now.ms().saturating_sub(ms(self.keeps)).saturating_add(ms(MARGIN))
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration as Go prints it, such as `24h0m0s`; a bucket has whole seconds.
fn duration(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes()[digits] {
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "failure writing points to database: partial write: dropped 2 points outside retention policy of \
        duration 24h0m0s - oldest point t1,symbol=A at 2026-11-21T00:54:23.239375111Z dropped because it violates a \
        Retention Policy Lower Bound at 2026-11-22T00:54:23.252503041Z, newest point t1,symbol=A at \
        2026-11-21T23:54:23.239375111Z dropped because it violates a Retention Policy Lower Bound at \
        2026-11-22T00:54:23.252503041Z dropped=2 for database: 722150a211b62329 for retention policy: autogen";

    fn at(text: &str) -> TradeTime {
        TradeTime::from_ms(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()).unwrap()
    }

    #[test]
    fn the_answer_shows_the_servers_clock() {
        let retention = Retention::read(MESSAGE).unwrap();
        assert_eq!(retention.keeps, Duration::from_secs(86_400));
        assert_eq!(retention.bound, Some(at("2026-11-22T00:54:23.252Z")));
        assert_eq!(retention.server_clock(), Some(at("2026-11-23T00:54:23.252Z")));
        assert_eq!(Retention::read("partial write: field type conflict"), None);
    }

    #[test]
    fn a_trade_is_over_only_if_the_other_clock_says_so_too() {
        let retention = Retention::read(MESSAGE).unwrap();
        let (old, server) = (at("2026-11-22T00:50:00Z"), at("2026-11-23T00:54:23Z"));
        assert!(retention.dropped(old, server) && retention.is_over(old, server));
        // The server's clock is a day ahead of the exchange's: the trade is a live one.
        assert!(!retention.is_over(old, at("2026-11-22T00:50:01Z")));
        assert!(!retention.dropped(at("2026-11-22T00:54:24Z"), server));
    }

    #[test]
    fn what_the_answer_does_not_say_is_taken_from_what_is_usual() {
        let retention = Retention::read("dropped 1 points outside retention policy, no number").unwrap();
        assert_eq!(retention, Retention { keeps: RETENTION, bound: None });
        let now = at("2026-11-23T12:00:00Z");
        assert!(
            retention.dropped(at("2026-11-22T11:59:00Z"), now) && !retention.dropped(at("2026-11-22T12:03:00Z"), now)
        );
        for (text, seconds) in [
            ("1h0m0s", Some(3_600)),
            ("45s", Some(45)),
            ("", Some(0)),
            ("5", None),
            ("9x", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text).map(|duration| duration.as_secs()), seconds, "{text}");
        }
    }
}
