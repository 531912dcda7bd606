//! What becomes of an hour: by what the store says of it and what the archive has, without doing anything.

use super::manifest::{Hole, Manifest, Replaced, Source};
use crate::store::Gaps;
use crate::trade::{HoleState, IdRange};

/// What a store says of an hour of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Stored trades.
    pub trades: u64,
    /// The ids that are missing in it, or before it since the trade before.
    pub holes: Vec<Hole>,
    /// What is known of its end.
    pub end: End,
}

/// What is known of the end of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The trade after it follows the last one in it, or what is between will never come.
    Proven,
    /// Ids are missing between the two that may still come.
    Open,
    /// There is no trade after it.
    Unknown,
}

/// What becomes of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is sealed, and nothing has changed.
    Unchanged,
    /// It is sealed, for the first time or again.
    Seal {
        /// The number of its revision.
        revision: u32,
        /// What it replaces.
        replaces: Option<Replaced>,
    },
    /// It is left as it is.
    Leave(Why),
}

/// Why an hour is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Ids are missing that may still come.
    Holes,
    /// No trade after it says that its end is there.
    EndUnknown,
    /// The archive has more of it than the store.
    StoreHasLess,
    /// The archive has trades of it that the daily file has not.
    FileHasLess,
    /// The archive and the daily file tell a trade differently.
    Differs,
}

/// What a daily file has of an hour that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// The same trades.
    Same,
    /// These, and more.
    More,
    /// Not all of them.
    Less,
    /// Another price, quantity, time or side of one.
    Different,
}

impl Facts {
    /// Whether all of it is there, or known never to come.
    pub fn is_whole(&self) -> bool {
        !self.holes.iter().any(|hole| hole.state == HoleState::Open) && self.end == End::Proven
    }
}

/// What becomes of an hour that is over, of which `sealed` is the manifest if it is sealed.
pub fn decide(facts: &Facts, sealed: Option<&Manifest>, seal_with_holes: bool) -> Decision {
    if let Some(sealed) = sealed {
        if facts.trades < sealed.trades {
            return Decision::Leave(Why::StoreHasLess);
        }
        // Of what lies before a day a daily file knows more than a store, and a capture that began later nothing.
        let is_of_dump = sealed.source != Source::Capture && sealed.whole && facts.trades == sealed.trades;
        if is_of_dump || (facts.trades, &facts.holes, facts.is_whole()) == (sealed.trades, &sealed.holes, sealed.whole)
        {
            return Decision::Unchanged;
        }
    }
    seal(facts, sealed, seal_with_holes)
}

/// What becomes of an hour of which a daily file says `facts`, and that is sealed perhaps, with these trades or others.
///
/// What is sealed is replaced only by all of it and more, or by the same of which more is known.
pub fn decide_by_dump(facts: &Facts, sealed: Option<(&Manifest, Sameness)>, seal_with_holes: bool) -> Decision {
    let Some((sealed, sameness)) = sealed else { return seal(facts, None, seal_with_holes) };
    match sameness {
        Sameness::Different => Decision::Leave(Why::Differs),
        Sameness::Less => Decision::Leave(Why::FileHasLess),
        Sameness::More => seal(facts, Some(sealed), seal_with_holes),
        Sameness::Same if (&facts.holes, facts.is_whole()) == (&sealed.holes, sealed.whole) => Decision::Unchanged,
        // One that is of a capture stays so.
        Sameness::Same if sealed.whole && sealed.source == Source::Capture => Decision::Unchanged,
        Sameness::Same if facts.is_whole() => seal(facts, Some(sealed), seal_with_holes),
        Sameness::Same => Decision::Unchanged,
    }
}

/// It is sealed, for the first time or in place of what is sealed, if it is whole or need not be.
fn seal(facts: &Facts, sealed: Option<&Manifest>, seal_with_holes: bool) -> Decision {
    if !facts.is_whole() && !seal_with_holes {
        return Decision::Leave(if facts.end == End::Unknown { Why::EndUnknown } else { Why::Holes });
    }
    let replaces = sealed.map(|sealed| Replaced { revision: sealed.revision, sha256: sealed.sha256.clone() });
    Decision::Seal { revision: sealed.map_or(1, |sealed| sealed.revision + 1), replaces }
}

