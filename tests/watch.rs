//! `tickflux watch` on a real terminal, through all that a store can go through.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::influxd::{TOKEN, free_port};
use support::process::{Capture, wait_until};
use support::scene::Scene;
use support::tmux::Terminal;
use support::trades::sqlite_trades;
use support::{exchange, now, practice, runtime, tickflux};
use tickflux::store::sqlite::Sqlite;

const TICKFLUX: &str = env!("CARGO_BIN_EXE_tickflux");
const NOTHING_ELSE: &str = "alternate 0 cursor 1";

/// The row of a symbol in words, if it is there.
fn row(screen: &[String], symbol: &str) -> Option<Vec<String>> {
    let row = screen.iter().find(|line| line.starts_with(symbol))?;
    Some(row.split_whitespace().filter(|word| !["▲", "▼"].contains(word)).map(str::to_owned).collect())
}

/// Whether a live price of both symbols is there.
fn is_live(screen: &[String]) -> bool {
    screen[1].starts_with("live") && ["BTCUSDT", "ETHUSDT"].iter().all(|symbol| row(screen, symbol).is_some())
}

/// Every price that the store has of a symbol, as it is shown: zeros at the end mean nothing past the second digit.
fn prices(path: &Path, symbol: &str) -> BTreeSet<String> {
    let short = |price: &str| {
        let cut = price.trim_end_matches('0');
        let digits = cut.split_once('.').unwrap().1.len();
        format!("{cut}{}", "0".repeat(2_usize.saturating_sub(digits)))
    };
    sqlite_trades(path).iter().filter(|((of, _), _)| of == symbol).map(|(_, (_, price, ..))| short(price)).collect()
}

