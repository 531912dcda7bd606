//! Large numbers in every flag and parameter, and what an exchange does when it starts again: by the real program.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio_tungstenite::connect_async;

use crate::kit::*;

/// A running `tickflux exchange`; killed if the test ends before it does.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    /// Starts it; the error is what it said instead of listening, with its exit code.
    fn start(listen: &str, flags: &[&str]) -> Result<Self, (Option<i32>, String)> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tickflux"))
            .args(["exchange", "--listen", listen])
            .args(flags)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.strip_prefix("listening on ").and_then(|rest| rest.split(':').nth(1)) {
            Some(port) => Ok(Self { child, address: format!("127.0.0.1:{port}") }),
            None => {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                Err((child.wait().unwrap().code(), errors))
            }
        }
    }

    /// Asks it to end; gives its exit code and what it said.
    fn stop(mut self) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const HUGE: [&str; 6] =
    ["18446744073709551615", "9223372036854775807", "-9223372036854775808", "99999999999999999999999", "1e308", "0"];

#[tokio::test]
async fn no_flag_makes_it_panic() {
    let plan = file(r#"{"cut-every": "10000000years"}"#);
    let session = file(recording(&events(20), 1));
    let session = session.path().to_str().unwrap();
    let mut cases: Vec<Vec<&str>> = vec![vec!["--faults", plan.path().to_str().unwrap()]];
    for number in HUGE {
        for flag in ["--rate", "--seed", "--trades", "--history", "--speed", "--fault-seed", "--reset-after", "--drop"]
        {
            cases.push(vec![flag, number]);
        }
        cases.push(vec!["--trades", number, "--speed", "max"]);
        cases.push(vec!["--trades", "5", "--speed", "max", "--history", number]);
        cases.push(vec!["--trades", "5", "--speed", "max", "--rate", number]);
        cases.push(vec!["--replay", session, "--shift", number]);
        cases.push(vec!["--replay", session, "--speed", number]);
        cases.push(vec!["--replay", session, "--history", number]);
    }
    cases.push(vec!["--trades", "100", "--speed", "max", "--rate", "1e-300"]);
    for time in ["10years", "10000000years", "18446744073709551615s", "99999999999999999999s", "0s", "1ns"] {
        for flag in ["--faults-for", "--cut-every", "--silence-every", "--shutdown-every", "--rest-lag"] {
            cases.push(vec![flag, time]);
        }
        cases.push(vec!["--silence", time, "--silence-every", "1ms"]);
        cases.push(vec!["--rest-delay", time]);
    }
    let symbols = |count: usize| (0..count).map(|at| format!("S{at}")).collect::<Vec<_>>().join(",");
    let (most, too_many) = (symbols(5_000), symbols(5_001));
    cases.push(vec!["--symbols", &most]);
    let said = Program::start("127.0.0.1:0", &["--symbols", &too_many]).err().expect("it does not start").1;
    assert_eq!(said.trim_end(), "tickflux: 5001 symbols are too many: give --symbols 5000 at most");
    for flags in cases {
        check_flags(&flags).await;
    }
}

/// It runs with these flags, or says in one line why it does not.
async fn check_flags(flags: &[&str]) {
    match Program::start("127.0.0.1:0", flags) {
        Ok(program) => {
            // Its stream opens, whatever comes of it.
            let url = format!("ws://{}/stream?streams=btcusdt@trade", program.address);
            let (mut socket, _) = soon(connect_async(url)).await.unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(20), socket.next()).await;
            drop(socket);
            let (code, said) = program.stop();
            assert_eq!(code, Some(0), "{flags:?}: {said}");
            assert!(!said.contains("panicked"), "{flags:?}: {said}");
        }
        Err((code, said)) => {
            assert!(code == Some(2) && said.lines().count() == 1, "{flags:?} ended with {code:?}: {said}");
            assert!(said.starts_with("tickflux: ") && !said.contains("panicked"), "{flags:?}: {said}");
        }
    }
}

