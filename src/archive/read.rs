//! Reads a file of an archive back: nothing in it is believed.

use std::fs::File;
use std::io;
use std::path::Path;

use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use thiserror::Error;

use super::parquet::{GROUP_TRADES, Names, schema};
use crate::trade::{Price, Quantity, Symbol, Trade, TradeId, TradeTime};

/// Why a file is none of an archive.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no Parquet, or is damaged.
    #[error("it is no whole Parquet file: {0}")]
    Parquet(#[from] ParquetError),
    /// It is Parquet of something else.
    #[error("its columns are not those of trades")]
    Columns,
    /// A row is no trade.
    #[error("row {0} is no trade: {1}")]
    Row(usize, &'static str),
}

/// A trade of a file, as far as its order tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// When.
    pub time: TradeTime,
    /// Which.
    pub id: TradeId,
}

/// Hands over the key of each row, whose other values are looked at: texts that are a price and a quantity, with their
/// floats beside them.
///
/// # Errors
///
/// [`ReadError`] if it is no file of trades.
pub fn keys(path: &Path, mut on_key: impl FnMut(usize, Key)) -> Result<(), ReadError> {
    rows(path, |row, key, _| on_key(row, key))
}

/// Hands over each trade, in the order of the rows.
///
/// # Errors
///
/// [`ReadError`] if it is no file of trades.
pub fn trades(path: &Path, symbol: &Symbol, mut on_trade: impl FnMut(Trade)) -> Result<(), ReadError> {
    rows(path, |_, Key { time, id }, (price, quantity, buyer_is_maker)| {
        on_trade(Trade { symbol: symbol.clone(), id, time, price, quantity, buyer_is_maker });
    })
}

fn rows(path: &Path, mut on_row: impl FnMut(usize, Key, (Price, Quantity, bool))) -> Result<(), ReadError> {
    let file = SerializedFileReader::new(File::open(path)?)?;
    if file.metadata().file_metadata().schema() != schema(Names::InItsPath)?.as_ref() {
        return Err(ReadError::Columns);
    }
    let mut row = 0;
    for at in 0..file.num_row_groups() {
        let group = file.get_row_group(at)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
        if rows > GROUP_TRADES {
            return Err(ReadError::Row(row, "its row group has more than this program writes"));
        }
        let (ids, times) = (integers(&*group, 0, rows)?, integers(&*group, 1, rows)?);
        let (prices, quantities) = (texts(&*group, 2, rows)?, texts(&*group, 3, rows)?);
        let makers = booleans(&*group, 4, rows)?;
        let (price_floats, quantity_floats) = (floats(&*group, 5, rows)?, floats(&*group, 6, rows)?);
        let texts = [prices.len(), quantities.len(), makers.len()];
        if [ids.len(), times.len(), price_floats.len(), quantity_floats.len()] != [rows; 4] || texts != [rows; 3] {
            return Err(ReadError::Row(row, "a column is shorter than the others"));
        }
        for at in 0..rows {
            let none = |why| ReadError::Row(row, why);
            let id = u64::try_from(ids[at]).ok().and_then(|id| TradeId::new(id).ok());
            let time = TradeTime::from_ms(times[at]).map_err(|_| none("its time is none"))?;
            let price = std::str::from_utf8(prices[at].data()).ok().and_then(|text| Price::new(text).ok());
            let quantity = std::str::from_utf8(quantities[at].data()).ok().and_then(|text| Quantity::new(text).ok());
            let (price, quantity) = price.zip(quantity).ok_or_else(|| none("its price or quantity is no number"))?;
            let is_float_of = |text: &str, float: f64| text.parse() == Ok(float);
            if !is_float_of(price.as_str(), price_floats[at]) || !is_float_of(quantity.as_str(), quantity_floats[at]) {
                return Err(none("a float is not its text's"));
            }
            let key = Key { time, id: id.ok_or_else(|| none("its id is none"))? };
            on_row(row, key, (price, quantity, makers[at]));
            row += 1;
        }
    }
    Ok(())
}

fn integers(group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<i64>, ReadError> {
    let mut values = Vec::with_capacity(rows);
    let ColumnReader::Int64ColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(ReadError::Columns);
    };
    reader.read_records(rows, None, None, &mut values)?;
    Ok(values)
}

fn booleans(group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<bool>, ReadError> {
    let mut values = Vec::with_capacity(rows);
    let ColumnReader::BoolColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(ReadError::Columns);
    };
    reader.read_records(rows, None, None, &mut values)?;
    Ok(values)
}

fn floats(group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<f64>, ReadError> {
    let mut values = Vec::with_capacity(rows);
    let ColumnReader::DoubleColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(ReadError::Columns);
    };
    reader.read_records(rows, None, None, &mut values)?;
    Ok(values)
}

fn texts(group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<ByteArray>, ReadError> {
    let mut values = Vec::with_capacity(rows);
    let ColumnReader::ByteArrayColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(ReadError::Columns);
    };
    reader.read_records(rows, None, None, &mut values)?;
    Ok(values)
}
