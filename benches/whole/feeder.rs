//! A stream whose messages are made before the clock starts, so that making them does not compete with what is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tickflux::practice::market::Market;
use tickflux::practice::tape::Print;
use tickflux::trade::{Symbol, TradeTime};
use tokio_tungstenite::tungstenite;

/// How fast messages go out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as they are taken.
    Max,
    /// So many a second, evenly.
    PerSecond(f64),
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

/// The messages as WebSocket frames, and where each ends.
pub(crate) struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    pub(crate) fn new(prints: &[Print]) -> Self {
        let (mut bytes, mut ends) = (Vec::with_capacity(prints.len() * 200), Vec::with_capacity(prints.len()));
        for Print { trade, event_ms } in prints {
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
            bytes.extend_from_slice(&[0x81, 126]);
            bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }
}

/// Sends `frames` to the first client, and keeps the connection open until it goes. Gives the connections that came.
pub(crate) fn serve(frames: Frames, pace: Pace) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let mut socket = tungstenite::accept(socket).unwrap();
        // A client that has gone ends it.
        let _ = send(&frames, pace, socket.get_mut());
        let _ = socket.get_mut().read_to_end(&mut Vec::new());
    });
    address
}

fn send(frames: &Frames, pace: Pace, socket: &mut TcpStream) -> std::io::Result<()> {
    match pace {
        Pace::Max => socket.write_all(&frames.bytes),
        Pace::Burst(first) => {
            let end = frames.ends[first.min(frames.ends.len()) - 1];
            socket.write_all(&frames.bytes[..end])?;
            std::thread::sleep(Duration::from_secs(1));
            socket.write_all(&frames.bytes[end..])
        }
        Pace::PerSecond(rate) => {
            let begin = Instant::now();
            let mut sent = 0;
            while sent < frames.ends.len() {
                let due = ((begin.elapsed().as_secs_f64() * rate) as usize).min(frames.ends.len());
                if due > sent {
                    let start = sent.checked_sub(1).map_or(0, |before| frames.ends[before]);
                    socket.write_all(&frames.bytes[start..frames.ends[due - 1]])?;
                    sent = due;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            Ok(())
        }
    }
}
