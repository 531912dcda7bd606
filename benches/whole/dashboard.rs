//! What the dashboard and its checks cost influxd on a day of ten million trades.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::capture_prints;
use crate::feeder::{Pace, prints};
use crate::support::influxd::{BUCKET, Influxd};
use crate::support::ui::Ui;
use crate::support::{column, now, tickflux_ok};

const TRADES: usize = 10_000_000;
const HOURS: f64 = 19.0;
/// The last trades are still to come while it is measured, as if a capture were running.
const AHEAD_MS: i64 = 15 * 60_000;
const REFRESH: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 12;
/// Each query alone, so often.
const ASKED: u32 = 10;
/// Some million trades.
const MILLION: &str = "100m";
/// What the UI asks of so long: its begin and the length of its windows.
const RANGES: [(&str, &str, &str); 2] = [("1 h", "-1h", "10s"), ("24 h", "-24h", "4m")];

pub(crate) fn dashboard(influxd: &Influxd) {
    println!("\n## The dashboard on {TRADES} trades of two symbols in {HOURS} h, refreshed every {REFRESH:.0?}\n");
    // The market begins a fifth more before its end.
    let end_ms = now().ms() + AHEAD_MS + (HOURS * 3_600_000.0 * 0.2) as i64;
    let prints = prints(2, TRADES, TRADES as f64 / (HOURS * 3600.0), end_ms);
    let newest_ms = prints[prints.len() - 1].trade.time.ms();
    capture_prints(influxd, &["--store", &influxd.url, "--bucket", BUCKET], &prints, Pace::Max);
    drop(prints);
    let idle = quiet(influxd);
    println!("- influxd that nobody asks: {:.1} % of a core", 100.0 * idle);
    let ui = Ui::new(influxd);
    let (cells, cpu) = (ui.cells(), |work: &mut dyn FnMut()| {
        let (begin, before) = (Instant::now(), influxd.cpu_seconds());
        work();
        influxd.cpu_seconds() - before - idle * begin.elapsed().as_secs_f64()
    });
    for (range, since, window) in RANGES {
        let begin = Instant::now();
        let used = cpu(&mut || {
            for round in 1..=ROUNDS {
                for (_, cell) in &cells {
                    ui.ask_since(cell, "practice", "BTCUSDT", since, window);
                }
                sleep((REFRESH * round).saturating_sub(begin.elapsed()));
            }
        });
        println!(
            "- refreshed {ROUNDS} times, of {range}: {:.1} % of a core",
            100.0 * used / begin.elapsed().as_secs_f64()
        );
    }
    println!("\n| cell or check | CPU of 1 h, ms | CPU of 24 h, ms |\n|---|---|---|");
    let alone = |ask: &mut dyn FnMut()| 1e3 * cpu(&mut || (0..ASKED).for_each(|_| ask())) / f64::from(ASKED);
    for (name, cell) in &cells {
        let [hour, day] = RANGES
            .map(|(_, since, window)| alone(&mut || drop(ui.ask_since(cell, "practice", "BTCUSDT", since, window))));
        println!("| {name} | {hour:.0} | {day:.0} |");
    }
    for name in ["tickflux: no trade", "tickflux: ids missing"] {
        let flux = ui.check(name);
        println!("| {name} | {:.0} | |", alone(&mut || drop(ui.query(&flux))));
    }
    let folder = tempfile::tempdir().unwrap();
    let volume = tickflux_ok(folder.path(), &["flux", "volume", "--since", MILLION]);
    let begin = Instant::now();
    let mut trades = 0;
    let used = cpu(&mut || {
        trades = column(&ui.query(&volume), "trades").iter().map(|text| text.parse::<u64>().unwrap()).sum();
    });
    println!("\nvolume.flux over {trades} trades: {:.1?}, {used:.1} s of CPU", begin.elapsed());
    assert!(now().ms() < newest_ms, "it took so long that the last trades are old");
}

/// Waits until influxd has put the trades in order; what it still uses, as a part of a core.
fn quiet(influxd: &Influxd) -> f64 {
    loop {
        let before = influxd.cpu_seconds();
        sleep(Duration::from_secs(10));
        let used = (influxd.cpu_seconds() - before) / 10.0;
        if used < 0.02 {
            return used;
        }
    }
}
