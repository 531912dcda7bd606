//! REST against what strangers answer: bounded, one line, and with what to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tickflux::binance::rest::{Rest, RestError};
use tickflux::net::Network;
use tickflux::net::endpoint::{Endpoint, Service};
use tickflux::practice::faults::Faults;
use tickflux::trade::Symbol;

use crate::support::process::{Capture, wait_until};
use crate::support::trades::sqlite_trades;
use crate::support::{practice, runtime, server, summary, tickflux};

fn rest(address: SocketAddr) -> Rest {
    let base = Endpoint::new(Service::Rest, &format!("http://{address}")).unwrap();
    Rest::new(&base, &Network::local().unwrap()).unwrap()
}

fn symbol() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

/// An error and its causes in one line, as the log has it.
fn chain(error: &RestError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line
}

#[test]
fn the_exchange_says_its_time_its_newest_trades_and_the_weight() {
    let runtime = runtime();
    runtime.block_on(async {
        let exchange = practice::start(practice::live_market(92, 2_000.0)).await;
        let rest = rest(exchange.address());
        while exchange.trades(&symbol()).len() < 1_100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let before = crate::support::now().ms();
        let time = rest.time().await.unwrap();
        assert!((before..=crate::support::now().ms()).contains(&time.value.ms()), "{time:?}");
        let newest = rest.newest_trades(&symbol()).await.unwrap();
        let ids: Vec<_> = newest.value.trades().map(|trade| trade.id.get()).collect();
        assert_eq!((ids.len(), newest.value.rows.len()), (1_000, 1_000));
        let list: Vec<_> =
            exchange.trades(&symbol()).into_iter().filter(|trade| ids.contains(&trade.id.get())).collect();
        assert!(newest.value.trades().eq(&list), "as the exchange's own list");
        let history = rest.history(&symbol(), ids[0], 10).await.unwrap();
        assert!(history.value.trades().eq(&list[..10]));
        // 1 for the time and 25 for each page, as the documentation has it.
        assert_eq!([time.used_weight, newest.used_weight, history.used_weight], [Some(1), Some(26), Some(51)]);
        assert_eq!(rest.aggregate(&symbol(), None).await.unwrap().used_weight, Some(55));
        assert_eq!(rest.unlisted(&[symbol()]).await.unwrap().used_weight, Some(75));
    });
}

