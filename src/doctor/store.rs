//! The store: an InfluxDB with its token, bucket and Flux, or an SQLite file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::DecimalBytes;

use super::finding::{Check, Finding, State};
use super::within;
use crate::store::influx::examine::{Examination, WriteSaid};
use crate::store::influx::{Bucket, Influx};
use crate::store::{Scope, StoreError, sqlite};
use crate::trade::TradeTime;

/// How long an InfluxDB may take to answer; a question over a busy day takes seconds.
const EXAMINE_MAX: Duration = Duration::from_secs(30);
/// A disk that does not answer for so long is not waited for.
const LOOK_MAX: Duration = Duration::from_secs(10);

const TOKEN_REMEDY: &str =
    "give a token that may read and write the bucket with --token-file; influx/init.sh makes one";

/// Every check of an InfluxDB but the ways to it.
pub(super) const INFLUX: [Check; 4] = [Check::Store, Check::Token, Check::Bucket, Check::Flux];

/// Asks an InfluxDB.
pub(super) async fn influx(influx: &Influx, scope: &Scope, now: TradeTime) -> Vec<Finding> {
    match within(EXAMINE_MAX, influx.examine(scope)).await {
        Some(examination) => judge(&examination, now),
        None => {
            let found = format!("no answer within {} s", EXAMINE_MAX.as_secs());
            let mut findings =
                vec![Finding::fail(Check::Store, found, "see --store, and whether InfluxDB is overloaded")];
            findings.extend(INFLUX[1..].iter().map(|check| Finding::skipped(*check, Check::Store)));
            findings
        }
    }
}

/// Without a token there is nothing to ask with.
pub(super) fn without_token(why: &str) -> Vec<Finding> {
    let remedy = "give a token with --token-file, a file for its owner only, or with INFLUX_TOKEN";
    let finding = |check| match check {
        Check::Token => Finding::fail(check, why, remedy),
        _ => Finding::skipped(check, Check::Token),
    };
    INFLUX.map(finding).into()
}

/// Judges what an InfluxDB, or who else is there, has said.
fn judge(examination: &Examination, now: TradeTime) -> Vec<Finding> {
    let store = match &examination.write {
        WriteSaid::Allowed | WriteSaid::Refused { .. } => {
            let version =
                examination.version.as_ref().map_or("it does not tell its version", |version| version.as_str());
            Finding::ok(Check::Store, format!("InfluxDB answers: {version}"))
        }
        WriteSaid::Away(why) => {
            Finding::warn(Check::Store, why, "see InfluxDB's own log; a capture keeps trades until it takes them")
        }
        WriteSaid::Foreign { why, advice } => Finding::fail(Check::Store, why, advice),
        WriteSaid::Silent(why) => Finding::fail(Check::Store, why, "see --store, or start InfluxDB"),
    };
    let rest = match &examination.write {
        WriteSaid::Allowed | WriteSaid::Refused { .. } => {
            [token(examination), bucket(examination), flux(examination, now)]
        }
        _ => [Check::Token, Check::Bucket, Check::Flux].map(|check| Finding::skipped(check, Check::Store)),
    };
    [store].into_iter().chain(rest).collect()
}

/// Whether there is no bucket of that name, or no organization.
fn is_missing(write: &WriteSaid) -> bool {
    matches!(write, WriteSaid::Refused { status: 404, .. })
}

fn token(examination: &Examination) -> Finding {
    let Examination { write, latest, .. } = examination;
    match (write, latest) {
        _ if is_missing(write) => Finding::skipped(Check::Token, Check::Bucket),
        (WriteSaid::Refused { status: 403, .. }, Ok(_)) => {
            Finding::fail(Check::Token, "the token may read the bucket and not write it", TOKEN_REMEDY)
        }
        (WriteSaid::Refused { why, advice, .. }, _) => Finding::fail(Check::Token, why, advice),
        (_, Err(StoreError::Settings(why))) => {
            let found = format!("the token may write the bucket and not read it: {why}");
            Finding::warn(Check::Token, found, TOKEN_REMEDY)
        }
        (_, Ok(_)) => Finding::ok(Check::Token, "it may write the bucket and read it"),
        (_, Err(_)) => Finding::ok(Check::Token, "it may write the bucket"),
    }
}

fn bucket(examination: &Examination) -> Finding {
    match (&examination.write, &examination.bucket) {
        (WriteSaid::Refused { why, .. }, _) if is_missing(&examination.write) => {
            Finding::fail(Check::Bucket, why, "tickflux provision makes the bucket; else see --bucket and --org")
        }
        (_, Ok(Some(bucket))) => keeps(bucket),
        // Who may not look at it cannot say what it keeps.
        _ if token(examination).state != State::Ok => Finding::skipped(Check::Bucket, Check::Token),
        (_, unseen) => {
            let why = unseen.as_ref().err().map_or("it is not listed".to_owned(), ToString::to_string);
            let remedy = "see in InfluxDB that it keeps 24h in groups of 1h";
            Finding::warn(Check::Bucket, format!("what it keeps cannot be seen: {why}"), remedy)
        }
    }
}

fn keeps(bucket: &Bucket) -> Finding {
    let found = format!("it keeps {}", bucket.keeps());
    if bucket.is_as_wanted() {
        return Finding::ok(Check::Bucket, found);
    }
    let remedy = "tickflux provision --force makes it 24h in groups of 1h, and deletes what is older";
    Finding::warn(Check::Bucket, format!("{found}, not 24h in groups of 1h"), remedy)
}

