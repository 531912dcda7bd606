//! What there was before this run: the ledger tells, or else the store itself is asked, beside live capture.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::sequencer::Sequencer;
use crate::outbox::Known;
use crate::store::{AnyStore, Scope, StoreError};
use crate::telemetry::{Event, Tally};
use crate::trade::{Exchange, IdRanges, Symbol, TradeTime};

/// A store that does not answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Questions to the store, one a symbol and one at a time: a thousand at once would keep it from writing.
#[derive(Debug)]
pub struct Past {
    store: AnyStore,
    exchange: Exchange,
    /// Symbols to ask about.
    waiting: VecDeque<Symbol>,
    /// The answer that is awaited.
    asking: JoinSet<Audited>,
}

/// What the store answered.
#[derive(Debug)]
pub struct Audited {
    symbol: Symbol,
    answer: Result<Option<(IdRanges, TradeTime)>, StoreError>,
}

impl Past {
    /// The past of `exchange` in `store`.
    pub fn new(store: AnyStore, exchange: Exchange) -> Self {
        Self { store, exchange, waiting: VecDeque::new(), asking: JoinSet::new() }
    }

    /// Teaches the sequencer what the ledger knows since `since`; asks the store about symbols that it does not know.
    ///
    /// A store that is near is asked in any case: it cannot be emptied behind the ledger's back.
    pub fn begin(
        &mut self,
        symbols: &[Symbol],
        known: &Known,
        since: TradeTime,
        sequencer: &mut Sequencer,
        tally: &mut Tally,
    ) {
        for ended in &known.ended {
            let mut ids = IdRanges::default();
            ids.insert(ended.range);
            sequencer.learn(&ended.symbol, &ids, TradeTime::EPOCH);
        }
        for symbol in symbols {
            let ledger = known.stored.symbols().find(|(known, ..)| *known == symbol);
            match ledger.filter(|(_, _, newest)| *newest >= since && self.store.lines().is_some()) {
                Some((_, stored, newest)) => learn("ledger", symbol, stored, newest, sequencer, tally),
                None => self.waiting.push_back(symbol.clone()),
            }
        }
        self.ask_next(since, Duration::ZERO);
    }

    /// The next answer; `None` if none is awaited.
    ///
    /// # Errors
    ///
    /// If asking panicked.
    ///
    /// # Cancel safety
    ///
    /// Safe: no answer is lost.
    pub async fn next(&mut self) -> Option<Result<Audited, JoinError>> {
        self.asking.join_next().await
    }

    /// Teaches the sequencer what the store has since `since`.
    pub fn answered(&mut self, audited: Audited, since: TradeTime, sequencer: &mut Sequencer, tally: &mut Tally) {
        let Audited { symbol, answer } = audited;
        let mut wait = Duration::ZERO;
        match answer {
            Ok(Some((stored, newest))) => learn("store", &symbol, &stored, newest, sequencer, tally),
            Ok(None) => tally.note(&Event::NothingKnown { symbol: &symbol, why: "the store has no trade of it" }),
            Err(StoreError::Settings(why)) => tally.note(&Event::NothingKnown { symbol: &symbol, why: &why }),
            Err(StoreError::Unusable(why)) => {
                tally.note(&Event::AuditFailed { symbol: &symbol, why: &why });
                self.waiting.push_front(symbol);
                wait = ASK_AGAIN;
            }
        }
        self.ask_next(since, wait);
    }

    fn ask_next(&mut self, since: TradeTime, wait: Duration) {
        let Some(symbol) = self.waiting.pop_front() else { return };
        let scope = Scope { symbols: vec![symbol.clone()], exchange: Some(self.exchange.clone()) };
        let store = AnyStore::clone(&self.store);
        self.asking.spawn(async move {
            tokio::time::sleep(wait).await;
            let answer = audit(&store, &scope, since).await;
            Audited { symbol, answer }
        });
    }
}

fn learn(
    source: &'static str,
    symbol: &Symbol,
    stored: &IdRanges,
    newest: TradeTime,
    sequencer: &mut Sequencer,
    tally: &mut Tally,
) {
    if let Some(span) = stored.span() {
        tally.note(&Event::Known { symbol, span, source });
    }
    sequencer.learn(symbol, stored, newest);
}

/// The stored ids, and the time of the newest trade.
async fn audit(store: &AnyStore, scope: &Scope, since: TradeTime) -> Result<Option<(IdRanges, TradeTime)>, StoreError> {
    // The newest first: what is stored meanwhile is then newer than it, as it is.
    let newest = store.latest(scope).await?.into_iter().map(|stored| stored.trade.time).max();
    let gaps = store.gaps(scope, since).await?.into_iter().next();
    Ok(gaps.zip(newest).map(|(gaps, newest)| (gaps.stored(), newest)))
}
