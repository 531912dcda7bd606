//! Beginning and end: addresses, markets that end, the clock, shutdown.

use futures_util::StreamExt as _;
use tickflux::practice::{self, Config, ExchangeError, Speed};
use tokio::runtime::Runtime;
use tokio_tungstenite::connect_async;

use crate::kit::*;

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let exchange = exchange(live(10.0, None)).await;
    let error = practice::start(exchange.address(), Config::new(live(10.0, None), wall_clock)).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Listen { address, .. } if address == exchange.address()), "{error:?}");
    let message = format!("cannot listen on {}: ", exchange.address());
    assert!(error.to_string().starts_with(&message) && error.to_string().ends_with("--listen"), "{error}");
}

#[tokio::test]
async fn a_market_at_full_speed_needs_an_end() {
    let source = market(&["BTCUSDT"], 100.0, None, Speed::Max);
    let error = practice::start(ANY, Config::new(source, wall_clock)).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Endless), "{error:?}");
}

#[tokio::test]
async fn a_market_stops_after_the_trades_that_were_asked_for() {
    for symbols in [&["BTCUSDT", "ETHUSDT"][..], &["BTCUSDT"], &["BTCUSDT", "BTCUSDT"]] {
        let exchange = exchange(market(symbols, 20_000.0, Some(777), Speed::Times(1.0))).await;
        let stats = Http::new(&exchange).stats_until(|stats| stats["ended"] == true).await;
        let symbols = stats["symbols"].as_object().unwrap().values();
        assert_eq!(symbols.map(|symbol| symbol["trades"].as_u64().unwrap()).sum::<u64>(), 777);
        let trades = exchange.trades(&"BTCUSDT".parse().unwrap());
        assert!(trades.windows(2).all(|pair| pair[0].id.get() + 1 == pair[1].id.get()), "ids rise by one");
    }
}

#[tokio::test]
async fn a_live_market_trades_now() {
    let exchange = exchange(live(1_000.0, None)).await;
    // Not only how it begins.
    Http::new(&exchange).stats_until(|stats| stats["symbols"]["BTCUSDT"]["trades"] != 0).await;
    let mut socket = connect(&exchange, "/ws/btcusdt@trade").await;
    for _ in 0..100 {
        let trade = trade_of(&text(&mut socket).await);
        let behind = wall_clock().ms() - trade["T"].as_i64().unwrap();
        // Never in the future, and as late only as the machine.
        assert!((0..20_000).contains(&behind), "{behind} ms behind");
    }
}

#[tokio::test]
async fn a_past_ends_now_and_is_the_same_from_the_same_seed() {
    let seed = seed();
    let mut all = Vec::new();
    for _ in 0..2 {
        let source = past(&["ETHUSDT", "BTCUSDT"], 30_000);
        let practice::Source::Market { symbols, trades_per_second, trades, speed, .. } = source else { unreachable!() };
        let source = practice::Source::Market { symbols, seed, trades_per_second, trades, speed };
        let exchange = practice::start(ANY, Config::new(source, still_clock)).await.unwrap();
        let mut socket = connect(&exchange, "/ws/btcusdt@trade/ethusdt@trade").await;
        let mut texts = Vec::new();
        while texts.len() < 30_000 {
            texts.push(text(&mut socket).await);
        }
        assert_eq!(trade_of(&texts[29_999])["E"], NOW_MS);
        all.push(texts);
    }
    assert!(all[0] == all[1]);
}

#[test]
fn shutdown_closes_every_socket_and_the_door() {
    let [server, clients] = [(); 2].map(|()| Runtime::new().unwrap());
    let exchange = server.block_on(exchange(live(1_000.0, None)));
    let address = exchange.address();
    let readers = ["/ws", "/ws/btcusdt@trade", "/stream?streams=ethusdt@trade"].map(|path| {
        let mut socket = clients.block_on(connect(&exchange, path));
        clients.spawn(async move {
            let (_, code, reason) = until_closed(&mut socket).await;
            (code, reason)
        })
    });
    server.block_on(soon(exchange.shutdown()));
    // Nothing is left to do for the runtime that the exchange ran on.
    drop(server);
    for reader in readers {
        assert_eq!(clients.block_on(soon(reader)).unwrap(), (1001, "the exchange closes".to_owned()));
    }
    assert!(clients.block_on(connect_async(format!("ws://{address}/ws"))).is_err());
}

#[tokio::test]
async fn a_stalled_client_does_not_hold_up_shutdown() {
    let exchange = exchange(past(&["BTCUSDT"], 200_000)).await;
    let http = Http::new(&exchange);
    let mut socket = connect(&exchange, "/ws/btcusdt@trade").await;
    // It reads nothing; the exchange waits for it, and the tape does not end.
    let mut last = serde_json::Value::Null;
    while http.stats().await != last {
        last = http.stats().await;
    }
    soon(exchange.shutdown()).await;
    // What was sent before can be read still, and nothing after it.
    while let Some(Ok(_)) = soon(socket.next()).await {}
}
