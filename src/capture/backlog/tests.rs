//! The account against examples, and against a plain sum over everything in it.

use proptest::prelude::*;

use super::*;
use crate::trade::TradeTime;
use crate::trade::example::trade;

const NEAR: Route = Route { is_over_disk: false, slots: 1, batch_max: 100 };
const FAR: Route = Route { is_over_disk: true, slots: 2, batch_max: 100 };

fn filled(route: Route, trades: u64) -> Backlog {
    let mut backlog = Backlog::new(route);
    (1..=trades).for_each(|id| backlog.push(trade(id, 1_000), Some(Instant::now())));
    backlog
}

/// Lines of so many trades, 200 bytes each.
fn lines(count: usize) -> Lines {
    Lines { bytes: vec![b'x'; count * 200].into(), count, oldest: TradeTime::EPOCH }
}

fn rows(seq: i64) -> Rows {
    Rows { first: seq, last: seq }
}

/// Brings the next batch to the disk, and says that it is there as this row.
fn keep(backlog: &mut Backlog, seq: i64) -> usize {
    let (trades, _) = backlog.next_for_disk(true).unwrap();
    backlog.kept(Some((rows(seq), 30 * trades.len() as u64)), lines(trades.len()));
    trades.len()
}

#[test]
fn one_trade_goes_at_once_when_idle_and_drained() {
    let mut backlog = filled(FAR, 1);
    assert!(backlog.next_for_disk(false).is_none(), "more is ready to be read: gather");
    assert_eq!(backlog.next_for_disk(true).unwrap().0.len(), 1);
    assert!(backlog.next_for_disk(true).is_none(), "the disk has one");
}

#[test]
fn a_full_batch_goes_though_more_is_ready() {
    assert_eq!(filled(FAR, 101).next_for_disk(false).unwrap().0.len(), 100);
    assert!(
        matches!(filled(NEAR, 101).next_write(false, Instant::now()), Some((_, Payload::Trades(trades), 0)) if trades.len() == 100)
    );
}

#[test]
fn nothing_goes_while_every_slot_is_busy() {
    let (mut backlog, now) = (filled(NEAR, 150), Instant::now());
    let (id, ..) = backlog.next_write(true, now).unwrap();
    assert!(backlog.next_write(true, now).is_none());
    assert_eq!(backlog.acknowledged(id).unwrap().about.trades, 100);
    assert!(backlog.acknowledged(id).is_none(), "once");
    let (id, ..) = backlog.next_write(true, now).unwrap();
    backlog.acknowledged(id);
    assert_eq!(backlog.weight(), Weight::default());
}

#[test]
fn a_batch_that_is_refused_is_sent_again_after_its_wait_and_counts_its_tries() {
    let (mut backlog, now, mut rng) = (filled(NEAR, 1), Instant::now(), fastrand::Rng::with_seed(1));
    let (id, ..) = backlog.next_write(true, now).unwrap();
    assert_eq!(backlog.refused(id, Wait::Exactly(Duration::from_secs(10)), now, &mut rng), 1);
    assert_eq!((backlog.next_write(true, now), backlog.send_deadline()), (None, Some(now + Duration::from_secs(10))));
    let later = now + Duration::from_secs(10);
    assert!(matches!(backlog.next_write(true, later), Some((again, _, 1)) if again == id));
    assert!(backlog.next_write(true, later).is_none(), "it is on its way");
    backlog.refused(id, Wait::BackoffAfter(Duration::from_secs(5)), later, &mut rng);
    let again = backlog.send_deadline().unwrap();
    assert!(again >= later + Duration::from_secs(5) && again <= later + Duration::from_secs(6));
}

