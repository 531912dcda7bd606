//! What a capture is set up with, and a doctor looks at.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::settings::{DEFAULT_EXCHANGE, DEFAULT_OUTBOX, StoreArgs, endpoint};
use super::sizes::bytes;
use crate::binance::{DEFAULT_REST_URL, DEFAULT_STREAM_URL};
use crate::net::endpoint::{Endpoint, Service, UrlText};
use crate::trade::{Exchange, Symbol};

/// What to capture, from where, into what.
#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    /// Symbols such as BTCUSDT, with commas between them
    #[arg(
        long,
        env = "TICKFLUX_SYMBOLS",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "BTCUSDT,ETHUSDT"
    )]
    symbols: Vec<Symbol>,
    /// Name of the exchange, which every trade is stored with
    #[arg(long, env = "TICKFLUX_EXCHANGE", hide_env_values = true, default_value = DEFAULT_EXCHANGE)]
    pub(super) exchange: Exchange,
    /// Base of the stream's URL: scheme, host, port, perhaps a path
    #[arg(long, env = "TICKFLUX_STREAM_URL", hide_env_values = true, value_name = "URL", default_value = DEFAULT_STREAM_URL)]
    stream_url: UrlText,
    /// Base of the REST URL: the same
    #[arg(long, env = "TICKFLUX_REST_URL", hide_env_values = true, value_name = "URL", default_value = DEFAULT_REST_URL)]
    rest_url: UrlText,
    /// Folder for what is not stored yet, with the ledger of what is, and for dead letters
    #[arg(long, env = "TICKFLUX_OUTBOX", hide_env_values = true, value_name = "DIR", default_value = DEFAULT_OUTBOX)]
    pub(super) outbox: PathBuf,
    /// Bytes of batches that the outbox may hold, such as 512MB; past it trades are dropped and become holes
    #[arg(long, env = "TICKFLUX_OUTBOX_LIMIT", hide_env_values = true, value_name = "BYTES", default_value = "2GB", value_parser = bytes)]
    pub(super) outbox_limit: u64,
    /// Address of /healthz and /metrics, such as 127.0.0.1:9184; without it there are none
    #[arg(long, env = "TICKFLUX_METRICS_LISTEN", hide_env_values = true, value_name = "ADDR")]
    pub(super) metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

impl SetupArgs {
    /// The symbols, each once.
    pub(super) fn symbols(&self) -> Vec<Symbol> {
        let mut unique = Vec::with_capacity(self.symbols.len());
        for symbol in &self.symbols {
            if !unique.contains(symbol) {
                unique.push(symbol.clone());
            }
        }
        unique
    }

    /// Where the stream is.
    pub(super) fn stream_url(&self) -> Result<Endpoint, Failure> {
        endpoint(Service::Stream, self.stream_url.as_str())
    }

    /// Where REST is.
    pub(super) fn rest_url(&self) -> Result<Endpoint, Failure> {
        endpoint(Service::Rest, self.rest_url.as_str())
    }
}
