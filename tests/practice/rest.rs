//! REST: history, aggregates, exchange information, refusals, weight.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tickflux::practice::{self, Config, Running, Source, Speed};

use crate::kit::*;

const SYMBOL: &str = "ETHUSDT";

/// An exchange that has traded `trades` of two symbols, and what its stream said of [`SYMBOL`].
async fn traded(trades: usize) -> (Running, Http, Vec<Value>) {
    streamed(past(&["BTCUSDT", SYMBOL], trades as u64), trades).await
}

async fn streamed(source: Source, trades: usize) -> (Running, Http, Vec<Value>) {
    let exchange = exchange(source).await;
    let http = Http::new(&exchange);
    let mut socket = connect(&exchange, "/ws/btcusdt@trade/ethusdt@trade").await;
    let mut streamed = Vec::new();
    for _ in 0..trades {
        let trade = trade_of(&text(&mut socket).await);
        if trade["s"] == SYMBOL {
            streamed.push(trade);
        }
    }
    assert!(streamed.len() > 100, "{} trades of {trades}", streamed.len());
    (exchange, http, streamed)
}

/// A row of REST as Binance writes it, from the stream's event.
fn row(trade: &Value) -> String {
    let (price, quantity) = (trade["p"].as_str().unwrap(), trade["q"].as_str().unwrap());
    let quote = decimal(price) * decimal(quantity);
    format!(
        r#"{{"id":{},"price":"{price}","qty":"{quantity}","quoteQty":"{quote:.8}","time":{},"isBuyerMaker":{},"isBestMatch":true}}"#,
        trade["t"], trade["T"], trade["m"]
    )
}

