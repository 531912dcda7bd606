//! Base URLs as a type: scheme, host, port, and perhaps a path in front. Nothing else gets past here.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;
use thiserror::Error;

use crate::text::Excerpt;

/// What a base URL leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The exchange's streams.
    Stream,
    /// The exchange's REST.
    Rest,
    /// An InfluxDB.
    Influx,
}

impl Service {
    /// The flag that it is given with.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Stream => "--stream-url",
            Self::Rest => "--rest-url",
            Self::Influx => "--store",
        }
    }

    /// The encrypted one first.
    fn schemes(self) -> [&'static str; 2] {
        match self {
            Self::Stream => ["wss", "ws"],
            Self::Rest | Self::Influx => ["https", "http"],
        }
    }

    /// Paths below the base: whoever gives one has copied an address of something behind it.
    fn own_paths(self) -> &'static [&'static str] {
        match self {
            Self::Stream => &["ws", "stream"],
            Self::Rest => &["api/v3"],
            Self::Influx => &["api/v2", "orgs", "signin", "health", "ping", "write", "query"],
        }
    }

    /// The same scheme in this service's words.
    fn scheme_for(self, given: &str) -> Option<&'static str> {
        let [encrypted, plain] = self.schemes();
        match given {
            "https" | "wss" => Some(encrypted),
            "http" | "ws" => Some(plain),
            _ => None,
        }
    }
}

/// A URL as someone has written it; it may hold a password, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlText(String);

impl UrlText {
    /// The text, secrets and all.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UrlText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Debug for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&shown(&self.0), f)
    }
}

/// The base URL of a service: paths are appended to it. It holds no secret, and prints without a slash at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
}

/// Why a text is not the base URL of a service.
#[derive(Debug, Error)]
#[error("{} {given} {fault}: give {form}{}", service.flag(), fault.advice(*service))]
pub struct EndpointError {
    service: Service,
    /// What was given, without secrets.
    given: Excerpt,
    fault: Fault,
    /// How it should look.
    form: String,
}

#[derive(Debug, Error)]
enum Fault {
    #[error("is no URL")]
    NotAUrl,
    #[error("begins with neither {0}:// nor {1}://")]
    Scheme(&'static str, &'static str),
    #[error("has a user or a password in it")]
    Credentials,
    #[error("has a query")]
    Query,
    #[error("has a fragment")]
    Fragment,
    #[error("has /{0} in it, which is behind the base")]
    OwnPath(&'static str),
}

impl Fault {
    fn advice(&self, service: Service) -> &'static str {
        match (self, service) {
            (Self::Credentials, Service::Influx) => ", and a token with --token-file",
            _ => "",
        }
    }
}

impl Endpoint {
    /// Reads the base URL of `service`.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] if it is none, or more than that; it names the right form, and no secret.
    pub fn new(service: Service, text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let Some(url) = read(text) else {
            let is_without_scheme = !text.contains("://");
            let with_scheme = is_without_scheme.then(|| read(&format!("{}://{text}", service.schemes()[0]))).flatten();
            let form = with_scheme.and_then(|url| bare(service, &url).map(|(bare, _)| bare));
            return Err(EndpointError {
                service,
                given: shown(text),
                fault: Fault::NotAUrl,
                form: form.map_or_else(|| any_form(service), |url| Self { url }.to_string()),
            });
        };
        let bare = bare(service, &url);
        let [encrypted, plain] = service.schemes();
        let fault = if !service.schemes().contains(&url.scheme()) {
            Some(Fault::Scheme(encrypted, plain))
        } else if !url.username().is_empty() || url.password().is_some() {
            Some(Fault::Credentials)
        } else if url.query().is_some() {
            Some(Fault::Query)
        } else if url.fragment().is_some() {
            Some(Fault::Fragment)
        } else {
            bare.as_ref().and_then(|(_, own)| *own).map(Fault::OwnPath)
        };
        let form = bare.map(|(url, _)| Self { url });
        match (fault, form) {
            (None, Some(endpoint)) => Ok(endpoint),
            (fault, form) => Err(EndpointError {
                service,
                given: without_secrets(&url),
                fault: fault.unwrap_or(Fault::NotAUrl),
                form: form.map_or_else(|| any_form(service), |form| form.to_string()),
            }),
        }
    }

