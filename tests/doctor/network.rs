//! Set-ups whose way out is at fault.

use crate::World;
use crate::support::influxd::free_port;
use crate::support::tls::Certificates;
use crate::support::tunnel::{LOGIN_IN_URL, Tunnel};

#[test]
fn a_name_that_does_not_resolve() {
    let world = World::new(161);
    let told = world.doctor(&["--rest-url", "http://nosuch.invalid:8080"]);
    told.assert_only("dns-rest", "fail", &["nosuch.invalid has no address"], &["--rest-url", "name server"]);
    let told = world.doctor(&["--stream-url", "wss://nosuch.invalid"]);
    told.assert_only("dns-stream", "fail", &["nosuch.invalid has no address"], &["--stream-url"]);
    assert_eq!(told.of("tls-stream").found, "skipped: it needs dns-stream");
    let told = world.doctor(&["--store", "http://nosuch.invalid:8086"]);
    told.assert_only("dns-store", "fail", &["nosuch.invalid has no address"], &["--store"]);
}

#[test]
fn a_proxy_that_refuses_is_away_or_wants_a_login() {
    let world = World::new(162);
    let exchange = world.exchange.address();
    let args = ["--stream-url", "ws://exchange.example:9443", "--rest-url", "http://api.example"];
    let remedy = ["HTTP_PROXY", "NO_PROXY"];
    // One that knows REST's host and not the stream's.
    let proxy = Tunnel::http(&[("api.example", exchange)], false);
    let url = format!("http://{}", proxy.address());
    let told = world.doctor_in(&[("HTTP_PROXY", &url)], &args);
    let named = format!("the proxy {} (HTTP_PROXY) does not connect to exchange.example:9443", proxy.address());
    told.assert_only("proxy", "fail", &[&named], &remedy);
    assert_eq!(told.of("rest").state, "ok", "{told}");

    let proxy = Tunnel::http(&[("api.example", exchange), ("exchange.example", exchange)], true);
    let told = world.doctor_in(&[("HTTP_PROXY", &format!("http://{}", proxy.address()))], &args);
    told.assert_only("proxy", "fail", &["exchange.example", "api.example", "407"], &remedy);
    assert_eq!(told.of("dns-rest").found, "api.example is looked up by the proxy");
    let away = format!("http://127.0.0.1:{}", free_port());
    let told = world.doctor_in(&[("HTTP_PROXY", &away)], &args);
    told.assert_only("proxy", "fail", &["cannot be reached", "Connection refused"], &remedy);

    // The same with the login is good, and no secret is shown.
    let told = world.doctor_in(&[("HTTP_PROXY", &format!("http://{LOGIN_IN_URL}@{}", proxy.address()))], &args);
    told.assert_good();
    let ways =
        format!("ws://exchange.example:9443 through {0} (HTTP_PROXY), http://api.example through {0}", proxy.address());
    assert!(told.of("proxy").found.contains(&ways) && !told.to_string().contains("ecret"), "{told}");
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let (world, made) = (World::new(163), Certificates::new());
    made.usual("usual", &["subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    made.issue("old", &["subjectAltName=DNS:localhost", "basicConstraints=critical,CA:TRUE"], None, true);
    let front = |name: &str| world.runtime.block_on(made.front(name, world.exchange.address())).port();
    let told = world.doctor(&["--stream-url", &format!("wss://localhost:{}", front("usual"))]);
    told.assert_only("tls-stream", "fail", &["not to be trusted", "not known here"], &["--ca-file"]);
    assert_eq!(told.of("stream").found, "skipped: it needs tls-stream");
    let pem = made.pem("old").display().to_string();
    let told = world.doctor(&["--rest-url", &format!("https://localhost:{}", front("old")), "--ca-file", &pem]);
    told.assert_only("tls-rest", "fail", &["renew it, or set this machine's clock right"], &[]);
    // Nobody is there at all: that is not the certificate's fault.
    let told = world.doctor(&["--rest-url", &format!("https://localhost:{}", free_port())]);
    told.assert_only("rest", "fail", &["Connection refused"], &["--rest-url"]);
    assert_eq!(told.of("tls-rest").found, "skipped: it needs rest");
}