fn page(trades: &[Value]) -> String {
    format!("[{}]", trades.iter().map(row).collect::<Vec<_>>().join(","))
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

#[tokio::test]
async fn pages_of_history_are_what_the_stream_sent() {
    let (_exchange, http, streamed) = traded(6_000).await;
    let mut next = 0;
    while next < streamed.len() {
        let path = format!("/api/v3/historicalTrades?symbol={SYMBOL}&fromId={}&limit=700", streamed[next]["t"]);
        let end = streamed.len().min(next + 700);
        assert_eq!(http.get(&path).await.body, page(&streamed[next..end]));
        next = end;
    }
    let (first, last) = (number(&streamed[0]["t"]), number(&streamed[streamed.len() - 1]["t"]));
    assert_eq!(last - first + 1, streamed.len() as i64, "ids rise by one");
}

#[tokio::test]
async fn history_begins_where_it_is_asked_to_and_is_never_longer_than_a_thousand() {
    let (_exchange, http, streamed) = traded(5_000).await;
    let newest = |count| page(&streamed[streamed.len() - count..]);
    for (path, body) in [
        ("historicalTrades?limit=3", newest(3)),
        ("historicalTrades?limit=99999", newest(1_000)),
        ("historicalTrades?", newest(500)),
        ("trades?limit=1", newest(1)),
        ("trades?", newest(500)),
        ("trades?limit=1001", newest(1_000)),
        ("historicalTrades?fromId=0", page(&streamed[..500])),
        ("historicalTrades?fromId=0&limit=2000", page(&streamed[..1_000])),
        ("historicalTrades?fromId=999999999999", "[]".to_owned()),
    ] {
        let answer = http.get(&format!("/api/v3/{path}&symbol={SYMBOL}")).await;
        assert!(answer.status == 200 && answer.body == body, "{path} gave {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json;charset=UTF-8");
    }
}

/// The aggregates of `trades` as rows of REST, computed plainly.
fn aggregates(trades: &[Value]) -> Vec<Value> {
    let key = |trade: &Value| (trade["T"].clone(), trade["p"].clone(), trade["m"].clone());
    let groups = trades.chunk_by(|one, next| key(one) == key(next));
    let row = |group: &[Value]| {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let sum: Decimal = group.iter().map(|trade| decimal(trade["q"].as_str().unwrap())).sum();
        json!({"a": first["t"], "p": first["p"], "q": format!("{sum:.8}"), "f": first["t"], "l": last["t"],
               "T": first["T"], "m": first["m"], "M": true})
    };
    groups.map(row).collect()
}

/// The candles of a minute that have a trade, computed plainly.
fn candles(trades: &[Value]) -> Vec<Value> {
    let begin = |trade: &Value| number(&trade["T"]) / 60_000 * 60_000;
    let mut sorted: Vec<_> = trades.iter().collect();
    sorted.sort_by_key(|trade| (begin(trade), number(&trade["t"])));
    let row = |inside: &[&Value]| {
        let value = |key: &'static str| move |trade: &&Value| decimal(trade[key].as_str().unwrap());
        let prices: Vec<_> = inside.iter().map(value("p")).collect();
        let sum = |is_in: &dyn Fn(&Value) -> bool, value: &dyn Fn(&Value) -> Decimal| {
            let sum: Decimal = inside.iter().filter(|trade| is_in(trade)).map(|trade| value(trade)).sum();
            format!("{sum:.8}")
        };
        let (base, quote) =
            (|trade: &Value| value("q")(&trade), |trade: &Value| value("p")(&trade) * value("q")(&trade));
        let (all, bought) = (|_: &Value| true, |trade: &Value| trade["m"] == false);
        let price = |price: Option<&Decimal>| format!("{:.8}", price.unwrap());
        let open_ms = begin(inside[0]);
        json!([
            open_ms,
            price(prices.first()),
            price(prices.iter().max()),
            price(prices.iter().min()),
            price(prices.last()),
            sum(&all, &base),
            open_ms + 59_999,
            sum(&all, &quote),
            inside.len(),
            sum(&bought, &base),
            sum(&bought, &quote),
            "0"
        ])
    };
    sorted.chunk_by(|one, next| begin(one) == begin(next)).map(row).collect()
}

#[tokio::test]
async fn candles_sum_up_what_the_stream_sent() {
    let (_exchange, http, streamed) = traded(20_000).await;
    let wanted = candles(&streamed);
    let get = async |query: &str| http.get(&format!("/api/v3/klines?symbol={SYMBOL}&interval=1m&{query}")).await.rows();
    let rows = get(&format!("startTime={}&limit=1000", wanted[0][0])).await;
    let (traded, quiet): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row[8] != 0);
    assert_eq!(traded, wanted);
    assert!(quiet.iter().all(|row| row[5] == "0.00000000" && row[1] == row[4]), "{quiet:?}");
    assert_eq!(get("limit=1").await.len(), 1);
    let refused = http.get(&format!("/api/v3/klines?symbol={SYMBOL}&interval=7m")).await;
    assert!(refused.status == 400 && refused.body.contains("-1120"), "{}", refused.body);
}

/// Takers that fill up to 735 resting orders of one price.
fn sweeps() -> Vec<Event> {
    let mut rng = fastrand::Rng::with_seed(seed());
    let mut next_id = 6_000_999_900;
    let mut fills = |event: Event| {
        let fills = rng.choice([1, 1, 2, 3, 40, 735]).unwrap();
        next_id += fills;
        (next_id - fills..next_id).map(move |id| Event { symbol: SYMBOL, id, ..event.clone() })
    };
    events(100).into_iter().flat_map(&mut fills).collect()
}

