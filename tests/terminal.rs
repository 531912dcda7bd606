//! What a person sees on a terminal beside `watch`: the status line, bars, tables as wide as there is room.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::path::Path;

use support::practice::{live_market, message, recording};
use support::process::{Capture, wait_until};
use support::tmux::Terminal;
use support::trades::wait_for_a_trade;
use support::{exchange, now, practice, runtime, tickflux, tickflux_in, trade};
use tickflux::practice::faults::Faults;
use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Store};

const TICKFLUX: &str = env!("CARGO_BIN_EXE_tickflux");

/// The store of a test, with a trade of each symbol.
fn store(folder: &Path) {
    let store = Sqlite::create(&folder.join("tickflux.db"), exchange("binance"), now).unwrap();
    let ms = now().ms() - 60_000;
    let trades = [trade("BTCUSDT", 95_648_499_067, ms, "85950.41000000"), trade("ETHUSDT", 7, ms, "2936.13000000")];
    runtime()
        .block_on(async { tokio::spawn(async move { store.write(&trades, Attempt::default()).await }).await.unwrap() })
        .unwrap();
}

/// The last line of the screen with something in it.
fn last(screen: &[String]) -> &str {
    screen.iter().rfind(|line| !line.is_empty()).map_or("", String::as_str)
}

#[test]
fn the_status_line_has_the_prices_that_fit_and_leaves_no_mark() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(live_market(81, 500.0)));
    let url = format!("--stream-url ws://{0} --rest-url http://{0}", exchange.address());
    for (width, has_prices, end) in [(60, 1, " waiting"), (80, 2, " waiting"), (200, 2, " stored")] {
        let Some(terminal) = Terminal::start(folder.path(), width, 24, &[]) else { return };
        let capture = format!("{TICKFLUX} capture {url} --store sqlite:{width}.db --outbox {width} --no-repair");
        terminal.run(&format!("clear; {capture}; echo code $?"));
        let is_drawn = |screen: &[String]| {
            let line = last(screen);
            let prices = ["BTCUSDT ", "ETHUSDT "].iter().filter(|symbol| line.contains(*symbol)).count();
            prices == has_prices && line.contains("/s, age ") && line.contains(" 0 open holes, ") && line.ends_with(end)
        };
        let screen = terminal.wait_for("the status is drawn", is_drawn);
        assert!(width < 200 || last(&screen).contains(", 1 connection, "), "{screen:#?}");
        assert_eq!(screen.iter().filter(|line| line.contains("/s, age ")).count(), 1, "{screen:#?}");
        terminal.press("C-c");
        let after = terminal.wait_for_prompt();
        assert_eq!(after[after.len() - 2], "code 0", "{after:#?}");
        assert!(!after.iter().any(|line| line.contains("/s, age ") || line.contains("^C")), "{after:#?}");
        assert!(after.iter().any(|line| line.contains(" trades in ")), "the summary: {after:#?}");
    }
}

/// A terminal breaks what was drawn into more lines when it is made narrower.
#[test]
fn a_terminal_that_is_made_narrower_keeps_no_pieces_of_the_status_line() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    // The history takes its time, so that there is a bar below the line.
    let faults = Faults { rest_delay: std::time::Duration::from_secs(1), ..Faults::default() };
    let exchange = runtime.block_on(practice::start_with_past(live_market(84, 200.0), faults, 60_000));
    let url = format!("--stream-url ws://{0} --rest-url http://{0}", exchange.address());
    let Some(terminal) = Terminal::start(folder.path(), 200, 24, &[("RUST_LOG", "off")]) else { return };
    // The drawing is at the end of a full screen, as it is mostly.
    terminal.run(&format!("seq 40; {TICKFLUX} capture {url} --exchange practice --backfill 2m"));
    let pieces = ["█", "░", "/s, ", " hole", " connection", " stored", " left"];
    let has_piece = |line: &String| pieces.iter().any(|piece| line.contains(piece));
    let is_whole = |screen: &[String], width: u16| {
        let Some(at) = screen.iter().position(|line| line.contains("/s, age ")) else { return false };
        let Some(bar) = screen.get(at + 1).filter(|bar| bar.ends_with(" left")) else { return false };
        bar.chars().count() == usize::from(width)
            && !screen[..at].iter().any(has_piece)
            && screen[at + 2..].iter().all(String::is_empty)
    };
    terminal.wait_for("line and bar are drawn", |screen| is_whole(screen, 200));
    for width in [100, 60, 130, 60] {
        terminal.resize(width, 24);
        terminal.wait_for("there are line and bar and no pieces", |screen| is_whole(screen, width));
    }
    terminal.press("C-c");
    terminal.wait_for_prompt();
    let all = terminal.tmux(&["capture-pane", "-p", "-S", "-"]);
    let drawn: Vec<_> = all.lines().filter(|line| line.contains('█') || line.contains("/s, ")).collect();
    assert!(drawn.is_empty() && all.contains(" trades in "), "{drawn:#?} {all}");
}

