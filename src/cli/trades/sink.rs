//! Where trades go, in which form; none is kept longer than its form needs.

use std::io::{self, BufWriter, Stdout, Write};

use super::TradesFormat;
use crate::archive::parquet::{Names, TradesFile};
use crate::cli::report::{LongTable, TradeKeys, TradeRow, Zone, of_csv};
use crate::cli::settings::now;
use crate::files::whole::WholeFile;
use crate::store::StoredTrade;

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
                serde_json::to_writer(&mut *out, &TradeKeys::new(&trade, None))?;
                out.write_all(b"\n")
            }
            Some(Form::Csv(out)) => out.serialize(TradeKeys::new(&trade, None)).map_err(of_csv),
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
