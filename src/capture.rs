//! The main job: from the stream into the store.
//!
//! ```text
//! connections ─▶ intake ─▶ sequencer ─▶ batcher ─▶ writes ─▶ store
//!                   ▲         │ holes
//!                   └─ repair ◀┘
//! ```
//!
//! [`run`] is the thin async shell; what it asks decides without waiting:
//! [`connections`] when to open and close, [`sequencer`] what is new and what
//! is missing, [`repair`] what to ask the exchange for again, [`batcher`] when to send how much, [`backoff`] how long to wait.

pub mod backoff;
pub mod batcher;
pub mod connections;
pub mod dead_letters;
pub mod intake;
pub mod record;
pub mod repair;
pub mod run;
pub mod sequencer;
pub mod summary;
pub mod writes;
