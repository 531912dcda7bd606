//! Recorded sessions: a file of lines `recv_ns message`, compressed or not.
//!
//! Ids, prices and quantities are kept byte for byte; only `T` and `E` move,
//! by one constant of whole minutes. A message that the capture refused stands
//! in a recording, too: it is passed over and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use thiserror::Error;

use super::tape::Print;
use crate::text::Excerpt;
use crate::trade::{Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime};

const MINUTE_MS: i64 = 60_000;
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
    /// The file ends in the middle of a line or of its compressed data.
    #[error("{path} is cut off after line {lines}: record it again, or cut it at a line")]
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

/// Reads the whole recording at `path`, of `most` trades at most, and moves it by `shift` minutes, or so
/// that its last `T` is the last whole minute that is not after `now`.
///
/// # Errors
///
/// [`ReplayError`] if it cannot be read, is cut off, or is no recording.
pub fn load(path: &Path, shift: Option<i64>, now: TradeTime, most: usize) -> Result<Session, ReplayError> {
    let reader = open(path).map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
    read(reader, path, shift, now, most)
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
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => ReplayError::Cut { path: path.to_owned(), lines },
            _ => ReplayError::Read { path: path.to_owned(), source },
        };
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let is_whole = line.last() == Some(&b'\n');
        let parsed = if !is_whole && line.len() as u64 == LINE_BYTES_MAX {
            if lines > 0 || has_received_time(&line) {
                skip_line(&mut reader).map_err(failed)?;
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
                return Err(ReplayError::Cut { path: path.to_owned(), lines });
            }
            Err(why) => session.refuse(|| format!("line {}: {why}", lines + 1)),
        }
        lines += 1;
    }
    let Some(last) = last.or(last_of_all) else {
        return Err(ReplayError::Empty { path: path.to_owned(), refused: session.refused });
    };
    session.put_in_order();
    let minutes = shift.unwrap_or_else(|| (now.ms() - last).div_euclid(MINUTE_MS));
    session.shift(minutes).map_err(|source| ReplayError::Shift { path: path.to_owned(), minutes, source })?;
    Ok(session)
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
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    const RAW: &str = r#"{"e":"trade","E":1700000000001,"s":"BTCUSDT","t":41,"p":"37000.10000000","q":"0.00100000","T":1700000000000,"m":true,"M":true}"#;

    fn lines() -> String {
        let combined =
            RAW.replace("41", "42").replace("00000001,", "00061001,").replace("1700000000000", "1700000061000");
        format!(
            "1700000000100000000 {RAW}\n1700000000200000000 {{\"result\":null,\"id\":1}}\n\
             1700000061100000000 {{\"stream\":\"btcusdt@trade\",\"data\":{combined}}}\n"
        )
    }

    fn loaded(bytes: &[u8], shift: Option<i64>) -> Result<Session, ReplayError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        load(file.path(), shift, TradeTime::from_ms(1_800_000_000_000).unwrap(), 100)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_session_is_kept_but_for_its_times() {
        for bytes in [lines().into_bytes(), gzip(lines().as_bytes()), lines().trim_end().as_bytes().to_vec()] {
            let session = loaded(&bytes, None).unwrap();
            let trades: Vec<_> = session.prints.iter().map(|(_, print)| print.trade.clone()).collect();
            assert_eq!(trades.iter().map(|trade| trade.id.get()).collect::<Vec<_>>(), [41, 42]);
            assert_eq!(trades[0].price.as_str(), "37000.10000000");
            assert_eq!(session.passed_over, 1);
            assert_eq!(session.prints[1].0, 61_000_000_000, "paced by the receive times");
            // 1_800_000_000_000 - 1_700_000_061_000 is 1_666_665 whole minutes and 39 s.
            assert_eq!(session.shift_minutes, 1_666_665);
            assert_eq!(trades[1].time.ms(), 1_800_000_000_000 - 39_000);
            assert_eq!(session.prints[0].1.event_ms - trades[0].time.ms(), 1);
        }
    }

    #[test]
    fn a_shift_can_be_given() {
        assert_eq!(loaded(lines().as_bytes(), Some(-3)).unwrap().prints[0].1.trade.time.ms(), 1_699_999_820_000);
        for minutes in [i64::MIN, i64::MAX] {
            assert!(matches!(loaded(lines().as_bytes(), Some(minutes)), Err(ReplayError::Shift { .. })));
        }
    }

    #[test]
    fn what_two_connections_delivered_becomes_one_order() {
        let line = |id: u64| format!("{id} {}\n", RAW.replace("41", &id.to_string()));
        let session = loaded([44, 42, 43, 42, 44, 45].map(line).concat().as_bytes(), None).unwrap();
        let prints: Vec<_> = session.prints.iter().map(|(at, print)| (*at, print.trade.id.get())).collect();
        assert_eq!(prints, [(0, 42), (0, 43), (0, 44), (1, 45)]);
        assert_eq!(session.repeated, 2);
    }

    #[test]
    fn a_cut_recording_is_told_apart_from_a_foreign_one() {
        let whole = gzip(lines().as_bytes());
        for bytes in [&whole[..whole.len() - 9], &lines().as_bytes()[..lines().len() - 20]] {
            assert!(matches!(loaded(bytes, None), Err(ReplayError::Cut { .. })));
        }
        for bytes in ["time,price\n1,2\n", "x\n", "1\n", " 1 {}\n"] {
            assert!(matches!(loaded(bytes.as_bytes(), None), Err(ReplayError::Foreign { .. })), "{bytes:?}");
        }
        let endless = vec![b'1'; LINE_BYTES_MAX as usize + 1];
        assert!(matches!(loaded(&endless, None), Err(ReplayError::Foreign { .. })));
        assert!(matches!(loaded(b"", None), Err(ReplayError::Empty { .. })));
        assert!(matches!(loaded(b"1 {\"result\":null}\n", None), Err(ReplayError::Empty { .. })));
    }

    #[test]
    fn messages_that_a_capture_refused_are_passed_over_and_counted() {
        let bad = [
            "",
            "not JSON at all",
            r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":17"#,
            &RAW.replace("37000.10000000", "0"),
            &RAW.replace("37000.10000000", "6.1e4"),
            &RAW.replace(":41", ":18446744073709551615"),
            &RAW.replace("1700000000000", "-1"),
            "pretty\nprinted",
            "\u{1b}[2J",
            &"x".repeat(3 << 20),
        ];
        let (first, rest) = lines().split_once('\n').map(|(first, rest)| (first.to_owned(), rest.to_owned())).unwrap();
        let bad_lines: String = bad.iter().map(|message| format!("1700000000150000000 {message}\n")).collect();
        for whole in [format!("{first}\n{bad_lines}{rest}"), format!("{bad_lines}{first}\n{rest}")] {
            let session = loaded(whole.as_bytes(), None).unwrap();
            let ids: Vec<_> = session.prints.iter().map(|(_, print)| print.trade.id.get()).collect();
            assert_eq!(ids, [41, 42]);
            assert_eq!(session.shift_minutes, 1_666_665);
            let refused = session.refused.unwrap();
            // The one with a line break stands in two lines.
            assert_eq!((refused.messages, session.passed_over), (bad.len() + 1, 1));
        }
        let empty = loaded(format!("1 {}\n", bad[4]).as_bytes(), None).unwrap_err().to_string();
        assert!(empty.contains("holds no trade: 1 cannot be replayed: line 1: price \"6.1e4\""), "{empty}");
    }

    #[test]
    fn one_absurd_time_does_not_move_the_others() {
        let absurd =
            format!("1700000000300000000 {}\n", RAW.replace("1700000000000", "9223372036853").replace("41", "43"));
        let session = loaded((lines() + &absurd).as_bytes(), None).unwrap();
        assert_eq!(session.shift_minutes, 1_666_665);
        assert_eq!((session.prints.len(), session.refused.unwrap().messages), (2, 1));
    }

    #[test]
    fn a_recording_of_more_trades_than_are_kept_is_refused_before_it_is_read() {
        let line = |id: u64| format!("{id} {}\n", RAW.replace("41", &id.to_string()));
        let most = (1_000..1_100).map(line).collect::<String>();
        assert_eq!(loaded(most.as_bytes(), None).unwrap().prints.len(), 100);
        let now = TradeTime::from_ms(1_800_000_000_000).unwrap();
        let more = most + &line(1);
        let endless = BufReader::new(more.as_bytes().chain(std::io::repeat(b'1')));
        let read = read(endless, Path::new("x"), None, now, 100);
        assert!(matches!(read, Err(ReplayError::TooLong { most: 100, .. })));
    }

    /// Numbers around which something could overflow.
    fn edge() -> impl Strategy<Value = String> {
        let edges = [0, 1, i64::MAX as u64 / 1_000_000, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX - 1, u64::MAX];
        prop_oneof![
            prop::sample::select(edges.to_vec()).prop_map(|number| number.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            (1_699_999_000_000u64..1_700_001_000_000).prop_map(|number| number.to_string()),
            Just("99999999999999999999999".to_owned()),
            Just(i64::MIN.to_string()),
        ]
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("9".repeat(28)),
            Just("0.0000000000000000000000000001".to_owned()),
            Just("7922816251426433759354395033.5".to_owned()),
            "[0-9]{1,3}\\.[0-9]{1,3}",
        ]
    }

    proptest! {
        #[test]
        fn numbers_at_their_limits_break_neither_reading_nor_asking(
            rows in prop::collection::vec((edge(), edge(), edge(), edge(), number(), number()), 1..12),
            shift in prop_oneof![Just(None), any::<i64>().prop_map(Some), (-9i64..9).prop_map(Some)],
            from_id: u64, until: i64,
        ) {
            use crate::practice::tape::Tape;
            use crate::practice::wire::{aggregate_row, event, history_row};
            let line = |(ns, id, event, time, price, quantity): (String, String, String, String, String, String)| {
                let data = format!(r#"{{"e":"trade","E":{event},"s":"A","t":{id},"p":"{price}","q":"{quantity}","T":{time},"m":true,"M":true}}"#);
                format!("{ns} {data}\n")
            };
            let Ok(session) = loaded(rows.into_iter().map(line).collect::<String>().as_bytes(), shift) else { return Ok(()) };
            let symbol = "A".parse().unwrap();
            let tape = Tape::new(&[Symbol::clone(&symbol)], 5);
            tape.append(session.prints.iter().map(|(_, print)| print.clone()));
            let whole = |_: &Trade, _: &Trade| true;
            for group in tape.groups(&symbol, Some(from_id), until, usize::MAX, whole).into_iter().chain(tape.groups(&symbol, None, i64::MAX, 9, whole)) {
                aggregate_row(&group).unwrap();
            }
            tape.history(&symbol, Some(from_id), usize::MAX).iter().for_each(|trade| drop(history_row(trade)));
            session.prints.iter().for_each(|(_, print)| drop(event(print, Some("a@trade"))));
            tape.first_id_from(&symbol, until);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_line_never_panics(at in 0..RAW.len(), byte in any::<u8>()) {
            let mut line = format!("1 {RAW}").into_bytes();
            line[at] = byte;
            let _ = parse(&line);
        }
    }
}
