//! Files and folders that are ours alone: the one way to make and open them.
//!
//! A folder is made with mode 0700 and a file with 0600. What stands in a file's place is never followed, truncated or
//! waited for: a symbolic link, a file with a second name, a FIFO or a device is refused, for it may lead to what
//! belongs to someone else.
//!
//! [`whole`] is for files that are given to others.

pub mod whole;

use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
use thiserror::Error;

use crate::small_file;

/// Bytes of the system's list of locks, at most; a line has 60.
const LOCKS_BYTES_MAX: usize = 4 << 20;

/// Why what stands in the place of a file or folder of ours is not used.
#[derive(Debug, Error)]
enum Foreign {
    #[error("it is {0}, which is not written through: remove it")]
    Kind(&'static str),
    #[error("it has another name, too (a hard link), so that it may be someone else's: remove it")]
    SecondName,
}

/// Makes `path` and what is missing above it. A folder that exists stays as it is, and may be a link: whoever runs the
/// program named it.
///
/// # Errors
///
/// If it cannot be made, or is something else.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes `path` inside of a folder of ours, where a link is none of ours.
///
/// # Errors
///
/// If it cannot be made, or is something else.
pub fn make_folder_inside(path: &Path) -> io::Result<()> {
    make_folder(path)?;
    let found = path.symlink_metadata()?.file_type();
    if found.is_dir() { Ok(()) } else { Err(io::Error::other(Foreign::Kind(kind(found)))) }
}

/// Opens `path` to add to its end, and makes it if it is absent.
///
/// # Errors
///
/// If it cannot be opened, or is not a file of ours.
pub fn append(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().append(true).create(true))
}

/// Opens `path` to read, write or lock it, and makes it if it is absent.
///
/// Not while SQLite has it open in this process: closing it again would release SQLite's locks (fcntl(2)).
///
/// # Errors
///
/// If it cannot be opened, or is not a file of ours.
pub fn open_or_make(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
}

/// Makes `path`, which must be absent.
///
/// # Errors
///
/// If it cannot be made, or exists.
pub fn make_new(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true).create_new(true))
}

/// Makes `path` ready to be an SQLite file of ours, with what SQLite keeps beside it. Gives its path with no link in it,
/// as `SQLITE_OPEN_NOFOLLOW` wants it.
///
/// # Errors
///
/// If it cannot be opened, or it or what is beside it is not a file of ours.
pub fn for_sqlite(path: &Path) -> io::Result<PathBuf> {
    open_or_make(path)?;
    look_beside_sqlite(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize()?.join(path.file_name().unwrap_or_default()))
}

/// Looks whether what SQLite keeps beside `path` is ours, and nothing else stands there.
///
/// # Errors
///
/// If it is not.
pub fn look_beside_sqlite(path: &Path) -> io::Result<()> {
    for suffix in ["-journal", "-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        let found = Path::new(&beside).symlink_metadata();
        if let Some(error) = found.ok().as_ref().and_then(refusal) {
            return Err(io::Error::other(format!("beside it is {}: {error}", beside.display())));
        }
    }
    Ok(())
}

/// Whether someone holds a lock of flock(2) on the file at `path`, by the system's own list of locks: to try the lock would
/// hold it for a moment. `None` where there is no such list.
pub fn is_locked(path: &Path) -> Option<bool> {
    let Ok(inode) = path.symlink_metadata().map(|found| found.ino()) else { return Some(false) };
    let (list, _) = small_file::read(Path::new("/proc/locks"), LOCKS_BYTES_MAX).ok()?;
    Some(holds_lock(&String::from_utf8_lossy(&list), inode))
}

/// Whether a line of proc_locks(5), `1: FLOCK ADVISORY WRITE 708 08:01:1234 0 EOF`, is about this file. The device is not
/// compared: some file systems give another one there than to stat(2).
fn holds_lock(list: &str, inode: u64) -> bool {
    list.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // Who waits for a lock has an arrow in front.
        let is_held = words.get(1) == Some(&"FLOCK");
        let of = words.get(5).and_then(|file| file.rsplit(':').next()?.parse::<u64>().ok());
        is_held && of == Some(inode)
    })
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // A FIFO without a reader would be waited for, and a terminal would become ours.
    let opened = options.mode(0o600).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY).open(path);
    let file = opened.map_err(|error| match path.symlink_metadata() {
        // The kind says more than the system's words for it.
        Ok(found) if error.kind() != io::ErrorKind::AlreadyExists => refusal(&found).unwrap_or(error),
        _ => error,
    })?;
    refusal(&file.metadata()?).map_or(Ok(file), Err)
}

