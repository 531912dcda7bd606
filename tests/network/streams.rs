//! What strangers put where a stream should be, and what they send on one.

use std::net::SocketAddr;

use futures_util::SinkExt;
use tickflux::binance::stream::{self, Group, StreamError, StreamEvent};
use tickflux::net::Network;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{minute_ago, practice, runtime, server, summary, tickflux, trade};

/// Opens a stream at `address` and gives what it tells.
fn open(address: SocketAddr) -> (mpsc::Receiver<(u64, StreamEvent)>, oneshot::Sender<()>) {
    let (events, told) = mpsc::channel(16);
    let (open, closed) = oneshot::channel();
    let url = format!("ws://{address}/stream?streams=btcusdt@trade");
    tokio::spawn(stream::run(url, Network::local().unwrap(), 0, events, closed));
    (told, open)
}

async fn refusal(address: SocketAddr) -> StreamError {
    match open(address).0.recv().await.unwrap().1 {
        StreamEvent::Closed(why) => why,
        other => panic!("{other:?}"),
    }
}

/// A WebSocket server that does this with the first who comes.
async fn serve<F: Future<Output = ()> + Send>(
    serve: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        serve(tokio_tungstenite::accept_async(client).await.unwrap()).await;
    });
    address
}

async fn groups(told: &mut mpsc::Receiver<(u64, StreamEvent)>, is_last: impl Fn(&Group) -> bool) -> Vec<Group> {
    let mut groups = Vec::new();
    loop {
        match told.recv().await.unwrap().1 {
            StreamEvent::Opened => {}
            StreamEvent::Messages(group) => {
                groups.push(group);
                if groups.last().is_some_and(&is_last) {
                    return groups;
                }
            }
            StreamEvent::Closed(why) => panic!("{why}"),
        }
    }
}

#[test]
fn what_answers_instead_of_a_stream_is_told_with_what_to_do() {
    let place = "Service unavailable from a restricted location";
    let runtime = runtime();
    for (answer, words) in [
        (
            format!("HTTP/1.1 451 No\r\nContent-Type: application/json\r\n\r\n{{\"code\":0,\"msg\":\"{place}\"}}"),
            &[
                "answered 451",
                "--stream-url wss://data-stream.binance.vision",
                "--rest-url https://data-api.binance.vision",
            ][..],
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n<html>WAF".to_owned(), &["answered 403", "--stream-url wss://data-stream"]),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html>Please log in".to_owned(),
            &["answered 200", "text/html", "login page", "--stream-url"],
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n\r\n".to_owned(),
            &["answered 302", "points to http://portal.example/login", "--stream-url"],
        ),
        ("HTTP/1.1 404 Not Found\r\n\r\nno such path".to_owned(), &["answered 404", "see --stream-url: no such path"]),
        ("HTTP/1.1 301 Moved\r\n\r\n".to_owned(), &["answered 301", "nothing in particular"]),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), &["cannot open"]),
        (String::new(), &["cannot open"]),
    ] {
        let address = server::answering(move |_| answer.clone());
        let why = runtime.block_on(refusal(address)).to_string();
        assert!(words.iter().all(|word| why.contains(word)), "{words:?} are not in {why}");
        assert!(why.contains(&format!("ws://{address}/stream")), "{why}");
    }
}

#[test]
fn no_answer_of_a_stranger_is_long_or_breaks_a_line() {
    let runtime = runtime();
    let forged = "\u{1b}[2Jdone\n2026-11-25T10:00:00Z  INFO all is well ";
    for head in ["HTTP/1.1 451 No\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n"] {
        let address = server::answering(move |_| format!("{head}{forged}{}", "x".repeat(50_000)));
        let why = runtime.block_on(refusal(address)).to_string();
        assert!(why.len() < 700 && !why.contains(['\n', '\u{1b}']), "{why}");
    }
    let long = format!("HTTP/1.1 302 Found\r\nLocation: http://{}\r\n\r\n", "y".repeat(10_000));
    let address = server::answering(move |_| long.clone());
    assert!(runtime.block_on(refusal(address)).to_string().len() < 700);
    // A close frame may say anything, too.
    let why = runtime.block_on(async {
        let reason = "bye\n2026-11-25T10:00:00Z  INFO all is well".into();
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1008.into(), reason };
        let address = serve(async move |mut socket| socket.close(Some(frame)).await.unwrap()).await;
        let (mut told, _open) = open(address);
        loop {
            if let StreamEvent::Closed(why) = told.recv().await.unwrap().1 {
                return why.to_string();
            }
        }
    });
    assert_eq!(why, "closed by the exchange: bye\\n2026-11-25T10:00:00Z  INFO all is well (1008)");
}

