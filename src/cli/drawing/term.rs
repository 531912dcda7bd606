//! Standard error as something to draw on.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;
use terminal_size::{Height, Width, terminal_size_of};

/// The size of a terminal that does not tell it.
const SIZE: (u16, u16) = (80, 24);
/// Back to where the drawing begins, and nothing from there on.
const CLEAR: &str = "\r\x1b[J";
/// What does not fit into a line is cut, or goes on in the next one.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// Columns of standard error's terminal.
pub(in crate::cli) fn width() -> u16 {
    terminal_size_of(io::stderr()).map_or(SIZE.0, |(Width(width), _)| width)
}

/// Standard error. Whatever a drawing does to the one before is passed over: it is cleared as a whole, for a terminal that was
/// made narrower has broken its lines into more than were written. So the cursor is left at its begin, from where all of it
/// can be cleared however many lines it takes, and where a terminal's `^C` is in it.
#[derive(Debug, Default)]
pub(super) struct Stderr(Mutex<Frame>);

impl Stderr {
    fn frame<T>(&self, act: impl FnOnce(&mut Frame) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        width()
    }

    fn height(&self) -> u16 {
        terminal_size_of(io::stderr()).map_or(SIZE.1, |(_, Height(height))| height)
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.write_str(s)?;
        self.write_str("")
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.frame(|frame| frame.put(s));
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        // Written at once: what is written piece by piece flickers.
        self.frame(Frame::drawn).map_or(Ok(()), |drawn| io::stderr().lock().write_all(drawn.as_bytes()))
    }
}

/// What is to be drawn, and whether something is.
#[derive(Debug, Default)]
struct Frame {
    lines: Vec<String>,
    /// The next text begins a line.
    is_ended: bool,
    is_drawn: bool,
}

impl Frame {
    /// Takes a text, or the blanks behind the last one of a line: indicatif fills lines up.
    fn put(&mut self, text: &str) {
        if text.trim_start_matches(' ').is_empty() {
            self.is_ended = true;
            return;
        }
        match self.lines.last_mut().filter(|_| !self.is_ended) {
            Some(line) => line.push_str(text),
            None => self.lines.push(text.to_owned()),
        }
        self.is_ended = false;
    }

    /// What draws it in the place of the last one; `None` where there is neither.
    fn drawn(&mut self) -> Option<String> {
        let lines = std::mem::take(&mut self.lines);
        let was_drawn = std::mem::replace(&mut self.is_drawn, !lines.is_empty());
        let back = match lines.len() {
            0 => return was_drawn.then(|| CLEAR.to_owned()),
            1 => String::new(),
            // No code moves a cursor by nothing.
            more => format!("\x1b[{}A", more - 1),
        };
        Some(format!("{CLEAR}{CUT}{}{WRAP}\r{back}", lines.join("\r\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_begins_where_the_last_one_did_and_leaves_the_cursor_there() {
        let mut frame = Frame::default();
        assert_eq!(frame.drawn(), None, "nothing was drawn");
        for text in ["⠤ status", "     ", "  bar", ""] {
            frame.put(text);
        }
        let drawn = format!("\r\x1b[J{CUT}⠤ status\r\n  bar{WRAP}\r\x1b[1A");
        assert_eq!(frame.drawn(), Some(drawn));
        frame.put("⠤ status");
        frame.put("");
        assert_eq!(frame.drawn(), Some(format!("\r\x1b[J{CUT}⠤ status{WRAP}\r")));
        assert_eq!(frame.drawn(), Some(CLEAR.to_owned()));
        assert_eq!(frame.drawn(), None, "it is cleared once");
    }
}
