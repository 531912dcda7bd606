//! `tickflux gaps`: which trades are missing in the store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tokio::sync::watch;

use super::caution::{say_passed_over, say_unsealed};
use super::drawing;
use super::logs::start_logs;
use super::report::{Column, TableRow, Zone, print};
use super::settings::{DEFAULT_OUTBOX, Purpose, QuestionArgs, default_exchange, endpoint, now, searched};
use super::signals::stop_on_signals;
use super::stderr::inform;
use super::time::{self, Since, TimeArg};
use super::{Answer, Failure};
use crate::binance::DEFAULT_REST_URL;
use crate::binance::rest::Rest;
use crate::capture::machine::CaptureFailure;
use crate::capture::sequencer::Hole;
use crate::capture::settings::Progress;
use crate::net::endpoint::{Endpoint, Service, UrlText};
use crate::outbox::{Ended, Target, target};
use crate::shell::mend::{MendError, Mended, Repair, mend};
use crate::shell::setup::RunError;
use crate::store::{AnyStore, Gaps, KnownHole};
use crate::trade::{Exchange, HoleState, IdRange, IdRanges, Symbol, TradeTime};

/// Holes that a table lists.
const HOLES_SHOWN: usize = 20;

const EXAMPLES: &str = "\
Examples:
  tickflux gaps
  tickflux gaps BTCUSDT --since 1h --repair

Exit codes:
  0  no id is missing, or only such as stay so for a reason that is known
  1  an id is missing, or there is no trade of a symbol
  2  wrong usage or settings
  3  the store, or with --repair the exchange, cannot be used";

/// Which symbols, since when, in which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GapsArgs {
    /// Symbols such as BTCUSDT; every stored one if none is given
    symbols: Vec<Symbol>,
    /// How far back, 1s to 24h, or from when on, RFC 3339; a hole that began before that counts, too. An archive has older ones
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = Since::parse, allow_hyphen_values = true)]
    since: Since,
    /// Only trades before this time
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
    /// Fetch what is missing from the exchange's history first; without --exchange of binance alone
    #[arg(long)]
    repair: bool,
    /// Base of the REST URL to repair from
    #[arg(long, env = "TICKFLUX_REST_URL", hide_env_values = true, value_name = "URL", default_value = DEFAULT_REST_URL)]
    rest_url: UrlText,
    /// Folder of the capture's outbox, whose ledger knows which ids will never come
    #[arg(long, env = "TICKFLUX_OUTBOX", hide_env_values = true, value_name = "DIR", default_value = DEFAULT_OUTBOX)]
    outbox: PathBuf,
    #[command(flatten)]
    question: QuestionArgs,
}

/// The audit of a count of a series with the contract's keys.
#[derive(Debug, Serialize)]
struct GapsRow {
    exchange: String,
    symbol: String,
    first_id: u64,
    last_id: u64,
    trades: u64,
    missing: u64,
    duplicates: u64,
    holes: Vec<HoleRow>,
}

#[derive(Debug, Serialize)]
struct HoleRow {
    from_id: u64,
    to_id: u64,
    #[serde(serialize_with = "state_name")]
    state: HoleState,
}

