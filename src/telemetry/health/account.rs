//! What fails, and what the log knows of it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Part;
use crate::telemetry::throttle::EVERY;
use crate::text::one_line;

/// Bytes of a reason, at most: our own words around excerpts.
const REASON_BYTES_MAX: usize = 500;

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A part began to fail, or fails for another reason.
    Fails {
        part: Part,
        why: String,
        /// Failures and reasons that were left out since the last line, if any were.
        repeated: Option<u64>,
    },
    /// A part works again.
    Works { part: Part },
}

/// The state of every part.
#[derive(Debug)]
pub(super) struct Account {
    parts: BTreeMap<Part, State>,
}

#[derive(Debug, Default)]
struct State {
    failing: Option<String>,
    /// The reason that the log knows, while the log knows it as failing.
    told: Option<String>,
    told_at: Option<Instant>,
    left_out: u64,
}

impl Account {
    /// All is well. The stream is given a moment before the log hears that no trade came yet: so begins every capture.
    pub(super) fn new(now: Instant) -> Self {
        let stream = State { told_at: Some(now), ..State::default() };
        Self { parts: BTreeMap::from([(Part::Stream, stream)]) }
    }

    pub(super) fn failing(&mut self, part: Part, why: &str, now: Instant) -> Option<Line> {
        let state = self.parts.entry(part).or_default();
        let why = one_line(why.trim(), REASON_BYTES_MAX);
        state.left_out += u64::from(state.failing.as_ref().is_none_or(|before| is_other(before, &why)));
        state.failing = Some(why);
        state.tell(part, now)
    }

    pub(super) fn working(&mut self, part: Part) -> Option<Line> {
        let state = self.parts.get_mut(&part)?;
        state.failing = None;
        state.told.take().map(|_| Line::Works { part })
    }

    /// What had to be held back and still is so.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Line> {
        self.parts.iter_mut().filter_map(|(part, state)| state.tell(*part, now)).collect()
    }

    pub(super) fn fails(&self, part: Part) -> bool {
        self.parts.get(&part).is_some_and(|state| state.failing.is_some())
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        let reason = |(part, state): (&Part, &State)| Some(format!("{}: {}", part.name(), state.failing.as_ref()?));
        self.parts.iter().filter_map(reason).collect()
    }
}

impl State {
    fn tell(&mut self, part: Part, now: Instant) -> Option<Line> {
        let why = self.failing.as_ref()?;
        let is_known = self.told.as_ref().is_some_and(|told| !is_other(told, why));
        if is_known || self.told_at.is_some_and(|at| now < at + EVERY) {
            return None;
        }
        self.told = Some(why.clone());
        self.told_at = Some(now);
        let repeated = std::mem::take(&mut self.left_out).saturating_sub(1);
        Some(Line::Fails { part, why: why.clone(), repeated: (repeated > 0).then_some(repeated) })
    }
}

