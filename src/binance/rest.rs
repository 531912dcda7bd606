//! REST: which symbols the exchange lists.
//!
//! Trade history (`historicalTrades`) joins here with the repair of holes.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::url_word;
use crate::trade::Symbol;

/// How long one REST request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Binance's code for a symbol that it does not list (`errors.md`).
const INVALID_SYMBOL: i64 = -1121;

/// Why a REST request gave no answer that can be used.
#[derive(Debug, Error)]
pub enum RestError {
    /// The HTTP client could not be set up.
    #[error("cannot set up HTTP: {0}")]
    Setup(#[source] reqwest::Error),
    /// No usable answer.
    #[error("{url} does not answer: {source}")]
    Unreachable {
        /// The address asked.
        url: String,
        /// What reqwest says.
        source: reqwest::Error,
    },
    /// An answer that says no.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The exchange's words.
        body: String,
    },
}

/// A client for the exchange's REST.
#[derive(Debug, Clone)]
pub struct Rest {
    base: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: i64,
}

impl Rest {
    /// A client below `base`, such as `https://api.binance.com`.
    ///
    /// # Errors
    ///
    /// [`RestError::Setup`] if the HTTP client cannot be made.
    pub fn new(base: &str, tls: &Arc<rustls::ClientConfig>) -> Result<Self, RestError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(RestError::Setup)?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// Whether the exchange lists `symbol` (`exchangeInfo`, weight 20).
    ///
    /// # Errors
    ///
    /// [`RestError`] if the exchange cannot be asked or does not say.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn lists(&self, symbol: &Symbol) -> Result<bool, RestError> {
        let url = format!("{}/api/v3/exchangeInfo?symbol={}", self.base, url_word(symbol.as_str()));
        let unreachable = |source| RestError::Unreachable { url: url.clone(), source };
        let answer = self.http.get(&url).send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(true);
        }
        let body = answer.text().await.map_err(unreachable)?;
        match serde_json::from_str(&body) {
            Ok(ErrorBody { code: INVALID_SYMBOL }) => Ok(false),
            _ => Err(RestError::Refused { url, status: status.as_u16(), body }),
        }
    }
}
