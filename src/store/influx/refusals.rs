//! How many of the last lines were refused: one bad line is a bad line, many are something else.
//!
//! A line that InfluxDB refuses may be given up so that it does not block the rest. When more than a tenth of the last
//! thousand lines are refused, or ten in a row, no line is at fault but the server, the bucket or something between: then
//! nothing is given up any more. Pure.

use std::collections::VecDeque;

/// Lines that are looked back at.
const WINDOW: usize = 1_000;
/// Of these so many may be refused.
const REFUSED_MAX: usize = WINDOW / 10;
/// So many in a row are too many.
const IN_A_ROW: usize = 10;

/// What became of the last lines, over all batches.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    /// Runs of lines of one fate, oldest first: whether they were refused, and how many they are.
    runs: VecDeque<(bool, usize)>,
    refused: usize,
    lines: usize,
}

impl Refusals {
    /// `lines` were stored.
    pub fn stored(&mut self, lines: usize) {
        self.add(false, lines);
    }

    /// Another line is refused: whether it may be given up.
    #[must_use]
    pub fn may_give_up(&mut self) -> bool {
        self.add(true, 1);
        let in_a_row = self.runs.back().map_or(0, |(_, lines)| *lines);
        in_a_row < IN_A_ROW && self.refused <= REFUSED_MAX
    }

    /// Takes what became of the lines of a batch, in its order.
    pub fn append(&mut self, batch: &Self) {
        batch.runs.iter().for_each(|(refused, lines)| self.add(*refused, *lines));
    }

    fn add(&mut self, refused: bool, lines: usize) {
        if lines == 0 {
            return;
        }
        match self.runs.back_mut() {
            Some((fate, count)) if *fate == refused => *count += lines,
            _ => self.runs.push_back((refused, lines)),
        }
        self.lines += lines;
        self.refused += if refused { lines } else { 0 };
        while self.lines > WINDOW {
            let Some((fate, count)) = self.runs.front_mut() else { break };
            let gone = (self.lines - WINDOW).min(*count);
            *count -= gone;
            self.lines -= gone;
            self.refused -= if *fate { gone } else { 0 };
            if *count == 0 {
                self.runs.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_tenth_in_a_row_is_not_given_up() {
        let mut refusals = Refusals::default();
        refusals.stored(500);
        assert!((1..10).all(|_| refusals.may_give_up()));
        assert!(!refusals.may_give_up());
        refusals.stored(1);
        assert!(refusals.may_give_up(), "one that is stored ends the row");
    }

    #[test]
    fn a_tenth_of_a_thousand_lines_is_the_most() {
        let mut refusals = Refusals::default();
        for line in 1..=100 {
            refusals.stored(5);
            assert!(refusals.may_give_up(), "{line}");
        }
        refusals.stored(5);
        assert!(!refusals.may_give_up(), "the hundred-and-first of the last thousand");
        refusals.stored(1_000);
        assert!(refusals.may_give_up(), "what is long past is forgotten");
    }

    #[test]
    fn a_row_goes_on_over_batches() {
        let mut all = Refusals::default();
        for _ in 0..9 {
            let mut batch = Refusals::default();
            assert!(batch.may_give_up());
            all.append(&batch);
        }
        assert!(!all.clone().may_give_up());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_list(lines in prop::collection::vec((any::<bool>(), 1usize..400), 1..80)) {
            let (mut refusals, mut list) = (Refusals::default(), Vec::new());
            for (refused, lines) in lines {
                if refused {
                    list.push(true);
                    let tail = &list[list.len().saturating_sub(1_000)..];
                    let in_a_row = tail.iter().rev().take_while(|refused| **refused).count();
                    let is_one = in_a_row < 10 && tail.iter().filter(|refused| **refused).count() <= 100;
                    prop_assert_eq!(refusals.may_give_up(), is_one);
                } else {
                    list.extend(std::iter::repeat_n(false, lines));
                    refusals.stored(lines);
                }
            }
        }
    }
}
