//! Streams: forms, requests on the socket, pings, limits, slow readers.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tickflux::practice::{self, Config, Speed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, client_async, connect_async};

use crate::kit::*;

const BOTH: &str = "/stream?streams=btcusdt@trade/ethusdt@trade";

#[tokio::test]
async fn combined_and_raw_events_are_binances_byte_for_byte() {
    let events = events(200);
    let file = file(recording(&events, 1));
    let wanted: Vec<_> = events.iter().map(Event::combined).collect();
    assert_eq!(received(&file, BOTH, wanted.len()).await, wanted);
    let of_eth: Vec<_> = events.iter().filter(|event| event.symbol == "ETHUSDT").collect();
    let wanted: Vec<_> = of_eth.iter().map(|event| event.raw()).collect();
    assert_eq!(received(&file, "/ws/ethusdt@trade", wanted.len()).await, wanted);
    let wanted: Vec<_> = of_eth.iter().map(|event| event.combined()).collect();
    assert_eq!(received(&file, "/stream?streams=ethusdt@trade", wanted.len()).await, wanted);
    let wanted: Vec<_> = events.iter().map(Event::raw).collect();
    assert_eq!(received(&file, "/ws/ethusdt@trade/btcusdt@trade", wanted.len()).await, wanted);
}

async fn received(file: &tempfile::NamedTempFile, path: &str, count: usize) -> Vec<String> {
    let exchange = exchange(replay(file, Speed::Max, Some(0))).await;
    let mut socket = connect(&exchange, path).await;
    let mut texts = Vec::new();
    while texts.len() < count {
        texts.push(text(&mut socket).await);
    }
    texts
}