#[tokio::test]
async fn no_parameter_makes_rest_panic() {
    let session = file(recording(&events(50), 0));
    for source in [live(1_000.0, None), replay(&session, tickflux::practice::Speed::Max, None)] {
        let exchange = exchange(source).await;
        let http = Http::new(&exchange);
        let mut socket = connect(&exchange, "/ws/btcusdt@trade").await;
        text(&mut socket).await;
        for number in HUGE.into_iter().chain(["", "1", "-1", "1001", &"9".repeat(400)]) {
            for path in ["trades", "historicalTrades", "aggTrades", "exchangeInfo"] {
                for names in
                    ["limit", "fromId", "startTime", "endTime", "symbols", "limit={}&fromId", "startTime={}&endTime"]
                {
                    let names = names.replace("{}", number);
                    let answer = http.get(&format!("/api/v3/{path}?symbol=BTCUSDT&{names}={number}")).await;
                    assert!(matches!(answer.status, 200 | 400 | 429), "{path} {names} {number} gave {}", answer.status);
                    assert!(serde_json::from_str::<Value>(&answer.body).is_ok(), "{}", answer.body);
                }
            }
        }
        assert_eq!(http.get("/stats").await.status, 200);
    }
}

/// The rows of a symbol from an id on.
async fn history(program: &Program, from_id: u64) -> Vec<Value> {
    let url = format!("http://{}/api/v3/historicalTrades?symbol=BTCUSDT&limit=1000&fromId={from_id}", program.address);
    let _ = rustls::crypto::ring::default_provider().install_default();
    soon(async { reqwest::get(url).await.unwrap().json().await.unwrap() }).await
}

async fn newest_id(program: &Program) -> u64 {
    let (mut socket, _) = soon(connect_async(format!("ws://{}/ws/btcusdt@trade", program.address))).await.unwrap();
    id_of(&text(&mut socket).await)
}

#[tokio::test]
async fn one_that_was_killed_goes_on_with_its_ids_and_has_what_was_traded_meanwhile() {
    let flags = ["--rate", "500", "--seed", "11"];
    let program = Program::start("127.0.0.1:0", &flags).unwrap();
    let from_id = newest_id(&program).await;
    let before = history(&program, from_id).await;
    let listen = program.address.clone();
    drop(program);

    let again = Program::start(&listen, &flags).unwrap();
    let newest = newest_id(&again).await;
    let last = before.last().unwrap()["id"].as_u64().unwrap();
    assert!(newest > last, "{newest} after {last}");
    let mut rows = history(&again, from_id).await;
    while rows.last().unwrap()["id"].as_u64() < Some(newest) {
        rows.extend(history(&again, rows.last().unwrap()["id"].as_u64().unwrap() + 1).await);
    }
    assert_eq!(rows[..before.len()], before[..], "it has the same trades as before");
    assert!(rows.windows(2).all(|pair| pair[0]["id"].as_u64().map(|id| id + 1) == pair[1]["id"].as_u64()));
    assert_eq!(again.stop().0, Some(0));

    let other = Program::start("127.0.0.1:0", &["--rate", "500", "--seed", "12"]).unwrap();
    assert!(history(&other, from_id).await.first() != before.first(), "another seed is another market");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_market_where_it_has_an_end() {
    let flags = ["--seed", "11", "--trades", "500", "--speed", "max"];
    let mut first = Vec::new();
    for _ in 0..2 {
        let program = Program::start("127.0.0.1:0", &flags).unwrap();
        let url = format!("ws://{}/ws/btcusdt@trade/ethusdt@trade", program.address);
        let (mut socket, _) = soon(connect_async(url)).await.unwrap();
        let mut trades = Vec::new();
        while trades.len() < 500 {
            let trade = trade_of(&text(&mut socket).await);
            trades.push((trade["s"].clone(), trade["t"].clone(), trade["p"].clone(), trade["q"].clone()));
        }
        if first.is_empty() {
            first = trades;
        } else {
            assert_eq!(trades, first);
        }
    }
}
