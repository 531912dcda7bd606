//! What stands beside a file of an archive: what is in it, and what is known to be missing.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Hour, Series};
use crate::files::whole::WholeFile;
use crate::small_file;
use crate::store::KeptMinute;
use crate::trade::{HoleState, IdRange};

/// The version of the form below.
pub const VERSION: u32 = 1;
/// Bytes of a manifest, at most: one with as many holes as an audit may have.
const BYTES_MAX: usize = 32 << 20;

/// The manifest of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The exchange.
    pub exchange: String,
    /// The symbol.
    pub symbol: String,
    /// The hour's begin, RFC 3339.
    pub hour: String,
    /// The file's SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The file's length.
    pub bytes: u64,
    /// Trades in it.
    pub trades: u64,
    /// The id of the first trade by (T, id).
    pub first_id: u64,
    /// The id of the last one.
    pub last_id: u64,
    /// Whether every trade of the hour is there, or known never to come.
    pub whole: bool,
    /// The ids that are not there: those between the hour before and this one, too.
    pub holes: Vec<Hole>,
    /// How often the hour was sealed, from 1.
    pub revision: u32,
    /// What this one replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaced>,
    /// Minutes of the hour of which the exchange's own candles said the same when they were captured, and those that differed.
    #[serde(default)]
    pub minutes: Minutes,
    /// Where its trades come from.
    #[serde(default)]
    pub source: Source,
    /// The program that sealed it.
    pub sealed_by: String,
}

/// How many minutes of an hour were held against candles, as the store keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Minutes {
    /// The same.
    pub verified: u32,
    /// Not the same.
    pub different: u32,
}

impl Minutes {
    /// How many these are.
    pub fn count(self) -> u32 {
        self.verified.saturating_add(self.different)
    }

    /// Those of an hour of a series, of what a store keeps.
    pub fn of(kept: &[KeptMinute], series: &Series, hour: Hour) -> Self {
        let is_of_it = |minute: &&KeptMinute| {
            minute.exchange == series.0 && minute.symbol == series.1 && Hour::of(minute.start) == hour
        };
        kept.iter().filter(is_of_it).fold(Self::default(), |mut minutes, minute| {
            let count = if minute.is_verified { &mut minutes.verified } else { &mut minutes.different };
            *count = count.saturating_add(1);
            minutes
        })
    }
}

/// Where the trades of an hour come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A store that a capture wrote.
    #[default]
    Capture,
    /// A daily file that the exchange publishes.
    Dump(DumpSource),
}

/// Which daily file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpSource {
    /// Its name.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
}

/// Ids that are missing, with what is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The first.
    pub from_id: u64,
    /// The last.
    pub to_id: u64,
    /// A word of [`HoleState`].
    #[serde(with = "state")]
    pub state: HoleState,
}

impl Hole {
    /// The ids.
    pub fn range(&self) -> IdRange {
        IdRange { first: self.from_id, last: self.to_id }
    }
}

/// A revision that is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its number.
    pub revision: u32,
    /// Its file's SHA-256.
    pub sha256: String,
}

mod state {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::trade::HoleState;

    pub(super) fn serialize<S: Serializer>(state: &HoleState, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(state.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HoleState, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Manifest {
    /// Reads one; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no manifest of this version.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let bytes = match small_file::read(path, BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?.0,
        };
        let of_json = |error: serde_json::Error| io::Error::other(format!("it is no manifest: {error}"));
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(of_json)?;
        if version != VERSION {
            let why =
                format!("it has version {version}, this tickflux knows {VERSION}: use the tickflux that wrote it");
            return Err(io::Error::other(why));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(of_json)
    }

    /// Writes it, in place of one that is there.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = WholeFile::begin(path)?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.finish()
    }

    /// How many ids are missing.
    pub fn missing(&self) -> u64 {
        missing(&self.holes)
    }
}

/// How many ids these are.
pub fn missing(holes: &[Hole]) -> u64 {
    holes.iter().fold(0, |sum, hole| sum.saturating_add(hole.range().count()))
}
