//! The main job, as one state machine: what the capture decides.
//!
//! [`machine`] is told what happened and says what is to be done ([`input`]); `shell` carries it out. What it asks
//! decides by itself: [`sequencer`] what is new and what is missing, [`suspects`] what is not to be believed alone,
//! [`backlog`] where each batch is and when it goes, [`connections`] when to open and close, [`history`] what to ask the
//! exchange for, with [`holes`] and [`page`], [`past`] when to ask the store, [`exchange_clock`] what time it is,
//! [`silence`] which symbol to ask about, [`signoff`] which minutes to hold against the exchange's candles, [`backoff`] how long to wait, [`condition`] what works.

pub mod backlog;
pub mod backoff;
pub mod condition;
pub mod connections;
pub mod exchange_clock;
pub mod history;
pub mod holes;
pub mod input;
pub mod machine;
pub mod page;
pub mod past;
pub mod sequencer;
pub mod settings;
pub mod signoff;
pub mod silence;
pub mod summary;
pub mod suspects;
