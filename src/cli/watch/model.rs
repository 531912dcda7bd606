//! What is shown: told answers, keys and the time, it asks nobody and draws nothing.

use std::collections::BTreeMap;

use super::history::History;
use super::metrics::{Answers, Metrics};
use crate::store::{Candle, StoredTrade};
use crate::text::Excerpt;
use crate::trade::{Exchange, Symbol, TradeTime};

/// Without a new trade for so long a store has stalled.
pub(super) const STALLED_AFTER_MS: i64 = 10_000;
/// Series that are shown, at most; more are counted.
pub(super) const SERIES_MAX: usize = 1_000;
/// Rows by which a page goes on.
const PAGE: usize = 10;

/// What someone said.
#[derive(Debug)]
pub(super) enum Said {
    /// The store: the newest trade of each series.
    Latest(Vec<StoredTrade>),
    /// The store: the steps of each series since some time.
    Steps(Vec<Candle>),
    /// The store: how many ids are missing in the last hour, by series.
    Missing(Vec<(Exchange, Symbol, u64)>),
    /// The store did not answer.
    StoreFailed(Excerpt),
    /// The capture: what it counted, and why it is not well.
    Capture(Box<Metrics>, Vec<Excerpt>),
    /// The capture did not answer.
    CaptureFailed(Excerpt),
}

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// How it stands with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State<'a> {
    /// It has not answered yet.
    Asking,
    /// It has no trade.
    Empty,
    /// Trades come.
    Live,
    /// No trade came for so many milliseconds.
    Stalled(i64),
    /// It does not answer.
    Gone(&'a Trouble),
}

/// Someone does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) since: TradeTime,
    pub(super) why: Excerpt,
}

/// A series.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) newest: StoredTrade,
    pub(super) history: History,
    /// Ids that are missing in the last hour; `None` before that is known.
    pub(super) missing: Option<u64>,
}

/// The side of the store.
#[derive(Debug, Default)]
pub(super) struct StoreSide {
    /// Which store it is, in words.
    pub(super) name: String,
    /// Symbols that were asked for; every one if empty.
    pub(super) symbols: Vec<Symbol>,
    pub(super) series: BTreeMap<(Exchange, Symbol), Series>,
    /// Series past [`SERIES_MAX`].
    pub(super) more: usize,
    trouble: Option<Trouble>,
    has_answered: bool,
}

/// The side of a running capture.
#[derive(Debug, Default)]
pub(super) struct CaptureSide {
    /// Where it answers.
    pub(super) name: String,
    pub(super) answers: Answers,
    /// Why it is not well.
    pub(super) reasons: Vec<Excerpt>,
    pub(super) trouble: Option<Trouble>,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) store: Option<StoreSide>,
    pub(super) capture: Option<CaptureSide>,
    /// The first series that is shown.
    pub(super) scrolled: usize,
}

impl Model {
    /// Takes what was said at `now`.
    pub(super) fn hear(&mut self, said: Said, now: TradeTime) {
        match (said, &mut self.store, &mut self.capture) {
            (Said::Latest(trades), Some(store), _) => store.hear_latest(trades, now),
            (Said::Steps(steps), Some(store), _) => store.hear_steps(&steps),
            (Said::Missing(missing), Some(store), _) => store.hear_missing(missing),
            (Said::StoreFailed(why), Some(store), _) => fail(&mut store.trouble, why, now),
            (Said::Capture(metrics, reasons), _, Some(capture)) => {
                capture.answers.take(*metrics, now);
                (capture.reasons, capture.trouble) = (reasons, None);
            }
            (Said::CaptureFailed(why), _, Some(capture)) => fail(&mut capture.trouble, why, now),
            _ => {}
        }
    }

    /// Moves as the key says.
    pub(super) fn press(&mut self, key: Key) {
        let last = self.store.as_ref().map_or(0, |store| store.series.len()).saturating_sub(1);
        self.scrolled = match key {
            Key::Up => self.scrolled.saturating_sub(1),
            Key::Down => self.scrolled + 1,
            Key::PageUp => self.scrolled.saturating_sub(PAGE),
            Key::PageDown => self.scrolled + PAGE,
            Key::Home => 0,
            Key::End => last,
        }
        .min(last);
    }
}