#[test]
fn a_capture_that_is_interrupted_twice_leaves_no_mark() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(live_market(82, 500.0)));
    // A store that never answers keeps the capture from its end.
    let url = format!("--stream-url ws://{0} --rest-url http://{0} --store http://127.0.0.1:9", exchange.address());
    let Some(terminal) = Terminal::start(folder.path(), 100, 24, &[("INFLUX_TOKEN", "x")]) else { return };
    terminal.run(&format!("clear; {TICKFLUX} capture {url} 2>&1; echo code $?"));
    terminal.wait_for("the status is drawn", |screen| last(screen).contains("/s, age "));
    terminal.press("C-c");
    wait_until("the exchange sees it leave", || exchange.subscribers() == 0);
    terminal.press("C-c");
    let after = terminal.wait_for_prompt();
    assert_eq!(after[after.len() - 2], "code 130", "{after:#?}");
    assert!(!after.iter().any(|line| line.contains("/s, age ")), "{after:#?}");
}

#[test]
fn bars_say_how_far_a_backfill_a_repair_and_a_replay_are() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    // Every answer of the history takes its time, so that a bar is seen.
    let faults = Faults { rest_delay: std::time::Duration::from_millis(300), ..Faults::default() };
    let exchange = runtime.block_on(practice::start_with_past(live_market(83, 200.0), faults, 60_000));
    let url = format!("--stream-url ws://{0} --rest-url http://{0}", exchange.address());
    let Some(terminal) = Terminal::start(folder.path(), 100, 24, &[]) else { return };
    let is_bar = |screen: &[String], what: &str| {
        let line = last(screen);
        line.contains(what) && line.contains("/s, ") && line.ends_with(" left") && line.contains('█')
    };
    terminal
        .run(&format!("clear; {TICKFLUX} capture {url} --exchange practice --backfill 2m --duration 8s; echo code $?"));
    let screen = terminal.wait_for("the backfill is drawn", |screen| is_bar(screen, " missing trades, "));
    assert!(screen.iter().any(|line| line.contains(" open hole")), "{screen:#?}");
    let after = terminal.wait_for_prompt();
    assert!(!after.iter().any(|line| line.contains(" left")), "{after:#?}");

    rusqlite::Connection::open(folder.path().join("tickflux.db"))
        .unwrap()
        .execute("DELETE FROM trade WHERE trade_id % 50 <> 0 AND time < (SELECT max(time) FROM trade) - 20000", [])
        .unwrap();
    let rest = format!("--exchange practice --rest-url http://{}", exchange.address());
    terminal.run(&format!("clear; {TICKFLUX} gaps {rest} --repair; echo code $?"));
    terminal.wait_for("the repair is drawn", |screen| is_bar(screen, " missing trades, "));
    let after = terminal.wait_for_prompt();
    assert!(after.iter().any(|line| line.contains("missing trades came from")), "{after:#?}");
    assert!(!after.iter().any(|line| line.ends_with(" left")), "{after:#?}");

    let trades: Vec<_> = (0..500).map(|at| trade("BTCUSDT", 1_000 + at, now().ms(), "1.50")).collect();
    let messages: Vec<_> = trades.iter().map(message).collect();
    let file = recording(messages.iter().map(String::as_str));
    let listen = format!("127.0.0.1:{}", support::influxd::free_port());
    terminal
        .run(&format!("clear; {TICKFLUX} exchange --listen {listen} --replay {} --speed 0.1", file.path().display()));
    terminal.wait_for("it listens", |screen| screen.iter().any(|line| line.contains("listening on")));
    let (stream, rest) = (format!("ws://{listen}"), format!("http://{listen}"));
    let args = ["--symbols", "BTCUSDT", "--store", "sqlite:replayed.db", "--outbox", "other"];
    let capture = Capture::start(folder.path(), &[&args[..], &["--stream-url", &stream, "--rest-url", &rest]].concat());
    terminal.wait_for("the replay is drawn", |screen| is_bar(screen, "/500 trades replayed, "));
    wait_for_a_trade(&folder.path().join("replayed.db"));
    drop(capture);
    terminal.press("C-c");
    let after = terminal.wait_for_prompt();
    assert!(!after.iter().any(|line| line.contains("replayed")), "{after:#?}");
}

