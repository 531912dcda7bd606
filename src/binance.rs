//! The exchange: wire messages, the stream connection, REST.
//!
//! Facts come from Binance's `web-socket-streams.md` and `rest-api.md`.

pub mod message;
pub mod rest;
pub mod stream;
pub mod weight;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::trade::Symbol;

/// Where the exchange's streams are served unless told otherwise.
pub const DEFAULT_STREAM_URL: &str = "wss://stream.binance.com:9443";
/// Where the exchange's REST is served unless told otherwise.
pub const DEFAULT_REST_URL: &str = "https://api.binance.com";

/// What stays as it is in a stream name or a symbol inside a URL.
const URL_WORD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'@');

/// The URL of the combined trade stream of `symbols` below `base`.
pub fn combined_stream_url(base: &str, symbols: &[Symbol]) -> String {
    let names: Vec<_> = symbols.iter().map(|symbol| url_word(&symbol.stream_name())).collect();
    format!("{}/stream?streams={}", base.trim_end_matches('/'), names.join("/"))
}

fn url_word(text: &str) -> String {
    utf8_percent_encode(text, URL_WORD).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_urls_name_every_symbol_percent_encoded() {
        let symbols = ["BTCUSDT".parse().unwrap(), "币USDT".parse().unwrap()];
        assert_eq!(
            combined_stream_url("wss://stream.binance.com:9443/", &symbols),
            "wss://stream.binance.com:9443/stream?streams=btcusdt@trade/%E5%B8%81usdt@trade"
        );
    }
}
