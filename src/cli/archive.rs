//! `tickflux archive`: whole hours as Parquet files that outlive the store, and what such files are worth.

mod dump;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::gaps::holes;
use super::report::{Column, FormatArgs, Printing, TableRow, Zone, print, say, utc};
use super::settings::{DEFAULT_OUTBOX, Purpose, StoreArgs, now, searched};
use super::signals::stop_on_signals;
use super::stderr::{inform, notice};
use super::time::{interval, since};
use super::{Answer, Failure};
use crate::archive::check::check;
use crate::archive::folder::Folder;
use crate::archive::manifest::{Hole, Manifest, Minutes, missing};
use crate::archive::plan::{Decision, End, Facts, Why, decide, holes_before};
use crate::archive::seal::{SealError, seal};
use crate::archive::{Hour, Series};
use crate::outbox::{Ended, Target, target};
use crate::store::{AnyStore, Gaps, Interval, RETENTION_MS, Scope};
use crate::text::Excerpt;
use crate::trade::{Exchange, HoleState, TradeTime};

/// So long after its end an hour is over: trades of its last moment may be on their way.
const ON_THEIR_WAY_MS: i64 = 10_000;

const EXAMPLES: &str = "\
Examples:
  tickflux archive --to archive
  tickflux archive --to archive --follow
  tickflux archive --to archive --from-dump BTCUSDT-trades-2026-11-29.zip
  tickflux archive --check archive

Exit codes:
  0  every hour that is over is sealed, or --follow was ended; with --check: every file is as its manifest says
  1  an hour was left, there is no trade, or a daily file is damaged; with --check: a file is not
  2  wrong usage or settings, a folder that is no archive, or a file that is no daily file
  3  the store or the archive's disk cannot be used";

/// Which hours of which store, into which folder; or which folder to check.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ArchiveArgs {
    /// Folder of the archive, which is made if it is not there
    #[arg(long, value_name = "DIR", required_unless_present = "check", conflicts_with = "check")]
    to: Option<PathBuf>,
    /// Read every file of an archive back: exit 1 if anything is not as its manifest says
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
    /// Seal the hours of a past day out of the zip of it that the exchange publishes, and not out of a store
    #[arg(long, value_name = "FILE", requires = "to", conflicts_with_all = ["check", "follow", "since"])]
    from_dump: Option<PathBuf>,
    /// What the exchange publishes of --from-dump, its SHA-256; without it FILE.CHECKSUM, if that is there
    #[arg(long, value_name = "FILE", requires = "from_dump")]
    checksum: Option<PathBuf>,
    /// Go on until SIGINT or SIGTERM, beside a capture: look again --every so often
    #[arg(long, conflicts_with = "check")]
    follow: bool,
    /// How often --follow looks, 1s to 24h
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = interval, requires = "follow")]
    every: Interval,
    /// How far back, 1s to 24h; only hours that lie in it as a whole are sealed
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = since, allow_hyphen_values = true)]
    since: Interval,
    /// Seal hours, too, of which ids are missing that may still come; their manifests say so
    #[arg(long)]
    seal_with_holes: bool,
    /// Folder of the capture's outbox, whose ledger knows which ids will never come
    #[arg(long, env = "TICKFLUX_OUTBOX", hide_env_values = true, value_name = "DIR", default_value = DEFAULT_OUTBOX)]
    outbox: PathBuf,
    /// Only trades of this exchange
    #[arg(long)]
    exchange: Option<Exchange>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: FormatArgs,
}

/// What became of an hour, with the contract's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HourRow {
    exchange: String,
    symbol: String,
    #[serde(serialize_with = "utc")]
    hour: TradeTime,
    state: &'static str,
    trades: u64,
    missing: u64,
    revision: u32,
    bytes: u64,
}

/// What a look at the store came to.
struct Look {
    /// What was sealed, and what was left.
    rows: Vec<HourRow>,
    /// Hours that are sealed and have not changed.
    unchanged: u64,
}

pub(super) async fn run(args: ArchiveArgs) -> Result<Answer, Failure> {
    if let Some(root) = &args.check {
        return tokio::task::block_in_place(|| run_check(root));
    }
    args.store.refuse_archive("what is in an archive is sealed: copy its folder, or name a store to seal from")?;
    if let Some(path) = &args.from_dump {
        return tokio::task::block_in_place(|| dump::run(path, &args));
    }
    if args.follow {
        return follow(args).await;
    }
    let store = args.store.open(Purpose::Questions)?;
    let Look { rows, unchanged } = look(&args, &store, &mut None).await?;
    tell(&rows, unchanged, &args)
}

/// Prints what became of hours, and how many they are.
fn tell(rows: &[HourRow], unchanged: u64, args: &ArchiveArgs) -> Result<Answer, Failure> {
    print(rows, args.printing())?;
    let left = rows.iter().filter(|row| row.is_left()).count();
    inform(format!(
        "{} hours sealed, {left} left, {unchanged} unchanged in {}",
        rows.len() - left,
        args.root().display()
    ));
    Ok(if left == 0 { Answer::Done } else { Answer::No })
}

