//! A stream with faults: between the exchange and the capture it drops, doubles, reorders, garbles and cuts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// What happens to messages, in thousandths of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub drop: u64,
    pub double: u64,
    /// Held back behind up to five later ones.
    pub reorder: u64,
    /// Followed by one that is no message.
    pub garble: u64,
    /// The connection ends after so many messages.
    pub cut_every: Option<u64>,
    /// After so many messages nothing happens any more.
    pub messages: u64,
}

/// A running stream with faults.
pub struct Lossy {
    pub address: SocketAddr,
    handled: Arc<AtomicU64>,
    faults: Faults,
}

impl Lossy {
    /// Stands in front of the exchange at `exchange`; the same seed gives the same faults.
    pub async fn start(exchange: SocketAddr, seed: u64, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handled = Arc::new(AtomicU64::new(0));
        let rng = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let counted = Arc::clone(&handled);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass(socket, exchange, Arc::clone(&counted), Arc::clone(&rng), faults));
            }
        });
        Self { address, handled, faults }
    }

    /// Ends the faults.
    pub fn calm(&self) {
        self.handled.fetch_max(self.faults.messages, Ordering::SeqCst);
    }

    /// Whether the faults are over.
    pub fn is_over(&self) -> bool {
        self.handled.load(Ordering::SeqCst) >= self.faults.messages
    }
}

async fn pass(
    socket: TcpStream,
    exchange: SocketAddr,
    handled: Arc<AtomicU64>,
    rng: Arc<Mutex<fastrand::Rng>>,
    faults: Faults,
) {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let note_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().to_string();
        Ok(response)
    };
    let Ok(mut client) = tokio_tungstenite::accept_hdr_async(socket, note_path).await else { return };
    let Ok((mut server, _)) = tokio_tungstenite::connect_async(format!("ws://{exchange}{path}")).await else { return };
    let mut held: Vec<(u64, Message)> = Vec::new();
    let mut passed = 0;
    while let Some(Ok(message)) = server.next().await {
        if !message.is_text() {
            continue;
        }
        let mut out = Vec::new();
        if handled.fetch_add(1, Ordering::SeqCst) >= faults.messages {
            out.extend(held.drain(..).map(|(_, message)| message));
            out.push(message);
        } else {
            let mut rng = rng.lock().unwrap();
            let mut happens = |thousandths: u64| rng.u64(0..1_000) < thousandths;
            if happens(faults.garble) {
                out.push(Message::text("{\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"trade\",\"E\":17"));
            }
            if happens(faults.reorder) {
                held.push((passed + rng.u64(1..6), message));
            } else if !happens(faults.drop) {
                if happens(faults.double) {
                    out.push(message.clone());
                }
                out.push(message);
            }
        }
        held.retain(|(until, message)| {
            let waits = *until > passed;
            if !waits {
                out.push(message.clone());
            }
            waits
        });
        for message in out {
            if client.send(message).await.is_err() {
                return;
            }
        }
        passed += 1;
        if faults.cut_every == Some(passed) && handled.load(Ordering::SeqCst) < faults.messages {
            return;
        }
    }
}
