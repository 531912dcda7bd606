//! Names with several addresses of which some are dead: the stream and REST reach the one that answers.
//!
//! A resolver of the test's own stands in for the system's, so that nothing leaves this machine: dead addresses are
//! loopback addresses that refuse, or that swallow whatever comes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tickflux::binance::rest::Rest;
use tickflux::binance::stream::{self, StreamEvent};
use tickflux::net::Network;
use tickflux::net::endpoint::{Endpoint, Service};
use tickflux::net::proxy::Proxies;
use tickflux::net::trust;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::support::{practice, runtime};

/// Every name has these addresses, in this order.
struct Names(Vec<IpAddr>);

impl Resolve for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Vec<_> = self.0.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

/// An address that swallows what comes: its queue of connections is full, and nobody takes them.
struct Swallowing {
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Swallowing {
    async fn at(address: SocketAddr) -> Self {
        let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            waiting.push(connected.unwrap());
        }
        Self { _listener: listener, _waiting: waiting }
    }
}

fn network(addresses: &[&str]) -> Network {
    let names = Names(addresses.iter().map(|ip| ip.parse().unwrap()).collect());
    Network::new(Proxies::default(), trust::trusting_no_one().unwrap(), Arc::new(names))
}

/// Opens a stream and asks REST, both by a name.
async fn reach(network: &Network, port: u16) {
    let (events, mut told) = mpsc::channel(16);
    let (_open, closed) = oneshot::channel();
    let url = format!("ws://exchange.example:{port}/stream?streams=btcusdt@trade");
    tokio::spawn(stream::run(url, network.clone(), 0, events, closed));
    match told.recv().await.unwrap() {
        (0, StreamEvent::Opened) => {}
        other => panic!("{other:?}"),
    }
    let base = Endpoint::new(Service::Rest, &format!("http://exchange.example:{port}")).unwrap();
    Rest::new(&base, network).unwrap().time().await.unwrap();
}

#[test]
fn an_address_that_swallows_or_refuses_does_not_stop_the_stream() {
    let runtime = runtime();
    runtime.block_on(async {
        let exchange = practice::start(practice::live_market(81, 100.0)).await;
        let port = exchange.address().port();
        let _dead = [
            Swallowing::at(format!("[::1]:{port}").parse().unwrap()).await,
            Swallowing::at(format!("127.0.0.3:{port}").parse().unwrap()).await,
            Swallowing::at(format!("127.0.0.4:{port}").parse().unwrap()).await,
        ];
        // Nobody listens at 127.0.0.2.
        for addresses in [
            &["127.0.0.2", "127.0.0.1"][..],
            &["::1", "127.0.0.1"],
            &["::1", "::1", "127.0.0.2", "127.0.0.1"],
            &["127.0.0.3", "127.0.0.1"],
            &["127.0.0.3", "127.0.0.4", "127.0.0.2", "127.0.0.1"],
        ] {
            let begun = Instant::now();
            reach(&network(addresses), port).await;
            eprintln!("{addresses:?}: {:.1} s", begun.elapsed().as_secs_f64());
        }
    });
}

#[test]
fn a_name_without_an_address_that_answers_says_so() {
    let runtime = runtime();
    runtime.block_on(async {
        let port = crate::support::influxd::free_port();
        let (events, mut told) = mpsc::channel(16);
        let (_open, closed) = oneshot::channel();
        let url = format!("ws://exchange.example:{port}/stream?streams=btcusdt@trade");
        tokio::spawn(stream::run(url, network(&["127.0.0.2", "::1"]), 0, events, closed));
        let (_, StreamEvent::Closed(why)) = told.recv().await.unwrap() else { panic!("it opened") };
        let why = why.to_string();
        assert!(why.starts_with("cannot open ws://exchange.example:") && why.contains("refused"), "{why}");
    });
}
