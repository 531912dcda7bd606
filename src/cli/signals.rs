//! SIGINT and SIGTERM: the first asks for an end, the second ends.
//!
//! A thread of its own hears them: the second one ends a program, too, that waits for a disk or a terminal.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{Failure, stderr};

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
    let (mut interrupt, mut terminate) = {
        let _in_runtime = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let (to_stop, stop) = watch::channel(false);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(either(&mut interrupt, &mut terminate));
        to_stop.send_replace(true);
        runtime.block_on(either(&mut interrupt, &mut terminate));
        stderr::end_within(None, LINES_WAIT);
        std::process::exit(INTERRUPTED);
    })?;
    Ok(stop)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
