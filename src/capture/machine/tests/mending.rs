//! A run that only repairs.

use super::*;
use crate::capture::history::{Refusal, RefusalKind};
use crate::capture::page::BadRow;
use crate::capture::sequencer::Hole;

/// One that was told these holes; its streams end at once, for there are none.
fn begun(holes: &[(u64, u64)]) -> Bench {
    let hole = |(first, last): &(u64, u64)| Hole { symbol: btc(), range: range(*first, *last), time: time(NOON) };
    let route = Route { is_over_disk: false, slots: 2, batch_max: 1_000 };
    let settings = Settings::only_repairing(holes.iter().map(hole).collect(), route, 7);
    let mut bench = Bench::with(settings, 0);
    bench.run();
    bench.tell(Input::StoreChecked(Ok(Checked::default())));
    bench.tell(Input::OutboxOpened(Box::default()));
    bench.tell_time();
    bench
}

impl Bench {
    fn tell_time(&mut self) {
        let told = crate::capture::history::Found { id: 0, time: self.exchange_now() };
        self.tell(Input::History(HistoryAnswer::Found(Some(told)), None));
    }

    fn bring(&mut self, ids: impl IntoIterator<Item = u64>) {
        let rows = ids.into_iter().map(|id| Row::Trade(trade(id, NOON - HOUR))).collect();
        self.tell(Input::History(HistoryAnswer::Page(Page { rows }), None));
    }

    fn refuse(&mut self, kind: RefusalKind) {
        let why = Excerpt::of("no");
        self.tell(Input::History(HistoryAnswer::Refused(Refusal { kind, why }), None));
    }

    fn asks(&mut self) -> bool {
        let asks = |command| if matches!(command, Command::Ask(_)) { Ok(()) } else { Err(command) };
        !self.take(asks).is_empty()
    }

    /// Whether it ends within a second: there are no streams, and what stays missing is entered.
    fn is_over(&mut self) -> bool {
        let ends = |command| if matches!(command, Command::EndStreams) { Ok(()) } else { Err(command) };
        if !self.take(ends).is_empty() {
            self.tell(Input::StreamsEnded);
        }
        self.pass(Duration::from_secs(1));
        self.disk_works();
        self.capture.is_finished(self.at)
    }

    fn shortfall(&mut self) -> Option<Shortfall> {
        let now = self.now();
        self.capture.finish(Usage::default(), now).shortfall
    }
}

#[test]
fn it_opens_nothing_asks_for_what_is_missing_alone_and_ends_when_that_is_stored() {
    let mut bench = begun(&[(5, 6), (9, 9)]);
    assert!(bench.open.is_empty() && bench.audits().is_empty());
    assert!(!bench.commands.iter().any(|command| matches!(command, Command::CheckSymbols)));
    assert_eq!(bench.pages(), [(5, 5)]);
    bench.bring([5, 6, 7, 8, 9]);
    let (batch, payload, _) = bench.writes().pop().unwrap();
    let Payload::Trades(trades) = payload else { panic!("no lines without an outbox") };
    assert_eq!(trades.iter().map(|trade| trade.id.get()).collect::<Vec<_>>(), [5, 6, 9]);
    assert!(!bench.is_over(), "the store has not answered");
    bench.tell(Input::Written(batch, Ok(Written::default()), bench.at));
    assert!(bench.is_over());
    assert_eq!((bench.shortfall(), bench.capture.progress().trades), (None, 3));
}

#[test]
fn what_stays_missing_is_told_with_its_reason() {
    let mut bench = begun(&[(5, 7)]);
    let bad = BadRow { id: Some(6), text: "{}".to_owned(), why: Excerpt::of("no price") };
    let rows = vec![Row::Trade(trade(5, NOON)), Row::Bad(bad), Row::Trade(trade(7, NOON))];
    bench.tell(Input::History(HistoryAnswer::Page(Page { rows }), None));
    let (batch, ..) = bench.writes().pop().unwrap();
    let mut expired = TradeIds::default();
    expired.add(&btc(), range(7, 7), time(NOON));
    bench.tell(Input::Written(batch, Ok(Written { expired, ..Written::default() }), bench.at));
    assert!(bench.is_over());
    let ended = |id, state| Ended { symbol: btc(), range: range(id, id), state };
    assert_eq!(bench.entered().ended, [ended(6, HoleState::NotAtExchange), ended(7, HoleState::Expired)]);
    assert_eq!(bench.shortfall(), None);
}

#[test]
fn it_gives_up_where_a_capture_goes_on() {
    // An exchange that says no for good; one that says nothing six times; a store that takes nothing.
    let mut bench = begun(&[(5, 5)]);
    bench.refuse(RefusalKind::NotFromHere);
    assert!(bench.capture.failure().is_some());

    let mut bench = begun(&[(5, 5)]);
    for _ in 0..6 {
        assert_eq!(bench.capture.failure(), None);
        while !bench.asks() {
            bench.pass(Duration::from_secs(1));
        }
        bench.refuse(RefusalKind::Failed);
    }
    assert_eq!(bench.capture.failure(), Some(&CaptureFailure::Unusable("cannot repair: no".to_owned())));

    let mut bench = begun(&[(5, 5)]);
    bench.bring([5]);
    for _ in 0..6 {
        assert_eq!(bench.capture.failure(), None);
        let write = loop {
            match bench.writes().pop() {
                Some((batch, ..)) => break batch,
                None => bench.pass(Duration::from_secs(1)),
            }
        };
        bench.tell(Input::Written(write, Err(WriteError::Transient { why: "away".to_owned(), wait: None }), bench.at));
    }
    assert_eq!(bench.capture.failure(), Some(&CaptureFailure::Unusable("cannot repair: away".to_owned())));
}

#[test]
fn stopped_early_it_says_that_holes_are_left() {
    let mut bench = begun(&[(5, 5)]);
    bench.tell(Input::Stop);
    assert!(bench.is_over());
    assert_eq!(bench.shortfall(), Some(Shortfall::HolesLeft));
}
