//! Answers in tables for people, JSON and CSV for programs.

mod table;

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};
use serde_json::Value;

pub(super) use self::table::{Column, LongTable, TableRow, Zone};
use super::Failure;
use crate::store::{HighLow, StoredTrade};
use crate::text::one_line;
use crate::trade::TradeTime;

/// How long a program that ends waits for who reads its last words.
const READER_WAIT: Duration = Duration::from_secs(10);

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// A table for people
    #[default]
    Table,
    /// One JSON object a line
    Json,
    /// CSV with the JSON's keys
    Csv,
}

/// The `--format` flag.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct FormatArgs {
    /// How to print
    #[arg(long, env = "TICKFLUX_FORMAT", hide_env_values = true, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Printing {
    pub(super) format: Format,
    /// Of the times in tables; those for programs are UTC.
    pub(super) zone: Zone,
}

/// A time for programs.
pub(super) fn utc<S: Serializer>(time: &TradeTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// A trade with the contract's keys.
#[derive(Debug, Serialize)]
pub(super) struct TradeKeys<'a> {
    exchange: &'a str,
    symbol: &'a str,
    trade_id: u64,
    #[serde(serialize_with = "utc")]
    time: TradeTime,
    price: &'a str,
    quantity: &'a str,
    buyer_is_maker: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_ms: Option<i64>,
}

impl<'a> TradeKeys<'a> {
    /// Those of a trade, and its distance to a time, if one was asked for.
    pub(super) fn new(StoredTrade { exchange, trade }: &'a StoredTrade, distance_ms: Option<i64>) -> Self {
        Self {
            exchange: exchange.as_str(),
            symbol: trade.symbol.as_str(),
            trade_id: trade.id.get(),
            time: trade.time,
            price: trade.price.as_str(),
            quantity: trade.quantity.as_str(),
            buyer_is_maker: trade.buyer_is_maker,
            distance_ms,
        }
    }
}

/// A trade as a row.
#[derive(Debug)]
pub(super) struct TradeRow {
    stored: StoredTrade,
    distance_ms: Option<i64>,
    age: String,
}

impl TradeRow {
    /// A row as seen at `now`; its distance to `asked`, if a time was asked for.
    pub(super) fn new(stored: &StoredTrade, now: TradeTime, asked: Option<TradeTime>) -> Self {
        let time = stored.trade.time;
        Self {
            stored: stored.clone(),
            distance_ms: asked.map(|asked| time.ms() - asked.ms()),
            age: age(now.ms() - time.ms()),
        }
    }
}

impl Serialize for TradeRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TradeKeys::new(&self.stored, self.distance_ms).serialize(serializer)
    }
}

/// The extremes of a minute with the contract's keys.
#[derive(Debug, Serialize)]
pub(super) struct HighLowRow {
    exchange: String,
    symbol: String,
    #[serde(serialize_with = "utc")]
    minute: TradeTime,
    trades: u64,
    missing: u64,
    open: bool,
    high: TradeRow,
    low: TradeRow,
}

impl HighLowRow {
    /// A row as seen at `now`.
    pub(super) fn new(answer: &HighLow, now: TradeTime) -> Self {
        Self {
            exchange: answer.high.exchange.to_string(),
            symbol: answer.high.trade.symbol.to_string(),
            minute: answer.minute,
            trades: answer.trades,
            missing: answer.missing,
            open: answer.open,
            high: TradeRow::new(&answer.high, now, None),
            low: TradeRow::new(&answer.low, now, None),
        }
    }
}

impl TableRow for TradeRow {
    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::text("exchange", 6),
            Column::text("symbol", 0),
            Column::number("trade_id", 5),
            Column::text("time", 4),
            Column::number("price", 1),
            Column::number("quantity", 7),
            Column::text("buyer_is_maker", 8),
        ];
        columns.extend(self.distance_ms.map(|_| Column::number("distance_ms", 2)));
        columns.push(Column::number("age", 3));
        columns
    }

    fn cells(&self, zone: Zone) -> Vec<String> {
        let trade = &self.stored.trade;
        let mut cells = vec![
            self.stored.exchange.to_string(),
            trade.symbol.to_string(),
            trade.id.to_string(),
            zone.time(trade.time),
            trade.price.to_string(),
            trade.quantity.to_string(),
            trade.buyer_is_maker.to_string(),
        ];
        cells.extend(self.distance_ms.map(|ms| ms.to_string()));
        cells.push(self.age.clone());
        cells
    }
}

