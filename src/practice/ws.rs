//! Streams as Binance's: `/stream?streams=`, `/ws/…`, requests on the socket, pings.
//!
//! Source: Binance's `web-socket-streams.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::middleware::{Next as NextHandler, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};

use super::FAR;
use super::faults::{ConnectionFault, ConnectionFaults, MessageFaults};
use super::request::{self, Request};
use super::rest::JSON;
use super::shared::Shared;
use super::tape::Print;
use super::wire::{RESTRICTED, event};
use crate::trade::Symbol;

/// Streams on one connection, at most.
const STREAMS_MAX: usize = 1_024;
/// Bytes of a path with its query, at most. Users of Binance have measured it (unicorn-binance-websocket-api, issue 19).
const URL_MAX: usize = 8_004;
/// Messages a second from a client, pongs among them; more closes the connection.
const CLIENT_MESSAGES_MAX: u32 = 5;
/// The longest message from a client; 1,024 stream names fit.
const CLIENT_MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Prints sent between two looks at what the client says.
const PRINTS_AT_ONCE: usize = 512;
/// How long a client may take to read up to our close and to answer it.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Why we close a connection: code and reason.
type Why = (u16, &'static str);
const CLOSES: Why = (close_code::AWAY, "the exchange closes");
const PONG_TIMEOUT: Why = (close_code::POLICY, "Pong timeout");
const TOO_MANY_REQUESTS: Why = (close_code::POLICY, "Too many requests");
const TOO_MANY_STREAMS: Why = (close_code::POLICY, "Too many streams");
const TOO_SLOW: Why = (close_code::POLICY, "too slow");
const ANNOUNCED: Why = (close_code::AWAY, "as announced");
/// A connection that has announced its end closes after this.
const ANNOUNCED_WAIT: Duration = Duration::from_secs(5);
/// Trades that faults hold back are held no longer, should nothing come behind them.
const HELD_WAIT: Duration = Duration::from_millis(200);

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/stream", get(combined))
        .route("/ws", get(raw_without_streams))
        .route("/ws/{*streams}", get(raw))
        .layer(from_fn(limit_url))
}

async fn limit_url(request: HttpRequest, next: NextHandler) -> Response {
    let is_short = request.uri().path_and_query().is_none_or(|path| path.as_str().len() <= URL_MAX);
    if is_short { next.run(request).await } else { StatusCode::URI_TOO_LONG.into_response() }
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
    if exchange.faults.stream_451 && !exchange.is_calm() {
        let body = json!({"code": 0, "msg": RESTRICTED}).to_string();
        return (StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, JSON, body).into_response();
    }
    // The exchange ends when nobody waits for its stop any more.
    let mut stop = exchange.stop.subscribe();
    let upgrade = upgrade.write_buffer_size(256 << 10).max_message_size(CLIENT_MESSAGE_BYTES_MAX);
    upgrade.on_upgrade(async move |mut socket| {
        let mut connection = Connection::new(exchange, combined);
        let why = tokio::select! {
            biased;
            () = stopped(&mut stop) => Some(CLOSES),
            why = connection.run(&mut socket, &streams) => why,
        };
        let is_cut = connection.is_cut;
        // It is no subscriber any more, however long closing takes.
        drop(connection);
        if !is_cut {
            close(socket, why).await;
        }
    })
}

struct Connection {
    exchange: Arc<Shared>,
    id: u64,
    combined: bool,
    /// Stream names by symbol, as `btcusdt@trade`.
    streams: BTreeMap<Symbol, String>,
    /// Names that were asked for and carry nothing here.
    silent: BTreeSet<String>,
    /// The next print to send; none without a stream that carries something.
    cursor: Option<u64>,
    prints: Vec<Print>,
    /// Pings without a pong so far: when each was sent, and its payload.
    unanswered: VecDeque<(Instant, Bytes)>,
    second: Instant,
    messages: u32,
    opened: Instant,
    faults: ConnectionFaults,
    message_faults: Option<MessageFaults>,
    /// It breaks without a close frame.
    is_cut: bool,
    closes_at: Option<Instant>,
}

/// What a connection does next.
enum Step {
    Read(Option<Result<Message, axum::Error>>),
    Ping,
    Send,
    /// Sends what faults have held back.
    Release,
    Fault,
}

/// Whether the connection goes on.
enum Next {
    GoesOn,
    /// We close it.
    Close(Why),
    /// The client closed it.
    Gone,
}

impl Connection {
    fn new(exchange: Arc<Shared>, combined: bool) -> Self {
        let id = exchange.next_subscriber.fetch_add(1, Ordering::Relaxed);
        Self {
            opened: Instant::now(),
            faults: ConnectionFaults::new(&exchange.faults),
            message_faults: MessageFaults::new(&exchange.faults, id),
            is_cut: false,
            closes_at: None,
            exchange,
            id,
            combined,
            streams: BTreeMap::new(),
            silent: BTreeSet::new(),
            cursor: None,
            prints: Vec::new(),
            unanswered: VecDeque::new(),
            second: Instant::now(),
            messages: 0,
        }
    }

