//! Candles of a minute as the exchange tells them: every row checked before it is held against anything.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::text::Excerpt;
use crate::trade::{MINUTE_MS, TradeTime};

/// Candles in one answer, at most.
pub const KLINES_MAX: usize = 1_000;
/// Columns of a row that are read; what comes behind them is not.
const COLUMNS: usize = 11;
/// Digits that a decimal holds whatever they are.
const DIGITS_MAX: usize = 28;

/// The exchange's own account of a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kline {
    /// Its begin.
    pub start: TradeTime,
    /// The first price; without a trade the last one before it, as the other three.
    pub open: Decimal,
    /// The highest price.
    pub high: Decimal,
    /// The lowest price.
    pub low: Decimal,
    /// The last price.
    pub close: Decimal,
    /// The sum of the quantities.
    pub volume: Decimal,
    /// The sum of price times quantity.
    pub quote_volume: Decimal,
    /// How many trades it has.
    pub trades: u64,
    /// The sum of the quantities of those trades whose taker bought.
    pub taker_buy_volume: Decimal,
}

/// Which candles were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The begin of the first minute.
    pub first: TradeTime,
    /// The begin of the last one.
    pub last: TradeTime,
    /// How many, at most.
    pub most: usize,
}

/// Why an answer is no list of such candles.
#[derive(Debug, Error)]
pub enum KlinesError {
    /// Not JSON, or no list.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// More than were asked for.
    #[error("it has {0} candles, and {1} were asked for")]
    TooMany(usize, usize),
    /// A row that is no candle of a minute.
    #[error("row {at} is no candle of a minute, {why}: {text}")]
    Row {
        /// Which, from 1.
        at: usize,
        /// What is wrong with it.
        why: RowError,
        /// The begin of it.
        text: Excerpt,
    },
    /// A candle of another time than was asked for.
    #[error("row {at} is the candle of {start}, which was not asked for")]
    Elsewhere {
        /// Which, from 1.
        at: usize,
        /// Its begin.
        start: TradeTime,
    },
    /// Candles that do not follow each other.
    #[error("row {at} is the candle of {start}, which does not come after the row before it")]
    Order {
        /// Which, from 1.
        at: usize,
        /// Its begin.
        start: TradeTime,
    },
}

/// Why a row is no candle of a minute.
#[derive(Debug, Error)]
pub enum RowError {
    /// Not JSON of the documented form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Too few columns.
    #[error("it has {0} columns, {COLUMNS} are the least")]
    Columns(usize),
    /// A text that is no number.
    #[error("\"{0}\" is not a plain decimal")]
    Number(Excerpt),
    /// A time that is none, or no begin and end of a minute.
    #[error("{0} to {1} ms is no minute")]
    Time(i64, i64),
    /// Numbers that cannot be those of one minute.
    #[error("its numbers contradict each other")]
    Senseless,
}

/// Reads an answer of `klines` with the interval of a minute: in order, each once, none but those that were asked for.
///
/// # Errors
///
/// [`KlinesError`] if it is anything else.
pub fn read_klines(body: &[u8], asked: Asked) -> Result<Vec<Kline>, KlinesError> {
    read_rows(&serde_json::from_slice::<Vec<&RawValue>>(body)?, asked)
}

/// Reads recorded answers, one behind the other with or without white space between them: the candles of each, of any time.
///
/// # Errors
///
/// [`KlinesError`] if one of them is anything else.
pub fn read_recorded(answers: &[u8]) -> Result<Vec<Vec<Kline>>, KlinesError> {
    let anything = Asked { first: TradeTime::EPOCH, last: TradeTime::LATEST, most: KLINES_MAX };
    let answers = serde_json::Deserializer::from_slice(answers).into_iter::<Vec<&RawValue>>();
    answers.map(|rows| read_rows(&rows?, anything)).collect()
}

