//! The one way out to the network, for the stream, REST, InfluxDB and `tickflux health`: which addresses are taken
//! ([`endpoint`]), what proxy leads there ([`proxy`]), how a connection is made ([`dial`]), whom TLS trusts ([`trust`]) and
//! whether it does ([`handshake`]), and how much of an answer is read ([`body`]).

pub mod body;
pub mod dial;
pub mod endpoint;
pub mod handshake;
pub mod proxy;
pub mod trust;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use reqwest::dns::Resolve;
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Url};
use rustls::ClientConfig;
use thiserror::Error;

use self::dial::{CONNECT_TIMEOUT, Connection, DialError, Dialer, Lookup, SystemResolver};
use self::proxy::{Proxies, ProxyError};
use self::trust::{Trust, TrustError};

/// Why the network cannot be used as it is set up.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The proxies in the environment.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// How to get out. Copies are cheap, and share everything.
#[derive(Clone)]
pub struct Network(Arc<Parts>);

struct Parts {
    proxies: Arc<Proxies>,
    tls: Arc<ClientConfig>,
    /// Whose certificates are trusted, in words.
    trusted: Vec<String>,
    resolver: Arc<dyn Resolve>,
    dialer: Dialer,
}

impl Network {
    /// With the proxies of the environment, and trust in the certificates of `ca_file` beside the usual ones.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] if a proxy or a file of certificates that someone has named cannot be used.
    pub fn from_env(ca_file: Option<&Path>) -> Result<Self, NetworkError> {
        Ok(Self::new(Proxies::from_env()?, trust::client_config(ca_file)?, Arc::new(SystemResolver)))
    }

    /// For this machine alone: no proxy, and no one who is trusted.
    ///
    /// # Errors
    ///
    /// [`NetworkError::Trust`] if TLS cannot be set up; never in practice.
    pub fn local() -> Result<Self, NetworkError> {
        Ok(Self::new(Proxies::default(), trust::trusting_no_one()?, Arc::new(SystemResolver)))
    }

    /// With this rule, this trust and this way to look names up.
    pub fn new(proxies: Proxies, trust: Trust, resolver: Arc<dyn Resolve>) -> Self {
        let (proxies, tls) = (Arc::new(proxies), Arc::new(trust.config));
        let dialer = Dialer::new(Lookup(Arc::clone(&resolver)), Arc::clone(&tls));
        Self(Arc::new(Parts { proxies, tls, trusted: trust.sources, resolver, dialer }))
    }

    /// An HTTP client that goes this way, and never follows a redirect: who sends us elsewhere is named instead.
    pub fn http(&self) -> ClientBuilder {
        let proxies = Arc::clone(&self.0.proxies);
        ClientBuilder::new()
            .no_proxy()
            .proxy(reqwest::Proxy::custom(move |url| proxies.for_url(url).map(|proxy| proxy.url().clone())))
            .tls_backend_preconfigured(self.0.tls.as_ref().clone())
            .dns_resolver(Arc::clone(&self.0.resolver))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .tcp_nodelay(true)
    }

    /// Connects to the host and port of `url`; TLS comes on top of it.
    ///
    /// # Errors
    ///
    /// [`DialError`] if the host, or the proxy on the way, does not answer or refuses.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it ends, the connection is closed.
    pub async fn connect(&self, url: &Url) -> Result<Connection, DialError> {
        self.0.dialer.connect(url, self.0.proxies.for_url(url)).await
    }

    /// TLS for what connects by itself.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.tls)
    }

    /// Whose certificates are trusted, in words.
    pub fn trusted(&self) -> &[String] {
        &self.0.trusted
    }

    /// Every address of a name, in the order in which they are tried.
    ///
    /// # Errors
    ///
    /// What the resolver says.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only asks.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, dial::BoxError> {
        let found = self.0.resolver.resolve(host.parse()?).await?;
        let mut addresses = Vec::new();
        for address in found.map(|found| found.ip()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }

    /// The proxy on the way to `url`, in words: `HOST:PORT (VARIABLE)`.
    pub fn proxy(&self, url: &Url) -> Option<String> {
        self.0.proxies.for_url(url).map(ToString::to_string)
    }

    /// Words to put behind a URL: nothing, or the proxy on the way.
    pub fn via(&self, url: &Url) -> String {
        self.proxy(url).map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("proxies", &self.0.proxies).finish_non_exhaustive()
    }
}
