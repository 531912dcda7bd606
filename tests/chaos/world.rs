//! Exchange, stream, history, captures, proxy and InfluxDB of one run, and what can be done to them.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use tickflux::practice::Running;
use tickflux::practice::faults::Faults;

use super::plan::Action;
use super::process::{Disk, Process};
use crate::support::faketime::WrongClock;
use crate::support::influxd::Influxd;
use crate::support::practice;
use crate::support::process::wait_until;
use crate::support::proxy::{Mode, Proxy};
use crate::support::server::Gate;
use crate::support::trades::influx_ids;

pub(crate) const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// One run's world.
pub(crate) struct World {
    _runtime: tokio::runtime::Runtime,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) exchange: Running,
    stream: Gate,
    history: Proxy,
    pub(crate) influxd: Influxd,
    proxy: Proxy,
    clock: WrongClock,
    captures: Vec<Process>,
    logs: Vec<String>,
    /// The lowest stored id of each symbol, before anything went wrong.
    pub(crate) first: [u64; 2],
}

impl World {
    /// With as many captures into one bucket; `None` without an influxd.
    pub(crate) fn start(seed: u64, captures: usize) -> Option<Self> {
        let influxd = Influxd::start()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
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
        let exchange_url = format!("http://{}", exchange.address());
        let stream = Gate::closed(&exchange_url);
        stream.open();
        let mut world = Self {
            _runtime: runtime,
            folder: tempfile::tempdir().unwrap(),
            stream,
            history: Proxy::start(&exchange_url),
            exchange,
            proxy: Proxy::start(&influxd.url),
            clock: WrongClock::new("+0"),
            influxd,
            captures: Vec::new(),
            logs: Vec::new(),
            first: [0; 2],
        };
        (0..captures).for_each(|at| world.start_capture(at, Disk::Works));
        let first = |ids: &BTreeSet<(String, u64)>| {
            SYMBOLS.map(|symbol| ids.iter().find(|(name, _)| name == symbol).map_or(0, |(_, id)| *id))
        };
        wait_until("something of each symbol is stored", || {
            world.first = first(&influx_ids(&world.influxd));
            !world.first.contains(&0)
        });
        Some(world)
    }

    fn start_capture(&mut self, at: usize, disk: Disk) {
        let args = [
            ("--store", self.proxy.url()),
            ("--stream-url", self.stream.url().replace("http", "ws")),
            ("--rest-url", self.history.url()),
            ("--outbox", format!("outbox-{at}")),
        ];
        let args: Vec<_> = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        self.captures.insert(at, Process::start(self.folder.path(), &args, disk, &self.clock.environment()));
    }

    fn kill_capture(&mut self, at: usize) {
        let log = self.captures.remove(at).kill();
        self.logs.push(format!("--- killed: capture {at}\n{log}"));
    }

    fn kill_and_start(&mut self, at: usize) {
        self.kill_capture(at);
        self.start_capture(at, Disk::Works);
    }

