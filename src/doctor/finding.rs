//! What a check found: a state, words for people, and what to do.

use serde::Serialize;

use crate::text::{LINE_BYTES_MAX, one_line};

/// What was found begins so where nothing was looked at.
const SKIPPED: &str = "skipped:";

/// A thing that is looked at. The order is the one in which findings are told: what others depend on comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The program.
    Version,
    /// This host's clock against the exchange's.
    Clock,
    /// The proxies on the ways out.
    Proxy,
    /// The addresses of the stream's host.
    DnsStream,
    /// The addresses of REST's host.
    DnsRest,
    /// The addresses of InfluxDB's host.
    DnsStore,
    /// Whose certificates are trusted.
    Trust,
    /// TLS with the stream's host.
    TlsStream,
    /// TLS with REST's host.
    TlsRest,
    /// TLS with InfluxDB's host.
    TlsStore,
    /// The stream, and whether each symbol comes on it.
    Stream,
    /// REST.
    Rest,
    /// The weight of REST that this address has left.
    Weight,
    /// The history of trades, from which holes are repaired.
    History,
    /// Candles over REST.
    Klines,
    /// The store.
    Store,
    /// What the token may do.
    Token,
    /// The bucket, its retention and shard groups.
    Bucket,
    /// Flux, in which questions are asked.
    Flux,
    /// The disk of an SQLite store.
    StoreDisk,
    /// The outbox, and those of others beside it.
    Outbox,
    /// The disk of the outbox.
    OutboxDisk,
    /// The address of `/healthz` and `/metrics`.
    Metrics,
}

impl Check {
    /// Its name in what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Clock => "clock",
            Self::Proxy => "proxy",
            Self::DnsStream => "dns-stream",
            Self::DnsRest => "dns-rest",
            Self::DnsStore => "dns-store",
            Self::Trust => "trust",
            Self::TlsStream => "tls-stream",
            Self::TlsRest => "tls-rest",
            Self::TlsStore => "tls-store",
            Self::Stream => "stream",
            Self::Rest => "rest",
            Self::Weight => "weight",
            Self::History => "history",
            Self::Klines => "klines",
            Self::Store => "store",
            Self::Token => "token",
            Self::Bucket => "bucket",
            Self::Flux => "flux",
            Self::StoreDisk => "store-disk",
            Self::Outbox => "outbox",
            Self::OutboxDisk => "outbox-disk",
            Self::Metrics => "metrics",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// A capture works and lacks something, or nobody can see whether it will.
    Warn,
    /// A capture does not work, or stores nothing.
    Fail,
}

impl State {
    /// Its name in what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found, in lines that nothing obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it is.
    pub state: State,
    /// What was found. It begins with `skipped:` if nothing was looked at, because what it depends on fails.
    pub found: String,
    /// What to do, where it is not as it should be.
    pub remedy: Option<String>,
}

impl Finding {
    /// Whether nothing was looked at, because what it depends on fails.
    pub fn is_skipped(&self) -> bool {
        self.found.starts_with(SKIPPED)
    }

    pub(super) fn ok(check: Check, found: impl AsRef<str>) -> Self {
        Self::new(check, State::Ok, found.as_ref(), None)
    }

    pub(super) fn warn(check: Check, found: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self::new(check, State::Warn, found.as_ref(), Some(remedy.as_ref()))
    }

    pub(super) fn fail(check: Check, found: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self::new(check, State::Fail, found.as_ref(), Some(remedy.as_ref()))
    }

    /// Nothing was looked at: that would only say again what is wrong with `needs`.
    pub(super) fn skipped(check: Check, needs: Check) -> Self {
        let needs = needs.name();
        Self::warn(check, format!("{SKIPPED} it needs {needs}"), format!("mend {needs} first"))
    }

    fn new(check: Check, state: State, found: &str, remedy: Option<&str>) -> Self {
        let line = |text: &str| one_line(text.trim(), LINE_BYTES_MAX);
        Self { check, state, found: line(found), remedy: remedy.map(line) }
    }
}
