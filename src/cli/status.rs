//! The status line of a capture, on a terminal only.
//!
//! A thread of its own draws it: a terminal that is stopped (Ctrl-S) stops that thread alone.

use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::watch;

use super::stderr;
use crate::capture::settings::Progress;

const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Drawings over which the rate is told: three seconds.
const DRAWINGS: usize = 16;
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
        if !bar.is_hidden() && !stderr::settings().quiet {
            stderr::write_around(bar.clone());
            // Without a thread there is no status line.
            let _ = thread::Builder::new().name("status".to_owned()).spawn(move || {
                let mut rate = Rate::default();
                while to_end.recv_timeout(DRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                    // Not while the value is borrowed: drawing may take for ever, and the capture would wait.
                    let now = progress.borrow().clone();
                    bar.set_message(words(&now, rate.of(now.trades)));
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

/// How many trades a second were stored, over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    /// What had been stored, at each drawing.
    stored: VecDeque<u64>,
}

impl Rate {
    /// Takes what is stored by now. Gives trades a second.
    fn of(&mut self, stored: u64) -> u64 {
        self.stored.push_back(stored);
        if self.stored.len() > DRAWINGS {
            self.stored.pop_front();
        }
        let first = self.stored.front().map_or(stored, |first| *first);
        let drawings = u64::try_from(self.stored.len() - 1).unwrap_or(u64::MAX);
        let millis = u64::try_from(DRAW_EVERY.as_millis()).unwrap_or(u64::MAX).saturating_mul(drawings);
        stored.saturating_sub(first).saturating_mul(1_000).checked_div(millis).unwrap_or(0)
    }
}

fn words(now: &Progress, rate: u64) -> String {
    let Progress { trades, waiting, open_holes, connections } = now;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    format!(
        "{trades} trades stored, {rate}/s, {waiting} waiting, {open_holes} open hole{}, {connections} connection{}",
        plural(*open_holes),
        plural(*connections)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_fast_and_counts_one_as_one() {
        let mut rate = Rate::default();
        let drawn: Vec<_> = (0..40).map(|at| rate.of(at * 20)).collect();
        assert_eq!((drawn[0], drawn[1], drawn[39]), (0, 100, 100));
        let stopped: Vec<_> = (0..40).map(|_| rate.of(780)).collect();
        assert_eq!(stopped[39], 0);
        let now = Progress { trades: 7, waiting: 0, open_holes: 1, connections: 1 };
        assert_eq!(words(&now, 5), "7 trades stored, 5/s, 0 waiting, 1 open hole, 1 connection");
        let now = Progress { trades: 7, waiting: 2, open_holes: 0, connections: 2 };
        assert_eq!(words(&now, 5), "7 trades stored, 5/s, 2 waiting, 0 open holes, 2 connections");
    }
}