impl TableRow for HighLowRow {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("exchange", 10),
            Column::text("symbol", 0),
            Column::text("minute", 6),
            Column::number("trades", 5),
            Column::number("missing", 4),
            Column::text("open", 8),
            Column::text("", 1),
            Column::number("price", 2),
            Column::number("quantity", 11),
            Column::number("trade_id", 9),
            Column::text("time", 3),
            Column::number("age", 7),
        ]
    }

    /// Two lines in each cell: the high above the low.
    fn cells(&self, zone: Zone) -> Vec<String> {
        let both = |value: &dyn Fn(&TradeRow) -> String| format!("{}\n{}", value(&self.high), value(&self.low));
        vec![
            self.exchange.clone(),
            self.symbol.clone(),
            zone.time(self.minute),
            self.trades.to_string(),
            self.missing.to_string(),
            self.open.to_string(),
            "high\nlow".to_owned(),
            both(&|row| row.stored.trade.price.to_string()),
            both(&|row| row.stored.trade.quantity.to_string()),
            both(&|row| row.stored.trade.id.to_string()),
            both(&|row| zone.time(row.stored.trade.time)),
            both(&|row| row.age.clone()),
        ]
    }
}

/// Prints rows to standard output.
pub(super) fn print<R: TableRow>(rows: &[R], printing: Printing) -> Result<(), Failure> {
    write_rows(&mut io::stdout().lock(), rows, printing, table::width())
}

fn write_rows<R: TableRow>(
    out: &mut impl Write,
    rows: &[R],
    printing: Printing,
    width: Option<u16>,
) -> Result<(), Failure> {
    printed(match printing.format {
        Format::Table => table::write(out, rows, printing.zone, width),
        Format::Json => rows.iter().try_for_each(|row| write_json(out, row)),
        Format::Csv => write_csv(out, rows),
    })
}

/// Prints lines for people to standard output.
pub(super) fn say(text: impl std::fmt::Display) -> Result<(), Failure> {
    say_raw(printable(&text.to_string()))
}

/// Prints our own text as it is to standard output.
pub(super) fn say_raw(text: impl std::fmt::Display) -> Result<(), Failure> {
    printed(writeln!(io::stdout().lock(), "{text}"))
}

/// The same lines, with nothing in them that a terminal obeys.
fn printable(text: &str) -> String {
    text.split('\n').map(|line| one_line(line, usize::MAX)).collect::<Vec<_>>().join("\n")
}

/// Whether what was written to standard output went well, as a command ends.
pub(super) fn printed(written: io::Result<()>) -> Result<(), Failure> {
    written.or_else(|error| match error.kind() {
        // Whoever reads has enough, as `head` does.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::Unusable(format!("cannot print: {error}"))),
    })
}

fn write_json(out: &mut impl Write, row: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    writeln!(out)
}

fn write_csv<R: Serialize>(out: &mut impl Write, rows: &[R]) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    for (at, row) in rows.iter().enumerate() {
        let mut flat = Vec::new();
        flatten("", &serde_json::to_value(row)?, &mut flat);
        if at == 0 {
            csv.write_record(flat.iter().map(|(key, _)| key)).map_err(of_csv)?;
        }
        csv.write_record(flat.iter().map(|(_, value)| value)).map_err(of_csv)?;
    }
    csv.flush()
}

/// The error of what is written to, not one about it: whether the reader has gone is told by its kind.
pub(super) fn of_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Nested keys joined by `_`.
fn flatten(key: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let key = if key.is_empty() { name.clone() } else { format!("{key}_{name}") };
                flatten(&key, value, into);
            }
        }
        // A list is one value: its elements, each with its values joined by spaces.
        Value::Array(elements) => {
            let words = |element: &Value| {
                let mut flat = Vec::new();
                flatten("", element, &mut flat);
                flat.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
            };
            into.push((key.to_owned(), elements.iter().map(words).collect::<Vec<_>>().join("; ")));
        }
        Value::String(text) => into.push((key.to_owned(), text.clone())),
        // Nothing is nothing there.
        Value::Null => into.push((key.to_owned(), String::new())),
        other => into.push((key.to_owned(), other.to_string())),
    }
}

/// Prints one value that has no table, such as a summary: JSON, CSV, or these words. Waits 10 s at most for who reads it.
pub(super) fn print_one(value: &impl Serialize, words: &str, format: Format) -> Result<(), Failure> {
    let mut text = Vec::new();
    printed(match format {
        Format::Table => writeln!(text, "{words}"),
        Format::Json => write_json(&mut text, value),
        Format::Csv => write_csv(&mut text, &[value]),
    })?;
    printed(within(READER_WAIT, move || io::stdout().lock().write_all(&text)))
}

/// Does it on a thread of its own, which is left to itself if it takes longer than `wait`.
fn within(wait: Duration, write: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let (to_written, written) = mpsc::sync_channel(1);
    thread::Builder::new().name("stdout".to_owned()).spawn(move || to_written.send(write()))?;
    let late = |_| Err(io::Error::other(format!("nobody reads standard output for {} s", wait.as_secs())));
    written.recv_timeout(wait).unwrap_or_else(late)
}