#[test]
fn the_stated_memory_is_the_limit_for_what_only_memory_has() {
    let most = HELD_BYTES_MAX.div_ceil(HELD_BYTES_PER_TRADE);
    let route = Route { batch_max: most / 4, ..FAR };
    let mut backlog = filled(route, most as u64 - 1);
    assert!(!backlog.is_full());
    backlog.push(trade(0, 0), Some(Instant::now()));
    assert!(backlog.is_full());
    // What the disk takes is not held any more; what it refuses is.
    let (trades, _) = backlog.next_for_disk(true).unwrap();
    assert!(backlog.is_full(), "a batch at the disk is still held");
    backlog.kept(None, lines(trades.len()));
    assert!(backlog.is_full());
    for seq in 1..=2 {
        keep(&mut backlog, seq);
    }
    assert!(backlog.is_full(), "it does not stop and go with every batch");
    keep(&mut backlog, 3);
    assert!(!backlog.is_full(), "reading goes on when half of the memory is free");
}

#[test]
fn small_batches_that_wait_are_merged_up_to_a_write() {
    let (mut backlog, now) = (Backlog::new(FAR), Instant::now());
    for id in 1..=150 {
        backlog.push(trade(id, 1_000), Some(now));
        keep(&mut backlog, id.cast_signed());
    }
    let sent = std::iter::from_fn(|| backlog.next_write(true, now)).map(|(id, payload, _)| {
        let Payload::Lines(lines) = payload else { panic!("lines are sent") };
        (id, lines.count)
    });
    let sizes: Vec<_> = sent.collect();
    assert_eq!(sizes.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [100, 50]);
    let batch = backlog.acknowledged(sizes[0].0).unwrap();
    assert_eq!((batch.place.rows(), batch.about.ids.count()), (Some(Rows { first: 1, last: 100 }), 100));
}

#[test]
fn past_the_memory_for_lines_batches_are_on_disk_only_and_come_back_in_order() {
    let batch = 1_000;
    let (route, now) = (Route { batch_max: batch, ..FAR }, Instant::now());
    let batches = LINE_BYTES_MAX / (batch * 200) + 10;
    let mut backlog = filled(route, (batches * batch) as u64);
    (1..=batches).for_each(|seq| assert_eq!(keep(&mut backlog, seq as i64), batch));
    assert!(backlog.weight().line_bytes <= LINE_BYTES_MAX && backlog.has_enough());
    assert_eq!(backlog.weight().memory_only, 0);
    assert_eq!(backlog.next_load(now), None, "memory has enough");
    let mut sent = 0;
    while let Some((id, payload, _)) = backlog.next_write(true, now) {
        let Payload::Lines(lines) = payload else { panic!("lines are sent") };
        sent += lines.count;
        backlog.acknowledged(id);
        if let Some(rows) = backlog.next_load(now) {
            let found = self::lines((rows.last - rows.first + 1) as usize * batch);
            assert!(backlog.loaded(Some(found)).is_none());
        }
    }
    assert_eq!((sent, backlog.weight()), (batches * batch, Weight::default()));
}

/// A backlog whose first batch is on disk only, and behind it one in memory.
fn with_one_on_disk() -> Backlog {
    let mut backlog = Backlog::new(FAR);
    let about = About { trades: 100, disk_bytes: 3_000, is_of_this_run: false, ..About::default() };
    backlog.take_left(vec![(about, rows(1))]);
    (101..=200).for_each(|id| backlog.push(trade(id, 1_000), None));
    let (trades, _) = backlog.next_for_disk(true).unwrap();
    backlog.kept(None, lines(trades.len()));
    backlog
}

#[test]
fn rows_that_cannot_be_read_block_nothing_and_are_given_up_after_some_tries() {
    let (mut backlog, mut now) = (with_one_on_disk(), Instant::now());
    for failure in 1..LOAD_TRIES {
        now = backlog.load_deadline().unwrap_or(now);
        assert_eq!(backlog.next_load(now), Some(rows(1)), "{failure}");
        assert!(backlog.not_loaded(now).is_none());
        assert_eq!(backlog.next_load(now), None, "not at once again");
    }
    let (id, ..) = backlog.next_write(true, now).unwrap();
    assert_eq!(backlog.acknowledged(id).unwrap().about.trades, 100, "what is at hand goes meanwhile");
    now = backlog.load_deadline().unwrap();
    assert_eq!(backlog.next_load(now), Some(rows(1)));
    assert_eq!(backlog.not_loaded(now).unwrap().about.trades, 100);
    assert_eq!(backlog.weight(), Weight::default());
}

