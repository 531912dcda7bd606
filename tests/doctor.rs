//! `tickflux doctor` in set-ups that are good and in set-ups that are broken in one place: it names that place and what to
//! do, calls nothing else a fault, and leaves no trace.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

#[path = "doctor/exchange.rs"]
mod exchange;
#[path = "doctor/good.rs"]
mod good;
#[path = "doctor/local.rs"]
mod local;
#[path = "doctor/network.rs"]
mod network;
#[path = "doctor/store.rs"]
mod store;
#[path = "doctor/trace.rs"]
mod trace;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::{practice, runtime, tickflux_in};
use tempfile::TempDir;
use tickflux::practice::Running;
use tokio::runtime::Runtime;

/// A practice exchange that trades now, and a folder.
struct World {
    runtime: Runtime,
    folder: TempDir,
    exchange: Running,
}

/// What a doctor said.
struct Told {
    code: Option<i32>,
    findings: Vec<Finding>,
    stderr: String,
}

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    check: String,
    state: String,
    found: String,
    remedy: Option<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self::with(practice::live_market(seed, 500.0))
    }

    fn with(source: tickflux::practice::Source) -> Self {
        let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
        let exchange = runtime.block_on(practice::start(source));
        Self { runtime, folder, exchange }
    }

    fn stream(&self) -> String {
        format!("ws://{}", self.exchange.address())
    }

    fn rest(&self) -> String {
        format!("http://{}", self.exchange.address())
    }

    /// A doctor who is told of this exchange, unless `args` say otherwise.
    fn doctor(&self, args: &[&str]) -> Told {
        self.doctor_in(&[], args)
    }

    fn doctor_in(&self, variables: &[(&str, &str)], args: &[&str]) -> Told {
        let (stream, rest) = (self.stream(), self.rest());
        let mut all = vec!["doctor", "--format", "json"];
        for (flag, value) in [("--stream-url", &stream), ("--rest-url", &rest)] {
            if !args.contains(&flag) {
                all.extend([flag, value]);
            }
        }
        all.extend(args);
        Told::new(tickflux_in(self.folder.path(), variables, &all))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Told {
    fn new(output: Output) -> Self {
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let finding = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap();
            let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["check", "state", "found", "remedy"]);
            let text = |key: &str| value[key].as_str().map(str::to_owned);
            let [check, state, found] = ["check", "state", "found"].map(|key| text(key).unwrap());
            Finding { check, state, found, remedy: text("remedy") }
        };
        Self { code: output.status.code(), findings: stdout.lines().map(finding).collect(), stderr }
    }

    fn of(&self, check: &str) -> &Finding {
        self.findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("no {check} in {self}"))
    }

    /// The checks, in order.
    fn checks(&self) -> Vec<&str> {
        self.findings.iter().map(|finding| finding.check.as_str()).collect()
    }

    /// Everything is as it should be.
    fn assert_good(&self) {
        assert_eq!(self.code, Some(0), "{self}");
        assert!(self.findings.iter().all(|finding| finding.state == "ok" && finding.remedy.is_none()), "{self}");
    }

    /// This check alone is at fault, with these words in what was found and in what to do; what is skipped needs it.
    fn assert_only(&self, check: &str, state: &str, found: &[&str], remedy: &[&str]) {
        let fault = self.of(check);
        assert_eq!(fault.state, state, "{self}");
        for words in found {
            assert!(fault.found.contains(words), "{words:?} is not in {fault:?}");
        }
        for words in remedy {
            assert!(fault.remedy.as_ref().unwrap().contains(words), "{words:?} is not in {fault:?}");
        }
        let others = || self.findings.iter().filter(|finding| finding.check != check && finding.state != "ok");
        for other in others() {
            let mut needed =
                other.found.strip_prefix("skipped: it needs ").unwrap_or_else(|| panic!("{other:?}: {self}"));
            // Through others that are skipped, too.
            while let Some(further) = self.of(needed).found.strip_prefix("skipped: it needs ") {
                needed = further;
            }
            assert_eq!(needed, check, "{self}");
            assert_eq!(other.state, "warn", "{self}");
        }
        assert_eq!(self.code, Some(if state == "fail" { 3 } else { 1 }), "{self}");
        let last = self.stderr.lines().last().unwrap();
        assert!(last.starts_with("tickflux: ") && last.contains(check), "{self}");
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit {:?}, {}", self.code, self.stderr)?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding:?}"))
    }
}
