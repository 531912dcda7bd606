//! Every command of README and docs is run as it is typed, beside a practice exchange, a real InfluxDB and captures into
//! both stores. Where it would need what a test has not, it stands in a list with the reason.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command};

use support::archived::Archived;
use support::influxd::{Influxd, TOKEN, free_port};
use support::process::{Capture, wait_until};
use support::trades::{influx_ids, sqlite_trades};
use support::{points, runtime, trade};
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Store};
use tickflux::trade::TradeTime;

/// What a command begins with that is not run here, and why.
const NOT_RUN: [(&str, &str); 19] = [
    ("scripts/", "scripts/test runs them, and this test"),
    ("docker compose up", "needs Docker; scripts/compose-check reads the file, scripts/stack-test does the rest"),
    ("docker compose --profile", "the same"),
    ("docker compose ps", "the same"),
    ("docker compose logs", "the same"),
    ("docker compose run", "the same"),
    ("docker compose exec influxdb cat", "the same"),
    ("docker compose exec influxdb rm", "the same"),
    ("cargo build", "scripts/test builds it"),
    ("sudo ", "changes the machine; scripts/deploy-check reads the unit"),
    ("openssl req", "tests/network/trust.rs makes such certificates"),
    ("influxd --tls-cert", "tests/network/trust.rs starts such a server"),
    ("tickflux capture --store https://influx.example", "tests/network/trust.rs does it"),
    ("tickflux watch", "wants a terminal; tests/watch.rs gives it one"),
    ("tickflux archive", "wants an hour that is over; tests/archive.rs has some"),
    ("url=https://data.binance.vision", "needs Binance"),
    ("curl -O \"$url/", "the same"),
    ("tickflux verify --dump", "wants what Binance publishes; tests/dumps.rs makes it"),
    ("tickflux health", "tests/health.rs has the capture that it asks"),
];

/// What ends with another code than 0, as its document says.
const CODES: [(&str, i32); 4] = [
    ("tickflux at BTCUSDT 2026-11-30T17:30:00Z --store archive:archive", 1),
    ("tickflux gaps --store sqlite:holes.db", 1),
    ("tickflux doctor --exchange practice", 3),
    ("tickflux verify BTCUSDT --since 30m --store sqlite:changed.db", 1),
];

/// The last moment of the archive that the documents ask: a second before 2026-11-30 17:00.
const ARCHIVED_MS: i64 = 1_796_057_999_000;

/// A fenced block of a document that holds commands.
struct Block {
    document: String,
    commands: Vec<String>,
}

