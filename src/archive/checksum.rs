//! The SHA-256 of what is written or read.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};

/// What is written to `out`, with its checksum and its length.
pub(crate) struct Checksummed<W> {
    out: W,
    context: Context,
    bytes: u64,
}

impl<W> fmt::Debug for Checksummed<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksummed").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<W: Write> Checksummed<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, context: Context::new(&SHA256), bytes: 0 }
    }

    /// What was written to, the SHA-256 in hexadecimal digits, and how many bytes.
    pub(crate) fn end(self) -> (W, String, u64) {
        let hexadecimal = self.context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        (self.out, hexadecimal, self.bytes)
    }
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.context.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The SHA-256 of a file in hexadecimal digits, and its length.
///
/// # Errors
///
/// If it cannot be read.
pub(crate) fn checksum(path: &Path) -> io::Result<(String, u64)> {
    let mut all = Checksummed::new(io::sink());
    io::copy(&mut File::open(path)?, &mut all)?;
    let (_, sha256, bytes) = all.end();
    Ok((sha256, bytes))
}
