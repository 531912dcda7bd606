//! The one proxy rule: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as curl reads them, and never for this
//! machine. Pure but for [`Proxies::from_env`].

use std::env;
use std::ffi::OsString;
use std::fmt;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use thiserror::Error;

use super::endpoint::is_loopback;

/// A SOCKS5 user or password is no longer (RFC 1929).
const SOCKS_WORD_MAX: usize = 255;

/// Which proxy leads where.
#[derive(Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Exceptions,
}

/// A proxy; its user and password are never printed.
#[derive(Clone)]
pub struct Proxy {
    /// With user and password.
    url: Url,
    parts: Intercept,
    at: Uri,
    variable: &'static str,
}

/// Why a variable of the environment names no proxy; its value is not shown, it may hold a password.
#[derive(Debug, Error)]
#[error("{variable} is no proxy's URL: {fault}: give http://HOST:PORT or socks5://HOST:PORT, or unset it")]
pub struct ProxyError {
    variable: &'static str,
    fault: &'static str,
}

/// `NO_PROXY`.
#[derive(Debug, Default)]
struct Exceptions {
    /// `*`: no proxy at all.
    all: bool,
    names: Option<Matcher>,
    /// Entries for one port only.
    ports: Vec<(Matcher, u16)>,
}

impl Proxies {
    /// What the environment says.
    ///
    /// # Errors
    ///
    /// [`ProxyError`] if a variable is set to what is no proxy's URL.
    pub fn from_env() -> Result<Self, ProxyError> {
        Self::new(|name| env::var_os(name))
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ProxyError> {
        // Upper case first; what is set to nothing is not set.
        let find = |names: [&'static str; 2]| {
            let set = names.into_iter().filter_map(|name| Some((name, variable(name)?)));
            set.map(|(name, value)| (name, value.into_string())).find(|(_, value)| value.as_deref() != Ok(""))
        };
        let proxy = |names| {
            find(names).map(|(name, value)| Proxy::new(name, value.as_deref().unwrap_or("\u{fffd}"))).transpose()
        };
        let (http, https) = (proxy(["HTTP_PROXY", "http_proxy"])?, proxy(["HTTPS_PROXY", "https_proxy"])?);
        let all = proxy(["ALL_PROXY", "all_proxy"])?;
        let exceptions = find(["NO_PROXY", "no_proxy"]).and_then(|(_, value)| value.ok()).unwrap_or_default();
        Ok(Self { http: http.or_else(|| all.clone()), https: https.or(all), exceptions: Exceptions::new(&exceptions) })
    }

    /// The proxy on the way to `url`, if there is one; ws counts as http and wss as https.
    pub fn for_url(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "http" | "ws" => self.http.as_ref()?,
            "https" | "wss" => self.https.as_ref()?,
            _ => return None,
        };
        let host = url.host_str()?.trim_end_matches('.');
        let is_direct = is_loopback(host) || self.exceptions.contain(host, url.port_or_known_default()?);
        (!is_direct).then_some(proxy)
    }
}

impl Proxy {
    fn new(variable: &'static str, text: &str) -> Result<Self, ProxyError> {
        let refuse = |fault| ProxyError { variable, fault };
        let text = text.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&text).map_err(|_| refuse("it cannot be read"))?;
        let default_port = match url.scheme() {
            "http" | "https" => None,
            // Names are looked up by the proxy in either case: here there may be nobody to ask.
            "socks5" | "socks5h" => {
                url.set_scheme("socks5h").map(|()| Some(1080)).map_err(|()| refuse("it cannot be read"))?
            }
            _ => return Err(refuse("only http, https, socks5 and socks5h are spoken")),
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it names no host"));
        }
        if let (None, Some(port)) = (url.port(), default_port) {
            url.set_port(Some(port)).map_err(|()| refuse("it cannot be read"))?;
        }
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        let matcher = Matcher::builder().all(url.as_str()).build();
        let parts =
            matcher.intercept(&Uri::from_static("http://example/")).ok_or_else(|| refuse("it cannot be read"))?;
        if parts.raw_auth().is_some_and(|(user, password)| user.len().max(password.len()) > SOCKS_WORD_MAX) {
            return Err(refuse("its user or password has more than 255 bytes"));
        }
        let scheme = if url.scheme() == "https" { "https" } else { "http" };
        let authority = parts.uri().authority().map_or("", |authority| authority.as_str());
        let at = format!("{scheme}://{authority}/").parse().map_err(|_| refuse("it cannot be read"))?;
        Ok(Self { url, parts, at, variable })
    }

    /// With user and password, for what connects.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Where it is, as an http or https URL without user and password.
    pub(super) fn uri(&self) -> &Uri {
        &self.at
    }

    /// Whether it speaks SOCKS5; else HTTP.
    pub(super) fn is_socks(&self) -> bool {
        self.url.scheme() == "socks5h"
    }

    /// The value of `Proxy-Authorization`.
    pub(super) fn basic_auth(&self) -> Option<&HeaderValue> {
        self.parts.basic_auth()
    }

    /// User and password for SOCKS5.
    pub(super) fn socks_auth(&self) -> Option<(&str, &str)> {
        self.parts.raw_auth()
    }
}

/// Host and port, and who says so.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        write!(f, "{host}:{port} ({})", self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Exceptions {
    /// Names with all below them, with or without a dot or `*.` in front; addresses and networks; each perhaps with a
    /// port; `*` for everything.
    fn new(list: &str) -> Self {
        let entries: Vec<_> = list.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty()).collect();
        let mut exceptions = Self { all: entries.contains(&"*"), ..Self::default() };
        let mut names = Vec::new();
        for entry in entries {
            match with_port(entry) {
                (name, Some(port)) => exceptions.ports.push((matcher(canonical(name)), port)),
                (name, None) => names.push(canonical(name)),
            }
        }
        exceptions.names = (!names.is_empty()).then(|| matcher(names.join(",")));
        exceptions
    }

    fn contain(&self, host: &str, port: u16) -> bool {
        let Ok(uri) = format!("http://{host}/").parse::<Uri>() else { return self.all };
        let has = |matcher: &Matcher| matcher.intercept(&uri).is_none();
        self.all || self.names.as_ref().is_some_and(has) || self.ports.iter().any(|(at, of)| *of == port && has(at))
    }
}

/// A matcher that lets everything through but `list`.
fn matcher(list: String) -> Matcher {
    Matcher::builder().all("http://proxy").no(list).build()
}

/// An entry's name, and its port if it has one.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// A name as URLs have it.
fn canonical(name: &str) -> String {
    let name = name.trim_start_matches('[').trim_end_matches([']', '.']);
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    if name.is_ascii() {
        return name.to_owned();
    }
    let below = name.trim_start_matches('.');
    let url = Url::parse(&format!("http://{below}/")).ok();
    url.as_ref().and_then(Url::host_str).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests;
