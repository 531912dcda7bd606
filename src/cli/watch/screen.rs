//! The terminal: the alternate screen while something is shown, and the one that was there before at any end.

use std::io::{self, BufWriter};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use tokio::sync::watch;

use super::model::{Key, Model, Said};
use super::view::{self, Palette};
use crate::trade::TradeTime;

/// How often it is drawn while nobody types; only what changed is written.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// A frame is written at once: what is written piece by piece flickers.
const FRAME_BYTES: usize = 64 << 10;

/// Whether the terminal is ours: it is given back once.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Shows the model and what is heard, until somebody types `q` or `stop` says so. Blocks; to be called on a thread of its own.
///
/// # Errors
///
/// If the terminal cannot be used, or has gone.
pub(super) fn show(
    mut model: Model,
    heard: &Receiver<Said>,
    stop: &watch::Receiver<bool>,
    clock: fn() -> TradeTime,
    palette: Palette,
) -> io::Result<()> {
    let _restored = Taken::take()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout())))?;
    loop {
        if !IS_TAKEN.load(Ordering::SeqCst) {
            return Err(io::Error::other("a part of the program broke"));
        }
        loop {
            match heard.try_recv() {
                Ok(said) => model.hear(said, clock()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("nobody asks any more")),
            }
        }
        terminal.draw(|frame| view::draw(frame, &model, clock(), palette))?;
        // All keys that wait: a wheel that is turned sends a hundred.
        let mut wait = DRAW_EVERY;
        while !*stop.borrow() && event::poll(wait)? {
            match event::read()? {
                Event::Key(key) if ends(&key) => return Ok(()),
                Event::Key(key) => moves(&key).into_iter().for_each(|key| model.press(key)),
                _ => {}
            }
            wait = Duration::ZERO;
        }
        if *stop.borrow() {
            return Ok(());
        }
    }
}

fn ends(key: &KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
            KeyCode::Char('c' | 'd') => is_control,
            _ => false,
        }
}

fn moves(key: &KeyEvent) -> Option<Key> {
    match key.code {
        _ if key.kind == KeyEventKind::Release => None,
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        _ => None,
    }
}

/// The terminal is ours; dropped, it is as it was.
struct Taken;

impl Taken {
    fn take() -> io::Result<Self> {
        let before = panic::take_hook();
        // What a panic says, on whatever thread, would be gone with the screen.
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back; it may be gone.
pub(super) fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail so")]

    use std::env;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::thread;

    use nix::pty::{OpenptyResult, Winsize, openpty};
    use nix::sys::termios::{LocalFlags, tcgetattr};

    use super::*;
    use crate::cli::settings::now;

    /// Names the thread that is to break, in the process that a test starts on a terminal of its own.
    const BREAKS: &str = "TICKFLUX_TEST_BREAKS";

    fn key(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
        KeyEvent::new(code, modifiers)
    }

    #[test]
    fn q_escape_and_control_c_end_it() {
        for (code, modifiers) in [
            (KeyCode::Char('q'), KeyModifiers::NONE),
            (KeyCode::Char('Q'), KeyModifiers::SHIFT),
            (KeyCode::Esc, KeyModifiers::NONE),
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
        ] {
            assert!(ends(&key(code, modifiers)), "{code:?}");
        }
        assert!(!ends(&key(KeyCode::Char('c'), KeyModifiers::NONE)) && !ends(&key(KeyCode::Down, KeyModifiers::NONE)));
        assert_eq!(moves(&key(KeyCode::PageDown, KeyModifiers::NONE)), Some(Key::PageDown));
        assert_eq!(moves(&key(KeyCode::Char('x'), KeyModifiers::NONE)), None);
    }

    fn show_until(clock: fn() -> TradeTime) -> io::Result<()> {
        let (_tell, heard) = mpsc::channel();
        let (_stop, stopped) = watch::channel(false);
        show(Model::default(), &heard, &stopped, clock, Palette::new(false))
    }

    /// Runs on the terminal; does nothing otherwise.
    #[test]
    fn what_breaks() {
        let Ok(breaks) = env::var(BREAKS) else { return };
        if breaks == "the drawing" {
            let _ = show_until(|| {
                let settings = tcgetattr(io::stdin()).unwrap();
                let _ = write!(io::stdout(), "raw: {}", !settings.local_flags.contains(LocalFlags::ICANON));
                panic!("the drawing broke")
            });
        } else {
            let shown = thread::spawn(|| show_until(now));
            while !IS_TAKEN.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            assert!(thread::spawn(|| panic!("another thread broke")).join().is_err());
            assert!(shown.join().unwrap().is_err());
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        for breaks in ["the drawing", "another thread"] {
            let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
            let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
            let before = tcgetattr(&slave).unwrap();
            let end = || Stdio::from(slave.try_clone().unwrap());
            let child = Command::new(env::current_exe().unwrap())
                .args(["--exact", "cli::watch::screen::tests::what_breaks", "--nocapture"])
                .env(BREAKS, breaks)
                .stdin(end())
                .stdout(end())
                .stderr(end())
                .spawn();
            // Read as it comes, or the child would wait; the end of a terminal is an error.
            let read = thread::spawn(move || {
                let mut written = Vec::new();
                let _ = File::from(master).read_to_end(&mut written);
                String::from_utf8(written).unwrap()
            });
            child.unwrap().wait().unwrap();
            assert_eq!(tcgetattr(&slave).unwrap(), before, "{breaks}");
            drop(slave);
            let written = read.join().unwrap();
            let at = |text: &str| written.find(text).unwrap_or_else(|| panic!("{breaks}: no {text:?} in {written:?}"));
            let (taken, given, told) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"), at(&format!("{breaks} broke")));
            assert!(taken < given && given < told, "{written:?}");
            assert!(at("\u{1b}[?25l") < at("\u{1b}[?25h"), "the cursor is shown again: {written:?}");
            assert!(breaks == "another thread" || at("raw: true") > 0, "{written:?}");
            assert_eq!(written.matches("\u{1b}[?1049l").count(), 1, "{written:?}");
        }
    }
}
