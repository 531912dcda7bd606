//! Recorded sessions: what is kept, what is moved, when it begins, what is refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tickflux::practice::replay::ReplayError;
use tickflux::practice::{self, Config, ExchangeError, Speed};

use crate::kit::*;

const BOTH: &str = "/ws/btcusdt@trade/ethusdt@trade";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn everything_is_kept_but_the_times_and_they_move_by_whole_minutes() {
    let events = events(300);
    let last_ms = events.iter().map(|event| event.time_ms).max().unwrap();
    for file in [file(recording(&events, 0)), file(gzip(recording(&events, 0).as_bytes()))] {
        let config = Config::new(replay(&file, Speed::Max, None), still_clock);
        let exchange = practice::start(ANY, config).await.unwrap();
        let shift = exchange.shift_minutes();
        let moved_ms = last_ms + shift * 60_000;
        assert!(moved_ms <= NOW_MS && moved_ms + 60_000 > NOW_MS, "the last T is {} before now", NOW_MS - moved_ms);
        let http = Http::new(&exchange);
        assert_eq!(http.stats().await["shift_minutes"], shift);
        let mut socket = connect(&exchange, BOTH).await;
        for event in &events {
            assert_eq!(text(&mut socket).await, event.moved(shift).raw());
        }
        // REST serves the same.
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let of_it: Vec<_> = events.iter().filter(|event| event.symbol == symbol).collect();
            let rows = http.get(&format!("/api/v3/historicalTrades?symbol={symbol}&fromId=0&limit=1000")).await.rows();
            assert_eq!(rows.len(), of_it.len());
            for (row, event) in rows.iter().zip(of_it) {
                let event = event.moved(shift);
                assert_eq!((&row["id"], &row["time"]), (&event.id.into(), &event.time_ms.into()));
                assert_eq!((&row["price"], &row["qty"]), (&event.price.into(), &event.quantity.into()));
                assert_eq!(row["isBuyerMaker"], event.buyer_is_maker);
            }
        }
    }
}

#[tokio::test]
async fn a_shift_can_be_given() {
    let events = events(3);
    let file = file(recording(&events, 0));
    let exchange = exchange(replay(&file, Speed::Max, Some(-7))).await;
    let mut socket = connect(&exchange, BOTH).await;
    assert_eq!(text(&mut socket).await, events[0].moved(-7).raw());
    assert_eq!(Http::new(&exchange).stats().await["shift_minutes"], -7);
}

