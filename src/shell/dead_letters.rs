//! Dead letters: what could not be taken or stored, kept on disk with the reason.
//!
//! `messages.txt` holds messages of the stream, `lines.lp` lines of line
//! protocol; each after a comment line with the reason, so that mended lines
//! can be written with `influx write --file`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files;
use crate::text::Excerpt;

/// Bytes that one file may grow to (P6); what comes past it is counted only.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one letter's text, at most; its head says how many there were.
const TEXT_BYTES_MAX: usize = 64 << 10;

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
    pub fn keep_message(&self, why: &str, message: &str) -> io::Result<()> {
        self.keep("messages.txt", why, message)
    }

    /// Keeps a line of line protocol.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or the file is full.
    pub fn keep_line(&self, why: &str, line: &str) -> io::Result<()> {
        self.keep("lines.lp", why, line)
    }

    fn keep(&self, name: &str, why: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        let failed = |error| io::Error::other(format!("{}: {error}", path.display()));
        let mut file = files::make_folder_inside(&self.folder).and_then(|()| files::append(&path)).map_err(failed)?;
        let letter = letter(why, text);
        if file.metadata().map_err(failed)?.len() + letter.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("{} has reached {FILE_BYTES_MAX} bytes", path.display())));
        }
        file.write_all(letter.as_bytes()).map_err(failed)
    }
}

/// The reason, and the text in one line.
fn letter(why: &str, text: &str) -> String {
    let why = Excerpt::of(why);
    let shown = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    let cut = if shown.len() < text.len() {
        format!(" (the first {} of {} bytes)", shown.len(), text.len())
    } else {
        String::new()
    };
    format!("# {why}{cut}\n{}\n", shown.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::symlink;

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
        assert_eq!(read("lines.lp"), "# invalid\\nnumber\ntrade price=1.2.3 5\n# again\ntrade price=4..5 6\n");
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

    #[test]
    fn a_long_text_is_cut_and_a_reason_is_an_excerpt() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path());
        letters.keep_message(&format!("\u{1b}[2J{}", "why".repeat(1 << 20)), &"é".repeat(1 << 19)).unwrap();
        let kept = fs::read_to_string(folder.path().join("dead-letters/messages.txt")).unwrap();
        let (head, text) = kept.split_once('\n').unwrap();
        assert!(head.starts_with(r"# \u{1b}[2Jwhywhy") && head.len() < 300, "{head:.400}");
        assert!(head.ends_with("(the first 65536 of 1048576 bytes)"), "{head}");
        assert_eq!(text, "é".repeat(1 << 15) + "\n");
    }

    #[test]
    fn a_link_in_place_of_the_folder_or_a_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, letters) = (folder.path().join("victim"), DeadLetters::new(folder.path()));
        fs::write(&victim, "precious").unwrap();
        fs::create_dir(folder.path().join("dead-letters")).unwrap();
        symlink(&victim, folder.path().join("dead-letters/lines.lp")).unwrap();
        let why = letters.keep_line("refused", "line").unwrap_err().to_string();
        assert!(why.contains("dead-letters/lines.lp: it is a symbolic link") && why.contains("remove it"), "{why}");
        fs::remove_dir_all(folder.path().join("dead-letters")).unwrap();
        symlink(folder.path(), folder.path().join("dead-letters")).unwrap();
        assert!(letters.keep_message("no JSON", "text").is_err());
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was made through the link");
    }
}
