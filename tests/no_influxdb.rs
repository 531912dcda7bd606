//! Answers that are no InfluxDB's, and those of a hostile one: never read as "no trade", never kept whole.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use support::influxd::{Influxd, TOKEN};
use support::process::peak_bytes;
use support::server::serving;

/// Bytes of memory that a process may take.
const MEMORY_MAX: u64 = 100 << 20;

const QUESTIONS: [&[&str]; 6] = [
    &["latest"],
    &["at", "BTCUSDT", "-1m"],
    &["high-low", "BTCUSDT", "-1m"],
    &["candles", "BTCUSDT"],
    &["gaps"],
    &["trades", "BTCUSDT"],
];

fn answering(answer: impl Fn(&TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    format!("http://{}", serving(move |socket, _| answer(socket)))
}

/// Asks, and gives the most memory that was seen, in bytes.
fn ask(args: &[&str], url: &str) -> (Output, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tickflux"))
        .args(args)
        .args(["--store", url])
        .current_dir(folder.path())
        .env_clear()
        .env("INFLUX_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_bytes(child.id()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    (child.wait_with_output().unwrap(), peak)
}

fn assert_refused(args: &[&str], url: &str, code: i32, words: &[&str]) {
    let (output, peak) = ask(args, url);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(words.iter().chain(&[url]).all(|word| stderr.contains(word)), "{args:?} {words:?}: {stderr}");
    assert!(!stderr.contains(TOKEN) && stderr.len() < 800 && !stderr.contains('\u{1b}'), "{stderr}");
    assert!(peak < MEMORY_MAX, "{args:?} took {peak} bytes");
    assert!(output.stdout.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_is_no_influxdbs_answer_is_named_and_never_read_as_no_trade() {
    let page = "<html><body>\u{1b}[31mPlease log in\r\nto the Wi-Fi</body></html>";
    for (head, body, words) in [
        ("200 OK\r\nContent-Type: text/html", page, &["answered 200", "Please log in", "no InfluxDB"][..]),
        ("200 OK\r\nContent-Type: text/csv", page, &["no answer", "Please log in"]),
        ("200 OK\r\nContent-Type: text/csv", "", &["empty"]),
        ("200 OK\r\nContent-Type: text/csv", "\r\n\r\n", &["empty"]),
        ("200 OK\r\nContent-Type: text/csv", "symbol,price\r\nBTCUSDT,1\r\n", &["no answer", "symbol"]),
        ("200 OK", "", &["answered 200", "no InfluxDB"]),
        ("200 OK\r\nContent-Type: application/json", "{\"ok\":true}", &["answered 200", "no InfluxDB"]),
        ("204 No Content", "", &["answered 204", "no InfluxDB"]),
        ("302 Found\r\nLocation: http://example.org/login", "", &["answered 302", "no InfluxDB"]),
        ("400 Bad Request", "Client sent an HTTP request to an HTTPS server.", &["answered 400", "HTTPS server"]),
        ("401 Unauthorized\r\nContent-Type: text/html", page, &["answered 401", "no InfluxDB"]),
        ("403 Forbidden\r\nContent-Type: text/html", page, &["answered 403", "no InfluxDB"]),
        ("404 Not Found\r\nContent-Type: text/plain", "404 page not found", &["answered 404", "no InfluxDB"]),
        (
            "503 Service Unavailable",
            "{\"code\":\"unavailable\",\"message\":\"starting\"}",
            &["answered 503", "starting"],
        ),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let url = answering(move |mut socket| socket.write_all(answer.as_bytes()));
        for args in QUESTIONS {
            assert_refused(args, &url, 3, words);
        }
        if !head.contains("csv") && !body.starts_with("{\"code") {
            assert_refused(&["provision"], &url, 3, &words[..1]);
        }
    }
}

#[test]
fn a_refusal_in_influxdbs_own_words_is_about_the_settings() {
    for (status, message, words) in [
        (401, "unauthorized access", &["answered 401", "unauthorized access", "--bucket", "token"]),
        (403, "insufficient permissions", &["answered 403", "insufficient", "--bucket", "token"]),
        (404, "could not find bucket x", &["answered 404", "could not find", "--bucket", "token"]),
    ] {
        let body = format!("{{\"code\":\"some code\",\"message\":\"{message}\"}}");
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let url = answering(move |mut socket| socket.write_all(answer.as_bytes()));
        assert_refused(QUESTIONS[0], &url, 2, words);
    }
}

/// Begins an answer of chunks without an end.
fn begin(mut socket: &TcpStream, status: &str, kind: &str) -> std::io::Result<()> {
    write!(
        socket,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nX-Influxdb-Build: OSS\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
}

fn chunk(mut socket: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    write!(socket, "{:x}\r\n", bytes.len())?;
    socket.write_all(bytes)?;
    socket.write_all(b"\r\n")
}

#[test]
fn an_answer_without_an_end_is_given_up_and_takes_no_memory() {
    // One row that never ends, and a page of refusal that never ends.
    let url = answering(|socket| {
        begin(socket, "200 OK", "text/csv")?;
        chunk(socket, b",result,table,exchange,symbol\r\n,_result,0,\"")?;
        loop {
            chunk(socket, &[b'x'; 60_000])?;
        }
    });
    assert_refused(QUESTIONS[0], &url, 3, &["more than 65536 bytes"]);
    let url = answering(|socket| {
        begin(socket, "500 Internal Server Error", "text/html")?;
        loop {
            chunk(socket, &[b'x'; 60_000])?;
        }
    });
    assert_refused(QUESTIONS[0], &url, 3, &["answered 500", "bytes more"]);
    assert_refused(&["provision"], &url, 3, &["answered 500", "bytes more"]);
    let url = answering(|socket| {
        begin(socket, "200 OK", "application/json")?;
        loop {
            chunk(socket, &[b'['; 60_000])?;
        }
    });
    assert_refused(&["provision"], &url, 3, &["more than 1048576 bytes"]);

    // Rows without an end, each as it should be; of another series each, where a list is not kept.
    let header = ",result,table,exchange,symbol,trade_id,time,price,quantity,buyer_is_maker,minute,first_id,last_id,whole,id_before\r\n";
    let url = answering(move |socket| {
        begin(socket, "200 OK", "text/csv")?;
        chunk(socket, header.as_bytes())?;
        for number in 0_u64.. {
            let row = |more: u64| {
                let id = number * 500 + more;
                format!(
                    ",_result,0,binance,S{id},{id},2026-01-01T00:00:00Z,5,5,true,2026-01-01T00:00:00Z,{id},{id},false,-1\r\n"
                )
            };
            chunk(socket, (0..500).map(row).collect::<String>().as_bytes())?;
        }
        Ok(())
    });
    assert_refused(&["latest"], &url, 3, &["more than 200000 rows"]);
    assert_refused(&["gaps"], &url, 3, &["more than"]);
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    let url = answering(|socket| {
        begin(socket, "200 OK", "text/csv")?;
        chunk(socket, b",result,table,exchange,symbol\r\n,_result,0,bin")
    });
    assert_refused(QUESTIONS[0], &url, 3, &["broke off"]);
}

#[test]
fn an_empty_bucket_of_influxdb_is_a_no() {
    let Some(influxd) = Influxd::start() else { return };
    for args in QUESTIONS {
        let (output, _) = ask(args, &influxd.url);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
