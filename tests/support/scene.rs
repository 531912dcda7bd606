//! A practice exchange, a real influxd and a folder: what most tests of the whole need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tickflux::practice::Running;

use super::influxd::Influxd;
use super::practice;
use super::process::{Capture, wait_until};
use super::trades::{exchanges_list, influx_ids, influx_trades};

pub const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// Where a test plays.
pub struct Scene {
    _runtime: tokio::runtime::Runtime,
    pub folder: tempfile::TempDir,
    pub influxd: Influxd,
    pub exchange: Running,
}

impl Scene {
    /// A live market at so many trades a second; `None` without an influxd.
    pub fn new(seed: u64, trades_per_second: f64) -> Option<Self> {
        let influxd = Influxd::start()?;
        let runtime = super::runtime();
        let folder = tempfile::tempdir().unwrap();
        let exchange = runtime.block_on(practice::start(practice::live_market(seed, trades_per_second)));
        Some(Self { _runtime: runtime, folder, influxd, exchange })
    }

    /// A capture into the store at `url`.
    pub fn capture(&self, url: &str, more: &[&str]) -> Capture {
        self.capture_in(url, more, &[])
    }

    /// The same in this environment.
    pub fn capture_in(&self, url: &str, more: &[&str], environment: &[(String, String)]) -> Capture {
        self.start(url, &format!("http://{}", self.exchange.address()), more, environment)
    }

    /// A capture that no history answers.
    pub fn capture_without_history(&self, url: &str) -> Capture {
        self.start(url, "http://127.0.0.1:9", &[], &[])
    }

    fn start(&self, url: &str, rest: &str, more: &[&str], environment: &[(String, String)]) -> Capture {
        let stream = format!("ws://{}", self.exchange.address());
        let args = ["--store", url, "--format", "json", "--stream-url", &stream, "--rest-url", rest];
        Capture::start_in(self.folder.path(), &[&args[..], more].concat(), environment)
    }

    /// A capture in the same folder that is waited for; what it prints goes elsewhere than the other's.
    pub fn capture_elsewhere(&self, url: &str, more: &[&str]) -> std::process::Output {
        let (stream, rest) =
            (format!("ws://{}", self.exchange.address()), format!("http://{}", self.exchange.address()));
        let args = ["capture", "--store", url, "--format", "json", "--stream-url", &stream, "--rest-url", &rest];
        super::tickflux(self.folder.path(), &[&args[..], more].concat())
    }

    /// Waits until a capture has stored something of each symbol.
    pub fn wait_for_trades(&self) {
        wait_until("something of each symbol is stored", || {
            let stored = influx_ids(&self.influxd);
            SYMBOLS.iter().all(|symbol| stored.iter().any(|(name, _)| name == symbol))
        });
    }

    /// Whether the exchange has traded some hundred times of each symbol since these ids.
    pub fn has_traded_on(&self, than: [u64; 2]) -> bool {
        self.newest().iter().zip(than).all(|(newest, than)| *newest > than + 500)
    }

    /// The newest id of each symbol.
    pub fn newest(&self) -> [u64; 2] {
        SYMBOLS.map(|symbol| self.exchange.trades(&symbol.parse().unwrap()).last().unwrap().id.get())
    }

    /// Waits until all is stored from the first stored id of each symbol up to these.
    pub fn wait_until_stored_up_to(&self, last: [u64; 2]) {
        wait_until("the newest trades are stored", || {
            let stored = influx_ids(&self.influxd);
            // What came later must be whole, too, or a capture would be ended in the middle of a repair.
            SYMBOLS.iter().zip(last).all(|(symbol, last)| stored.contains(&((*symbol).to_owned(), last)))
                && SYMBOLS.iter().all(|symbol| is_whole(&stored, symbol))
        });
    }

    /// The exchange's own list, from the first stored id of each symbol up to the ids in `last`.
    pub fn assert_stored_is_the_exchanges_list(&self, last: [u64; 2]) {
        let (mut stored, mut list) = (influx_trades(&self.influxd), exchanges_list(&self.exchange));
        for (symbol, last) in SYMBOLS.iter().zip(last) {
            let first = stored.keys().find(|(name, _)| name == symbol).unwrap().1;
            list.retain(|(name, id), _| name != symbol || (first..=last).contains(id));
            stored.retain(|(name, id), _| name != symbol || *id <= last);
        }
        assert_eq!(stored, list);
    }

    /// The outbox's file.
    pub fn outbox(&self) -> PathBuf {
        outbox_in(self.folder.path()).unwrap()
    }

    /// Batches that wait in it.
    pub fn outbox_batches(&self) -> u64 {
        let connection = rusqlite::Connection::open(self.outbox()).unwrap();
        connection.query_row("SELECT count(*) FROM batch", [], |row| row.get(0)).unwrap()
    }

    /// What was acknowledged stays in the outbox for a moment, too: only more than that is what the store did not take.
    pub fn wait_until_the_outbox_fills(&self, capture: &Capture) {
        wait_until("a write fails", || capture.log().contains("A batch could not be stored"));
        let acknowledged = self.outbox_batches();
        wait_until("the outbox fills", || self.outbox_batches() > acknowledged + 50);
    }
}

/// Whether every id of a symbol between its first and its last stored one is stored.
fn is_whole(stored: &BTreeSet<(String, u64)>, symbol: &str) -> bool {
    let ids: Vec<_> = stored.iter().filter(|(name, _)| name == symbol).map(|(_, id)| *id).collect();
    ids.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

/// The file of the outbox of a capture in `folder`, once there is one.
pub fn outbox_in(folder: &Path) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(folder.join("tickflux-outbox")).ok()?.map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "db"))
}
