//! What a line of a daily file is behind the lines before it, without reading anything.

use super::line::{BadLine, DumpTrade, HEADER, columns, read_line};
use super::name::{Day, DumpName, Unit};
use crate::trade::TradeId;

/// A line as it stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// The trade, or why it is none.
    pub read: Result<DumpTrade, BadLine>,
}

/// Why a file is not one of trades at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Its first line has other columns.
    Columns,
    /// It is no UTF-8.
    Encoding,
    /// Its first time is in the unit that files of other days have.
    Unit,
}

/// Reads line after line of a day's file.
#[derive(Debug, Clone)]
pub struct Lines {
    day: Day,
    /// Lines so far.
    number: u64,
    /// The highest id so far.
    last: Option<TradeId>,
}

impl Lines {
    /// Those of a file, from its first one on.
    pub fn of(name: &DumpName) -> Self {
        Self { day: name.day, number: 0, last: None }
    }

    /// How many there were.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Takes the next line, without its end; gives nothing for a header.
    ///
    /// # Errors
    ///
    /// [`Unfit`], by the first line.
    pub fn take(&mut self, line: &[u8]) -> Result<Option<Line>, Unfit> {
        self.number += 1;
        if self.number == 1 {
            if std::str::from_utf8(line).is_err() || line.contains(&0) || line.starts_with("\u{feff}".as_bytes()) {
                return Err(Unfit::Encoding);
            }
            if line == HEADER.as_bytes() {
                return Ok(None);
            }
            // Another header has words where this has a number.
            let is_known = columns(line).is_some_and(|columns| columns[0].iter().any(u8::is_ascii_digit));
            if !is_known {
                return Err(Unfit::Columns);
            }
        }
        let read = match read_line(line, self.day.unit()) {
            Ok(trade) if self.day.holds(trade.time) => self.behind_the_last(trade),
            Ok(trade) => Err(BadLine { id: Some(trade.id), why: "its time is of another day" }),
            Err(bad) => Err(bad),
        };
        let is_in_other_unit = read.is_err() && self.is_in_other_unit(line);
        match read {
            Err(_) if is_in_other_unit && self.last.is_none() => Err(Unfit::Unit),
            Err(BadLine { id, .. }) if is_in_other_unit => {
                let why = match self.day.unit() {
                    Unit::Microseconds => "its time is in milliseconds, and a file since 2025-01-01 has microseconds",
                    Unit::Milliseconds => "its time is in microseconds, and a file before 2025-01-01 has milliseconds",
                };
                Ok(Some(Line { number: self.number, read: Err(BadLine { id, why }) }))
            }
            read => Ok(Some(Line { number: self.number, read })),
        }
    }

    fn behind_the_last(&mut self, trade: DumpTrade) -> Result<DumpTrade, BadLine> {
        match self.last.replace(trade.id) {
            Some(last) if last >= trade.id => {
                self.last = Some(last);
                let why = if last == trade.id { "its id is that of a line before it" } else { FALLS };
                // Whose trade it is was told before, or will never be known.
                Err(BadLine { id: Some(trade.id), why })
            }
            _ => Ok(trade),
        }
    }

    /// Whether a line would be a trade of the day if its time were in the unit that files of other days have.
    fn is_in_other_unit(&self, line: &[u8]) -> bool {
        read_line(line, self.day.unit().other()).is_ok_and(|trade| self.day.holds(trade.time))
    }
}

const FALLS: &str = "its id is lower than that of a line before it";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(day: &str) -> Lines {
        Lines::of(&DumpName::parse(&format!("BTCUSDT-trades-{day}.zip"), "zip").unwrap())
    }

    fn line(id: u64, time: u64) -> String {
        format!("{id},5.0,2.0,10.0,{time},True,True")
    }

    /// 2026-11-27T00:00:00Z in microseconds.
    const BEGIN: u64 = 1_795_737_600_000_000;

    #[test]
    fn ids_rise_and_times_are_of_the_day() {
        let mut lines = lines("2026-11-27");
        let mut why = |id, time| {
            let line = lines.take(line(id, time).as_bytes()).unwrap().unwrap();
            (line.number, line.read.map(|trade| trade.id.get()).map_err(|bad| bad.why))
        };
        assert_eq!(why(7, BEGIN), (1, Ok(7)));
        assert_eq!(why(7, BEGIN), (2, Err("its id is that of a line before it")));
        assert_eq!(why(6, BEGIN), (3, Err(FALLS)));
        assert_eq!(why(9, BEGIN - 1), (4, Err("its time is of another day")));
        assert_eq!(
            why(9, BEGIN / 1_000),
            (5, Err("its time is in milliseconds, and a file since 2025-01-01 has microseconds"))
        );
        assert_eq!(why(8, BEGIN + 86_399_999_999), (6, Ok(8)));
        assert_eq!(why(9, BEGIN + 86_400_000_000), (7, Err("its time is of another day")));
    }

    #[test]
    fn the_first_line_says_what_the_file_is() {
        let first = |day: &str, line: &[u8]| lines(day).take(line);
        let good = line(7, BEGIN);
        assert!(first("2026-11-27", good.as_bytes()).unwrap().unwrap().read.is_ok());
        assert_eq!(first("2026-11-27", HEADER.as_bytes()), Ok(None));
        for other in ["id,price,qty,quote_qty,time,is_buyer_maker", "a,p,q,f,l,T,m", "", "1,2,3", "{\"id\":1}"] {
            assert_eq!(first("2026-11-27", other.as_bytes()), Err(Unfit::Columns), "{other}");
        }
        assert_eq!(first("2026-11-27", &[0xff, 0xfe, b'1', 0]), Err(Unfit::Encoding));
        assert_eq!(first("2026-11-27", b"1\0,\0"), Err(Unfit::Encoding));
        assert_eq!(first("2026-11-27", format!("\u{feff}{good}").as_bytes()), Err(Unfit::Encoding));
        assert_eq!(first("2026-11-27", line(7, BEGIN / 1_000).as_bytes()), Err(Unfit::Unit));
        assert_eq!(first("2024-08-08", line(7, 1_723_161_255_342_000).as_bytes()), Err(Unfit::Unit));
        assert!(first("2024-08-08", line(7, 1_723_161_255_342).as_bytes()).unwrap().unwrap().read.is_ok());
    }
}
