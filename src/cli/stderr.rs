//! Standard error: log lines, notices and the last line. Whoever does not read it stops nothing.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use indicatif::ProgressBar;
use tracing::Level;

use super::Failure;
use super::logs::{LogArgs, LogFormat, When};
use crate::telemetry::lines::LogLines;
use crate::text::one_line;

/// How long the end waits for who reads standard error.
const END_WAIT: Duration = Duration::from_secs(2);
/// Bytes of a notice, at most.
pub(super) const NOTICE_BYTES_MAX: usize = 2_000;
/// As long as nobody has said otherwise.
const SETTINGS: LogArgs = LogArgs { color: When::Auto, quiet: false, verbose: false, log_format: LogFormat::Text };

/// One for the process, as standard error is; none if the system gave no thread for it.
static LINES: LazyLock<Option<LogLines>> = LazyLock::new(|| LogLines::start(AroundStatus).ok());
static STATUS: OnceLock<ProgressBar> = OnceLock::new();
static SAID: OnceLock<LogArgs> = OnceLock::new();

/// From now on it looks so.
pub(super) fn set(settings: LogArgs) {
    // It is set once, before a command runs.
    let _ = SAID.set(settings);
}

/// How it is to look.
pub(super) fn settings() -> LogArgs {
    SAID.get().copied().unwrap_or(SETTINGS)
}

/// Where lines go; none if the system gave no thread for it.
pub(super) fn lines() -> Option<&'static LogLines> {
    LINES.as_ref()
}

/// From now on lines are written around this status line.
pub(super) fn write_around(status: ProgressBar) {
    // A second one, as in tests of one process, is not drawn around.
    let _ = STATUS.set(status);
}

/// Takes the status line off the screen; waits for a terminal that is stopped.
pub(super) fn clear_status() {
    STATUS.get().into_iter().for_each(ProgressBar::finish_and_clear);
}

/// Warns of something beside the answer.
pub(super) fn notice(text: impl Display) {
    say(Level::WARN, &text);
}

/// Tells something beside the answer, unless only warnings are wanted.
pub(super) fn inform(text: impl Display) {
    if !settings().quiet {
        say(Level::INFO, &text);
    }
}

fn say(level: Level, text: &dyn Display) {
    line(&settings().look().line(level, &one_line(text.to_string().trim(), NOTICE_BYTES_MAX)));
}

/// A line as it is.
pub(super) fn line(line: &str) {
    match &*LINES {
        Some(lines) => lines.push(line),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Writes the last line, and waits until all is written: two seconds at most.
pub(super) fn end(last: Option<&Failure>) {
    end_within(last, END_WAIT);
}

/// As [`end`], with another patience.
pub(super) fn end_within(last: Option<&Failure>, wait: Duration) {
    let last = last.map(|failure| settings().look().line(Level::ERROR, &failure.to_string()));
    match (&*LINES, last) {
        (Some(lines), last) => drop(lines.finish(last.as_deref(), wait)),
        (None, Some(last)) => line(&last),
        (None, None) => {}
    }
}

/// Writes to standard error with the status line out of the way.
struct AroundStatus;

impl Write for AroundStatus {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write(bytes);
        STATUS.get().map_or_else(write, |status| status.suspend(write))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
