//! The way out to the network, for everything that leaves this machine.

pub mod body;
