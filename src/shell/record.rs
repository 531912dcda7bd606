//! Recording a session: a line `recv_ns message` for each message, as received.
//!
//! The practice exchange replays such files. A name that ends in `.gz` is
//! compressed. What is older than a second is in the file, so that one whose capture was killed can be read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::files;

/// Messages stay out of the file for so long, at most, while others come.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A recording that is being written.
pub struct Recorder {
    out: Out,
    flushed: SystemTime,
}

enum Out {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Makes the file at `path`; one that exists is not overwritten.
    ///
    /// # Errors
    ///
    /// If the file exists or cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let file = BufWriter::new(files::make_new(path)?);
        let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
        let out =
            if is_gzip { Out::Gzip(Box::new(GzEncoder::new(file, Compression::fast()))) } else { Out::Plain(file) };
        Ok(Self { out, flushed: UNIX_EPOCH })
    }

    /// Writes one message that was read at `received`.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn record(&mut self, received: SystemTime, message: &str) -> std::io::Result<()> {
        let ns = received.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        match &mut self.out {
            Out::Plain(out) => writeln!(out, "{ns} {message}"),
            Out::Gzip(out) => writeln!(out, "{ns} {message}"),
        }?;
        // A clock that was set back flushes, too.
        if received.duration_since(self.flushed).is_ok_and(|since| since < FLUSH_EVERY) {
            return Ok(());
        }
        self.flushed = received;
        match &mut self.out {
            Out::Plain(out) => out.flush(),
            // What a reader needs to get so far; it costs a few bytes.
            Out::Gzip(out) => out.flush(),
        }
    }

    /// Ends the recording: only then is the file whole.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn finish(self) -> std::io::Result<()> {
        match self.out {
            Out::Plain(mut out) => out.flush(),
            Out::Gzip(out) => out.finish()?.flush(),
        }
    }
}