#[tokio::test]
async fn a_socket_is_asked_for_streams() {
    let exchange = exchange(live(2_000.0, None)).await;
    let http = Http::new(&exchange);
    let mut socket = connect(&exchange, "/ws").await;
    // The first text is the acknowledgement, before any event, and has no "e".
    send(&mut socket, r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","nosuch@trade"],"id":1}"#).await;
    assert_eq!(text(&mut socket).await, r#"{"result":null,"id":1}"#);
    assert_eq!(trade_of(&text(&mut socket).await)["s"], "BTCUSDT");
    let listed = ask(&mut socket, r#"{"method":"LIST_SUBSCRIPTIONS","id":"list"}"#).await;
    assert_eq!(listed, r#"{"result":["btcusdt@trade","nosuch@trade"],"id":"list"}"#);
    let left = ask(&mut socket, r#"{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":null}"#).await;
    assert_eq!(left, r#"{"result":null,"id":null}"#);
    // Trading goes on, but not for this socket: its next text is an answer.
    let before = http.stats_until(|stats| stats["subscribers"] == 0).await["symbols"]["BTCUSDT"]["trades"].clone();
    http.stats_until(|stats| stats["symbols"]["BTCUSDT"]["trades"].as_u64() > before.as_u64()).await;
    send(&mut socket, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#).await;
    assert_eq!(text(&mut socket).await, r#"{"result":["nosuch@trade"],"id":2}"#);
}

#[tokio::test]
async fn a_socket_can_change_its_form() {
    let exchange = exchange(live(2_000.0, None)).await;
    let mut socket = connect(&exchange, "/ws/btcusdt@trade").await;
    assert!(text(&mut socket).await.starts_with(r#"{"e":"trade","#));
    let set = ask(&mut socket, r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#).await;
    assert_eq!(set, r#"{"result":null,"id":5}"#);
    assert!(text(&mut socket).await.starts_with(r#"{"stream":"btcusdt@trade","data":{"e":"trade","#));
    let combined = ask(&mut socket, r#"{"method":"GET_PROPERTY","params":["combined"],"id":6}"#).await;
    assert_eq!(combined, r#"{"result":true,"id":6}"#);
}

#[tokio::test]
async fn requests_that_are_none_get_errors_and_the_stream_goes_on() {
    let exchange = exchange(live(2_000.0, None)).await;
    let mut socket = connect(&exchange, "/ws/btcusdt@trade").await;
    assert!(ask(&mut socket, "not json").await.starts_with(r#"{"code":3,"msg":"Invalid JSON: "#));
    assert!(ask(&mut socket, r#"{"method":"STOP","id":1}"#).await.starts_with(r#"{"code":2,"msg":"Invalid request: "#));
    let names: Vec<_> = (0..1_024).map(|at| format!("s{at}@trade")).collect();
    let many = format!(r#"{{"method":"SUBSCRIBE","params":{},"id":19}}"#, serde_json::to_string(&names).unwrap());
    let refused = ask(&mut socket, &many).await;
    assert_eq!(refused, r#"{"error":{"code":4,"msg":"Too many subscriptions"},"id":19}"#);
    let listed = ask(&mut socket, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#).await;
    assert_eq!(listed, r#"{"result":["btcusdt@trade"],"id":2}"#);
    assert_eq!(trade_of(&text(&mut socket).await)["s"], "BTCUSDT");
}

#[tokio::test]
async fn more_streams_than_a_connection_may_have_close_it() {
    let exchange = exchange(past(&["BTCUSDT"], 10)).await;
    // Short ones, so that the URL is not too long.
    let names: Vec<_> = (0..1_024).map(|at| format!("s{at}")).collect();
    let mut socket = connect(&exchange, &format!("/ws/btcusdt@trade/{}", names.join("/"))).await;
    assert_eq!(until_closed(&mut socket).await, (Vec::new(), 1008, "Too many streams".to_owned()));
    assert_eq!(exchange.trades(&"BTCUSDT".parse().unwrap()), [], "it was no subscriber");
}

#[tokio::test]
async fn a_url_longer_than_binance_takes_is_refused() {
    let exchange = exchange(past(&["BTCUSDT"], 10)).await;
    for (path, is_taken) in [("/stream?streams=", true), ("/ws/", true), ("/stream?streams=", false), ("/ws/", false)] {
        let name = "x".repeat(8_004 - path.len() + usize::from(!is_taken));
        let opened = soon(connect_async(format!("ws://{}{path}{name}", exchange.address()))).await;
        match opened {
            Ok(_) => assert!(is_taken, "{path}"),
            Err(Error::Http(answer)) => assert!(!is_taken && answer.status() == 414, "{path} gave {answer:?}"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn names_outside_ascii_are_percent_encoded() {
    for symbol in ["币安人生USDT", "ÑANDÚUSDT"] {
        let exchange = exchange(past(&[symbol], 3)).await;
        let symbol: tickflux::trade::Symbol = symbol.parse().unwrap();
        let stream = symbol.stream_name();
        let name = percent_encoding::utf8_percent_encode(&stream, percent_encoding::NON_ALPHANUMERIC);
        let mut socket = connect(&exchange, &format!("/stream?streams={name}")).await;
        let message: serde_json::Value = serde_json::from_str(&text(&mut socket).await).unwrap();
        assert_eq!(message["stream"], stream);
        assert_eq!(message["data"]["s"], symbol.as_str());
        let mut socket = connect(&exchange, &format!("/ws/{name}")).await;
        let listed = ask(&mut socket, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#).await;
        assert_eq!(serde_json::from_str::<serde_json::Value>(&listed).unwrap()["result"][0], stream);
    }
}

#[tokio::test]
async fn streams_that_nobody_has_are_accepted_and_silent() {
    let exchange = exchange(past(&["BTCUSDT"], 10)).await;
    let http = Http::new(&exchange);
    // Binance's names are lower case, and other streams than trades are not ours.
    let mut socket = connect(&exchange, "/stream?streams=BTCUSDT@trade/btcusdt@depth/nosuch@trade").await;
    let listed = ask(&mut socket, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#).await;
    assert_eq!(listed, r#"{"result":["BTCUSDT@trade","btcusdt@depth","nosuch@trade"],"id":1}"#);
    let stats = http.stats().await;
    assert_eq!((&stats["subscribers"], &stats["symbols"]["BTCUSDT"]["trades"]), (&0.into(), &0.into()));
    // With one that exists, only that one speaks.
    send(&mut socket, r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":2}"#).await;
    assert_eq!(text(&mut socket).await, r#"{"result":null,"id":2}"#);
    for _ in 0..10 {
        assert!(text(&mut socket).await.starts_with(r#"{"stream":"btcusdt@trade","#));
    }
}

#[tokio::test]
async fn pings_carry_a_payload_and_who_answers_them_stays() {
    let (interval, timeout) = (Duration::from_millis(300), Duration::from_secs(3));
    let config = Config::new(live(10.0, None), wall_clock);
    let exchange =
        practice::start(ANY, Config { ping_interval: interval, ping_timeout: timeout, ..config }).await.unwrap();
    let mut socket = connect(&exchange, "/ws").await;
    let (start, mut payloads) = (Instant::now(), Vec::new());
    while start.elapsed() < timeout + 2 * interval {
        match soon(socket.next()).await.unwrap().unwrap() {
            Message::Ping(payload) => payloads.push(payload),
            other => panic!("{other:?} on a silent stream"),
        }
    }
    assert!(payloads.iter().all(|payload| std::str::from_utf8(payload).unwrap().parse::<i64>().is_ok()));
    assert!(ask(&mut socket, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#).await.contains("result"));
}

#[tokio::test]
async fn who_never_answers_a_ping_is_closed_and_other_pongs_do_not_help() {
    let (interval, timeout) = (Duration::from_millis(250), Duration::from_millis(700));
    let config = Config::new(live(10.0, None), wall_clock);
    let exchange =
        practice::start(ANY, Config { ping_interval: interval, ping_timeout: timeout, ..config }).await.unwrap();
    // Final, masked, empty; alone and after each ping, yet within the five messages of a second.
    for pong in [&[][..], &[0x8a, 0x80, 0, 0, 0, 0]] {
        let start = Instant::now();
        // A socket without a library: every library answers pings by itself.
        let mut socket = TcpStream::connect(exchange.address()).await.unwrap();
        let upgrade = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            exchange.address()
        );
        socket.write_all(upgrade.as_bytes()).await.unwrap();
        // With room, so that a frame is one read.
        let mut read = Vec::with_capacity(4 << 10);
        let reading = async {
            while !read.ends_with(b"Pong timeout") {
                assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "ended without a reason");
                socket.write_all(pong).await.unwrap();
            }
        };
        soon(reading).await;
        let close = [&[0x88, 14], &1008_u16.to_be_bytes()[..], b"Pong timeout"].concat();
        assert!(read.ends_with(&close), "{read:?}");
        assert!(start.elapsed() > timeout, "closed after {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn more_than_five_messages_in_a_second_close_the_connection() {
    let exchange = exchange(live(10.0, None)).await;
    let mut socket = connect(&exchange, "/ws").await;
    // So many that the turn of a second among them does not matter.
    for id in 0..30 {
        socket.feed(Message::text(format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":{id}}}"#))).await.unwrap();
    }
    socket.flush().await.unwrap();
    let (answers, code, reason) = until_closed(&mut socket).await;
    assert_eq!((code, reason.as_str()), (1008, "Too many requests"));
    assert!((5..30).contains(&answers.len()), "{} answers", answers.len());
}

#[tokio::test]
async fn a_close_of_the_clients_is_answered() {
    let exchange = exchange(live(10.0, None)).await;
    let mut socket = connect(&exchange, BOTH).await;
    soon(socket.close(None)).await.unwrap();
    // Trades on their way come first; then the close, in order.
    let (_, code, reason) = until_closed(&mut socket).await;
    assert_eq!((code, reason.as_str()), (0, ""));
    Http::new(&exchange).stats_until(|stats| stats["subscribers"] == 0).await;
}

#[tokio::test]
async fn two_subscribers_get_the_same_and_a_later_one_only_what_comes_later() {
    let exchange = exchange(live(2_000.0, None)).await;
    let mut early = connect(&exchange, "/ws/btcusdt@trade").await;
    let mut from_early = vec![text(&mut early).await];
    let mut late = connect(&exchange, "/ws/btcusdt@trade").await;
    let mut from_late = Vec::new();
    while from_late.len() < 300 {
        from_late.push(text(&mut late).await);
    }
    assert!(id_of(&from_late[0]) > id_of(&from_early[0]));
    while from_early.last() != from_late.last() {
        from_early.push(text(&mut early).await);
    }
    assert!(from_early.ends_with(&from_late));
    // REST has what the later one missed.
    let (first, joined) = (id_of(&from_early[0]), id_of(&from_late[0]));
    let path = format!("/api/v3/historicalTrades?symbol=BTCUSDT&fromId={first}&limit=1000");
    let rows = Http::new(&exchange).get(&path).await.rows();
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert!(ids[0] == first && (ids.contains(&joined) || ids.len() == 1_000));
}

#[tokio::test]
async fn at_full_speed_a_reader_that_pauses_misses_nothing() {
    const TRADES: u64 = 50_000;
    // The second keeps far less than a reader can lag behind.
    for history in [2_000_000, 3_000] {
        let config = Config { history, ..Config::new(past(&["BTCUSDT"], TRADES), wall_clock) };
        let exchange = practice::start(ANY, config).await.unwrap();
        let http = Http::new(&exchange);
        let mut socket = narrow(exchange.address(), "/ws/btcusdt@trade").await;
        let first = id_of(&text(&mut socket).await);
        for id in first + 1..first + TRADES {
            assert_eq!(id_of(&text(&mut socket).await), id);
            if id.is_multiple_of(10_000) {
                // Until the exchange waits for us.
                let mut last = serde_json::Value::Null;
                while http.stats().await != last {
                    last = http.stats().await;
                }
            }
        }
        let stats = http.stats_until(|stats| stats["ended"] == true).await;
        assert_eq!(stats["symbols"]["BTCUSDT"]["last_id"], first + TRADES - 1);
    }
}

#[tokio::test]
async fn a_live_reader_that_stalls_is_closed_and_skips_nothing() {
    let source = market(&["BTCUSDT"], 50_000.0, None, Speed::Times(1.0));
    let exchange = practice::start(ANY, Config { history: 20_000, ..Config::new(source, wall_clock) }).await.unwrap();
    let http = Http::new(&exchange);
    let mut socket = narrow(exchange.address(), "/ws/btcusdt@trade").await;
    let last = http.stats_until(|stats| stats["subscribers"] == 1).await["symbols"]["BTCUSDT"]["last_id"].as_u64();
    // More than the sockets' buffers hold is no longer there.
    let gone = last.unwrap_or(0) + 80_000;
    http.stats_until(|stats| stats["symbols"]["BTCUSDT"]["first_id"].as_u64() > Some(gone)).await;
    let (texts, code, reason) = until_closed(&mut socket).await;
    assert_eq!((code, reason.as_str()), (1008, "too slow"));
    assert!(texts.windows(2).all(|pair| id_of(&pair[0]) + 1 == id_of(&pair[1])));
}

/// A socket with a small receive buffer, so that a reader that pauses is felt early.
async fn narrow(address: std::net::SocketAddr, path: &str) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let stream = MaybeTlsStream::Plain(socket.connect(address).await.unwrap());
    client_async(format!("ws://{address}{path}"), stream).await.unwrap().0
}
