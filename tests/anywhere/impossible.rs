//! A trade whose time or id is impossible blinds nothing.

use crate::support::process::{Capture, wait_until};
use crate::support::trades::sqlite_trades;
use crate::support::{practice, runtime, server, summary, tickflux, trade};
use tickflux::trade::Trade;

fn is_stored(folder: &std::path::Path, trade: &Trade) -> bool {
    sqlite_trades(&folder.join("trades.db")).contains_key(&(trade.symbol.to_string(), trade.id.get()))
}

/// A capture of a stream alone: no history answers.
fn args(stream: &str) -> [&str; 10] {
    let (store, rest) = ("sqlite:trades.db", "http://127.0.0.1:9");
    ["--store", store, "--stream-url", stream, "--rest-url", rest, "--format", "json", "--symbols", "BTCUSDT"]
}

#[test]
fn one_impossible_trade_is_a_dead_letter_and_latest_and_gaps_stay_true() {
    let now = crate::support::now().ms();
    let years = 20 * 365 * 86_400_000_i64;
    for odd in [
        trade("BTCUSDT", 1_000_011, now + years, "9"),
        trade("BTCUSDT", (1 << 63) - 1, now + 5, "9"),
        trade("BTCUSDT", 7, now + 5, "9"),
        trade("BTCUSDT", 1_000_011, 1_000, "9"),
    ] {
        let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
        // A hole in front, the impossible one in the middle, twice as from two connections.
        let ids = [1_000_000, 1_000_001, 1_000_005, 1_000_006];
        let mut trades: Vec<_> =
            ids.map(|id| trade("BTCUSDT", id, now + i64::try_from(id - 1_000_000).unwrap(), "5")).to_vec();
        trades.insert(2, odd.clone());
        trades.insert(4, odd.clone());
        let messages = trades.iter().map(practice::message).collect();
        let stream = format!("ws://{}", runtime.block_on(server::send_once(messages)));
        let capture = Capture::start(folder.path(), &args(&stream));
        wait_until("the hole is reported", || capture.log().contains("Trades are missing"));
        wait_until("the true ones are stored", || {
            ids.iter().all(|id| is_stored(folder.path(), &trade("BTCUSDT", *id, 0, "5")))
        });
        let log = capture.log();
        assert_eq!(log.matches("kept as a dead letter until another agrees").count(), 1, "{log}");
        let output = capture.stop();
        let summary = summary(&output);
        assert_eq!(output.status.code(), Some(1), "{summary}");
        assert_eq!((&summary["dead_letters"], &summary["holes_open"]), (&1.into(), &1.into()), "{odd:?} {summary}");
        assert!(!is_stored(folder.path(), &odd), "{odd:?}");
        let letters = std::fs::read_to_string(folder.path().join("tickflux-outbox/dead-letters/messages.txt")).unwrap();
        assert!(letters.contains(&format!("\"t\":{},", odd.id)), "{letters}");
        let latest = tickflux(folder.path(), &["latest", "BTCUSDT", "--store", "sqlite:trades.db", "--format", "json"]);
        assert!(String::from_utf8_lossy(&latest.stdout).contains("\"trade_id\":1000006"), "{latest:?}");
        // After a restart the real hole is known as what it is.
        let gaps = tickflux(folder.path(), &["gaps", "BTCUSDT", "--store", "sqlite:trades.db", "--format", "json"]);
        let rows = String::from_utf8_lossy(&gaps.stdout).into_owned();
        assert_eq!(gaps.status.code(), Some(1), "{rows}");
        assert!(rows.contains(r#"{"from_id":1000002,"to_id":1000004,"state":"open"}"#), "{rows}");
    }
}

#[test]
fn a_count_that_restarts_goes_on_in_the_store_and_in_the_ledger() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let now = crate::support::now().ms();
    let at = |id: u64, ms: i64| trade("BTCUSDT", id, now + ms, "5");
    let mut trades: Vec<_> = (5_000_000..5_000_100).map(|id| at(id, 0)).collect();
    trades.extend((1..=100).map(|id| at(id, 10)));
    let messages = trades.iter().map(practice::message).collect();
    let stream = format!("ws://{}", runtime.block_on(server::send_once(messages)));
    let output = tickflux(folder.path(), &[&["capture", "--count", "200"], &args(&stream)[..]].concat());
    let summary = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{summary} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&summary["trades"], &summary["dead_letters"]), (&200.into(), &0.into()), "{summary}");
    assert_eq!(sqlite_trades(&folder.path().join("trades.db")).len(), 200);
    assert!(String::from_utf8_lossy(&output.stderr).contains("restarted its count"));
}
