//! Of a day that is over a store keeps only the last 24 hours: by a clock that says the morning after.

use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Store};
use tickflux::trade::Trade;

use crate::kit::*;
use crate::support::{exchange, runtime};

/// What verify says of the file of a day that begins then, tomorrow morning or so many hours later.
fn verify_then(begin: i64, stored: &[Trade], told: &[Trade], hours_later: i64) -> Verified {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), morning).unwrap();
    runtime().block_on(store.write(stored, Attempt::default())).unwrap();
    let name = dump(folder.path(), &date(begin), &told.iter().map(line).collect::<Vec<_>>());
    let args = ["verify", "--dump", &name, "--store", "sqlite:trades.db", "--format", "json"];
    Verified::new(&tickflux_then(folder.path(), hours_later, &args))
}

/// The begin of the day before that morning.
fn yesterday() -> i64 {
    *MORNING - DAY_MS - 8 * HOUR_MS
}

/// A day that is over, a trade every 24 s.
fn a_day() -> Vec<Trade> {
    trades(3_600, yesterday(), yesterday() + DAY_MS)
}

#[test]
fn what_a_store_keeps_no_more_is_told_and_not_called_missing() {
    let all = a_day();
    let verified = verify_then(yesterday(), &all, &all, 0);
    assert_eq!((verified.code, verified.rows.len()), (Some(0), 0), "{verified:?}");
    // A minute more than 24 h is left out, and the clock goes on while it is asked.
    let (kept, before) = (verified.count("compared"), verified.count("not_kept"));
    assert!((2_380..=2_400).contains(&kept) && kept + before == 3_600, "{verified:?}");
    let since = verified.summary["since"].as_str().unwrap();
    assert!(since.ends_with("Z") && since.contains("T08:0"), "{since}");
    // Nothing of the day is kept.
    let verified = verify_then(yesterday(), &[], &all, 17);
    assert_eq!((verified.code, verified.rows.len()), (Some(1), 0), "{verified:?}");
    assert!(verified.stderr.contains("keeps only what was traded since "), "{verified:?}");
    assert!(verified.stderr.contains(": compare an archive") && verified.stderr.lines().count() == 1, "{verified:?}");
}

#[test]
fn of_a_day_that_is_over_the_file_should_have_every_trade() {
    let all = a_day();
    // The file ends early, and the capture began late.
    let (stored, told) = (&all[1_800..], &all[..3_000]);
    let verified = verify_then(yesterday(), stored, told, 0);
    let found = verified.found();
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(found.len() == 2 && found[0].starts_with("missing ") && found[0].contains("-6596000799 "), "{found:?}");
    assert_eq!(found[1], "extra 6596002000-6596002599 600 line null");
    assert_eq!((verified.count("agree"), verified.count("extra")), (1_200, 600));
}

#[test]
fn of_a_day_that_goes_on_only_what_the_file_spans_is_compared() {
    let begin = *MORNING - 8 * HOUR_MS;
    let all = trades(900, begin, begin + 8 * HOUR_MS - 60_000);
    let verified = verify_then(begin, &all, &all[100..700], 0);
    assert_eq!((verified.code, verified.count("agree"), verified.count("extra")), (Some(0), 600, 0), "{verified:?}");
}
