//! The ways out: names, proxies, TLS. What an answer says is for others to judge.

use std::net::IpAddr;
use std::time::Duration;

use super::finding::{Check, Finding};
use super::within;
use crate::net::Network;
use crate::net::dial::DialError;
use crate::net::endpoint::{Endpoint, Service};
use crate::net::handshake::HandshakeError;

/// How long a way may be looked at: a name, a connection and a handshake.
const WAY_MAX: Duration = Duration::from_secs(15);

/// The way to an endpoint, as far as it was gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) service: Service,
    pub(super) endpoint: Endpoint,
    /// The proxy on it, in words.
    pub(super) proxy: Option<String>,
    pub(super) names: Names,
    pub(super) reach: Reach,
}

/// What a host's name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// It is an address.
    Address,
    /// A proxy looks it up.
    ByProxy,
    /// These addresses.
    Found(Vec<IpAddr>),
    /// None, and why.
    Unknown(String),
}

/// How far it was gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// As far as it could be without asking the service itself, which speaks for itself from there on.
    Open,
    /// As far as TLS, with this version of it.
    Tls(String),
    /// TLS failed.
    NoTls(String),
    /// The proxy on the way does not connect.
    NoProxy(String),
}

impl Way {
    /// The check that says why the service cannot be asked.
    pub(super) fn blocked_by(&self) -> Option<Check> {
        match (&self.names, &self.reach) {
            (Names::Unknown(_), _) => Some(checks(self.service).0),
            (_, Reach::NoProxy(_)) => Some(Check::Proxy),
            (_, Reach::NoTls(_)) => Some(checks(self.service).1),
            (_, Reach::Open | Reach::Tls(_)) => None,
        }
    }
}

/// The checks of a service's name and of its TLS.
fn checks(service: Service) -> (Check, Check) {
    match service {
        Service::Stream => (Check::DnsStream, Check::TlsStream),
        Service::Rest => (Check::DnsRest, Check::TlsRest),
        Service::Influx => (Check::DnsStore, Check::TlsStore),
    }
}

/// Goes the way to `endpoint`.
pub(super) async fn go(service: Service, endpoint: &Endpoint, network: &Network) -> Way {
    let proxy = network.proxy(endpoint.url());
    let names = names(endpoint, network, proxy.is_some()).await;
    let reach = match &names {
        Names::Unknown(_) => Reach::Open,
        _ => within(WAY_MAX, reach(endpoint, network, proxy.is_some())).await.unwrap_or(Reach::Open),
    };
    Way { service, endpoint: endpoint.clone(), proxy, names, reach }
}

async fn names(endpoint: &Endpoint, network: &Network, is_proxied: bool) -> Names {
    let host = endpoint.host();
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Names::Address;
    }
    if is_proxied {
        return Names::ByProxy;
    }
    match within(WAY_MAX, network.addresses(host)).await {
        Some(Ok(found)) if !found.is_empty() => Names::Found(found),
        Some(Ok(_)) => Names::Unknown("it has no address".to_owned()),
        Some(Err(error)) => Names::Unknown(crate::error_chain(error.as_ref())),
        None => Names::Unknown(format!("no answer within {} s", WAY_MAX.as_secs())),
    }
}

async fn reach(endpoint: &Endpoint, network: &Network, is_proxied: bool) -> Reach {
    let url = endpoint.url();
    match (url.scheme(), is_proxied) {
        ("https" | "wss", _) => match network.handshake(url).await {
            Ok(version) => Reach::Tls(version),
            // Nobody is there: who asks the service says so.
            Err(HandshakeError::Dial(DialError::Host(_))) => Reach::Open,
            Err(HandshakeError::Dial(error)) => Reach::NoProxy(crate::error_chain(&error)),
            Err(error) => Reach::NoTls(crate::error_chain(&error)),
        },
        ("ws", true) => match network.connect(url).await {
            Ok(_) | Err(DialError::Host(_)) => Reach::Open,
            Err(error) => Reach::NoProxy(crate::error_chain(&error)),
        },
        // A proxy is asked for the whole URL there, and not for a tunnel.
        (_, true) => asked(endpoint, network).await,
        (_, false) => Reach::Open,
    }
}

/// Whether the proxy takes a request at all; what comes from behind it is for others to judge.
async fn asked(endpoint: &Endpoint, network: &Network) -> Reach {
    const WANTS_LOGIN: u16 = 407;
    let via = network.via(endpoint.url());
    let Ok(client) = network.http().timeout(WAY_MAX).build() else { return Reach::Open };
    match client.get(endpoint.url().clone()).send().await {
        Ok(reply) if reply.status().as_u16() == WANTS_LOGIN => {
            Reach::NoProxy(format!("{endpoint}{via} answered {WANTS_LOGIN}: it wants a user and a password"))
        }
        Ok(_) => Reach::Open,
        Err(error) => {
            let why = crate::error_chain(&error.without_url());
            Reach::NoProxy(format!("{endpoint}{via} does not answer: {why}"))
        }
    }
}

