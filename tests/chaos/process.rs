//! A capture that can be killed and whose disk can be refused.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::influxd::TOKEN;

/// Whether the disk takes what a process writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Works,
    /// Files take their first KiB only: no page of an outbox ends there.
    Refuses,
}

impl Disk {
    fn limit(self) -> &'static str {
        match self {
            Self::Works => "--fsize=unlimited:",
            Self::Refuses => "--fsize=1024:",
        }
    }
}

/// A running capture whose log is read all the time.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `tickflux capture` in `folder`.
    ///
    /// SIGXFSZ is ignored, so that a limit on the size of files makes writes fail instead of killing.
    pub(crate) fn start(folder: &Path, args: &[String], disk: Disk, environment: &[(String, String)]) -> Self {
        let script = "trap '' XFSZ; exec prlimit \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script, disk.limit(), env!("CARGO_BIN_EXE_tickflux"), "capture"])
            .args(args)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("INFLUX_TOKEN", TOKEN)
            .envs(environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, shared) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = shared.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, reader: Some(reader) }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// How often it logged this.
    pub(crate) fn said(&self, words: &str) -> usize {
        self.log.lock().unwrap().matches(words).count()
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it without a warning. Gives what it logged.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.end().1
    }

    /// Asks it to end. Gives its exit code and what it logged.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        self.end()
    }

    /// Waits for its end. Gives its exit code and what it logged.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        // The end of the pipe comes with the end of the process.
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (code, self.log())
    }

    /// From now on its disk is so.
    pub(crate) fn set_disk(&self, disk: Disk) {
        let pid = self.child.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, disk.limit()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
