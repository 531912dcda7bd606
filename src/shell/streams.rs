//! The stream connections: opened and closed as told, with one ordered way from all of them to the loop.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use super::record::Recorder;
use crate::binance::stream::{self, ConnectionId, StreamEvent};
use crate::capture::input::Input;
use crate::net::Network;
use crate::text::Excerpt;

/// Groups of messages between the connections and the loop; with a group's own bound this bounds memory (P6).
const GROUPS_MAX: usize = 16;

/// Every open connection.
#[derive(Debug)]
pub struct Streams {
    /// One for each subset of the symbols.
    urls: Vec<String>,
    network: Network,
    events: mpsc::Receiver<(ConnectionId, StreamEvent)>,
    /// `None` once they end: the way then ends with the last connection.
    to_events: Option<mpsc::Sender<(ConnectionId, StreamEvent)>>,
    /// Dropping an entry closes the connection.
    open: HashMap<ConnectionId, oneshot::Sender<()>>,
    recorder: Option<Recorder>,
}

impl Streams {
    /// Connections to `urls`, one for each subset of the symbols; none is opened yet.
    pub fn new(urls: Vec<String>, network: Network, recorder: Option<Recorder>) -> Self {
        let (to_events, events) = mpsc::channel(GROUPS_MAX);
        Self { urls, network, events, to_events: Some(to_events), open: HashMap::new(), recorder }
    }

    /// Opens a connection that carries a subset.
    pub fn open(&mut self, id: ConnectionId, subset: usize) {
        let Some((to_events, url)) = self.to_events.as_ref().zip(self.urls.get(subset)) else { return };
        let (closer, closed) = oneshot::channel();
        tokio::spawn(stream::run(url.clone(), self.network.clone(), id, to_events.clone(), closed));
        self.open.insert(id, closer);
    }

    /// Closes a connection.
    pub fn close(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }

    /// Opens none any more and closes all; what they have read still comes.
    pub fn end(&mut self) {
        self.to_events = None;
        self.open.clear();
    }

    /// What a connection tells next; records its messages. After the end of all it tells that.
    ///
    /// # Errors
    ///
    /// If the messages cannot be recorded: the recording ends then, and the input is told all the same.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing told is lost.
    pub async fn next(&mut self) -> (Input, std::io::Result<()>) {
        let Some((id, event)) = self.events.recv().await else { return (Input::StreamsEnded, Ok(())) };
        match event {
            StreamEvent::Opened => (Input::StreamOpened(id), Ok(())),
            StreamEvent::Messages(group) => {
                let recorded = self.record(&group);
                (Input::StreamMessages(id, group), recorded)
            }
            StreamEvent::Closed(why) => {
                self.open.remove(&id);
                (Input::StreamClosed(id, Excerpt::line(&why.to_string())), Ok(()))
            }
        }
    }

    /// Whether more has been read already.
    pub fn has_more(&self) -> bool {
        !self.events.is_empty()
    }

    /// Ends the recording, if there is one: only then is its file whole.
    ///
    /// # Errors
    ///
    /// If its file cannot be written.
    pub fn finish_recording(&mut self) -> std::io::Result<()> {
        self.recorder.take().map_or(Ok(()), Recorder::finish)
    }

    fn record(&mut self, group: &stream::Group) -> std::io::Result<()> {
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let recorded = group.texts.iter().try_for_each(|text| recorder.record(group.received_wall, text));
        if recorded.is_err() {
            // A recording with a hole is worth less than none that goes on.
            self.recorder = None;
        }
        recorded
    }
}
