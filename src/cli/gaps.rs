//! `tickflux gaps`: which trades are missing in the store.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::report::{TableRow, print};
use super::settings::{QuestionArgs, now, searched};
use super::{Answer, Failure};
use crate::store::Gaps;
use crate::trade::{Symbol, TradeTime};

/// Holes that a table lists.
const HOLES_SHOWN: usize = 20;

/// Which symbols, since when, in which store.
#[derive(Debug, Args)]
pub(super) struct GapsArgs {
    /// Symbols such as BTCUSDT; every stored one if none is given
    symbols: Vec<Symbol>,
    /// How far back, 24h at most
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    since: Duration,
    #[command(flatten)]
    question: QuestionArgs,
}

/// The audit of a series with the contract's keys.
#[derive(Debug, Serialize)]
struct GapsRow {
    #[serde(skip)]
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
    state: &'static str,
}

pub(super) async fn run(args: GapsArgs) -> Result<Answer, Failure> {
    let (store, scope, format) = args.question.open(args.symbols)?;
    let ago = i64::try_from(args.since.as_millis()).unwrap_or(i64::MAX);
    let since = TradeTime::from_ms(now().ms().saturating_sub(ago).max(0)).unwrap_or(TradeTime::EPOCH);
    let audits = store.gaps(&scope, since).await?;
    print(&audits.iter().map(GapsRow::new).collect::<Vec<_>>(), format)?;
    let is_found = |symbol: &&Symbol| audits.iter().any(|audit| audit.symbol == **symbol);
    let absent: Vec<_> = scope.symbols.iter().filter(|symbol| !is_found(symbol)).map(Symbol::as_str).collect();
    if audits.is_empty() || !absent.is_empty() {
        let of = if absent.is_empty() { String::new() } else { format!(" of {}", absent.join(", ")) };
        return Err(Failure::No(format!(
            "no trade{of} since {since} in {}: capture it first",
            searched(&store, &scope)
        )));
    }
    let is_whole = audits.iter().all(|audit| audit.holes.is_empty());
    Ok(if is_whole { Answer::Done } else { Answer::No })
}

impl GapsRow {
    fn new(gaps: &Gaps) -> Self {
        let hole = |hole: &crate::trade::IdRange| HoleRow { from_id: hole.first, to_id: hole.last, state: "open" };
        Self {
            exchange: gaps.exchange.to_string(),
            symbol: gaps.symbol.to_string(),
            first_id: gaps.span.first,
            last_id: gaps.span.last,
            trades: gaps.trades,
            missing: gaps.missing(),
            duplicates: gaps.duplicates,
            holes: gaps.holes.iter().map(hole).collect(),
        }
    }
}

impl TableRow for GapsRow {
    fn columns(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("exchange", false),
            ("symbol", false),
            ("first_id", true),
            ("last_id", true),
            ("trades", true),
            ("missing", true),
            ("duplicates", true),
            ("holes", false),
        ]
    }

    fn cells(&self) -> Vec<String> {
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
