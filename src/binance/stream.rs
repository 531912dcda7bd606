//! One WebSocket connection of the exchange: text messages out, pongs back.
//!
//! Binance pings every 20 s and wants the payload back within 60 s
//! (`web-socket-streams.md`); tungstenite queues the pong while it reads, so a
//! connection that is read is a connection that answers. When to open and
//! close connections is decided in [`crate::capture::connections`].

mod open;

use std::time::{Duration, Instant, SystemTime};

use futures_util::{FutureExt, StreamExt};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use super::{MARKET_DATA_REST_URL, MARKET_DATA_STREAM_URL};
use crate::net::Network;
use crate::text::Excerpt;

/// How long opening a connection may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages handed over at once, at most.
const GROUP_MAX: usize = 512;
/// A group with so many bytes takes no further message.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// A trade is 170 bytes; a message that is longer than this ends the connection.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes that wait for a server that does not read, at most: past it the newest pong stands for all.
const WRITE_BYTES_MAX: usize = 64 << 10;

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

/// Messages that one wake-up of the socket gave.
#[derive(Debug)]
pub struct Group {
    /// When they were read, for latencies.
    pub received: Instant,
    /// When they were read, for recordings.
    pub received_wall: SystemTime,
    /// The text messages, in order: at most 512, and no further one behind the first MiB.
    pub texts: Vec<Utf8Bytes>,
    /// Binary messages among them; the exchange sends none here, so they hold no trade.
    pub binary: u32,
}

/// Why a connection could not be opened, or ended. A `place` is the stream's URL, and the proxy on the way.
#[derive(Debug, Error)]
pub enum StreamError {
    /// No connection, or no answer that can be read.
    #[error("cannot open {place}: {why}")]
    Open {
        /// Which stream.
        place: String,
        /// What happened, with its causes.
        why: String,
    },
    /// No answer to the handshake.
    #[error("cannot open {place}: no answer within {} s", OPEN_TIMEOUT.as_secs())]
    OpenTimeout {
        /// Which stream.
        place: String,
    },
    /// Binance does not serve this place or this host (451, 403).
    #[error(
        "{place} answered {status}, it is not to be used from here: market data is also at \
         --stream-url {MARKET_DATA_STREAM_URL} --rest-url {MARKET_DATA_REST_URL}: {said}"
    )]
    NotFromHere {
        /// Which stream.
        place: String,
        /// The HTTP status.
        status: u16,
        /// The words of who answered.
        said: Excerpt,
    },
    /// Something answered that is no stream: a login page, a redirect, a wrong path.
    #[error("{place} answered {status}, and no stream opened: {said}")]
    NotAStream {
        /// Which stream.
        place: String,
        /// The HTTP status.
        status: u16,
        /// What answered, and what to do.
        said: String,
    },
    /// The exchange sent a close frame.
    #[error("closed by the exchange: {0}")]
    ClosedByExchange(Excerpt),
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
    network: Network,
    id: ConnectionId,
    events: mpsc::Sender<(ConnectionId, StreamEvent)>,
    closed: oneshot::Receiver<()>,
) {
    let reason = match read(&url, &network, id, &events, closed).await {
        Ok(()) => return,
        Err(reason) => reason,
    };
    // Fails only when the capture has stopped listening.
    let _ = events.send((id, StreamEvent::Closed(reason))).await;
}

async fn read(
    url: &str,
    network: &Network,
    id: ConnectionId,
    events: &mpsc::Sender<(ConnectionId, StreamEvent)>,
    mut closed: oneshot::Receiver<()>,
) -> Result<(), StreamError> {
    let mut socket = tokio::select! {
        _ = &mut closed => return Ok(()),
        opened = open::open(url, network) => opened?,
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
        let mut group =
            Group { received: Instant::now(), received_wall: SystemTime::now(), texts: Vec::new(), binary: 0 };
        let (mut taken, mut bytes, mut end) = (0, 0, None);
        // Whatever else is ready belongs to the same group. Every message counts, so that a flood of pings ends it, too.
        while let Some(item) = next.take() {
            match item {
                Some(Ok(Message::Text(text))) => {
                    bytes += text.len();
                    group.texts.push(text);
                }
                Some(Ok(Message::Binary(_))) => group.binary += 1,
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map_or_else(|| "no reason given".to_owned(), |frame| frame.to_string());
                    end = Some(StreamError::ClosedByExchange(Excerpt::of(&why)));
                }
                // Pongs go out by themselves.
                Some(Ok(_)) => {}
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => {}
                Some(Err(source)) => end = end.or(Some(StreamError::Broken(Box::new(source)))),
                None => {
                    end = end.or(Some(StreamError::Ended));
                    break;
                }
            }
            taken += 1;
            if taken < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                next = socket.next().now_or_never();
            }
        }
        let has_any = !group.texts.is_empty() || group.binary > 0;
        if has_any && events.send((id, StreamEvent::Messages(group))).await.is_err() {
            return Ok(());
        }
        if let Some(reason) = end {
            return Err(reason);
        }
    }
}
