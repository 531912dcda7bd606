//! What stands beside an answer, on standard error, a line each: points that were passed over, and clocks that disagree.

use std::io::Write;

use super::Failure;
use super::settings::searched;
use crate::store::{AnyStore, Scope, StoreError};
use crate::trade::TradeTime;

/// An exchange's clock may be ahead of this host's by so much.
const AHEAD_MS: i64 = 5_000;
/// A market may be quiet for so long.
const QUIET_MS: i64 = 300_000;

/// Says what a question about the time from `since` up to `until` has passed over.
pub(super) async fn say_passed_over(store: &AnyStore, scope: &Scope, since: TradeTime, until: Option<TradeTime>) {
    if let Some(line) = store.passed_over(scope, since, until).await {
        warn(&line);
    }
}

/// Says what of the time from `since` up to `until` the store cannot know: of an archive the hours that are not sealed.
pub(super) async fn say_unsealed(
    store: &AnyStore,
    scope: &Scope,
    since: TradeTime,
    until: Option<TradeTime>,
) -> Result<(), StoreError> {
    if let Some(line) = store.unsealed(scope, since, until).await? {
        warn(&line);
    }
    Ok(())
}

/// Refuses a time of which the store cannot know.
pub(super) async fn refuse_unsealed(store: &AnyStore, scope: &Scope, time: TradeTime) -> Result<(), Failure> {
    match store.unsealed(scope, time, Some(time.later_by(1))).await? {
        Some(line) => {
            let why = format!("{time} is not sealed in {}: {line}", searched(store, scope));
            Err(Failure::No(format!("{why}: ask for another time, or seal more with tickflux archive --to")))
        }
        None => Ok(()),
    }
}

/// Says if the newest trade makes this host's clock doubtful, on which a relative time depends.
pub(super) fn say_if_clocks_disagree(newest: Option<TradeTime>, now: TradeTime) {
    if let Some(line) = newest.and_then(|newest| disagreement(newest, now)) {
        warn(&line);
    }
}

/// An answer, and the time of the newest trade in scope if the question was about a relative time.
pub(super) async fn with_newest<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
    is_relative: bool,
    store: &AnyStore,
    scope: &Scope,
) -> Result<(T, Option<TradeTime>), StoreError> {
    if !is_relative {
        return Ok((answer.await?, None));
    }
    let (answer, latest) = tokio::join!(answer, store.latest(scope));
    Ok((answer?, latest?.iter().map(|stored| stored.trade.time).max()))
}

fn disagreement(newest: TradeTime, now: TradeTime) -> Option<String> {
    let clocks = || format!("this host says {now}, the newest trade is from {newest}");
    if newest.ms() > now.ms() + AHEAD_MS {
        Some(format!("{}: the host's clock is behind", clocks()))
    } else if newest.ms() < now.ms() - QUIET_MS {
        Some(format!("{}: either no capture runs, or this host's clock is ahead", clocks()))
    } else {
        None
    }
}

/// Whoever does not read it does not end the program.
fn warn(line: &str) {
    let _ = writeln!(std::io::stderr(), "tickflux: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_disagree_past_five_seconds_ahead_and_five_minutes_behind() {
        let now = TradeTime::from_ms(1_767_268_800_000).unwrap();
        let said = |ms: i64| disagreement(TradeTime::from_ms(now.ms() + ms).unwrap(), now);
        assert_eq!((said(5_000), said(0), said(-300_000)), (None, None, None));
        let both = ["2026-01-01T12:00:00.000Z", "the host's clock is behind", "2026-01-01T12:00:05.001Z"];
        assert!(both.iter().all(|words| said(5_001).unwrap().contains(words)), "{:?}", said(5_001));
        assert!(said(-300_001).unwrap().contains("no capture runs, or this host's clock is ahead"));
    }
}
