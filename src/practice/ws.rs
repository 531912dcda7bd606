//! Streams as Binance's: `/stream?streams=`, `/ws/…`, requests on the socket, pings.
//!
//! Source: Binance's `web-socket-streams.md`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use futures_util::SinkExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Shared;
use super::tape::Print;
use super::wire::event;
use crate::trade::Symbol;

/// Streams on one connection, at most.
const STREAMS_MAX: usize = 1_024;
/// Messages a second from a client, pongs among them; more closes the connection.
const CLIENT_MESSAGES_MAX: u32 = 5;
/// Prints sent between two looks at what the client says.
const PRINTS_AT_ONCE: usize = 512;
const POLICY_VIOLATION: u16 = 1008;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/stream", get(combined))
        .route("/ws", get(raw_without_streams))
        .route("/ws/{*streams}", get(raw))
}

async fn combined(
    exchange: State<Arc<Shared>>,
    Query(parameters): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let streams = parameters.get("streams").map(String::as_str).unwrap_or_default().to_owned();
    serve(exchange, upgrade, streams, true)
}

async fn raw_without_streams(exchange: State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    serve(exchange, upgrade, String::new(), false)
}

async fn raw(exchange: State<Arc<Shared>>, Path(streams): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    serve(exchange, upgrade, streams, false)
}

fn serve(State(exchange): State<Arc<Shared>>, upgrade: WebSocketUpgrade, streams: String, combined: bool) -> Response {
    upgrade.write_buffer_size(256 << 10).on_upgrade(async move |socket| {
        let mut connection = Connection::new(exchange, combined);
        // What ends a connection early is the client's doing.
        let _ = connection.run(socket, &streams).await;
    })
}

struct Connection {
    exchange: Arc<Shared>,
    id: u64,
    combined: bool,
    /// Stream names by symbol, as `btcusdt@trade`.
    streams: HashMap<Symbol, String>,
    /// Names that were asked for and carry nothing here.
    silent: Vec<String>,
    /// The next print to send; none before the first subscription.
    cursor: Option<u64>,
    prints: Vec<Print>,
    second: Instant,
    messages: u32,
}

/// A request on the socket.
#[derive(Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    params: Vec<Value>,
    id: Value,
}

type Sent = Result<(), axum::Error>;

impl Connection {
    fn new(exchange: Arc<Shared>, combined: bool) -> Self {
        let id = exchange.next_subscriber.fetch_add(1, Ordering::Relaxed);
        Self {
            exchange,
            id,
            combined,
            streams: HashMap::new(),
            silent: Vec::new(),
            cursor: None,
            prints: Vec::new(),
            second: Instant::now(),
            messages: 0,
        }
    }

    async fn run(&mut self, mut socket: WebSocket, streams: &str) -> Sent {
        let mut grown = self.exchange.tape.end();
        self.subscribe(streams.split('/').filter(|name| !name.is_empty()));
        if self.streams.len() + self.silent.len() > STREAMS_MAX {
            return close(&mut socket, "Too many streams").await;
        }
        let every = self.exchange.ping_interval;
        let mut ping = interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_pong = Instant::now();
        let mut stop = self.exchange.stop.subscribe();
        loop {
            let has_more = self.cursor.is_some_and(|cursor| cursor < *grown.borrow_and_update());
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return close(&mut socket, "the exchange closes").await,
                message = socket.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    let message = message?;
                    if self.is_too_many() {
                        return close(&mut socket, "Too many requests").await;
                    }
                    match message {
                        Message::Pong(_) => last_pong = Instant::now(),
                        Message::Text(text) => {
                            let answer = self.answer(&text);
                            socket.send(Message::Text(answer.into())).await?;
                        }
                        Message::Close(_) => return Ok(()),
                        Message::Ping(_) | Message::Binary(_) => {}
                    }
                }
                _ = ping.tick() => {
                    if last_pong.elapsed() > self.exchange.ping_timeout {
                        return close(&mut socket, "Pong timeout").await;
                    }
                    let payload = (self.exchange.clock)().ms().to_string();
                    socket.send(Message::Ping(payload.into_bytes().into())).await?;
                }
                () = std::future::ready(()), if has_more => {
                    if !self.send_prints(&mut socket).await? {
                        return close(&mut socket, "too slow").await;
                    }
                }
                changed = grown.changed(), if !has_more => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// Sends the next prints; false if they are no longer there.
    async fn send_prints(&mut self, socket: &mut WebSocket) -> Result<bool, axum::Error> {
        let Some(cursor) = self.cursor else { return Ok(true) };
        if self.exchange.tape.read(cursor, PRINTS_AT_ONCE, &mut self.prints).is_err() {
            return Ok(false);
        }
        for print in &self.prints {
            if let Some(stream) = self.streams.get(&print.trade.symbol) {
                let text = event(print, self.combined.then_some(stream.as_str()));
                socket.feed(Message::Text(text.into())).await?;
            }
        }
        socket.flush().await?;
        let next = cursor + self.prints.len() as u64;
        self.cursor = Some(next);
        self.exchange.tape.note_cursor(self.id, self.cursor);
        Ok(true)
    }

    fn subscribe<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            let symbol = name.strip_suffix("@trade").and_then(|symbol| symbol.parse::<Symbol>().ok());
            match symbol.filter(|symbol| self.exchange.tape.lists(symbol)) {
                Some(symbol) => drop(self.streams.insert(symbol, name.to_owned())),
                // Binance takes any name, and is silent.
                None => self.silent.push(name.to_owned()),
            }
        }
        if self.cursor.is_none() && !self.streams.is_empty() {
            self.cursor = Some(*self.exchange.tape.end().borrow());
            self.exchange.tape.note_cursor(self.id, self.cursor);
            self.exchange.subscribed.send_replace(true);
        }
    }

    fn answer(&mut self, text: &str) -> String {
        let Ok(request) = serde_json::from_str::<Request>(text) else {
            return json!({"error": {"code": 2, "msg": "Invalid request: unknown variant or missing field"}})
                .to_string();
        };
        let names: Vec<_> = request.params.iter().filter_map(Value::as_str).collect();
        let result = match request.method.as_str() {
            "SUBSCRIBE" if self.streams.len() + names.len() > STREAMS_MAX => {
                let error = json!({"code": 4, "msg": "Too many subscriptions"});
                return json!({"error": error, "id": request.id}).to_string();
            }
            "SUBSCRIBE" => {
                self.subscribe(names.into_iter());
                Value::Null
            }
            "UNSUBSCRIBE" => {
                self.streams.retain(|_, name| !names.contains(&name.as_str()));
                self.silent.retain(|name| !names.contains(&name.as_str()));
                Value::Null
            }
            "LIST_SUBSCRIPTIONS" => json!(self.streams.values().chain(&self.silent).collect::<Vec<_>>()),
            method => {
                let error = json!({"code": 2, "msg": format!("Invalid request: unknown method `{method}`")});
                return json!({"error": error, "id": request.id}).to_string();
            }
        };
        json!({"result": result, "id": request.id}).to_string()
    }

    fn is_too_many(&mut self) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            (self.second, self.messages) = (Instant::now(), 0);
        }
        self.messages += 1;
        self.messages > CLIENT_MESSAGES_MAX
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.exchange.tape.note_cursor(self.id, None);
    }
}

/// Ends when the exchange does; its sender lives as long.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn close(socket: &mut WebSocket, reason: &'static str) -> Sent {
    socket.send(Message::Close(Some(CloseFrame { code: POLICY_VIOLATION, reason: reason.into() }))).await
}
