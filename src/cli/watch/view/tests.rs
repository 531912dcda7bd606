use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::*;
use crate::cli::watch::metrics::Metrics;
use crate::cli::watch::model::Said;
use crate::cli::watch::model::tests::{NOW_MS, at, model, stored};
use crate::store::Candle;
use crate::text::Excerpt;

const WIDTHS: [u16; 3] = [60, 80, 200];

fn buffer(model: &Model, width: u16, height: u16, seconds: i64, is_colored: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, at(seconds), Palette::new(is_colored))).unwrap();
    terminal.backend().buffer().clone()
}

/// The lines of a screen of 16 lines, without the blanks at their ends.
fn screen(model: &Model, width: u16, seconds: i64) -> Vec<String> {
    lines(&buffer(model, width, 16, seconds, true))
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let line = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..buffer.area.height).map(line).collect()
}

/// Two symbols with a price every ten seconds for five minutes, the first one rising and the second one falling.
fn live() -> Model {
    let mut model = model(&[]);
    model.hear(Said::Latest(vec![stored("BTCUSDT", -1, "85950.41000000"), stored("ETHUSDT", 0, "2936.13")]), at(0));
    let steps = (0..30).rev().flat_map(|ago| {
        let step = |symbol: &str, price: f64| {
            let time = TradeTime::from_ms(NOW_MS - NOW_MS % 10_000 - ago * 10_000).unwrap();
            let mut candle = Candle::of_one("binance".parse().unwrap(), symbol.parse().unwrap(), time, price, 1.0);
            candle.trades = 250;
            candle
        };
        [step("BTCUSDT", 85_950.41 - ago as f64), step("ETHUSDT", 2_936.13 + ago as f64)]
    });
    model.hear(Said::Steps(steps.collect()), at(0));
    let missing = |symbol: &str, ids| ("binance".parse().unwrap(), symbol.parse().unwrap(), ids);
    model.hear(Said::Missing(vec![missing("BTCUSDT", 0), missing("ETHUSDT", 12)]), at(0));
    model
}

fn with_capture(mut model: Model, reasons: &[&str]) -> Model {
    model.capture = Some(CaptureSide { name: "127.0.0.1:9184".to_owned(), ..CaptureSide::default() });
    let metrics = "tickflux_trades_stored_total 100\ntickflux_trades_waiting 12\ntickflux_outbox_bytes 3400\n\
                   tickflux_holes_open 1\ntickflux_connections_open 1\ntickflux_trade_id_newest{symbol=\"BTCUSDT\"} 77\n\
                   tickflux_latency_seconds_bucket{le=\"0.001\"} 50\ntickflux_latency_seconds_bucket{le=\"0.002\"} 100\n\
                   tickflux_latency_seconds_bucket{le=\"+Inf\"} 100\n";
    let reasons = reasons.iter().map(|why| Excerpt::of(why)).collect();
    model.hear(Said::Capture(Box::new(Metrics::parse(metrics).unwrap()), reasons), at(0));
    model
}

#[test]
fn an_empty_store_says_what_to_do_at_any_width() {
    let mut model = model(&["BTCUSDT"]);
    assert!(screen(&model, 60, 0)[1].contains("asking the store"));
    model.hear(Said::Latest(Vec::new()), at(0));
    for width in WIDTHS {
        let screen = screen(&model, width, 0);
        assert!(screen[0].starts_with("tickflux watch  sqlite:tickflux.db") && screen[0].ends_with("12:00:05 UTC"));
        let said = screen[1..4].join(" ");
        assert!(said.starts_with("empty: no trade within 24 h, no trade of BTCUSDT: start a capture"), "{said}");
        assert!(screen[15].starts_with("q ends"));
    }
}

#[test]
fn a_live_store_shows_each_symbol_in_the_columns_that_fit() {
    let model = live();
    let at_80 = screen(&model, 80, 0);
    assert_eq!(
        at_80[1..14],
        [
            "live",
            "",
            "symbol        price   1 min  trades/s   age  high-low  missing  last 2m 40s",
            "BTCUSDT  ▲ 85950.41  +0.01%        30  1.0s      5.00        0              ▂▄▆█",
            "                                                                        ▂▄▆█████",
            "                                                                    ▁▃▅▇████████",
            "                                                                ▁▃▅▇████████████",
            "",
            "ETHUSDT   ▼ 2936.13  -0.24%        30  0.0s      5.00       12  █▆▄▂",
            "                                                                █████▆▄▂",
            "                                                                ████████▇▅▃▁",
            "                                                                ████████████▇▅▃▁",
            "",
        ],
        "{at_80:#?}"
    );
    for (width, has, has_not) in [
        (60, &["price", "trades/s", "age", "missing", "last"][..], &["high-low", "1 min"][..]),
        (80, &["high-low", "1 min", "last"], &[]),
        (200, &["high-low", "1 min", "last 20m"], &[]),
    ] {
        let screen = screen(&model, width, 0);
        assert!(has.iter().all(|name| screen[3].contains(name)), "{width}: {screen:#?}");
        assert!(!has_not.iter().any(|name| screen[3].contains(name)), "{width}: {screen:#?}");
        let row = screen.iter().find(|line| line.starts_with("ETHUSDT")).unwrap();
        assert!(row.contains("▼ 2936.13") && row.contains(" 12 "), "{row}");
    }
}

