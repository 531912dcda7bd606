//! A real influxd on a port of its own, with the real influx CLI.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tickflux::net::Network;
use tickflux::net::endpoint::{Endpoint, Service};
use tickflux::store::influx::{Credentials, Influx, InfluxSettings, Token};

use super::{exchange, left_out, now};

pub const TOKEN: &str = "an-example-token";
pub const ORG: &str = "tickflux";
pub const BUCKET: &str = "ticks";

/// A running influxd with one organization and one bucket of 24 h; ends when dropped.
pub struct Influxd {
    child: Child,
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    pub url: String,
}

impl Influxd {
    /// Starts one, or says that the test is left out and why.
    ///
    /// `scripts/test` always sets the folder; there nothing may be left out.
    pub fn start() -> Option<Self> {
        let Some(bin) = env::var_os("TICKFLUX_TEST_INFLUXD_DIR").map(PathBuf::from) else {
            left_out("needs a real influxd; run scripts/test, or set TICKFLUX_TEST_INFLUXD_DIR");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = spawn(&bin, folder.path(), port, &[]);
        let influxd = Self { child, bin, folder, port, url: format!("http://127.0.0.1:{port}") };
        influxd.wait_until_it_answers();
        let setup = ["setup", "--force", "--username", "user", "--password", "an-example-password"];
        let rest = ["--org", ORG, "--bucket", BUCKET, "--retention", "24h", "--token", TOKEN];
        influxd.influx_ok(&[&setup[..], &rest[..]].concat());
        Some(influxd)
    }

    /// The folder of influxd and the influx CLI.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.bin, self.folder.path(), self.port, &[]);
        self.wait_until_it_answers();
    }

    /// Starts it again where it was, speaking TLS only, with this certificate and key.
    pub fn start_again_with_tls(&mut self, certificate: &Path, key: &Path) {
        let files = [certificate, key].map(|path| path.to_str().unwrap());
        let args = ["--tls-cert", files[0], "--tls-key", files[1]];
        self.child = spawn(&self.bin, self.folder.path(), self.port, &args);
        let deadline = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "influxd does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !self.influx(&["ping"]).status.success() {
            assert!(Instant::now() < deadline, "influxd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The CPU time that it has used, user and system, by Linux' own account.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        // utime and stime are the fields 14 and 15, in ticks of 10 ms (proc(5)).
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
    }

    /// Runs the influx CLI against it.
    pub fn influx(&self, args: &[&str]) -> Output {
        Command::new(self.bin.join("influx"))
            .args(args)
            .env("INFLUX_HOST", &self.url)
            .env("INFLUX_CONFIGS_PATH", self.folder.path().join("configs"))
            .output()
            .unwrap()
    }

    /// Runs the influx CLI and gives its standard output.
    pub fn influx_ok(&self, args: &[&str]) -> String {
        let output = self.influx(args);
        assert!(output.status.success(), "influx {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes another bucket that keeps 24 h.
    pub fn make_bucket(&self, name: &str) {
        self.influx_ok(&["bucket", "create", "--name", name, "--retention", "24h", "--shard-group-duration", "1h"]);
    }

    /// What tickflux needs to use a bucket of it.
    pub fn settings(&self, bucket: &str) -> InfluxSettings {
        settings(&self.url, bucket)
    }

    /// A store on a bucket of it.
    pub fn store(&self, bucket: &str, exchange_name: &str) -> Influx {
        Influx::new(self.settings(bucket), exchange(exchange_name), now).unwrap()
    }
}

/// What tickflux needs to use a bucket of the server at `http://HOST:PORT`.
pub fn settings(url: &str, bucket: &str) -> InfluxSettings {
    InfluxSettings {
        url: Endpoint::new(Service::Influx, url).unwrap(),
        network: Network::local().unwrap(),
        org: ORG.to_owned(),
        bucket: bucket.to_owned(),
        credentials: Credentials::fixed(Token::new(TOKEN).unwrap()),
    }
}

impl Drop for Influxd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(bin: &Path, folder: &Path, port: u16, more: &[&str]) -> Child {
    Command::new(bin.join("influxd"))
        .arg("--bolt-path")
        .arg(folder.join("bolt"))
        .arg("--engine-path")
        .arg(folder.join("engine"))
        .arg("--sqlite-path")
        .arg(folder.join("sqlite"))
        .args(["--http-bind-address", &format!("127.0.0.1:{port}"), "--reporting-disabled", "--log-level", "error"])
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
