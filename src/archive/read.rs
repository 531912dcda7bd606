//! Reads a file of trades back, a row group at a time and only the columns that are wanted: nothing in it is believed.

use std::fs::File;
use std::io;
use std::path::Path;

use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use thiserror::Error;

use super::parquet::{GROUP_TRADES, Names, schema};
use crate::trade::{Price, Quantity, Symbol, Trade, TradeId, TradeTime, is_decimal_text};

/// Bytes of a column of a row group, at most: texts of 32 bytes with their lengths fit many times.
const COLUMN_BYTES_MAX: i64 = 32 << 20;

/// Why a file is none of trades.
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

/// Which values of its rows are read, beside the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Prices, quantities and whose order rested.
    pub texts: bool,
    /// The floats beside prices and quantities.
    pub floats: bool,
}

/// Rows of a file, in their order; what was not wanted is empty.
#[derive(Debug, Default)]
pub struct Rows {
    /// Time and id of each.
    pub keys: Vec<Key>,
    prices: Vec<ByteArray>,
    quantities: Vec<ByteArray>,
    buyer_is_maker: Vec<bool>,
    /// The float beside each price.
    pub price_floats: Vec<f64>,
    /// The float beside each quantity.
    pub quantity_floats: Vec<f64>,
    names: Option<(Vec<ByteArray>, Vec<ByteArray>)>,
}

/// An open file of trades.
pub struct TradesReader {
    file: SerializedFileReader<File>,
    names: Names,
}

impl std::fmt::Debug for TradesReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TradesReader").field("names", &self.names).finish_non_exhaustive()
    }
}

