//! A wall clock that is wrong: Debian's libfaketime, for processes that read the clock through the C library.

use std::path::PathBuf;

/// A clock that processes started with it go by; it can be set while they run.
pub struct WrongClock {
    file: tempfile::NamedTempFile,
}

impl WrongClock {
    /// A clock that is off by this, such as `+25h`.
    pub fn new(offset: &str) -> Self {
        let clock = Self { file: tempfile::NamedTempFile::new().unwrap() };
        clock.set(offset);
        clock
    }

    /// Sets it.
    pub fn set(&self, offset: &str) {
        // Renamed into place, so that nobody reads half of it.
        let new = self.file.path().with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, self.file.path()).unwrap();
    }

    /// The environment of a process that goes by it; the monotonic clock stays right, as on a real machine.
    pub fn environment(&self) -> Vec<(String, String)> {
        let file = self.file.path().to_str().unwrap();
        let library = library();
        [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let library = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|path| path.exists());
    library.expect("libfaketime is missing: scripts/test installs it (Debian: apt-get install faketime)")
}
