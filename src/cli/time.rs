//! Times on the command line, and how long something lasts. Everything is UTC.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Timelike};

use super::Failure;
use super::settings::Kind;
use crate::flux::Value;
use crate::store::Interval;
use crate::trade::TradeTime;

/// Nothing that a flag speaks of lasts longer: ten years.
const DURATION_MAX: Duration = Duration::from_secs(10 * 31_557_600);
/// An exchange's clock may be ahead of ours by so much.
const CLOCK_MARGIN_MS: i64 = 5_000;
const DAY_MS: i64 = 86_400_000;

/// A time as it was typed, in milliseconds; it need not be one that a trade can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeArg {
    /// Since 1970.
    At(i64),
    /// Before now.
    AgoMs(i64),
    /// Since midnight, the last time that the clock said so.
    OfDay(i64),
}

impl TimeArg {
    /// Reads RFC 3339, the same without a zone or without a time (UTC), a time of day, milliseconds since 1970, or how long
    /// ago it was, with or without a minus. Digits past the millisecond are cut off.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let read = DateTime::parse_from_rfc3339(text).ok().map(|time| Self::At(time.timestamp_millis()));
        read.or_else(|| Self::without_zone(text)).or_else(|| Self::epoch(text)).or_else(|| Self::ago(text)).ok_or_else(
            || {
                format!(
                    "{text:?} is not a time: write 2026-01-31T12:00:00Z (RFC 3339), 12:00:05 (UTC), or -5m for five minutes ago"
                )
            },
        )
    }

    fn without_zone(text: &str) -> Option<Self> {
        let of_day = |time: NaiveTime| {
            Self::OfDay(i64::from(time.num_seconds_from_midnight()) * 1_000 + i64::from(time.nanosecond() / 1_000_000))
        };
        let time = NaiveTime::parse_from_str(text, "%H:%M").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S%.f"));
        let midnight = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        let date_time = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok().or_else(midnight);
        time.ok().map(of_day).or_else(|| Some(Self::At(date_time()?.and_utc().timestamp_millis())))
    }

    /// Thirteen digits are milliseconds of 2001 to 2286; fewer may be seconds, and are refused.
    fn epoch(text: &str) -> Option<Self> {
        let is_epoch = text.len() == 13 && text.bytes().all(|digit| digit.is_ascii_digit());
        is_epoch.then(|| text.parse().ok().map(Self::At))?
    }

    fn ago(text: &str) -> Option<Self> {
        let ago = humantime::parse_duration(text.strip_prefix('-').unwrap_or(text)).ok()?;
        Some(Self::AgoMs(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
    }

    /// In milliseconds since 1970, as seen at `now`.
    fn ms(self, now: TradeTime) -> i64 {
        match self {
            Self::At(ms) => ms,
            Self::AgoMs(ago) => now.ms().saturating_sub(ago),
            Self::OfDay(of_day) => now.ms() - (now.ms() - of_day).rem_euclid(DAY_MS),
        }
    }

    /// As a parameter of a Flux file that is printed at `now`: what lies so long before its run stays so.
    pub(super) fn for_flux(self, now: TradeTime) -> Value {
        match self {
            Self::AgoMs(ms) => Value::DurationMs(-ms),
            Self::At(_) | Self::OfDay(_) => Value::TimeMs(self.ms(now)),
        }
    }

    /// Whether it depends on this host's clock.
    pub(super) fn is_relative(self) -> bool {
        !matches!(self, Self::At(_))
    }

    /// The time as seen at `now`, whenever it is.
    pub(super) fn as_trade_time(self, now: TradeTime) -> Result<TradeTime, Failure> {
        let ms = self.ms(now);
        TradeTime::from_ms(ms).map_err(|_| Failure::Usage(format!("{} is not between 1970 and 2262", words(ms))))
    }

    /// The time, if trades of then can be kept at `now` in a store of that kind.
    pub(super) fn within(self, kind: Kind, now: TradeTime) -> Result<TradeTime, Failure> {
        let ms = self.ms(now);
        if ms > now.ms() + CLOCK_MARGIN_MS {
            let why = format!("{} is in the future (it is {now}): ask for a time that has passed", words(ms));
            return Err(Failure::No(why));
        }
        let Some(keeps_ms) = kind.keeps_ms() else { return self.as_trade_time(now) };
        let time = TradeTime::from_ms(ms).ok().filter(|time| time.ms() >= now.ms() - keeps_ms);
        time.ok_or_else(|| {
            Failure::No(format!("{} is more than 24 h ago (it is {now}): only the last 24 h are kept", words(ms)))
        })
    }
}

/// From when on: so long before now, or a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Since {
    text: String,
    time: TimeArg,
}

