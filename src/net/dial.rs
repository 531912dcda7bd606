//! One dialer: a connection to a host, directly or through the proxy that the rule names.
//!
//! hyper-util's connector, as reqwest's own: IPv6 and IPv4 race each other after 300 ms, and addresses of one family
//! share [`CONNECT_TIMEOUT`], so that no dead address of a name stops it (RFC 8305).

use std::error::Error;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use reqwest::dns::{Addrs, Resolve, Resolving};
use rustls::ClientConfig;
use thiserror::Error;
use tokio::net::TcpStream;
use tower_service::Service;

use super::proxy::Proxy;

/// How long connecting may take, all addresses of a name together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Any error of those who connect and look names up.
pub type BoxError = Box<dyn Error + Send + Sync>;
type Wire = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection to a host, without TLS yet.
pub type Connection = TokioIo<Wire>;

/// Why a host could not be connected to; the causes stand in its sources.
#[derive(Debug, Error)]
pub enum DialError {
    /// It does not answer.
    #[error("cannot connect")]
    Host(#[source] BoxError),
    /// The proxy on the way does not answer.
    #[error("the proxy {proxy} cannot be reached")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// What the connector says.
        source: BoxError,
    },
    /// The proxy on the way answers, and does not connect.
    #[error("the proxy {proxy} does not connect to {host}:{port}{hint}")]
    Refused {
        /// The proxy.
        proxy: String,
        /// Where to.
        host: String,
        /// Where to.
        port: u16,
        /// What may be the reason.
        hint: &'static str,
        /// What the tunnel says.
        source: BoxError,
    },
}

/// Looks names up.
#[derive(Clone)]
pub(super) struct Lookup(pub(super) Arc<dyn Resolve>);

impl Service<Name> for Lookup {
    type Response = Addrs;
    type Error = BoxError;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        match name.as_str().parse() {
            Ok(name) => self.0.resolve(name),
            Err(error) => Box::pin(ready(Err(BoxError::from(error)))),
        }
    }
}

/// The system's resolver.
#[derive(Debug)]
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialer(HttpsConnector<HttpConnector<Lookup>>);

impl Dialer {
    pub(super) fn new(lookup: Lookup, tls: Arc<ClientConfig>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(lookup);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self((tcp, tls).into())
    }

    /// Connects to the host and port of `url`.
    pub(super) async fn connect(&self, url: &Url, proxy: Option<&Proxy>) -> Result<Connection, DialError> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        // Plain on purpose: TLS to the host comes on top of this.
        let target = format!("http://{host}:{port}/").parse::<Uri>().map_err(|error| DialError::Host(error.into()))?;
        let Some(proxy) = proxy else {
            return self.reach(target).await.map(TokioIo::new).map_err(DialError::Host);
        };
        let unreachable = |source| DialError::Proxy { proxy: proxy.to_string(), source };
        let wire = Given(Some(self.reach(proxy.uri().clone()).await.map_err(unreachable)?));
        let connected = if proxy.is_socks() {
            let mut socks = SocksV5::new(proxy.uri().clone(), wire);
            if let Some((user, password)) = proxy.socks_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(target).await.map_err(BoxError::from)
        } else {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), wire);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            tunnel.call(target).await.map_err(BoxError::from)
        };
        let refused = |source| {
            let hint = if port == 443 || proxy.is_socks() { "" } else { " (many allow port 443 only)" };
            DialError::Refused { proxy: proxy.to_string(), host: host.to_owned(), port, hint, source }
        };
        connected.map(TokioIo::new).map_err(refused)
    }

    async fn reach(&self, target: Uri) -> Result<Wire, BoxError> {
        self.0.clone().call(target).await
    }
}

/// A connection that is there already, for those who want to make it themselves.
struct Given(Option<Wire>);

impl Service<Uri> for Given {
    type Response = Wire;
    type Error = std::io::Error;
    type Future = Ready<Result<Wire, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)))
    }
}