    /// Lets `action` happen to the capture number `at`, and mends what it broke.
    pub(crate) fn act(&mut self, action: Action, at: usize) {
        match action {
            Action::KillCapture(down) => {
                self.kill_capture(at);
                sleep(down);
                self.start_capture(at, Disk::Works);
            }
            Action::StopCapture => {
                let (code, log) = self.captures.remove(at).stop();
                self.logs.push(format!("--- stopped: capture {at}, {code:?}\n{log}"));
                self.start_capture(at, Disk::Works);
            }
            Action::KillInfluxd(down) => {
                self.influxd.kill();
                sleep(down);
                self.influxd.start_again();
            }
            Action::KillBoth(down) => {
                self.influxd.kill();
                self.kill_capture(at);
                sleep(down);
                self.start_capture(at, Disk::Works);
                self.influxd.start_again();
            }
            Action::KillCaptureWhileInfluxdIsAway(down) => {
                self.influxd.kill();
                sleep(down);
                self.kill_and_start(at);
                sleep(down);
                self.influxd.start_again();
            }
            Action::Fault(mode, time) => {
                self.proxy.set(mode);
                sleep(time);
                self.proxy.set(Mode::Pass);
            }
            Action::KillCaptureInFault(mode, time) => {
                self.proxy.set(mode);
                sleep(time);
                self.kill_and_start(at);
                sleep(time);
                self.proxy.set(Mode::Pass);
            }
            Action::HistoryFault(mode, time) => {
                self.history.set(mode);
                self.interrupt_stream(Duration::from_millis(300));
                sleep(time);
                self.history.set(Mode::Pass);
            }
            Action::StreamAway(time) => self.interrupt_stream(time),
            Action::KillInRepair(away, later) => {
                // Slow enough for the kill to come between two pages.
                self.history.set(Mode::Delay(Duration::from_millis(250)));
                let before = self.captures[at].said("Trades are missing");
                self.interrupt_stream(away);
                wait_until("the hole is noticed", || self.captures[at].said("Trades are missing") > before);
                sleep(later);
                self.kill_and_start(at);
                self.history.set(Mode::Pass);
            }
            Action::NoDisk(time) => {
                self.refuse_disk(at);
                sleep(time);
                self.captures[at].set_disk(Disk::Works);
            }
            Action::NoDiskAndNoInfluxd(time) => {
                self.refuse_disk(at);
                self.influxd.kill();
                sleep(time);
                self.influxd.start_again();
                self.captures[at].set_disk(Disk::Works);
            }
            Action::KillWithoutDisk(time) => {
                self.refuse_disk(at);
                sleep(time);
                self.kill_and_start(at);
            }
            Action::StartWithoutDisk(time) => self.start_without_disk(at, time),
            Action::Refusal(mode, time) => {
                self.proxy.set(mode);
                sleep(time);
                self.proxy.set(Mode::Pass);
            }
            Action::KillCaptureInRefusal(mode, time) => {
                self.proxy.set(mode);
                sleep(time);
                self.kill_capture(at);
                self.start_refused(at, time);
            }
            Action::StopCaptureInRefusal(mode, time) => {
                self.proxy.set(mode);
                sleep(time);
                let (code, log) = self.captures.remove(at).stop();
                self.logs.push(format!("--- stopped: capture {at}, {code:?}\n{log}"));
                self.start_refused(at, time);
            }
            Action::ClockStep(seconds, time) => {
                self.clock.set(&format!("{seconds:+}"));
                sleep(time);
                self.clock.set("+0");
            }
            Action::KillCaptureInClockStep(seconds, time) => {
                self.clock.set(&format!("{seconds:+}"));
                sleep(time);
                self.kill_and_start(at);
                sleep(time);
                self.clock.set("+0");
            }
        }
    }

    fn interrupt_stream(&self, time: Duration) {
        self.stream.close();
        sleep(time);
        self.stream.open();
    }

    /// Waits until the capture has noticed, too.
    fn refuse_disk(&self, at: usize) {
        // One that has not opened its outbox yet would end, as it should.
        wait_until("the capture runs", || self.captures[at].log().contains("Stream connection opened"));
        let capture = &self.captures[at];
        let before = capture.said("The outbox does not work");
        capture.set_disk(Disk::Refuses);
        wait_until("the disk refuses", || capture.said("The outbox does not work") > before);
    }

    /// It may go on or end; if it ends, it says why, and an operator starts it again once the disk is mended.
    fn start_without_disk(&mut self, at: usize, time: Duration) {
        self.kill_capture(at);
        self.start_capture(at, Disk::Refuses);
        sleep(time);
        if self.captures[at].is_running() {
            self.captures[at].set_disk(Disk::Works);
            return;
        }
        let (code, log) = self.captures.remove(at).end();
        assert!(matches!(code, Some(2 | 3)) && log.contains("outbox"), "ended without a disk with {code:?}: {log}");
        self.logs.push(format!("--- ended without a disk: capture {at}, {code:?}\n{log}"));
        self.start_capture(at, Disk::Works);
    }

    /// A start that is refused ends and says why, and an operator starts it again once that is mended.
    fn start_refused(&mut self, at: usize, time: Duration) {
        self.start_capture(at, Disk::Works);
        sleep(time);
        self.proxy.set(Mode::Pass);
        let capture = &mut self.captures[at];
        wait_until("it begins or ends", || !capture.is_running() || capture.said("capturing ") > 0);
        if capture.is_running() {
            return;
        }
        let (code, log) = self.captures.remove(at).end();
        assert!(code == Some(2) && log.contains(" answered 4"), "refused, it ended with {code:?}: {log}");
        self.logs.push(format!("--- refused at its start: capture {at}\n{log}"));
        self.start_capture(at, Disk::Works);
    }

    /// Asks every capture to end. Gives the exit codes and what the captures logged.
    pub(crate) fn end(&mut self) -> Vec<(Option<i32>, String)> {
        let ended: Vec<_> = std::mem::take(&mut self.captures).into_iter().map(Process::stop).collect();
        self.logs.extend(ended.iter().map(|(code, log)| format!("--- ended: {code:?}\n{log}")));
        ended
    }

    /// Everything that the captures logged.
    pub(crate) fn logs(&self) -> String {
        let running = self.captures.iter().map(|capture| format!("--- running\n{}", capture.log()));
        self.logs.iter().cloned().chain(running).collect::<Vec<_>>().join("\n")
    }
}