impl Since {
    /// Reads how far back a question goes, with or without a minus, or a time as [`TimeArg::parse`] does.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let time = TimeArg::parse(text).ok().filter(|_| is_in_whole_ms(text));
        let time = time.ok_or_else(|| format!("{text:?} is not a duration of 1s to 24h in whole milliseconds, nor a time: write 1m, 1h30m, or 2026-01-31T12:00:00Z"))?;
        Ok(Self { text: text.to_owned(), time })
    }

    /// The time, if trades of then can be kept at `now` in a store of that kind.
    pub(super) fn within(&self, kind: Kind, now: TradeTime) -> Result<TradeTime, Failure> {
        match self.time {
            TimeArg::AgoMs(ms) if ms < 1_000 || kind.keeps_ms().is_some_and(|keeps_ms| ms > keeps_ms) => {
                let at_most = if kind.keeps_ms().is_some() { "1s to 24h" } else { "1s or longer" };
                let text = &self.text;
                Err(Failure::Usage(format!("--since {text} is not a duration of {at_most}: write 1m, or 1h30m")))
            }
            time => time.within(kind, now),
        }
    }
}

/// Up to when a question goes that begins at `since`: after that.
pub(super) fn until(until: Option<TimeArg>, since: TradeTime, now: TradeTime) -> Result<Option<TradeTime>, Failure> {
    let until = until.map(|until| until.as_trade_time(now)).transpose()?;
    match until.filter(|until| *until <= since) {
        Some(until) => Err(Failure::Usage(format!("--until {until} is not after --since {since}: give a later one"))),
        None => Ok(until),
    }
}

/// Whether what may be a duration has no part of a millisecond.
fn is_in_whole_ms(text: &str) -> bool {
    let duration = humantime::parse_duration(text.strip_prefix('-').unwrap_or(text));
    duration.map_or(true, |duration| duration.subsec_nanos().is_multiple_of(1_000_000))
}

/// Reads how long something lasts, for every flag that says so: `30s`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err("longer than ten years".to_owned()),
        Err(_) => Err("expected a duration such as 30s or 1h30m".to_owned()),
    }
}

