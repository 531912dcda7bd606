//! A capture that runs while the test goes on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::influxd::TOKEN;

/// A running capture; killed if the test ends before it does.
pub struct Capture {
    child: Child,
    folder: PathBuf,
}

impl Capture {
    /// Starts `tickflux capture` in `folder`.
    ///
    /// It logs into a file: nobody reads a pipe while it runs, and a full pipe would stop it.
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_in(folder, args, &[])
    }

    /// The same in this environment.
    pub fn start_in(folder: &Path, args: &[&str], environment: &[(String, String)]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_tickflux"))
            .arg("capture")
            .args(args)
            .current_dir(folder)
            .env_clear()
            .env("INFLUX_TOKEN", TOKEN)
            .envs(environment.iter().cloned())
            .stdout(File::create(folder.join("stdout")).unwrap())
            .stderr(File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { child, folder: folder.to_owned() }
    }

    /// Sends a signal, as an operator would.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        String::from_utf8(std::fs::read(self.folder.join("stderr")).unwrap()).unwrap()
    }

    /// Ends it without a warning.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, and gives what it printed.
    pub fn wait(mut self) -> Output {
        let status = self.child.wait().unwrap();
        let read = |name| std::fs::read(self.folder.join(name)).unwrap();
        Output { status, stdout: read("stdout"), stderr: read("stderr") }
    }

    /// Asks for its end, and gives what it printed.
    pub fn stop(self) -> Output {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition, two minutes at most.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within two minutes: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
