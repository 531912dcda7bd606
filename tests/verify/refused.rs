//! What the exchange answers instead of the candles that were asked for, and recorded answers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::kit::*;
use crate::support::trades::sqlite_trades;
use crate::support::{seed, tickflux};

/// An exchange whose candles go through `change`: rows in, a whole answer out.
fn exchange(world: &World, change: impl Fn(Vec<Value>) -> String + Send + Sync + 'static) -> String {
    world.with_candles(move |_, answer| change(rows_of(&answer)))
}

#[test]
fn a_minute_that_the_exchange_tells_differently_is_reported_and_nothing_is_changed() {
    let world = World::new(seed(), None);
    let told = utc(minute_of(&middle(&world.compared("ETHUSDT"))[0]));
    let odd = told.clone();
    let rest = exchange(&world, move |mut all| {
        for row in &mut all {
            if utc(row[0].as_i64().unwrap()) == odd {
                raise_volume(row);
            }
        }
        rows(&all)
    });
    let before = sqlite_trades(&world.folder.path().join("trades.db"));
    let verified = world.verify_against(&rest, &["ETHUSDT"]);
    let row = verified.one("told otherwise");
    assert_eq!((&row["minute"], &row["differs"], &row["missing"]), (&told.into(), &json!(["volume"]), &0.into()));
    assert_eq!(sqlite_trades(&world.folder.path().join("trades.db")), before);
    world.verify(&["ETHUSDT"]).agreed("the exchange itself");
}

#[test]
fn an_exchange_that_tells_no_candles_is_one_line_and_exit_code_3() {
    let world = World::new(seed(), None);
    let restricted = r#"{"code":0,"msg":"Service unavailable from a restricted location"}"#;
    let refused = |status: &'static str, head: &'static str, body: &'static str| {
        exchange(&world, move |_| answer(status, head, body))
    };
    let json = "Content-Type: application/json";
    let later = |by: i64| {
        exchange(&world, move |mut all| {
            for row in &mut all {
                row[0] = json!(row[0].as_i64().unwrap() + by);
                row[6] = json!(row[6].as_i64().unwrap() + by);
            }
            rows(&all)
        })
    };
    for (rest, words) in [
        (refused("451 Unavailable", json, restricted), "it is not to be used from here"),
        (refused("429 Too Many", "Retry-After: 4000", "{}"), "asks to wait 3600 s"),
        (refused("418 Banned", "Retry-After: 300", "{}"), "asks to wait 300 s"),
        (refused("500 Oops", json, "{}"), "answered 500"),
        (
            refused("200 OK", "Content-Type: text/html", "<html>Log in</html>"),
            "what is not Binance's, see --rest-url: <html>",
        ),
        (refused("200 OK", json, "{}"), "what is not Binance's"),
        (refused("200 OK", json, "[[1,2]]"), "row 1 is no candle of a minute"),
        (refused("200 OK", json, "[]"), "the exchange told no candle of"),
        (later(MINUTE), "which was not asked for"),
        (later(1), "is no minute"),
        (
            exchange(&world, |mut all| {
                all[1][8] = json!("3");
                rows(&all)
            }),
            "row 2 is no candle of a minute",
        ),
        (
            exchange(&world, |mut all| {
                all[1][4] = json!("NaN");
                rows(&all)
            }),
            "\"NaN\" is not a plain decimal",
        ),
        (exchange(&world, |all| rows(&[&all[..], &all].concat())), "candles, and"),
        (
            exchange(&world, |mut all| {
                all.swap(0, 1);
                rows(&all)
            }),
            "does not come after the row before it",
        ),
        ("http://127.0.0.1:9".to_owned(), "does not answer"),
    ] {
        let verified = world.verify_against(&rest, &["BTCUSDT"]);
        assert_eq!(verified.code, 3, "{words}: {verified:?}");
        let lines: Vec<_> = verified.stderr.lines().collect();
        assert!(lines.len() == 1 && lines[0].contains(words), "{words}: {verified:?}");
    }
}

