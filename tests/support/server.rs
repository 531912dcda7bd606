//! Small servers for what the real parts cannot be made to do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// A door in front of a server: closed, every connection is dropped at once; open, bytes pass.
pub struct Gate {
    address: SocketAddr,
    refusals: Arc<(Mutex<usize>, Condvar)>,
    left: Arc<AtomicUsize>,
}

impl Gate {
    /// A closed gate in front of `http://HOST:PORT`.
    pub fn closed(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let refusals = Arc::new((Mutex::new(0), Condvar::new()));
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let (counted, remaining) = (Arc::clone(&refusals), Arc::clone(&left));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if remaining.load(Ordering::SeqCst) == 0 {
                    pass(&socket, &TcpStream::connect(&target).unwrap());
                } else {
                    *counted.0.lock().unwrap() += 1;
                    counted.1.notify_all();
                }
            }
        });
        Self { address, refusals, left }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens once so many connections were dropped; waits for them two minutes at most.
    pub fn open_after_refusals(&self, refusals: usize) {
        let (counted, most) = (self.refusals.0.lock().unwrap(), Duration::from_secs(120));
        let (counted, waited) = self.refusals.1.wait_timeout_while(counted, most, |count| *count < refusals).unwrap();
        assert!(!waited.timed_out(), "{counted} connections came");
        drop(counted);
        self.left.store(0, Ordering::SeqCst);
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
