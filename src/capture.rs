//! The main job: from the stream into the store.
//!
//! ```text
//! streams ─▶ intake ─▶ sequencer ─▶ batcher ─▶ delivery ─▶ outbox ─▶ writes ─▶ store
//!              ▲           │ holes
//!              └─ history ◀┘
//! ```
//!
//! [`run`], [`streams`], [`history`], [`past`], [`delivery`] and [`writes`] are the thin async shell;
//! [`mend`] repairs a store without a capture. What they ask decides without waiting:
//! [`connections`] when to open and close, [`sequencer`] what is new and what
//! is missing, [`repair`] what to ask the exchange for again, [`silence`] which symbol to ask about, [`batcher`] when to send how much, [`backoff`] how long to wait.

pub mod backoff;
pub mod batcher;
pub mod connections;
pub mod dead_letters;
pub mod delivery;
pub mod history;
pub mod intake;
pub mod mend;
pub mod past;
pub mod record;
pub mod repair;
pub mod run;
pub mod sequencer;
pub mod settings;
pub mod silence;
pub mod streams;
pub mod summary;
pub mod writes;
