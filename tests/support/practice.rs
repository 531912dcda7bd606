//! A practice exchange with a recorded session of the test's own making.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

use tempfile::NamedTempFile;
use tickflux::practice::faults::Faults;
use tickflux::practice::{self, Config, Running, Source, Speed};
use tickflux::trade::Trade;

use super::now;

/// A market of two symbols with so many trades, as fast as they are taken.
pub fn market(seed: u64, trades: u64) -> Source {
    Source::Market {
        symbols: ["BTCUSDT", "ETHUSDT"].map(|symbol| symbol.parse().unwrap()).to_vec(),
        seed,
        trades_per_second: 500.0,
        trades: Some(trades),
        speed: Speed::Max,
    }
}

/// A market of two symbols that trades now, without an end.
pub fn live_market(seed: u64, trades_per_second: f64) -> Source {
    Source::Market {
        symbols: ["BTCUSDT", "ETHUSDT"].map(|symbol| symbol.parse().unwrap()).to_vec(),
        seed,
        trades_per_second,
        trades: None,
        speed: Speed::Times(1.0),
    }
}

/// A replay of `path` at full speed.
pub fn replay(path: &std::path::Path) -> Source {
    Source::Replay { path: path.to_owned(), speed: Speed::Max, shift_minutes: None }
}

/// Starts an exchange on a free port.
pub async fn start(source: Source) -> Running {
    start_with(source, Faults::default()).await
}

/// Starts an exchange with faults on a free port.
pub async fn start_with(source: Source, faults: Faults) -> Running {
    start_with_past(source, faults, 0).await
}

/// Starts one that has traded about so many trades before.
pub async fn start_with_past(source: Source, faults: Faults, past: usize) -> Running {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    // Long runs are compared with all that it traded.
    practice::start(listen, Config { faults, history: 2_000_000, past, ..Config::new(source, now) }).await.unwrap()
}

/// The message of a trade as Binance writes it.
pub fn message(trade: &Trade) -> String {
    let Trade { symbol, id, time, price, quantity, buyer_is_maker } = trade;
    let stream = symbol.as_str().to_lowercase();
    let (event_ms, time_ms) = (time.ms() + 1, time.ms());
    let mut text =
        format!(r#"{{"stream":"{stream}@trade","data":{{"e":"trade","E":{event_ms},"s":"{symbol}","t":{id},"#);
    write!(text, r#""p":"{price}","q":"{quantity}","T":{time_ms},"m":{buyer_is_maker},"M":true}}}}"#).unwrap();
    text
}

/// A recorded session of these messages.
pub fn recording<'a>(messages: impl IntoIterator<Item = &'a str>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    for (at, message) in messages.into_iter().enumerate() {
        writeln!(file, "{} {message}", 1_700_000_000_000_000_000 + at as u64 * 1_000_000).unwrap();
    }
    file.flush().unwrap();
    file
}