fn state_name<S: serde::Serializer>(state: &HoleState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

pub(super) async fn run(args: GapsArgs) -> Result<Answer, Failure> {
    let GapsArgs { symbols, since, until, repair, rest_url, outbox, question } = args;
    if repair {
        let why = "an archive is not repaired: repair the store and seal the hours again with tickflux archive --to DIR, or leave --repair out";
        question.store.refuse_archive(why)?;
    }
    let rest_url = endpoint(Service::Rest, rest_url.as_str())?;
    let settings = question.store.clone();
    let (kind, asked) = (question.kind(), now());
    let since = since.within(kind, asked)?;
    let until = time::until(until, since, asked)?;
    let (mut store, scope, printing) = question.open(symbols)?;
    let exchange = scope.exchange.clone().map_or_else(default_exchange, Ok)?;
    let network = repair.then(|| settings.network()).transpose()?;
    if repair {
        start_logs("tickflux=info")?;
        // One SQLite connection that may only read keeps every other one of this process from writing.
        drop(store);
        store = settings.open_through(Purpose::Capture(exchange.clone()), network.as_ref())?;
    }
    let mut audits = store.gaps(&scope, since, until).await?;
    let store_id = store.id().await;
    let told = store.known_holes(&scope, since, until).await?;
    let mut ledger = Ledger { folder: outbox, store: AnyStore::clone(&store), store_id, mended: Vec::new(), told };
    if let Some(network) = network {
        let rest = Rest::new(&rest_url, &network).map_err(|error| Failure::Unusable(crate::error_chain(&error)))?;
        ledger.add_lost(&mut audits, since, until)?;
        let repair = Repair {
            store: AnyStore::clone(&store),
            exchange,
            rest,
            network,
            outbox: ledger.folder.clone(),
            clock: now,
        };
        ledger.mended = mend_all(repair, &rest_url, &audits, &ledger).await?;
        audits = store.gaps(&scope, since, until).await?;
    }
    ledger.add_lost(&mut audits, since, until)?;
    let rows = audits.iter().map(|audit| Ok(GapsRow::new(audit, &ledger.ended(audit)?)));
    let rows: Vec<_> = rows.collect::<Result<_, Failure>>()?;
    print(&rows, printing)?;
    say_passed_over(&store, &scope, since, until).await;
    say_unsealed(&store, &scope, since, until).await?;
    let is_found = |symbol: &&Symbol| audits.iter().any(|audit| audit.symbol == **symbol);
    let absent: Vec<_> = scope.symbols.iter().filter(|symbol| !is_found(symbol)).map(Symbol::as_str).collect();
    if audits.is_empty() || !absent.is_empty() {
        let of = if absent.is_empty() { String::new() } else { format!(" of {}", absent.join(", ")) };
        return Err(Failure::No(format!(
            "no trade{of} since {since} in {}: {}",
            searched(&store, &scope),
            kind.advice()
        )));
    }
    let is_whole = rows.iter().flat_map(|row| &row.holes).all(|hole| hole.state != HoleState::Open);
    Ok(if is_whole { Answer::Done } else { Answer::No })
}

/// Repairs every open hole of the exchange; gives the ids that will never come.
async fn mend_all(
    repair: Repair,
    rest_url: &Endpoint,
    audits: &[Gaps],
    ledger: &Ledger,
) -> Result<Vec<Ended>, Failure> {
    let mut holes = Vec::new();
    for audit in audits.iter().filter(|audit| audit.exchange == repair.exchange) {
        let row = GapsRow::new(audit, &ledger.ended(audit)?);
        let open = row.holes.iter().filter(|hole| hole.state.may_be_repaired());
        let range = |hole: &HoleRow| IdRange { first: hole.from_id, last: hole.to_id };
        holes.extend(open.map(|hole| Hole { symbol: audit.symbol.clone(), range: range(hole), time: now() }));
    }
    let (to_progress, progress) = watch::channel(Progress::default());
    let missing = holes.iter().map(|hole| hole.range.count()).sum();
    let bar = drawing::bar("missing trades", missing, move || progress.borrow().trades);
    let mended = mend(repair, holes, stop_on_signals()?, to_progress).await;
    bar.end();
    let Mended { trades, ended } = mended.map_err(|error| match error {
        MendError::Run(RunError::Start(CaptureFailure::Settings(why))) => Failure::Usage(why),
        MendError::Run(_) | MendError::Stopped => Failure::Unusable(crate::error_chain(&error)),
    })?;
    inform(format!("{trades} missing trades came from {rest_url}"));
    Ok(ended)
}

/// Where the reasons stand why ids will never come.
struct Ledger {
    folder: PathBuf,
    store: AnyStore,
    store_id: Option<String>,
    /// What a repair found out just now.
    mended: Vec<Ended>,
    /// What the store itself says of them.
    told: Vec<KnownHole>,
}

impl Ledger {
    /// Adds the holes that no store can know of: what a capture lost before the first stored trade or behind the last one.
    fn add_lost(&self, audits: &mut [Gaps], since: TradeTime, until: Option<TradeTime>) -> Result<(), Failure> {
        let is_asked = |time: TradeTime| time >= since && until.is_none_or(|until| time < until);
        let (mut newest, mut by_exchange) = (BTreeMap::new(), BTreeMap::new());
        // Of several counts the newest comes last.
        for (at, audit) in audits.iter().enumerate() {
            newest.insert((audit.exchange.clone(), audit.symbol.clone()), at);
        }
        for ((exchange, symbol), at) in newest {
            let lost = match by_exchange.entry(exchange) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => {
                    let lost = target::read_lost(&self.folder, &self.target(unread.key()));
                    unread.insert(lost.map_err(|error| Failure::Unusable(error.to_string()))?)
                }
            };
            let ranges = lost.ranges().filter(|(other, _, newest)| **other == symbol && is_asked(*newest));
            ranges.for_each(|(_, range, _)| audits[at].add_lost(range));
        }
        Ok(())
    }

    fn target(&self, exchange: &Exchange) -> Target {
        Target { store_id: self.store_id.clone(), ..Target::at(&self.store, exchange) }
    }

    /// The ids of a series that will never come.
    fn ended(&self, audit: &Gaps) -> Result<Vec<Ended>, Failure> {
        let ended = target::read_ended(&self.folder, &self.target(&audit.exchange));
        // What was found out just now stands before what was known.
        let mut all = self.mended.clone();
        let of_exchange = self.told.iter().filter(|hole| hole.exchange == audit.exchange);
        all.extend(of_exchange.map(|KnownHole { symbol, range, state, .. }| Ended {
            symbol: symbol.clone(),
            range: *range,
            state: *state,
        }));
        all.extend(ended.map_err(|error| Failure::Unusable(error.to_string()))?);
        let mut ended = all;
        ended.retain(|ended| ended.symbol == audit.symbol);
        Ok(ended)
    }
}

