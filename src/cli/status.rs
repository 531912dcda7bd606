//! The status line of a capture, and a bar below it while much is fetched from the exchange's history.

use std::collections::VecDeque;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::drawing::{self, DRAW_EVERY, Drawing, counts, style};
use super::settings::now;
use crate::capture::settings::Progress;
use crate::text::short_decimal;
use crate::trade::TradeTime;

/// Drawings over which the rate is told: three seconds.
const DRAWINGS: usize = 16;
/// What turns in front takes so many columns.
const MARGIN: usize = 2;
/// Between two words.
const GAP: &str = ", ";
/// Fewer missing trades are fetched before anyone has read a bar.
const BAR_MIN: u64 = 1_000;

/// Draws what `progress` says.
pub(super) fn start(progress: watch::Receiver<Progress>) -> Drawing {
    let (mut rate, mut fetching) = (Rate::default(), Fetching::default());
    Drawing::start(ProgressBar::new_spinner(), move |bar| {
        // Not while the value is borrowed: drawing may take for ever, and the capture would wait.
        let progress = progress.borrow().clone();
        let width = usize::from(drawing::width());
        bar.set_message(words(&progress, rate.of(progress.trades), now(), width.saturating_sub(MARGIN)));
        fetching.show(progress.missing, bar);
    })
}

/// How much of what was missing has been fetched.
#[derive(Debug, Default)]
struct Fetching {
    /// The most that was missing since nothing was.
    all: u64,
    is_shown: bool,
}

impl Fetching {
    /// Takes how many ids are missing now. Gives how many of how many are fetched, if that is worth a bar.
    fn of(&mut self, missing: u64) -> Option<(u64, u64)> {
        self.all = if missing == 0 { 0 } else { self.all.max(missing) };
        (self.all >= BAR_MIN).then_some((self.all - missing, self.all))
    }

    fn show(&mut self, missing: u64, bar: &ProgressBar) {
        let fetched = self.of(missing);
        if fetched.is_some() != self.is_shown {
            self.is_shown = fetched.is_some();
            bar.set_style(if self.is_shown { with_bar() } else { ProgressStyle::default_spinner() });
            bar.reset_eta();
        }
        if let Some((done, all)) = fetched {
            bar.set_length(all);
            bar.set_position(done);
        }
    }
}

fn with_bar() -> ProgressStyle {
    style(&format!("{{spinner}} {{msg}}\n  {{wide_bar}} {}", counts("missing trades")))
}

/// How many trades a second were stored, over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    /// What had been stored, at each drawing.
    stored: VecDeque<u64>,
}

impl Rate {
    /// Takes what is stored by now. Gives trades a second.
    fn of(&mut self, stored: u64) -> u64 {
        self.stored.push_back(stored);
        if self.stored.len() > DRAWINGS {
            self.stored.pop_front();
        }
        let first = self.stored.front().map_or(stored, |first| *first);
        let drawings = u64::try_from(self.stored.len() - 1).unwrap_or(u64::MAX);
        let millis = u64::try_from(DRAW_EVERY.as_millis()).unwrap_or(u64::MAX).saturating_mul(drawings);
        stored.saturating_sub(first).saturating_mul(1_000).checked_div(millis).unwrap_or(0)
    }
}

/// What fits so many columns: of the prices the first one in any case, the others where there is room beside the counts.
fn words(progress: &Progress, rate: u64, now: TradeTime, width: usize) -> String {
    let Progress { trades, waiting, open_holes, connections, prices, newest, .. } = progress;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let age = newest.map(|newest| format!("age {:.1}s", (now.ms() - newest.ms()) as f64 / 1_000.0));
    let holes = format!("{open_holes} open hole{}", plural(*open_holes));
    let counts = [Some(format!("{rate}/s")), age, Some(holes), Some(format!("{waiting} waiting"))];
    let more = [format!("{connections} connection{}", plural(*connections)), format!("{trades} stored")];
    let mut prices = prices.iter().map(|(symbol, price)| format!("{symbol} {}", short_decimal(price.as_str())));
    let mut left = width + GAP.len();
    let mut fitting = |words: &mut dyn Iterator<Item = String>| {
        let fits = |text: &String| {
            let rest = left.checked_sub(text.len() + GAP.len());
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        words.take_while(fits).collect::<Vec<_>>()
    };
    let first = fitting(&mut prices.by_ref().take(1));
    let counts = fitting(&mut counts.into_iter().flatten());
    let others = fitting(&mut prices);
    let more = fitting(&mut more.into_iter());
    [first, others, counts, more].concat().join(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::Price;

    fn progress() -> Progress {
        let price = |symbol: &str, price| (symbol.parse().unwrap(), Price::new(price).unwrap());
        Progress {
            trades: 7,
            waiting: 2,
            open_holes: 1,
            missing: 3,
            connections: 1,
            prices: vec![price("BTCUSDT", "85950.41000000"), price("ETHUSDT", "2936.13000000")],
            newest: Some(TradeTime::from_ms(1_767_268_800_000).unwrap()),
        }
    }

    fn line(progress: &Progress, width: usize) -> String {
        words(progress, 5, TradeTime::from_ms(1_767_268_800_150).unwrap(), width)
    }

    #[test]
    fn the_line_says_how_fast() {
        let mut rate = Rate::default();
        let drawn: Vec<_> = (0..40).map(|at| rate.of(at * 20)).collect();
        assert_eq!((drawn[0], drawn[1], drawn[39]), (0, 100, 100));
        let stopped: Vec<_> = (0..40).map(|_| rate.of(780)).collect();
        assert_eq!(stopped[39], 0);
    }

    #[test]
    fn the_line_has_what_fits_and_counts_one_as_one() {
        let whole = "BTCUSDT 85950.41, ETHUSDT 2936.13, 5/s, age 0.1s, 1 open hole, 2 waiting, 1 connection, 7 stored";
        assert_eq!(line(&progress(), 200), whole);
        assert_eq!(line(&progress(), whole.len()), whole);
        assert_eq!(line(&progress(), 80), whole[..whole.len() - ", 1 connection, 7 stored".len()]);
        assert_eq!(line(&progress(), 60), "BTCUSDT 85950.41, 5/s, age 0.1s, 1 open hole, 2 waiting");
        assert_eq!(line(&progress(), 20), "BTCUSDT 85950.41");
        assert_eq!(line(&progress(), 10), "5/s");
        let begun = Progress { open_holes: 0, connections: 2, ..Progress::default() };
        assert_eq!(line(&begun, 80), "5/s, 0 open holes, 0 waiting, 2 connections, 0 stored");
        for width in 0..120 {
            assert!(line(&progress(), width).len() <= width, "{width}");
        }
    }

    #[test]
    fn a_bar_is_shown_while_much_is_fetched() {
        let mut fetching = Fetching::default();
        let shown: Vec<_> = [0, 999, 0, 800, 5_000, 4_000, 1, 0, 10].map(|missing| fetching.of(missing)).to_vec();
        let of = |done, all| Some((done, all));
        let expected = [None, None, None, None, of(0, 5_000), of(1_000, 5_000), of(4_999, 5_000), None, None];
        assert_eq!(shown, expected);
    }
}
