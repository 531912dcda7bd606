//! Bad days: each fault over real sockets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::Value;
use tickflux::practice::faults::Faults;
use tickflux::practice::{self, Config, Running};
use tokio_tungstenite::tungstenite::Message;

use crate::kit::{ANY, Answer, Http, Socket, connect, live, soon, wall_clock};

/// The next message that is no ping; `None` when the connection is over.
async fn next(socket: &mut Socket) -> Option<Message> {
    loop {
        match soon(socket.next()).await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(message)) => return Some(message),
            Some(Err(_)) | None => return None,
        }
    }
}

async fn get(exchange: &Running, path: &str) -> Answer {
    Http::new(exchange).get(path).await
}

async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn start(faults: Faults) -> Running {
    practice::start(ANY, Config { faults, ..Config::new(live(2_000.0, None), wall_clock) }).await.unwrap()
}

fn event(message: &Message) -> Option<Value> {
    let value: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
    Some(value["data"].clone())
}

/// The ids of one symbol that come, until there are `most`.
async fn ids(exchange: &Running, most: usize) -> Vec<u64> {
    let mut socket = connect(exchange, "/stream?streams=btcusdt@trade").await;
    let mut ids = Vec::new();
    while ids.len() < most {
        let message = next(&mut socket).await.unwrap();
        ids.extend(event(&message).and_then(|event| event["t"].as_u64()));
    }
    ids
}

#[tokio::test]
async fn streams_drop_double_and_reorder() {
    let dropping = start(Faults { drop: 0.2, ..Faults::default() }).await;
    let found = ids(&dropping, 500).await;
    assert!(found.is_sorted() && found.last().unwrap() - found[0] >= 550, "about a fifth is missing");
    let doubling = start(Faults { duplicate: 0.2, ..Faults::default() }).await;
    let found = ids(&doubling, 500).await;
    assert!(found.iter().collect::<BTreeSet<_>>().len() < 450);
    let reordering = start(Faults { reorder: 0.2, ..Faults::default() }).await;
    let found = ids(&reordering, 500).await;
    assert!(!found.is_sorted());
}

#[tokio::test]
async fn the_exchanges_own_list_has_no_fault() {
    let exchange = start(Faults { drop: 0.5, duplicate: 0.5, reorder: 0.5, malformed: 0.5, ..Faults::default() }).await;
    ids(&exchange, 300).await;
    let list = exchange.trades(&"BTCUSDT".parse().unwrap());
    assert!(list.windows(2).all(|pair| pair[0].id.get() + 1 == pair[1].id.get()));
}

#[tokio::test]
async fn garbage_is_between_the_trades() {
    let exchange = start(Faults { malformed: 0.2, ..Faults::default() }).await;
    let mut socket = connect(&exchange, "/stream?streams=btcusdt@trade").await;
    let mut garbage = 0;
    while garbage < 20 {
        let message = next(&mut socket).await.unwrap();
        garbage += usize::from(message.is_text() && event(&message).is_none_or(|event| event["q"].as_str().is_none()));
    }
}

#[tokio::test]
async fn a_connection_breaks_without_a_close_frame() {
    let exchange = start(Faults { cut_every: Some(Duration::from_millis(300)), ..Faults::default() }).await;
    let mut socket = connect(&exchange, "/stream?streams=btcusdt@trade").await;
    while let Some(message) = next(&mut socket).await {
        assert!(!message.is_close());
    }
}

#[tokio::test]
async fn a_connection_falls_silent_and_speaks_again() {
    let faults = Faults {
        silence_every: Some(Duration::from_millis(300)),
        silence: Duration::from_secs(1),
        ..Faults::default()
    };
    let exchange = start(faults).await;
    let mut socket = connect(&exchange, "/stream?streams=btcusdt@trade").await;
    let mut last = Instant::now();
    loop {
        next(&mut socket).await.unwrap();
        if last.elapsed() >= Duration::from_millis(900) {
            break;
        }
        last = Instant::now();
    }
    next(&mut socket).await.unwrap();
}

#[tokio::test]
async fn an_end_is_announced_and_then_comes() {
    let exchange = start(Faults { shutdown_every: Some(Duration::from_millis(200)), ..Faults::default() }).await;
    let mut socket = connect(&exchange, "/stream?streams=btcusdt@trade").await;
    let (mut announced, mut closed) = (false, false);
    while !closed {
        let message = next(&mut socket).await.unwrap();
        announced |= event(&message).is_some_and(|event| event["e"] == "serverShutdown");
        closed = message.is_close();
        assert!(announced || !closed, "announced first");
    }
}