    /// Runs until the client is gone or must go; then says why.
    ///
    /// Whatever waits for the client to read is given up when a pong is overdue.
    async fn run(&mut self, socket: &mut WebSocket, streams: &str) -> Option<Why> {
        let mut grown = self.exchange.tape.end();
        let names = streams.split('/').filter(|name| !name.is_empty());
        if !self.subscribe(names) {
            return Some(TOO_MANY_STREAMS);
        }
        let every = self.exchange.ping_interval;
        let mut ping = interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_more = self.cursor.is_some_and(|cursor| cursor < *grown.borrow_and_update());
            let step = tokio::select! {
                biased;
                message = socket.recv() => Step::Read(message),
                () = sleep_until(self.pong_due()), if !self.unanswered.is_empty() => return Some(PONG_TIMEOUT),
                _ = ping.tick() => Step::Ping,
                () = sleep_until(self.fault_due()), if self.has_faults() => Step::Fault,
                () = std::future::ready(()), if has_more => Step::Send,
                () = sleep_until(Instant::now() + HELD_WAIT), if self.holds() => Step::Release,
                // The sender lives as long as the exchange.
                _ = grown.changed(), if !has_more => continue,
            };
            match timeout_at(self.pong_due(), self.take(step, socket)).await {
                Ok(Ok(Next::GoesOn)) => {}
                Ok(Ok(Next::Close(why))) => return Some(why),
                Ok(Ok(Next::Gone) | Err(_)) => return None,
                Err(_) => return Some(PONG_TIMEOUT),
            }
        }
    }

    /// When the oldest ping without a pong is overdue, or would be if one were sent now.
    fn pong_due(&self) -> Instant {
        self.unanswered.front().map_or_else(Instant::now, |(sent, _)| *sent) + self.exchange.ping_timeout
    }

    async fn take(&mut self, step: Step, socket: &mut WebSocket) -> Result<Next, axum::Error> {
        match step {
            Step::Read(None) => Ok(Next::Gone),
            Step::Read(Some(message)) => self.heed(message?, socket).await,
            Step::Ping => {
                let payload = Bytes::from((self.exchange.clock)().ms().to_string());
                self.unanswered.push_back((Instant::now(), payload.clone()));
                socket.send(Message::Ping(payload)).await?;
                Ok(Next::GoesOn)
            }
            Step::Send => self.send_prints(socket).await,
            Step::Release => {
                let held: Vec<_> = self.message_faults.iter_mut().flat_map(MessageFaults::release).collect();
                for text in held {
                    socket.feed(Message::Text(text.into())).await?;
                }
                socket.flush().await?;
                Ok(Next::GoesOn)
            }
            Step::Fault => self.suffer(socket).await,
        }
    }

    /// When the connection as a whole next goes wrong.
    fn fault_due(&self) -> Instant {
        let fault = self.faults.next_at().map(|age| self.opened + age.min(FAR));
        [fault, self.closes_at].into_iter().flatten().min().unwrap_or(self.opened)
    }

    fn has_faults(&self) -> bool {
        self.closes_at.is_some() || self.faults.next_at().is_some() && !self.exchange.is_calm()
    }

    fn holds(&self) -> bool {
        self.message_faults.as_ref().is_some_and(MessageFaults::holds)
    }

    async fn suffer(&mut self, socket: &mut WebSocket) -> Result<Next, axum::Error> {
        if self.closes_at.is_some_and(|at| at <= Instant::now()) {
            return Ok(Next::Close(ANNOUNCED));
        }
        match self.faults.take(self.opened.elapsed()) {
            None => {}
            Some(ConnectionFault::Cut) => {
                self.is_cut = true;
                return Ok(Next::Gone);
            }
            // Nothing is sent, read or answered.
            Some(ConnectionFault::Silence(time)) => tokio::time::sleep(time).await,
            Some(ConnectionFault::Shutdown) => {
                let event = json!({"e": "serverShutdown", "E": (self.exchange.clock)().ms()});
                let event = if self.combined { json!({"stream": "!serverShutdown", "data": event}) } else { event };
                socket.send(Message::Text(event.to_string().into())).await?;
                self.closes_at = Some(Instant::now() + ANNOUNCED_WAIT);
            }
        }
        Ok(Next::GoesOn)
    }

    async fn heed(&mut self, message: Message, socket: &mut WebSocket) -> Result<Next, axum::Error> {
        if self.is_too_many() {
            return Ok(Next::Close(TOO_MANY_REQUESTS));
        }
        match message {
            Message::Pong(payload) => self.note_pong(&payload),
            Message::Text(text) => socket.send(Message::Text(self.answer(&text).into())).await?,
            Message::Close(_) => return Ok(Next::Gone),
            Message::Ping(_) | Message::Binary(_) => {}
        }
        Ok(Next::GoesOn)
    }

    /// A pong answers the ping that it copies and those before; any other is allowed and proves nothing.
    fn note_pong(&mut self, payload: &Bytes) {
        if let Some(at) = self.unanswered.iter().position(|(_, sent)| sent == payload) {
            self.unanswered.drain(..=at);
        }
    }

    async fn send_prints(&mut self, socket: &mut WebSocket) -> Result<Next, axum::Error> {
        let Some(cursor) = self.cursor else { return Ok(Next::GoesOn) };
        if self.exchange.tape.read(cursor, PRINTS_AT_ONCE, &mut self.prints).is_err() {
            return Ok(Next::Close(TOO_SLOW));
        }
        if self.message_faults.is_some() && self.exchange.is_calm() {
            let held: Vec<_> = self.message_faults.take().iter_mut().flat_map(MessageFaults::release).collect();
            for text in held {
                socket.feed(Message::Text(text.into())).await?;
            }
        }
        let mut delivered = Vec::new();
        for print in &self.prints {
            let Some(stream) = self.streams.get(&print.trade.symbol) else { continue };
            let text = event(print, self.combined.then_some(stream.as_str()));
            let Some(faults) = &mut self.message_faults else {
                socket.feed(Message::Text(text.into())).await?;
                continue;
            };
            faults.pass(text, &mut delivered);
            for text in delivered.drain(..) {
                socket.feed(Message::Text(text.into())).await?;
            }
        }
        socket.flush().await?;
        self.move_cursor(Some(cursor + self.prints.len() as u64));
        Ok(Next::GoesOn)
    }

    fn move_cursor(&mut self, cursor: Option<u64>) {
        self.cursor = cursor;
        self.exchange.tape.note_cursor(self.id, cursor);
    }

    /// Takes all of `names`, or none and gives false if they are too many.
    fn subscribe<'a>(&mut self, names: impl Iterator<Item = &'a str> + Clone) -> bool {
        let new = names.clone().filter(|name| !self.has(name)).collect::<BTreeSet<_>>().len();
        if self.streams.len() + self.silent.len() + new > STREAMS_MAX {
            return false;
        }
        for name in names {
            match self.exchange.streams.get(name) {
                Some(symbol) => drop(self.streams.insert(symbol.clone(), name.to_owned())),
                // Binance takes any name, and is silent.
                None => drop(self.silent.insert(name.to_owned())),
            }
        }
        if self.cursor.is_none() && !self.streams.is_empty() {
            let end = *self.exchange.tape.end().borrow();
            self.move_cursor(Some(end));
            self.exchange.subscribed.send_replace(true);
        }
        true
    }

    fn has(&self, name: &str) -> bool {
        self.silent.contains(name) || self.streams.values().any(|stream| stream == name)
    }

    fn unsubscribe(&mut self, names: &[String]) {
        self.streams.retain(|_, name| !names.contains(name));
        self.silent.retain(|name| !names.contains(name));
        if self.streams.is_empty() {
            self.move_cursor(None);
        }
    }

    fn answer(&mut self, text: &str) -> String {
        let (request, id) = match request::parse(text) {
            Ok(request) => request,
            Err(refusal) => return refusal,
        };
        let result = match request {
            Request::Subscribe(names) => {
                if !self.subscribe(names.iter().map(String::as_str)) {
                    let error = json!({"code": 4, "msg": "Too many subscriptions"});
                    return json!({"error": error, "id": id}).to_string();
                }
                Value::Null
            }
            Request::Unsubscribe(names) => {
                self.unsubscribe(&names);
                Value::Null
            }
            Request::ListSubscriptions => json!(self.streams.values().chain(&self.silent).collect::<Vec<_>>()),
            Request::SetCombined(combined) => {
                self.combined = combined;
                Value::Null
            }
            Request::GetCombined => json!(self.combined),
        };
        json!({"result": result, "id": id}).to_string()
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

/// Says why, if it is we who close, and reads on until the client has closed too.
///
/// A socket that is dropped with unread messages in it is reset, and what the
/// client has not read by then is lost, the reason too.
async fn close(mut socket: WebSocket, why: Option<Why>) {
    let closing = async {
        if let Some((code, reason)) = why {
            socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
        }
        while socket.recv().await.transpose()?.is_some() {}
        Ok::<_, axum::Error>(())
    };
    // A client that does not end it well has its own reasons.
    let _ = timeout(CLOSE_WAIT, closing).await;
}
