//! What `verify` prints: a row a minute that does not agree, and a summary.

use serde::Serialize;

use crate::binance::rest::Kline;
use crate::cli::report::{Column, TableRow, Zone, utc};
use crate::store::minutes::{Account, Minute};
use crate::trade::{Exchange, Symbol, TradeTime};
use crate::verify::{Field, Judged, Verdict};

/// A minute that does not agree, with the contract's keys.
#[derive(Debug, Serialize)]
pub(super) struct MinuteRow {
    exchange: String,
    symbol: String,
    #[serde(serialize_with = "utc")]
    minute: TradeTime,
    verdict: &'static str,
    differs: Vec<&'static str>,
    first_id: Option<u64>,
    last_id: Option<u64>,
    missing: u64,
    stored: SideRow,
    candle: SideRow,
}

/// What one side tells of a minute.
#[derive(Debug, Default, Serialize)]
struct SideRow {
    trades: Option<u64>,
    open: Option<String>,
    high: Option<String>,
    low: Option<String>,
    close: Option<String>,
    volume: Option<String>,
    quote_volume: Option<String>,
    taker_buy_volume: Option<String>,
}

/// How many minutes came to what.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    compared: u64,
    agree: u64,
    different: u64,
    missing: u64,
    incomplete: u64,
    untold: u64,
    /// Of the compared ones those whose every trade was read.
    exact: u64,
    trades: u64,
    /// Of the others those whose quote and taker-buy volume the store does not add up.
    #[serde(skip)]
    without_products: u64,
}

impl MinuteRow {
    pub(super) fn new(exchange: &Exchange, symbol: &Symbol, judged: &Judged<'_>) -> Self {
        let (verdict, differs) = match &judged.verdict {
            Verdict::Agrees => ("agrees", &[][..]),
            Verdict::Differs(fields) => ("different", &fields[..]),
            Verdict::Missing => ("missing", &[][..]),
            Verdict::Began => ("began", &[][..]),
            Verdict::Ended => ("ended", &[][..]),
            Verdict::Untold | Verdict::Unsure => ("unknown", &[][..]),
        };
        Self {
            exchange: exchange.to_string(),
            symbol: symbol.to_string(),
            minute: judged.start,
            verdict,
            differs: differs.iter().copied().map(Field::name).collect(),
            first_id: judged.minute.map(|minute| minute.ids.first),
            last_id: judged.minute.map(|minute| minute.ids.last),
            missing: judged.missing,
            stored: judged
                .minute
                .map(SideRow::stored)
                .unwrap_or_else(|| SideRow { trades: Some(0), ..SideRow::default() }),
            candle: judged.candle.map(SideRow::told).unwrap_or_default(),
        }
    }

    /// Which ids the minute has, in words.
    fn ids(&self) -> String {
        let Some((first, last)) = self.first_id.zip(self.last_id) else { return "none".to_owned() };
        let missing = if self.missing == 0 { "whole".to_owned() } else { format!("{} missing", self.missing) };
        format!("{first} to\n{last}, {missing}")
    }
}

impl SideRow {
    fn stored(minute: &Minute) -> Self {
        let trades = Some(minute.trades);
        match &minute.account {
            Account::Exact(account) => {
                let sum =
                    |sum: Option<rust_decimal::Decimal>| Some(sum.map_or("too long".to_owned(), |sum| sum.to_string()));
                Self {
                    trades,
                    open: Some(account.open.to_string()),
                    high: Some(account.high.to_string()),
                    low: Some(account.low.to_string()),
                    close: Some(account.close.to_string()),
                    volume: sum(account.volume),
                    quote_volume: sum(account.quote_volume),
                    taker_buy_volume: sum(account.taker_buy_volume),
                }
            }
            Account::Sums(account) => Self {
                trades,
                open: account.open.map(|price| price.to_string()),
                high: Some(account.high.to_string()),
                low: Some(account.low.to_string()),
                close: account.close.map(|price| price.to_string()),
                volume: Some(account.volume.to_string()),
                quote_volume: account.quote_volume.map(|sum| sum.to_string()),
                taker_buy_volume: account.taker_buy_volume.map(|sum| sum.to_string()),
            },
        }
    }

