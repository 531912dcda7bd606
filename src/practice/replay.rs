//! Recorded sessions: a file of lines `recv_ns message`, compressed or not; or an archive, a folder in one, or a Parquet file of
//! trades ([`archived`]).
//!
//! Ids, prices and quantities are kept byte for byte; only `T` and `E` move, by one constant of whole minutes. A message that
//! the capture refused stands in a recording, too: it is passed over and counted.

pub mod archived;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use thiserror::Error;

use self::archived::ArchivedError;
use super::tape::Print;
use crate::text::Excerpt;
use crate::trade::{MINUTE_MS, Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime};

/// A trade whose `T` and receive time differ by more does not say when the session was.
const DAY_MS: u64 = 86_400_000;
/// A longer line is none of a recording.
const LINE_BYTES_MAX: u64 = 1 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a recording cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}: see --replay")]
    Read {
        /// The recording.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file ends in the middle of a line or of its compressed data, and nothing before that is a trade.
    #[error("{path} is cut off before its first trade, after line {lines}: record it again")]
    Cut {
        /// The recording.
        path: PathBuf,
        /// Whole lines before the cut.
        lines: usize,
    },
    /// Its first line is none of a recording.
    #[error("{path} is not a recorded session: line 1: {why}: expected lines of `recv_ns message`")]
    Foreign {
        /// The recording.
        path: PathBuf,
        /// What is wrong with it.
        why: Excerpt,
    },
    /// Replayed trades all stay on the tape.
    #[error("{path} has more than {most} trades, and no more are kept: give a larger --history")]
    TooLong {
        /// The recording.
        path: PathBuf,
        /// Trades kept.
        most: usize,
    },
    /// The times cannot be moved so far.
    #[error("cannot move the times of {path} by {minutes} minutes: {source}: give another --shift")]
    Shift {
        /// The recording.
        path: PathBuf,
        /// How far.
        minutes: i64,
        /// What a time would become.
        source: TradeError,
    },
    /// Trades that lie as files cannot be read.
    #[error("cannot replay {path}: {why}")]
    Archived {
        /// The folder, or the file.
        path: PathBuf,
        /// What is wrong with it.
        why: ArchivedError,
    },
    /// The recording holds no trade.
    #[error("{path} holds no trade{}", .refused.as_ref().map(|refused| format!(": {refused}")).unwrap_or_default())]
    Empty {
        /// The recording.
        path: PathBuf,
        /// What it holds instead.
        refused: Option<Refused>,
    },
}

/// Messages that are no trade of any exchange, such as those that a capture refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub messages: usize,
    /// Where the first stands, and what is wrong with it.
    pub first: Excerpt,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be replayed: {}", self.messages, self.first)
    }
}

/// What there is to say of a recording that is replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Trades in it.
    pub trades: u64,
    /// Messages that nobody can read as what they should be.
    pub refused: Option<Refused>,
    /// Whether it ends in the middle, as after a `kill -9` of its capture.
    pub is_cut: bool,
}

/// A recorded session, checked and ready.
#[derive(Debug, Default)]
pub struct Session {
    /// The trades, each once and each symbol's in order, with the time of each from the start in ns.
    pub prints: Vec<(u64, Print)>,
    /// The symbols in it.
    pub symbols: BTreeSet<Symbol>,
    /// Messages that are not trades: acknowledgements, other events.
    pub passed_over: usize,
    /// Messages that nobody can read as what they should be.
    pub refused: Option<Refused>,
    /// Trades that were there before: a recording of two connections has many.
    pub repeated: usize,
    /// Whether it ends in the middle of a line or of its compressed data, as after a `kill -9` of its capture.
    pub is_cut: bool,
    /// Minutes by which `T` and `E` were moved.
    pub shift_minutes: i64,
}

/// The message of a line: combined or raw.
#[derive(Deserialize)]
struct Message {
    data: Option<Event>,
    #[serde(flatten)]
    raw: Option<Event>,
}

#[derive(Deserialize)]
struct Event {
    e: String,
    #[serde(rename = "E")]
    event_ms: i64,
    s: String,
    t: u64,
    p: String,
    q: String,
    #[serde(rename = "T")]
    time_ms: i64,
    m: bool,
}