#[test]
fn a_store_is_watched_empty_live_stalled_gone_and_back_at_every_width() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let path = folder.path().join("trades.db");
    drop(Sqlite::create(&path, exchange("binance"), now).unwrap());
    let listen = format!("127.0.0.1:{}", free_port());
    let command = format!("{TICKFLUX} watch --store sqlite:trades.db --capture {listen}");
    let start = |width| Some((width, Terminal::start(folder.path(), width, 24, &[])?));
    let Some(terminals) = [60, 80, 200].into_iter().map(start).collect::<Option<Vec<_>>>() else { return };
    let settings: Vec<_> = terminals.iter().map(|(_, terminal)| terminal.ask("stty -g")).collect();
    let mut before = Vec::new();
    for (_, terminal) in &terminals {
        terminal.run("clear; echo this was here before");
        terminal.wait_for("it is said", |screen| screen[0] == "this was here before");
        terminal.tmux(&["send-keys", "-l", &command]);
        let end = command.split_whitespace().last().unwrap();
        before.push(terminal.wait_for("it is typed", |screen| screen.join("").contains(end)));
        terminal.enter();
    }

    for (width, terminal) in &terminals {
        let screen = terminal.wait_for("it is empty", |screen| screen[1].starts_with("empty: no trade within 24 h"));
        assert!(screen[0].starts_with("tickflux watch  sqlite:trades.db"), "{width}: {screen:#?}");
        let gone = format!("the capture at {listen} is gone");
        let screen = terminal.wait_for("no capture runs yet", |screen| screen.contains(&gone));
        assert!(screen.iter().any(|line| line.starts_with("  no answer since ")), "{width}: {screen:#?}");
        assert_eq!(terminal.flags(), "alternate 1 cursor 0");
    }

    let exchange = runtime.block_on(practice::start(practice::live_market(71, 500.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let args =
        ["--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest, "--metrics-listen", &listen];
    let capture = Capture::start(folder.path(), &args);
    for (width, terminal) in &terminals {
        let well = format!("the capture at {listen} is well");
        let screen = terminal.wait_for("it is live", |screen| is_live(screen) && screen.contains(&well));
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let shown = row(&screen, symbol).unwrap();
            assert!(prices(&path, symbol).contains(&shown[1]), "{width}: {shown:?}");
        }
        let head = screen.iter().find(|line| line.starts_with("symbol")).unwrap();
        assert!(["price", "trades/s", "age", "missing", "last"].iter().all(|name| head.contains(name)), "{head}");
        assert_eq!(head.contains("high-low"), *width > 60, "{head}");
        let told = |line: &String| line.starts_with("outbox ") && line.contains("latency p50 ") && line.contains(" ms");
        terminal.wait_for("the latency is told", |screen| screen.iter().any(told));
        terminal.wait_for("what is missing is told", |screen| {
            // The fifth column of 60, the seventh of more.
            row(screen, "BTCUSDT").is_some_and(|row| row[if *width > 60 { 6 } else { 4 }] == "0")
        });
    }

    // What is written again and again is what changed, never the whole screen.
    let (_, terminal) = &terminals[1];
    terminal.tee("written");
    let written = || std::fs::read(folder.path().join("written")).unwrap_or_default();
    wait_until("it is drawn again", || written().len() > 2_000);
    assert!(!String::from_utf8_lossy(&written()).contains("\u{1b}[2J"));

    let columns = |terminal: &Terminal, has_spread: bool| {
        terminal.wait_for("it fits", |screen| {
            screen.iter().any(|line| line.starts_with("symbol") && line.contains("high-low") == has_spread)
                && screen.last().unwrap().starts_with("q ends")
                // Nothing of the size before is left.
                && ["tickflux watch", "symbol ", "BTCUSDT ", "q ends"]
                    .iter()
                    .all(|begin| screen.iter().filter(|line| line.starts_with(begin)).count() == 1)
        })
    };
    for (width, height, has_spread) in [(60, 10, false), (200, 40, true), (20, 5, false), (80, 24, true)] {
        terminal.resize(width, height);
        if width >= 60 {
            assert_eq!(columns(terminal, has_spread).len(), usize::from(height));
        }
    }

    assert_eq!(capture.stop().status.code(), Some(0));
    for (_, terminal) in &terminals {
        let screen = terminal.wait_for("it stalls", |screen| screen[1].starts_with("stalled: no new trade for "));
        let age = row(&screen, "BTCUSDT").unwrap();
        let later = terminal.wait_for("its age grows", |screen| row(screen, "BTCUSDT").is_some_and(|row| row != age));
        assert!(later[1].starts_with("stalled: "), "{later:#?}");
    }

    // Before, for what is in a log beside it does not go with it.
    let stored = prices(&path, "ETHUSDT");
    std::fs::rename(&path, folder.path().join("elsewhere.db")).unwrap();
    for (width, terminal) in &terminals {
        let screen = terminal.wait_for("the store is gone", |screen| {
            screen[1].starts_with("the store is gone: no answer since ")
                && screen[1..4].join(" ").contains("still asking")
        });
        let shown = row(&screen, "ETHUSDT").unwrap();
        assert!(stored.contains(&shown[1]), "{width}: {shown:?}");
    }
    std::fs::rename(folder.path().join("elsewhere.db"), &path).unwrap();
    for (_, terminal) in &terminals {
        terminal.wait_for("the store is back", |screen| screen[1].starts_with("stalled: "));
    }

    for (((_, terminal), before), key) in terminals.iter().zip(&before).zip(["q", "Escape", "C-c"]) {
        terminal.press(key);
        let after = terminal.wait_for_prompt();
        assert_eq!(after[..after.len() - 1], before[..after.len() - 1], "after {key}");
        assert_eq!(terminal.flags(), NOTHING_ELSE);
    }
    for ((_, terminal), settings) in terminals.iter().zip(settings) {
        assert_eq!(terminal.ask("stty -g"), settings);
    }
}

#[test]
fn signals_give_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap());
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let Some(terminal) = Terminal::start(folder.path(), 80, 24, &[]) else { return };
        let settings = terminal.ask("stty -g");
        terminal.run(&format!("sh -c 'echo $$ > pid; exec {TICKFLUX} watch --store sqlite:trades.db'; echo code $?"));
        terminal.wait_for("it is shown", |screen| screen[1].starts_with("empty"));
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        let after = terminal.wait_for_prompt();
        assert_eq!(after[after.len() - 2], "code 0", "{signal}: {after:#?}");
        assert_eq!(terminal.flags(), NOTHING_ELSE, "{signal}");
        assert_eq!(terminal.ask("stty -g"), settings, "{signal}");
    }
}