#[test]
fn a_wait_is_granted_and_short_answers_are_asked_on() {
    let world = World::new(seed(), None);
    let expected = world.verify(&["BTCUSDT"]).agreed("at once");
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let busy = exchange(&world, move |all| {
        if count.fetch_add(1, Ordering::SeqCst) < 2 {
            answer("429 Too Many", "Retry-After: 1", "{}")
        } else {
            // A row an answer.
            rows(&all[..all.len().min(1)])
        }
    });
    let verified = world.verify_against(&busy, &["BTCUSDT"]);
    assert_eq!(verified.agreed("after two waits"), expected);
    assert!(verified.stderr.contains("asks to wait 1 s"), "{verified:?}");
    assert!(asked.load(Ordering::SeqCst) > 5, "{asked:?}");
    let never = exchange(&world, |_| answer("429 Too Many", "Retry-After: 0", "{}"));
    assert_eq!(world.verify_against(&never, &["BTCUSDT"]).code, 3);
}

#[test]
fn candles_that_lag_leave_their_minutes_unverified() {
    let world = World::new(seed(), None);
    let last = Arc::new(Mutex::new(None));
    let lagging = exchange(&world, move |mut all| {
        // The newest one that was ever asked for does not come.
        let mut last = last.lock().unwrap();
        let newest = last.get_or_insert_with(|| all[all.len() - 1][0].clone()).clone();
        all.retain(|row| row[0] != newest);
        rows(&all)
    });
    let verified = world.verify_against(&lagging, &["BTCUSDT"]);
    assert_eq!((verified.code, &verified.summary["untold"]), (3, &1.into()), "{verified:?}");
    assert!(verified.stderr.contains("the exchange told no candle of 1 minute"), "{verified:?}");
}

#[test]
fn recorded_answers_are_read_or_refused_with_the_reason() {
    let world = World::new(seed(), None);
    let all = klines(&world.compared("BTCUSDT"));
    let write = |text: &str| {
        std::fs::write(world.folder.path().join("klines.json"), text).unwrap();
        world.verify_with(&["BTCUSDT", "--kline-file", "klines.json"])
    };
    let text = |rows: &[Value]| serde_json::to_string(rows).unwrap();
    let whole = write(&text(&all)).agreed("one answer");
    let (first, second) = all.split_at(all.len() / 2);
    assert_eq!(write(&format!("{}\n{}", text(second), text(first))).agreed("two answers"), whole);
    // What was not recorded is not compared.
    assert_eq!(write(&text(&all[1..3])).agreed("two minutes"), 2);
    let mut odd = all.clone();
    // Another open, between low and high.
    odd[2][1] = if odd[2][1] == odd[2][2] { odd[2][3].clone() } else { odd[2][2].clone() };
    assert_ne!(odd, all, "the minute has more than one price");
    assert_eq!(write(&text(&odd)).one("another open")["differs"], json!(["open"]));
    for (content, words) in [
        ("", "it has no candle"),
        ("[]", "it has no candle"),
        ("<html>", "it is not as /api/v3/klines answers"),
        ("[[1]]", "row 1 is no candle of a minute"),
        (&format!("{}{}", text(&all), text(&odd)), "twice, and not the same"),
    ] {
        let verified = write(content);
        assert!(verified.code == 2 && verified.stderr.contains(words), "{words}: {verified:?}");
    }
    let absent = world.verify_with(&["BTCUSDT", "--kline-file", "absent.json"]);
    assert!(absent.code == 2 && absent.stderr.contains("cannot use --kline-file absent.json"), "{absent:?}");
    for symbols in [&[][..], &["BTCUSDT", "ETHUSDT"]] {
        let verified = world.verify_with(&[symbols, &["--kline-file", "klines.json"]].concat());
        assert!(verified.code == 2 && verified.stderr.contains("name one beside --kline-file"), "{verified:?}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let world = World::new(seed(), None);
    let rest = world.rest();
    let run = |args: &[&str]| {
        let output = tickflux(world.folder.path(), &[&["verify", "--rest-url", &rest], args].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["--store", "sqlite:absent.db"]);
    assert!(code == Some(3) && said.contains("absent.db"), "{said}");
    let (code, said) = run(&["--store", &world.store]);
    assert!(code == Some(1) && said.contains("exchange binance") && said.contains("--exchange"), "{said}");
    let (code, said) = run(&["--store", &world.store, "--exchange", "practice", "NONE"]);
    assert!(code == Some(1) && said.contains("no trade of NONE"), "{said}");
    let (code, said) = run(&["--store", &world.store, "--exchange", "practice", "--since", "30s"]);
    assert!(code == Some(1) && said.contains("no whole minute"), "{said}");
    let (code, said) = run(&["--store", &world.store, "--exchange", "practice", "--since", "5"]);
    assert!(code == Some(2) && said.contains("--since"), "{said}");
}
