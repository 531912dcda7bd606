//! What can be said of ids that the store does not have.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The state of missing ids. The words are part of the command-line contract and stand in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HoleState {
    /// They may still come.
    Open,
    /// The exchange has later ids and not these.
    NotAtExchange,
    /// Older than the retention: nobody would see them.
    Expired,
    /// More ids than a hole can have: a jump.
    Refused,
    /// The store refuses these trades in its own words; each is a dead letter.
    RefusedByStore,
}

/// A text that names no state of a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a state of a hole")]
pub struct HoleStateError;

impl HoleState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Open, Self::NotAtExchange, Self::Expired, Self::Refused, Self::RefusedByStore];

    /// The contract's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NotAtExchange => "not_at_exchange",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::RefusedByStore => "refused_by_store",
        }
    }

    /// Whether a repair may still bring the trades, today or on another day.
    pub const fn may_be_repaired(self) -> bool {
        matches!(self, Self::Open | Self::NotAtExchange | Self::RefusedByStore)
    }
}

impl fmt::Display for HoleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HoleState {
    type Err = HoleStateError;

    fn from_str(text: &str) -> Result<Self, HoleStateError> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(HoleStateError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back_from_its_name() {
        for state in HoleState::ALL {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert_eq!("gone".parse::<HoleState>(), Err(HoleStateError));
    }
}
