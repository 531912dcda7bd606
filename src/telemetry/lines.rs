//! Lines that nobody waits for: a thread of their own writes them.
//!
//! Whoever reads standard error may stop reading: a full pipe, a terminal after Ctrl-S. Then that thread stands still
//! and nothing else does. Lines wait for it up to [`WAITING_BYTES_MAX`]; those past it are dropped and counted, and
//! once somebody reads again a line says how many.
//!
//! `tracing-appender` bounds lines, not bytes, says nothing in their place, and at the end of a stalled program prints to
//! standard output, whose last line is the summary.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};

use crate::text::{escape, is_unprintable};

/// Bytes of lines that wait for their reader, at most; as many are being written.
pub const WAITING_BYTES_MAX: usize = 1 << 20;
/// A longer line is cut.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Before writing again to a file that is not ready, as a terminal may be that another program made non-blocking.
const NOT_READY_PAUSE: Duration = Duration::from_millis(20);

/// One for the process, as standard error is.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines of this process that were dropped because nobody read them.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The lines on their way to one file.
#[derive(Debug, Clone)]
pub struct LogLines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something waits, or nothing waits any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Waiting,
    is_writing: bool,
}

/// Lines, with a gap in them where some were dropped.
#[derive(Debug, Default)]
struct Waiting {
    before: String,
    dropped: u64,
    after: String,
}

impl LogLines {
    /// Lines to `out`, which may block for as long as it likes.
    ///
    /// # Errors
    ///
    /// If there can be no more threads.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("stderr".to_owned()).spawn(move || of_thread.run(out))?;
        Ok(Self(shared))
    }

    /// A line, with or without its line feed; never waits.
    pub fn push(&self, line: &str) {
        self.0.push(line, WAITING_BYTES_MAX);
    }

    /// A line that may not be dropped, behind all others; then waits until everything is written, `wait` at most.
    /// Says whether it is.
    pub fn finish(&self, last: Option<&str>, wait: Duration) -> bool {
        if let Some(line) = last {
            self.0.push(line, usize::MAX);
        }
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), wait, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// A line at a time, as `tracing-subscriber` writes them.
impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &str, bytes_max: usize) {
        let line = tidy(line.strip_suffix('\n').unwrap_or(line));
        self.lock().waiting.push(&line, bytes_max);
        self.changed.notify_all();
    }

    /// Writes what comes, for as long as the program runs.
    fn run(&self, mut out: impl Write) {
        loop {
            let waited = self.changed.wait_while(self.lock(), |state| state.waiting.is_empty());
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            let Waiting { before, dropped, after } = std::mem::take(&mut state.waiting);
            state.is_writing = true;
            drop(state);
            let mut lines = before;
            if dropped > 0 {
                lines += &told(dropped);
            }
            lines += &after;
            let unwritten = write(&mut out, lines.as_bytes());
            let mut state = self.lock();
            state.is_writing = false;
            if !unwritten.is_empty() {
                let lost = unwritten.iter().filter(|byte| **byte == b'\n').count() as u64;
                if dropped > 0 && unwritten.len() > after.len() {
                    // It is to be told again, and the line that told it was none of those.
                    state.waiting.dropped += dropped;
                    state.waiting.drop_lines(lost - 1);
                } else {
                    state.waiting.drop_lines(lost);
                }
            }
            self.changed.notify_all();
        }
    }
}

impl Waiting {
    /// Whether there is anything to write; that lines were dropped is told with the next one.
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    fn push(&mut self, line: &str, bytes_max: usize) {
        if self.before.len() + self.after.len() + line.len() >= bytes_max {
            return self.drop_lines(1);
        }
        let lines = if self.dropped == 0 { &mut self.before } else { &mut self.after };
        lines.push_str(line);
        lines.push('\n');
    }

    fn drop_lines(&mut self, lines: u64) {
        self.dropped += lines;
        DROPPED.fetch_add(lines, Ordering::Relaxed);
    }
}

/// As a log line: it stands where the dropped ones would.
fn told(dropped: u64) -> String {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let lines = if dropped == 1 { "line was" } else { "lines were" };
    format!("{now}  WARN {dropped} log {lines} dropped because nobody read them.\n")
}