/// Which of a count's missing ids lie before its first trade: between it and the trade before.
pub fn holes_before(gaps: &Gaps) -> impl Iterator<Item = IdRange> {
    let first = gaps.span.first;
    gaps.holes.iter().copied().filter(move |hole| hole.last < first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::manifest::Minutes;

    fn facts(trades: u64, holes: &[(u64, HoleState)], end: End) -> Facts {
        let hole = |(id, state): &(u64, HoleState)| Hole { from_id: *id, to_id: *id, state: *state };
        Facts { trades, holes: holes.iter().map(hole).collect(), end }
    }

    fn sealed(facts: &Facts, revision: u32) -> Manifest {
        Manifest {
            version: 1,
            exchange: "binance".to_owned(),
            symbol: "BTCUSDT".to_owned(),
            hour: String::new(),
            sha256: format!("of {revision}"),
            bytes: 1,
            trades: facts.trades,
            first_id: 1,
            last_id: 9,
            whole: facts.is_whole(),
            holes: facts.holes.clone(),
            revision,
            replaces: None,
            minutes: Minutes::default(),
            source: Source::Capture,
            sealed_by: String::new(),
        }
    }

    fn seals(decision: Decision) -> Option<(u32, Option<u32>)> {
        match decision {
            Decision::Seal { revision, replaces } => Some((revision, replaces.map(|replaced| replaced.revision))),
            _ => None,
        }
    }

    #[test]
    fn what_is_whole_is_sealed_once() {
        let whole = facts(5, &[], End::Proven);
        assert_eq!(seals(decide(&whole, None, false)), Some((1, None)));
        assert_eq!(decide(&whole, Some(&sealed(&whole, 1)), false), Decision::Unchanged);
        // What will never come leaves nothing to wait for.
        assert_eq!(
            seals(decide(&facts(5, &[(3, HoleState::NotAtExchange)], End::Proven), None, false)),
            Some((1, None))
        );
    }

    #[test]
    fn what_is_not_whole_is_sealed_only_if_it_is_to_be() {
        for (facts, why) in [
            (facts(5, &[(3, HoleState::Open)], End::Proven), Why::Holes),
            (facts(5, &[], End::Open), Why::Holes),
            (facts(5, &[], End::Unknown), Why::EndUnknown),
        ] {
            assert_eq!(decide(&facts, None, false), Decision::Leave(why));
            assert_eq!(seals(decide(&facts, None, true)), Some((1, None)));
            assert_eq!(decide(&facts, Some(&sealed(&facts, 1)), true), Decision::Unchanged);
            assert_eq!(decide(&facts, Some(&sealed(&facts, 1)), false), Decision::Unchanged);
        }
    }

    #[test]
    fn a_repaired_hole_is_a_new_revision_that_names_the_old() {
        let before = sealed(&facts(5, &[(3, HoleState::Open)], End::Proven), 2);
        assert_eq!(seals(decide(&facts(6, &[], End::Proven), Some(&before), false)), Some((3, Some(2))));
        // What is known of it has changed.
        let known = facts(5, &[(3, HoleState::NotAtExchange)], End::Proven);
        assert_eq!(seals(decide(&known, Some(&before), false)), Some((3, Some(2))));
    }

    #[test]
    fn a_daily_file_replaces_only_what_it_has_all_of() {
        use crate::archive::manifest::DumpSource;
        let (whole, open) = (facts(5, &[], End::Proven), facts(4, &[(3, HoleState::Open)], End::Proven));
        let decided =
            |facts: &Facts, sealed: &Manifest, sameness| decide_by_dump(facts, Some((sealed, sameness)), false);
        assert_eq!(seals(decide_by_dump(&whole, None, false)), Some((1, None)));
        assert_eq!(decide_by_dump(&open, None, false), Decision::Leave(Why::Holes));
        assert_eq!(seals(decide_by_dump(&open, None, true)), Some((1, None)));
        assert_eq!(decided(&whole, &sealed(&whole, 1), Sameness::Same), Decision::Unchanged);
        assert_eq!(decided(&whole, &sealed(&whole, 1), Sameness::Different), Decision::Leave(Why::Differs));
        assert_eq!(decided(&whole, &sealed(&open, 1), Sameness::Less), Decision::Leave(Why::FileHasLess));
        assert_eq!(seals(decided(&whole, &sealed(&open, 1), Sameness::More)), Some((2, Some(1))));
        // The begin of what a capture sealed first is not proven by anything.
        assert_eq!(seals(decided(&whole, &sealed(&facts(3, &[], End::Proven), 1), Sameness::More)), Some((2, Some(1))));
        assert_eq!(
            decided(&open, &sealed(&facts(3, &[], End::Proven), 1), Sameness::More),
            Decision::Leave(Why::Holes)
        );
        // What a day is told to begin with is no reason to seal again what is of a capture, and one to what is of a file.
        let begun = facts(5, &[(0, HoleState::Expired)], End::Proven);
        assert_eq!(decided(&begun, &sealed(&whole, 1), Sameness::Same), Decision::Unchanged);
        let dump = Source::Dump(DumpSource { file: "a".to_owned(), sha256: "b".to_owned() });
        let of_dump = Manifest { source: dump, ..sealed(&whole, 1) };
        assert_eq!(seals(decided(&begun, &of_dump, Sameness::Same)), Some((2, Some(1))));
        // A capture that has as many trades leaves it as it is.
        assert_eq!(decide(&begun, Some(&of_dump), false), Decision::Unchanged);
        assert_eq!(seals(decide(&facts(6, &[], End::Proven), Some(&of_dump), false)), Some((2, Some(1))));
    }

    #[test]
    fn an_archive_is_never_made_poorer() {
        let before = sealed(&facts(5, &[], End::Proven), 1);
        for with_holes in [false, true] {
            let decision = decide(&facts(4, &[(3, HoleState::Open)], End::Proven), Some(&before), with_holes);
            assert_eq!(decision, Decision::Leave(Why::StoreHasLess));
        }
    }
}