/// Reads the whole recording or archive at `path`, of `most` trades at most, and moves it by `shift` minutes, or so
/// that its last `T` is the last whole minute that is not after `now`.
///
/// # Errors
///
/// [`ReplayError`] if it cannot be read, or is no recording.
pub fn load(path: &Path, shift: Option<i64>, now: TradeTime, most: usize) -> Result<Session, ReplayError> {
    let failed = |source| ReplayError::Read { path: path.to_owned(), source };
    if archived::is_archived(path).map_err(failed)? {
        let session = archived::read(path, most)?;
        let last = session.prints.last().map(|(_, print)| print.trade.time.ms());
        let last = last.ok_or_else(|| ReplayError::Empty { path: path.to_owned(), refused: None })?;
        return session.ready(last, path, shift, now);
    }
    read(open(path).map_err(failed)?, path, shift, now, most)
}

/// Reads the lines of a recording as [`load`] does; errors name it `path`.
///
/// # Errors
///
/// As [`load`].
pub fn read(
    mut reader: impl BufRead,
    path: &Path,
    shift: Option<i64>,
    now: TradeTime,
    most: usize,
) -> Result<Session, ReplayError> {
    let mut session = Session::default();
    let (mut line, mut lines, mut first_ns) = (Vec::new(), 0, None);
    let (mut last, mut last_of_all) = (None, None);
    loop {
        line.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                session.is_cut = true;
                break;
            }
            Err(source) => return Err(ReplayError::Read { path: path.to_owned(), source }),
        }
        let is_whole = line.last() == Some(&b'\n');
        let parsed = if !is_whole && line.len() as u64 == LINE_BYTES_MAX {
            if lines > 0 || has_received_time(&line) {
                skip_line(&mut reader).map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
            }
            Err("too long".to_owned())
        } else {
            parse(&line)
        };
        match parsed {
            Ok((received_ns, Some(print))) => {
                if session.prints.len() == most {
                    return Err(ReplayError::TooLong { path: path.to_owned(), most });
                }
                let time = print.trade.time.ms();
                let received_ms = i64::try_from(received_ns / 1_000_000).unwrap_or(i64::MAX);
                last_of_all = last_of_all.max(Some(time));
                last = last.max((time.abs_diff(received_ms) <= DAY_MS).then_some(time));
                session.push(received_ns.saturating_sub(*first_ns.get_or_insert(received_ns)), print);
            }
            Ok((received_ns, None)) => {
                first_ns.get_or_insert(received_ns);
                session.passed_over += 1;
            }
            Err(why) if lines == 0 && !has_received_time(&line) => {
                return Err(ReplayError::Foreign { path: path.to_owned(), why: Excerpt::of(&why) });
            }
            // A last line without its line feed is whole only if it parses.
            Err(_) if !is_whole && (line.len() as u64) < LINE_BYTES_MAX => {
                session.is_cut = true;
                break;
            }
            Err(why) => session.refuse(|| format!("line {}: {why}", lines + 1)),
        }
        lines += 1;
    }
    let Some(last) = last.or(last_of_all) else {
        if session.is_cut {
            return Err(ReplayError::Cut { path: path.to_owned(), lines });
        }
        return Err(ReplayError::Empty { path: path.to_owned(), refused: session.refused });
    };
    session.ready(last, path, shift, now)
}

/// Whether a line begins as those of a recording do.
fn has_received_time(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && line.get(digits) == Some(&b' ')
}

/// Reads up to the next line feed and keeps nothing.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (used, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

impl Session {
    fn push(&mut self, since_start_ns: u64, mut print: Print) {
        // One text for all of a symbol's trades.
        match self.symbols.get(&print.trade.symbol) {
            Some(symbol) => print.trade.symbol = symbol.clone(),
            None => drop(self.symbols.insert(print.trade.symbol.clone())),
        }
        self.prints.push((since_start_ns, print));
    }

    fn refuse(&mut self, why: impl FnOnce() -> String) {
        let none = || Refused { messages: 0, first: Excerpt::of(&why()) };
        self.refused.get_or_insert_with(none).messages += 1;
    }