/// Whether these are two reasons: one that counts seconds or trades is the same one each time.
fn is_other(one: &str, another: &str) -> bool {
    let is_word = |c: &char| !c.is_ascii_digit();
    !one.chars().filter(is_word).eq(another.chars().filter(is_word))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn fails(part: Part, why: &str, repeated: Option<u64>) -> Line {
        Line::Fails { part, why: why.to_owned(), repeated }
    }

    fn account() -> (Account, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Account::new(start), move |ms| start + Duration::from_millis(ms))
    }

    #[test]
    fn each_begin_and_each_end_of_a_failure_is_one_line() {
        let (mut account, at) = account();
        assert_eq!(account.working(Part::Store), None, "nothing changed");
        assert_eq!(account.failing(Part::Store, "away", at(0)), Some(fails(Part::Store, "away", None)));
        assert_eq!(account.failing(Part::Store, "away", at(9_000)), None);
        assert_eq!(account.reasons(), ["store: away"]);
        assert_eq!(account.working(Part::Store), Some(Line::Works { part: Part::Store }));
        assert_eq!(account.working(Part::Store), None);
        assert!(account.reasons().is_empty() && !account.fails(Part::Store));
    }

    #[test]
    fn another_reason_is_said_in_its_turn_and_a_number_is_none() {
        let (mut account, at) = account();
        assert!(account.failing(Part::Stream, "no trade for 30 s", at(6_000)).is_some());
        assert_eq!(account.failing(Part::Stream, "no trade for 131 s", at(60_000)), None);
        assert_eq!(account.reasons(), ["stream: no trade for 131 s"]);
        let other = account.failing(Part::Stream, "reset", at(61_000));
        assert_eq!(other, Some(fails(Part::Stream, "reset", None)));
        assert_eq!(account.failing(Part::Stream, "refused", at(62_000)), None);
        assert_eq!(account.failing(Part::Stream, "no route", at(63_000)), None);
        assert_eq!(account.overdue(at(65_999)), []);
        assert_eq!(account.overdue(at(66_000)), [fails(Part::Stream, "no route", Some(1))]);
        assert_eq!(account.overdue(at(99_000)), []);
    }

    #[test]
    fn a_start_is_no_failure_unless_it_lasts() {
        let (mut account, at) = account();
        assert_eq!(account.failing(Part::Stream, "no connection yet", at(1)), None);
        assert_eq!(account.reasons(), ["stream: no connection yet"]);
        assert_eq!(account.failing(Part::Stream, "connected, and no trade yet", at(50)), None);
        assert_eq!(account.working(Part::Stream), None);
        assert_eq!(account.failing(Part::Stream, "no connection yet", at(100)), None);
        assert!(matches!(account.overdue(at(5_000))[..], [Line::Fails { part: Part::Stream, .. }]));
    }

    #[test]
    fn a_part_that_comes_and_goes_is_a_few_lines() {
        let (mut account, at) = account();
        let mut lines = Vec::new();
        for ms in 0..20_000 {
            lines.extend(account.failing(Part::Store, "away", at(ms)));
            lines.extend(account.working(Part::Store));
        }
        let left_out = |line: &Line| match line {
            Line::Fails { repeated, .. } => Some(repeated.unwrap_or(0)),
            Line::Works { .. } => None,
        };
        assert_eq!(lines.iter().filter_map(left_out).collect::<Vec<_>>(), [0, 4_999, 4_999, 4_999]);
        assert_eq!(lines.len(), 8, "each with its end");
    }

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        let (mut account, at) = account();
        account.failing(Part::Store, &format!("\u{1b}[2J\nstream: forged {}", "x".repeat(9_000)), at(0));
        let reasons = account.reasons();
        assert!(
            reasons[0].len() < REASON_BYTES_MAX + 40 && reasons[0].starts_with("store: \\u{1b}[2J\\nstream: forged")
        );
    }

    proptest! {
        /// Whatever happens: five seconds later the log knows what health says, and never more than a line in that time.
        #[test]
        fn the_log_and_health_agree(steps in prop::collection::vec((0..3usize, any::<bool>(), 0..4_000u64), 1..60)) {
            let (mut account, at) = account();
            let (mut ms, mut log, mut warned_ms) = (0, BTreeMap::new(), BTreeMap::new());
            for (part, fails, wait) in steps {
                ms += wait;
                let part = Part::ALL[part];
                let line = if fails { account.failing(part, "away", at(ms)) } else { account.working(part) };
                for line in account.overdue(at(ms)).into_iter().chain(line) {
                    match line {
                        Line::Fails { part, .. } => {
                            let before = warned_ms.insert(part, ms);
                            prop_assert!(before.is_none_or(|before| before + 5_000 <= ms));
                            log.insert(part, true);
                        }
                        Line::Works { part } => prop_assert_eq!(log.insert(part, false), Some(true)),
                    }
                }
            }
            for line in account.overdue(at(ms + 5_000)) {
                let Line::Fails { part, .. } = line else { panic!("{line:?}") };
                log.insert(part, true);
            }
            for part in Part::ALL {
                prop_assert_eq!(log.get(&part).copied().unwrap_or(false), account.fails(part));
            }
        }
    }
}
