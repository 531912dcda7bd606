//! The file that is published beside a daily file: its SHA-256, two spaces, its name.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::small_file;
use crate::text::Excerpt;

/// Bytes of such a file, at most; Binance's have some 100.
const BYTES_MAX: usize = 4 << 10;
/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// What is said of a daily file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Its name.
    pub name: String,
}

/// Why nothing is said.
#[derive(Debug, Error)]
pub enum ToldError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no SHA-256 with a name behind it: {0}")]
    Other(Excerpt),
}

/// Where what is said of a daily file lies, if it lies beside it.
pub fn beside(dump: &Path) -> PathBuf {
    let mut path = OsString::from(dump);
    path.push(".CHECKSUM");
    path.into()
}

/// Reads what is said of a daily file.
///
/// # Errors
///
/// [`ToldError`] if it is not of that form.
pub fn read(path: &Path) -> Result<Told, ToldError> {
    let (bytes, _) = small_file::read(path, BYTES_MAX)?;
    parse(&bytes).ok_or_else(|| ToldError::Other(Excerpt::of_bytes(&bytes)))
}

fn parse(bytes: &[u8]) -> Option<Told> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
    let (sha256, name) = text.split_once(' ')?;
    // One of binary files has a star in place of the second space.
    let name = name.strip_prefix(' ').or_else(|| name.strip_prefix('*'))?;
    let is_one = sha256.len() == DIGITS && sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_named = !name.is_empty() && !name.contains(['\n', '\r']);
    (is_one && is_named).then(|| Told { sha256: sha256.to_ascii_lowercase(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_has_a_name_behind_it() {
        let sha256 = "0123456789abcdef".repeat(4);
        for text in [
            format!("{sha256}  BTCUSDT-trades-2026-11-29.zip\n"),
            format!("{}  BTCUSDT-trades-2026-11-29.zip\r\n", sha256.to_uppercase()),
            format!("{sha256} *BTCUSDT-trades-2026-11-29.zip"),
        ] {
            let told = parse(text.as_bytes()).unwrap();
            assert_eq!((told.sha256, told.name.as_str()), (sha256.clone(), "BTCUSDT-trades-2026-11-29.zip"));
        }
        for text in [
            "",
            "x",
            &sha256,
            &format!("{sha256}  "),
            &format!("{sha256} name"),
            &format!("{}  name", &sha256[1..]),
            &format!("{sha256}  one\n{sha256}  two\n"),
            "<html>404 Not Found</html>",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(beside(Path::new("a/b.zip")), Path::new("a/b.zip.CHECKSUM"));
    }
}
