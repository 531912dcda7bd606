//! tickflux captures every Binance trade, exactly and exactly once.
//!
//! The way of a trade: [`binance`] reads it off the stream, [`capture`] decides what becomes of it, [`outbox`] keeps it on
//! disk until the store has it, [`store`] keeps it and answers for it; [`shell`] does what `capture` decided. [`flux`] holds
//! the bundled queries, [`trade`] the words that all of them speak.
//!
//! Beside it: [`net`] is the one way out to the network, [`telemetry`] says what happened, [`files`] and [`mod@text`] are careful with
//! what strangers may have put there; [`practice`] is an exchange to try it all against; [`doctor`] looks at what a capture will find;
//! [`verify`] holds what is stored against the exchange's own candles; [`cli`] is the command line.
//!
//! [`archive`] has trades as files for others to read, and [`store::archive`] answers out of them; [`dump`] reads the daily files that the
//! exchange itself publishes.
//!
//! Dependencies point one way: cli → shell → capture → {binance, outbox → store} → trade.

pub mod archive;
pub mod binance;
pub mod capture;
pub mod cli;
pub mod doctor;
pub mod dump;
pub mod files;
pub mod flux;
pub mod net;
pub mod outbox;
pub mod practice;
pub mod shell;
mod small_file;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod trade;
pub mod verify;

/// An error with all its causes in one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
