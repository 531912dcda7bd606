//! What the process takes from the machine, under the names that every Prometheus client uses.

use std::time::SystemTime;

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::capture::summary::{memory_bytes, process_usage};

const CPU: &str = "process_cpu_seconds_total";
const RSS: &str = "process_resident_memory_bytes";
const START: &str = "process_start_time_seconds";
#[cfg(test)]
pub(super) const NAMES: [&str; 3] = [CPU, RSS, START];

/// Says what the metrics mean, and when the process began.
pub(super) fn begin() {
    describe_counter!(CPU, "User and system time, in whole seconds");
    describe_gauge!(RSS, "Memory that the process has now (Linux only)");
    describe_gauge!(START, "When the capture began, in seconds since 1970");
    gauge!(START).set(SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64()));
}

/// Reads what the process takes now.
pub(super) fn publish() {
    let (cpu, _) = process_usage();
    counter!(CPU).absolute(cpu.as_secs());
    if let Some(bytes) = memory_bytes("VmRSS") {
        gauge!(RSS).set(bytes as f64);
    }
}