impl StoreSide {
    /// One that has not answered yet.
    pub(super) fn new(name: String, symbols: Vec<Symbol>) -> Self {
        Self { name, symbols, ..Self::default() }
    }

    /// How it stands at `now`.
    pub(super) fn state(&self, now: TradeTime) -> State<'_> {
        let newest = self.series.values().map(|series| series.newest.trade.time.ms()).max();
        match (&self.trouble, newest) {
            (Some(trouble), _) => State::Gone(trouble),
            (None, _) if !self.has_answered => State::Asking,
            (None, None) => State::Empty,
            (None, Some(newest)) if now.ms() - newest > STALLED_AFTER_MS => State::Stalled(now.ms() - newest),
            (None, Some(_)) => State::Live,
        }
    }

    /// Symbols that were asked for and of which there is no trade.
    pub(super) fn absent(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| !self.series.keys().any(|(_, of)| of == *symbol))
    }

    fn hear_latest(&mut self, trades: Vec<StoredTrade>, now: TradeTime) {
        (self.trouble, self.has_answered) = (None, true);
        let key = |stored: &StoredTrade| (stored.exchange.clone(), stored.trade.symbol.clone());
        let mut newest: BTreeMap<_, _> = trades.into_iter().map(|stored| (key(&stored), stored)).collect();
        self.more = newest.len().saturating_sub(SERIES_MAX);
        let mut shown = std::mem::take(&mut self.series);
        while newest.len() > SERIES_MAX {
            newest.pop_last();
        }
        for (key, newest) in newest {
            let (mut history, missing) =
                shown.remove(&key).map_or_else(Default::default, |series| (series.history, series.missing));
            history.forget_old(now.ms());
            self.series.insert(key, Series { newest, history, missing });
        }
    }

    fn hear_steps(&mut self, steps: &[Candle]) {
        for step in steps {
            if let Some(series) = self.series.get_mut(&(step.exchange.clone(), step.symbol.clone())) {
                series.history.take(step);
            }
        }
    }

    fn hear_missing(&mut self, missing: Vec<(Exchange, Symbol, u64)>) {
        self.series.values_mut().for_each(|series| series.missing = Some(0));
        for (exchange, symbol, ids) in missing {
            if let Some(series) = self.series.get_mut(&(exchange, symbol)) {
                // A series that counts from the start again has an answer for each count.
                series.missing = series.missing.map(|before| before + ids);
            }
        }
    }
}

