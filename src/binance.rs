//! The exchange: wire messages, the stream connection, REST.
//!
//! Facts come from Binance's `web-socket-streams.md` and `rest-api.md`.

pub mod message;
pub mod rest;
pub mod stream;
pub mod weight;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::net::endpoint::Endpoint;
use crate::trade::Symbol;

/// Where the exchange's streams are served unless told otherwise.
pub const DEFAULT_STREAM_URL: &str = "wss://stream.binance.com:9443";
/// Where the exchange's REST is served unless told otherwise.
pub const DEFAULT_REST_URL: &str = "https://api.binance.com";

/// Where market data is served to those who may not use the others; it has no `historicalTrades`.
pub const MARKET_DATA_STREAM_URL: &str = "wss://data-stream.binance.vision";
/// The REST of [`MARKET_DATA_STREAM_URL`].
pub const MARKET_DATA_REST_URL: &str = "https://data-api.binance.vision";

/// Streams on one connection, at most (`web-socket-streams.md`).
const STREAMS_MAX: usize = 1_024;
/// Bytes of a stream's URL, at most. Users of Binance have measured 8,004 (unicorn-binance-websocket-api, issue 19).
const STREAM_URL_MAX: usize = 8_000;

/// What stays as it is in a stream name or a symbol inside a URL.
const URL_WORD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'@');

/// The URLs of combined trade streams below `base` that carry all of `symbols`, and how many each carries.
///
/// As few as Binance allows, and even.
pub fn stream_urls(base: &Endpoint, symbols: &[Symbol]) -> Vec<(String, usize)> {
    let names: Vec<_> = symbols.iter().map(|symbol| url_word(&symbol.stream_name())).collect();
    let url = |names: &[String]| {
        let url = base.join(&format!("/stream?streams={}", names.join("/")));
        (url, names.len())
    };
    let is_allowed = |(url, streams): &(String, usize)| url.len() <= STREAM_URL_MAX && *streams <= STREAMS_MAX;
    let split = |into: usize| -> Vec<_> { names.chunks(names.len().div_ceil(into)).map(url).collect() };
    // A single name is carried, however long `base` is.
    let fits = |urls: &Vec<_>| urls.len() == names.len() || urls.iter().all(is_allowed);
    (1..=names.len()).map(split).find(fits).unwrap_or_default()
}

fn url_word(text: &str) -> String {
    utf8_percent_encode(text, URL_WORD).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::endpoint::Service;

    fn base(url: &str) -> Endpoint {
        Endpoint::new(Service::Stream, url).unwrap()
    }

    #[test]
    fn stream_urls_name_every_symbol_percent_encoded() {
        let symbols = ["BTCUSDT".parse().unwrap(), "币USDT".parse().unwrap()];
        let url = "wss://stream.binance.com:9443/stream?streams=btcusdt@trade/%E5%B8%81usdt@trade";
        assert_eq!(stream_urls(&base("wss://stream.binance.com:9443/"), &symbols), [(url.to_owned(), 2)]);
    }

    #[test]
    fn many_symbols_share_as_few_streams_as_the_limits_allow() {
        for (name, symbols, streams) in
            [("S", 1_000, 2), ("ABCDEFUSDT", 1_000, 3), ("T", 1, 1), (&"币".repeat(25), 200, 7)]
        {
            let symbols: Vec<_> = (0..symbols).map(|at| format!("{name}{at:04}").parse().unwrap()).collect();
            let urls = stream_urls(&base(DEFAULT_STREAM_URL), &symbols);
            assert_eq!(urls.len(), streams, "{name}");
            let carried: Vec<_> = urls.iter().flat_map(|(url, _)| url.split_once('=').unwrap().1.split('/')).collect();
            let wanted: Vec<_> = symbols.iter().map(|symbol| url_word(&symbol.stream_name())).collect();
            assert_eq!(carried, wanted, "each symbol once, in order");
            for (url, carried) in &urls {
                assert_eq!(url.matches("@trade").count(), *carried);
                assert!(*carried <= 1_024 && url.len() <= 8_004, "{} bytes", url.len());
            }
        }
    }
}
