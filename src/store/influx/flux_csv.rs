//! The CSV that InfluxDB answers a Flux query with.
//!
//! Source: InfluxDB's annotated CSV reference. Asked for without annotations
//! it is tables behind each other, each with a header row whose second column
//! is `result`; an error that comes late stands in a table of its own with the
//! columns `error` and `reference`.

use std::collections::HashMap;

use csv::StringRecord;
use thiserror::Error;

/// Why an answer could not be read.
#[derive(Debug, Error)]
pub enum FluxCsvError {
    /// Not CSV.
    #[error("not CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The query failed after its answer had begun.
    #[error("the query failed: {0}")]
    Query(String),
    /// A row has no such column.
    #[error("no column {0:?}")]
    Missing(&'static str),
    /// A value is not of the type that its column has.
    #[error("column {column:?} holds {value:?}")]
    Value {
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
}

/// One row: values by column name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(HashMap<String, String>);

impl Row {
    /// The text in `column`.
    ///
    /// # Errors
    ///
    /// [`FluxCsvError::Missing`] if the row has no such column.
    pub fn text(&self, column: &'static str) -> Result<&str, FluxCsvError> {
        self.0.get(column).map(String::as_str).ok_or(FluxCsvError::Missing(column))
    }

    /// The value in `column`, as `parse` reads it.
    ///
    /// # Errors
    ///
    /// [`FluxCsvError`] if the row has no such column or `parse` gives nothing.
    pub fn value<T>(&self, column: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, FluxCsvError> {
        let text = self.text(column)?;
        parse(text).ok_or_else(|| FluxCsvError::Value { column, value: text.to_owned() })
    }
}

/// The rows of every table in `answer`.
///
/// # Errors
///
/// [`FluxCsvError`] if it is not such CSV or says that the query failed.
pub fn rows(answer: &str) -> Result<Vec<Row>, FluxCsvError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(answer.as_bytes());
    let (mut rows, mut header) = (Vec::new(), None::<StringRecord>);
    for record in reader.records() {
        let record = record?;
        if header.is_none() || is_header(&record) {
            header = Some(record);
        } else if let Some(names) = &header {
            if is_error(names) {
                return Err(FluxCsvError::Query(record.iter().find(|text| !text.is_empty()).unwrap_or("").to_owned()));
            }
            let named = names.iter().zip(record.iter()).filter(|(name, _)| !name.is_empty());
            rows.push(Row(named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()));
        }
    }
    Ok(rows)
}

fn is_header(record: &StringRecord) -> bool {
    (record.get(0) == Some("") && record.get(1) == Some("result")) || is_error(record)
}

fn is_error(record: &StringRecord) -> bool {
    record.iter().filter(|text| !text.is_empty()).eq(["error", "reference"])
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
    }
}
