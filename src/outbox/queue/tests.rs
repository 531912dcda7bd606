//! The queue against a plain list.

use proptest::prelude::*;

use super::*;
use crate::outbox::TradeIds;
use crate::trade::{IdRange, TradeTime};

/// A batch of `trades` lines of `line` bytes in the row `seq`.
fn batch(seq: Option<i64>, trades: usize, line: usize) -> Encoded {
    let bytes = vec![b'x'; trades * line];
    let mut ids = TradeIds::default();
    let first = seq.unwrap_or(1).unsigned_abs() * 1_000;
    ids.add(&"BTCUSDT".parse().unwrap(), IdRange { first, last: first + trades as u64 - 1 }, TradeTime::EPOCH);
    let about = Waiting {
        rows: seq.map(|seq| SeqRange { first: seq, last: seq }),
        trades,
        disk_bytes: if seq.is_some() { trades as u64 } else { 0 },
        ids,
        arrivals: vec![(std::time::Instant::now(), u32::try_from(trades).unwrap())],
        is_of_this_run: true,
    };
    Encoded { about, lines: Lines { bytes: bytes.into(), count: trades, oldest: TradeTime::EPOCH } }
}

fn empty() -> Queue {
    Queue::new(VecDeque::new(), 100)
}

fn rows(about: &Waiting) -> (i64, i64) {
    about.rows.map(|rows| (rows.first, rows.last)).unwrap()
}

#[test]
fn what_waits_is_merged_up_to_one_write() {
    let mut queue = empty();
    (1..=5).for_each(|seq| queue.push(batch(Some(seq), 30, 10)));
    let sent: Vec<_> = std::iter::from_fn(|| queue.next_batch()).collect();
    assert_eq!(sent.iter().map(|batch| rows(&batch.about)).collect::<Vec<_>>(), [(1, 3), (4, 5)]);
    assert_eq!(sent.iter().map(|batch| batch.lines.count).collect::<Vec<_>>(), [90, 60]);
    assert_eq!(sent[0].about.ids.ranges().count(), 3);
    assert_eq!(queue.trades(), 150, "they count until the store has them");
    sent.iter().for_each(|batch| queue.finished(batch));
    assert_eq!((queue.trades(), queue.disk_bytes(), queue.memory_bytes), (0, 0, 0));
}

#[test]
fn what_an_earlier_run_left_is_sent_first_and_alone() {
    let mut left = batch(Some(1), 10, 10).about;
    left.is_of_this_run = false;
    let mut queue = Queue::new([left].into(), 100);
    queue.push(batch(Some(2), 10, 10));
    assert!(queue.next_batch().is_none(), "its lines are on disk");
    let asked = queue.next_load().unwrap();
    assert_eq!((asked.first, asked.last), (1, 1));
    assert!(queue.next_load().is_none(), "asked for once");
    assert!(queue.loaded(Some(batch(Some(1), 10, 10).lines)).is_none());
    assert_eq!(rows(&queue.next_batch().unwrap().about), (1, 1));
}

#[test]
fn memory_holds_so_much_and_the_disk_the_rest() {
    let mut queue = empty();
    let part = MEMORY_BYTES_MAX / 100 / 4;
    (1..=10).for_each(|seq| queue.push(batch(Some(seq), 100, part)));
    assert_eq!(queue.memory_bytes, 4 * 100 * part);
    assert_eq!(queue.disk_bytes(), 10 * 100);
    let sent: Vec<_> = std::iter::from_fn(|| queue.next_batch()).collect();
    assert_eq!(sent.len(), 4);
    sent.iter().for_each(|batch| queue.finished(batch));
    for seq in 5..=10 {
        assert_eq!(queue.next_load().unwrap().first, seq);
        assert!(queue.loaded(Some(batch(Some(seq), 100, part).lines)).is_none());
        let sent = queue.next_batch().unwrap();
        queue.finished(&sent);
    }
    assert_eq!((queue.trades(), queue.disk_bytes(), queue.memory_bytes), (0, 0, 0));
}

