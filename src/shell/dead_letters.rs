//! Dead letters: what could not be taken or stored, kept on disk with the reason.
//!
//! `messages.txt` holds messages of the stream, `lines.lp` lines of line
//! protocol; each after a comment line with the reason, so that mended lines
//! can be written with `influx write --file`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes that one file may grow to (P6); what comes past it is counted only.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The folder of dead letters; made with the first one.
#[derive(Debug)]
pub struct DeadLetters {
    folder: PathBuf,
}

impl DeadLetters {
    /// Dead letters below `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.join("dead-letters") }
    }

    /// Keeps a message of the stream.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or the file is full.
    pub fn keep_message(&self, why: &str, message: &str) -> std::io::Result<()> {
        self.keep("messages.txt", why, message)
    }

    /// Keeps a line of line protocol.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or the file is full.
    pub fn keep_line(&self, why: &str, line: &str) -> std::io::Result<()> {
        self.keep("lines.lp", why, line)
    }

    fn keep(&self, name: &str, why: &str, text: &str) -> std::io::Result<()> {
        let mut file = self.open(name)?;
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        let letter = format!("# {}\n{}\n", one_line(why), one_line(text));
        if file.metadata()?.len() + letter.len() as u64 > FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!("{name} has reached {FILE_BYTES_MAX} bytes")));
        }
        file.write_all(letter.as_bytes())
    }

    fn open(&self, name: &str) -> std::io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        OpenOptions::new().create(true).append(true).open(self.folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_stands_behind_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path());
        letters.keep_message("not JSON", "{\"e\":\n").unwrap();
        letters.keep_line("invalid\nnumber", "trade price=1.2.3 5").unwrap();
        letters.keep_line("again", "trade price=4..5 6").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("dead-letters").join(name)).unwrap();
        assert_eq!(read("messages.txt"), "# not JSON\n{\"e\": \n");
        assert_eq!(read("lines.lp"), "# invalid number\ntrade price=1.2.3 5\n# again\ntrade price=4..5 6\n");
    }

    #[test]
    fn nothing_is_made_before_the_first_letter() {
        let folder = tempfile::tempdir().unwrap();
        DeadLetters::new(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_file_takes_no_more_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path());
        letters.keep_line("first", "line").unwrap();
        let path = folder.path().join("dead-letters").join("lines.lp");
        OpenOptions::new().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX).unwrap();
        assert!(letters.keep_line("more", "line").unwrap_err().to_string().contains("reached"));
        assert_eq!(fs::metadata(path).unwrap().len(), FILE_BYTES_MAX);
    }
}
