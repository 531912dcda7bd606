//! SIGINT, SIGTERM and SIGHUP (a closed terminal): the first asks for an end, the second ends.
//!
//! A thread of its own hears them: the second one ends a program, too, that waits for a disk or a terminal.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{Failure, drawing, stderr};

/// Exit code of a program that was interrupted twice.
const INTERRUPTED: i32 = 130;

/// How long the end at once waits for who reads standard error.
const LINES_WAIT: Duration = Duration::from_millis(200);

/// Becomes true with the first signal; with the second one the program ends at once.
pub(super) fn stop_on_signals() -> Result<watch::Receiver<bool>, Failure> {
    listen().map_err(|error| Failure::Unusable(format!("cannot handle signals: {error}")))
}

fn listen() -> io::Result<watch::Receiver<bool>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _in_runtime = runtime.enter();
        let mut signals = vec![signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        if heeds_hangup() {
            signals.push(signal(SignalKind::hangup())?);
        }
        signals
    };
    let (to_stop, stop) = watch::channel(false);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(any(&mut signals));
        to_stop.send_replace(true);
        runtime.block_on(any(&mut signals));
        drawing::clear(LINES_WAIT);
        stderr::end_within(None, LINES_WAIT);
        std::process::exit(INTERRUPTED);
    })?;
    Ok(stop)
}

async fn any(signals: &mut [Signal]) {
    futures_util::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
}

/// Whether nobody has said that SIGHUP is to be ignored, as nohup does for what it starts. Where this cannot be known, the
/// signal does what it does by default.
fn heeds_hangup() -> bool {
    // proc_pid_status(5): a mask in hexadecimal digits, of which the lowest bit is signal 1, SIGHUP.
    let ignored = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u128::from_str_radix(mask.trim(), 16).ok()
    });
    ignored.is_some_and(|mask| mask & 1 == 0)
}
