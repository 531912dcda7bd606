//! Proxies that networks have: what goes through them, what never does, and what they are called when they refuse.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use crate::support::influxd::{Influxd, free_port};
use crate::support::process::{Capture, wait_until};
use crate::support::trades::{exchanges_list, influx_trades, sqlite_trades, wait_for_a_trade};
use crate::support::tunnel::{LOGIN, LOGIN_IN_URL, Tunnel};
use crate::support::{practice, runtime, server, tickflux_in};

const STREAM: &str = "ws://exchange.example:9443";
const REST: &str = "http://api.example";

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A capture of 5,000 trades behind a proxy that alone knows the names.
fn capture_behind(folder: &Path, variables: &[(&str, &str)], more: &[&str]) -> Output {
    let args = ["capture", "--stream-url", STREAM, "--rest-url", REST, "--duration", "2m"];
    tickflux_in(folder, variables, &[&args, more].concat())
}

#[test]
fn stream_rest_and_influxdb_go_through_an_http_proxy() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(71, 5_000)));
    let hosts = [
        ("exchange.example", exchange.address()),
        ("api.example", exchange.address()),
        ("influx.example", address(&influxd.url)),
    ];
    let proxy = Tunnel::http(&hosts, true);
    let variables = [("HTTP_PROXY", &*format!("http://{LOGIN_IN_URL}@{}", proxy.address()))];
    let store = ["--store", "http://influx.example:8086"];
    let output = capture_behind(folder.path(), &variables, &[&store[..], &["--count", "5000"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(influx_trades(&influxd) == exchanges_list(&exchange));
    let asked = proxy.asked();
    for begin in [
        "CONNECT exchange.example:9443",
        "GET http://api.example/api/v3/exchangeInfo",
        "POST http://influx.example:8086/api/v2/write",
    ] {
        assert!(asked.iter().any(|request| request.starts_with(begin)), "no {begin} in {asked:?}");
    }
    let named = format!("{} (HTTP_PROXY)", proxy.address());
    let ways = [STREAM, REST, "http://influx.example:8086"].map(|url| format!("{url} through the proxy {named}"));
    assert!(stderr(&output).contains(&format!("tickflux: {}\n", ways.join(", "))), "{}", stderr(&output));
    assert!(!stderr(&output).contains("ecret"), "{}", stderr(&output));

    let output = tickflux_in(folder.path(), &variables, &[&["latest"], &store[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(proxy.asked().iter().any(|request| request.starts_with("POST http://influx.example:8086/api/v2/query")));
}

#[test]
fn stream_and_rest_go_through_a_socks5_proxy() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    for (scheme, login) in [("socks5", true), ("socks5h", false)] {
        let exchange = runtime.block_on(practice::start(practice::market(72, 5_000)));
        let hosts = [("exchange.example", exchange.address()), ("192.0.2.9", exchange.address())];
        let proxy = Tunnel::socks(&hosts, login);
        let login = if login { format!("{LOGIN_IN_URL}@") } else { String::new() };
        let variables = [("ALL_PROXY", &*format!("{scheme}://{login}{}", proxy.address()))];
        let store = format!("sqlite:{scheme}.db");
        let args = ["--rest-url", "http://192.0.2.9:81", "--store", &store, "--count", "5000", "--outbox", scheme];
        let args = [&["capture", "--stream-url", STREAM, "--duration", "2m"], &args[..]].concat();
        let output = tickflux_in(folder.path(), &variables, &args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(sqlite_trades(&folder.path().join(format!("{scheme}.db"))) == exchanges_list(&exchange));
        let asked = proxy.asked();
        assert!(asked.contains(&"CONNECT exchange.example:9443".to_owned()), "{asked:?}");
        assert!(asked.contains(&"CONNECT 192.0.2.9:81".to_owned()), "{asked:?}");
    }
}

#[test]
fn this_machine_is_never_asked_for_through_a_proxy() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(73, 500.0)));
    let port = exchange.address().port();
    let (http, socks) = (Tunnel::http(&[], false), Tunnel::socks(&[], false));
    let (http_url, socks_url) = (format!("http://{}", http.address()), format!("socks5://{}", socks.address()));
    let variables = [("HTTP_PROXY", &*http_url), ("HTTPS_PROXY", &*http_url), ("all_proxy", &*socks_url)];
    let (stream, rest) = (format!("ws://localhost:{port}"), format!("http://127.0.0.1:{port}"));
    let metrics = format!("127.0.0.1:{}", free_port());
    let args = ["--stream-url", &stream, "--rest-url", &rest, "--metrics-listen", &metrics];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let capture = Capture::start_in(folder.path(), &args, &environment);
    let health = || tickflux_in(folder.path(), &variables, &["health", "--metrics-listen", &metrics]);
    wait_until("the capture is well", || health().status.code() == Some(0));
    wait_for_a_trade(&folder.path().join("tickflux.db"));
    assert_eq!(capture.stop().status.code(), Some(0));
    if let Some(influxd) = Influxd::start() {
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let store = influxd.url.replace("127.0.0.1", host);
            let output = tickflux_in(folder.path(), &variables, &["latest", "--store", &store]);
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        }
    }
    assert_eq!((http.asked(), socks.asked()), (vec![], vec![]));
}

#[test]
fn health_asks_no_proxy_whatever_the_address() {
    let (folder, proxy) = (tempfile::tempdir().unwrap(), Tunnel::http(&[], false));
    let url = format!("http://{}", proxy.address());
    // A group address: no TCP leads there, and nothing leaves this machine.
    for listen in ["224.0.0.1:1", "0.0.0.0:1", "127.0.0.1:1"] {
        let output = tickflux_in(folder.path(), &[("HTTP_PROXY", &url)], &["health", "--metrics-listen", listen]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains("no capture answers at http://"), "{}", stderr(&output));
    }
    assert_eq!(proxy.asked(), [] as [&str; 0]);
    // Nor does it read the variables.
    let output =
        tickflux_in(folder.path(), &[("ALL_PROXY", "nonsense://")], &["health", "--metrics-listen", "127.0.0.1:1"]);
    assert!(stderr(&output).contains("no capture answers"), "{}", stderr(&output));
}

#[test]
fn no_proxy_leaves_names_and_networks_out() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Tunnel::http(&[], false);
    let url = format!("http://{}", proxy.address());
    for (list, store, is_asked) in [
        ("db.invalid", "http://db.invalid:8086", false),
        (".invalid", "http://db.invalid:8086", false),
        ("*", "http://db.invalid:8086", false),
        ("other.invalid,10.0.0.0/8", "http://db.invalid:8086", true),
        ("", "http://db.invalid:8086", true),
    ] {
        let before = proxy.asked().len();
        let output =
            tickflux_in(folder.path(), &[("http_proxy", &url), ("NO_PROXY", list)], &["latest", "--store", store]);
        assert_ne!(output.status.code(), Some(0));
        assert_eq!(proxy.asked().len() > before, is_asked, "NO_PROXY={list}: {}", stderr(&output));
        assert_eq!(stderr(&output).contains("through the proxy"), is_asked, "{}", stderr(&output));
    }
}

