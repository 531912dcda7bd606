//! What `verify --dump` prints: a row a difference, or a run of trades that one side lacks, and a summary.

use serde::Serialize;

use crate::cli::report::{Column, TableRow, Zone, utc};
use crate::dump::name::DumpName;
use crate::trade::{Exchange, Symbol, Trade, TradeTime};
use crate::verify::dump::{Counts, Found, Told};

/// Rows that are printed; what comes behind them is counted only.
const ROWS_MAX: usize = 20_000;

/// What is not as it should be, with the contract's keys.
#[derive(Debug, Serialize)]
pub(super) struct DumpRow {
    exchange: String,
    symbol: String,
    verdict: &'static str,
    differs: Vec<&'static str>,
    why: Option<&'static str>,
    first_id: Option<u64>,
    last_id: Option<u64>,
    trades: u64,
    /// The line of the first one.
    line: Option<u64>,
    stored: SideRow,
    file: SideRow,
    #[serde(skip)]
    last_line: u64,
}

/// What one side tells of a trade, or of the first of several.
#[derive(Debug, Default, Serialize)]
struct SideRow {
    #[serde(serialize_with = "utc_or_null")]
    time: Option<TradeTime>,
    price: Option<String>,
    quantity: Option<String>,
    buyer_is_maker: Option<bool>,
}

fn utc_or_null<S: serde::Serializer>(time: &Option<TradeTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => utc(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// The rows so far, and the runs that may go on.
#[derive(Debug)]
pub(super) struct Rows {
    exchange: String,
    symbol: String,
    rows: Vec<DumpRow>,
    missing: Option<DumpRow>,
    extra: Option<DumpRow>,
    /// Rows that were too many.
    left: u64,
}

impl Rows {
    /// None yet.
    pub(super) fn new(exchange: &Exchange, symbol: &Symbol) -> Self {
        let (exchange, symbol) = (exchange.to_string(), symbol.to_string());
        Self { exchange, symbol, rows: Vec::new(), missing: None, extra: None, left: 0 }
    }

    /// Adds what was found.
    pub(super) fn add(&mut self, found: Found) {
        match found {
            Found::Different(told, stored, parts) => {
                let row = DumpRow {
                    differs: parts.into_iter().map(|part| part.name()).collect(),
                    stored: SideRow::stored(&stored),
                    ..self.told("different", &told)
                };
                self.push(row);
            }
            Found::Malformed { line, id, why } => {
                let id = id.map(|id| id.get());
                let row = DumpRow { why: Some(why), line: Some(line), ..self.row("malformed", id) };
                self.push(row);
            }
            Found::Missing(told) => match &mut self.missing {
                Some(run) if run.last_line + 1 == told.line => run.goes_on(told.trade.id.get(), told.line),
                _ => {
                    let begun = self.told("missing", &told);
                    let ended = self.missing.replace(begun);
                    ended.into_iter().for_each(|run| self.push(run));
                }
            },
            Found::Extra(stored) => match &mut self.extra {
                Some(run) if run.last_id.is_some_and(|last| last + 1 == stored.id.get()) => {
                    run.goes_on(stored.id.get(), 0);
                }
                _ => {
                    let begun = self.row("extra", Some(stored.id.get()));
                    let ended = self.extra.replace(DumpRow { stored: SideRow::stored(&stored), ..begun });
                    ended.into_iter().for_each(|run| self.push(run));
                }
            },
        }
    }

    /// All of them by their ids, and how many were too many.
    pub(super) fn finish(mut self) -> (Vec<DumpRow>, u64) {
        let runs: Vec<_> = self.missing.take().into_iter().chain(self.extra.take()).collect();
        runs.into_iter().for_each(|run| self.push(run));
        self.rows.sort_by_key(|row| (row.first_id, row.line));
        (self.rows, self.left)
    }

    fn push(&mut self, row: DumpRow) {
        if self.rows.len() < ROWS_MAX { self.rows.push(row) } else { self.left += 1 }
    }

    fn told(&self, verdict: &'static str, told: &Told) -> DumpRow {
        let (trade, line) = (&told.trade, told.line);
        let file = SideRow {
            time: Some(trade.time),
            price: Some(trade.price.to_string()),
            quantity: Some(trade.quantity.to_string()),
            buyer_is_maker: Some(trade.buyer_is_maker),
        };
        DumpRow { line: Some(line), file, last_line: line, ..self.row(verdict, Some(trade.id.get())) }
    }

    fn row(&self, verdict: &'static str, id: Option<u64>) -> DumpRow {
        DumpRow {
            exchange: self.exchange.clone(),
            symbol: self.symbol.clone(),
            verdict,
            differs: Vec::new(),
            why: None,
            first_id: id,
            last_id: id,
            trades: u64::from(verdict != "malformed"),
            line: None,
            stored: SideRow::default(),
            file: SideRow::default(),
            last_line: 0,
        }
    }
}

impl DumpRow {
    /// One more of the same kind stands behind it.
    fn goes_on(&mut self, id: u64, line: u64) {
        self.last_id = Some(id);
        self.last_line = line;
        self.trades += 1;
    }

    /// Which ids, in words.
    fn ids(&self) -> String {
        match (self.first_id, self.last_id) {
            (Some(first), Some(last)) if first != last => format!("{first} to\n{last}"),
            (Some(id), _) => id.to_string(),
            _ => String::new(),
        }
    }
}

impl SideRow {
    fn stored(trade: &Trade) -> Self {
        Self {
            time: Some(trade.time),
            price: Some(trade.price.to_string()),
            quantity: Some(trade.quantity.to_string()),
            buyer_is_maker: Some(trade.buyer_is_maker),
        }
    }

    fn cells(&self, zone: Zone) -> [String; 4] {
        [
            self.time.map(|time| zone.time(time)).unwrap_or_default(),
            self.price.clone().unwrap_or_default(),
            self.quantity.clone().unwrap_or_default(),
            self.buyer_is_maker.map(|is_maker| is_maker.to_string()).unwrap_or_default(),
        ]
    }
}

impl TableRow for DumpRow {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("exchange", 10),
            Column::text("symbol", 3),
            Column::text("verdict", 0),
            Column::text("differs", 1),
            Column::text("ids", 2),
            Column::number("trades", 9),
            Column::number("line", 4),
            Column::text("", 5),
            Column::text("time", 8),
            Column::number("price", 6),
            Column::number("quantity", 7),
            Column::text("buyer_is_maker", 11),
        ]
    }

    /// Two lines in the last cells: what is stored above the file.
    fn cells(&self, zone: Zone) -> Vec<String> {
        let differs = self.why.map_or_else(|| self.differs.join("\n"), str::to_owned);
        let mut cells = vec![
            self.exchange.clone(),
            self.symbol.clone(),
            self.verdict.to_owned(),
            differs,
            self.ids(),
            self.trades.to_string(),
            self.line.map(|line| line.to_string()).unwrap_or_default(),
            "stored\nfile".to_owned(),
        ];
        let both = self.stored.cells(zone).into_iter().zip(self.file.cells(zone));
        cells.extend(both.map(|(stored, told)| format!("{stored}\n{told}")));
        cells
    }
}