impl TradesReader {
    /// Opens a file, wherever it has the names of exchange and symbol.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is none of trades.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = SerializedFileReader::new(File::open(path)?)?;
        for names in [Names::InItsPath, Names::InEachRow] {
            if file.metadata().file_metadata().schema() == schema(names)?.as_ref() {
                return Ok(Self { file, names });
            }
        }
        Err(ReadError::Columns)
    }

    /// Where it has the names of exchange and symbol.
    pub fn names(&self) -> Names {
        self.names
    }

    /// How many trades it says that it has.
    pub fn trades(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// How many row groups it has.
    pub fn groups(&self) -> usize {
        self.file.num_row_groups()
    }

    /// The first and the last time of a row group in milliseconds, where it says so.
    pub fn times(&self, group: usize) -> Option<(i64, i64)> {
        match self.file.metadata().row_group(group).column(self.column(1)).statistics()? {
            Statistics::Int64(times) => Some((*times.min_opt()?, *times.max_opt()?)),
            _ => None,
        }
    }

    /// Reads a row group.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is damaged, or a row of it is no trade.
    pub fn read(&self, group: usize, wanted: Wanted) -> Result<Rows, ReadError> {
        let before = self.file.metadata().row_groups().iter().take(group);
        let before: usize = before.map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).sum();
        let of_row = |at: usize, why| ReadError::Row(before + at, why);
        let group = self.file.get_row_group(group)?;
        let metadata = group.metadata();
        let rows = usize::try_from(metadata.num_rows()).unwrap_or(usize::MAX);
        if rows > GROUP_TRADES || metadata.columns().iter().any(|it| it.uncompressed_size() > COLUMN_BYTES_MAX) {
            return Err(of_row(0, "its row group has more than this program writes"));
        }
        let (ids, times) = (self.integers(&*group, 0, rows)?, self.integers(&*group, 1, rows)?);
        let mut read = Rows { keys: Vec::with_capacity(rows), ..Rows::default() };
        for (at, (id, time)) in ids.into_iter().zip(times).enumerate() {
            let id = u64::try_from(id).ok().and_then(|id| TradeId::new(id).ok());
            let time = TradeTime::from_ms(time).map_err(|_| of_row(at, "its time is none"))?;
            read.keys.push(Key { time, id: id.ok_or_else(|| of_row(at, "its id is none"))? });
        }
        let mut lengths = vec![read.keys.len()];
        if wanted.texts {
            (read.prices, read.quantities) = (self.texts(&*group, 2, rows)?, self.texts(&*group, 3, rows)?);
            read.buyer_is_maker = self.booleans(&*group, 4, rows)?;
            lengths.extend([read.prices.len(), read.quantities.len(), read.buyer_is_maker.len()]);
            for (at, (price, quantity)) in read.prices.iter().zip(&read.quantities).enumerate() {
                if !is_decimal_text(price.data()) || !is_decimal_text(quantity.data()) {
                    return Err(of_row(at, "its price or quantity is no number"));
                }
            }
            if self.names == Names::InEachRow {
                let text = |column| texts(&*group, column, rows);
                read.names = Some((text(0)?, text(1)?));
                lengths.extend(read.names.iter().flat_map(|(one, other)| [one.len(), other.len()]));
            }
        }
        if wanted.floats {
            (read.price_floats, read.quantity_floats) =
                (self.floats(&*group, 5, rows)?, self.floats(&*group, 6, rows)?);
            lengths.extend([read.price_floats.len(), read.quantity_floats.len()]);
        }
        if lengths.iter().any(|length| *length != rows) {
            return Err(of_row(0, "a column is shorter than the others"));
        }
        Ok(read)
    }

    /// Where one of the columns that every file has is in this one.
    fn column(&self, column: usize) -> usize {
        column + if self.names == Names::InEachRow { 2 } else { 0 }
    }

    fn integers(&self, group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<i64>, ReadError> {
        let mut values = Vec::with_capacity(rows);
        let ColumnReader::Int64ColumnReader(mut reader) = group.get_column_reader(self.column(column))? else {
            return Err(ReadError::Columns);
        };
        reader.read_records(rows, None, None, &mut values)?;
        Ok(values)
    }

    fn floats(&self, group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<f64>, ReadError> {
        let mut values = Vec::with_capacity(rows);
        let ColumnReader::DoubleColumnReader(mut reader) = group.get_column_reader(self.column(column))? else {
            return Err(ReadError::Columns);
        };
        reader.read_records(rows, None, None, &mut values)?;
        Ok(values)
    }

    fn booleans(&self, group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<bool>, ReadError> {
        let mut values = Vec::with_capacity(rows);
        let ColumnReader::BoolColumnReader(mut reader) = group.get_column_reader(self.column(column))? else {
            return Err(ReadError::Columns);
        };
        reader.read_records(rows, None, None, &mut values)?;
        Ok(values)
    }

    fn texts(&self, group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<ByteArray>, ReadError> {
        texts(group, self.column(column), rows)
    }
}

fn texts(group: &dyn RowGroupReader, column: usize, rows: usize) -> Result<Vec<ByteArray>, ReadError> {
    let mut values = Vec::with_capacity(rows);
    let ColumnReader::ByteArrayColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(ReadError::Columns);
    };
    reader.read_records(rows, None, None, &mut values)?;
    Ok(values)
}

impl Rows {
    /// The price of a row, of which the texts were wanted.
    pub fn price(&self, at: usize) -> &[u8] {
        self.prices.get(at).map_or(&[], ByteArray::data)
    }

    /// The quantity of a row, of which the texts were wanted.
    pub fn quantity(&self, at: usize) -> &[u8] {
        self.quantities.get(at).map_or(&[], ByteArray::data)
    }

    /// Whether the buyer's order rested, of a row of which the texts were wanted.
    pub fn buyer_is_maker(&self, at: usize) -> bool {
        self.buyer_is_maker.get(at).copied().unwrap_or_default()
    }

    /// The names of exchange and symbol in a row, if the file has them there and the texts were wanted.
    pub fn names(&self, at: usize) -> Option<(&str, &str)> {
        let (exchanges, symbols) = self.names.as_ref()?;
        exchanges.get(at)?.as_utf8().ok().zip(symbols.get(at)?.as_utf8().ok())
    }

    /// The trade in a row, of which the texts were wanted; they were looked at when it was read.
    pub fn trade(&self, at: usize, symbol: &Symbol) -> Option<Trade> {
        let text = |text| std::str::from_utf8(text).ok();
        let Key { time, id } = *self.keys.get(at)?;
        let price = Price::new(text(self.price(at))?).ok()?;
        let quantity = Quantity::new(text(self.quantity(at))?).ok()?;
        Some(Trade { symbol: symbol.clone(), id, time, price, quantity, buyer_is_maker: self.buyer_is_maker(at) })
    }
}

/// Hands over the key of each row of a file of an archive, whose other values are looked at: texts that are a price and a
/// quantity, with their floats beside them.
///
/// # Errors
///
/// [`ReadError`] if it is no such file.
pub fn keys(path: &Path, mut on_key: impl FnMut(usize, Key)) -> Result<(), ReadError> {
    each(path, |row, rows, at| {
        on_key(row, rows.keys[at]);
        Ok(())
    })
}

/// Hands over each trade of a file of an archive, in the order of the rows; all of each is looked at, as by [`keys`].
///
/// # Errors
///
/// [`ReadError`] if it is no such file.
pub fn trades(path: &Path, symbol: &Symbol, mut on_trade: impl FnMut(Trade)) -> Result<(), ReadError> {
    each(path, |row, rows, at| {
        on_trade(rows.trade(at, symbol).ok_or(ReadError::Row(row, "its price or quantity is no number"))?);
        Ok(())
    })
}

fn each(path: &Path, mut on_row: impl FnMut(usize, &Rows, usize) -> Result<(), ReadError>) -> Result<(), ReadError> {
    let file = TradesReader::open(path)?;
    if file.names() != Names::InItsPath {
        return Err(ReadError::Columns);
    }
    let mut row = 0;
    for group in 0..file.groups() {
        let rows = file.read(group, Wanted { texts: true, floats: true })?;
        for at in 0..rows.keys.len() {
            let is_float_of =
                |text: &[u8], float: f64| std::str::from_utf8(text).is_ok_and(|it| it.parse() == Ok(float));
            if !is_float_of(rows.price(at), rows.price_floats[at])
                || !is_float_of(rows.quantity(at), rows.quantity_floats[at])
            {
                return Err(ReadError::Row(row, "a float is not its text's"));
            }
            on_row(row, &rows, at)?;
            row += 1;
        }
    }
    Ok(())
}
