//! A proxy with faults between tickflux and InfluxDB, for plain HTTP/1.1 with a connection a request.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Pass,
    /// They pass after a while.
    Delay(Duration),
    /// The connection is reset before the server has the request.
    CutBefore,
    /// The connection breaks when the server has the head and half of the body.
    CutWithin,
    /// The connection breaks after the server has answered.
    CutAfter,
    /// The proxy answers by itself, perhaps with `Retry-After` in seconds.
    Answer(u16, Option<u64>),
    /// The proxy refuses by itself with this status, in words as proxies and other servers have them.
    Refuse(u16),
    /// The same, of writes alone.
    RefuseWrites(u16),
    /// Nothing comes back until the mode changes; then the connection breaks.
    BlackHole,
    /// The price of the trade with this id is no number.
    Malform(u64),
    /// Each request has one of the others, drawn from this seed.
    Mixed(u64),
}

impl Mode {
    /// What happens to the request with this number.
    fn for_request(self, number: u64) -> Self {
        let Self::Mixed(seed) = self else { return self };
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(number));
        match rng.u8(0..10) {
            0..4 => Self::Pass,
            4 => Self::Delay(Duration::from_millis(rng.u64(1..400))),
            5 => Self::CutBefore,
            6 => Self::CutWithin,
            7 | 8 => Self::CutAfter,
            _ => Self::Answer([429, 500, 503][rng.usize(0..3)], None),
        }
    }
}

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    questions: Arc<Questions>,
}

/// Queries under way, and the most that ever were.
#[derive(Debug, Default)]
struct Questions {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Proxy {
    /// In front of `http://HOST:PORT`.
    pub fn start(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new(Mode::Pass));
        let questions = Arc::<Questions>::default();
        let (shared, counted) = (Arc::clone(&mode), Arc::clone(&questions));
        std::thread::spawn(move || {
            for (client, number) in listener.incoming().flatten().zip(0..) {
                let (target, mode, questions) = (target.clone(), Arc::clone(&shared), Arc::clone(&counted));
                // A broken connection ends its thread and nothing else.
                std::thread::spawn(move || serve(client, number, &target, &mode, &questions));
            }
        });
        Self { address, mode, questions }
    }

    /// The most queries that were ever under way at a time.
    pub fn most_questions(&self) -> usize {
        self.questions.most.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

fn serve(mut client: TcpStream, number: u64, target: &str, mode: &Mutex<Mode>, questions: &Questions) -> Option<()> {
    let now = mode.lock().unwrap().for_request(number);
    if now == Mode::CutBefore {
        // What is left unread makes it a reset.
        client.read_exact(&mut [0]).ok()?;
        return None;
    }
    let (head, body) = read_request(&mut client)?;
    match now {
        Mode::Delay(time) => std::thread::sleep(time),
        Mode::BlackHole => {
            let deadline = Instant::now() + Duration::from_secs(120);
            while *mode.lock().unwrap() == Mode::BlackHole && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            return None;
        }
        Mode::Answer(status, retry_after) => {
            let retry_after = retry_after.map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n"));
            let answer =
                format!("HTTP/1.1 {status} Fault\r\n{retry_after}Content-Length: 0\r\nConnection: close\r\n\r\n");
            return client.write_all(answer.as_bytes()).ok();
        }
        Mode::RefuseWrites(_) if !head.starts_with("POST /api/v2/write") => {}
        Mode::Refuse(status) | Mode::RefuseWrites(status) => {
            let body = refusal(status, number);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            return client.write_all(answer.as_bytes()).ok();
        }
        _ => {}
    }
    let body = match now {
        Mode::Malform(id) => malformed(&body, id),
        _ => body,
    };
    let is_question = head.starts_with("POST /api/v2/query");
    if is_question {
        let now = questions.now.fetch_add(1, Ordering::SeqCst) + 1;
        questions.most.fetch_max(now, Ordering::SeqCst);
    }
    let answer = forward(&head, &body, target, now);
    if is_question {
        questions.now.fetch_sub(1, Ordering::SeqCst);
    }
    client.write_all(&answer?).ok()?;
    client.shutdown(Shutdown::Write).ok()
}

/// What stands in the body of a refusal that is not the store's.
fn refusal(status: u16, number: u64) -> &'static str {
    let words: &[&str] = match status {
        400 => &[
            "Client sent an HTTP request to an HTTPS server.\n",
            "<html><head><title>400 Bad Request</title></head></html>",
            r#"{"code":"invalid","message":"Please provide either orgID or org"}"#,
            r#"{"error":"partial write: field type conflict"}"#,
        ],
        401 => &[r#"{"code":"unauthorized","message":"unauthorized access"}"#, "<html>please log in</html>"],
        403 => &["<html>blocked by policy</html>"],
        413 => &["<html><head><title>413 Request Entity Too Large</title></head></html>", ""],
        422 => &[
            r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"price\" on measurement \"trade\" is type string, already exists as type float dropped=1"}"#,
            "unprocessable",
        ],
        _ => &[""],
    };
    words[usize::try_from(number).unwrap_or(0) % words.len()]
}

/// What the server answers; `None` if the connection is to break.
fn forward(head: &str, body: &[u8], target: &str, mode: Mode) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(target).ok()?;
    server.write_all(head_for(head, body.len()).as_bytes()).ok()?;
    if mode == Mode::CutWithin {
        server.write_all(&body[..body.len() / 2]).ok()?;
        return None;
    }
    server.write_all(body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    if mode == Mode::CutAfter { None } else { Some(answer) }
}

/// The head as text, and the body by its length.
fn read_request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 << 10];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let read = client.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    };
    let body = bytes.split_off(end);
    let head = String::from_utf8(bytes).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.unwrap_or(0);
    let mut body = body;
    while body.len() < length {
        let read = client.read(&mut part).ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&part[..read]);
    }
    Some((head, body))
}

/// The head for a connection that ends with the answer.
fn head_for(head: &str, length: usize) -> String {
    let is_ours = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !line.is_empty() && !matches!(name.as_str(), "content-length" | "connection")
    };
    let lines: Vec<_> = head.lines().filter(is_ours).collect();
    format!("{}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n", lines.join("\r\n"))
}

fn malformed(body: &[u8], id: u64) -> Vec<u8> {
    let marked = format!(",trade_id={id}i,");
    let change = |line: &str| {
        if line.contains(&marked) { line.replacen("price_float=", "price_float=1.2.", 1) } else { line.to_owned() }
    };
    String::from_utf8_lossy(body).split_inclusive('\n').map(change).collect::<String>().into_bytes()
}
