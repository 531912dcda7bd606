//! What InfluxDB can take at all, and what asking it costs at least: points already encoded, posted over kept-alive
//! connections by plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use tickflux::practice::tape::Print;
use tickflux::store::influx::line;
use tickflux::telemetry::metrics::cpu_time;
use tickflux::trade::Exchange;

use crate::support::influxd::{Influxd, ORG, TOKEN};

/// Connections, as a capture has.
const CONNECTIONS: usize = 2;

/// The bodies of `prints`, so many lines each.
pub(crate) fn bodies(prints: &[Print], exchange: &Exchange, lines: usize) -> Vec<Vec<u8>> {
    let body = |prints: &[Print]| {
        let mut bytes = Vec::new();
        prints.iter().for_each(|print| line::encode(&print.trade, exchange, &mut bytes));
        bytes
    };
    prints.chunks(lines).map(body).collect()
}

/// Posts every body into `bucket`; gives how long it took.
pub(crate) fn post(influxd: &Influxd, bucket: &str, bodies: &[Vec<u8>]) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            scope.spawn(move || {
                let mut client = Client::new(influxd, bucket);
                bodies.iter().skip(connection).step_by(CONNECTIONS).for_each(|body| client.post(body));
            });
        }
    });
    begin.elapsed()
}

/// The CPU of the least that a message can cost: it is read from a socket, and one body is posted for it, by one blocking
/// thread that parses, keeps and encodes nothing. `per_second` messages come, each alone.
pub(crate) fn least_cpu(influxd: &Influxd, bucket: &str, bodies: &[Vec<u8>], per_second: f64) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            for _ in bodies {
                std::thread::sleep(Duration::from_secs_f64(1.0 / per_second));
                socket.write_all(&[b'x'; 170]).unwrap();
            }
        });
        let (mut stream, mut message) = (TcpStream::connect(address).unwrap(), [0; 170]);
        let mut client = Client::new(influxd, bucket);
        let before = thread_cpu();
        for body in bodies {
            stream.read_exact(&mut message).unwrap();
            client.post(body);
        }
        thread_cpu() - before
    })
}

fn thread_cpu() -> Duration {
    cpu_time(&getrusage(UsageWho::RUSAGE_THREAD).unwrap())
}

struct Client {
    socket: BufReader<TcpStream>,
    head: String,
    answer: String,
}

impl Client {
    fn new(influxd: &Influxd, bucket: &str) -> Self {
        let address = influxd.url.trim_start_matches("http://");
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let head = format!(
            "POST /api/v2/write?org={ORG}&bucket={bucket}&precision=ns HTTP/1.1\r\nHost: {address}\r\n\
             Authorization: Token {TOKEN}\r\nContent-Length: "
        );
        Self { socket: BufReader::new(socket), head, answer: String::new() }
    }

    fn post(&mut self, body: &[u8]) {
        let head = format!("{}{}\r\n\r\n", self.head, body.len());
        if body.len() < 1_000 {
            self.socket.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        } else {
            self.socket.get_mut().write_all(head.as_bytes()).unwrap();
            self.socket.get_mut().write_all(body).unwrap();
        }
        self.answer.clear();
        while !self.answer.ends_with("\r\n\r\n") {
            assert!(self.socket.read_line(&mut self.answer).unwrap() > 0, "{}", self.answer);
        }
        assert!(self.answer.starts_with("HTTP/1.1 204"), "{}", self.answer);
    }
}