    /// The address of `path`, which begins with a slash, below this base.
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The host; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// Whether others on the way can read what is sent: plain http to anything but this machine, or a neighbour
    /// container under its bare name.
    pub fn is_overheard(&self) -> bool {
        let host = self.host();
        let is_bare_name = address(host).is_none() && !host.trim_end_matches('.').contains('.');
        matches!(self.url.scheme(), "http" | "ws") && !self.is_loopback() && !is_bare_name
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `host` is this machine, whatever the resolver says (RFC 6761 for names).
pub fn is_loopback(host: &str) -> bool {
    match address(host) {
        // What is sent to the unspecified address arrives here, too.
        Some(address) => address.to_canonical().is_loopback() || address.is_unspecified(),
        None => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// A text as a URL with a host, strictly: what `url` repairs silently is refused.
fn read(text: &str) -> Option<Url> {
    text.split_once("://")?;
    let is_clean = !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
    let url = is_clean.then(|| Url::parse(text).ok())??;
    // A password with a slash, a `?` or a `#` in it, read as a host and what is behind it.
    let has_at = |text: &str| text.contains('@');
    let may_be_password = has_at(url.path())
        || url.fragment().is_some_and(has_at)
        || url.path() == "/" && url.query().is_some_and(has_at);
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (has_host && !may_be_password).then_some(url)
}

/// What of `url` is a base, and the path of the service's own that was behind it.
fn bare(service: Service, url: &Url) -> Option<(Url, Option<&'static str>)> {
    let mut bare = url.clone();
    bare.set_scheme(service.scheme_for(url.scheme())?).ok()?;
    bare.set_username("").ok()?;
    bare.set_password(None).ok()?;
    bare.set_query(None);
    bare.set_fragment(None);
    let segments: Vec<_> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let begins = |at: usize, own: &str| {
        own.split('/')
            .enumerate()
            .all(|(next, word)| segments.get(at + next).is_some_and(|segment| segment.eq_ignore_ascii_case(word)))
    };
    let own_at = |at: usize| service.own_paths().iter().find(|own| begins(at, own)).map(|own| (at, *own));
    let own = (0..segments.len()).find_map(own_at);
    let kept = own.map_or(segments.len(), |(at, _)| at);
    bare.set_path(&segments[..kept].join("/"));
    Some((bare, own.map(|(_, own)| own)))
}

fn any_form(service: Service) -> String {
    format!("{}://HOST:PORT", service.schemes()[0])
}

/// A URL as it may be shown.
fn without_secrets(url: &Url) -> Excerpt {
    let mut shown = url.clone();
    // Fails only for URLs that cannot have any.
    let _ = (shown.set_username(""), shown.set_password(None));
    shown.set_query(url.query().map(|_| "…"));
    shown.set_fragment(url.fragment().map(|_| "…"));
    Excerpt::of(&shown.as_str().replace("%E2%80%A6", "…"))
}

/// A text that may be a URL, as it may be shown: without what may be a user, a password or a query.
pub fn shown(text: &str) -> Excerpt {
    let text = text.trim();
    if let Some(url) = read(text) {
        return without_secrets(&url);
    }
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, behind)| behind);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    // A port that is none may be the password of a user without a host.
    let rest = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && port.parse::<u16>().is_err() => &rest[..=host.len()],
        _ => rest,
    };
    let separator = if text.contains("://") { "://" } else { "" };
    Excerpt::of(&format!("{scheme}{separator}{rest}"))
}

/// A line of someone else's making that may hold URLs, without the users and passwords in them.
pub fn without_credentials(line: &str) -> String {
    match (line.find("://"), line.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}…{}", &line[..scheme + 3], &line[at..]),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
