//! An exchange to test, its clients, and recordings.

use std::future::Future;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::HeaderMap;
use serde_json::Value;
use tempfile::NamedTempFile;
use tickflux::practice::{self, Config, Running, Source, Speed};
use tickflux::trade::TradeTime;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Any free port.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// A whole minute and 12.345 s.
pub(crate) const NOW_MS: i64 = 1_800_000_012_345;
/// No test waits longer for anything; none needs more than moments.
const AT_MOST: Duration = Duration::from_secs(60);

/// The wall clock.
pub(crate) fn wall_clock() -> TradeTime {
    TradeTime::from_ms(chrono::Utc::now().timestamp_millis()).unwrap()
}

/// A clock that stands still at [`NOW_MS`].
pub(crate) fn still_clock() -> TradeTime {
    TradeTime::from_ms(NOW_MS).unwrap()
}

/// What `future` gives, soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_MOST, future).await.unwrap()
}

/// A new seed, printed; `SEED` sets it.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    seed
}

/// A market of BTCUSDT and ETHUSDT that moves with the clock.
pub(crate) fn live(trades_per_second: f64, trades: Option<u64>) -> Source {
    market(&["BTCUSDT", "ETHUSDT"], trades_per_second, trades, Speed::Times(1.0))
}

/// `trades` of a market's past, as fast as its subscribers can take them.
pub(crate) fn past(symbols: &[&str], trades: u64) -> Source {
    market(symbols, 100.0, Some(trades), Speed::Max)
}

pub(crate) fn market(symbols: &[&str], trades_per_second: f64, trades: Option<u64>, speed: Speed) -> Source {
    let symbols = symbols.iter().map(|symbol| symbol.parse().unwrap()).collect();
    Source::Market { symbols, seed: seed(), trades_per_second, trades, speed }
}

/// An exchange by the wall clock.
pub(crate) async fn exchange(source: Source) -> Running {
    practice::start(ANY, Config::new(source, wall_clock)).await.unwrap()
}

pub(crate) async fn connect(exchange: &Running, path: &str) -> Socket {
    soon(connect_async(format!("ws://{}{path}", exchange.address()))).await.unwrap().0
}

/// The next text; pings on the way are answered.
pub(crate) async fn text(socket: &mut Socket) -> String {
    match next(socket).await {
        Message::Text(text) => text.to_string(),
        other => panic!("{other:?} is no text"),
    }
}

/// The next message that is no ping.
pub(crate) async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = soon(socket.next()).await.unwrap().unwrap();
        if !message.is_ping() {
            return message;
        }
    }
}

pub(crate) async fn send(socket: &mut Socket, request: &str) {
    soon(socket.send(Message::text(request))).await.unwrap();
}

/// The answer to `request`, with the events before it left out.
pub(crate) async fn ask(socket: &mut Socket, request: &str) -> String {
    send(socket, request).await;
    loop {
        let text = text(socket).await;
        if !text.contains(r#""e":"trade""#) {
            return text;
        }
    }
}