#[tokio::test]
async fn ids_begin_again() {
    let exchange = start(Faults { reset_after: Some(200), ..Faults::default() }).await;
    let found = ids(&exchange, 400).await;
    let at = found.windows(2).position(|pair| pair[1] < pair[0]).unwrap();
    assert!(found[at] > 1_000_000 && found[at + 1] == 1, "{} then {}", found[at], found[at + 1]);
    assert!(found[at + 1..].windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[tokio::test]
async fn calm_ends_it_all() {
    let exchange = start(Faults { drop: 1.0, rest_status: [1.0, 0.0, 0.0, 0.0], ..Faults::default() }).await;
    let mut socket = connect(&exchange, "/stream?streams=btcusdt@trade").await;
    assert_eq!(get(&exchange, "/api/v3/ping").await.status, 429);
    exchange.calm();
    assert_eq!(get(&exchange, "/api/v3/ping").await.status, 200);
    while event(&next(&mut socket).await.unwrap()).is_none() {}
}

#[tokio::test]
async fn rest_answers_with_each_status() {
    for (at, status) in [429, 418, 500, 451].into_iter().enumerate() {
        let mut rest_status = [0.0; 4];
        rest_status[at] = 1.0;
        let exchange = start(Faults { rest_status, ..Faults::default() }).await;
        let answer = get(&exchange, "/api/v3/trades?symbol=BTCUSDT").await;
        assert_eq!(answer.status, status);
        assert!(answer.json()["msg"].is_string());
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429 || status == 418);
    }
}

#[tokio::test]
async fn pages_are_short_shifted_late_and_slow() {
    let page = "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=50";
    let first = |answer: &Answer| answer.rows().first().and_then(|row| row["id"].as_u64());
    let traded = |exchange: &Running| exchange.trades(&"BTCUSDT".parse().unwrap()).len();

    let short = start(Faults { rest_short: 1.0, ..Faults::default() }).await;
    until(|| traded(&short) > 100).await;
    assert!(get(&short, page).await.rows().len() < 50);

    let shifted = start(Faults { rest_shifted: 1.0, ..Faults::default() }).await;
    until(|| traded(&shifted) > 100).await;
    let true_first = shifted.trades(&"BTCUSDT".parse().unwrap())[0].id.get();
    assert!(first(&get(&shifted, page).await) > Some(true_first));

    let late = start(Faults { rest_lag: Duration::from_secs(3_600), ..Faults::default() }).await;
    until(|| traded(&late) > 100).await;
    assert_eq!(first(&get(&late, page).await), None);

    let slow = start(Faults { rest_delay: Duration::from_millis(300), ..Faults::default() }).await;
    let begin = Instant::now();
    get(&slow, "/api/v3/ping").await;
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_page_of_history_has_a_row_without_a_price() {
    let bad = start(Faults { rest_bad_row: 1.0, ..Faults::default() }).await;
    let symbol = "BTCUSDT".parse().unwrap();
    until(|| bad.trades(&symbol).len() > 100).await;
    let rows = get(&bad, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=50").await.rows();
    let list = bad.trades(&symbol);
    let is_bad = |(row, trade): &(&Value, &tickflux::trade::Trade)| row["price"] != trade.price.as_str();
    let wrong: Vec<_> = rows.iter().zip(&list).filter(is_bad).collect();
    assert_eq!((rows.len(), wrong.len()), (50, 1));
    let (row, trade) = wrong[0];
    assert_eq!((&row["id"], &row["price"]), (&trade.id.get().into(), &"0".into()));
    assert_eq!(row["qty"], trade.quantity.as_str(), "the rest of it is right");
    bad.calm();
    let rows = get(&bad, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=50").await.rows();
    assert!(rows.iter().all(|row| row["price"] != "0"));
}

#[tokio::test]
async fn every_opening_of_a_stream_is_refused_as_from_a_restricted_location() {
    let exchange = start(Faults { stream_451: true, ..Faults::default() }).await;
    for path in ["/stream?streams=btcusdt@trade", "/ws/btcusdt@trade", "/ws"] {
        let refused = soon(tokio_tungstenite::connect_async(format!("ws://{}{path}", exchange.address()))).await;
        let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) = refused else { panic!("{path}: {refused:?}") };
        assert_eq!(answer.status().as_u16(), 451);
        let body: Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
        assert_eq!(body["code"], 0);
        assert!(body["msg"].as_str().unwrap().starts_with("Service unavailable from a restricted location"), "{body}");
    }
    assert_eq!(get(&exchange, "/api/v3/ping").await.status, 200, "REST answers");
    exchange.calm();
    connect(&exchange, "/ws/btcusdt@trade").await;
}

#[tokio::test]
async fn a_host_for_market_data_only_has_the_newest_trades_and_no_history() {
    let config = Config { market_data_only: true, ..Config::new(live(2_000.0, None), wall_clock) };
    let exchange = practice::start(ANY, config).await.unwrap();
    until(|| exchange.trades(&"BTCUSDT".parse().unwrap()).len() > 10).await;
    assert_eq!(get(&exchange, "/api/v3/trades?symbol=BTCUSDT&limit=5").await.rows().len(), 5);
    let used = |answer: &Answer| answer.headers["x-mbx-used-weight-1m"].to_str().unwrap().parse::<u32>().unwrap();
    let before = used(&get(&exchange, "/api/v3/ping").await);
    let absent = get(&exchange, "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0").await;
    assert_eq!(absent.status, 404);
    assert!(!absent.body.contains("\"code\""), "not Binance's own words: {}", absent.body);
    let after = used(&get(&exchange, "/api/v3/ping").await);
    // The minute may have begun anew between the two.
    assert!((used(&absent), after) == (before, before + 1) || after == 1, "{before} {} {after}", used(&absent));
}