/// What the ways say of names, proxies and TLS.
pub(super) fn judge(ways: &[Way], trusted: &[String]) -> Vec<Finding> {
    let mut findings = vec![proxy(ways), Finding::ok(Check::Trust, trusted.join(", "))];
    findings.extend(ways.iter().map(dns));
    findings.extend(ways.iter().filter_map(tls));
    findings
}

fn proxy(ways: &[Way]) -> Finding {
    let failures: Vec<_> = ways
        .iter()
        .filter_map(|way| match &way.reach {
            Reach::NoProxy(why) => Some(why.as_str()),
            _ => None,
        })
        .collect();
    if !failures.is_empty() {
        let remedy = "see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or ask who runs the proxy to let these hosts \
                      and ports through";
        return Finding::fail(Check::Proxy, failures.join("; "), remedy);
    }
    let of = |way: &Way| Some(format!("{} through {}", way.endpoint, way.proxy.as_ref()?));
    let through: Vec<_> = ways.iter().filter_map(of).collect();
    let found = if through.is_empty() { "none: every host is reached directly".to_owned() } else { through.join(", ") };
    Finding::ok(Check::Proxy, found)
}

fn dns(way: &Way) -> Finding {
    let (check, host) = (checks(way.service).0, way.endpoint.host());
    match &way.names {
        Names::Address => Finding::ok(check, format!("{host} is an address")),
        Names::ByProxy => Finding::ok(check, format!("{host} is looked up by the proxy")),
        Names::Found(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Finding::ok(check, format!("{host} is {}", addresses.join(", ")))
        }
        Names::Unknown(why) => {
            let remedy = format!(
                "see that {} is spelled right, and that this host has a network and a name server (/etc/resolv.conf)",
                way.service.flag()
            );
            Finding::fail(check, format!("{host} has no address: {why}"), remedy)
        }
    }
}

/// `None` where no TLS is spoken, or nobody was there to speak it.
fn tls(way: &Way) -> Option<Finding> {
    let ((dns, check), host) = (checks(way.service), way.endpoint.host());
    match (&way.names, &way.reach) {
        _ if !matches!(way.endpoint.url().scheme(), "https" | "wss") => None,
        (Names::Unknown(_), _) => Some(Finding::skipped(check, dns)),
        (_, Reach::Tls(version)) => Some(Finding::ok(check, format!("{host} is trusted, {version}"))),
        (_, Reach::NoTls(why)) => {
            let remedy =
                "give the certificate of the server or of its issuer with --ca-file, if it is the right server";
            Some(Finding::fail(check, format!("{host}: {why}"), remedy))
        }
        (_, Reach::NoProxy(_)) => Some(Finding::skipped(check, Check::Proxy)),
        (_, Reach::Open) => Some(Finding::skipped(check, service(way.service))),
    }
}

fn service(service: Service) -> Check {
    match service {
        Service::Stream => Check::Stream,
        Service::Rest => Check::Rest,
        Service::Influx => Check::Store,
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn way(url: &str, proxy: Option<&str>, names: Names, reach: Reach) -> Way {
        let endpoint = Endpoint::new(Service::Rest, url).unwrap();
        Way { service: Service::Rest, endpoint, proxy: proxy.map(str::to_owned), names, reach }
    }

    fn states(way: &Way) -> Vec<(&'static str, State)> {
        let told = judge(std::slice::from_ref(way), &["1 certificate".to_owned()]);
        told.iter().filter(|finding| finding.check != Check::Trust).map(|it| (it.check.name(), it.state)).collect()
    }

    #[test]
    fn every_stage_of_a_way_is_told_once() {
        use State::{Fail, Ok, Warn};
        let found = || Names::Found(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
        let why = || "why".to_owned();
        for (way, told, blocked) in [
            (way("http://h", None, found(), Reach::Open), &[("proxy", Ok), ("dns-rest", Ok)][..], None),
            (
                way("https://h", None, Names::Unknown(why()), Reach::Open),
                &[("proxy", Ok), ("dns-rest", Fail), ("tls-rest", Warn)],
                Some(Check::DnsRest),
            ),
            (
                way("https://h", Some("p:1 (HTTPS_PROXY)"), Names::ByProxy, Reach::NoProxy(why())),
                &[("proxy", Fail), ("dns-rest", Ok), ("tls-rest", Warn)],
                Some(Check::Proxy),
            ),
            (
                way("https://h", None, found(), Reach::NoTls(why())),
                &[("proxy", Ok), ("dns-rest", Ok), ("tls-rest", Fail)],
                Some(Check::TlsRest),
            ),
            (
                way("https://h", None, found(), Reach::Tls("TLSv1_3".to_owned())),
                &[("proxy", Ok), ("dns-rest", Ok), ("tls-rest", Ok)],
                None,
            ),
            // Nobody is there, which the service says.
            (
                way("https://h", None, found(), Reach::Open),
                &[("proxy", Ok), ("dns-rest", Ok), ("tls-rest", Warn)],
                None,
            ),
        ] {
            assert_eq!(states(&way), told, "{way:?}");
            assert_eq!(way.blocked_by(), blocked);
        }
        let told = dns(&way("http://h", None, found(), Reach::Open));
        assert_eq!(told.found, "h is 192.0.2.1, 2001:db8::1");
    }
}
