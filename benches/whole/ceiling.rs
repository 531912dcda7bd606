//! What InfluxDB can take at all: points already encoded, posted over two kept-alive connections by plain sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tickflux::practice::tape::Print;
use tickflux::store::influx::line;
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
    let address = influxd.url.trim_start_matches("http://").to_owned();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let address = &address;
            scope.spawn(move || {
                let mut socket = BufReader::new(TcpStream::connect(address).unwrap());
                for body in bodies.iter().skip(connection).step_by(CONNECTIONS) {
                    let head = format!(
                        "POST /api/v2/write?org={ORG}&bucket={bucket}&precision=ns HTTP/1.1\r\nHost: {address}\r\n\
                         Authorization: Token {TOKEN}\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    socket.get_mut().write_all(head.as_bytes()).unwrap();
                    socket.get_mut().write_all(body).unwrap();
                    let mut answer = String::new();
                    while !answer.ends_with("\r\n\r\n") {
                        assert!(socket.read_line(&mut answer).unwrap() > 0, "{answer}");
                    }
                    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
                }
            });
        }
    });
    begin.elapsed()
}