/// A time that need not be a trade's.
fn words(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    time.map_or_else(|| "that".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Reads how far back a question goes, with or without a minus.
pub(super) fn since(text: &str) -> Result<Interval, String> {
    interval(text.strip_prefix('-').unwrap_or(text))
}

/// Reads how long a candle is.
pub(super) fn interval(text: &str) -> Result<Interval, String> {
    duration(text)
        .ok()
        .and_then(|duration| Interval::try_from(duration).ok())
        .ok_or_else(|| format!("{text:?} is not a duration of 1s to 24h in whole milliseconds: write 1m, or 1h30m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_767_268_800_000;

    fn time(text: &str) -> Result<TradeTime, Failure> {
        TimeArg::parse(text).unwrap().within(Kind::Store, TradeTime::from_ms(NOON_MS).unwrap())
    }

    #[test]
    fn rfc_3339_and_times_ago_are_read() {
        for (text, ms) in [
            ("2026-01-01T11:59:00Z", NOON_MS - 60_000),
            ("2026-01-01T12:59:00+01:00", NOON_MS - 60_000),
            ("2026-01-01T11:59:59.123456789Z", NOON_MS - 877),
            ("-5m", NOON_MS - 300_000),
            ("-1h30m", NOON_MS - 5_400_000),
            ("-0s", NOON_MS),
            ("-24h", NOON_MS - 86_400_000),
        ] {
            assert_eq!(time(text).unwrap().ms(), ms, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_last_one_and_what_has_no_zone_is_utc() {
        for (text, ms) in [
            ("12:00", NOON_MS),
            ("11:59", NOON_MS - 60_000),
            ("11:59:05", NOON_MS - 55_000),
            ("11:59:05.250", NOON_MS - 54_750),
            ("12:01", NOON_MS - 86_400_000 + 60_000),
            ("2026-01-01", NOON_MS - 43_200_000),
            ("2026-01-01T11:30:00", NOON_MS - 1_800_000),
            ("1767268740123", NOON_MS - 59_877),
            ("5m", NOON_MS - 300_000),
        ] {
            assert_eq!(time(text).unwrap().ms(), ms, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_an_example() {
        for text in [
            "",
            "now",
            "-",
            "-5",
            "24:00",
            "12:60",
            "1767268800",
            "-1767268740123",
            "2026-02-30",
            "2026-13-01T00:00:00Z",
        ] {
            let line = TimeArg::parse(text).unwrap_err();
            assert!(line.contains("-5m for five minutes ago"), "{text}: {line}");
        }
    }

    #[test]
    fn a_duration_has_units_and_lasts_ten_years_at_most() {
        for (text, seconds) in [("30s", 30), ("1h30m", 5_400), ("0s", 0), ("10years", 315_576_000)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "-5s", "soon", "s", "1h -1m"] {
            assert!(duration(text).unwrap_err().contains("such as"), "{text}");
        }
        for text in [
            "10years 1ns",
            "11years",
            "10000000years",
            "18446744073709551615s",
            "99999999999999999999s",
            "584542046091years",
        ] {
            assert!(duration(text).unwrap_err().contains("ten years"), "{text}");
        }
    }

    #[test]
    fn the_future_and_the_time_before_the_retention_have_no_trades() {
        for (text, why) in [
            ("2026-01-01T12:00:06Z", "future"),
            ("2262-04-12T00:00:00Z", "future"),
            ("9999-12-31T23:59:59Z", "future"),
            ("-24h1s", "24 h ago"),
            ("-100years", "24 h ago"),
            ("-500000000000years", "24 h ago"),
            ("1969-12-31T23:59:59Z", "24 h ago"),
            ("0001-01-01T00:00:00Z", "24 h ago"),
        ] {
            let Err(Failure::No(line)) = time(text) else { panic!("{text}") };
            assert!(line.contains(why), "{line}");
        }
        assert!(time("2026-01-01T12:00:02Z").is_ok(), "an exchange's clock may be ahead");
    }

    #[test]
    fn an_archive_has_every_time_that_has_passed() {
        let now = TradeTime::from_ms(NOON_MS).unwrap();
        let time = |text: &str| TimeArg::parse(text).unwrap().within(Kind::Archive, now);
        assert_eq!(time("-25h").unwrap().ms(), NOON_MS - 90_000_000);
        assert_eq!(time("2017-07-14T04:00:00Z").unwrap().ms(), 1_500_004_800_000);
        assert!(matches!(time("2026-01-01T12:00:06Z"), Err(Failure::No(line)) if line.contains("future")));
        assert!(matches!(time("1969-12-31T23:59:59Z"), Err(Failure::Usage(line)) if line.contains("1970")));
    }

    #[test]
    fn a_question_goes_back_by_a_duration_or_to_a_time() {
        let now = TradeTime::from_ms(NOON_MS).unwrap();
        let since = |text: &str, kind| Since::parse(text).unwrap().within(kind, now);
        for (text, ms) in [("1s", 1_000), ("-1h", 3_600_000), ("24h", 86_400_000), ("2026-01-01T11:59:00Z", 60_000)] {
            assert_eq!(since(text, Kind::Store).unwrap().ms(), NOON_MS - ms, "{text}");
        }
        for (text, kind) in
            [("0s", Kind::Store), ("999ms", Kind::Archive), ("24h1ms", Kind::Store), ("11years", Kind::Store)]
        {
            let Err(Failure::Usage(line)) = since(text, kind) else { panic!("{text}") };
            assert!(line.contains(text) && line.contains("--since") && line.contains("1s"), "{line}");
        }
        assert_eq!(since("25h", Kind::Archive).unwrap().ms(), NOON_MS - 90_000_000);
        assert!(matches!(since("2025-12-30", Kind::Store), Err(Failure::No(line)) if line.contains("24 h ago")));
        for text in ["60", "minute", "1s500us", "", "99999999999999999999s"] {
            assert!(Since::parse(text).unwrap_err().contains("1s to 24h"), "{text}");
        }
    }
}
