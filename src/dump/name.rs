//! What a daily file's name says: `BTCUSDT-trades-2026-11-29.zip`.

use std::fmt;

use chrono::NaiveDate;

use crate::trade::{Symbol, TradeTime};

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// 2025-01-01T00:00:00Z: files of this day and of later ones have microseconds.
const MICROSECONDS_SINCE_MS: i64 = 1_735_689_600_000;
const US_PER_MS: u64 = 1_000;

/// A day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(NaiveDate);

/// In what the times of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Since 2025-01-01.
    Microseconds,
    /// Before.
    Milliseconds,
}

/// Whose trades of which day a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpName {
    /// Whose.
    pub symbol: Symbol,
    /// Of which day.
    pub day: Day,
}

impl DumpName {
    /// Reads the name of a file with this extension, such as `zip`; `None` if it is not that of a daily file.
    pub fn parse(name: &str, extension: &str) -> Option<Self> {
        let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
        let (symbol, date) = stem.split_once("-trades-")?;
        let day = Day(NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?);
        let read = Self { symbol: symbol.parse().ok()?, day };
        // A trade cannot have every day, and only the name that it would be given is its own.
        (day.begin_ms() >= 0 && day.end() > day.begin() && read.file(extension) == name).then_some(read)
    }

    /// The name of the file with this extension.
    pub fn file(&self, extension: &str) -> String {
        format!("{}-trades-{}.{extension}", self.symbol, self.day)
    }
}

impl Day {
    /// The day that holds a time.
    pub fn of(time: TradeTime) -> Self {
        Self(chrono::DateTime::from_timestamp_millis(time.ms()).unwrap_or_default().date_naive())
    }

    /// Its first millisecond.
    pub fn begin(self) -> TradeTime {
        TradeTime::from_ms(self.begin_ms()).unwrap_or(TradeTime::LATEST)
    }

    /// The first millisecond of the next one.
    pub fn end(self) -> TradeTime {
        self.begin().later_by(DAY_MS)
    }

    /// Whether `time` is in it.
    pub fn holds(self, time: TradeTime) -> bool {
        (self.begin()..self.end()).contains(&time)
    }

    /// In what a file of this day has its times.
    pub fn unit(self) -> Unit {
        if self.begin_ms() >= MICROSECONDS_SINCE_MS { Unit::Microseconds } else { Unit::Milliseconds }
    }

    fn begin_ms(self) -> i64 {
        self.0.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Unit {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Microseconds => Self::Milliseconds,
            Self::Milliseconds => Self::Microseconds,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "microseconds",
            Self::Milliseconds => "milliseconds",
        }
    }

    /// The trade time that so many are, cut to the millisecond; `None` if no trade can have it.
    pub fn time(self, number: u64) -> Option<TradeTime> {
        let ms = match self {
            Self::Microseconds => number / US_PER_MS,
            Self::Milliseconds => number,
        };
        TradeTime::from_ms(i64::try_from(ms).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_symbol_and_day() {
        let name = DumpName::parse("BTCUSDT-trades-2026-11-29.zip", "zip").unwrap();
        assert_eq!((name.symbol.as_str(), name.day.to_string().as_str()), ("BTCUSDT", "2026-11-29"));
        assert_eq!(name.day.begin().to_string(), "2026-11-29T00:00:00.000Z");
        assert_eq!(name.day.end().to_string(), "2026-11-30T00:00:00.000Z");
        assert_eq!(name.file("csv"), "BTCUSDT-trades-2026-11-29.csv");
        assert_eq!(Day::of(name.day.end().earlier_by(1)), name.day);
        assert!(name.day.holds(name.day.begin()) && !name.day.holds(name.day.end()));
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            "BTCUSDT-trades-2026-11-29.csv",
            "BTCUSDT-trades-2026-11-29zip",
            "BTCUSDT-trades-2026-11.zip",
            "BTCUSDT-trades-2026-11-31.zip",
            "BTCUSDT-trades-2026-1-2.zip",
            "BTCUSDT-aggTrades-2026-11-29.zip",
            "btcusdt-trades-2026-11-29.zip",
            "../BTCUSDT-trades-2026-11-29.zip",
            "-trades-2026-11-29.zip",
            "BTCUSDT-trades-1969-12-31.zip",
            "BTCUSDT-trades-9999-12-31.zip",
            "",
        ] {
            assert_eq!(DumpName::parse(name, "zip"), None, "{name}");
        }
    }

    #[test]
    fn files_have_microseconds_since_2025() {
        let unit = |day: &str| DumpName::parse(&format!("A-trades-{day}.zip"), "zip").unwrap().day.unit();
        assert_eq!((unit("2024-12-31"), unit("2025-01-01")), (Unit::Milliseconds, Unit::Microseconds));
        assert_eq!(Unit::Microseconds.time(1_999).unwrap().ms(), 1);
        assert_eq!(Unit::Milliseconds.time(u64::MAX), None);
    }
}
