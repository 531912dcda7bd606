//! The exchange's published daily file of a symbol's trades: a zip with one CSV, in which nothing is believed.
//!
//! Source: Binance's `binance-public-data`. The columns are `id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch`, as a rule
//! without a header; ids rise; `time` is in microseconds since 2025-01-01, in milliseconds before. Beside `FILE.zip` lies
//! `FILE.zip.CHECKSUM` with its SHA-256.
//!
//! [`line`](mod@line) reads a line, [`lines`] says what a line is behind the one before it, [`file`](mod@file) opens the zip and reads it a line at a time,
//! [`name`] and [`checksum`] hold the file against what is said of it.

pub mod checksum;
pub mod file;
pub mod line;
pub mod lines;
pub mod name;
mod tail;
