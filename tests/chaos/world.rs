//! Exchange, stream, capture, proxy and InfluxDB of one run, and what can be done to them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tickflux::practice::Running;
use tickflux::practice::faults::Faults;

use super::plan::Action;
use crate::support::influxd::{Influxd, TOKEN};
use crate::support::practice;
use crate::support::process::wait_until;
use crate::support::proxy::{Mode, Proxy};
use crate::support::server::Gate;
use crate::support::trades::{exchanges_list, influx_ids, influx_trades};

pub(crate) const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// A running capture whose log is read all the time.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// SIGXFSZ is ignored, so that a limit on the size of files makes writes fail instead of killing.
    fn start(folder: &Path, args: &[String]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tickflux"), "capture"])
            .args(args)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("INFLUX_TOKEN", TOKEN)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, shared) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = shared.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end; gives its exit code.
    fn stop(&mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Lets files grow to 1 KiB only, or without a limit.
    fn limit_files(&self, is_limited: bool) {
        let limit = if is_limited { "--fsize=1024:" } else { "--fsize=unlimited:" };
        let done = Command::new("prlimit").args(["--pid", &self.child.id().to_string(), limit]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run's world.
pub(crate) struct World {
    _runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    exchange: Running,
    stream_gate: Gate,
    influxd: Influxd,
    proxy: Proxy,
    captures: Vec<Process>,
    logs: Vec<String>,
    /// The lowest stored id of each symbol, before anything went wrong.
    first: [u64; 2],
}

impl World {
    /// With as many captures into one bucket; `None` without an influxd.
    pub(crate) fn start(seed: u64, captures: usize) -> Option<Self> {
        let influxd = Influxd::start()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults {
            seed,
            drop: 0.005,
            duplicate: 0.01,
            reorder: 0.01,
            malformed: 0.001,
            cut_every: Some(Duration::from_secs(4)),
            rest_lag: Duration::from_millis(300),
            rest_short: 0.05,
            rest_shifted: 0.05,
            rest_status: [0.02, 0.0, 0.05, 0.0],
            ..Faults::default()
        };
        let exchange = runtime.block_on(practice::start_with(practice::live_market(seed, 1_500.0), faults));
        let stream_gate = Gate::closed(&format!("http://{}", exchange.address()));
        stream_gate.open();
        let proxy = Proxy::start(&influxd.url);
        let mut world = Self {
            _runtime: runtime,
            folder,
            exchange,
            stream_gate,
            influxd,
            proxy,
            captures: Vec::new(),
            logs: Vec::new(),
            first: [0; 2],
        };
        (0..captures).for_each(|at| world.start_capture(at));
        let first = |ids: &BTreeSet<(String, u64)>| {
            SYMBOLS.map(|symbol| ids.iter().find(|(name, _)| name == symbol).map_or(0, |(_, id)| *id))
        };
        wait_until("something of each symbol is stored", || {
            world.first = first(&influx_ids(&world.influxd));
            !world.first.contains(&0)
        });
        Some(world)
    }

    fn start_capture(&mut self, at: usize) {
        let args = [
            ("--store", self.proxy.url()),
            ("--stream-url", self.stream_gate.url().replace("http", "ws")),
            ("--rest-url", format!("http://{}", self.exchange.address())),
            ("--outbox", format!("outbox-{at}")),
        ];
        let args: Vec<_> = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        self.captures.insert(at, Process::start(self.folder.path(), &args));
    }

    fn kill_capture(&mut self, at: usize) {
        let mut capture = self.captures.remove(at);
        capture.kill();
        self.logs.push(format!("--- killed: capture {at}\n{}", capture.log()));
    }

    /// Lets `action` happen to the capture number `at`, and mends what it broke.
    pub(crate) fn act(&mut self, action: Action, at: usize) {
        match action {
            Action::KillCapture(down) => {
                self.kill_capture(at);
                std::thread::sleep(down);
                self.start_capture(at);
            }
            Action::StopCapture => {
                let mut capture = self.captures.remove(at);
                capture.stop();
                self.logs.push(format!("--- stopped: capture {at}\n{}", capture.log()));
                self.start_capture(at);
            }
            Action::KillInfluxd(down) => {
                self.influxd.kill();
                std::thread::sleep(down);
                self.influxd.start_again();
            }
            Action::KillBoth(down) => {
                self.influxd.kill();
                self.kill_capture(at);
                std::thread::sleep(down);
                self.start_capture(at);
                self.influxd.start_again();
            }
            Action::KillCaptureWhileInfluxdIsAway(down) => {
                self.influxd.kill();
                std::thread::sleep(down);
                self.kill_capture(at);
                self.start_capture(at);
                std::thread::sleep(down);
                self.influxd.start_again();
            }
            Action::Fault(mode, time) => {
                self.proxy.set(mode);
                std::thread::sleep(time);
                self.proxy.set(Mode::Pass);
            }
            Action::StreamAway(time) => {
                self.stream_gate.close();
                std::thread::sleep(time);
                self.stream_gate.open();
            }
            Action::KillInRepair(later) => {
                let holes = |world: &Self| world.captures[at].log().matches("Trades are missing").count();
                let before = holes(self);
                self.stream_gate.close();
                std::thread::sleep(Duration::from_millis(300));
                self.stream_gate.open();
                wait_until("the hole is noticed", || holes(self) > before);
                std::thread::sleep(later);
                self.kill_capture(at);
                self.start_capture(at);
            }
            Action::NoDisk(time) => {
                self.refuse_disk(at);
                std::thread::sleep(time);
                self.captures[at].limit_files(false);
            }
            Action::NoDiskAndNoInfluxd(time) => {
                self.refuse_disk(at);
                self.influxd.kill();
                std::thread::sleep(time);
                self.influxd.start_again();
                self.captures[at].limit_files(false);
            }
        }
    }

    /// Waits until the capture has noticed, too.
    fn refuse_disk(&self, at: usize) {
        let capture = &self.captures[at];
        let refusals = || capture.log().matches("The outbox does not work").count();
        let before = refusals();
        capture.limit_files(true);
        wait_until("the disk refuses", || refusals() > before);
    }

    /// Waits for everything to be stored, ends the captures, and compares every trade. Gives how many these are.
    pub(crate) fn verify(&mut self) -> Result<usize, String> {
        self.exchange.calm();
        let last = SYMBOLS.map(|symbol| self.exchange.trades(&symbol.parse().unwrap()).last().unwrap().id.get());
        let deadline = Instant::now() + Duration::from_secs(150);
        while missing(&influx_ids(&self.influxd), self.first, last) > 0 {
            if Instant::now() > deadline {
                let ids = influx_ids(&self.influxd);
                return Err(format!("{} trades are still missing up to {last:?}", missing(&ids, self.first, last)));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        for mut capture in std::mem::take(&mut self.captures) {
            let code = capture.stop();
            self.logs.push(format!("--- ended: {code:?}\n{}", capture.log()));
            if !matches!(code, Some(0 | 1)) {
                return Err(format!("a capture ended with {code:?}"));
            }
        }
        // `influx_trades` fails by itself where an id is there twice.
        let (mut stored, mut list) = (influx_trades(&self.influxd), exchanges_list(&self.exchange));
        let is_within = |(name, id): &(String, u64), to: bool| {
            SYMBOLS
                .iter()
                .zip(self.first)
                .zip(last)
                .any(|((symbol, first), last)| name == symbol && *id >= first && (!to || *id <= last))
        };
        let extra = stored.iter().filter(|(key, trade)| list.get(key) != Some(trade)).count();
        if extra > 0 {
            return Err(format!("{extra} stored trades are not the exchange's"));
        }
        stored.retain(|key, _| is_within(key, true));
        list.retain(|key, _| is_within(key, true));
        if stored != list {
            return Err(format!("{} stored, {} at the exchange", stored.len(), list.len()));
        }
        let gaps = crate::support::tickflux(self.folder.path(), &["gaps", "--store", &self.influxd.url]);
        // Ids after `last` may be missing only if a capture was ended with open holes.
        if gaps.status.code() == Some(0) { Ok(stored.len()) } else { Err(String::from_utf8_lossy(&gaps.stdout).into()) }
    }

    /// Everything that the captures logged.
    pub(crate) fn logs(&self) -> String {
        let running = self.captures.iter().map(|capture| format!("--- running\n{}", capture.log()));
        self.logs.iter().cloned().chain(running).collect::<Vec<_>>().join("\n")
    }
}

fn missing(ids: &BTreeSet<(String, u64)>, first: [u64; 2], last: [u64; 2]) -> u64 {
    let of = |((symbol, first), last): ((&&str, u64), u64)| {
        let there = ids.iter().filter(|(name, id)| name == symbol && (first..=last).contains(id)).count();
        last + 1 - first - there as u64
    };
    SYMBOLS.iter().zip(first).zip(last).map(of).sum()
}