#[test]
fn what_comes_while_the_last_lines_are_read_stays_in_memory() {
    let mut left = batch(Some(1), 10, 10).about;
    left.is_of_this_run = false;
    let mut queue = Queue::new([left].into(), 100);
    assert!(queue.next_load().is_some());
    queue.push(batch(Some(2), 10, 10));
    queue.loaded(Some(batch(Some(1), 10, 10).lines));
    assert_eq!(queue.next_load(), None, "nothing else is on disk only");
    assert_eq!(std::iter::from_fn(|| queue.next_batch()).count(), 2);
}

#[test]
fn lines_that_are_not_what_was_written_are_given_up_with_their_ids() {
    let mut queue = Queue::new([batch(Some(1), 10, 10).about, batch(Some(2), 99, 10).about].into(), 100);
    for wrong in [None, Some(batch(Some(1), 9, 10).lines)] {
        assert!(queue.next_load().is_some());
        assert!(queue.loaded(wrong).is_some());
    }
    assert_eq!((queue.trades(), queue.disk_bytes()), (0, 0));
}

#[test]
fn what_the_disk_refuses_is_sent_in_its_turn_whatever_memory_holds() {
    let mut queue = Queue::new([batch(Some(1), 100, 10).about].into(), 100);
    queue.push(batch(None, 100, MEMORY_BYTES_MAX / 50));
    assert!(queue.next_batch().is_none());
    assert!(queue.next_load().is_some(), "the oldest is read though memory is full");
    queue.loaded(Some(batch(Some(1), 100, 10).lines));
    assert_eq!(rows(&queue.next_batch().unwrap().about), (1, 1));
    assert_eq!(queue.next_batch().unwrap().about.rows, None);
}

#[test]
fn a_lost_file_takes_only_what_was_nowhere_else() {
    let mut queue = Queue::new([batch(Some(1), 100, 10).about].into(), 100);
    assert!(queue.next_load().is_some());
    queue.push(batch(Some(2), 10, 10));
    let lost = queue.forget_disk();
    assert_eq!(lost.iter().map(|about| about.trades).collect::<Vec<_>>(), [100]);
    assert!(queue.loaded(Some(batch(Some(1), 100, 10).lines)).is_none(), "an answer that comes late is no answer");
    let sent = queue.next_batch().unwrap();
    assert_eq!((sent.about.rows, sent.about.trades), (None, 10));
    queue.finished(&sent);
    assert_eq!((queue.trades(), queue.disk_bytes(), queue.memory_bytes), (0, 0, 0));
}

proptest! {
    #[test]
    fn every_trade_is_sent_once_and_in_order(steps in prop::collection::vec((0u8..4, 1usize..60, any::<bool>()), 1..150)) {
        let part = MEMORY_BYTES_MAX / 400;
        let (mut queue, mut flying, mut seq) = (empty(), VecDeque::new(), 0);
        let (mut pushed, mut sent) = (Vec::new(), Vec::new());
        let ids = |about: &Waiting| about.ids.ranges().flat_map(|(_, range, _)| range.first..=range.last).collect::<Vec<_>>();
        for (step, trades, is_on_disk) in steps.into_iter().chain((0..400u16).map(|at| (1 + (at % 3) as u8, 1, true))) {
            match step {
                0 => {
                    seq += 1;
                    let mut new = batch(Some(seq), trades, part);
                    if !is_on_disk { (new.about.rows, new.about.disk_bytes) = (None, 0); }
                    pushed.extend(ids(&new.about));
                    queue.push(new);
                }
                1 => if let Some(batch) = queue.next_batch() {
                    prop_assert!(batch.about.trades <= 100 && batch.lines.count == batch.about.trades);
                    prop_assert_eq!(batch.lines.bytes.len(), batch.about.trades * part);
                    sent.extend(ids(&batch.about));
                    flying.push_back(batch);
                },
                2 => if let Some(batch) = flying.pop_front() { queue.finished(&batch) },
                _ => if let Some(asked) = queue.next_load() {
                    let trades = queue.waiting().find(|about| about.rows == Some(asked)).unwrap().trades;
                    prop_assert!(queue.loaded(Some(batch(Some(asked.first), trades, part).lines)).is_none());
                },
            }
        }
        sent.sort_unstable();
        prop_assert_eq!(sent, pushed);
        prop_assert_eq!((queue.trades(), queue.disk_bytes(), queue.memory_bytes), (0, 0, 0));
    }
}
