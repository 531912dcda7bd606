//! The stream connections: carries out what [`Connections`] decides.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::connections::{Command, Connections};
use super::intake::Heard;
use crate::binance::stream::{self, ConnectionId, StreamError, StreamEvent};
use crate::net::Network;
use crate::telemetry::{Event, Tally};

/// Groups of messages between the connections and the loop; with a group's own bound this bounds memory (P6).
const GROUPS_MAX: usize = 16;

/// Every open connection, and the one ordered way from them to the loop.
#[derive(Debug)]
pub struct Streams {
    connections: Connections,
    /// One for each subset of the symbols.
    urls: Vec<String>,
    network: Network,
    events: mpsc::Receiver<(ConnectionId, StreamEvent)>,
    /// `None` once they close: the way then ends with the last connection.
    to_events: Option<mpsc::Sender<(ConnectionId, StreamEvent)>>,
    /// Dropping an entry closes the connection.
    open: HashMap<ConnectionId, oneshot::Sender<()>>,
}

impl Streams {
    /// Connections to `urls`, one for each of the connections' subsets; none is opened yet.
    pub fn new(connections: Connections, urls: Vec<String>, network: Network) -> Self {
        let (to_events, events) = mpsc::channel(GROUPS_MAX);
        Self { connections, urls, network, events, to_events: Some(to_events), open: HashMap::new() }
    }

    /// Opens, replaces and closes what is due at `now`.
    pub fn tend(&mut self, now: Instant, rng: &mut fastrand::Rng, tally: &mut Tally) {
        let Some(to_events) = &self.to_events else { return };
        for (id, why) in self.connections.replace_due(now, rng) {
            tally.note(&Event::ConnectionReplaced(id, why));
        }
        while let Some(command) = self.connections.next_command(now) {
            match command {
                Command::Close(id) => drop(self.open.remove(&id)),
                Command::Open(id, subset) => {
                    let (closer, closed) = oneshot::channel();
                    let url = self.urls[subset].clone();
                    tokio::spawn(stream::run(url, self.network.clone(), id, to_events.clone(), closed));
                    self.open.insert(id, closer);
                }
            }
        }
    }

    /// What a connection tells next; `None` once all are closed and everything was told.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing told is lost.
    pub async fn next(&mut self) -> Option<(ConnectionId, StreamEvent)> {
        self.events.recv().await
    }

    /// Whether more has been read already.
    pub fn has_more(&self) -> bool {
        !self.events.is_empty()
    }

    /// A connection is open.
    pub fn opened(&mut self, id: ConnectionId, now: Instant, tally: &mut Tally) {
        tally.note(&Event::ConnectionOpened(id));
        self.connections.opened(id, now);
    }

    /// A connection ended, or could not be opened.
    pub fn closed(
        &mut self,
        id: ConnectionId,
        why: &StreamError,
        now: Instant,
        rng: &mut fastrand::Rng,
        tally: &mut Tally,
    ) {
        tally.note(&Event::ConnectionClosed(id, why));
        self.open.remove(&id);
        self.connections.closed(id, now, rng);
    }

    /// A connection delivered this at `received`.
    pub fn heard(&mut self, id: ConnectionId, heard: &Heard, received: Instant) {
        for symbol in &heard.symbols {
            self.connections.delivered(id, symbol, received);
        }
        if heard.server_shutdown {
            self.connections.server_shutdown(id);
        }
    }

    /// Replaces every connection: they miss trades that the exchange has.
    pub fn replace_all(&mut self) {
        self.connections.replace_all();
    }

    /// Closes every connection; what they have read still comes.
    pub fn close(&mut self) {
        self.to_events = None;
        self.open.clear();
    }

    /// When to tend again, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.to_events.as_ref().and_then(|_| self.connections.deadline(now))
    }

    /// When the newest trade came.
    pub fn last_trade(&self) -> Option<Instant> {
        self.connections.last_trade()
    }

    /// Whether every symbol has a connection that is open.
    pub fn carries_all(&self) -> bool {
        self.connections.carries_all()
    }

    /// Connections that are open now.
    pub fn open_count(&self) -> usize {
        self.connections.open_count()
    }
}
