//! Repairing a store's holes without a capture: the capture's own machine and loop, without a stream and without an outbox.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::sync::watch;

use super::run::{Books, Shell, Tasks};
use super::setup::RunError;
use super::streams::Streams;
use super::telling::Telling;
use crate::binance::rest::Rest;
use crate::capture::backlog::Route;
use crate::capture::exchange_clock::Moment;
use crate::capture::machine::{Capture, Shortfall};
use crate::capture::sequencer::Hole;
use crate::capture::settings::{Progress, Settings};
use crate::net::Network;
use crate::outbox::{Changes, Ended};
use crate::store::AnyStore;
use crate::trade::{Exchange, TradeTime};

/// Where to repair, and from where.
#[derive(Debug)]
pub struct Repair {
    /// The store.
    pub store: AnyStore,
    /// The exchange whose trades are missing.
    pub exchange: Exchange,
    /// Its REST.
    pub rest: Rest,
    /// The way out to the network.
    pub network: Network,
    /// The folder of dead letters.
    pub outbox: PathBuf,
    /// The wall clock, in milliseconds.
    pub clock: fn() -> TradeTime,
}

/// Why holes could not be repaired.
#[derive(Debug, Error)]
pub enum MendError {
    /// It could not begin, or not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Told to stop.
    #[error("stopped before every hole was repaired: run it again")]
    Stopped,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Mended {
    /// Trades written and stored.
    pub trades: u64,
    /// Ids that stay missing, and why.
    pub ended: Vec<Ended>,
}

/// Fetches what is missing in `holes` and writes it into the store; ends when every hole has ended. `progress` is told how
/// many trades are stored.
///
/// # Errors
///
/// [`MendError`]; what was written by then stays.
///
/// # Cancel safety
///
/// Safe: what was written is written.
pub async fn mend(
    repair: Repair,
    holes: Vec<Hole>,
    stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Mended, MendError> {
    let Repair { store, exchange, rest, network, outbox, clock } = repair;
    let now = Moment { at: Instant::now(), wall: clock() };
    let route = Route { is_over_disk: false, slots: store.slots(), batch_max: store.batch_max() };
    let capture = Capture::new(Settings::only_repairing(holes, route, fastrand::u64(..)), now);
    let mut shell = Shell {
        store,
        rest: Some(rest),
        symbols: Vec::new(),
        exchange,
        clock,
        streams: Streams::new(Vec::new(), network, None),
        telling: Telling::new(Arc::default(), progress, &outbox, now.at),
        outbox,
        tasks: Tasks::default(),
        books: Books::Changes(Changes::default()),
        overlap: None,
    };
    let outcome = shell.drive(capture, stop, || {}).await?;
    if outcome.shortfall == Some(Shortfall::HolesLeft) {
        return Err(MendError::Stopped);
    }
    let ended = match shell.books {
        Books::Changes(changes) => changes.ended,
        Books::Outbox(_) => Vec::new(),
    };
    Ok(Mended { trades: outcome.summary.trades, ended })
}
