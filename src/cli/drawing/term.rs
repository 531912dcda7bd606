//! Standard error as something to draw on.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;
use terminal_size::{Height, Width, terminal_size_of};

/// The size of a terminal that does not tell it.
const SIZE: (u16, u16) = (80, 24);

/// Columns of standard error's terminal.
pub(in crate::cli) fn width() -> u16 {
    terminal_size_of(io::stderr()).map_or(SIZE.0, |(Width(width), _)| width)
}

/// Standard error. What is drawn is written at once, and leaves the cursor at the begin of its line: behind its end, where
/// indicatif leaves it, a terminal's `^C` would begin another line, and the one above would never be cleared.
#[derive(Debug, Default)]
pub(super) struct Stderr(Mutex<String>);

impl Stderr {
    fn put(&self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_fmt(text).map_err(io::Error::other)
    }

    /// No code moves a cursor by nothing.
    fn move_by(&self, steps: usize, code: char) -> io::Result<()> {
        if steps == 0 { Ok(()) } else { self.put(format_args!("\x1b[{steps}{code}")) }
    }
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        width()
    }

    fn height(&self) -> u16 {
        terminal_size_of(io::stderr()).map_or(SIZE.1, |(_, Height(height))| height)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_by(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.put(format_args!("{s}\n"))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.put(format_args!("{s}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if text.is_empty() {
            return Ok(());
        }
        let mut stderr = io::stderr().lock();
        stderr.write_all(text.as_bytes())?;
        stderr.write_all(b"\r")
    }
}