#[test]
fn an_influxdb_is_watched_while_it_goes_and_comes_back() {
    let Some(mut scene) = Scene::new(72, 200.0) else { return };
    let url = scene.influxd.url.clone();
    let Some(terminal) = Terminal::start(scene.folder.path(), 80, 24, &[("INFLUX_TOKEN", TOKEN)]) else { return };
    terminal.run(&format!("{TICKFLUX} watch --store {url}"));
    terminal.wait_for("it is empty", |screen| screen[1].starts_with("empty"));
    let capture = scene.capture(&url, &[]);
    terminal.wait_for("it is live", is_live);
    terminal.wait_for("trades are counted", |screen| {
        row(screen, "BTCUSDT").is_some_and(|row| row[3].parse::<f64>().is_ok_and(|rate| rate > 1.0))
    });
    scene.influxd.kill();
    let gone = terminal.wait_for("it is gone", |screen| screen[1].starts_with("the store is gone: no answer since "));
    assert!(gone[1..4].join(" ").contains(&url) && row(&gone, "BTCUSDT").is_some(), "{gone:#?}");
    scene.influxd.start_again();
    terminal.wait_for("it is live again", is_live);
    assert_eq!(capture.stop().status.code(), Some(0));
    terminal.press("q");
    terminal.wait_for_prompt();
}

#[test]
fn a_capture_is_watched_alone_where_there_is_no_store() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::live_market(73, 500.0)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["--store", "sqlite:else.db", "--stream-url", &stream, "--rest-url", &rest, "--metrics-listen", &listen];
    let capture = Capture::start(folder.path(), &args);
    let Some(terminal) = Terminal::start(folder.path(), 60, 12, &[]) else { return };
    terminal.run(&format!("{TICKFLUX} watch --capture {listen}"));
    let ids = |line: &String| line.starts_with("ETHUSDT  ") && line.contains(" trades/s  newest id ");
    terminal.wait_for("it is well", |screen| screen[2].ends_with("is well") && screen.iter().any(ids));
    assert_eq!(capture.stop().status.code(), Some(0));
    terminal.wait_for("it is gone", |screen| screen[2].ends_with("is gone") && screen.iter().any(ids));
    terminal.press("q");
    terminal.wait_for_prompt();
}

#[test]
fn colors_are_left_out_where_nobody_wants_them() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sqlite::create(&folder.path().join("tickflux.db"), exchange("binance"), now).unwrap());
    for (env, is_colored) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let Some(terminal) = Terminal::start(folder.path(), 80, 24, env) else { return };
        terminal.run(&format!("{TICKFLUX} watch"));
        terminal.wait_for("it is shown", |screen| screen[1].starts_with("empty"));
        let colors = terminal.colors();
        // SGR 30 to 38 set a color; 39 takes it away, 1 and 2 are bold and dim.
        let has =
            (0..9).any(|color| ["\u{1b}[3", ";3"].iter().any(|begin| colors.contains(&format!("{begin}{color}"))));
        assert_eq!(has, is_colored, "{colors:?}");
        terminal.press("q");
        terminal.wait_for_prompt();
    }
}

#[test]
fn without_a_terminal_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = tickflux(folder.path(), &["watch"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "tickflux: watch draws on a terminal, and standard output is none: for programs there are tickflux latest --format json, \
         and tickflux health\n"
    );
}