fn flux(examination: &Examination, now: TradeTime) -> Finding {
    match &examination.latest {
        Ok(latest) => {
            let newest = latest.iter().map(|stored| stored.trade.time).max();
            let newest = newest.map(|time| Duration::from_millis(now.ms().saturating_sub(time.ms()).unsigned_abs()));
            let found = match newest {
                Some(age) => format!("it answers; the newest trade is {:.1} s old", age.as_secs_f64()),
                None => "it answers; no trade of these symbols is stored".to_owned(),
            };
            Finding::ok(Check::Flux, found)
        }
        Err(StoreError::Settings(_)) if is_missing(&examination.write) => Finding::skipped(Check::Flux, Check::Bucket),
        Err(StoreError::Settings(_)) => Finding::skipped(Check::Flux, Check::Token),
        Err(StoreError::Unusable(why)) => {
            let remedy = "questions and the look at what is stored need Flux: use an InfluxDB 2.x, or turn Flux on";
            Finding::warn(Check::Flux, why, remedy)
        }
    }
}

/// Looks at an SQLite store without a trace.
pub(super) async fn sqlite(path: &Path) -> Finding {
    let asked = path.to_owned();
    let looked = within(LOOK_MAX, tokio::task::spawn_blocking(move || look_at_file(asked))).await;
    looked.and_then(Result::ok).unwrap_or_else(|| {
        let found = format!("{} cannot be looked at within {} s", path.display(), LOOK_MAX.as_secs());
        Finding::fail(Check::Store, found, "name a file on a disk that works with --store sqlite:PATH")
    })
}

fn look_at_file(path: PathBuf) -> Finding {
    let remedy = "name another file with --store sqlite:PATH";
    let shown = path.display();
    let length = path.metadata().map(|found| found.len());
    match (sqlite::check_path(&path), length) {
        (Err(error), _) => Finding::fail(Check::Store, error.to_string(), remedy),
        (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok(Check::Store, format!("{shown} is not there yet; a capture makes it"))
        }
        (_, Err(error)) => Finding::fail(Check::Store, format!("{shown}: {error}"), remedy),
        (_, Ok(0)) => Finding::ok(Check::Store, format!("{shown} is empty; a capture makes a store of it")),
        (_, Ok(length)) => match sqlite::look_at(&path) {
            Err(error) => Finding::fail(Check::Store, error.to_string(), remedy),
            Ok(_) if nix::unistd::access(&path, nix::unistd::AccessFlags::W_OK).is_err() => {
                let remedy = "let this user write it (chown, chmod), or name another with --store sqlite:PATH";
                Finding::fail(Check::Store, format!("{shown} is a store; this user may not write it"), remedy)
            }
            Ok(true) => Finding::ok(Check::Store, format!("{shown} is a store, {}", DecimalBytes(length))),
            Ok(false) => {
                let found = format!("{shown}: its last capture was cut off; the next one puts the file right");
                Finding::ok(Check::Store, found)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examination(write: WriteSaid, every_seconds: Option<u64>, latest: Result<(), StoreError>) -> Examination {
        let bucket = |seconds| {
            serde_json::from_value(serde_json::json!({
                "id": "1", "orgID": "2", "name": "ticks",
                "retentionRules": [{"type": "expire", "everySeconds": seconds, "shardGroupDurationSeconds": 3600}]
            }))
        };
        let bucket = Ok(every_seconds.map(|seconds| bucket(seconds).unwrap()));
        Examination { version: None, write, bucket, latest: latest.map(|()| Vec::new()) }
    }

    #[test]
    fn what_an_influxdb_says_is_told_where_the_fault_is_and_nowhere_else() {
        use State::{Fail, Ok as Good, Warn};
        let refused = |status| WriteSaid::Refused { status, why: "why".to_owned(), advice: "do" };
        let no_read = || Err(StoreError::Settings("no".to_owned()));
        let day = Some(86_400);
        // Store, token, bucket, Flux; what is skipped warns.
        for (examination, states) in [
            (examination(WriteSaid::Allowed, day, Ok(())), [Good, Good, Good, Good]),
            (examination(WriteSaid::Allowed, Some(3_600), Ok(())), [Good, Good, Warn, Good]),
            (examination(WriteSaid::Allowed, None, Ok(())), [Good, Good, Warn, Good]),
            (examination(WriteSaid::Allowed, None, no_read()), [Good, Warn, Warn, Warn]),
            (examination(refused(401), None, no_read()), [Good, Fail, Warn, Warn]),
            (examination(refused(403), day, Ok(())), [Good, Fail, Good, Good]),
            (examination(refused(404), None, no_read()), [Good, Warn, Fail, Warn]),
            (
                examination(WriteSaid::Allowed, day, Err(StoreError::Unusable("404".to_owned()))),
                [Good, Good, Good, Warn],
            ),
            (examination(WriteSaid::Silent("away".to_owned()), None, no_read()), [Fail, Warn, Warn, Warn]),
            (
                examination(WriteSaid::Foreign { why: "html".to_owned(), advice: "do" }, None, no_read()),
                [Fail, Warn, Warn, Warn],
            ),
        ] {
            let told = judge(&examination, TradeTime::EPOCH);
            assert_eq!(told.iter().map(|finding| finding.check).collect::<Vec<_>>(), INFLUX);
            let found: Vec<_> = told.iter().map(|finding| finding.state).collect();
            assert_eq!(found, states, "{examination:?}");
            let faults = told.iter().filter(|it| it.state != Good && !it.is_skipped()).count();
            assert!(faults <= 1, "{told:?}");
        }
    }
}