    /// Puts it in order and moves it by `shift` minutes, or so that `last` is the last whole minute that is not after `now`.
    fn ready(mut self, last: i64, path: &Path, shift: Option<i64>, now: TradeTime) -> Result<Self, ReplayError> {
        self.put_in_order();
        let minutes = shift.unwrap_or_else(|| (now.ms() - last).div_euclid(MINUTE_MS));
        self.shift(minutes).map_err(|source| ReplayError::Shift { path: path.to_owned(), minutes, source })?;
        Ok(self)
    }

    /// Leaves each trade once, and each symbol's in the exchange's order.
    ///
    /// Two connections that are recorded at once deliver twice and out of order;
    /// the exchange itself does neither.
    fn put_in_order(&mut self) {
        let mut last = BTreeMap::new();
        let is_in_order = self.prints.iter().all(|(_, print)| {
            let before = last.insert(&print.trade.symbol, order(print));
            before.is_none_or(|before| before < order(print))
        });
        if is_in_order {
            return;
        }
        let mut orders: BTreeMap<Symbol, BTreeMap<_, Print>> = BTreeMap::new();
        let recorded = self.prints.len();
        self.prints.retain(|(_, print)| {
            let in_order = orders.entry(print.trade.symbol.clone()).or_default();
            let is_new = !in_order.contains_key(&order(print));
            if is_new {
                in_order.insert(order(print), print.clone());
            }
            is_new
        });
        self.repeated = recorded - self.prints.len();
        for (_, print) in &mut self.prints {
            if let Some((_, next)) = orders.get_mut(&print.trade.symbol).and_then(BTreeMap::pop_first) {
                *print = next;
            }
        }
    }

    /// Moves every time; a trade whose time cannot be moved so far is left out and counted, unless none can.
    fn shift(&mut self, minutes: i64) -> Result<(), TradeError> {
        self.shift_minutes = minutes;
        let shift = minutes.saturating_mul(MINUTE_MS);
        let mut failed = Vec::new();
        self.prints.retain_mut(|(_, print)| match TradeTime::from_ms(print.trade.time.ms().saturating_add(shift)) {
            Ok(time) => {
                print.trade.time = time;
                print.event_ms = print.event_ms.saturating_add(shift);
                true
            }
            Err(error) => {
                failed.push(error);
                false
            }
        });
        match failed.first() {
            Some(error) if self.prints.is_empty() => return Err(error.clone()),
            _ => failed.into_iter().for_each(|error| self.refuse(|| error.to_string())),
        }
        Ok(())
    }
}

/// The exchange's order of a symbol's trades; ids alone begin again where a testnet was reset.
fn order(print: &Print) -> (TradeTime, TradeId) {
    (print.trade.time, print.trade.id)
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    Read::by_ref(&mut file).take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    if magic == GZIP_MAGIC {
        Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))))
    } else {
        Ok(Box::new(BufReader::new(file)))
    }
}

/// A line as its receive time in ns and its trade, if it is one.
fn parse(line: &[u8]) -> Result<(u64, Option<Print>), String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    let (received, message) = line.split_once(' ').ok_or("no space in it")?;
    let received = received.parse().map_err(|_| format!("{received:?} is not a time in ns"))?;
    let is_trade = message.contains(r#""e":"trade""#);
    let message = match serde_json::from_str::<Message>(message) {
        Ok(message) => message,
        Err(error) if is_trade => return Err(error.to_string()),
        // Anything that the exchange sends may stand in a recording, if it is JSON.
        Err(_) => {
            let any = serde_json::from_str::<serde::de::IgnoredAny>(message);
            return any.map(|_| (received, None)).map_err(|error| error.to_string());
        }
    };
    match message.data.or(message.raw) {
        Some(event) if event.e == "trade" => Ok((received, Some(print(&event).map_err(|error| error.to_string())?))),
        None if is_trade => Err("a trade that lacks something".to_owned()),
        _ => Ok((received, None)),
    }
}

fn print(event: &Event) -> Result<Print, TradeError> {
    let trade = Trade {
        symbol: event.s.parse()?,
        id: TradeId::new(event.t)?,
        time: TradeTime::from_ms(event.time_ms)?,
        price: Price::new(&event.p)?,
        quantity: Quantity::new(&event.q)?,
        buyer_is_maker: event.m,
    };
    Ok(Print { trade, event_ms: event.event_ms })
}

#[cfg(test)]
mod tests;
