//! Whether the capture does its job, for people and container health checks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::Exporter;

/// Prometheus' text format.
const METRICS_FORMAT: &str = "text/plain; version=0.0.4";

/// A part of the capture that can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Trades come from the exchange.
    Stream,
    /// The store takes batches.
    Store,
    /// There is memory for what is read.
    Memory,
    /// The disk takes batches until the store does.
    Outbox,
    /// This host's clock agrees with the exchange's.
    Clock,
    /// No trade is expired, dropped or refused.
    Trades,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 6] = [Self::Stream, Self::Store, Self::Memory, Self::Outbox, Self::Clock, Self::Trades];

    /// Its name, for people and as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Store => "store",
            Self::Memory => "memory",
            Self::Outbox => "outbox",
            Self::Clock => "clock",
            Self::Trades => "trades",
        }
    }
}

/// What fails now, with the reason.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<Part, String>>);

impl Health {
    /// `part` does not work, because of `why`.
    pub fn failing(&self, part: Part, why: impl Into<String>) {
        self.parts().insert(part, why.into());
    }

    /// `part` works.
    pub fn working(&self, part: Part) {
        self.parts().remove(&part);
    }

    /// Whether `part` works.
    pub fn is_working(&self, part: Part) -> bool {
        !self.parts().contains_key(&part)
    }

    /// Every reason why the capture is not well.
    pub fn reasons(&self) -> Vec<String> {
        self.parts().iter().map(|(part, why)| format!("{}: {why}", part.name())).collect()
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, BTreeMap<Part, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves `/healthz` (200 `ok`, or 503 with one reason a line) and `/metrics` at `address`
/// for as long as the program runs. Gives the address that it listens on.
///
/// # Errors
///
/// If the address cannot be listened on.
///
/// # Cancel safety
///
/// Dropped before it ends, nothing is served.
pub async fn serve(address: SocketAddr, health: Arc<Health>, exporter: Exporter) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/healthz", get(healthz))
        .with_state(health)
        .route("/metrics", get(async move || ([(CONTENT_TYPE, METRICS_FORMAT)], exporter.render())));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn healthz(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let reasons = health.reasons();
    if reasons.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }
}