/// What fails goes on failing since it began to.
fn fail(trouble: &mut Option<Trouble>, why: Excerpt, now: TradeTime) {
    let since = trouble.as_ref().map_or(now, |trouble| trouble.since);
    *trouble = Some(Trouble { since, why });
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::trade::{Price, Quantity, Trade, TradeId};

    pub(in super::super) const NOW_MS: i64 = 1_767_268_805_000;

    pub(in super::super) fn at(seconds: i64) -> TradeTime {
        TradeTime::from_ms(NOW_MS + seconds * 1_000).unwrap()
    }

    pub(in super::super) fn stored(symbol: &str, seconds: i64, price: &str) -> StoredTrade {
        let trade = Trade {
            symbol: symbol.parse().unwrap(),
            id: TradeId::new(7).unwrap(),
            time: at(seconds),
            price: Price::new(price).unwrap(),
            quantity: Quantity::new("0.1").unwrap(),
            buyer_is_maker: true,
        };
        StoredTrade { exchange: "binance".parse().unwrap(), trade }
    }

    pub(in super::super) fn model(symbols: &[&str]) -> Model {
        let symbols = symbols.iter().map(|symbol| symbol.parse().unwrap()).collect();
        Model { store: Some(StoreSide::new("sqlite:tickflux.db".to_owned(), symbols)), ..Model::default() }
    }

    fn state(model: &Model, seconds: i64) -> State<'_> {
        model.store.as_ref().unwrap().state(at(seconds))
    }

    #[test]
    fn a_store_is_asked_empty_live_stalled_gone_and_live_again() {
        let mut model = model(&[]);
        assert_eq!(state(&model, 0), State::Asking);
        model.hear(Said::Latest(Vec::new()), at(0));
        assert_eq!(state(&model, 0), State::Empty);
        model.hear(Said::Latest(vec![stored("BTCUSDT", 0, "1.5"), stored("ETHUSDT", -99, "2.5")]), at(0));
        assert_eq!((state(&model, 10), state(&model, 11)), (State::Live, State::Stalled(11_000)));
        for (second, why) in [(12, "away"), (13, "still away")] {
            model.hear(Said::StoreFailed(Excerpt::of(why)), at(second));
        }
        assert_eq!(state(&model, 14), State::Gone(&Trouble { since: at(12), why: Excerpt::of("still away") }));
        assert_eq!(model.store.as_ref().unwrap().series.len(), 2, "the last picture is kept");
        model.hear(Said::Latest(vec![stored("BTCUSDT", 14, "1.5")]), at(14));
        assert_eq!(state(&model, 14), State::Live);
        assert_eq!(model.store.as_ref().unwrap().series.len(), 1);
    }

    #[test]
    fn what_is_missing_is_unknown_and_then_summed_over_counts() {
        let mut model = model(&["BTCUSDT", "XRPUSDT"]);
        model.hear(Said::Latest(vec![stored("BTCUSDT", 0, "1.5")]), at(0));
        let missing = |model: &Model| model.store.as_ref().unwrap().series.values().next().unwrap().missing;
        assert_eq!(missing(&model), None);
        let of = |symbol: &str, ids| ("binance".parse().unwrap(), symbol.parse().unwrap(), ids);
        model.hear(Said::Missing(vec![of("BTCUSDT", 3), of("ETHUSDT", 9), of("BTCUSDT", 4)]), at(1));
        assert_eq!(missing(&model), Some(7));
        model.hear(Said::Latest(vec![stored("BTCUSDT", 2, "1.5")]), at(2));
        assert_eq!(missing(&model), Some(7), "it stays until it is told anew");
        model.hear(Said::Missing(vec![of("BTCUSDT", 0)]), at(3));
        assert_eq!(missing(&model), Some(0));
        let absent: Vec<_> = model.store.as_ref().unwrap().absent().map(Symbol::as_str).collect();
        assert_eq!(absent, ["XRPUSDT"]);
    }

    #[test]
    fn keys_move_within_what_there_is() {
        let mut model = model(&[]);
        model.press(Key::Down);
        assert_eq!(model.scrolled, 0);
        let trades = (0..30).map(|at| stored(&format!("S{at}USDT"), 0, "1.5")).collect();
        model.hear(Said::Latest(trades), at(0));
        for (key, scrolled) in [
            (Key::Up, 0),
            (Key::Down, 1),
            (Key::PageDown, 11),
            (Key::End, 29),
            (Key::Down, 29),
            (Key::PageUp, 19),
            (Key::Home, 0),
        ] {
            model.press(key);
            assert_eq!(model.scrolled, scrolled, "{key:?}");
        }
    }

    #[test]
    fn of_more_series_than_are_shown_the_rest_is_counted() {
        let mut model = model(&[]);
        let trades = (0..SERIES_MAX + 3).map(|at| stored(&format!("S{at}USDT"), 0, "1.5")).collect();
        model.hear(Said::Latest(trades), at(0));
        let store = model.store.unwrap();
        assert_eq!((store.series.len(), store.more), (SERIES_MAX, 3));
    }

    #[test]
    fn a_capture_that_does_not_answer_is_told_since_when() {
        let mut model = Model { capture: Some(CaptureSide::default()), ..Model::default() };
        model.hear(Said::CaptureFailed(Excerpt::of("refused")), at(0));
        model.hear(Said::CaptureFailed(Excerpt::of("refused again")), at(1));
        let trouble = |model: &Model| model.capture.as_ref().unwrap().trouble.clone();
        assert_eq!(trouble(&model), Some(Trouble { since: at(0), why: Excerpt::of("refused again") }));
        model.hear(Said::Capture(Box::default(), vec![Excerpt::of("store: away")]), at(2));
        assert_eq!(trouble(&model), None);
        assert_eq!(model.capture.unwrap().reasons, [Excerpt::of("store: away")]);
    }
}
