//! The status line of a capture, on a terminal only.
//!
//! A thread of its own draws it: a terminal that is stopped (Ctrl-S) stops that thread alone.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::watch;

use super::stderr;
use crate::capture::settings::Progress;

const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How long the end waits for a terminal that is stopped.
const END_WAIT: Duration = Duration::from_millis(500);

/// A status line that is being drawn; cleared when it ends.
pub(super) struct StatusLine {
    end: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl StatusLine {
    /// Draws what `progress` says.
    pub(super) fn start(progress: watch::Receiver<Progress>) -> Self {
        let (end, to_end) = mpsc::channel();
        let (has_ended, ended) = mpsc::channel();
        let bar = ProgressBar::new_spinner();
        if !bar.is_hidden() {
            stderr::write_around(bar.clone());
            // Without a thread there is no status line.
            let _ = thread::Builder::new().name("status".to_owned()).spawn(move || {
                while to_end.recv_timeout(DRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                    // Not while the value is borrowed: drawing may take for ever, and the capture would wait.
                    let line = words(&progress.borrow());
                    bar.set_message(line);
                    bar.tick();
                }
                bar.finish_and_clear();
                drop(has_ended);
            });
        }
        Self { end, ended }
    }

    /// Clears the line; waits half a second for it at most.
    pub(super) fn end(self) {
        drop(self.end);
        // Nothing is ever sent: the other side is gone once it is cleared.
        let _ = self.ended.recv_timeout(END_WAIT);
    }
}

fn words(now: &Progress) -> String {
    format!(
        "{} trades stored, {} waiting, {} holes, {} connections",
        now.trades, now.waiting, now.holes, now.connections
    )
}
