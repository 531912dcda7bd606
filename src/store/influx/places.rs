//! Lines that can be halved, and cut into bodies of a bounded size.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use super::line;
use crate::store::Lines;
use crate::trade::{IdRange, TradeIds};

/// The lines of a batch by their places.
#[derive(Debug)]
pub(super) struct Places {
    bytes: Bytes,
    count: usize,
    /// Where each line ends; found out when the first halving asks for it.
    ends: OnceLock<Vec<usize>>,
}

impl Places {
    /// Of `lines`, without what is older than `bound_ms`, whose ids it gives.
    pub(super) fn new(lines: &Lines, bound_ms: Option<i64>) -> (Self, TradeIds) {
        let mut left_out = TradeIds::default();
        let Some(bound_ms) = bound_ms.filter(|bound| lines.oldest.ms() < *bound) else {
            return (Self { bytes: lines.bytes.clone(), count: lines.count, ends: OnceLock::new() }, left_out);
        };
        let (mut kept, mut count) = (Vec::with_capacity(lines.bytes.len()), 0);
        for bytes in lines.bytes.split_inclusive(|byte| *byte == b'\n') {
            let old = line::time(bytes.trim_ascii_end()).is_some_and(|time| time.ms() < bound_ms);
            match std::str::from_utf8(bytes).ok().filter(|_| old).and_then(|text| line::trade_of(text.trim_end())) {
                Some((symbol, id, time)) => left_out.add(&symbol, IdRange::from(id), time),
                None => {
                    kept.extend_from_slice(bytes);
                    count += 1;
                }
            }
        }
        (Self { bytes: kept.into(), count, ends: OnceLock::new() }, left_out)
    }

    /// Every line.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.count
    }

    /// The first of these lines, as many as have at most `bytes_max` bytes; a line alone may have more.
    pub(super) fn head(&self, lines: &Range<usize>, bytes_max: usize) -> Range<usize> {
        if lines.len() <= 1 || self.bytes(lines).len() <= bytes_max {
            return lines.clone();
        }
        let limit = self.begin(lines.start).saturating_add(bytes_max);
        let end = self.ends().partition_point(|end| *end <= limit);
        lines.start..end.clamp(lines.start + 1, lines.end)
    }

    /// The bytes of these lines.
    pub(super) fn bytes(&self, lines: &Range<usize>) -> Bytes {
        if lines.len() == self.count {
            return self.bytes.clone();
        }
        self.bytes.slice(self.begin(lines.start)..self.ends()[lines.end - 1])
    }

    fn begin(&self, line: usize) -> usize {
        line.checked_sub(1).map_or(0, |before| self.ends()[before])
    }

    fn ends(&self) -> &[usize] {
        let line_feeds = || self.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        self.ends.get_or_init(|| line_feeds().map(|(at, _)| at + 1).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::influx::line::encode_all;
    use crate::trade::example::trade;

    proptest! {
        #[test]
        fn pieces_are_all_lines_in_order_and_bounded(count in 0u64..60, bytes_max in 1usize..3_000) {
            let trades: Vec<_> = (1..=count).map(|id| trade(id, 1_000)).collect();
            let lines = encode_all(&trades, &"binance".parse().unwrap());
            let (places, left_out) = Places::new(&lines, None);
            let (mut left, mut pieces) = (places.all(), Vec::new());
            while !left.is_empty() {
                let head = places.head(&left, bytes_max);
                pieces.push(places.bytes(&head));
                left.start = head.end;
            }
            prop_assert!(left_out.is_empty());
            prop_assert_eq!(pieces.concat(), lines.bytes.to_vec());
            let is_bounded = |piece: &Bytes| piece.len() <= bytes_max || piece.iter().filter(|byte| **byte == b'\n').count() == 1;
            prop_assert!(pieces.iter().all(is_bounded));
        }
    }

    #[test]
    fn what_is_too_old_is_left_out_by_its_id() {
        let trades = [(7, 500), (8, 2_000), (9, 999)].map(|(id, ms)| trade(id, ms));
        let lines = encode_all(&trades, &"binance".parse().unwrap());
        let (places, left_out) = Places::new(&lines, Some(1_000));
        assert_eq!(left_out.ranges().map(|(_, range, _)| range.first).collect::<Vec<_>>(), [7, 9]);
        assert_eq!(places.bytes(&(0..1)), encode_all(&trades[1..2], &"binance".parse().unwrap()).bytes);
    }
}
