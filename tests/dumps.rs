//! Daily files as the exchange publishes them: held against either store, sealed into an archive, and made by the practice
//! exchange. What should come of it is computed here by plain maps.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

#[path = "dumps/archived.rs"]
mod archived;
#[path = "dumps/kept.rs"]
mod kept;
#[path = "dumps/kit.rs"]
mod kit;
#[path = "dumps/refused.rs"]
mod refused;
#[path = "dumps/served.rs"]
mod served;
mod support;
#[path = "dumps/verified.rs"]
mod verified;
