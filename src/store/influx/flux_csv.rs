//! The CSV that InfluxDB answers a Flux query with, read as it comes: a row at a time, whatever the answer's length.
//!
//! Source: InfluxDB's annotated CSV reference. Asked for without annotations
//! it is tables behind each other, each with a header row whose second column
//! is `result`; an error that comes late stands in a table of its own with the
//! columns `error` and `reference`. What begins otherwise is no such answer.

use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader};
use thiserror::Error;

use crate::text::Excerpt;

/// Bytes of a row, at most; the longest of ours has some 300.
pub const ROW_BYTES_MAX: usize = 64 << 10;
/// Columns of a row, at most.
const COLUMNS_MAX: usize = 256;

/// Why an answer could not be read.
#[derive(Debug, Error)]
pub enum FluxCsvError {
    /// It does not begin as InfluxDB's answers do.
    #[error("it begins with \"{0}\"")]
    Foreign(Excerpt),
    /// A row is longer than any of ours.
    #[error("a row has more than {ROW_BYTES_MAX} bytes or {COLUMNS_MAX} columns")]
    Long,
    /// Not text.
    #[error("a row is not UTF-8")]
    Encoding,
    /// It has more rows than are asked for.
    #[error("it has more than {0} rows")]
    Rows(usize),
    /// The query failed after its answer had begun.
    #[error("the query failed: {0}")]
    Query(Excerpt),
    /// A row has no such column.
    #[error("no column {0:?}")]
    Missing(&'static str),
    /// A value is not of the type that its column has.
    #[error("column {column:?} holds \"{value}\"")]
    Value {
        /// The column.
        column: &'static str,
        /// What stands there.
        value: Excerpt,
    },
}

/// One row: values by column name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    names: Arc<[String]>,
    values: Record,
}

impl Row {
    /// The text in `column`.
    ///
    /// # Errors
    ///
    /// [`FluxCsvError::Missing`] if the row has no such column.
    pub fn text(&self, column: &'static str) -> Result<&str, FluxCsvError> {
        let at = self.names.iter().position(|name| name == column);
        at.and_then(|at| self.values.get(at)).ok_or(FluxCsvError::Missing(column))
    }

    /// The value in `column`, as `parse` reads it.
    ///
    /// # Errors
    ///
    /// [`FluxCsvError`] if the row has no such column or `parse` gives nothing.
    pub fn value<T>(&self, column: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, FluxCsvError> {
        let text = self.text(column)?;
        parse(text).ok_or_else(|| FluxCsvError::Value { column, value: Excerpt::of(text) })
    }
}

/// The fields of one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Record {
    text: String,
    ends: Vec<usize>,
}

impl Record {
    fn get(&self, at: usize) -> Option<&str> {
        let start = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.text.get(start..*self.ends.get(at)?)
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|at| self.get(at))
    }

    fn is_header(&self) -> bool {
        (self.get(0) == Some("") && self.get(1) == Some("result")) || self.is_error()
    }

    fn is_error(&self) -> bool {
        self.iter().filter(|text| !text.is_empty()).eq(["error", "reference"])
    }
}

/// Reads an answer in pieces of any length.
#[derive(Debug)]
pub struct Decoder {
    csv: Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How much of the two is filled.
    filled: (usize, usize),
    names: Option<Arc<[String]>>,
    is_error: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        let (bytes, ends) = (vec![0; ROW_BYTES_MAX], vec![0; COLUMNS_MAX]);
        Self { csv: Reader::new(), bytes, ends, filled: (0, 0), names: None, is_error: false }
    }
}

impl Decoder {
    /// Takes the next piece, and gives each row that ends in it to `on_row`; an empty piece is the answer's end.
    ///
    /// # Errors
    ///
    /// [`FluxCsvError`] if it is not such CSV, says that the query failed, or `on_row` fails.
    pub fn push(
        &mut self,
        mut piece: &[u8],
        on_row: &mut impl FnMut(&Row) -> Result<(), FluxCsvError>,
    ) -> Result<(), FluxCsvError> {
        loop {
            let (bytes, ends) = (&mut self.bytes[self.filled.0..], &mut self.ends[self.filled.1..]);
            let (result, read, written, ended) = self.csv.read_record(piece, bytes, ends);
            piece = &piece[read..];
            self.filled = (self.filled.0 + written, self.filled.1 + ended);
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(()),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return Err(FluxCsvError::Long),
                ReadRecordResult::Record => {
                    let (bytes, ends) = std::mem::take(&mut self.filled);
                    let text = std::str::from_utf8(&self.bytes[..bytes]).map_err(|_| FluxCsvError::Encoding)?;
                    self.take(Record { text: text.to_owned(), ends: self.ends[..ends].to_vec() }, on_row)?;
                }
            }
        }
    }

    fn take(
        &mut self,
        record: Record,
        on_row: &mut impl FnMut(&Row) -> Result<(), FluxCsvError>,
    ) -> Result<(), FluxCsvError> {
        if record.is_header() {
            self.is_error = record.is_error();
            self.names = Some(record.iter().map(str::to_owned).collect());
            return Ok(());
        }
        let Some(names) = &self.names else { return Err(FluxCsvError::Foreign(Excerpt::of(&record.text))) };
        if self.is_error {
            let said = record.iter().find(|text| !text.is_empty()).unwrap_or_default();
            return Err(FluxCsvError::Query(Excerpt::of(said)));
        }
        on_row(&Row { names: Arc::clone(names), values: record })
    }

    /// Whether a header was read: only InfluxDB's own answers have one.
    pub fn has_begun(&self) -> bool {
        self.names.is_some()
    }
}

