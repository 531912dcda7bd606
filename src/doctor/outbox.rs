//! The outbox: whether a capture uses it, what waits in it, and what waits beside it for other stores.

use std::path::Path;
use std::time::Duration;

use super::finding::{Check, Finding};
use super::within;
use crate::outbox::Target;
use crate::outbox::look::{Seen, look_in};

/// A disk that does not answer for so long is not waited for.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Looks into `folder` without a trace, for the outbox of a target whose own disk may have to be asked.
pub(super) async fn check(folder: &Path, target: impl FnOnce() -> Target + Send + 'static) -> Finding {
    let asked = folder.to_owned();
    let looked = within(LOOK_MAX, tokio::task::spawn_blocking(move || look_in(&asked, &target()))).await;
    let shown = folder.display();
    match looked {
        Some(Ok(Ok(seen))) => judge(folder, &seen),
        Some(Ok(Err(error))) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok(Check::Outbox, format!("{shown} is not there yet"))
        }
        // Its disk's check says so.
        Some(Ok(Err(error))) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Finding::skipped(Check::Outbox, Check::OutboxDisk)
        }
        Some(Ok(Err(error))) => {
            Finding::fail(Check::Outbox, format!("{shown}: {error}"), "name a folder that may be read with --outbox")
        }
        Some(Err(_)) | None => {
            let found = format!("{shown} cannot be looked into within {} s", LOOK_MAX.as_secs());
            Finding::fail(Check::Outbox, found, "name a folder on a disk that works with --outbox")
        }
    }
}

fn judge(folder: &Path, seen: &[Seen]) -> Finding {
    let left: Vec<_> = seen.iter().filter(|outbox| !outbox.is_ours && outbox.is_used != Some(true)).collect();
    let waiting = left.iter().filter(|outbox| outbox.trades.is_none_or(|trades| trades > 0));
    let named: Vec<_> = waiting.map(|outbox| words(outbox)).collect();
    if !named.is_empty() {
        let remedy = "start a capture into that store, with its --store and --exchange, or remove the file";
        return Finding::warn(Check::Outbox, named.join("; "), remedy);
    }
    let ours = seen.iter().find(|outbox| outbox.is_ours);
    let found = match ours {
        None => format!("{} holds none for this store and exchange yet", folder.display()),
        Some(Seen { is_used: Some(true), path, .. }) => format!("a capture is using {}", path.display()),
        Some(Seen { trades: Some(0), path, .. }) => format!("{}: nothing waits in it", path.display()),
        Some(Seen { trades, path, .. }) => {
            let trades = trades.map_or("trades".to_owned(), |trades| format!("{trades} trades"));
            format!("{}: {trades} wait for the next capture", path.display())
        }
    };
    Finding::ok(Check::Outbox, found)
}

fn words(outbox: &Seen) -> String {
    let trades = outbox.trades.map_or("perhaps trades".to_owned(), |trades| format!("{trades} trades"));
    format!("{trades} wait in {} for another store: {}", outbox.path.display(), outbox.owner)
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn only_what_waits_for_others_and_nobody_sends_is_left_over() {
        let outbox = |is_ours, is_used, trades| Seen {
            path: "box/a.db".into(),
            owner: "sqlite:/a, exchange binance".to_owned(),
            is_ours,
            is_used: Some(is_used),
            trades: Some(trades),
        };
        for (seen, state, words) in [
            (vec![], State::Ok, "holds none"),
            (vec![outbox(true, true, 9)], State::Ok, "a capture is using box/a.db"),
            (vec![outbox(true, false, 9)], State::Ok, "9 trades wait for the next capture"),
            (vec![outbox(true, false, 0)], State::Ok, "nothing waits"),
            (vec![outbox(true, false, 0), outbox(false, false, 0)], State::Ok, "nothing waits"),
            (vec![outbox(false, true, 9)], State::Ok, "holds none"),
            (
                vec![outbox(true, true, 1), outbox(false, false, 9)],
                State::Warn,
                "9 trades wait in box/a.db for another",
            ),
        ] {
            let finding = judge(Path::new("box"), &seen);
            assert!(finding.state == state && finding.found.contains(words), "{finding:?}");
        }
    }
}