#[test]
fn rows_that_changed_on_disk_are_given_back_at_once() {
    let (mut backlog, now) = (with_one_on_disk(), Instant::now());
    backlog.next_load(now);
    assert_eq!(backlog.loaded(Some(lines(99))).unwrap().about.trades, 100);
    assert_eq!(backlog.weight().disk_bytes, 0);
}

#[test]
fn a_damaged_file_costs_what_only_it_had() {
    let mut backlog = with_one_on_disk();
    (201..=300).for_each(|id| backlog.push(trade(id, 1_000), None));
    let now = Instant::now();
    backlog.next_load(now);
    assert_eq!(backlog.forget_disk().iter().map(|batch| batch.about.trades).collect::<Vec<_>>(), [100]);
    assert_eq!(backlog.weight().disk_bytes, 0);
    assert_eq!(backlog.weight().memory_only, 200, "what memory has, only memory has now");
    assert!(backlog.loaded(Some(lines(100))).is_none(), "an answer that comes late");
    let (id, ..) = backlog.next_write(true, now).unwrap();
    assert_eq!(backlog.acknowledged(id).unwrap().place.rows(), None);
    keep(&mut backlog, 7);
    let (id, ..) = backlog.next_write(true, now).unwrap();
    backlog.acknowledged(id);
    assert_eq!(backlog.weight(), Weight::default());
}

#[test]
fn a_restarted_count_leaves_no_old_ids_and_shares_no_batch_with_them() {
    let symbol = "BTCUSDT".parse().unwrap();
    let mut backlog = filled(FAR, 10);
    keep(&mut backlog, 1);
    (11..=20).for_each(|id| backlog.push(trade(id, 1_000), None));
    backlog.restarted(&symbol);
    (1..=3).for_each(|id| backlog.push(trade(id, 2_000), None));
    assert_eq!(backlog.ids().count(), 3, "the new count's");
    let (trades, ids) = backlog.next_for_disk(true).unwrap();
    assert_eq!((trades.len(), ids.count()), (10, 0));
    backlog.kept(Some((rows(2), 300)), lines(10));
    let (trades, ids) = backlog.next_for_disk(true).unwrap();
    assert_eq!((trades.len(), ids.count()), (3, 3));
}

#[test]
fn arrivals_count_every_live_trade() {
    let mut backlog = Backlog::new(NEAR);
    let (first, second) = (Instant::now(), Instant::now() + Duration::from_millis(1));
    [Some(first), Some(first), None, Some(second)].into_iter().for_each(|at| backlog.push(trade(1, 1), at));
    let (id, ..) = backlog.next_write(true, second).unwrap();
    assert_eq!(backlog.acknowledged(id).unwrap().about.arrivals, [(first, 2), (second, 1)]);
}

/// What a step of the property test does.
#[derive(Debug, Clone)]
enum Step {
    Push(u64),
    ToDisk,
    DiskTakes(bool),
    Write,
    Acknowledge(usize),
    Refuse(usize),
    Load,
    Loaded(u8),
    ForgetDisk,
    Restart,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..40).prop_map(Step::Push),
        4 => Just(Step::ToDisk),
        4 => any::<bool>().prop_map(Step::DiskTakes),
        4 => Just(Step::Write),
        3 => any::<usize>().prop_map(Step::Acknowledge),
        1 => any::<usize>().prop_map(Step::Refuse),
        3 => Just(Step::Load),
        3 => any::<u8>().prop_map(Step::Loaded),
        1 => Just(Step::ForgetDisk),
        1 => Just(Step::Restart),
        1 => Just(Step::Drop),
    ]
}

