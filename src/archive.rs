//! Trades as files that other programs read.

pub mod parquet;
