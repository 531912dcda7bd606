//! `tickflux verify`: each minute of either store, and of an archive, against the exchange's own candle, by a plain computation over the exchange's
//! own list; what was changed behind the program's back is named, and what the exchange answers is never believed blindly.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

#[path = "verify/archived.rs"]
mod archived;
#[path = "verify/candles.rs"]
mod candles;
#[path = "verify/changed.rs"]
mod changed;
#[path = "verify/kit.rs"]
mod kit;
#[path = "verify/refused.rs"]
mod refused;
#[path = "verify/sign_off.rs"]
mod sign_off;
mod support;
