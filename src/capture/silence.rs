//! A lone silent symbol: the stream runs, and one symbol says nothing.
//!
//! Either nobody trades it or the exchange has forgotten the subscription; the
//! newest id of its history tells which. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

use crate::trade::{Symbol, SymbolMap};

/// A symbol that stays silent is asked about ever more rarely, at least this often.
const PATIENCE_MAX: Duration = Duration::from_secs(600);

/// Since when each symbol is silent.
#[derive(Debug)]
pub struct Silence {
    first: Duration,
    symbols: SymbolMap<(Instant, Duration)>,
}

impl Silence {
    /// `symbols` are silent since `now`; after `first` their newest id is to be asked for.
    pub fn new(symbols: &[Symbol], first: Duration, now: Instant) -> Self {
        Self { first, symbols: symbols.iter().map(|symbol| (symbol.clone(), (now, first))).collect() }
    }

    /// A symbol delivered a trade.
    pub fn heard(&mut self, symbol: &Symbol, now: Instant) {
        if let Some(silent) = self.symbols.get_mut(symbol) {
            *silent = (now, self.first);
        }
    }

    /// The symbols to ask about at `now`; each waits longer the next time.
    pub fn due(&mut self, now: Instant) -> Vec<Symbol> {
        let mut due = Vec::new();
        for (symbol, (since, patience)) in &mut self.symbols {
            if now.duration_since(*since) >= *patience {
                due.push(symbol.clone());
                (*since, *patience) = (now, (*patience * 2).min(PATIENCE_MAX));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_asked_about_after_its_patience_and_then_more_rarely() {
        let (begin, patience) = (Instant::now(), Duration::from_secs(30));
        let [quiet, busy] = ["QUIET", "BUSY"].map(|symbol| symbol.parse::<Symbol>().unwrap());
        let mut silence = Silence::new(&[quiet.clone(), busy.clone()], patience, begin);
        let mut asked = Vec::new();
        for second in 0..=2_000 {
            let now = begin + Duration::from_secs(second);
            silence.heard(&busy, now);
            asked.extend(silence.due(now).into_iter().map(|symbol| (symbol, second)));
        }
        let seconds: Vec<_> = asked.iter().map(|(_, second)| *second).collect();
        assert!(asked.iter().all(|(symbol, _)| *symbol == quiet));
        assert_eq!(seconds, [30, 90, 210, 450, 930, 1_530]);
    }
}