#[tokio::test]
async fn aggregates_sum_up_what_the_stream_sent_and_are_never_cut() {
    let sweeps = sweeps();
    let file = file(recording(&sweeps, 0));
    let (_exchange, http, streamed) = streamed(replay(&file, Speed::Max, None), sweeps.len()).await;
    let wanted = aggregates(&streamed);
    let get = async |query: &str| http.get(&format!("/api/v3/aggTrades?symbol={SYMBOL}&{query}")).await.rows();
    let mut rows = Vec::new();
    loop {
        let from_id = rows.last().map_or(0, |row: &Value| number(&row["l"]) + 1);
        // Each page ends with a whole aggregate, however long.
        let page = get(&format!("fromId={from_id}&limit=7")).await;
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    assert!(rows == wanted, "pages differ from what was streamed");
    assert_eq!(get("limit=7").await, wanted[wanted.len() - 7..]);
    let longest = wanted.iter().max_by_key(|row| number(&row["l"]) - number(&row["f"])).unwrap();
    assert_eq!(get(&format!("fromId={}&limit=1", longest["f"])).await, std::slice::from_ref(longest));
    // The newest ones, up to the longest.
    let end = number(&longest["T"]);
    let newest = wanted.iter().rfind(|row| number(&row["T"]) <= end).unwrap();
    assert_eq!(get(&format!("endTime={end}&limit=1")).await, std::slice::from_ref(newest));
}

#[tokio::test]
async fn a_start_time_finds_the_first_id_at_a_time() {
    let (_exchange, http, streamed) = traded(5_000).await;
    let (begin, end) = (number(&streamed[0]["T"]), number(&streamed[streamed.len() - 1]["T"]));
    let mut rng = fastrand::Rng::with_seed(seed());
    for at in [begin - 1, begin, begin + 1, end].into_iter().chain((0..20).map(|_| rng.i64(begin..=end))) {
        let first = streamed.iter().find(|trade| number(&trade["T"]) >= at).unwrap();
        let path = format!("/api/v3/aggTrades?symbol={SYMBOL}&startTime={at}&limit=1");
        assert_eq!(http.get(&path).await.rows()[0]["f"], first["t"], "at {at}");
        let until = at + 50;
        let within = |row: &Value| (at..=until).contains(&number(&row["T"]));
        let wanted: Vec<_> = aggregates(&streamed).into_iter().filter(within).collect();
        let path = format!("/api/v3/aggTrades?symbol={SYMBOL}&startTime={at}&endTime={until}");
        assert_eq!(http.get(&path).await.rows(), wanted, "from {at} to {until}");
    }
    let path = format!("/api/v3/aggTrades?symbol={SYMBOL}&startTime={}", end + 1);
    assert_eq!(http.get(&path).await.body, "[]");
}

#[tokio::test]
async fn exchange_information_is_of_all_symbols_or_those_asked_for() {
    let exchange = exchange(past(&["BTCUSDT", "ETHUSDT", "币安人生USDT"], 0)).await;
    let http = Http::new(&exchange);
    for (query, symbols) in [
        ("", &["BTCUSDT", "ETHUSDT", "币安人生USDT"][..]),
        ("?symbol=ETHUSDT", &["ETHUSDT"]),
        ("?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT", &["币安人生USDT"]),
        ("?symbols=%5B%22ETHUSDT%22,%22BTCUSDT%22%5D", &["ETHUSDT", "BTCUSDT"]),
    ] {
        let info = http.get(&format!("/api/v3/exchangeInfo{query}")).await.json();
        let listed: Vec<_> = info["symbols"].as_array().unwrap().iter().map(|row| row["symbol"].clone()).collect();
        assert_eq!(listed, symbols, "{query}");
        assert!(info["symbols"].as_array().unwrap().iter().all(|row| row["status"] == "TRADING"));
        assert_eq!(info["rateLimits"][0]["limit"], 6_000);
    }
}

#[tokio::test]
async fn refusals_have_binances_codes() {
    let exchange = exchange(past(&["BTCUSDT"], 0)).await;
    let http = Http::new(&exchange);
    for (path, code, message) in [
        ("exchangeInfo?symbol=NOSUCH", -1121, "Invalid symbol."),
        ("exchangeInfo?symbols=%5B%22BTCUSDT%22,%22NOSUCH%22%5D", -1121, "Invalid symbol."),
        ("exchangeInfo?symbols=BTCUSDT", -1100, "Illegal characters found in parameter 'symbols'"),
        ("trades?symbol=NOSUCH", -1121, "Invalid symbol."),
        ("historicalTrades?symbol=btcusdt", -1121, "Invalid symbol."),
        ("historicalTrades?symbol=BTC%2FUSDT", -1100, "Illegal characters found in parameter 'symbol'"),
        ("historicalTrades?symbol=BTCUSDT&fromId=x", -1100, "Illegal characters found in parameter 'fromId'"),
        ("aggTrades?symbol=BTCUSDT&startTime=1.5", -1100, "Illegal characters found in parameter 'startTime'"),
        ("trades?symbol=BTCUSDT&limit=-1", -1100, "Illegal characters found in parameter 'limit'"),
        ("trades", -1102, "Mandatory parameter 'symbol' was not sent"),
        ("historicalTrades?symbol=", -1102, "Mandatory parameter 'symbol' was not sent"),
        ("aggTrades?limit=1", -1102, "Mandatory parameter 'symbol' was not sent"),
    ] {
        let answer = http.get(&format!("/api/v3/{path}")).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["code"]), (400, &code.into()), "{path} gave {}", answer.body);
        assert!(body["msg"].as_str().unwrap().starts_with(message), "{path} gave {}", answer.body);
    }
    assert_eq!(http.get("/api/v3/nosuch").await.status, 404);
}

