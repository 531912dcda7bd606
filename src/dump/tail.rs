//! The end of a zip, looked at before a library reads what is listed there: it would take as much memory as a stranger's file
//! has entries.
//!
//! Source: PKWARE's APPNOTE, 4.3.16 (end of central directory record) and 4.3.15 (its zip64 locator).

use std::io::{self, Read, Seek, SeekFrom};

const BEGIN: &[u8; 4] = b"PK\x03\x04";
const END: &[u8; 4] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR: &[u8; 4] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
/// A comment behind it may have so many bytes.
const COMMENT_MAX: usize = 0xffff;
/// What is listed of one file, with its name and what else may stand there.
const LISTED_BYTES_MAX: u32 = 64 << 10;

/// What a file is by its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// A zip of so many files.
    Files(u16),
    /// It begins as a zip, and its end is not there.
    CutOff,
    /// A zip that is larger than a daily file is, or pretends to be.
    TooLarge,
    /// No zip.
    NoZip,
}

/// Looks at the end of a file.
pub(super) fn tail(file: &mut (impl Read + Seek)) -> io::Result<Tail> {
    let length = file.seek(SeekFrom::End(0))?;
    let wanted = (END_BYTES + COMMENT_MAX + LOCATOR_BYTES) as u64;
    file.seek(SeekFrom::Start(length.saturating_sub(wanted)))?;
    let mut tail = Vec::new();
    file.by_ref().take(wanted).read_to_end(&mut tail)?;
    file.rewind()?;
    let mut begin = Vec::new();
    file.by_ref().take(BEGIN.len() as u64).read_to_end(&mut begin)?;
    file.rewind()?;
    let Some(at) = tail.windows(END_BYTES).rposition(|bytes| bytes.starts_with(END)) else {
        return Ok(if begin == BEGIN { Tail::CutOff } else { Tail::NoZip });
    };
    let end = &tail[at..];
    let files = u16::from_le_bytes([end[10], end[11]]);
    let listed = u32::from_le_bytes([end[12], end[13], end[14], end[15]]);
    let has_locator = at.checked_sub(LOCATOR_BYTES).is_some_and(|at| tail[at..].starts_with(LOCATOR));
    // Of an empty zip the end is all that there is.
    Ok(if files == 1 && (listed > LISTED_BYTES_MAX || has_locator) { Tail::TooLarge } else { Tail::Files(files) })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip(names: &[&str], comment: usize) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(b"1,2\n").unwrap();
        }
        zip.set_comment("x".repeat(comment)).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn of(bytes: &[u8]) -> Tail {
        tail(&mut Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn the_end_of_a_zip_says_how_many_files_it_has() {
        assert_eq!(of(&zip(&["a"], 0)), Tail::Files(1));
        assert_eq!(of(&zip(&["a"], 0xffff)), Tail::Files(1));
        assert_eq!(of(&zip(&["a", "b"], 7)), Tail::Files(2));
        assert_eq!(of(&zip(&[], 0)), Tail::Files(0));
    }

    #[test]
    fn what_has_no_such_end_is_cut_off_or_no_zip() {
        let whole = zip(&["a"], 0);
        assert_eq!(of(&whole[..whole.len() - 1]), Tail::CutOff);
        assert_eq!(of(&whole[..5]), Tail::CutOff);
        assert_eq!((of(b""), of(b"id,price\n"), of(&[0; 70_000])), (Tail::NoZip, Tail::NoZip, Tail::NoZip));
    }

    #[test]
    fn one_that_lists_more_than_it_says_is_too_large() {
        let mut listed = zip(&["a"], 0);
        let at = listed.len() - END_BYTES + 12;
        listed[at..at + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(of(&listed), Tail::TooLarge);
        let mut located = zip(&["a"], 0);
        let at = located.len() - END_BYTES;
        located.splice(at..at, [&LOCATOR[..], &[0; LOCATOR_BYTES - 4]].concat());
        assert_eq!(of(&located), Tail::TooLarge);
    }
}