#[test]
fn retry_after_is_believed_within_reason() {
    let runtime = runtime();
    for (status, retry_after, seconds) in [
        (429, "7", 7),
        (429, "18446744073709551615", 3_600),
        (429, "99999999999999999999999999", 3_600),
        (418, "18446744073709551615", 72 * 3_600),
        (418, "180", 180),
        (429, "-5", 60),
        (429, "Wed, 25 Nov 2026 10:00:00 GMT", 60),
        (418, "", 60),
    ] {
        let address = server::answering(move |_| {
            format!("HTTP/1.1 {status} Wait\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n")
        });
        match runtime.block_on(rest(address).history(&symbol(), 1, 1)) {
            Err(RestError::Limited { wait, .. }) => assert_eq!(wait, Duration::from_secs(seconds), "{retry_after}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_endless_wait_does_not_end_the_capture() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = runtime();
    let stream = exchange.block_on(practice::start(practice::live_market(93, 500.0)));
    let address = server::answering(|_| {
        "HTTP/1.1 429 Wait\r\nRetry-After: 18446744073709551615\r\nContent-Length: 0\r\n\r\n".to_owned()
    });
    let (stream, rest) = (format!("ws://{}", stream.address()), format!("http://{address}"));
    let args = ["capture", "--stream-url", &stream, "--rest-url", &rest, "--backfill", "1h", "--count", "500"];
    let output = tickflux(folder.path(), &[&args[..], &["--duration", "2m"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("asks to wait 3600 s") && !said.contains("panicked"), "{said}");
}

#[test]
fn what_the_history_refuses_for_good_is_told_from_what_may_come() {
    let runtime = runtime();
    let code = |code: i64| format!("{{\"code\":{code},\"msg\":\"No.\"}}");
    for (status, body, is_for_good) in [
        (404, "<html>not found".to_owned(), true),
        (401, code(-2015), true),
        (400, code(-2014), true),
        (400, code(-1102), false),
        (500, code(-1000), false),
    ] {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let address = server::answering(move |_| answer.clone());
        let error = runtime.block_on(rest(address).history(&symbol(), 1, 1)).unwrap_err();
        let said = chain(&error);
        assert_eq!(matches!(error, RestError::NotServed { .. }), is_for_good, "{said}");
        assert_eq!(said.contains("give --rest-url https://api.binance.com"), is_for_good, "{said}");
        // Other questions to the same host are not about the history.
        let error = runtime.block_on(rest(address).time()).unwrap_err();
        assert!(matches!(error, RestError::Refused { .. }), "{error}");
    }
}

#[test]
fn nobody_is_followed_to_another_host() {
    let came = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&came);
    let elsewhere = server::answering(move |_| {
        note.store(true, Ordering::SeqCst);
        String::new()
    });
    let runtime = runtime();
    for status in [301, 302, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Elsewhere\r\nLocation: http://{elsewhere}/login\r\nContent-Length: 0\r\n\r\n");
        let address = server::answering(move |_| answer.clone());
        let error = runtime.block_on(rest(address).history(&symbol(), 1, 1)).unwrap_err();
        assert!(matches!(error, RestError::Moved { .. }));
        let words =
            format!("answered {status} and points to http://{elsewhere}/login: give where it is with --rest-url");
        assert!(error.to_string().contains(&words), "{error}");
    }
    assert!(!came.load(Ordering::SeqCst));
}

#[test]
fn what_is_not_binances_is_never_an_answer() {
    let page = "<html>\n<h1>Please log in\u{1b}[2J</h1>";
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    let address = server::answering(move |_| answer.clone());
    let (runtime, rest, symbol) = (runtime(), rest(address), symbol());
    let errors = runtime.block_on(async {
        [
            rest.history(&symbol, 1, 1).await.unwrap_err(),
            rest.newest_trades(&symbol).await.unwrap_err(),
            rest.aggregate(&symbol, None).await.unwrap_err(),
            rest.time().await.unwrap_err(),
            rest.unlisted(std::slice::from_ref(&symbol)).await.unwrap_err(),
        ]
    });
    for error in errors {
        let said = chain(&error);
        assert!(matches!(error, RestError::Foreign { .. }), "{said}");
        assert!(said.contains("--rest-url: <html>\\n<h1>Please log in") && !said.contains(['\n', '\u{1b}']), "{said}");
    }
}

#[test]
fn a_body_without_an_end_is_left() {
    let runtime = runtime();
    let begun = Instant::now();
    for head in ["HTTP/1.1 200 OK\r\n\r\n[", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"] {
        let error = runtime.block_on(rest(server::endless(head)).history(&symbol(), 1, 1)).unwrap_err();
        assert!(chain(&error).contains("the answer has more than 1048576 bytes"), "{}", chain(&error));
    }
    for head in ["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 404 No\r\n\r\n", "HTTP/1.1 451 No\r\n\r\n"] {
        let error = runtime.block_on(rest(server::endless(head)).history(&symbol(), 1, 1)).unwrap_err();
        assert!(chain(&error).len() < 600 && chain(&error).contains("bytes more"), "{}", chain(&error));
    }
    // None of them waited for the end of the request's time.
    eprintln!("{:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn endless_answers_do_not_take_the_captures_memory() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(94, 500.0)));
    let address = server::endless("HTTP/1.1 200 OK\r\n\r\n[");
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{address}"));
    let args = ["--stream-url", &stream, "--rest-url", &rest, "--backfill", "1h", "--format", "json"];
    let capture = Capture::start(folder.path(), &args);
    wait_until("the exchange was asked for its history", || capture.log().contains("aggTrades"));
    let output = capture.stop();
    let summary = summary(&output);
    assert!(summary["peak_rss_bytes"].as_u64() < Some(80_000_000), "{summary}");
}

/// A front before the exchange's REST that changes answers, as `change` says of a path and its answer.
fn front(exchange: SocketAddr, change: impl Fn(&str, String) -> String + Send + Sync + 'static) -> SocketAddr {
    let exchange = exchange.to_string();
    server::answering(move |line| {
        let path = line.split(' ').nth(1).unwrap_or_default();
        change(path, server::get(&exchange, path))
    })
}

/// Captures a stream that drops trades for a while; gives what is missing in the end of what was traded since its first
/// trade, by id, and the capture's end.
fn capture_with_drops(
    seed: u64,
    change: impl Fn(&str, String) -> String + Send + Sync + 'static,
    is_missing: impl Fn(u64) -> bool,
) -> (Vec<u64>, std::process::Output) {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let faults = Faults { seed, drop: 0.1, ..Faults::default() };
    let exchange = runtime.block_on(practice::start_with(practice::live_market(seed, 60.0), faults));
    let rest = front(exchange.address(), change);
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{rest}"));
    let args = ["--stream-url", &stream, "--rest-url", &rest, "--symbols", "BTCUSDT", "--format", "json"];
    let capture = Capture::start(folder.path(), &args);
    let list = || exchange.trades(&symbol()).iter().map(|trade| trade.id.get()).collect::<Vec<_>>();
    wait_until("the capture has begun", || capture.log().contains("tickflux: capturing"));
    wait_until("trades were dropped", || list().len() > 200);
    exchange.calm();
    let last = *list().last().unwrap();
    let missing = || {
        let stored = sqlite_trades(&folder.path().join("tickflux.db"));
        let stored: Vec<_> = stored.into_keys().map(|(_, id)| id).collect();
        let first = stored.first().copied().unwrap_or(0);
        let missing: Vec<_> =
            list().into_iter().filter(|id| (first..=last).contains(id) && !stored.contains(id)).collect();
        (stored.last().is_some_and(|newest| *newest > last), missing)
    };
    let letters = folder.path().join("tickflux-outbox/dead-letters/messages.txt");
    wait_until("the rest was repaired, or is a dead letter", || {
        let (is_past, missing) = missing();
        let letters = std::fs::read_to_string(&letters).unwrap_or_default();
        let kept = letters.matches("\"price\":\"0.00000000\"").count();
        is_past && missing.iter().all(|id| is_missing(*id)) && kept >= missing.len()
    });
    let output = capture.stop();
    (missing().1, output)
}

#[test]
fn where_the_history_is_not_served_the_newest_trades_repair() {
    let change = |path: &str, answer: String| {
        let refusal = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
        if path.contains("historicalTrades") { refusal } else { answer }
    };
    let (missing, output) = capture_with_drops(96, change, |_| false);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("answered 404, it does not serve historicalTrades") && said.contains("--rest-url https://api"),
        "{said}"
    );
    assert!(summary(&output)["holes_repaired"].as_u64() > Some(0));
}

#[test]
fn a_bad_row_of_the_history_becomes_a_dead_letter_and_hides_nothing() {
    // Every third id has no price in the history.
    let is_bad = |id: u64| id.is_multiple_of(3);
    let change = move |path: &str, answer: String| {
        if !path.contains("historicalTrades") {
            return answer;
        }
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut rows: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
        for row in rows.iter_mut().filter(|row| is_bad(row["id"].as_u64().unwrap())) {
            row["price"] = "0.00000000".into();
        }
        let body = serde_json::to_string(&rows).unwrap();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let (missing, output) = capture_with_drops(97, change, is_bad);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!missing.is_empty() && missing.iter().all(|id| is_bad(*id)), "{missing:?} {said}");
    assert_eq!(summary(&output)["dead_letters"], missing.len(), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}
