//! What the capture does: the thin shell around [`crate::capture`], and the only place with a runtime in it.
//!
//! [`run`] is the one loop; each other file carries out one kind of command: [`streams`] opens and closes connections,
//! [`history`] asks the exchange, [`disk`] works on the outbox and [`handover`] passes
//! it on, [`stores`] writes and asks, [`minutes`] reads what is held against candles, [`telling`] tells what happened.
//! [`mend`] repairs a store without a capture.

pub mod dead_letters;
pub mod disk;
pub mod handover;
pub mod history;
pub mod mend;
pub mod minutes;
pub mod record;
pub mod run;
pub mod setup;
pub mod stores;
pub mod streams;
pub mod telling;
