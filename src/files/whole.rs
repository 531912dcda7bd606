//! A file that is there as a whole or not at all: written under another name in the same folder, synced, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What the other name begins with.
const PREFIX: &str = ".tickflux-";
/// What it ends with.
const SUFFIX: &str = ".part";

/// A file on its way. Dropped before its end, it is gone, and what was there before stays.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    part: Part,
    path: PathBuf,
}

/// What is removed again, unless it becomes the file.
#[derive(Debug)]
struct Part(Option<PathBuf>);

impl Drop for Part {
    fn drop(&mut self) {
        // Where it cannot be removed it stays, and its name says what it is.
        self.0.iter().for_each(|path| drop(fs::remove_file(path)));
    }
}

impl WholeFile {
    /// Begins a file at `path`, which may be there already. A link is followed: whoever runs the program named it.
    ///
    /// # Errors
    ///
    /// If the folder is not there or takes no file, or what stands at `path` is no regular file.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let path = match path.metadata() {
            Ok(found) if found.is_file() => path.canonicalize()?,
            Ok(_) => return Err(io::Error::other("it is there and is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        if path.file_name().is_none() {
            return Err(io::Error::from(io::ErrorKind::InvalidFilename));
        }
        let part = folder_of(&path).join(format!("{PREFIX}{:016x}{SUFFIX}", fastrand::u64(..)));
        let file = OpenOptions::new().write(true).create_new(true).open(&part)?;
        Ok(Self { file, part: Part(Some(part)), path })
    }

    /// Ends it: now it is there under its name, whatever happens to the machine.
    ///
    /// # Errors
    ///
    /// If it cannot be synced or renamed; then it is gone, and what was there before stays.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(part) = &self.part.0 {
            fs::rename(part, &self.path)?;
        }
        self.part.0 = None;
        File::open(folder_of(&self.path))?.sync_all()
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether `name` is that of a file that was on its way, which a killed process leaves.
pub fn is_part(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_once_it_is_finished_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"whole").unwrap();
        let on_the_way = names(folder.path());
        assert!(on_the_way.len() == 1 && is_part(&on_the_way[0]), "{on_the_way:?}");
        file.finish().unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), names(folder.path())),
            ("whole", vec!["file".to_owned()])
        );
    }

    #[test]
    fn what_was_there_stays_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "before").unwrap();
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"torn").unwrap();
        drop(file);
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), names(folder.path())),
            ("before", vec!["file".to_owned()])
        );
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"after").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "before").unwrap();
        symlink("file", &link).unwrap();
        let mut file = WholeFile::begin(&link).unwrap();
        file.write_all(b"after").unwrap();
        file.finish().unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), link.is_symlink()), ("after", true));
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        for path in ["folder", "absent/file", "..", ""] {
            assert!(WholeFile::begin(&folder.path().join(path)).is_err(), "{path:?}");
        }
        assert!(WholeFile::begin(Path::new("/dev/null")).is_err());
        assert_eq!(names(folder.path()), ["folder"]);
    }
}