#[test]
fn a_stalled_store_says_for_how_long_and_the_age_grows() {
    for width in WIDTHS {
        for (seconds, stalled, age) in [(11, "11s", "12s"), (125, "2m 5s", "2m 6s")] {
            let screen = screen(&live(), width, seconds);
            assert_eq!(screen[1], format!("stalled: no new trade for {stalled}"));
            assert!(screen.iter().any(|line| line.starts_with("BTCUSDT") && line.contains(age)), "{screen:#?}");
        }
    }
}

#[test]
fn a_store_that_is_gone_keeps_its_picture_and_says_what_failed_and_since_when() {
    let mut model = live();
    let why = "cannot reach http://127.0.0.1:8086: connection refused: is influxd running there?";
    model.hear(Said::StoreFailed(Excerpt::of(why)), at(2));
    for width in WIDTHS {
        let screen = screen(&model, width, 9);
        let said = screen[1..4].join(" ");
        let begin =
            "the store is gone: no answer since 12:00:07 UTC (7.0s), still asking: cannot reach http://127.0.0.1:8086";
        assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(begin), "{said}");
        let row = screen.iter().find(|line| line.starts_with("BTCUSDT")).unwrap();
        assert!(row.contains("85950.41") && row.contains("10s"), "{row}");
    }
}

#[test]
fn a_capture_stands_below_with_what_is_most_important_where_there_is_little_room() {
    let well = with_capture(live(), &[]);
    for (width, counts) in [
        (60, "outbox 12 waiting, 3.40 kB  latency p50 1.0 ms p99 2.0 ms"),
        (80, "outbox 12 waiting, 3.40 kB  latency p50 1.0 ms p99 2.0 ms  1 open hole"),
        (
            200,
            "outbox 12 waiting, 3.40 kB  latency p50 1.0 ms p99 2.0 ms  1 open hole  - trades/s stored  1 connection",
        ),
    ] {
        let screen = screen(&well, width, 0);
        assert_eq!(screen[13..15], ["the capture at 127.0.0.1:9184 is well", counts]);
    }
    let screen_of = |model: &Model| screen(model, 60, 0);
    let ill = screen_of(&with_capture(live(), &["store: away"]));
    assert_eq!(ill[12..14], ["the capture at 127.0.0.1:9184 is not well", "  store: away"]);
    let mut gone = well;
    gone.hear(Said::CaptureFailed(Excerpt::of("connection refused")), at(0));
    let gone = screen_of(&gone);
    assert_eq!(
        gone[12..14],
        ["the capture at 127.0.0.1:9184 is gone", "  no answer since 12:00:05 UTC (0.0s), still asking: connect"]
    );
    let alone = screen_of(&with_capture(Model::default(), &[]));
    assert_eq!(alone[4], "BTCUSDT  - trades/s  newest id 77");
}

#[test]
fn colors_are_used_only_where_they_are_wanted() {
    let mut model = with_capture(live(), &["store: away"]);
    model.hear(Said::StoreFailed(Excerpt::of("away")), at(2));
    let colors = |is_colored| {
        let buffer = buffer(&model, 80, 16, 3, is_colored);
        buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(colors(true) && !colors(false));
}

#[test]
fn what_has_no_room_is_counted_and_can_be_moved_to() {
    let mut model = model(&[]);
    let trades = (10..40).map(|at| stored(&format!("S{at}USDT"), 0, "1.50000000"));
    model.hear(Said::Latest(trades.collect()), at(0));
    let top = screen(&model, 60, 0);
    assert!(top[4].starts_with("S10USDT") && top[15].ends_with("19 more: up, down"), "{top:#?}");
    model.press(super::super::model::Key::End);
    let end = screen(&model, 60, 0);
    assert!(end[4].starts_with("S39USDT") && end[5].is_empty(), "{end:#?}");
}

#[test]
fn exchanges_are_named_where_there_are_several() {
    let mut model = model(&[]);
    let other = crate::store::StoredTrade { exchange: "practice".parse().unwrap(), ..stored("BTCUSDT", 0, "2.5") };
    model.hear(Said::Latest(vec![stored("BTCUSDT", 0, "1.5"), other]), at(0));
    let screen = screen(&model, 60, 0);
    assert!(screen[3].starts_with("exchange  symbol"), "{screen:#?}");
    assert!(screen.iter().any(|line| line.starts_with("practice  BTCUSDT")), "{screen:#?}");
}

#[test]
fn no_size_breaks_it() {
    let mut gone = with_capture(live(), &["one", "two", "three", "four"]);
    gone.hear(Said::StoreFailed(Excerpt::of(&"far away ".repeat(30))), at(2));
    for model in [&live(), &gone, &with_capture(Model::default(), &[]), &Model::default()] {
        for width in [1, 2, 9, 30, 59, 61, 500] {
            for height in [1, 2, 3, 4, 5, 8, 100] {
                buffer(model, width, height, 3, true);
            }
        }
    }
}

#[test]
fn numbers_are_short() {
    for (ms, text) in [
        (0, "0.0s"),
        (999, "0.9s"),
        (61_000, "1m 1s"),
        (120_000, "2m"),
        (3_660_000, "1h 1m"),
        (-2_000, "-2.0s"),
        (-50, "0.0s"),
    ] {
        assert_eq!(age(ms), text);
    }
    assert_eq!((rate(0.04), rate(9.94), rate(1234.5)), ("0.0".to_owned(), "9.9".to_owned(), "1234".to_owned()));
}