#[tokio::test]
async fn weight_is_counted_and_ends_with_429() {
    let exchange = practice::start(ANY, Config::new(past(&["BTCUSDT"], 0), still_clock)).await.unwrap();
    let http = Http::new(&exchange);
    let mut used = 0;
    for (path, weight) in [
        ("ping", 1),
        ("time", 1),
        ("exchangeInfo", 20),
        ("trades?symbol=BTCUSDT", 25),
        ("historicalTrades?symbol=BTCUSDT", 25),
        ("aggTrades?symbol=BTCUSDT", 4),
        ("trades?symbol=NOSUCH", 25),
    ] {
        used += weight;
        let answer = http.get(&format!("/api/v3/{path}")).await;
        assert_eq!(answer.headers["x-mbx-used-weight-1m"], used.to_string(), "after {path}");
    }
    assert_eq!(http.get("/api/v3/time").await.body, format!(r#"{{"serverTime":{NOW_MS}}}"#));
    used += 1;
    while used + 25 <= 6_000 {
        assert_eq!(http.get("/api/v3/historicalTrades?symbol=BTCUSDT").await.status, 200);
        used += 25;
    }
    let over = http.get("/api/v3/historicalTrades?symbol=BTCUSDT").await;
    assert_eq!(over.status, 429);
    // The minute has 47.655 s left.
    assert_eq!(over.headers["retry-after"], "48");
    assert_eq!(over.headers["x-mbx-used-weight-1m"], used.to_string());
    assert_eq!(over.json()["code"], -1003);
    let message = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please use \
                   WebSocket Streams for live updates to avoid polling the API.";
    assert_eq!(over.json()["msg"], message);
    assert_eq!(http.stats().await["weight_used"], used);
}

#[tokio::test]
async fn stats_count_what_was_traded() {
    let (exchange, http, streamed) = traded(1_000).await;
    let stats = http.stats_until(|stats| stats["ended"] == true).await;
    let eth = json!({"first_id": streamed[0]["t"], "last_id": streamed[streamed.len() - 1]["t"],
                     "trades": streamed.len()});
    assert_eq!(stats["symbols"][SYMBOL], eth);
    assert_eq!(stats["symbols"]["BTCUSDT"]["trades"], 1_000 - streamed.len());
    assert_eq!((&stats["shift_minutes"], exchange.shift_minutes()), (&0.into(), 0));
    http.stats_until(|stats| stats["subscribers"] == 0).await;
}

#[tokio::test]
async fn a_bounded_history_begins_later() {
    let exchange =
        practice::start(ANY, Config { history: 400, ..Config::new(live(20_000.0, Some(3_000)), wall_clock) });
    let exchange = exchange.await.unwrap();
    let http = Http::new(&exchange);
    let stats = http.stats_until(|stats| stats["ended"] == true).await;
    let mut kept = 0;
    for symbol in ["BTCUSDT", SYMBOL] {
        let rows = http.get(&format!("/api/v3/historicalTrades?symbol={symbol}&fromId=0&limit=1000")).await.rows();
        let ids: Vec<_> = rows.iter().map(|row| number(&row["id"])).collect();
        assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert_eq!(stats["symbols"][symbol]["first_id"].as_i64(), ids.first().copied());
        assert_eq!(stats["symbols"][symbol]["last_id"].as_i64(), ids.last().copied());
        kept += ids.len();
    }
    assert_eq!(kept, 400);
}
