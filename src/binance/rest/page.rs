//! A page of trades: what of it can be taken, and what cannot.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::{KlinesError, PAGE_MAX};
use crate::text::Excerpt;
use crate::trade::{Price, Quantity, Symbol, Trade, TradeError, TradeId, TradeTime};

/// Bytes of a bad row that are kept; a row has 170.
const ROW_BYTES_MAX: usize = 1_000;

/// The rows of `historicalTrades` or `trades`, in the exchange's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A trade.
    Trade(Trade),
    /// Something else.
    Bad(BadRow),
}

/// A row that is no trade, such as one with a price of zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Its id, if that can be read.
    pub id: Option<u64>,
    /// What is wrong with it.
    pub why: Excerpt,
    /// The row in one line, its first 1,000 bytes.
    pub text: String,
}

/// Why a text is not what was asked for.
#[derive(Debug, Error)]
pub enum PageError {
    /// Not JSON, or not of the documented form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A value that is none.
    #[error(transparent)]
    Value(#[from] TradeError),
    /// More rows than were asked for.
    #[error("it has {0} rows, {PAGE_MAX} is the most")]
    TooMany(usize),
    /// Other candles than were asked for, or none.
    #[error(transparent)]
    Klines(#[from] KlinesError),
}

/// Why a row is no trade.
#[derive(Debug, Error)]
enum RowError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Trade(#[from] TradeError),
}

/// A row; numbers come as text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Columns<'a> {
    id: u64,
    #[serde(borrow)]
    price: Cow<'a, str>,
    #[serde(borrow)]
    qty: Cow<'a, str>,
    time: i64,
    is_buyer_maker: bool,
}

#[derive(Deserialize)]
struct RowId {
    id: u64,
}

/// Reads a page of trades of `symbol`; a row that is no trade does not hide the others.
///
/// # Errors
///
/// [`PageError`] if it is not a JSON array of at most [`PAGE_MAX`] rows.
pub fn read_page(symbol: &Symbol, body: &[u8]) -> Result<Page, PageError> {
    let rows: Vec<&RawValue> = serde_json::from_slice(body)?;
    if rows.len() as u64 > PAGE_MAX {
        return Err(PageError::TooMany(rows.len()));
    }
    let read = |row: &&RawValue| match trade(symbol, row.get()) {
        Ok(trade) => Row::Trade(trade),
        Err(error) => Row::Bad(BadRow::new(row.get(), &error)),
    };
    Ok(Page { rows: rows.iter().map(read).collect() })
}

impl Page {
    /// The rows that are trades.
    pub fn trades(&self) -> impl Iterator<Item = &Trade> {
        self.rows.iter().filter_map(|row| match row {
            Row::Trade(trade) => Some(trade),
            Row::Bad(_) => None,
        })
    }
}

fn trade(symbol: &Symbol, row: &str) -> Result<Trade, RowError> {
    let row: Columns<'_> = serde_json::from_str(row)?;
    Ok(Trade {
        symbol: symbol.clone(),
        id: TradeId::new(row.id)?,
        time: TradeTime::from_ms(row.time)?,
        price: Price::new(&row.price)?,
        quantity: Quantity::new(&row.qty)?,
        buyer_is_maker: row.is_buyer_maker,
    })
}

impl BadRow {
    fn new(row: &str, why: &RowError) -> Self {
        let id = serde_json::from_str(row).ok().map(|RowId { id }| id);
        // Line breaks stand between the words of JSON only, where a space is as good.
        let text = row[..row.floor_char_boundary(ROW_BYTES_MAX)].replace(['\n', '\r'], " ");
        Self { id, why: Excerpt::of(&why.to_string()), text }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(text: &str) -> Result<Page, PageError> {
        read_page(&"BTCUSDT".parse().unwrap(), text.as_bytes())
    }

    fn bad(page: &Page) -> Vec<&BadRow> {
        page.rows.iter().filter_map(|row| if let Row::Bad(row) = row { Some(row) } else { None }).collect()
    }

    fn row(id: u64, price: &str) -> String {
        format!(
            r#"{{"id":{id},"price":"{price}","qty":"0.00200000","quoteQty":"74.0","time":1700000000000,"isBuyerMaker":true,"isBestMatch":true}}"#
        )
    }

    #[test]
    fn a_page_keeps_every_value() {
        let page_of_one = page(&format!("[{}]", row(42, "37000.10000000"))).unwrap();
        let trades: Vec<_> = page_of_one.trades().collect();
        assert_eq!((trades[0].id.get(), trades[0].time.ms()), (42, 1_700_000_000_000));
        assert_eq!((trades[0].price.as_str(), trades[0].quantity.as_str()), ("37000.10000000", "0.00200000"));
        assert!(trades[0].buyer_is_maker);
        assert_eq!(page("[]").unwrap(), Page::default());
        assert_eq!(
            page(&format!("[{}]", row(42, "\\u0035.10"))).unwrap().trades().next().unwrap().price.as_str(),
            "5.10",
            "escaped"
        );
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in ["", "{}", r#"{"code":-1121,"msg":"Invalid symbol."}"#, "[1", "<html>login</html>", "[1]x"] {
            assert!(matches!(page(text), Err(PageError::Json(_))), "{text}");
        }
        let rows = |count| format!("[{}]", vec!["1"; count].join(","));
        assert_eq!(page(&rows(1_000)).unwrap().rows.len(), 1_000);
        assert!(matches!(page(&rows(1_001)), Err(PageError::TooMany(1_001))));
    }

    #[test]
    fn a_bad_row_does_not_hide_the_rows_behind_it() {
        let text = format!(
            "[{},\n{},{},[],{},{}]",
            row(1, "5"),
            row(2, "0"),
            row(3, "5"),
            r#"{"id":4,"no":"trade"}"#,
            row(5, "5")
        );
        let page = page(&text).unwrap();
        let bad_rows = bad(&page);
        let is_bad: Vec<_> = page.rows.iter().map(|row| matches!(row, Row::Bad(_))).collect();
        assert_eq!(is_bad, [false, true, false, true, true, false], "in order");
        assert_eq!(page.trades().map(|trade| trade.id.get()).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(bad_rows.iter().map(|row| row.id).collect::<Vec<_>>(), [Some(2), None, Some(4)]);
        assert_eq!((&bad_rows[0].text, &bad_rows[1].text), (&row(2, "0"), &"[]".to_owned()));
        assert!(bad_rows[0].why.as_str().contains("above zero"), "{}", bad_rows[0].why);
        assert!(bad_rows[2].why.as_str().contains("price"), "{}", bad_rows[2].why);
    }

    #[test]
    fn a_bad_row_is_one_line_of_bounded_length() {
        let text = format!("[{{\n\"id\":7,\r\n\"price\":\"{}\"}}]", "é".repeat(1_000));
        let page = page(&text).unwrap();
        let row = bad(&page)[0];
        assert_eq!((row.id, row.text.lines().count()), (Some(7), 1));
        assert!((990..=1_000).contains(&row.text.len()) && row.why.as_str().len() < 240, "{row:?}");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = page(&text);
            let _ = page(&format!("[{text}]"));
        }
    }
}