#[test]
fn every_command_of_the_documents_runs_as_it_is_typed() {
    let Some(influxd) = Influxd::start() else { return };
    let world = World::new(&influxd);
    let (mut run, mut failed, mut left_out) = (0, String::new(), BTreeSet::new());
    for block in blocks() {
        let is_run = |command: &&String| {
            let reason = NOT_RUN.iter().find(|(begin, _)| command.starts_with(begin));
            left_out.extend(reason.map(|(begin, _)| *begin));
            reason.is_none()
        };
        let commands: Vec<_> = block.commands.iter().filter(is_run).collect();
        if commands.is_empty() {
            continue;
        }
        run += commands.len();
        let output = world.run(&commands);
        if !output.status.success() {
            let said = [&output.stdout[..], &output.stderr].concat();
            writeln!(failed, "{}: {commands:#?}\n{}", block.document, String::from_utf8_lossy(&said)).unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed}");
    assert!(run > 30, "only {run} commands were found");
    let needless: Vec<_> = NOT_RUN.iter().filter(|(begin, _)| !left_out.contains(begin)).collect();
    assert!(needless.is_empty(), "no document has {needless:?}");
}

/// Settings files of the documents are taken.
#[test]
fn every_settings_file_of_the_documents_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = 0;
    for (document, language, text) in fenced() {
        if language == "toml" {
            found += 1;
            std::fs::write(folder.path().join("tickflux.toml"), text).unwrap();
            let output = support::tickflux(folder.path(), &["flux", "latest", "--config", "tickflux.toml"]);
            assert!(output.status.success(), "{document}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(found > 0);
}

#[test]
fn the_readme_has_at_most_150_lines() {
    assert!(std::fs::read_to_string(root().join("README.md")).unwrap().lines().count() <= 150);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of every document: which one, in what language, the text.
fn fenced() -> Vec<(String, String, String)> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = docs.filter(|path| path.extension().is_some_and(|is| is == "md")).collect();
    paths.push(root().join("README.md"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut block: Option<(String, String)> = None;
        for line in text.lines() {
            match (&mut block, line.strip_prefix("```")) {
                (None, Some(language)) => block = Some((language.to_owned(), String::new())),
                (Some(_), Some(_)) => {
                    let (language, text) = block.take().unwrap();
                    found.push((name.clone(), language, text));
                }
                (Some((_, text)), None) => writeln!(text, "{line}").unwrap(),
                (None, None) => {}
            }
        }
    }
    found
}

/// Of `sh` every line is a command, of `console` those behind a prompt, with the lines that they go on in.
fn blocks() -> Vec<Block> {
    let blocks = fenced().into_iter().map(|(document, language, text)| {
        let mut commands: Vec<String> = Vec::new();
        let mut goes_on = false;
        for line in text.lines() {
            let command = match language.as_str() {
                _ if goes_on => Some(line),
                "sh" if !line.trim_start().starts_with('#') && !line.trim().is_empty() => Some(line),
                "console" => line.strip_prefix("$ "),
                _ => None,
            };
            let Some(command) = command else { continue };
            if goes_on {
                write!(commands.last_mut().unwrap(), "\n{command}").unwrap();
            } else {
                commands.push(command.to_owned());
            }
            // A line goes on where it says so, or where a quote is open.
            let so_far = commands.last().unwrap();
            let so_far = so_far.split_once(" # ").map_or(so_far.as_str(), |(command, _)| command);
            goes_on = so_far.ends_with('\\') || !so_far.matches('\'').count().is_multiple_of(2);
            goes_on |= !so_far.matches('"').count().is_multiple_of(2);
        }
        Block { document, commands }
    });
    blocks.filter(|block| !block.commands.is_empty()).collect()
}

/// Where the commands run.
struct World {
    folder: tempfile::TempDir,
    influxd: PathBuf,
    url: String,
    exchange: String,
    metrics: String,
    _captures: [Capture; 2],
    _exchange: PracticeExchange,
}

/// One that was always there, as the documents have it.
struct PracticeExchange(Child);

impl PracticeExchange {
    fn start(address: &str) -> Self {
        let args = ["exchange", "--listen", address, "--rate", "100"];
        let child = Command::new(env!("CARGO_BIN_EXE_tickflux")).args(args).env_clear().spawn().unwrap();
        wait_until("the exchange answers", || TcpStream::connect(address).is_ok());
        Self(child)
    }
}

impl Drop for PracticeExchange {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    fn new(influxd: &Influxd) -> Self {
        let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
        let exchange = format!("127.0.0.1:{}", free_port());
        let process = PracticeExchange::start(&exchange);
        let (stream, rest) = (format!("ws://{exchange}"), format!("http://{exchange}"));
        let metrics = format!("127.0.0.1:{}", free_port());
        let at = |name: &str| folder.path().join(name);
        for name in ["flux", "influx", "deploy"] {
            symlink(root().join(name), at(name)).unwrap();
        }
        std::fs::create_dir(at("bin")).unwrap();
        // The practice exchange would run until somebody ends it.
        let wrapper = format!(
            "#!/bin/sh\n[ \"$1\" = exchange ] && exec timeout --preserve-status -s INT 2 {0} \"$@\"\nexec {0} \"$@\"\n",
            env!("CARGO_BIN_EXE_tickflux")
        );
        for name in ["bin/tickflux", "bin/tickflux-new"] {
            std::fs::write(at(name), &wrapper).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::create_dir(at("other")).unwrap();
        let both = ["--stream-url", &stream, "--rest-url", &rest, "--backfill", "3m"];
        let (sqlite, outbox) = (format!("sqlite:{}", at("tickflux.db").display()), at("far-outbox"));
        let near = Capture::start(&at("other"), &[&both[..], &["--store", &sqlite]].concat());
        let more = ["--store", &influxd.url, "--outbox", outbox.to_str().unwrap(), "--metrics-listen", &metrics];
        let far = Capture::start(folder.path(), &[&both[..], &more].concat());
        let old = chrono::Utc::now().timestamp_millis() - 150_000;
        wait_until("both stores have the last minutes", || {
            let near = sqlite_trades(&at("tickflux.db"));
            let is_old = |symbol: &str| near.iter().any(|((of, _), (ms, ..))| of == symbol && *ms < old);
            is_old("BTCUSDT") && is_old("ETHUSDT") && influx_ids(influxd).len() > near.len() / 2
        });
        // What some documents speak of.
        let holes = [1_000, 1_001, 1_005].map(|id| trade("BTCUSDT", id, old, "5"));
        let store = Sqlite::create(&at("holes.db"), support::exchange("practice"), support::now).unwrap();
        runtime.block_on(store.write(&holes, Attempt::default())).unwrap();
        let times = (0..720).map(|at| ARCHIVED_MS - at * 30_000).rev();
        let sealed: Vec<_> = (1..).zip(times).map(|(id, ms)| trade("BTCUSDT", id, ms, "5")).collect();
        let archived = Archived::at(folder.path(), "practice", || TradeTime::from_ms(ARCHIVED_MS).unwrap());
        runtime.block_on(archived.write(&sealed, Attempt::default())).unwrap();
        // A quantity of the last whole minute is not what was traded.
        let minute = chrono::Utc::now().timestamp_millis() / 60_000 - 1;
        wait_until("the last whole minute is there", || {
            let near = sqlite_trades(&at("tickflux.db"));
            near.iter().any(|((of, _), (ms, ..))| of == "BTCUSDT" && ms / 60_000 == minute)
        });
        let connection = rusqlite::Connection::open(at("tickflux.db")).unwrap();
        connection.execute("VACUUM INTO ?1", [at("changed.db").to_str().unwrap()]).unwrap();
        let change = "UPDATE trade SET quantity = '9.00000000' WHERE symbol = 'BTCUSDT' AND trade_id = \
                      (SELECT trade_id FROM trade WHERE symbol = 'BTCUSDT' AND time / 60000 = ?1 LIMIT 1)";
        assert_eq!(rusqlite::Connection::open(at("changed.db")).unwrap().execute(change, [minute]).unwrap(), 1);
        std::fs::write(at("tickflux.toml"), "symbols = [\"BTCUSDT\", \"ETHUSDT\"]\n").unwrap();
        support::write_secret(&at("capture.token"), TOKEN);
        std::fs::write(at("day.json"), r#"{"drop": "5%", "cut-every": "2s", "fault-seed": 7}"#).unwrap();
        std::fs::create_dir_all(at("tickflux-outbox/dead-letters")).unwrap();
        let line = points::with_fields(&trade("BTCUSDT", 5, old, "5"), &points::FIELDS);
        std::fs::write(at("tickflux-outbox/dead-letters/lines.lp"), line).unwrap();
        symlink(at("tickflux-outbox/dead-letters"), at("dead-letters")).unwrap();
        std::fs::write(at("tickflux-outbox/dead-letters/messages.txt"), "").unwrap();
        let influxd_bin = influxd.bin().to_owned();
        let url = influxd.url.clone();
        Self { folder, influxd: influxd_bin, url, exchange, metrics, _captures: [near, far], _exchange: process }
    }

    /// Runs commands one after the other in one shell, as typed but for addresses and what Docker is asked to run.
    fn run(&self, commands: &[&String]) -> std::process::Output {
        let mut script = String::from("set -u\n");
        for command in commands {
            // It ends by itself.
            if command.contains("--count ") {
                script.push_str("unset TICKFLUX_DURATION\n");
            }
            let code = CODES.iter().find(|(begin, _)| command.starts_with(begin)).map_or(0, |(_, code)| *code);
            let typed = command
                .replace("docker compose exec influxdb influx", "influx")
                .replace("docker compose exec -T influxdb cat /tokens/people.token", "printf %s \"$INFLUX_TOKEN\"")
                .replace("docker compose exec tickflux tickflux", "tickflux")
                .replace("--file /flux/", "--file flux/")
                .replace("cargo run --release --", "tickflux")
                .replace("http://127.0.0.1:8086", &self.url)
                .replace("127.0.0.1:9184", &self.metrics)
                .replace("ws://127.0.0.1:9100", &format!("ws://{}", self.exchange))
                .replace("http://127.0.0.1:9100", &format!("http://{}", self.exchange))
                .replace("--listen 127.0.0.1:9101", "--listen 127.0.0.1:0")
                .replace("/var/lib/tickflux/", "");
            writeln!(script, "{typed}\n[ $? = {code} ] || {{ echo \"ended with another code than {code}\"; exit 9; }}")
                .unwrap();
        }
        let path =
            format!("{}/bin:{}:/usr/local/bin:/usr/bin:/bin", self.folder.path().display(), self.influxd.display());
        Command::new("timeout")
            .args(["120", "bash", "-c", &script])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("INFLUX_HOST", &self.url)
            .env("INFLUX_ORG", support::influxd::ORG)
            .env("INFLUX_TOKEN", TOKEN)
            .env("TICKFLUX_STREAM_URL", format!("ws://{}", self.exchange))
            .env("TICKFLUX_REST_URL", format!("http://{}", self.exchange))
            .env("TICKFLUX_DURATION", "2s")
            .output()
            .unwrap()
    }
}
