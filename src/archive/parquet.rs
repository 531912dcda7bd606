//! Trades in a Parquet file: the columns of a point, zstd, a row group at a time.
//!
//! Source: the Apache Parquet format. `time` is a timestamp in milliseconds, UTC; prices and quantities are the exchange's
//! text (P2), and beside it a float to reckon with. No value is ever null.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::store::StoredTrade;

/// Trades in a row group, at most; some 130 bytes of memory each until it is written.
pub const GROUP_TRADES: usize = 65_536;

/// Where the names of exchange and symbol are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// In each row.
    InEachRow,
    /// In the path of the file, of which other programs make columns.
    InItsPath,
}

/// The columns of the names.
const NAMES: &str = "
    REQUIRED BYTE_ARRAY exchange (STRING);
    REQUIRED BYTE_ARRAY symbol (STRING);";
/// The other columns, in their order.
const VALUES: &str = "
    REQUIRED INT64 trade_id;
    REQUIRED INT64 time (TIMESTAMP(MILLIS, true));
    REQUIRED BYTE_ARRAY price (STRING);
    REQUIRED BYTE_ARRAY quantity (STRING);
    REQUIRED BOOLEAN buyer_is_maker;
    REQUIRED DOUBLE price_float;
    REQUIRED DOUBLE quantity_float;";
/// Of zstd; higher ones take longer and save a hundredth.
const LEVEL: i32 = 3;

/// A Parquet file of trades on its way.
#[derive(Debug)]
pub struct TradesFile<W: Write + Send> {
    file: SerializedFileWriter<W>,
    names: Names,
    /// What is to be the next row group.
    group: Vec<StoredTrade>,
}

impl<W: Write + Send> TradesFile<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// If `out` cannot be written.
    pub fn begin(out: W, names: Names) -> io::Result<Self> {
        let begin = || SerializedFileWriter::new(out, schema(names)?, Arc::new(properties()?));
        Ok(Self { file: begin().map_err(of_parquet)?, names, group: Vec::with_capacity(GROUP_TRADES) })
    }

    /// Adds a trade.
    ///
    /// # Errors
    ///
    /// If a row group was full and could not be written.
    pub fn add(&mut self, trade: StoredTrade) -> io::Result<()> {
        self.group.push(trade);
        if self.group.len() == GROUP_TRADES { self.write_group() } else { Ok(()) }
    }

    /// Writes the end, without which it is no Parquet file, and gives back what it was written to.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.group.is_empty() {
            self.write_group()?;
        }
        self.file.into_inner().map_err(of_parquet)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut write = || {
            let mut columns = self.file.next_row_group()?;
            let trades = &self.group[..];
            if self.names == Names::InEachRow {
                column::<ByteArrayType, _>(&mut columns, names(trades, |stored| stored.exchange.as_str()))?;
                column::<ByteArrayType, _>(&mut columns, names(trades, |stored| stored.trade.symbol.as_str()))?;
            }
            column::<Int64Type, _>(&mut columns, values(trades, |stored| stored.trade.id.get().cast_signed()))?;
            column::<Int64Type, _>(&mut columns, values(trades, |stored| stored.trade.time.ms()))?;
            column::<ByteArrayType, _>(&mut columns, texts(trades, |stored| stored.trade.price.as_bytes()))?;
            column::<ByteArrayType, _>(&mut columns, texts(trades, |stored| stored.trade.quantity.as_bytes()))?;
            column::<BoolType, _>(&mut columns, values(trades, |stored| stored.trade.buyer_is_maker))?;
            column::<DoubleType, _>(&mut columns, values(trades, |stored| float(stored.trade.price.as_str())))?;
            column::<DoubleType, _>(&mut columns, values(trades, |stored| float(stored.trade.quantity.as_str())))?;
            columns.close()
        };
        write().map_err(of_parquet)?;
        self.group.clear();
        Ok(())
    }
}

/// The columns, in their order.
pub(super) fn schema(names: Names) -> Result<TypePtr, ParquetError> {
    let names = if names == Names::InEachRow { NAMES } else { "" };
    Ok(Arc::new(parse_message_type(&format!("message trade {{{names}{VALUES}\n}}"))?))
}

fn properties() -> Result<WriterProperties, ParquetError> {
    let numbers = ["trade_id", "time"];
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("tickflux ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    for name in numbers {
        // They rise by little.
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(name), false)
            .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

/// Writes the next column of a row group.
fn column<T: DataType, W: Write + Send>(
    columns: &mut SerializedRowGroupWriter<'_, W>,
    values: Vec<T::T>,
) -> Result<(), ParquetError> {
    let mut column = columns.next_column()?.ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
    column.typed::<T>().write_batch(&values, None, None)?;
    column.close()
}

fn values<V>(trades: &[StoredTrade], value: impl FnMut(&StoredTrade) -> V) -> Vec<V> {
    trades.iter().map(value).collect()
}

/// Texts that are the same in long runs.
fn names(trades: &[StoredTrade], name: impl Fn(&StoredTrade) -> &str) -> Vec<ByteArray> {
    let mut last = Bytes::new();
    values(trades, |stored| {
        let name = name(stored);
        if last != name {
            last = Bytes::copy_from_slice(name.as_bytes());
        }
        ByteArray::from(last.clone())
    })
}

/// Texts that lie in one piece of memory.
fn texts(trades: &[StoredTrade], text: impl Fn(&StoredTrade) -> &[u8]) -> Vec<ByteArray> {
    let mut all = Vec::new();
    let ends = values(trades, |stored| {
        all.extend_from_slice(text(stored));
        all.len()
    });
    let (all, mut begin) = (Bytes::from(all), 0);
    let slice = |end| {
        let slice = all.slice(begin..end);
        begin = end;
        ByteArray::from(slice)
    };
    ends.into_iter().map(slice).collect()
}

/// The nearest float of a price or a quantity.
fn float(text: &str) -> f64 {
    // Every such text is one.
    text.parse().unwrap_or(f64::NAN)
}

/// What went wrong with what is written to, if it was that.
fn of_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
