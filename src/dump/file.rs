//! A daily file on disk, read a line at a time.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use thiserror::Error;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::lines::{Line, Lines, Unfit};
use super::name::{DumpName, Unit};
use super::tail::{Tail, tail};
use crate::text::Excerpt;
use crate::trade::Symbol;

/// Bytes of a line, at most; Binance's have some 80.
const LINE_BYTES_MAX: usize = 256;
/// Bytes of the CSV, at most: two hundred million trades.
const CSV_BYTES_MAX: u64 = 16 << 30;
/// Bytes that are taken out of the zip at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Why a daily file cannot be read.
#[derive(Debug, Error)]
pub enum DumpError {
    /// It is not there, or is not to be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is none.
    #[error("it is no daily file of trades: {0}")]
    NoDump(String),
    /// Its end is not there.
    #[error("it is cut off, its end is not there: download it again")]
    CutOff,
    /// What is in it cannot be unpacked, or is not what the zip says.
    #[error("it is damaged behind line {line}: {why}: download it again")]
    Damaged {
        /// The last line that could be read.
        line: u64,
        /// What is wrong.
        why: Excerpt,
    },
    /// A line, or all of it, is longer than such a file has.
    #[error("line {line} is longer than a trade is, or the file than {CSV_BYTES_MAX} bytes")]
    TooLong {
        /// The line.
        line: u64,
    },
    /// Its times are in the unit of files of other days.
    #[error("line {line} has its time in {}, and a file of this day has {}", .unit.other().name(), .unit.name())]
    Unit {
        /// The first line that has.
        line: u64,
        /// What it should have.
        unit: Unit,
    },
}

impl DumpError {
    /// Whether it is no daily file at all, and not a damaged one.
    pub fn is_no_dump(&self) -> bool {
        matches!(self, Self::Io(_) | Self::NoDump(_))
    }
}

/// A daily file.
#[derive(Debug)]
pub struct DumpFile {
    zip: ZipArchive<File>,
    name: DumpName,
    bytes: u64,
}

impl DumpFile {
    /// Opens one; its name and that of what is in it say whose trades of which day it has.
    ///
    /// # Errors
    ///
    /// [`DumpError`] if it is none, or not of `symbol`.
    pub fn open(path: &Path, symbol: Option<&Symbol>) -> Result<Self, DumpError> {
        // Whoever opens a pipe waits for who writes into it.
        if !fs::metadata(path)?.is_file() {
            return Err(DumpError::NoDump("it is no file".to_owned()));
        }
        let mut file = File::open(path)?;
        match tail(&mut file)? {
            Tail::Files(1) => {}
            Tail::Files(files) => return Err(DumpError::NoDump(format!("it has {files} files in it, and not one"))),
            Tail::TooLarge => return Err(DumpError::NoDump("it lists more than one file".to_owned())),
            Tail::NoZip => return Err(DumpError::NoDump("it is no zip".to_owned())),
            Tail::CutOff => return Err(DumpError::CutOff),
        }
        let mut zip = ZipArchive::new(file).map_err(|error| of_zip(&error))?;
        if zip.len() != 1 {
            return Err(DumpError::NoDump(format!("it has {} files in it, and not one", zip.len())));
        }
        let (name, bytes) = {
            let csv = zip.by_index(0).map_err(|error| of_zip(&error))?;
            let name = std::str::from_utf8(csv.name_raw()).ok().and_then(|name| DumpName::parse(name, "csv"));
            let other = || format!("what is in it is called {}", Excerpt::of_bytes(csv.name_raw()));
            (name.ok_or_else(|| DumpError::NoDump(format!("{}, not SYMBOL-trades-DATE.csv", other())))?, csv.size())
        };
        let own = path.file_name().and_then(|name| name.to_str());
        if let Some(own) = own.and_then(|own| DumpName::parse(own, "zip")).filter(|own| *own != name) {
            let why = format!("it is called {}, and what is in it {}", own.file("zip"), name.file("csv"));
            return Err(DumpError::NoDump(why));
        }
        if let Some(symbol) = symbol.filter(|symbol| **symbol != name.symbol) {
            return Err(DumpError::NoDump(format!("it has trades of {}, and not of {symbol}", name.symbol)));
        }
        if bytes > CSV_BYTES_MAX {
            return Err(DumpError::NoDump(format!("what is in it has {bytes} bytes")));
        }
        Ok(Self { zip, name, bytes })
    }

