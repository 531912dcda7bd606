//! Set-ups whose clock or exchange is at fault.

use std::net::SocketAddr;

use tickflux::practice as practice_exchange;
use tickflux::practice::Config;

use crate::World;
use crate::support::faketime::WrongClock;
use crate::support::influxd::free_port;
use crate::support::{now, practice, server, trade};

#[test]
fn a_wrong_clock() {
    let world = World::new(151);
    for (offset, state, words) in
        [("+70s", "fail", "70."), ("-70s", "fail", "behind the exchange"), ("+20s", "warn", "ahead of the exchange")]
    {
        let clock = WrongClock::new(offset);
        let environment = clock.environment();
        let variables: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let told = world.doctor_in(&variables, &[]);
        told.assert_only("clock", state, &["this host is", words], &["clock", "NTP"]);
    }
}

#[test]
fn nothing_listens_where_rest_should_be() {
    let world = World::new(152);
    let rest = format!("http://127.0.0.1:{}", free_port());
    let told = world.doctor(&["--rest-url", &rest]);
    told.assert_only("rest", "fail", &[&rest, "does not answer", "Connection refused"], &["--rest-url", "firewall"]);
    assert_eq!(told.of("history").found, "skipped: it needs rest");
}

#[test]
fn a_symbol_that_the_exchange_does_not_list() {
    let world = World::new(153);
    let told = world.doctor(&["--symbols", "BTCUSDT,NOSUCH"]);
    told.assert_only("stream", "fail", &["no trade of NOSUCH", "does not list NOSUCH"], &["--symbols"]);
}

#[test]
fn a_symbol_that_is_listed_and_never_comes_and_a_stream_that_is_mute() {
    let world = World::new(154);
    let message = practice::message(&trade("BTCUSDT", 1, now().ms(), "5"));
    let stream = world.runtime.block_on(server::send_once(vec![message]));
    let told = world.doctor(&["--stream-url", &format!("ws://{stream}"), "--wait", "3s"]);
    told.assert_only("stream", "warn", &["1 of 2 symbols had no trade in 3 s: ETHUSDT"], &["--symbols", "--wait"]);
    let stream = world.runtime.block_on(server::send_once(Vec::new()));
    let told = world.doctor(&["--stream-url", &format!("ws://{stream}"), "--wait", "1s"]);
    told.assert_only("stream", "fail", &["2 of 2 symbols had no trade in 1 s"], &["--stream-url"]);
    let told = world.doctor(&["--stream-url", &format!("ws://127.0.0.1:{}", free_port())]);
    told.assert_only("stream", "fail", &["cannot open", "Connection refused"], &["--stream-url"]);
}

#[test]
fn an_exchange_for_market_data_only() {
    let mut world = World::new(155);
    let source = practice::live_market(155, 500.0);
    let config = Config { market_data_only: true, ..Config::new(source, now) };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    world.exchange = world.runtime.block_on(practice_exchange::start(listen, config)).unwrap();
    let told = world.doctor(&[]);
    let found = ["historicalTrades is not served", "market data only"];
    told.assert_only("history", "warn", &found, &["--rest-url https://api.binance.com"]);
    assert_eq!(told.of("klines").state, "ok");
}

#[test]
fn an_address_whose_weight_is_used_up() {
    let world = World::new(156);
    // Where the exchange's minute ends between the two, once more.
    let told = std::iter::repeat_with(|| {
        use_up(&world);
        world.doctor(&[])
    });
    let told = told.take(5).find(|told| told.of("weight").state != "ok").unwrap();
    told.assert_only("weight", "warn", &["of 6000 used"], &["other programs of this address"]);
}

/// Asks until the address has used most of what it may; each answer tells how much that is.
fn use_up(world: &World) {
    let mut used = 0;
    while used < 5_500 {
        let answer = server::get(&world.exchange.address().to_string(), "/api/v3/trades?symbol=BTCUSDT&limit=1");
        let told = answer.lines().find_map(|line| line.strip_prefix("x-mbx-used-weight-1m: ")).unwrap();
        used = told.trim().parse().unwrap();
    }
}