#[test]
fn a_proxy_that_refuses_or_is_away_is_named() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(74, 100)));
    let known = [("api.example", exchange.address())];
    let (http, socks) = (Tunnel::http(&known, true), Tunnel::socks(&known, true));
    let away = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let run = |variable: &str, proxy: &str| {
        let args = ["capture", "--stream-url", STREAM, "--rest-url", REST, "--duration", "1s", "--symbols", "BTCUSDT"];
        let output = tickflux_in(folder.path(), &[(variable, proxy)], &args);
        assert!(!stderr(&output).contains("wrong-word"), "{}", stderr(&output));
        stderr(&output)
    };
    for (scheme, address, hint) in
        [("http", http.address(), " (many allow port 443 only)"), ("socks5", socks.address(), ": SOCKS error")]
    {
        // A name that the proxy does not know, and a login that is none.
        for login in [LOGIN_IN_URL, "me:wrong-word"] {
            let said = run("HTTP_PROXY", &format!("{scheme}://{login}@{address}"));
            let named = format!("the proxy {address} (HTTP_PROXY) does not connect to exchange.example:9443{hint}");
            assert!(said.contains(&named), "{named} is not in {said}");
        }
        let said = run("all_proxy", &format!("{scheme}://{away}"));
        assert!(said.contains(&format!("the proxy {away} (all_proxy) cannot be reached")), "{said}");
        assert!(said.contains("Connection refused"), "{said}");
    }
    // REST behind a proxy that wants a login: not the exchange says no.
    let said = run("HTTP_PROXY", &format!("http://me:wrong-word@{}", http.address()));
    assert!(said.contains(&format!("through the proxy {} (HTTP_PROXY) answered 407", http.address())), "{said}");
    assert_eq!(LOGIN.0, "me");
}

#[test]
fn a_refusal_of_the_proxy_is_not_the_tokens_fault() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Tunnel::http(&[], false);
    let variables = [("HTTP_PROXY", &*format!("http://{}", proxy.address()))];
    let output = tickflux_in(folder.path(), &variables, &["latest", "--store", "http://influx.example:8086"]);
    let named = format!("http://influx.example:8086 through the proxy {} (HTTP_PROXY)", proxy.address());
    assert!(stderr(&output).contains(&named), "{}", stderr(&output));
}

#[test]
fn a_proxy_that_cannot_be_read_is_wrong_usage() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(75, 100)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let capture = ["capture", "--stream-url", &stream, "--rest-url", &rest, "--count", "1"];
    for variable in ["HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
        for value in ["ftp://me:hunter2@proxy:1", "http://me:hunter2@:8", "http://proxy:port"] {
            for args in
                [&capture[..], &["latest", "--store", "http://127.0.0.1:1"], &["provision", "--store", "http://h"]]
            {
                let output = tickflux_in(folder.path(), &[(variable, value)], args);
                let said = stderr(&output);
                assert_eq!(output.status.code(), Some(2), "{said}");
                assert!(
                    said.contains(&format!("tickflux: {variable} is no proxy's URL")) && said.contains("socks5://"),
                    "{said}"
                );
                assert!(!said.contains("hunter2") && said.lines().count() <= 2, "{said}");
            }
        }
    }
    // What needs no network does not mind.
    let output = tickflux_in(folder.path(), &[("ALL_PROXY", "ftp://x")], &["demo"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(server::get(&exchange.address().to_string(), "/api/v3/ping").contains("200 OK"));
}
