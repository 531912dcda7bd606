//! A capture that runs while the test goes on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::influxd::TOKEN;

/// A running capture; killed if the test ends before it does.
pub struct Capture {
    child: Child,
    folder: PathBuf,
}

/// Bytes of memory that a process had at once, at most, by Linux' own account; `None` once it has ended.
pub fn peak_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(kib.parse::<u64>().ok()? << 10)
}

impl Capture {
    /// Starts `tickflux capture` in `folder`.
    ///
    /// It logs into a file, which [`Capture::log`] reads.
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_in(folder, args, &[])
    }

    /// The same in this environment.
    pub fn start_in(folder: &Path, args: &[&str], environment: &[(String, String)]) -> Self {
        let env: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self::start_with(folder, args, &env, File::create(folder.join("stderr")).unwrap().into())
    }

    /// The same with more of an environment and another standard error.
    pub fn start_with(folder: &Path, args: &[&str], env: &[(&str, &str)], stderr: Stdio) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_tickflux")), folder, args, env, stderr)
    }

    /// Starts one that may have so many files open.
    pub fn start_with_few_files(folder: &Path, args: &[&str], files: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &files.to_string(), env!("CARGO_BIN_EXE_tickflux")]);
        Self::spawn(shell, folder, args, &[], File::create(folder.join("stderr")).unwrap().into())
    }

    /// Starts one that is to heed SIGHUP, whatever is said of it here.
    pub fn start_in_a_terminal(folder: &Path, args: &[&str]) -> Self {
        let mut env = Command::new("env");
        env.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_tickflux")]);
        Self::spawn(env, folder, args, &[], File::create(folder.join("stderr")).unwrap().into())
    }

    /// Starts one that is to ignore SIGHUP.
    pub fn start_as_nohup_does(folder: &Path, args: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap '' HUP; exec "$0" "$@""#, env!("CARGO_BIN_EXE_tickflux")]);
        Self::spawn(shell, folder, args, &[], File::create(folder.join("stderr")).unwrap().into())
    }

    fn spawn(mut command: Command, folder: &Path, args: &[&str], env: &[(&str, &str)], stderr: Stdio) -> Self {
        let child = command
            .arg("capture")
            .args(args)
            .current_dir(folder)
            .env_clear()
            .env("INFLUX_TOKEN", TOKEN)
            .envs(env.iter().copied())
            .stdout(File::create(folder.join("stdout")).unwrap())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, folder: folder.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Bytes of memory that it had at once, at most, by Linux' own account.
    pub fn peak_bytes(&self) -> u64 {
        peak_bytes(self.child.id()).unwrap()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal, as an operator would.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
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
        let read = |name| std::fs::read(self.folder.join(name)).unwrap_or_default();
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