/// The rows of every table in `answer`.
///
/// # Errors
///
/// [`FluxCsvError`] if it is not such CSV or says that the query failed.
pub fn rows(answer: &str) -> Result<Vec<Row>, FluxCsvError> {
    let (mut decoder, mut rows) = (Decoder::default(), Vec::new());
    let mut keep = |row: &Row| {
        rows.push(row.clone());
        Ok(())
    };
    decoder.push(answer.as_bytes(), &mut keep)?;
    decoder.push(&[], &mut keep)?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_behind_each_other_are_rows_with_their_own_columns() {
        let answer = ",result,table,symbol,price\r\n,_result,0,BTCUSDT,61837.63000000\r\n,_result,0,\"A,B\",1\r\n\r\n\
                      ,result,table,symbol,trades\r\n,_result,1,ETHUSDT,7\r\n\r\n";
        let rows = rows(answer).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].text("price").unwrap(), "61837.63000000");
        assert_eq!(rows[1].text("symbol").unwrap(), "A,B");
        assert_eq!(rows[2].value("trades", |text| text.parse::<u64>().ok()).unwrap(), 7);
        assert!(matches!(rows[2].text("price"), Err(FluxCsvError::Missing("price"))));
        assert!(rows[0].value("symbol", |text| text.parse::<u64>().ok()).is_err());
    }

    #[test]
    fn an_empty_answer_has_no_rows() {
        assert_eq!(rows("").unwrap(), []);
        assert_eq!(rows("\r\n").unwrap(), []);
    }

    #[test]
    fn an_error_inside_an_answer_is_an_error() {
        for answer in [
            "error,reference\r\nfailed to read,897\r\n",
            ",error,reference\r\n,failed to read,897\r\n",
            ",result,table,a\r\n,_result,0,1\r\n\r\n,error,reference\r\n,failed to read,897\r\n",
        ] {
            assert_eq!(rows(answer).unwrap_err().to_string(), "the query failed: failed to read");
        }
    }

    #[test]
    fn what_begins_otherwise_is_no_answer() {
        for answer in ["<html><body>Log in", "{\"ok\":true}", "symbol,price\r\nBTCUSDT,1\r\n", "ok"] {
            assert!(matches!(rows(answer), Err(FluxCsvError::Foreign(_))), "{answer}");
        }
    }

    #[test]
    fn rows_and_columns_have_limits() {
        let begin = ",result,table,a\r\n,_result,0,";
        assert_eq!(rows(&format!("{begin}{}\r\n", "x".repeat(60_000))).unwrap().len(), 1);
        assert!(matches!(rows(&format!("{begin}{}", "x".repeat(70_000))), Err(FluxCsvError::Long)));
        assert!(matches!(rows(&format!("{begin}{}", ",".repeat(300))), Err(FluxCsvError::Long)));
        assert!(matches!(rows(&"x".repeat(70_000)), Err(FluxCsvError::Long)));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(?s).*") {
            let _ = rows(&text);
        }

        #[test]
        fn a_cut_answer_never_panics(cut in 0usize..120) {
            let answer = ",result,table,symbol,price\r\n,_result,0,BTCUSDT,\"618,37\"\r\n\r\n,error,reference\r\n,x,1\r\n";
            let _ = rows(&answer[..cut.min(answer.len())]);
        }

        #[test]
        fn an_answer_in_pieces_is_the_same(cuts in prop::collection::vec(0usize..110, 0..9)) {
            let answer = ",result,table,symbol,price\r\n,_result,0,BTCUSDT,\"618,37\"\r\n,_result,0,\"Ä\"\"\",2\r\n\r\n\
                          ,result,table,trades\r\n,_result,1,7\r\n\r\n".as_bytes();
            let (mut cuts, mut found, mut decoder) = (cuts, Vec::new(), Decoder::default());
            cuts.sort_unstable();
            let mut begin = 0;
            let mut keep = |row: &Row| {
                found.push(row.clone());
                Ok(())
            };
            for cut in cuts.into_iter().map(|cut| cut.min(answer.len())).chain([answer.len()]) {
                // An empty piece would be the end.
                if cut > begin {
                    decoder.push(&answer[begin..cut], &mut keep).unwrap();
                    begin = cut;
                }
            }
            decoder.push(&[], &mut keep).unwrap();
            prop_assert!(decoder.has_begun());
            prop_assert_eq!(found, rows(std::str::from_utf8(answer).unwrap()).unwrap());
        }
    }
}
