//! The way out to the network: proxies, dead addresses, TLS, what strangers answer, and that no secret is shown.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

#[path = "network/addresses.rs"]
mod addresses;
#[path = "network/proxies.rs"]
mod proxies;
#[path = "network/rest.rs"]
mod rest;
#[path = "network/secrets.rs"]
mod secrets;
#[path = "network/streams.rs"]
mod streams;
#[path = "network/trust.rs"]
mod trust;
