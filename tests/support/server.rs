//! Small servers for what the real parts cannot be made to do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

/// A WebSocket server that sends these messages to whoever comes, and then keeps the connection open.
pub async fn send_once(messages: Vec<String>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let messages = messages.clone();
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
                for message in messages {
                    socket.send(Message::text(message)).await.unwrap();
                }
                while socket.next().await.is_some() {}
            });
        }
    });
    address
}

/// What `GET path` at `address` answers, head and all.
pub fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// A door in front of a server: closed, every connection is dropped at once; open, bytes pass.
pub struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<GateState>>,
    refused: Arc<Condvar>,
}

#[derive(Default)]
struct GateState {
    is_open: bool,
    refusals: usize,
    passing: Vec<TcpStream>,
}

impl Gate {
    /// A closed gate in front of `http://HOST:PORT`.
    pub fn closed(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (state, refused) = (Arc::new(Mutex::new(GateState::default())), Arc::new(Condvar::new()));
        let (shared, told) = (Arc::clone(&state), Arc::clone(&refused));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let mut state = shared.lock().unwrap();
                if state.is_open {
                    let server = TcpStream::connect(&target).unwrap();
                    pass(&socket, &server);
                    state.passing.extend([socket, server]);
                } else {
                    state.refusals += 1;
                    told.notify_all();
                }
            }
        });
        Self { address, state, refused }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn open(&self) {
        self.state.lock().unwrap().is_open = true;
    }

    /// Closes it, and cuts what passes.
    pub fn close(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_open = false;
        for socket in state.passing.drain(..) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Opens once so many connections were dropped; waits for them two minutes at most.
    pub fn open_after_refusals(&self, refusals: usize) {
        let (state, most) = (self.state.lock().unwrap(), Duration::from_secs(120));
        let (state, waited) = self.refused.wait_timeout_while(state, most, |state| state.refusals < refusals).unwrap();
        assert!(!waited.timed_out(), "{} connections came", state.refusals);
        drop(state);
        self.open();
    }
}

fn pass(one: &TcpStream, other: &TcpStream) {
    for (from, to) in [(one, other), (other, one)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if to.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }
}

/// An HTTP server that gives whoever asks the same bytes, head and all, by this function; ends with the test.
pub fn answering(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                read_request(&mut socket);
                let _ = answer(&mut socket);
            });
        }
    });
    format!("http://{address}")
}

/// Reads a request to its end.
fn read_request(socket: &mut TcpStream) {
    let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = socket.read(&mut bytes) {
        request.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            break;
        }
    }
}