/// How long ago, in the two largest units; the exchange's clock may be ahead.
fn age(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let (s, m, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match (h, m, s) {
        (0, 0, 0) => format!("{sign}{ms}ms"),
        (0, 0, _) => format!("{sign}{}.{}s", s, ms % 1_000 / 100),
        (0, _, _) => format!("{sign}{m}m {}s", s % 60),
        _ => format!("{sign}{h}h {}m", m % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::{Price, Quantity, Trade, TradeId};

    const NOW_MS: i64 = 1_767_268_800_000;

    fn stored(id: u64, price: &str) -> StoredTrade {
        let trade = Trade {
            symbol: "BTCUSDT".parse().unwrap(),
            id: TradeId::new(id).unwrap(),
            time: TradeTime::from_ms(NOW_MS - 1_500).unwrap(),
            price: Price::new(price).unwrap(),
            quantity: Quantity::new("0.02000000").unwrap(),
            buyer_is_maker: true,
        };
        StoredTrade { exchange: "binance".parse().unwrap(), trade }
    }

    fn printed<R: TableRow>(row: R, format: Format) -> String {
        let mut out = Vec::new();
        write_rows(&mut out, &[row], Printing { format, zone: Zone::Utc }, None).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn trade_row(asked: Option<i64>) -> TradeRow {
        let asked = asked.map(|ms| TradeTime::from_ms(ms).unwrap());
        TradeRow::new(&stored(7, "61837.63000000"), TradeTime::from_ms(NOW_MS).unwrap(), asked)
    }

    fn high_low_row() -> HighLowRow {
        let minute = TradeTime::from_ms(NOW_MS - 60_000).unwrap();
        let (high, low) = (stored(9, "2.50"), stored(8, "1.50"));
        let answer = HighLow { minute, trades: 2, missing: 1, open: false, high, low };
        HighLowRow::new(&answer, TradeTime::from_ms(NOW_MS).unwrap())
    }

    #[test]
    fn a_trade_has_the_keys_of_the_contract() {
        assert_eq!(
            printed(trade_row(None), Format::Json),
            "{\"exchange\":\"binance\",\"symbol\":\"BTCUSDT\",\"trade_id\":7,\"time\":\"2026-01-01T11:59:58.500Z\",\
             \"price\":\"61837.63000000\",\"quantity\":\"0.02000000\",\"buyer_is_maker\":true}\n"
        );
        assert_eq!(
            printed(trade_row(Some(NOW_MS)), Format::Csv),
            "exchange,symbol,trade_id,time,price,quantity,buyer_is_maker,distance_ms\n\
             binance,BTCUSDT,7,2026-01-01T11:59:58.500Z,61837.63000000,0.02000000,true,-1500\n"
        );
    }

    #[test]
    fn a_minute_has_the_keys_of_the_contract() {
        let json: Value = serde_json::from_str(&printed(high_low_row(), Format::Json)).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["exchange", "symbol", "minute", "trades", "missing", "open", "high", "low"]);
        assert_eq!(json["high"]["price"], "2.50");
        let csv = printed(high_low_row(), Format::Csv);
        let begin = "exchange,symbol,minute,trades,missing,open,high_exchange,high_symbol,high_trade_id,";
        assert!(csv.starts_with(begin), "{csv}");
        assert!(
            csv.contains(",low_buyer_is_maker\nbinance,BTCUSDT,2026-01-01T11:59:00.000Z,2,1,false,binance,"),
            "{csv}"
        );
    }

    #[test]
    fn tables_show_the_age_of_a_price() {
        let table = printed(trade_row(None), Format::Table);
        assert!(table.contains("61837.63000000") && table.contains("1.5s"), "{table}");
        let table = printed(high_low_row(), Format::Table);
        assert!(table.contains("high") && table.contains("low") && table.contains("1.50"), "{table}");
    }

    #[test]
    fn foreign_text_moves_no_cursor_in_a_table_and_is_data_elsewhere() {
        let foreign = "\u{1b}[2J\u{202e}\tA";
        let row = || HighLowRow { symbol: foreign.to_owned(), ..high_low_row() };
        assert!(printed(row(), Format::Table).contains(r"\u{1b}[2J\u{202e}\tA"));
        assert!(printed(row(), Format::Csv).contains(foreign));
        let json: Value = serde_json::from_str(&printed(row(), Format::Json)).unwrap();
        assert_eq!(json["symbol"], foreign);
        assert_eq!(printable("\none\ntwo\r\u{7}"), "\none\ntwo\\r\\u{7}");
    }

    #[test]
    fn a_reader_is_waited_for_and_then_no_more() {
        assert!(within(Duration::from_secs(120), || Ok(())).is_ok());
        assert!(within(Duration::from_secs(120), || Err(io::ErrorKind::BrokenPipe.into())).is_err());
        let (_open, never) = mpsc::channel::<()>();
        let late = within(Duration::from_millis(1), move || never.recv().map_err(io::Error::other));
        assert!(late.unwrap_err().to_string().contains("nobody reads standard output"));
    }

    #[test]
    fn ages_are_short() {
        for (ms, text) in [(0, "0ms"), (999, "999ms"), (61_000, "1m 1s"), (3_660_000, "1h 1m"), (-2_000, "-2.0s")] {
            assert_eq!(age(ms), text);
        }
    }
}
