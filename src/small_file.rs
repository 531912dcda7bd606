//! Files that people name and that should be small: read up to a limit, whatever they are (P6).

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// All of the file at `path`, of at most `limit` bytes, and what the system says about it.
///
/// # Errors
///
/// If it cannot be read, or is longer.
pub(crate) fn read(path: &Path, limit: usize) -> Result<(Vec<u8>, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    }
    Ok((bytes, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero"), 1 << 10).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1024 bytes");
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path(), 9).is_err() && read(&folder.path().join("absent"), 9).is_err());
        std::fs::write(folder.path().join("small"), "just nine").unwrap();
        assert_eq!(read(&folder.path().join("small"), 9).unwrap().0, b"just nine");
    }
}
