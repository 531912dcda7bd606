//! A terminal of any size with a shell in it, whose screen can be read: tmux, with a server of its own.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::left_out;
use super::process::wait_until;

/// What the shell prints when it waits for a command, with the command's number behind it.
const PROMPT: &str = "ready";

/// A terminal; ends with all that runs in it when dropped.
pub struct Terminal {
    /// tmux' own folder, with its socket.
    server: tempfile::TempDir,
    folder: PathBuf,
    /// Commands that were given.
    commands: Cell<usize>,
}

impl Terminal {
    /// A shell in `folder` on a terminal of so many columns and lines, with these variables and nothing else of the
    /// caller's; `None`, said so, without tmux.
    pub fn start(folder: &Path, columns: u16, lines: u16, env: &[(&str, &str)]) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            left_out("needs tmux (Debian: apt-get install tmux)");
            return None;
        }
        let terminal = Self { server: tempfile::tempdir().unwrap(), folder: folder.to_owned(), commands: Cell::new(0) };
        let mut command = terminal.command(&["new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &lines.to_string()]);
        command.args(env.iter().flat_map(|(name, value)| ["-e".to_owned(), format!("{name}={value}")]));
        // Root's shell takes no prompt from its environment, but from the file that ENV names.
        let profile = terminal.server.path().join("profile");
        std::fs::write(&profile, format!("N=0\nPS1='{PROMPT}$((N=N+1)) '\n")).unwrap();
        let started = command.args(["-e", &format!("ENV={}", profile.display()), "sh"]).output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        wait_until("the shell is ready", || terminal.screen()[0] == terminal.prompt());
        Some(terminal)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", "test", "-f", "/dev/null"]).args(args).current_dir(&self.folder).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
        command.env("TMUX_TMPDIR", self.server.path());
        command
    }

    /// Runs a command of tmux.
    pub fn tmux(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        assert!(status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// The lines that are on the screen.
    pub fn screen(&self) -> Vec<String> {
        self.tmux(&["capture-pane", "-p"]).lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The screen with the escape sequences of its colors.
    pub fn colors(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the screen is so, and gives it.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut screen = Vec::new();
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, || {
                screen = self.screen();
                last = screen.join("\n");
                is_so(&screen)
            });
        }));
        assert!(seen.is_ok(), "not so: {what}:\n{last}");
        screen
    }

    /// Types keys as tmux names them: `q`, `Escape`, `C-c`, `Enter`.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Types a command and Enter.
    pub fn run(&self, command: &str) {
        self.tmux(&["send-keys", "-l", command]);
        self.enter();
    }

    /// Gives the command that was typed.
    pub fn enter(&self) {
        self.commands.set(self.commands.get() + 1);
        self.press("Enter");
    }

    fn prompt(&self) -> String {
        format!("{PROMPT}{}", self.commands.get() + 1)
    }

    /// Waits until the shell waits for a command again, and gives the screen without what is behind its last line.
    pub fn wait_for_prompt(&self) -> Vec<String> {
        let last = |screen: &[String]| screen.iter().rposition(|line| !line.is_empty());
        let mut screen =
            self.wait_for("the shell is back", |screen| last(screen).is_some_and(|last| screen[last] == self.prompt()));
        screen.truncate(last(&screen).unwrap() + 1);
        screen
    }

    /// What a command prints in the shell, in one line.
    pub fn ask(&self, command: &str) -> String {
        self.run(&format!("clear; {command}"));
        let screen = self.wait_for_prompt();
        screen[..screen.len() - 1].join(" ")
    }

    /// Makes it so wide and high.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// What the program writes from now on goes into this file, too.
    pub fn tee(&self, file: &str) {
        self.tmux(&["pipe-pane", "-o", &format!("cat > {file}")]);
    }

    /// Whether the program has the alternate screen, and the cursor is shown.
    pub fn flags(&self) -> String {
        self.tmux(&["display-message", "-p", "alternate #{alternate_on} cursor #{cursor_flag}"]).trim().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}
