//! The practice exchange over real sockets, with clients that are not ours.
//!
//! Recordings are made here; what the wire should carry is written here once
//! more, apart from the exchange's own writer.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

#[path = "practice/faults.rs"]
mod faults;
#[path = "practice/kit.rs"]
mod kit;
#[path = "practice/lifetime.rs"]
mod lifetime;
#[path = "practice/limits.rs"]
mod limits;
#[path = "practice/replay.rs"]
mod replay;
#[path = "practice/rest.rs"]
mod rest;
#[path = "practice/streams.rs"]
mod streams;
