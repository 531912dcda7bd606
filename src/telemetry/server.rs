//! `/healthz` and `/metrics` over HTTP, beside the capture: on a thread of its own, so that it answers while the
//! capture's loop is busy, and with limits, so that nobody who asks takes what the capture needs (P6).
//!
//! A connection is good for one request. Past [`CONNECTIONS_MAX`] the oldest gives way to the newest: one that asks is
//! answered within a millisecond, one that was idle for longer has had its chance.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tracing::warn;

use super::health::Health;
use super::metrics::{self, Exporter};
use super::throttle::Throttle;

/// Connections that are open at once, at most.
pub const CONNECTIONS_MAX: usize = 32;
/// Bytes of a request's head, at most; no body is read.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// After a connection could not be taken, as when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked whether the capture's loop still turns.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Between attempts to get an address that is taken.
const BIND_EVERY: Duration = Duration::from_millis(250);

const TEXT: &str = "text/plain; charset=utf-8";
/// Prometheus' text format.
const METRICS_FORMAT: &str = "text/plain; version=0.0.4";

/// Serves `/healthz` (200 `ok`, or 503 with one reason a line) and `/metrics` at `address`
/// for as long as the program runs. Gives the address that it listens on.
///
/// # Errors
///
/// If the address cannot be listened on, or there can be no more threads.
pub fn serve(address: SocketAddr, health: Arc<Health>, exporter: Exporter) -> io::Result<SocketAddr> {
    serve_on(std::net::TcpListener::bind(address)?, health, exporter)
}

/// The same, once the address is free: the capture that is followed has it until it ends.
///
/// # Errors
///
/// If the address cannot be listened on for another reason, or there can be no more threads.
pub fn serve_once_free(address: SocketAddr, health: Arc<Health>, exporter: Exporter) -> io::Result<()> {
    match std::net::TcpListener::bind(address) {
        Ok(listener) => serve_on(listener, health, exporter).map(drop),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            thread::Builder::new().name("health".to_owned()).spawn(move || {
                loop {
                    thread::sleep(BIND_EVERY);
                    if let Ok(listener) = std::net::TcpListener::bind(address) {
                        return serve_on(listener, health, exporter);
                    }
                }
            })?;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn serve_on(listener: std::net::TcpListener, health: Arc<Health>, exporter: Exporter) -> io::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _in_runtime = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let shared = Arc::new(Shared { health, exporter });
    thread::Builder::new().name("health".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::spawn(watch(Arc::clone(&shared)));
            accept(listener, shared).await;
        });
    })?;
    Ok(address)
}

struct Shared {
    health: Arc<Health>,
    exporter: Exporter,
}

async fn watch(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(WATCH_EVERY);
    loop {
        every.tick().await;
        shared.health.watch();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS_MAX);
    let mut refusals = Throttle::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_finished());
                if open.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                open.push_back(tokio::spawn(connection(stream, Arc::clone(&shared))).abort_handle());
                // In a flood, too, each one is served, and the oldest one closed, before the next is taken.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                if let Some(turn) = refusals.turn((), Instant::now()) {
                    warn!(%error, repeated = turn.repeated, "A connection for health and metrics could not be taken.");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let answer = service_fn(|request| {
        let answer = answer(&request, &shared);
        async { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // How it ends is the client's business.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, serving).await;
}

fn answer<B>(request: &Request<B>, shared: &Shared) -> Response<Full<Bytes>> {
    let (status, format, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => {
            shared.health.watch();
            let reasons = shared.health.reasons();
            if reasons.is_empty() {
                (StatusCode::OK, TEXT, "ok\n".to_owned())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n")
            }
        }
        (&Method::GET | &Method::HEAD, "/metrics") => {
            shared.health.watch();
            metrics::publish_health(&shared.health);
            (StatusCode::OK, METRICS_FORMAT, shared.exporter.render())
        }
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, TEXT, "only /healthz and /metrics are here\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are answered\n".to_owned()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