/// What comes until the exchange closes, and its code and reason.
pub(crate) async fn until_closed(socket: &mut Socket) -> (Vec<String>, u16, String) {
    let mut texts = Vec::new();
    let reading = async {
        loop {
            match next(socket).await {
                Message::Text(text) => texts.push(text.to_string()),
                Message::Close(frame) => break frame,
                other => panic!("{other:?} where only events and a close may be"),
            }
        }
    };
    // An echo of our own close is empty.
    let (code, reason) =
        soon(reading).await.map_or((0, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
    // The closing handshake ends in order, not in a reset.
    assert!(soon(socket.next()).await.is_none());
    (texts, code, reason)
}

/// The trade in a raw or combined event.
pub(crate) fn trade_of(text: &str) -> Value {
    let mut message: Value = serde_json::from_str(text).unwrap();
    match message.get_mut("data") {
        Some(data) => data.take(),
        None => message,
    }
}

pub(crate) fn id_of(text: &str) -> u64 {
    trade_of(text)["t"].as_u64().unwrap()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An HTTP client that keeps its connections.
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
}

impl Http {
    pub(crate) fn new(exchange: &Running) -> Self {
        // The client wants one, though it never speaks TLS here; another test may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { client: reqwest::Client::new(), base: format!("http://{}", exchange.address()) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let response = soon(self.client.get(format!("{}{path}", self.base)).send()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: soon(response.text()).await.unwrap() }
    }

    pub(crate) async fn stats(&self) -> Value {
        self.get("/stats").await.json()
    }

    /// Asks for `/stats` until they are as wanted.
    pub(crate) async fn stats_until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        soon(async {
            loop {
                let stats = self.stats().await;
                if is_so(&stats) {
                    return stats;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }
}

/// A trade event as Binance writes it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) symbol: &'static str,
    pub(crate) id: u64,
    pub(crate) event_ms: i64,
    pub(crate) time_ms: i64,
    pub(crate) price: String,
    pub(crate) quantity: String,
    pub(crate) buyer_is_maker: bool,
}

impl Event {
    pub(crate) fn raw(&self) -> String {
        let Self { symbol, id, event_ms, time_ms, price, quantity, buyer_is_maker } = self;
        format!(
            r#"{{"e":"trade","E":{event_ms},"s":"{symbol}","t":{id},"p":"{price}","q":"{quantity}","T":{time_ms},"m":{buyer_is_maker},"M":true}}"#
        )
    }

    pub(crate) fn stream(&self) -> String {
        format!("{}@trade", self.symbol.to_lowercase())
    }

    pub(crate) fn combined(&self) -> String {
        format!(r#"{{"stream":"{}","data":{}}}"#, self.stream(), self.raw())
    }

    pub(crate) fn moved(&self, minutes: i64) -> Self {
        let shift = minutes * 60_000;
        Self { event_ms: self.event_ms + shift, time_ms: self.time_ms + shift, ..self.clone() }
    }
}

/// `count` trades of two symbols, long ago, with numbers written in many ways.
pub(crate) fn events(count: usize) -> Vec<Event> {
    let mut rng = fastrand::Rng::with_seed(seed());
    let mut ids = [("BTCUSDT", 3_735_683_259), ("ETHUSDT", 999_990)];
    let mut time_ms = 1_723_161_255_342;
    let numbers = ["61837.63000000", "0.00001000", "100", "0.1", "2.50", "999999.99999999"];
    let mut event = || {
        let (symbol, next_id) = rng.choice(&mut ids).unwrap();
        *next_id += 1;
        time_ms += rng.choice([0, 0, 0, 1, 40]).unwrap();
        Event {
            symbol,
            id: *next_id,
            event_ms: time_ms + rng.i64(0..3),
            time_ms,
            price: (*rng.choice(&numbers).unwrap()).to_owned(),
            quantity: (*rng.choice(&numbers).unwrap()).to_owned(),
            buyer_is_maker: rng.bool(),
        }
    };
    (0..count).map(|_| event()).collect()
}

/// A recording of `events`, raw and combined by turns, `gap_ms` apart, with an acknowledgement among them.
pub(crate) fn recording(events: &[Event], gap_ms: u64) -> String {
    let mut lines = format!("{} {{\"result\":null,\"id\":1}}\n", 1_723_161_255_000_000_000_u64);
    for (at, event) in events.iter().enumerate() {
        let received_ns = 1_723_161_255_400_000_000 + at as u64 * gap_ms * 1_000_000;
        let message = if at.is_multiple_of(2) { event.raw() } else { event.combined() };
        lines.push_str(&format!("{received_ns} {message}\n"));
    }
    lines
}

pub(crate) fn file(bytes: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    file
}

pub(crate) fn replay(file: &NamedTempFile, speed: Speed, shift_minutes: Option<i64>) -> Source {
    Source::Replay { path: file.path().to_owned(), speed, shift_minutes }
}