/// Looks again and again. What the store or the disk cannot do now it may do the next time; wrong settings end the first look.
async fn follow(args: ArchiveArgs) -> Result<Answer, Failure> {
    let mut stop = stop_on_signals()?;
    let store = args.store.open(Purpose::Questions)?;
    let (mut folder, mut said, mut is_first) = (None, None, true);
    let mut left_before: Vec<HourRow> = Vec::new();
    loop {
        // What is on its way when the end is asked for is gone, and sealed by the next run.
        let looked = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(Answer::Done),
            looked = look(&args, &store, &mut folder) => looked,
        };
        match looked {
            Ok(Look { rows, .. }) => {
                said = None;
                // An hour that is left as it was is told of once.
                let (left, sealed): (Vec<_>, Vec<_>) = rows.into_iter().partition(HourRow::is_left);
                let news = left.iter().filter(|row| !left_before.contains(row)).cloned();
                let news: Vec<_> = sealed.into_iter().chain(news).collect();
                if !news.is_empty() {
                    print(&news, args.printing())?;
                }
                left_before = left;
            }
            Err(failure @ Failure::Usage(_)) if is_first => return Err(failure),
            Err(failure) => {
                let why = match &failure {
                    Failure::No(_) => {
                        format!("no trade in {} yet: waiting for the first", searched(&store, &Scope::default()))
                    }
                    other => format!("{other}: looking again every {} s", args.every.ms() / 1000),
                };
                if said.as_ref() != Some(&why) {
                    notice(&why);
                }
                said = Some(why);
            }
        }
        is_first = false;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(Answer::Done),
            () = tokio::time::sleep(Duration::from_millis(args.every.ms().unsigned_abs())) => {}
        }
    }
}

/// Seals what can be sealed now. The folder is opened when there is something to seal, and stays open and locked.
async fn look(args: &ArchiveArgs, store: &AnyStore, folder: &mut Option<Folder>) -> Result<Look, Failure> {
    let scope = Scope { symbols: Vec::new(), exchange: args.exchange.clone() };
    let asked = now();
    let oldest = asked.earlier_by(args.since.ms().min(RETENTION_MS));
    let running = Hour::of(asked.earlier_by(ON_THEIR_WAY_MS));
    let audits = audits(store, &scope, oldest, running).await?;
    if audits.is_empty() {
        let why = format!("no trade since {oldest} in {}", searched(store, &scope));
        return Err(Failure::No(format!("{why}: capture first, or give a longer --since")));
    }
    let folder = match folder {
        Some(folder) => folder,
        None => folder.insert(Folder::open_to_seal(args.root()).map_err(|error| cannot_use(args.root(), &error))?),
    };
    let store_id = store.id().await;
    let kept = store.kept_minutes(&scope, oldest, running.begin()).await?;
    let (mut rows, mut unchanged, mut ended) = (Vec::new(), 0_u64, BTreeMap::new());
    for (series, hours) in &audits {
        if !ended.contains_key(&series.0) {
            let target = Target { store_id: store_id.clone(), ..Target::at(store, &series.0) };
            let known = target::read_ended(&args.outbox, &target);
            ended.insert(series.0.clone(), known.map_err(|error| Failure::Unusable(error.to_string()))?);
        }
        let known: Vec<_> = ended[&series.0].iter().filter(|ended| ended.symbol == series.1).cloned().collect();
        for (at, (hour, counts)) in hours.iter().enumerate() {
            // What is behind the last hour that is over is there only to prove its end.
            if *hour >= running {
                continue;
            }
            let facts = facts(counts, hours[at + 1..].iter().find_map(|(_, counts)| counts.first()), &known);
            let manifest_path = folder.manifest(series, *hour);
            let sealed = Manifest::read(&manifest_path).map_err(|error| cannot_use(&manifest_path, &error))?;
            // A file that is not there is sealed again, whatever its manifest says.
            let sealed = sealed.filter(|_| folder.file(series, *hour).is_file());
            let minutes = Minutes::of(&kept, series, *hour);
            match decide(&facts, sealed.as_ref(), args.seal_with_holes) {
                Decision::Unchanged => {
                    unchanged += 1;
                    sealed.map_or(Ok(()), |sealed| note_minutes(&manifest_path, sealed, minutes))?;
                }
                Decision::Leave(why) => rows.push(HourRow::left(series, *hour, &facts, why)),
                Decision::Seal { revision, replaces } => {
                    let state = if replaces.is_some() { "sealed again" } else { "sealed" };
                    let sealed = seal(folder, &**store, series, *hour, &facts, (revision, replaces, minutes)).await;
                    rows.push(HourRow::sealed(series, *hour, &sealed.map_err(of_seal)?, state));
                }
            }
        }
    }
    Ok(Look { rows, unchanged })
}

/// Of a sealed hour more minutes may be verified by now: that is told beside its file, which stays as it is.
fn note_minutes(path: &Path, mut sealed: Manifest, minutes: Minutes) -> Result<(), Failure> {
    // What the store does not keep any more was so all the same.
    if minutes == sealed.minutes || minutes.count() < sealed.minutes.count() {
        return Ok(());
    }
    sealed.minutes = minutes;
    tokio::task::block_in_place(|| sealed.write(path)).map_err(|error| cannot_use(path, &error))
}