#[tokio::test]
async fn a_replay_begins_with_the_first_subscriber_only() {
    let file = file(recording(&events(100), 0));
    for speed in [Speed::Max, Speed::Times(1_000.0)] {
        let exchange = exchange(replay(&file, speed, None)).await;
        let http = Http::new(&exchange);
        // Neither of these is one.
        let mut socket = connect(&exchange, "/ws").await;
        let _silent = connect(&exchange, "/ws/nosuch@trade").await;
        assert_eq!(http.get("/api/v3/trades?symbol=BTCUSDT").await.body, "[]");
        for _ in 0..20 {
            let stats = http.stats().await;
            assert!(stats["symbols"].as_object().unwrap().values().all(|symbol| symbol["trades"] == 0), "{stats}");
        }
        let subscribe = r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@trade"],"id":1}"#;
        assert_eq!(ask(&mut socket, subscribe).await, r#"{"result":null,"id":1}"#);
        for _ in 0..100 {
            text(&mut socket).await;
        }
        http.stats_until(|stats| stats["ended"] == true).await;
    }
}

#[tokio::test]
async fn a_replay_keeps_its_pace() {
    let events = events(4);
    let file = file(recording(&events, 400));
    let exchange = exchange(replay(&file, Speed::Times(2.0), None)).await;
    let start = Instant::now();
    let mut socket = connect(&exchange, BOTH).await;
    for event in &events {
        assert_eq!(text(&mut socket).await, event.moved(exchange.shift_minutes()).raw());
    }
    // Three gaps at twice the speed, and the 400 ms before the first trade.
    assert!(start.elapsed() >= Duration::from_millis(800), "after {:?}", start.elapsed());
}

#[tokio::test]
async fn no_speed_is_too_slow() {
    let file = file(recording(&events(2), 1));
    for times in [1e-300, 0.0, f64::NAN] {
        let exchange = exchange(replay(&file, Speed::Times(times), None)).await;
        let mut socket = connect(&exchange, BOTH).await;
        assert_eq!(ask(&mut socket, r#"{"method":"GET_PROPERTY","params":["combined"],"id":1}"#).await.len(), 23);
        let stats = Http::new(&exchange).stats().await;
        assert_eq!((&stats["ended"], &stats["subscribers"]), (&false.into(), &1.into()));
    }
}

#[tokio::test]
async fn what_two_connections_recorded_is_served_once_and_in_order() {
    let events = events(200);
    // The second connection delivers everything again, a little later.
    let twice: Vec<_> = events.chunks(10).flat_map(|chunk| chunk[5..].iter().chain(chunk)).cloned().collect();
    let file = file(recording(&twice, 0));
    let exchange = exchange(replay(&file, Speed::Max, Some(0))).await;
    let mut socket = connect(&exchange, "/ws/btcusdt@trade").await;
    let of_btc: Vec<_> = events.iter().filter(|event| event.symbol == "BTCUSDT").collect();
    for event in &of_btc {
        assert_eq!(text(&mut socket).await, event.raw());
    }
    let http = Http::new(&exchange);
    let stats = http.stats_until(|stats| stats["ended"] == true).await;
    assert_eq!(stats["symbols"]["BTCUSDT"]["trades"], of_btc.len());
    let middle = of_btc[of_btc.len() / 2].id;
    let rows = http.get(&format!("/api/v3/historicalTrades?symbol=BTCUSDT&fromId={middle}")).await.rows();
    assert_eq!((&rows[0]["id"], rows.len()), (&middle.into(), of_btc.len() - of_btc.len() / 2));
}

#[tokio::test]
async fn recordings_that_are_none_are_refused_with_the_reason() {
    let whole = recording(&events(20), 1);
    let cut = &whole[..30];
    let zipped = gzip(whole.as_bytes());
    let cut_zip = &zipped[..20];
    let foreign = format!("time,price\n{whole}");
    let refused = async |file: &tempfile::NamedTempFile| {
        practice::start(ANY, Config::new(replay(file, Speed::Max, None), wall_clock)).await.unwrap_err()
    };
    let is_cut = |error: &ReplayError| matches!(error, ReplayError::Cut { .. });
    let is_foreign = |error: &ReplayError| matches!(error, ReplayError::Foreign { .. });
    let is_empty = |error: &ReplayError| matches!(error, ReplayError::Empty { .. });
    type IsRight<'a> = &'a dyn Fn(&ReplayError) -> bool;
    let cases: [(&[u8], IsRight<'_>, &str); 5] = [
        (cut.as_bytes(), &is_cut, "is cut off before its first trade"),
        (cut_zip, &is_cut, "is cut off before its first trade"),
        (foreign.as_bytes(), &is_foreign, "is not a recorded session: line 1: "),
        (b"", &is_empty, "holds no trade"),
        (b"1 {\"result\":null,\"id\":1}\n", &is_empty, "holds no trade"),
    ];
    for (bytes, is_right, message) in cases {
        let file = file(bytes);
        let error = refused(&file).await;
        assert!(matches!(&error, ExchangeError::Replay(error) if is_right(error)), "{error:?}");
        let wanted = format!("{} {message}", file.path().display());
        assert!(error.to_string().starts_with(&wanted), "{error}");
    }
    let missing = file("");
    std::fs::remove_file(missing.path()).unwrap();
    assert!(matches!(refused(&missing).await, ExchangeError::Replay(ReplayError::Read { .. })));
}

#[tokio::test]
async fn a_recording_larger_than_the_history_is_refused() {
    let file = file(recording(&events(20), 1));
    let start = async |history| {
        practice::start(ANY, Config { history, ..Config::new(replay(&file, Speed::Max, None), wall_clock) }).await
    };
    let error = start(19).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Replay(ReplayError::TooLong { most: 19, .. })), "{error:?}");
    assert!(start(20).await.is_ok());
}

/// Ended with the test, however that ends.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_program_prints_the_shift_that_it_serves() {
    let file = file(recording(&events(20), 1));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickflux"));
    command.args(["exchange", "--listen", "127.0.0.1:0", "--speed", "max", "--replay"]).arg(file.path());
    let mut child = Child(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let listening = line();
    let address = listening.strip_prefix("listening on ").unwrap().split(':').take(2).collect::<Vec<_>>().join(":");
    let moved = line();
    let shift = moved.strip_prefix("times are moved by ").unwrap().strip_suffix(" minutes").unwrap().to_owned();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(connection).unwrap();
    assert!(answer.contains(&format!(r#""shift_minutes":{shift},"#)), "{moved} but {answer}");
    assert!(shift.parse::<i64>().unwrap() > 0);
}
