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

/// Passes bytes both ways until either side ends.
pub fn pass(one: &TcpStream, other: &TcpStream) {
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

/// A server that answers each request line with a whole HTTP answer, and closes, which it says.
pub fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    serving(move |mut client: &TcpStream, line| {
        client.write_all(answer(line).replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())
    })
}

/// A server whose answers begin with `head` and never end.
pub fn endless(head: &'static str) -> SocketAddr {
    serving(move |mut client: &TcpStream, _| {
        client.write_all(head.as_bytes())?;
        loop {
            client.write_all(&[b'x'; 64 << 10])?;
        }
    })
}

/// A server that leaves the answer to each request line to a function, which may give up when the client does.
pub fn serving(serve: impl Fn(&TcpStream, &str) -> std::io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, serve) = (listener.local_addr().unwrap(), Arc::new(serve));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut part = [0; 4096];
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    match (&client).read(&mut part) {
                        Ok(read @ 1..) => head.extend_from_slice(&part[..read]),
                        _ => return,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                // Who hangs up early has had enough.
                let _ = serve(&client, head.lines().next().unwrap_or_default());
            });
        }
    });
    address
}