    /// Whose trades of which day it has.
    pub fn name(&self) -> &DumpName {
        &self.name
    }

    /// How many bytes the CSV has, as the zip says.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its lines, from the first one on.
    ///
    /// # Errors
    ///
    /// [`DumpError`] if it cannot be unpacked.
    pub fn lines(&mut self) -> Result<DumpLines<'_>, DumpError> {
        let lines = Lines::of(&self.name);
        let csv = self.zip.by_index(0).map_err(|error| of_zip(&error))?;
        let csv = BufReader::with_capacity(BUFFER_BYTES, csv);
        Ok(DumpLines { csv, unit: self.name.day.unit(), lines, buffer: Vec::new(), bytes: 0, has_ended: false })
    }
}

/// The lines of a daily file.
#[derive(Debug)]
pub struct DumpLines<'a> {
    csv: BufReader<ZipFile<'a, File>>,
    unit: Unit,
    lines: Lines,
    buffer: Vec<u8>,
    bytes: u64,
    has_ended: bool,
}

impl DumpLines<'_> {
    /// Bytes of the CSV that were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; nothing behind the last one, or behind an error.
    ///
    /// # Errors
    ///
    /// [`DumpError`] if the file cannot be read further.
    #[allow(clippy::should_implement_trait, reason = "an iterator's errors would have to be handled twice")]
    pub fn next(&mut self) -> Result<Option<Line>, DumpError> {
        while !self.has_ended {
            let taken = self.read();
            self.has_ended = !matches!(taken, Ok(Some(_)));
            match taken? {
                None => break,
                Some(Some(line)) => return Ok(Some(line)),
                // A header.
                Some(None) => {}
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<Option<Option<Line>>, DumpError> {
        self.buffer.clear();
        let mut csv = (&mut self.csv).take(LINE_BYTES_MAX as u64 + 1);
        let read = csv.read_until(b'\n', &mut self.buffer);
        let (line, damaged) = (self.lines.number(), |why| DumpError::Damaged { line: self.lines.number(), why });
        self.bytes += read.map_err(|error| damaged(Excerpt::of(&crate::error_chain(&error))))? as u64;
        if self.buffer.is_empty() {
            return if line == 0 { Err(DumpError::NoDump("it has no trade".to_owned())) } else { Ok(None) };
        }
        if self.buffer.len() > LINE_BYTES_MAX || self.bytes > CSV_BYTES_MAX {
            let why = "its first line is longer than a trade is".to_owned();
            return Err(if line == 0 { DumpError::NoDump(why) } else { DumpError::TooLong { line: line + 1 } });
        }
        let text = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let why = match self.lines.take(text) {
            Ok(line) => return Ok(Some(line)),
            Err(Unfit::Unit) => return Err(DumpError::Unit { line: self.lines.number(), unit: self.unit }),
            Err(Unfit::Encoding) => "it is not written in UTF-8".to_owned(),
            Err(Unfit::Columns) => {
                format!("its first line is {}, and should have {}", Excerpt::of_bytes(text), super::line::HEADER)
            }
        };
        Err(DumpError::NoDump(why))
    }
}

/// What the zip itself has that it should not.
fn of_zip(error: &ZipError) -> DumpError {
    let why = Excerpt::of(&crate::error_chain(error));
    match error {
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            DumpError::NoDump(format!("it is not packed as they are: {why}"))
        }
        _ => DumpError::Damaged { line: 0, why },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const NAME: &str = "BTCUSDT-trades-2026-11-27";
    const GOOD: &str = "7,5.0,2.0,10.0,1795737600000123,True,True\n";

    /// A zip with these files, in a folder.
    fn zipped(files: &[(&str, &[u8])]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{NAME}.zip"));
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        (folder, path)
    }

    fn read(path: &Path) -> Result<Vec<Line>, DumpError> {
        let mut file = DumpFile::open(path, None)?;
        let (mut lines, mut all) = (file.lines()?, Vec::new());
        while let Some(line) = lines.next()? {
            all.push(line);
        }
        assert!(lines.next().unwrap().is_none());
        Ok(all)
    }

    fn read_csv(csv: &[u8]) -> Result<Vec<Line>, DumpError> {
        let (_folder, path) = zipped(&[(&format!("{NAME}.csv"), csv)]);
        read(&path)
    }

    #[test]
    fn lines_end_as_lines_do() {
        for csv in [
            GOOD.to_owned(),
            GOOD.trim_end().to_owned(),
            GOOD.replace('\n', "\r\n"),
            format!("{}\n{GOOD}", crate::dump::line::HEADER),
        ] {
            let lines = read_csv(csv.as_bytes()).unwrap();
            assert!(lines.len() == 1 && lines[0].read.is_ok(), "{csv}: {lines:?}");
        }
        let lines = read_csv(format!("{GOOD}\n{}", GOOD.replace('7', "8")).as_bytes()).unwrap();
        assert_eq!(
            lines.iter().map(|line| (line.number, line.read.is_ok())).collect::<Vec<_>>(),
            [(1, true), (2, false), (3, false)]
        );
    }

    #[test]
    fn what_is_no_daily_file_says_why() {
        let csv = format!("{NAME}.csv");
        for (files, why) in [
            (&[][..], "it has 0 files in it"),
            (&[(&csv[..], GOOD.as_bytes()), ("other.csv", b"")], "it has 2 files in it"),
            (&[("../x.csv", GOOD.as_bytes())], "what is in it is called ../x.csv"),
            (&[("folder/", b"")], "what is in it is called folder/"),
            (&[(&csv.replace("BTC", "ETH"), GOOD.as_bytes())], "it is called BTCUSDT-trades-2026-11-27.zip, and what"),
            (&[(&csv, b"")], "it has no trade"),
            (&[(&csv, &[b'9'; 300])], "its first line is longer"),
            (&[(&csv, b"id,price\n")], "its first line is id,price"),
            (&[(&csv, b"\xff\xfe7\0,\0")], "it is not written in UTF-8"),
        ] {
            let (_folder, path) = zipped(files);
            let error = read(&path).unwrap_err();
            assert!(error.is_no_dump() && error.to_string().contains(why), "{why}: {error}");
        }
        let (folder, path) = zipped(&[(&csv, GOOD.as_bytes())]);
        let error = DumpFile::open(&path, Some(&"ETHUSDT".parse().unwrap())).unwrap_err();
        assert!(error.to_string().contains("it has trades of BTCUSDT, and not of ETHUSDT"), "{error}");
        for other in [folder.path().to_owned(), folder.path().join("absent"), "/dev/zero".into()] {
            assert!(read(&other).unwrap_err().is_no_dump(), "{other:?}");
        }
        fs::write(&path, GOOD).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("it is no zip"));
    }

    #[test]
    fn what_is_damaged_is_not_called_another_file() {
        let mut csv = String::new();
        for id in 10..2_000_u64 {
            csv.push_str(&format!("{id},5.0,{id}.0,{}.0,{},True,True\n", 5 * id, 1_795_737_600_000_000 + id * 7_919));
        }
        let (_folder, path) = zipped(&[(&format!("{NAME}.csv"), csv.as_bytes())]);
        let whole = fs::read(&path).unwrap();
        let with = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read(&path)
        };
        assert_eq!(with(&whole).unwrap().len(), 1_990);
        for cut in [whole.len() - 1, whole.len() / 2, 10] {
            assert!(matches!(with(&whole[..cut]), Err(DumpError::CutOff)), "{cut}");
        }
        let mut flipped = whole.clone();
        let listed = whole.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
        flipped[listed + 16] ^= 1;
        let error = with(&flipped).unwrap_err();
        assert!(matches!(error, DumpError::Damaged { line: 1_990, .. }), "{error}");
        // A line that never ends is not gathered.
        let long = [GOOD.as_bytes(), &[b'0'; 1 << 20]].concat();
        let error = read_csv(&long).unwrap_err();
        assert!(matches!(error, DumpError::TooLong { line: 2 }) && !error.is_no_dump(), "{error}");
        let error = read_csv(GOOD.replace("123,True", ",True").as_bytes()).unwrap_err();
        let why = "line 1 has its time in milliseconds, and a file of this day has microseconds";
        assert_eq!((error.is_no_dump(), error.to_string().as_str()), (false, why));
    }
}