#[test]
fn a_table_is_as_wide_as_its_terminal_and_a_pipe_has_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let whole =
        "| exchange | symbol  |    trade_id | time                     |          price | quantity | buyer_is_maker |";
    let at_80 = "| symbol  |    trade_id | time                     |          price |";
    let at_60 = "| symbol  |    trade_id |          price |   age |";
    for (width, heading) in [(60, at_60), (80, at_80), (200, whole)] {
        let Some(terminal) = Terminal::start(folder.path(), width, 24, &[]) else { return };
        terminal.run(&format!("clear; {TICKFLUX} latest; {TICKFLUX} latest | cat"));
        let screen = terminal.wait_for_prompt();
        assert!(screen[0].starts_with(heading) && screen[0].ends_with('|'), "{width}: {screen:#?}");
        assert!(screen[3].starts_with("| ETHUSDT ") || width == 200, "no line is wrapped: {screen:#?}");
        assert!(screen[4..].join("").contains("buyer_is_maker"), "the pipe has all: {screen:#?}");
    }
    let Some(terminal) = Terminal::start(folder.path(), 80, 24, &[]) else { return };
    if std::process::Command::new("watch").arg("--version").output().is_ok() {
        terminal.run(&format!("watch -n1 {TICKFLUX} latest"));
        let screen = terminal.wait_for("watch shows it", |screen| screen.iter().any(|line| line.starts_with(at_80)));
        assert!(screen.iter().any(|line| line.starts_with("| ETHUSDT ")), "{screen:#?}");
        terminal.press("C-c");
        terminal.wait_for_prompt();
    }
    let piped = tickflux(folder.path(), &["latest"]);
    assert!(String::from_utf8_lossy(&piped.stdout).starts_with(whole));
    let narrow = tickflux_in(folder.path(), &[("COLUMNS", "80")], &["latest"]);
    assert!(String::from_utf8_lossy(&narrow.stdout).starts_with(at_80));
}

#[test]
fn local_times_are_for_tables_alone() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let zone = [("TZ", "XYZ-05:30")];
    let asked = |args: &[&str]| String::from_utf8(tickflux_in(folder.path(), &zone, args).stdout).unwrap();
    let minute = now().earlier_by(60_000).to_string();
    for args in [&["latest"][..], &["at", "BTCUSDT", &minute], &["high-low", "BTCUSDT", "-1m"], &["candles", "BTCUSDT"]]
    {
        let local = asked(&[args, &["--local"]].concat());
        assert!(local.contains("+05:30") && !local.contains("Z |"), "{local}");
        assert!(!asked(args).contains("+05:30"), "{args:?}");
        for format in ["json", "csv"] {
            let with = asked(&[args, &["--local", "--format", format]].concat());
            assert_eq!(with, asked(&[args, &["--format", format]].concat()));
        }
    }
    let local = support::column(&asked(&["latest", "BTCUSDT", "--format", "csv"]), "time");
    let utc = chrono::DateTime::parse_from_rfc3339(&local[0]).unwrap();
    let table = asked(&["latest", "BTCUSDT", "--local"]);
    let shown = table.split('|').map(str::trim).find(|cell| cell.ends_with("+05:30")).unwrap();
    assert_eq!(chrono::DateTime::parse_from_rfc3339(shown).unwrap(), utc, "the same moment");
}