/// How many trades came to what.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    exchange: String,
    symbol: String,
    day: String,
    #[serde(serialize_with = "utc")]
    since: TradeTime,
    /// Whether the file is what is published, by its checksum.
    checksum: bool,
    compared: u64,
    agree: u64,
    different: u64,
    missing: u64,
    extra: u64,
    malformed: u64,
    /// Ids that neither side has.
    absent: u64,
    /// Trades of the file from before `since`.
    not_kept: u64,
}

impl Summary {
    pub(super) fn new(exchange: &Exchange, name: &DumpName, since: TradeTime, checksum: bool, counts: Counts) -> Self {
        let Counts { agree, different, missing, extra, malformed, before, absent } = counts;
        Self {
            exchange: exchange.to_string(),
            symbol: name.symbol.to_string(),
            day: name.day.to_string(),
            since,
            checksum,
            compared: counts.compared(),
            agree,
            different,
            missing,
            extra,
            malformed,
            absent,
            not_kept: before,
        }
    }

    /// The summary for people.
    pub(super) fn words(&self) -> String {
        let Self { symbol, day, since, compared, agree, .. } = self;
        let checksum = if self.checksum { "" } else { ", which has no checksum beside it" };
        let mut words =
            format!("{agree} of {compared} trades of {symbol} on {day} agree with the daily file{checksum}");
        for (count, what) in [
            (self.different, "different"),
            (self.missing, "missing"),
            (self.extra, "not in the file"),
            (self.malformed, "malformed lines in the file"),
        ] {
            if count > 0 {
                words.push_str(&format!(", {count} {what}"));
            }
        }
        if self.absent > 0 {
            words.push_str(&format!("; {} ids between them are in neither", self.absent));
        }
        if self.not_kept > 0 {
            words.push_str(&format!("; {} before {since} are not compared: the store keeps 24 h", self.not_kept));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::{Price, Quantity, TradeId};

    fn told(id: u64, line: u64) -> Found {
        let decimal = "5.0";
        Found::Missing(Told {
            line,
            trade: crate::dump::line::DumpTrade {
                id: TradeId::new(id).unwrap(),
                time: TradeTime::EPOCH,
                price: Price::new(decimal).unwrap(),
                quantity: Quantity::new(decimal).unwrap(),
                is_quote_right: true,
                buyer_is_maker: true,
            },
        })
    }

    #[test]
    fn what_follows_each_other_is_one_row_and_rows_are_bounded() {
        let mut rows = Rows::new(&"binance".parse().unwrap(), &"BTCUSDT".parse().unwrap());
        for (id, line) in [(10, 1), (11, 2), (14, 3), (20, 5)] {
            rows.add(told(id, line));
        }
        let (rows, left) = rows.finish();
        let found: Vec<_> = rows.iter().map(|row| (row.first_id, row.last_id, row.trades, row.line)).collect();
        assert_eq!(found, [(Some(10), Some(14), 3, Some(1)), (Some(20), Some(20), 1, Some(5))]);
        assert_eq!(left, 0);
        let mut rows = Rows::new(&"binance".parse().unwrap(), &"BTCUSDT".parse().unwrap());
        for at in 0..2 * ROWS_MAX as u64 {
            rows.add(told(2 * at, 2 * at));
        }
        let (rows, left) = rows.finish();
        assert_eq!((rows.len(), left), (ROWS_MAX, ROWS_MAX as u64));
    }
}
