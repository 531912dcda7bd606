//! The witness: an unrelated client of InfluxDB, a program of `tools/witness`.

use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::influxd::{Influxd, ORG, TOKEN};
use super::left_out;

/// The program, built by `scripts/witness`.
pub struct Witness(PathBuf);

impl Witness {
    /// Finds it, or says that the test is left out and why.
    pub fn find() -> Option<Self> {
        let program = env::var_os("TICKFLUX_TEST_WITNESS").map(|path| Self(path.into()));
        if program.is_none() {
            left_out("needs the witness of tools/witness; run scripts/test, or set TICKFLUX_TEST_WITNESS");
        }
        program
    }

    /// Runs it on a bucket with `input`, and gives what it printed.
    pub fn run(&self, influxd: &Influxd, bucket: &str, args: &[&str], input: &str) -> String {
        let mut child = Command::new(&self.0)
            .args(args)
            .env_clear()
            .envs([("INFLUX_HOST", influxd.url.as_str()), ("INFLUX_ORG", ORG), ("INFLUX_TOKEN", TOKEN)])
            .env("INFLUX_BUCKET_NAME", bucket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "the witness failed: {args:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