fn read_rows(rows: &[&RawValue], asked: Asked) -> Result<Vec<Kline>, KlinesError> {
    if rows.len() > asked.most {
        return Err(KlinesError::TooMany(rows.len(), asked.most));
    }
    let mut klines: Vec<Kline> = Vec::with_capacity(rows.len());
    for (at, row) in (1..).zip(rows) {
        let kline = kline(row.get()).map_err(|why| KlinesError::Row { at, why, text: Excerpt::of(row.get()) })?;
        let start = kline.start;
        if !(asked.first..=asked.last).contains(&start) {
            return Err(KlinesError::Elsewhere { at, start });
        }
        if klines.last().is_some_and(|last| last.start >= start) {
            return Err(KlinesError::Order { at, start });
        }
        klines.push(kline);
    }
    Ok(klines)
}

fn kline(row: &str) -> Result<Kline, RowError> {
    let columns: Vec<&RawValue> = serde_json::from_str(row)?;
    if columns.len() < COLUMNS {
        return Err(RowError::Columns(columns.len()));
    }
    let whole = |at: usize| serde_json::from_str::<i64>(columns[at].get());
    let decimal = |at: usize| decimal(&serde_json::from_str::<Cow<'_, str>>(columns[at].get())?);
    let (start_ms, end_ms) = (whole(0)?, whole(6)?);
    let is_minute = start_ms % MINUTE_MS == 0 && end_ms.checked_sub(start_ms) == Some(MINUTE_MS - 1);
    let start = TradeTime::from_ms(start_ms).ok().filter(|_| is_minute);
    let kline = Kline {
        start: start.ok_or(RowError::Time(start_ms, end_ms))?,
        open: decimal(1)?,
        high: decimal(2)?,
        low: decimal(3)?,
        close: decimal(4)?,
        volume: decimal(5)?,
        quote_volume: decimal(7)?,
        trades: serde_json::from_str(columns[8].get())?,
        taker_buy_volume: decimal(9)?,
    };
    if kline.has_sense() { Ok(kline) } else { Err(RowError::Senseless) }
}

impl Kline {
    /// Whether it can be of one minute at all.
    fn has_sense(&self) -> bool {
        let prices = [self.open, self.high, self.low, self.close];
        let is_between = prices.iter().all(|price| (self.low..=self.high).contains(price));
        let is_empty = self.volume.is_zero();
        is_between && self.taker_buy_volume <= self.volume && is_empty == (self.trades == 0)
    }
}

/// A plain decimal that may be zero, as the volume of a minute without a trade is.
fn decimal(text: &str) -> Result<Decimal, RowError> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_digits(whole) && is_digits(fraction) && digits <= DIGITS_MAX;
    let number = Decimal::from_str_exact(text).ok().filter(|_| is_plain);
    number.ok_or_else(|| RowError::Number(Excerpt::of(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 29_454_480;

    fn row(minute: i64) -> String {
        let (start, end) = (minute * MINUTE_MS, minute * MINUTE_MS + 59_999);
        format!(r#"[{start},"5.00","7.5","4.00000000","5.5","2.50000000",{end},"13.1",3,"1.00000000","5.5","0"]"#)
    }

    fn minute(minute: i64) -> TradeTime {
        TradeTime::from_ms(minute * MINUTE_MS).unwrap()
    }

    fn read(text: &str) -> Result<Vec<Kline>, KlinesError> {
        read_klines(text.as_bytes(), Asked { first: minute(MINUTE), last: minute(MINUTE + 2), most: 2 })
    }

    fn said(text: &str) -> String {
        crate::error_chain(&read(text).unwrap_err())
    }

    #[test]
    fn a_candle_keeps_every_number() {
        let klines = read(&format!("[{}, {}]", row(MINUTE), row(MINUTE + 2))).unwrap();
        assert_eq!(klines.iter().map(|kline| kline.start).collect::<Vec<_>>(), [minute(MINUTE), minute(MINUTE + 2)]);
        let Kline { open, high, low, close, volume, quote_volume, trades, taker_buy_volume, .. } = &klines[0];
        let numbers = [open, high, low, close, volume, quote_volume, taker_buy_volume].map(ToString::to_string);
        assert_eq!(numbers, ["5.00", "7.5", "4.00000000", "5.5", "2.50000000", "13.1", "1.00000000"]);
        assert_eq!(*trades, 3);
        assert_eq!(read("[]").unwrap(), []);
        // A minute without a trade, and a column more than today.
        let quiet = format!(r#"[{},"5","5","5","5","0.0",{},"0.0",0,"0.0","0","0",7]"#, 0, 59_999);
        let at = Asked { first: minute(0), last: minute(0), most: 1 };
        assert_eq!(read_klines(format!("[{quiet}]").as_bytes(), at).unwrap()[0].trades, 0);
    }

    #[test]
    fn what_is_no_candle_is_refused_with_its_row() {
        let with = |old: &str, new: &str| said(&format!("[{},{}]", row(MINUTE), row(MINUTE + 1).replacen(old, new, 1)));
        for (old, new, words) in [
            ("\"5.00\"", "5.00", "row 2 is no candle of a minute, invalid type"),
            ("\"5.00\"", "\"-5\"", "\"-5\" is not a plain decimal"),
            ("\"5.00\"", "\"5e0\"", "\"5e0\" is not a plain decimal"),
            ("\"5.00\"", "\"\"", "\"\" is not a plain decimal"),
            ("\"5.00\"", "\"NaN\"", "\"NaN\" is not"),
            ("\"5.00\"", "\"5.0000000000000000000000000000000000000\"", "is not a plain decimal"),
            (",3,", ",-3,", "invalid value"),
            (",3,", ",0,", "its numbers contradict each other"),
            ("\"7.5\"", "\"5.4\"", "its numbers contradict each other"),
            ("\"1.00000000\"", "\"2.6\"", "its numbers contradict each other"),
            (",\"1.00000000\",\"5.5\",\"0\"", "", "it has 9 columns"),
            ("19999,", "20000,", "is no minute"),
        ] {
            assert!(with(old, new).contains(words), "{new}: {}", with(old, new));
        }
        for (text, words) in [
            (format!("[{}]", row(MINUTE).replacen("00,", "01,", 1)), "row 1 is no candle"),
            (format!("[{}]", row(-1)), "is no minute"),
            (format!("[{}]", row(MINUTE - 1)), "which was not asked for"),
            (format!("[{}]", row(MINUTE + 3)), "which was not asked for"),
            (format!("[{0},{0}]", row(MINUTE)), "does not come after the row before it"),
            (format!("[{},{}]", row(MINUTE + 1), row(MINUTE)), "does not come after"),
            (format!("[{0},{0},{0}]", row(MINUTE)), "it has 3 candles, and 2 were asked for"),
            ("{}".to_owned(), "invalid type"),
            ("<html>".to_owned(), "expected value"),
            (String::new(), "EOF"),
            ("[7]".to_owned(), "row 1 is no candle"),
        ] {
            assert!(said(&text).contains(words), "{text}: {}", said(&text));
        }
    }

    #[test]
    fn recorded_answers_stand_behind_each_other() {
        let text = format!("[{}]\n[{}, {}][]", row(7), row(3), row(4));
        let minutes: Vec<Vec<_>> = read_recorded(text.as_bytes())
            .unwrap()
            .iter()
            .map(|answer| answer.iter().map(|kline| kline.start).collect())
            .collect();
        assert_eq!(minutes, [vec![minute(7)], vec![minute(3), minute(4)], vec![]]);
        assert_eq!(read_recorded(b" \n").unwrap().len(), 0);
        for text in ["[] {}", "[[1]]", "[", "x"] {
            assert!(read_recorded(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = read(&text);
            let _ = read(&format!("[[{text}]]"));
            let _ = read_recorded(text.as_bytes());
        }
    }
}