#[test]
fn a_place_that_is_not_served_is_named_by_the_capture() {
    let folder = tempfile::tempdir().unwrap();
    let address = server::answering(|_| "HTTP/1.1 451 No\r\nContent-Length: 0\r\n\r\n".to_owned());
    let (stream, rest) = (format!("ws://{address}"), format!("http://{address}"));
    let output =
        tickflux(folder.path(), &["capture", "--stream-url", &stream, "--rest-url", &rest, "--duration", "1s"]);
    let said = String::from_utf8_lossy(&output.stderr);
    for words in [
        format!("{rest}/api/v3/exchangeInfo"),
        "market data is also at --rest-url https://data-api.binance.vision".to_owned(),
        "market data is also at --stream-url wss://data-stream.binance.vision".to_owned(),
    ] {
        assert!(said.contains(&words), "{words} is not in {said}");
    }
}

#[test]
fn a_large_message_is_one_message_and_the_connection_goes_on() {
    runtime().block_on(async {
        let address = serve(async |mut socket| {
            for length in [1 << 20, 70_000, 2 << 20, 3] {
                socket.send(Message::text("x".repeat(length))).await.unwrap();
            }
            std::future::pending().await
        })
        .await;
        let (mut told, _open) = open(address);
        let groups = groups(&mut told, |group| group.texts.last().is_some_and(|text| text.len() == 3)).await;
        let lengths: Vec<_> = groups.iter().flat_map(|group| &group.texts).map(|text| text.len()).collect();
        assert_eq!(lengths, [1 << 20, 70_000, 2 << 20, 3]);
    });
}

#[test]
fn a_message_past_the_limit_ends_the_connection() {
    runtime().block_on(async {
        let address = serve(async |mut socket| {
            // It hangs up in the middle of it.
            let _ = socket.send(Message::text("x".repeat((2 << 20) + 1))).await;
        })
        .await;
        let (mut told, _open) = open(address);
        assert!(matches!(told.recv().await.unwrap().1, StreamEvent::Opened));
        let StreamEvent::Closed(why) = told.recv().await.unwrap().1 else { panic!("it was taken") };
        assert!(why.to_string().contains("too long"), "{why}");
    });
}

/// Whether "last" came.
fn ends_with_last(group: &Group) -> bool {
    group.texts.last().is_some_and(|text| text.as_str() == "last")
}

#[test]
fn groups_are_bounded_by_messages_and_by_bytes() {
    runtime().block_on(async {
        let address = serve(async |mut socket| {
            for _ in 0..40 {
                socket.feed(Message::text("x".repeat(700_000))).await.unwrap();
            }
            for _ in 0..5_000 {
                socket.feed(Message::text("small")).await.unwrap();
            }
            socket.send(Message::text("last")).await.unwrap();
            std::future::pending().await
        })
        .await;
        let (mut told, _open) = open(address);
        let groups = groups(&mut told, ends_with_last).await;
        let messages: usize = groups.iter().map(|group| group.texts.len()).sum();
        assert_eq!(messages, 40 + 5_000 + 1, "nothing is lost");
        for group in &groups {
            let bytes: usize = group.texts.iter().map(|text| text.len()).sum();
            assert!(
                group.texts.len() <= 512 && bytes < (1 << 20) + 700_000,
                "{} messages, {bytes} bytes",
                group.texts.len()
            );
        }
    });
}

#[test]
fn binary_messages_are_counted() {
    runtime().block_on(async {
        let address = serve(async |mut socket| {
            for message in [Message::binary("123"), Message::binary(""), Message::text("t"), Message::binary("4")] {
                socket.send(message).await.unwrap();
            }
            socket.send(Message::text("last")).await.unwrap();
            std::future::pending().await
        })
        .await;
        let (mut told, _open) = open(address);
        let groups = groups(&mut told, ends_with_last).await;
        assert_eq!(groups.iter().map(|group| group.binary).sum::<u32>(), 3);
        assert_eq!(groups.iter().map(|group| group.texts.len()).sum::<usize>(), 2);
    });
}

#[test]
fn a_flood_of_pings_that_nobody_takes_pongs_for_takes_no_memory() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let address = runtime.block_on(serve(async |socket| {
        // A million pings, 131 MB of pongs, and not one of them is read.
        let mut socket = socket.into_inner();
        let pings = [&[0x89, 125][..], &[7; 125]].concat().repeat(1_000);
        for _ in 0..1_000 {
            socket.write_all(&pings).await.unwrap();
        }
        let mut socket =
            WebSocketStream::from_raw_socket(socket, tokio_tungstenite::tungstenite::protocol::Role::Server, None)
                .await;
        let message = practice::message(&trade("BTCUSDT", 7, minute_ago(0), "5.5"));
        socket.send(Message::text(message)).await.unwrap();
        std::future::pending().await
    }));
    let (stream, dead) =
        (format!("ws://{address}"), format!("http://127.0.0.1:{}", crate::support::influxd::free_port()));
    let args = ["capture", "--stream-url", &stream, "--rest-url", &dead, "--symbols", "BTCUSDT", "--count", "1"];
    let output = tickflux(folder.path(), &[&args[..], &["--duration", "2m", "--format", "json"]].concat());
    let summary = summary(&output);
    assert_eq!(summary["trades"], 1, "{summary} {}", String::from_utf8_lossy(&output.stderr));
    assert!(summary["peak_rss_bytes"].as_u64() < Some(60_000_000), "{summary}");
}