/// The missing ids of an audit with what is known of them, in order.
pub(super) fn holes(gaps: &Gaps, ended: &[Ended]) -> Vec<(IdRange, HoleState)> {
    let rows = gaps.holes.iter().flat_map(|hole| states(*hole, ended));
    rows.map(|row| (IdRange { first: row.from_id, last: row.to_id }, row.state)).collect()
}

impl GapsRow {
    fn new(gaps: &Gaps, ended: &[Ended]) -> Self {
        Self {
            exchange: gaps.exchange.to_string(),
            symbol: gaps.symbol.to_string(),
            first_id: gaps.span.first,
            last_id: gaps.span.last,
            trades: gaps.trades,
            missing: gaps.missing(),
            duplicates: gaps.duplicates,
            holes: gaps.holes.iter().flat_map(|hole| states(*hole, ended)).collect(),
        }
    }
}

/// A hole by the states of its ids, in order.
fn states(hole: IdRange, ended: &[Ended]) -> Vec<HoleRow> {
    let mut open = IdRanges::default();
    open.insert(hole);
    let mut rows = Vec::new();
    for Ended { range, state, .. } in ended {
        let part = IdRange { first: range.first.max(hole.first), last: range.last.min(hole.last) };
        // Of two reasons for the same ids the first stands.
        if part.first <= part.last && open.contains(part.first) && open.contains(part.last) {
            open.remove(part);
            rows.push(HoleRow { from_id: part.first, to_id: part.last, state: *state });
        }
    }
    rows.extend(open.iter().map(|range| HoleRow { from_id: range.first, to_id: range.last, state: HoleState::Open }));
    rows.sort_by_key(|row| row.from_id);
    rows
}

impl TableRow for GapsRow {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("exchange", 6),
            Column::text("symbol", 0),
            Column::number("first_id", 7),
            Column::number("last_id", 5),
            Column::number("trades", 3),
            Column::number("missing", 1),
            Column::number("duplicates", 4),
            Column::text("holes", 2),
        ]
    }

    fn cells(&self, _zone: Zone) -> Vec<String> {
        let mut holes: Vec<_> = self.holes.iter().take(HOLES_SHOWN).map(HoleRow::words).collect();
        if self.holes.len() > HOLES_SHOWN {
            holes.push(format!("and {} more", self.holes.len() - HOLES_SHOWN));
        }
        let numbers = [self.first_id, self.last_id, self.trades, self.missing, self.duplicates];
        let mut cells = vec![self.exchange.clone(), self.symbol.clone()];
        cells.extend(numbers.iter().map(ToString::to_string));
        cells.push(holes.join("\n"));
        cells
    }
}

impl HoleRow {
    fn words(&self) -> String {
        let Self { from_id, to_id, state } = self;
        if from_id == to_id { format!("{from_id} {state}") } else { format!("{from_id} to {to_id} {state}") }
    }
}
