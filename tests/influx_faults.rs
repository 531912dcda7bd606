//! Answers that a real InfluxDB cannot be made to give for well-formed trades: a server that answers by the test's rule.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use support::influxd::{BUCKET, settings};
use support::{exchange, minute_ago, now, trade};
use tickflux::store::influx::Influx;
use tickflux::store::{Store, WriteError, Written};
use tickflux::trade::Trade;

/// What the server says to a body: a status and words, or nothing to store it.
type Rule = fn(&[&str]) -> Option<(u16, &'static str)>;

struct Server {
    store: Influx,
    /// Every line that was stored, and how many requests came.
    lines: Arc<Mutex<BTreeSet<String>>>,
    requests: Arc<Mutex<u32>>,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(rule: Rule) -> Self {
        let runtime = support::runtime();
        let (lines, requests) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(Mutex::new(0)));
        let (stored, counted) = (Arc::clone(&lines), Arc::clone(&requests));
        let write = async move |body: String| {
            *counted.lock().unwrap() += 1;
            let lines: Vec<_> = body.lines().collect();
            if let Some((status, words)) = rule(&lines) {
                return (StatusCode::from_u16(status).unwrap(), [("Retry-After", "7")], words).into_response();
            }
            stored.lock().unwrap().extend(lines.into_iter().map(str::to_owned));
            StatusCode::NO_CONTENT.into_response()
        };
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async { axum::serve(listener, Router::new().route("/api/v2/write", post(write))).await });
            address
        });
        let store = Influx::new(settings(&format!("http://{address}"), BUCKET), exchange("binance"), now).unwrap();
        Self { store, lines, requests, runtime }
    }

    fn write(&self, attempt: u32) -> Result<Written, WriteError> {
        self.runtime.block_on(self.store.write(&trades(), attempt))
    }

    fn stored_ids(&self) -> BTreeSet<u64> {
        self.lines.lock().unwrap().iter().map(|line| id(line)).collect()
    }

    fn requests(&self) -> u32 {
        *self.requests.lock().unwrap()
    }
}

fn trades() -> Vec<Trade> {
    let ms = minute_ago(1);
    (1..=1_000).map(|id| trade("BTCUSDT", id, ms, "5.10")).collect()
}

fn id(line: &str) -> u64 {
    line.split("trade_id=").nth(1).unwrap().split('i').next().unwrap().parse().unwrap()
}

fn has(lines: &[&str], ids: &[u64]) -> bool {
    lines.iter().any(|line| ids.contains(&id(line)))
}

#[test]
fn one_line_that_cannot_be_parsed_is_found_and_the_rest_is_stored() {
    let server = Server::start(|lines| has(lines, &[371]).then_some((400, "unable to parse")));
    let written = server.write(0).unwrap();
    assert_eq!(written.dead.iter().map(|dead| id(&dead.line)).collect::<Vec<_>>(), [371]);
    assert_eq!(written.dead[0].reason, "unable to parse");
    assert_eq!(server.stored_ids(), (1..=1_000).filter(|id| *id != 371).collect());
    assert!(server.requests() < 30, "halving takes few requests: {}", server.requests());
}

#[test]
fn several_refused_lines_are_all_found() {
    let server = Server::start(|lines| has(lines, &[1, 2, 500, 1_000]).then_some((422, "string too long dropped=1")));
    let mut dead: Vec<_> = server.write(0).unwrap().dead.iter().map(|dead| id(&dead.line)).collect();
    dead.sort_unstable();
    assert_eq!(dead, [1, 2, 500, 1_000]);
    assert_eq!(server.stored_ids().len(), 996);
}

#[test]
fn a_batch_of_which_more_than_a_tenth_is_refused_is_held_whole() {
    let server = Server::start(|lines| {
        let guilty = lines.iter().any(|line| id(line).is_multiple_of(9));
        guilty.then_some((422, "field type conflict dropped=1"))
    });
    assert!(matches!(server.write(0), Err(WriteError::Held { .. })), "no line is given up");
}

#[test]
fn a_body_that_is_too_large_is_halved_until_it_fits() {
    let server = Server::start(|lines| (lines.len() > 100).then_some((413, "too large")));
    assert_eq!(server.write(0).unwrap(), Written::default());
    assert_eq!(server.stored_ids().len(), 1_000);
}

#[test]
fn a_busy_server_is_waited_for_as_long_as_it_asks() {
    for (rule, status) in [((|_| Some((429, "busy"))) as Rule, "429"), (|_| Some((503, "busy")), "503")] {
        match Server::start(rule).write(0) {
            Err(WriteError::Transient { why, wait }) => {
                assert_eq!(wait, Some(Duration::from_secs(7)));
                assert!(why.contains(status), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unknown_outcome_is_tried_whole_and_in_halves_only_now_and_then() {
    let server = Server::start(|lines| (lines.len() > 500).then_some((500, "timeout")));
    for attempt in 0..5 {
        assert!(matches!(server.write(attempt), Err(WriteError::Transient { .. })));
    }
    assert_eq!((server.requests(), server.stored_ids().len()), (5, 0), "whole, each time");
    assert_eq!(server.write(5).unwrap(), Written::default());
    assert_eq!(server.stored_ids().len(), 1_000, "the batch was the cause");
}

#[test]
fn an_answer_that_is_not_influxdbs_is_held() {
    let server = Server::start(|_| Some((200, "<html>hello</html>")));
    assert!(matches!(server.write(0), Err(WriteError::Held { .. })));
}
