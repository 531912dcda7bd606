//! One capture hands its outbox to the next, so that a program is replaced without a hole (P1).
//!
//! The next one opens its streams first and waits for the outbox's lock; what it reads meanwhile stays in memory. Once it
//! reads every symbol it asks for the outbox: by a file beside the lock, which it holds locked for as long as it waits, so
//! that nobody who is gone asks for anything. The one that has the outbox sees it, ends as at a signal, and has stored what it
//! read before it lets go.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tokio::sync::watch;

use crate::files;
use crate::outbox::{Opened, OutboxError, Target, target};

/// Between looking whether somebody asks, or has let go.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// An outbox that was opened, and how long another capture was waited for.
#[derive(Debug)]
pub struct Got {
    /// The outbox.
    pub opened: Opened,
    /// Nothing, if no other capture had it.
    pub waited: Option<Duration>,
}

/// Opens the outbox of `target` in `folder`. Where another capture has it, it is waited for if there is an `overlap`, and asked
/// for once that says that every symbol is read. Blocks; gives up when the sender of `overlap` is gone.
///
/// # Errors
///
/// [`OutboxError`], as of [`target::open`].
pub fn open(
    folder: &Path,
    target: &Target,
    trades_max: usize,
    overlap: Option<&watch::Receiver<bool>>,
) -> Result<Got, OutboxError> {
    let mut begin = None;
    let mut request = None;
    loop {
        let locked = match (target::open(folder, target, trades_max), overlap) {
            (Err(OutboxError::Locked { path }), Some(overlap)) if overlap.has_changed().is_ok() => (path, overlap),
            (opened, _) => {
                let waited = begin.map(|begin: Instant| begin.elapsed());
                return opened.map(|opened| Got { opened, waited });
            }
        };
        let (path, overlap) = locked;
        begin.get_or_insert_with(Instant::now);
        if request.is_none() && *overlap.borrow() {
            request = Request::make(&path)?;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Ends when another capture asks for the outbox at `path`.
///
/// # Cancel safety
///
/// Safe: nothing is taken.
pub async fn asked(path: PathBuf) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let path = path.clone();
        // A disk may take its time. What cannot be looked at is no request.
        if tokio::task::spawn_blocking(move || is_asked(&path)).await.unwrap_or(false) {
            return;
        }
    }
}

/// Whether somebody waits for the outbox at `path` now.
fn is_asked(path: &Path) -> bool {
    let path = request_path(path);
    let is_there = path.symlink_metadata().is_ok();
    is_there
        && files::open_or_make(&path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn request_path(outbox: &Path) -> PathBuf {
    outbox.with_extension("take-over")
}

/// Asks for an outbox for as long as it is there.
struct Request {
    path: PathBuf,
    _locked: File,
}

impl Request {
    /// None, if another one asks already or somebody looks this moment.
    fn make(outbox: &Path) -> Result<Option<Self>, OutboxError> {
        let path = request_path(outbox);
        let failed = |source| OutboxError::Folder { path: path.clone(), source };
        let file = files::open_or_make(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, _locked: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // One that stays asks for nothing: nobody has it locked.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waits_asks() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("store.db");
        assert!(!is_asked(&outbox));
        let request = Request::make(&outbox).unwrap().unwrap();
        assert!(is_asked(&outbox) && Request::make(&outbox).unwrap().is_none());
        drop(request);
        assert!(!is_asked(&outbox));
        // What a killed one leaves.
        fs::write(request_path(&outbox), "").unwrap();
        assert!(!is_asked(&outbox));
    }
}
