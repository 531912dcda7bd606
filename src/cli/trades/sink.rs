//! Where trades go, in which form; none is kept longer than its form needs.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use super::TradesFormat;
use crate::archive::parquet::{Names, TradesFile};
use crate::cli::report::{LongTable, TradeRow, Zone, utc};
use crate::cli::settings::now;
use crate::files::whole::WholeFile;
use crate::store::StoredTrade;
use crate::trade::TradeTime;

/// Bytes that are gathered for one write.
const BUFFER_BYTES: usize = 64 << 10;

/// What takes trades.
pub(super) struct Sink {
    format: TradesFormat,
    zone: Zone,
    /// Until the first trade.
    to: Option<To>,
    form: Option<Form>,
}

/// What is written to.
enum To {
    Stdout(Stdout),
    File(WholeFile),
}

/// The form that was begun.
enum Form {
    Table(LongTable<TradeRow>, BufWriter<To>),
    Json(BufWriter<To>),
    Csv(Box<csv::Writer<To>>),
    Parquet(Box<TradesFile<BufWriter<To>>>),
}

/// A trade with the contract's keys.
#[derive(Debug, Serialize)]
struct Row<'a> {
    exchange: &'a str,
    symbol: &'a str,
    trade_id: u64,
    #[serde(serialize_with = "utc")]
    time: TradeTime,
    price: &'a str,
    quantity: &'a str,
    buyer_is_maker: bool,
}

impl Sink {
    /// Into a file.
    pub(super) fn to_file(format: TradesFormat, zone: Zone, file: WholeFile) -> Self {
        Self { format, zone, to: Some(To::File(file)), form: None }
    }

    /// To standard output.
    pub(super) fn to_stdout(format: TradesFormat, zone: Zone) -> Self {
        Self { format, zone, to: Some(To::Stdout(io::stdout())), form: None }
    }

    /// Takes a trade.
    pub(super) fn add(&mut self, trade: StoredTrade) -> io::Result<()> {
        if let Some(to) = self.to.take() {
            self.form = Some(Form::begin(self.format, self.zone, to)?);
        }
        match &mut self.form {
            Some(Form::Table(table, out)) => table.add(TradeRow::new(&trade, now(), None), out),
            Some(Form::Json(out)) => {
                serde_json::to_writer(&mut *out, &Row::new(&trade))?;
                out.write_all(b"\n")
            }
            Some(Form::Csv(out)) => out.serialize(Row::new(&trade)).map_err(of_csv),
            Some(Form::Parquet(file)) => file.add(trade),
            None => Ok(()),
        }
    }

    /// Writes what is still held, and gives a file its name.
    pub(super) fn finish(self) -> io::Result<()> {
        let to = match self.form {
            Some(Form::Table(mut table, mut out)) => {
                table.finish(&mut out)?;
                emptied(out)?
            }
            Some(Form::Json(out)) => emptied(out)?,
            Some(Form::Csv(out)) => out.into_inner().map_err(|error| error.into_error())?,
            Some(Form::Parquet(file)) => emptied(file.finish()?)?,
            None => return Ok(()),
        };
        match to {
            To::Stdout(mut stdout) => stdout.flush(),
            To::File(file) => file.finish(),
        }
    }
}

impl Form {
    fn begin(format: TradesFormat, zone: Zone, to: To) -> io::Result<Self> {
        let is_file = matches!(to, To::File(_));
        let buffered = |to| BufWriter::with_capacity(BUFFER_BYTES, to);
        Ok(match format {
            TradesFormat::Table => Self::Table(LongTable::new(zone, is_file), buffered(to)),
            TradesFormat::Json => Self::Json(buffered(to)),
            TradesFormat::Csv => {
                Self::Csv(Box::new(csv::WriterBuilder::new().buffer_capacity(BUFFER_BYTES).from_writer(to)))
            }
            TradesFormat::Parquet => Self::Parquet(Box::new(TradesFile::begin(buffered(to), Names::InEachRow)?)),
        })
    }
}

impl<'a> Row<'a> {
    fn new(stored: &'a StoredTrade) -> Self {
        let trade = &stored.trade;
        Self {
            exchange: stored.exchange.as_str(),
            symbol: trade.symbol.as_str(),
            trade_id: trade.id.get(),
            time: trade.time,
            price: trade.price.as_str(),
            quantity: trade.quantity.as_str(),
            buyer_is_maker: trade.buyer_is_maker,
        }
    }
}

impl Write for To {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

fn emptied(out: BufWriter<To>) -> io::Result<To> {
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

/// The error of what is written to.
fn of_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