impl ArchiveArgs {
    fn root(&self) -> &Path {
        self.to.as_deref().unwrap_or(Path::new("."))
    }

    fn printing(&self) -> Printing {
        Printing { format: self.output.format, zone: Zone::Utc }
    }
}

/// What the store says of each whole hour since `oldest`, and of the time from the `running` one on, by series.
async fn audits(
    store: &AnyStore,
    scope: &Scope,
    oldest: TradeTime,
    running: Hour,
) -> Result<BTreeMap<Series, Vec<(Hour, Vec<Gaps>)>>, Failure> {
    let mut all: BTreeMap<Series, Vec<(Hour, Vec<Gaps>)>> = BTreeMap::new();
    let of_time = |error: crate::trade::TradeError| Failure::Unusable(error.to_string());
    // The first hour that is there as a whole.
    let mut hour = Hour::of(oldest);
    if hour.begin() < oldest {
        hour = hour.next().map_err(of_time)?;
    }
    loop {
        let next = hour.next().map_err(of_time)?;
        let is_over = hour < running;
        for gaps in store.gaps(scope, hour.begin(), is_over.then(|| next.begin())).await? {
            let hours = all.entry((gaps.exchange.clone(), gaps.symbol.clone())).or_default();
            match hours.last_mut().filter(|(last, _)| *last == hour) {
                Some((_, counts)) => counts.push(gaps),
                None => hours.push((hour, vec![gaps])),
            }
        }
        if !is_over {
            return Ok(all);
        }
        hour = next;
    }
}

/// What is known of an hour, by its own audit and by that of the first trades after it.
fn facts(counts: &[Gaps], after: Option<&Gaps>, known: &[Ended]) -> Facts {
    let all = counts.iter().flat_map(|gaps| holes(gaps, known));
    let holes: Vec<_> = all.map(|(ids, state)| Hole { from_id: ids.first, to_id: ids.last, state }).collect();
    let end = match after {
        None => End::Unknown,
        Some(after) => {
            let between = Gaps { holes: holes_before(after).collect(), ..after.clone() };
            let is_open = self::holes(&between, known).iter().any(|(_, state)| *state == HoleState::Open);
            if is_open { End::Open } else { End::Proven }
        }
    };
    Facts { trades: counts.iter().map(|gaps| gaps.trades).sum(), holes, end }
}

fn run_check(root: &Path) -> Result<Answer, Failure> {
    let folder = Folder::open(root).map_err(|error| cannot_use(root, &error))?;
    let mut problems = 0_u64;
    let found = check(&folder, |problem| {
        problems += 1;
        notice(format!("{}: {}", problem.path.display(), problem.why));
    });
    let found = found.map_err(|error| cannot_use(root, &error))?;
    let missing =
        if found.missing > 0 { format!(", {} ids are listed as missing", found.missing) } else { String::new() };
    say(format!("{} files, {} trades{missing}, {problems} problems", found.files, found.trades))?;
    Ok(if problems == 0 { Answer::Done } else { Answer::No })
}

fn cannot_use(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("cannot use {}: {error}", Excerpt::of(&path.display().to_string())))
}

fn of_seal(error: SealError) -> Failure {
    match error {
        SealError::Store(error) => error.into(),
        other => Failure::Unusable(other.to_string()),
    }
}

impl HourRow {
    fn is_left(&self) -> bool {
        self.revision == 0
    }

    fn sealed((exchange, symbol): &Series, hour: Hour, manifest: &Manifest, state: &'static str) -> Self {
        Self {
            exchange: exchange.to_string(),
            symbol: symbol.to_string(),
            hour: hour.begin(),
            state,
            trades: manifest.trades,
            missing: manifest.missing(),
            revision: manifest.revision,
            bytes: manifest.bytes,
        }
    }

    fn left((exchange, symbol): &Series, hour: Hour, facts: &Facts, why: Why) -> Self {
        Self {
            exchange: exchange.to_string(),
            symbol: symbol.to_string(),
            hour: hour.begin(),
            state: match why {
                Why::Holes => "left: ids are missing",
                Why::EndUnknown => "left: no trade after it",
                Why::StoreHasLess => "left: the store has less of it",
                Why::FileHasLess => "left: the file has less of it",
                Why::Differs => "left: another trade is sealed",
            },
            trades: facts.trades,
            missing: missing(&facts.holes),
            revision: 0,
            bytes: 0,
        }
    }
}

impl TableRow for HourRow {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("exchange", 6),
            Column::text("symbol", 0),
            Column::text("hour", 1),
            Column::text("state", 2),
            Column::number("trades", 3),
            Column::number("missing", 4),
            Column::number("revision", 7),
            Column::number("bytes", 5),
        ]
    }

    fn cells(&self, zone: Zone) -> Vec<String> {
        let mut cells = vec![self.exchange.clone(), self.symbol.clone(), zone.time(self.hour), self.state.to_owned()];
        cells.extend([self.trades, self.missing, self.revision.into(), self.bytes].map(|number| number.to_string()));
        cells
    }
}
