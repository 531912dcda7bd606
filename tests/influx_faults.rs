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
use tickflux::store::{Attempt, Store, WriteError, Written};
use tickflux::trade::{Trade, TradeTime};

/// What the server says to a body: a status and words, or nothing to store it.
type Rule = Box<dyn Fn(&[&str]) -> Option<(u16, String)> + Send + Sync>;

struct Server {
    store: Influx,
    /// Every line that was stored, and how many requests came.
    lines: Arc<Mutex<BTreeSet<String>>>,
    requests: Arc<Mutex<u32>>,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(rule: impl Fn(&[&str]) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        let rule: Arc<Rule> = Arc::new(Box::new(rule));
        let runtime = support::runtime();
        let (lines, requests) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(Mutex::new(0)));
        let (stored, counted) = (Arc::clone(&lines), Arc::clone(&requests));
        let write = move |body: String| {
            let (rule, counted, stored) = (Arc::clone(&rule), Arc::clone(&counted), Arc::clone(&stored));
            async move {
                *counted.lock().unwrap() += 1;
                let lines: Vec<_> = body.lines().collect();
                if let Some((status, words)) = rule(&lines) {
                    return (StatusCode::from_u16(status).unwrap(), [("Retry-After", "7")], words).into_response();
                }
                stored.lock().unwrap().extend(lines.into_iter().map(str::to_owned));
                StatusCode::NO_CONTENT.into_response()
            }
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

    fn write(&self, number: u32) -> Result<Written, WriteError> {
        self.runtime.block_on(self.store.write(&trades(), Attempt { number, exchange_time: None }))
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

/// InfluxDB's own words about the first of the lines with these ids, in its JSON.
fn refusal(lines: &[&str], ids: &[u64]) -> Option<(u16, String)> {
    let line = lines.iter().find(|line| ids.contains(&id(line)))?;
    let message = format!("unable to parse '{line}': invalid number");
    Some((400, serde_json::json!({"code": "invalid", "message": message}).to_string()))
}

fn answers(status: u16, body: &'static str) -> impl Fn(&[&str]) -> Option<(u16, String)> {
    move |_| Some((status, body.to_owned()))
}

#[test]
fn one_line_that_cannot_be_parsed_is_found_and_the_rest_is_stored() {
    let server = Server::start(|lines| refusal(lines, &[371]));
    let written = server.write(0).unwrap();
    assert_eq!(written.refused.iter().map(|refused| refused.id.get()).collect::<Vec<_>>(), [371]);
    assert!(written.refused[0].why.as_str().contains("unable to parse"));
    assert_eq!(server.stored_ids(), (1..=1_000).filter(|id| *id != 371).collect());
    assert!(server.requests() < 30, "halving takes few requests: {}", server.requests());
}

#[test]
fn several_refused_lines_are_all_found() {
    let server = Server::start(|lines| refusal(lines, &[1, 2, 500, 1_000]));
    let mut refused: Vec<_> = server.write(0).unwrap().refused.iter().map(|refused| refused.id.get()).collect();
    refused.sort_unstable();
    assert_eq!(refused, [1, 2, 500, 1_000]);
    assert_eq!(server.stored_ids().len(), 996);
}

#[test]
fn ten_lines_in_a_row_or_more_than_a_tenth_are_no_lines_fault() {
    let row: Vec<u64> = (301..=310).collect();
    let tenth: Vec<u64> = (1..=1_000).filter(|id| id % 9 == 0).collect();
    for guilty in [row, tenth] {
        let server = Server::start(move |lines| refusal(lines, &guilty));
        match server.write(0) {
            Err(WriteError::Held { why }) => assert!(why.contains("no line is at fault"), "{why}"),
            other => panic!("{other:?}"),
        }
        // The same batch again says the same: a try that was held counts nothing.
        assert!(matches!(server.write(1), Err(WriteError::Held { .. })), "no line is given up");
    }
}

#[test]
fn refusals_in_a_row_are_counted_over_batches_of_one_line() {
    let server = Server::start(|lines| refusal(lines, &(1..=1_000).collect::<Vec<_>>()));
    let write = |id: u64| {
        let one = [trade("BTCUSDT", id, minute_ago(1), "5.10")];
        server.runtime.block_on(server.store.write(&one, Attempt::default()))
    };
    for id in 1..10 {
        assert_eq!(write(id).unwrap().refused.len(), 1, "{id}: one poison line never blocks the rest");
    }
    for id in 10..40 {
        assert!(matches!(write(id), Err(WriteError::Held { .. })), "{id}");
    }
}

#[test]
fn what_is_not_influxdbs_own_refusal_of_a_line_holds_everything() {
    for (status, body) in [
        (400, "Client sent an HTTP request to an HTTPS server.\n"),
        (400, r#"{"code":"invalid","message":"Please provide either orgID or org"}"#),
        (400, r#"{"error":"partial write: field type conflict"}"#),
        (400, r#"{"code":"invalid","message":"unable to parse 'x y 5': missing field"}"#),
        (400, "<html><body>bad request</body></html>"),
        (400, ""),
        (403, "<html>blocked</html>"),
        (404, "not here"),
        (413, "too large"),
        (422, r#"{"code":"unprocessable entity","message":"partial write: field type conflict dropped=1"}"#),
        (422, "unprocessable"),
        (200, "<html>hello, please log in</html>"),
        (302, ""),
    ] {
        let server = Server::start(answers(status, body));
        for number in [0, 5] {
            match server.write(number) {
                Err(WriteError::Held { why }) => assert!(why.contains(&status.to_string()), "{why}"),
                other => panic!("{status} {body}: {other:?}"),
            }
        }
        assert!(server.requests() < 40, "{status} {body}: {} requests", server.requests());
    }
}

#[test]
fn a_body_that_is_too_large_is_halved_until_it_fits_and_the_size_is_remembered() {
    let server = Server::start(|lines| (lines.len() > 100).then(|| (413, "<html>too large</html>".to_owned())));
    assert_eq!(server.write(0).unwrap(), Written::default());
    assert_eq!(server.stored_ids().len(), 1_000);
    let before = server.requests();
    assert_eq!(server.write(0).unwrap(), Written::default());
    assert!(server.requests() - before <= 30, "{} requests for ten bodies", server.requests() - before);
}

#[test]
fn a_busy_server_is_waited_for_as_long_as_it_asks() {
    for status in [429, 503] {
        match Server::start(answers(status, "busy")).write(0) {
            Err(WriteError::Transient { why, wait }) => {
                assert_eq!(wait, Some(Duration::from_secs(7)));
                assert!(why.contains(&status.to_string()), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unknown_outcome_is_tried_whole_and_in_halves_only_now_and_then() {
    let server = Server::start(|lines| (lines.len() > 500).then(|| (500, "timeout".to_owned())));
    for attempt in 0..5 {
        assert!(matches!(server.write(attempt), Err(WriteError::Transient { .. })));
    }
    assert_eq!((server.requests(), server.stored_ids().len()), (5, 0), "whole, each time");
    assert_eq!(server.write(5).unwrap(), Written::default());
    assert_eq!(server.stored_ids().len(), 1_000, "the batch was the cause");
}

/// What InfluxDB says when its clock, less a day, is at `bound`.
fn dropped_for_age(bound: TradeTime) -> String {
    let message = format!(
        "failure writing points to database: partial write: dropped 9 points outside retention policy of duration 24h0m0s - \
         oldest point trade at {bound} dropped because it violates a Retention Policy Lower Bound at {bound}, newest point … \
         dropped=9 for database: 7221 for retention policy: autogen"
    );
    serde_json::json!({"code": "unprocessable entity", "message": message}).to_string()
}

#[test]
fn a_live_trade_is_never_expired_whatever_the_databases_clock_says() {
    // InfluxDB's clock is 25 hours ahead of the exchange's: it drops everything.
    let ahead = TradeTime::from_ms(now().ms() + 3_600_000).unwrap();
    let server = Server::start(move |_| Some((422, dropped_for_age(ahead))));
    let attempt = Attempt { number: 0, exchange_time: Some(now()) };
    match server.runtime.block_on(server.store.write(&trades(), attempt)) {
        Err(WriteError::Held { why }) => {
            assert!(why.contains("its clock says") && why.contains("the exchange's"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    // What is old by both clocks has expired, by its ids.
    let server =
        Server::start(move |_| Some((422, dropped_for_age(TradeTime::from_ms(now().ms() - 86_400_000).unwrap()))));
    let old = now().ms() - 86_400_000 - 60_000;
    let batch = [trade("BTCUSDT", 1, old, "5"), trade("BTCUSDT", 2, now().ms(), "5")];
    let written = server.runtime.block_on(server.store.write(&batch, attempt)).unwrap();
    assert_eq!(written.expired.ranges().map(|(_, range, _)| (range.first, range.last)).collect::<Vec<_>>(), [(1, 1)]);
}

#[test]
fn the_check_of_the_start_states_its_length_and_says_what_is_true() {
    let (runtime, seen) = (support::runtime(), Arc::new(Mutex::new(Vec::new())));
    let heads = Arc::clone(&seen);
    let write = move |headers: axum::http::HeaderMap| {
        heads.lock().unwrap().push(headers.get("content-length").map(|value| value.to_str().unwrap().to_owned()));
        async { StatusCode::SERVICE_UNAVAILABLE }
    };
    let url = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, Router::new().route("/api/v2/write", post(write))).await });
        url
    });
    let store = Influx::new(settings(&url, BUCKET), exchange("binance"), now).unwrap();
    let checked = runtime.block_on(store.check()).unwrap();
    assert_eq!(*seen.lock().unwrap(), [Some("0".to_owned())]);
    assert!(checked.away.unwrap().contains("kept in the outbox"));
}
