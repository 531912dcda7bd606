//! What is going to happen, and to whom.

use tickflux::binance::stream::ConnectionId;
use tickflux::capture::backlog::BatchId;
use tickflux::capture::input::{DiskWork, Input};
use tickflux::store::{Attempt, Lines};

use crate::exchange::Place;
use crate::plan::Fault;

/// Something that is going to happen.
#[derive(Debug)]
pub enum Happening {
    Trade(usize),
    Fault(usize, Fault),
    Start(usize),
    /// Someone runs `gaps --repair`.
    Repair(usize),
    /// To one process of a host: what it is told.
    ToNode(usize, u64, ToNode),
    /// A write arrives at the store.
    Write {
        node: usize,
        run: u64,
        batch: BatchId,
        lines: Lines,
        attempt: Attempt,
        life: u64,
    },
    Hour,
    Minute,
    /// All faults are over.
    Heal,
    Stop(usize),
}

#[derive(Debug)]
pub enum ToNode {
    Opened(ConnectionId),
    Message(ConnectionId, String, Option<Place>),
    Closed(ConnectionId, &'static str),
    StreamsEnded,
    Disk(Box<DiskWork>),
    Input(Box<Input>),
}