    fn told(candle: &Kline) -> Self {
        Self {
            trades: Some(candle.trades),
            open: Some(candle.open.to_string()),
            high: Some(candle.high.to_string()),
            low: Some(candle.low.to_string()),
            close: Some(candle.close.to_string()),
            volume: Some(candle.volume.to_string()),
            quote_volume: Some(candle.quote_volume.to_string()),
            taker_buy_volume: Some(candle.taker_buy_volume.to_string()),
        }
    }

    fn cells(&self) -> [String; 8] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            self.trades.map(|trades| trades.to_string()).unwrap_or_default(),
            text(&self.open),
            text(&self.high),
            text(&self.low),
            text(&self.close),
            text(&self.volume),
            text(&self.quote_volume),
            text(&self.taker_buy_volume),
        ]
    }
}

impl TableRow for MinuteRow {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("exchange", 14),
            Column::text("symbol", 0),
            Column::text("minute", 1),
            Column::text("verdict", 2),
            Column::text("differs", 3),
            Column::text("ids", 4),
            Column::text("", 5),
            Column::number("trades", 6),
            Column::number("open", 10),
            Column::number("high", 9),
            Column::number("low", 11),
            Column::number("close", 12),
            Column::number("volume", 7),
            Column::number("quote_volume", 8),
            Column::number("taker_buy_volume", 13),
        ]
    }

    /// Two lines in each cell: what is stored above the candle.
    fn cells(&self, zone: Zone) -> Vec<String> {
        let mut cells = vec![
            self.exchange.clone(),
            self.symbol.clone(),
            zone.time(self.minute),
            self.verdict.to_owned(),
            self.differs.join("\n"),
            self.ids(),
            "stored\ncandle".to_owned(),
        ];
        let both = self.stored.cells().into_iter().zip(self.candle.cells());
        cells.extend(both.map(|(stored, told)| format!("{stored}\n{told}")));
        cells
    }
}

impl Summary {
    pub(super) fn count(&mut self, judged: &Judged<'_>) {
        let number = match judged.verdict {
            Verdict::Agrees => &mut self.agree,
            Verdict::Differs(_) => &mut self.different,
            Verdict::Missing => &mut self.missing,
            Verdict::Began | Verdict::Ended => &mut self.incomplete,
            Verdict::Untold | Verdict::Unsure => &mut self.untold,
        };
        *number += 1;
        if matches!(judged.verdict, Verdict::Agrees | Verdict::Differs(_) | Verdict::Missing) {
            self.compared += 1;
            self.trades += judged.minute.map_or(0, |minute| minute.trades);
            match judged.minute.map(|minute| &minute.account) {
                Some(Account::Sums(account)) => self.without_products += u64::from(account.quote_volume.is_none()),
                _ => self.exact += 1,
            }
        }
    }

    /// Minutes that were compared.
    pub(super) fn compared(&self) -> u64 {
        self.compared
    }

    /// Minutes that were not, because the exchange told no candle.
    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    /// Minutes that have a row.
    pub(super) fn listed(&self) -> u64 {
        self.different + self.missing + self.incomplete
    }

    /// Whether a minute differs or is missing.
    pub(super) fn is_no(&self) -> bool {
        self.different + self.missing > 0
    }

    /// The summary for people.
    pub(super) fn words(&self) -> String {
        let Self { compared, agree, different, missing, incomplete, untold, exact, trades, without_products } = self;
        let mut words = format!("{agree} of {compared} minutes with {trades} trades agree with the exchange's candles");
        for (count, what) in [(different, "different"), (missing, "missing")] {
            if *count > 0 {
                words.push_str(&format!(", {count} {what}"));
            }
        }
        for (count, what) in
            [(incomplete, "more are parts, in which the stored trades begin or end"), (untold, "more have no candle")]
        {
            if *count > 0 {
                words.push_str(&format!("; {count} {what}"));
            }
        }
        if exact < compared {
            let by_sums = compared - exact;
            words.push_str(&format!(
                ". {by_sums} by the store's own sums of floats, the others trade by trade: see --exact"
            ));
        }
        if *without_products > 0 {
            words.push_str(", and of these no sums of quote_volume and taker_buy_volume are to be had");
        }
        words
    }
}