/// The last guard of a terminal. Escapes stay: `tracing-subscriber` escapes those of values, the others are its colours.
fn tidy(line: &str) -> Cow<'_, str> {
    let is_escaped = |c| c != '\u{1b}' && is_unprintable(c);
    if line.len() <= LINE_BYTES_MAX && !line.chars().any(is_escaped) {
        return Cow::Borrowed(line);
    }
    Cow::Owned(escape(line, LINE_BYTES_MAX, is_escaped))
}

/// Gives what could not be written.
fn write<'a>(out: &mut impl Write, mut bytes: &'a [u8]) -> &'a [u8] {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => break,
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(NOT_READY_PAUSE),
            Err(_) => break,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(120);

    /// Writes what the test lets through: each write waits for a permit, and is then what the test is given.
    struct Reader {
        permits: mpsc::Receiver<io::Result<()>>,
        written: mpsc::Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().unwrap_or(Ok(()))?;
            self.written.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stalled() -> (LogLines, mpsc::Sender<io::Result<()>>, mpsc::Receiver<String>) {
        let (permit, permits) = mpsc::channel();
        let (written, reads) = mpsc::channel();
        (LogLines::start(Reader { permits, written }).unwrap(), permit, reads)
    }

    /// Its writer stands in the middle of a line: what is pushed next waits.
    fn occupied(lines: &LogLines) {
        lines.push("first");
        while !lines.0.lock().is_writing {
            thread::yield_now();
        }
    }

    #[test]
    fn lines_come_in_order_and_the_last_one_is_waited_for() {
        let (lines, permit, reads) = stalled();
        drop(permit);
        for number in 0..1_000 {
            lines.push(&format!("line {number}\n"));
        }
        assert!(lines.finish(Some("the end"), LONG));
        let all: String = reads.try_iter().collect();
        let expected: String = (0..1_000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(all, expected + "the end\n");
    }

    #[test]
    fn a_stalled_reader_costs_lines_and_is_told_how_many() {
        let (lines, permit, reads) = stalled();
        occupied(&lines);
        let line = "x".repeat(1_023);
        let before = dropped();
        (0..1_500).for_each(|_| lines.push(&line));
        // With their line feeds 1,024 of them fit; other tests may drop lines, too.
        assert!(dropped() - before >= 476);
        assert!(!lines.finish(None, Duration::from_millis(1)), "nobody reads");
        drop(permit);
        assert!(lines.finish(Some("the end"), LONG));
        let all: String = reads.try_iter().collect();
        assert!(all.len() < 2 * WAITING_BYTES_MAX + 1_000, "{}", all.len());
        let others: Vec<_> = all.lines().filter(|found| *found != line && *found != "first").collect();
        let [told, end] = others[..] else { panic!("{others:?}") };
        assert!(told.ends_with(" WARN 476 log lines were dropped because nobody read them."), "{told}");
        assert_eq!(end, "the end", "even into a full buffer");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_once_it_can() {
        let (lines, permit, reads) = stalled();
        permit.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        permit.send(Err(io::ErrorKind::Interrupted.into())).unwrap();
        permit.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        let before = dropped();
        lines.push("one");
        assert!(lines.finish(None, LONG));
        lines.push("two");
        assert!(lines.finish(None, LONG));
        assert!(dropped() - before >= 2);
        drop(permit);
        assert!(lines.finish(Some("three"), LONG));
        let all: String = reads.try_iter().collect();
        let [told, three] = all.lines().collect::<Vec<_>>()[..] else { panic!("{all}") };
        assert!(three == "three" && told.contains(" WARN 2 log lines were dropped"), "{all}");
    }

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        assert_eq!(tidy("a\tb\r\nforged\u{202e}"), "a\\tb\\r\\nforged\\u{202e}");
        assert_eq!(tidy("\u{1b}[32m INFO\u{1b}[0m well"), "\u{1b}[32m INFO\u{1b}[0m well");
        assert!(tidy(&"x".repeat(1 << 20)).len() < LINE_BYTES_MAX + 40);
    }
}