/// Why a file is not one of ours, if it is not.
fn refusal(found: &Metadata) -> Option<io::Error> {
    if !found.is_file() {
        Some(io::Error::other(Foreign::Kind(kind(found.file_type()))))
    } else if found.nlink() > 1 {
        Some(io::Error::other(Foreign::SecondName))
    } else {
        None
    }
}

fn kind(found: FileType) -> &'static str {
    match found {
        _ if found.is_symlink() => "a symbolic link",
        _ if found.is_dir() => "a folder",
        _ if found.is_fifo() => "a FIFO",
        _ if found.is_socket() => "a socket",
        _ if found.is_block_device() || found.is_char_device() => "a device",
        _ => "no regular file",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        make_folder(&inner).unwrap();
        assert_eq!([mode(&folder.path().join("a")), mode(&inner)], [0o700, 0o700]);
        append(&inner.join("1")).unwrap();
        open_or_make(&inner.join("2")).unwrap();
        make_new(&inner.join("3")).unwrap();
        assert_eq!(["1", "2", "3"].map(|name| mode(&inner.join(name))), [0o600; 3]);
    }

    #[test]
    fn what_is_there_keeps_its_bytes_and_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "before").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        open_or_make(&path).unwrap();
        append(&path).unwrap().write_all(b" and after").unwrap();
        assert_eq!(make_new(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("before and after", 0o640));
        make_folder(folder.path()).unwrap();
    }

    #[test]
    fn what_stands_in_a_files_place_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), "precious").unwrap();
        symlink(at("victim"), at("link")).unwrap();
        symlink(at("absent"), at("dangling")).unwrap();
        fs::hard_link(at("victim"), at("second")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/tty", at("device-link")).unwrap();
        let names = [
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("device-link", "a symbolic link"),
            ("second", "a hard link"),
            ("folder", "a folder"),
            ("fifo", "a FIFO"),
            ("socket", "a socket"),
        ];
        for (name, what) in names {
            for opened in [append(&at(name)), open_or_make(&at(name))] {
                let why = opened.unwrap_err().to_string();
                assert!(why.contains(what) && why.contains("remove it"), "{name}: {why}");
            }
            assert_eq!(make_new(&at(name)).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        for device in ["/dev/null", "/dev/full"] {
            assert!(append(Path::new(device)).unwrap_err().to_string().contains("a device"), "{device}");
        }
        // With a reader a FIFO opens at once: it is refused none the less.
        let _reader = OpenOptions::new().read(true).write(true).open(at("fifo")).unwrap();
        assert!(append(&at("fifo")).unwrap_err().to_string().contains("a FIFO"));
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "precious");
        assert!(!at("absent").exists());
    }

    #[test]
    fn a_folder_may_be_a_link_where_the_user_named_it_and_not_inside() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        symlink(at("real"), at("link")).unwrap();
        make_folder(&at("link")).unwrap();
        assert!(make_folder_inside(&at("link")).unwrap_err().to_string().contains("a symbolic link"));
        make_folder_inside(&at("real/inside")).unwrap();
        let real = at("real").canonicalize().unwrap();
        assert_eq!(for_sqlite(&at("link/file.db")).unwrap(), real.join("file.db"));
    }

    #[test]
    fn a_lock_is_seen_and_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.lock");
        assert_ne!(is_locked(&path), Some(true), "no file");
        let lock = make_new(&path).unwrap();
        assert_ne!(is_locked(&path), Some(true));
        lock.try_lock().unwrap();
        assert_ne!(is_locked(&path), Some(false));
        drop(lock);
        let list = "1: FLOCK  ADVISORY  WRITE 708 00:1b:42 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 709 00:1b:43 0 EOF\n\
                    2: POSIX  ADVISORY  WRITE 710 00:1b:44 0 EOF\n";
        assert_eq!([42, 43, 44, 1].map(|inode| holds_lock(list, inode)), [true, false, false, false]);
    }

    #[test]
    fn what_stands_beside_an_sqlite_file_is_looked_at_too() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for beside in ["file.db-wal", "file.db-shm", "file.db-journal"] {
            for_sqlite(&at("file.db")).unwrap();
            assert!(Command::new("mkfifo").arg(at(beside)).status().unwrap().success());
            let why = for_sqlite(&at("file.db")).unwrap_err().to_string();
            assert!(why.contains(beside) && why.contains("a FIFO"), "{why}");
            fs::remove_file(at(beside)).unwrap();
        }
    }
}