/// The account by a plain sum.
fn summed(backlog: &Backlog) -> Weight {
    let mut sum = Weight::default();
    let gathered: usize = backlog.gathering.iter().map(|gathered| gathered.trades.len()).sum();
    sum += Weight { trades: gathered, memory_only: gathered, ..Weight::default() };
    let flying = backlog.flying.iter().map(|flying| &flying.batch);
    backlog.waiting.iter().chain(&backlog.at_disk).chain(flying).for_each(|batch| sum += batch.weight());
    sum
}

proptest! {
    #[test]
    fn no_use_makes_the_account_disagree_or_a_trade_disappear(
        route in prop_oneof![Just(NEAR), Just(FAR)],
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let (mut backlog, mut rng, mut now) = (Backlog::new(route), fastrand::Rng::with_seed(3), Instant::now());
        let (mut pushed, mut out, mut lost, mut flying, mut seq) = (0_usize, 0, 0, Vec::new(), 0);
        for step in steps {
            now += Duration::from_secs(60);
            match step {
                Step::Push(trades) => (0..trades).for_each(|_| {
                    pushed += 1;
                    backlog.push(trade(pushed as u64, 1_000), Some(now));
                }),
                Step::ToDisk => drop(backlog.next_for_disk(true)),
                Step::DiskTakes(takes) => if let Some(batch) = &backlog.at_disk {
                    let trades = batch.about.trades;
                    seq += 1;
                    backlog.kept(takes.then_some((rows(seq), 30 * trades as u64)), lines(trades));
                },
                Step::Write => flying.extend(backlog.next_write(true, now).map(|(id, ..)| id)),
                Step::Acknowledge(at) => if !flying.is_empty() {
                    let id = flying.swap_remove(at % flying.len());
                    out += backlog.acknowledged(id).map_or(0, |batch| batch.about.trades);
                },
                Step::Refuse(at) => if !flying.is_empty() {
                    let id = flying.swap_remove(at % flying.len());
                    backlog.refused(id, Wait::BackoffAfter(Duration::ZERO), now, &mut rng);
                },
                Step::Load => drop(backlog.next_load(now)),
                Step::Loaded(how) => {
                    let trades = backlog.loading.and_then(|id| backlog.waiting.iter().find(|batch| batch.id == id));
                    let trades = trades.map_or(0, |batch| batch.about.trades);
                    let gone = match how % 4 {
                        0 => backlog.not_loaded(now),
                        1 => backlog.loaded(None),
                        _ => backlog.loaded(Some(lines(trades))),
                    };
                    lost += gone.map_or(0, |batch| batch.about.trades);
                }
                Step::ForgetDisk => lost += backlog.forget_disk().iter().map(|batch| batch.about.trades).sum::<usize>(),
                Step::Restart => backlog.restarted(&"BTCUSDT".parse().unwrap()),
                Step::Drop => if route.is_over_disk {
                    let before = backlog.weight().trades;
                    backlog.drop_next(true);
                    lost += before - backlog.weight().trades;
                },
            }
            prop_assert_eq!(backlog.weight(), summed(&backlog));
            prop_assert_eq!(pushed, out + lost + backlog.weight().trades);
            prop_assert!(backlog.flying.len() <= route.slots);
        }
        // Whatever happened, it all goes out in the end.
        for _ in 0..2_000 {
            now += Duration::from_secs(60);
            if backlog.next_for_disk(true).is_some() || backlog.at_disk.is_some() {
                let trades = backlog.at_disk.as_ref().map_or(0, |batch| batch.about.trades);
                seq += 1;
                backlog.kept(Some((rows(seq), 1)), lines(trades));
            }
            backlog.next_load(now);
            if let Some(id) = backlog.loading {
                let trades = backlog.waiting.iter().find(|batch| batch.id == id).map_or(0, |batch| batch.about.trades);
                prop_assert!(backlog.loaded(Some(lines(trades))).is_none());
            }
            flying.extend(backlog.next_write(true, now).map(|(id, ..)| id));
            flying.drain(..).for_each(|id| out += backlog.acknowledged(id).map_or(0, |batch| batch.about.trades));
        }
        prop_assert_eq!((backlog.weight(), out + lost), (Weight::default(), pushed));
    }
}
