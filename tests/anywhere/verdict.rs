//! The verdict says what happened: a run that got nothing never says "ok".

use std::process::Output;

use nix::sys::signal::Signal;

use crate::support::influxd::free_port;
use crate::support::process::{Capture, wait_until};
use crate::support::{minute_ago, practice, runtime, server, summary, tickflux, trade};

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

fn args<'a>(stream: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args =
        ["--store", "sqlite:trades.db", "--rest-url", "http://127.0.0.1:9", "--format", "json", "--stream-url", stream];
    [&args[..], more].concat()
}

#[test]
fn without_a_trade_it_ends_with_3_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let dead = format!("ws://127.0.0.1:{}", free_port());
    let output = tickflux(folder.path(), &[&["capture"], &args(&dead, &["--duration", "1s"])[..]].concat());
    assert_eq!(output.status.code(), Some(3));
    assert!(last_line(&output).contains("no trade came") && last_line(&output).contains("Connection refused"));
    // A signal instead of a duration.
    let capture = Capture::start(folder.path(), &args(&dead, &[]));
    wait_until("it tries", || capture.log().contains("Stream connection closed"));
    capture.signal(Signal::SIGINT);
    let output = capture.wait();
    assert_eq!(output.status.code(), Some(3), "{}", last_line(&output));
}

#[test]
fn a_stream_that_gives_only_what_is_no_trade_is_told_apart() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    for (messages, words) in [
        (vec![], "no trade yet"),
        (vec!["<html>please log in</html>".to_owned()], "not JSON"),
        (vec![r#"{"code":2,"msg":"Invalid request"}"#.to_owned()], "no trade yet"),
    ] {
        let stream = format!("ws://{}", runtime.block_on(server::send_once(messages)));
        let output = tickflux(folder.path(), &[&["capture"], &args(&stream, &["--duration", "2s"])[..]].concat());
        assert_eq!(output.status.code(), Some(3));
        assert!(last_line(&output).contains(words), "{}", last_line(&output));
    }
}

#[test]
fn fewer_trades_than_it_was_told_to_count_are_a_3() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let messages = (1..=7).map(|id| practice::message(&trade("BTCUSDT", id, minute_ago(0), "5"))).collect();
    let stream = format!("ws://{}", runtime.block_on(server::send_once(messages)));
    let more = ["--count", "10", "--duration", "2s", "--symbols", "BTCUSDT"];
    let output = tickflux(folder.path(), &[&["capture"], &args(&stream, &more)[..]].concat());
    assert_eq!((output.status.code(), &summary(&output)["trades"]), (Some(3), &7.into()));
    assert!(last_line(&output).contains("only 7 of 10 trades"), "{}", last_line(&output));
    let output = tickflux(
        folder.path(),
        &[&["capture"], &args(&stream, &["--count", "7", "--symbols", "BTCUSDT"])[..]].concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", last_line(&output));
}

#[test]
fn refused_messages_are_in_the_words_and_in_the_code() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let mut messages: Vec<_> = (1..=7).map(|id| practice::message(&trade("BTCUSDT", id, minute_ago(0), "5"))).collect();
    messages.insert(3, "garbage".to_owned());
    let stream = format!("ws://{}", runtime.block_on(server::send_once(messages)));
    let more = ["--count", "7", "--symbols", "BTCUSDT"];
    let output = tickflux(folder.path(), &[&["capture"], &args(&stream, &more)[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(last_line(&output).contains("1 refused"), "{}", last_line(&output));
}
