//! One WebSocket connection of the exchange: text messages out, pongs back.
//!
//! Binance pings every 20 s and wants the payload back within 60 s
//! (`web-socket-streams.md`); tungstenite queues the pong while it reads, so a
//! connection that is read is a connection that answers. When to open and
//! close connections is decided in [`crate::capture::connections`].

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::{FutureExt, StreamExt};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages handed over at once, at most; with [`MESSAGE_BYTES_MAX`] this bounds a group's size.
const GROUP_MAX: usize = 512;
/// A trade is 170 bytes; nothing that Binance sends here comes near this.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Tells one connection's messages from another's; never used twice in a run.
pub type ConnectionId = u64;

/// What a connection tells the capture.
#[derive(Debug)]
pub enum StreamEvent {
    /// The WebSocket is open.
    Opened,
    /// Messages that were ready together, in order.
    Messages(Group),
    /// It is over; nothing comes after this.
    Closed(StreamError),
}

/// Text messages that one wake-up of the socket gave.
#[derive(Debug)]
pub struct Group {
    /// When they were read, for latencies.
    pub received: Instant,
    /// When they were read, for recordings.
    pub received_wall: SystemTime,
    /// The messages, in order, at most 512.
    pub texts: Vec<Utf8Bytes>,
}

/// Why a connection could not be opened, or ended.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The handshake failed, or the URL is not usable.
    #[error("cannot open {url:.200}: {source}")]
    Open {
        /// The stream's URL.
        url: String,
        /// What tungstenite says.
        source: Box<WsError>,
    },
    /// No answer to the handshake.
    #[error("cannot open {url:.200}: no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    OpenTimeout {
        /// The stream's URL.
        url: String,
    },
    /// The exchange sent a close frame.
    #[error("closed by the exchange: {0}")]
    ClosedByExchange(String),
    /// The connection broke.
    #[error("connection broke: {0}")]
    Broken(#[source] Box<WsError>),
    /// The connection ended without a close frame.
    #[error("connection ended without a close frame")]
    Ended,
}

/// Opens `url` and sends what comes to `events`, until it ends or the other half of `closed` is dropped.
///
/// A full `events` stops the reading: the exchange then cuts the connection
/// and the missing ids show it, so nothing is dropped in silence (P6).
///
/// # Cancel safety
///
/// Dropping the future loses a group that is not handed over yet; drop the other half of `closed` instead.
pub async fn run(
    url: String,
    tls: Arc<rustls::ClientConfig>,
    id: ConnectionId,
    events: mpsc::Sender<(ConnectionId, StreamEvent)>,
    closed: oneshot::Receiver<()>,
) {
    let reason = match read(url, tls, id, &events, closed).await {
        Ok(()) => return,
        Err(reason) => reason,
    };
    // Fails only when the capture has stopped listening.
    let _ = events.send((id, StreamEvent::Closed(reason))).await;
}

async fn read(
    url: String,
    tls: Arc<rustls::ClientConfig>,
    id: ConnectionId,
    events: &mpsc::Sender<(ConnectionId, StreamEvent)>,
    mut closed: oneshot::Receiver<()>,
) -> Result<(), StreamError> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    let opening = connect_async_tls_with_config(url.as_str(), Some(config), true, Some(Connector::Rustls(tls)));
    let opened = tokio::select! {
        _ = &mut closed => return Ok(()),
        opened = tokio::time::timeout(CONNECT_TIMEOUT, opening) => opened,
    };
    let mut socket = match opened {
        Ok(Ok((socket, _))) => socket,
        Ok(Err(source)) => return Err(StreamError::Open { url, source: Box::new(source) }),
        Err(_) => return Err(StreamError::OpenTimeout { url }),
    };
    if events.send((id, StreamEvent::Opened)).await.is_err() {
        return Ok(());
    }
    loop {
        let mut next = tokio::select! {
            biased;
            _ = &mut closed => return Ok(()),
            item = socket.next() => Some(item),
        };
        let mut group = Group { received: Instant::now(), received_wall: SystemTime::now(), texts: Vec::new() };
        let mut end = None;
        // Whatever else is ready belongs to the same group.
        while let Some(item) = next.take() {
            match item {
                Some(Ok(Message::Text(text))) => group.texts.push(text),
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map_or_else(|| "no reason given".to_owned(), |frame| frame.to_string());
                    end = Some(StreamError::ClosedByExchange(why));
                }
                // Pongs go out by themselves; Binance sends no binary frames here.
                Some(Ok(_)) => {}
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => {}
                Some(Err(source)) => end = end.or(Some(StreamError::Broken(Box::new(source)))),
                None => {
                    end = end.or(Some(StreamError::Ended));
                    break;
                }
            }
            if group.texts.len() < GROUP_MAX {
                next = socket.next().now_or_never();
            }
        }
        if !group.texts.is_empty() && events.send((id, StreamEvent::Messages(group))).await.is_err() {
            return Ok(());
        }
        if let Some(reason) = end {
            return Err(reason);
        }
    }
}
