//! What is drawn below the log lines again and again, on a terminal only: the status line of a capture, and bars with rate
//! and time left.
//!
//! A thread of its own draws it: a terminal that is stopped (Ctrl-S) stops that thread alone.

mod term;

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use self::term::Stderr;
pub(super) use self::term::width;
use super::stderr;

/// How often it is drawn.
pub(super) const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How long the end waits for a terminal that is stopped.
const END_WAIT: Duration = Duration::from_millis(500);

/// Something that is being drawn; cleared when it ends.
#[derive(Debug)]
pub(super) struct Drawing {
    end: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Drawing {
    /// Draws `bar` on standard error, if that is a terminal; `draw` sets it to what it shows now.
    pub(super) fn start(bar: ProgressBar, mut draw: impl FnMut(&ProgressBar) + Send + 'static) -> Self {
        let (end, to_end) = mpsc::channel();
        let (has_ended, ended) = mpsc::channel();
        if is_drawn_on() {
            bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(Stderr::default())));
            stderr::write_around(bar.clone());
            // Without a thread nothing is drawn.
            let _ = thread::Builder::new().name("status".to_owned()).spawn(move || {
                while to_end.recv_timeout(DRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                    draw(&bar);
                    bar.tick();
                }
                bar.finish_and_clear();
                drop(has_ended);
            });
        }
        Self { end, ended }
    }

    /// Clears it; waits half a second for that at most.
    pub(super) fn end(self) {
        drop(self.end);
        // Nothing is ever sent: the other side is gone once it is cleared.
        let _ = self.ended.recv_timeout(END_WAIT);
    }
}

/// Whether standard error is a terminal that can move its cursor.
fn is_drawn_on() -> bool {
    !stderr::settings().quiet && io::stderr().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Clears whatever is drawn, for a program that ends at once; waits so long at most.
pub(super) fn clear(wait: Duration) {
    let (has_cleared, cleared) = mpsc::channel::<()>();
    let clear = move || {
        stderr::clear_status();
        drop(has_cleared);
    };
    if thread::Builder::new().name("clear".to_owned()).spawn(clear).is_ok() {
        let _ = cleared.recv_timeout(wait);
    }
}

/// A bar of how many of `all` are done, with rate and time left.
pub(super) fn bar(what: &'static str, all: u64, done: impl Fn() -> u64 + Send + 'static) -> Drawing {
    let bar = ProgressBar::new(all);
    bar.set_style(style(&format!("{{wide_bar}} {}", counts(what))));
    Drawing::start(bar, move |bar| bar.set_position(done().min(all)))
}

/// How far a bar is, how fast, and how long it will take.
pub(super) fn counts(what: &str) -> String {
    format!("{{human_pos}}/{{human_len}} {what}, {{whole_rate}}/s, {{eta}} left")
}

/// A style of our own making.
pub(super) fn style(template: &str) -> ProgressStyle {
    // Its own rate has four digits behind the point.
    let rate = |state: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = write!(to, "{}", HumanCount(state.per_sec() as u64));
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("whole_rate", rate)
}
