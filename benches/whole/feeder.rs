//! A stream whose messages are made before the clock starts, so that making them does not compete with what is measured.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tickflux::practice::market::Market;
use tickflux::practice::tape::Print;
use tickflux::trade::{Symbol, TradeTime};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::server::Request;

/// How fast messages go out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as they are taken.
    Max,
    /// So many a second, evenly, each alone.
    PerSecond(f64),
    /// As the market pushed them, at its own rate: in bursts.
    Market,
    /// So many at once, and then so many more a second later.
    Burst(usize),
}

/// The market's own rate where its time does not matter.
pub(crate) const BUSY: f64 = 10_000.0;

/// `trades` of `symbols`, `rate` of them in a second of the market's own time, that end about now.
pub(crate) fn prints(symbols: usize, trades: usize, rate: f64, now_ms: i64) -> Vec<Print> {
    let names: Vec<Symbol> = match symbols {
        2 => ["BTCUSDT", "ETHUSDT"].iter().map(|name| name.parse().unwrap()).collect(),
        _ => (0..symbols).map(|at| format!("S{at:04}USDT").parse().unwrap()).collect(),
    };
    // A little more than asked for.
    let ms = (1_200.0 * trades as f64 / rate) as i64 + 1_000;
    let start = TradeTime::from_ms(now_ms - ms).unwrap();
    let mut market = Market::new(&names, 7, rate, start);
    let mut prints = market.until(TradeTime::from_ms(now_ms).unwrap()).unwrap();
    assert!(prints.len() >= trades, "{} trades", prints.len());
    prints.truncate(trades);
    prints
}

/// Messages as WebSocket frames.
pub(crate) struct Frames {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

#[derive(Clone)]
struct Frame {
    /// Which of all messages it is, from 0.
    place: usize,
    /// When the market pushed it, after the first one.
    pushed: Duration,
    stream: String,
    /// Where it ends in the bytes.
    end: usize,
}

impl Frames {
    pub(crate) fn new(prints: &[Print]) -> Self {
        let mut frames = Self { bytes: Vec::with_capacity(prints.len() * 200), frames: Vec::new() };
        for (place, Print { trade, event_ms }) in prints.iter().enumerate() {
            let stream = trade.symbol.stream_name();
            let text = format!(
                r#"{{"stream":"{stream}","data":{{"e":"trade","E":{event_ms},"s":"{}","t":{},"p":"{}","q":"{}","T":{},"m":{},"M":true}}}}"#,
                trade.symbol,
                trade.id,
                trade.price,
                trade.quantity,
                trade.time.ms(),
                trade.buyer_is_maker
            );
            // An unmasked text frame with a length of 16 bits (RFC 6455, 5.2).
            let head = [&[0x81, 126][..], &u16::try_from(text.len()).unwrap().to_be_bytes()].concat();
            let pushed = Duration::from_millis((event_ms - prints[0].event_ms).unsigned_abs());
            frames.push(Frame { place, pushed, stream, end: 0 }, &[&head, text.as_bytes()].concat());
        }
        frames
    }

    fn push(&mut self, frame: Frame, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.frames.push(Frame { end: self.bytes.len(), ..frame });
    }

    fn streams(&self) -> HashSet<&str> {
        self.frames.iter().map(|frame| frame.stream.as_str()).collect()
    }

    /// Those of some streams.
    fn of(&self, streams: &HashSet<String>) -> Self {
        let mut some = Self { bytes: Vec::with_capacity(self.bytes.len()), frames: Vec::new() };
        let mut start = 0;
        for frame in &self.frames {
            if streams.contains(&frame.stream) {
                some.push(frame.clone(), &self.bytes[start..frame.end]);
            }
            start = frame.end;
        }
        some
    }

    /// The bytes of these frames.
    fn slice(&self, from: usize, to: usize) -> &[u8] {
        let end = |frames: usize| frames.checked_sub(1).map_or(0, |last| self.frames[last].end);
        &self.bytes[end(from)..end(to)]
    }
}

/// Sends `frames` to the clients that ask for them, as soon as every stream has one, and keeps each connection open until
/// its client goes.
pub(crate) fn serve(frames: Frames, pace: Pace) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut clients, mut carried, all) = (Vec::new(), 0, frames.streams().len());
        while carried < all {
            let (client, streams) = accept(&listener);
            carried += streams.len();
            clients.push((client, streams));
        }
        // A single client has them all, and need not wait for a copy.
        let clients: Vec<_> = match <[_; 1]>::try_from(clients) {
            Ok([(client, _)]) => vec![(client, frames)],
            Err(clients) => clients.into_iter().map(|(client, streams)| (client, frames.of(&streams))).collect(),
        };
        let begin = Instant::now();
        for (mut client, frames) in clients {
            std::thread::spawn(move || {
                // A client that has gone ends it.
                let _ = send(&frames, pace, begin, &mut client);
                let _ = client.read_to_end(&mut Vec::new());
            });
        }
    });
    address
}

/// A client, and the streams that it asks for.
#[allow(clippy::result_large_err, reason = "tungstenite's own type")]
fn accept(listener: &TcpListener) -> (TcpStream, HashSet<String>) {
    let (socket, _) = listener.accept().unwrap();
    socket.set_nodelay(true).unwrap();
    let mut streams = HashSet::new();
    let ask = |request: &Request, response| {
        let names = request.uri().query().and_then(|query| query.strip_prefix("streams=")).unwrap();
        streams.extend(names.split('/').map(str::to_owned));
        Ok(response)
    };
    (tungstenite::accept_hdr(socket, ask).unwrap().into_inner(), streams)
}

fn send(frames: &Frames, pace: Pace, begin: Instant, client: &mut TcpStream) -> std::io::Result<()> {
    let all = frames.frames.len();
    match pace {
        Pace::Max => client.write_all(&frames.bytes),
        Pace::Burst(first) => {
            let first = first.min(all);
            client.write_all(frames.slice(0, first))?;
            std::thread::sleep(Duration::from_secs(1));
            client.write_all(frames.slice(first, all))
        }
        Pace::PerSecond(_) | Pace::Market => {
            let is_due = |frame: &Frame, passed: Duration| match pace {
                Pace::PerSecond(rate) => frame.place < (passed.as_secs_f64() * rate) as usize,
                _ => frame.pushed <= passed,
            };
            let mut sent = 0;
            while sent < all {
                let passed = begin.elapsed();
                let due = frames.frames.partition_point(|frame| is_due(frame, passed));
                if due > sent {
                    client.write_all(frames.slice(sent, due))?;
                    sent = due;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            Ok(())
        }
    }
}
