//! What the process takes from the machine, under the names that every Prometheus client uses.

use std::time::{Duration, SystemTime};

use metrics::{counter, describe_counter, describe_gauge, gauge};

use nix::sys::resource::{Usage, UsageWho, getrusage};

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

/// CPU time (user and system) and peak memory in bytes of this process so far.
pub fn process_usage() -> (Duration, u64) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return (Duration::ZERO, 0) };
    // Linux counts `ru_maxrss` in kilobytes.
    let peak = memory_bytes("VmHWM").unwrap_or_else(|| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024);
    (cpu_time(&usage), peak)
}

/// User and system time together.
pub fn cpu_time(usage: &Usage) -> Duration {
    let time = |value: nix::sys::time::TimeVal| {
        Duration::new(value.tv_sec().try_into().unwrap_or(0), u32::try_from(value.tv_usec()).unwrap_or(0) * 1_000)
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// A figure of `/proc/self/status` (Linux, proc(5)), in bytes. `getrusage` has a peak, too, but
/// it is the parent's where that was larger when it started this process.
pub fn memory_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value =
        |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    status.lines().find_map(value).map(|kilobytes| kilobytes * 1024)
}
