//! A daily file that is named on the command line: opened, held against its checksum, and drawn while it is read.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar};

use super::Failure;
use super::drawing::{Drawing, style};
use crate::archive::checksum::checksum;
use crate::dump::checksum::{beside, read};
use crate::dump::file::{DumpError, DumpFile};
use crate::text::Excerpt;
use crate::trade::Symbol;

/// A daily file.
#[derive(Debug)]
pub(super) struct OpenDump {
    pub(super) file: DumpFile,
    /// Its SHA-256, in hexadecimal digits.
    pub(super) sha256: String,
    /// Whether that is what is said of it.
    pub(super) is_checked: bool,
}

/// Opens a daily file of `symbol`, or of any, and compares it with what is said of it: in `told`, or in what lies beside it.
pub(super) fn open(path: &Path, told: Option<&Path>, symbol: Option<&Symbol>) -> Result<OpenDump, Failure> {
    let file = DumpFile::open(path, symbol).map_err(|error| failed(path, &error))?;
    let (sha256, _) = checksum(path).map_err(|error| failed(path, &error.into()))?;
    let beside = beside(path);
    let Some(told) = told.or_else(|| Some(&*beside).filter(|beside| beside.exists())) else {
        return Ok(OpenDump { file, sha256, is_checked: false });
    };
    let cannot = |why: &dyn std::fmt::Display| Failure::Usage(format!("cannot use {}: {why}", shown(told)));
    let said = read(told).map_err(|error| cannot(&error))?;
    let name = file.name().file("zip");
    if said.name != name {
        return Err(cannot(&format_args!("it speaks of {}, and not of {name}", Excerpt::of(&said.name))));
    }
    if said.sha256 != sha256 {
        let why = format!("its SHA-256 is {sha256}, and {} says {}", shown(told), said.sha256);
        return Err(Failure::No(format!("{}: {why}: download both again", shown(path))));
    }
    Ok(OpenDump { file, sha256, is_checked: true })
}

/// How a command ends that cannot read a daily file.
pub(super) fn failed(path: &Path, error: &DumpError) -> Failure {
    let path = shown(path);
    if error.is_no_dump() {
        Failure::Usage(format!("cannot use {path}: {error}"))
    } else {
        Failure::No(format!("{path}: {error}"))
    }
}

fn shown(path: &Path) -> Excerpt {
    Excerpt::of(&path.display().to_string())
}

/// How far the reading of a daily file is.
#[derive(Debug, Default)]
pub(super) struct Reached {
    bytes: AtomicU64,
    lines: AtomicU64,
}

impl Reached {
    /// So much of it was read.
    pub(super) fn set(&self, bytes: u64, lines: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.lines.store(lines, Ordering::Relaxed);
    }
}

/// Draws how far the reading of a file with so many bytes is, on a terminal.
pub(super) fn draw(reached: Arc<Reached>, bytes: u64) -> Drawing {
    let all = bytes.max(1);
    let bar = ProgressBar::new(all);
    bar.set_style(style("{wide_bar} {msg}, {eta} left"));
    let begun = Instant::now();
    Drawing::start(bar, move |bar| {
        let lines = reached.lines.load(Ordering::Relaxed);
        let rate = lines as f64 / begun.elapsed().as_secs_f64();
        bar.set_message(format!("{} trades, {}/s", HumanCount(lines), HumanCount(rate as u64)));
        bar.set_position(reached.bytes.load(Ordering::Relaxed).min(all));
    })
}
