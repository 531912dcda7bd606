//! `tickflux doctor`: what a capture will find, before it starts or beside it.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::report::{Column, FormatArgs, Printing, TableRow, Zone, print};
use super::settings::now;
use super::setup::SetupArgs;
use super::time::duration;
use super::{Answer, Failure};
use crate::doctor::{Finding, Setup, State, StoreSetup, examine, forbid_writing};

/// Characters in a line of a table's cell, at most; a word that is longer stays whole.
const CELL_WIDTH: usize = 84;

const EXAMPLES: &str = "\
Examples:
  tickflux doctor
  tickflux doctor --store http://127.0.0.1:8086 --token-file tickflux-tokens/capture.token
  tickflux doctor --metrics-listen 127.0.0.1:9184 --format json

It opens nothing for writing, and may run beside a capture.

Exit codes:
  0    everything is as it should be
  1    a warning: a capture works and lacks something
  2    wrong usage or settings
  3    a fault: a capture does not work, or stores nothing";

/// What a capture would be told.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Wait so long for one trade of each symbol
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    wait: Duration,
    #[command(flatten)]
    output: FormatArgs,
}

/// A finding with the contract's keys.
#[derive(Debug, Serialize)]
struct FindingRow {
    check: &'static str,
    state: State,
    found: String,
    remedy: Option<String>,
    #[serde(skip)]
    is_skipped: bool,
}

pub(super) async fn run(args: DoctorArgs) -> Result<Answer, Failure> {
    // Where the system cannot do so nothing is written either.
    forbid_writing();
    let DoctorArgs { setup: given, wait, output } = args;
    let network = given.store.network()?;
    given.store.refuse_archive_of_capture()?;
    given.store.say_if_influx_was_meant();
    let store = match given.store.sqlite_path() {
        Some(path) => StoreSetup::Sqlite(path.to_owned()),
        None => {
            let url = given.store.influx_url()?;
            let client = match given.store.credentials() {
                Ok(token) => Ok(Box::new(given.store.influx_with(token, given.exchange.clone(), Some(&network))?)),
                Err(Failure::No(why) | Failure::Usage(why) | Failure::Unusable(why)) => Err(why),
            };
            StoreSetup::Influx { url, client }
        }
    };
    let setup = Setup {
        symbols: given.symbols(),
        stream_url: given.stream_url()?,
        rest_url: given.rest_url()?,
        network,
        exchange: given.exchange,
        store,
        outbox: given.outbox,
        outbox_limit: given.outbox_limit,
        metrics_listen: given.metrics_listen,
        wait,
        clock: now,
    };
    let findings = examine(&setup).await;
    let verdict = verdict(&findings);
    let rows: Vec<_> = findings.into_iter().map(FindingRow::from).collect();
    print(&rows, Printing { format: output.format, zone: Zone::Utc })?;
    verdict
}

/// The worst of what was found, and which checks say so.
fn verdict(findings: &[Finding]) -> Result<Answer, Failure> {
    let of = |state: State| {
        let named: Vec<_> = findings.iter().filter(|it| it.state == state).map(|it| it.check.name()).collect();
        (!named.is_empty()).then(|| named.join(", "))
    };
    match (of(State::Fail), of(State::Warn)) {
        (Some(failing), _) => Err(Failure::Unusable(format!("a capture will not do as it is: {failing}"))),
        (None, Some(warning)) => Err(Failure::No(format!("not everything is as it should be: {warning}"))),
        (None, None) => Ok(Answer::Done),
    }
}

impl From<Finding> for FindingRow {
    fn from(finding: Finding) -> Self {
        let is_skipped = finding.is_skipped();
        let Finding { check, state, found, remedy } = finding;
        Self { check: check.name(), state, found, remedy, is_skipped }
    }
}

impl TableRow for FindingRow {
    fn columns(&self) -> Vec<Column> {
        vec![Column::text("check", 1), Column::text("state", 0), Column::text("found, and what to do", 0)]
    }

    fn cells(&self, _: Zone) -> Vec<String> {
        let mut lines = folded(&self.found, CELL_WIDTH);
        // What to do about the check that it needs stands there.
        let remedy = self.remedy.iter().filter(|_| !self.is_skipped);
        lines.extend(remedy.flat_map(|remedy| folded(&format!("-> {remedy}"), CELL_WIDTH)));
        vec![self.check.to_owned(), self.state.name().to_owned(), lines.join("\n")]
    }
}

/// `text` in lines of at most `width` characters, broken between words.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Check;

    fn finding(check: Check, state: State) -> Finding {
        Finding { check, state, found: "found".to_owned(), remedy: None }
    }

    #[test]
    fn the_worst_finding_is_the_exit_code() {
        let findings = [finding(Check::Clock, State::Ok), finding(Check::Rest, State::Warn)];
        assert_eq!(verdict(&findings[..1]), Ok(Answer::Done));
        let code = |findings: &[Finding]| verdict(findings).unwrap_err().code();
        assert_eq!(code(&findings), 1);
        assert_eq!(code(&[&findings[..], &[finding(Check::Store, State::Fail)]].concat()), 3);
    }

    #[test]
    fn a_finding_has_the_keys_of_the_contract() {
        let row = FindingRow::from(finding(Check::DnsRest, State::Warn));
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(json, r#"{"check":"dns-rest","state":"warn","found":"found","remedy":null}"#);
    }

    #[test]
    fn cells_are_folded_between_words() {
        assert_eq!(folded("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(folded("a-word-that-is-longer x", 9), ["a-word-that-is-longer", "x"]);
        assert_eq!(folded("", 9), [""]);
    }
}
