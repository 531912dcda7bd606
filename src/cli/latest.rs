//! `tickflux latest`: the newest trade of each symbol.

use clap::Args;

use super::caution::{say_if_clocks_disagree, say_passed_over};
use super::report::{TradeRow, print};
use super::settings::{Kind, QuestionArgs, now, searched};
use super::{Answer, Failure};
use crate::trade::{Symbol, TradeTime};

/// In front of an answer so fresh there are only writes on their way.
const FRESH_MS: i64 = 500;

const EXAMPLES: &str = "\
Examples:
  tickflux latest
  tickflux latest BTCUSDT --format json

Exit codes:
  0  every symbol that is named has a trade
  1  one of them has none within 24 h, or there is no trade at all
  2  wrong usage or settings
  3  the store cannot be used";

/// Which symbols, in which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LatestArgs {
    /// Symbols such as BTCUSDT; every stored one if none is given
    symbols: Vec<Symbol>,
    #[command(flatten)]
    question: QuestionArgs,
}

pub(super) async fn run(args: LatestArgs) -> Result<Answer, Failure> {
    let kind = args.question.kind();
    let (store, scope, printing) = args.question.open(args.symbols)?;
    let trades = store.latest(&scope).await?;
    let now = now();
    let rows: Vec<_> = trades.iter().map(|trade| TradeRow::new(trade, now, None)).collect();
    print(&rows, printing)?;
    let times = || trades.iter().map(|stored| stored.trade.time);
    if times().min().is_none_or(|oldest| oldest.ms() < now.ms() - FRESH_MS) {
        say_passed_over(&store, &scope, times().min().unwrap_or(TradeTime::EPOCH), None).await;
    }
    if kind == Kind::Store {
        say_if_clocks_disagree(times().max(), now);
    }
    let is_found = |symbol: &&Symbol| trades.iter().any(|stored| stored.trade.symbol == **symbol);
    let missing: Vec<_> = scope.symbols.iter().filter(|symbol| !is_found(symbol)).map(Symbol::as_str).collect();
    if !missing.is_empty() {
        let symbols = missing.join(", ");
        return Err(Failure::No(format!(
            "no trade of {symbols}{} in {}: {}",
            kind.span(),
            searched(&store, &scope),
            kind.advice()
        )));
    }
    if trades.is_empty() {
        let what = if kind == Kind::Store { "capture" } else { "seal" };
        let why = format!("no trade{} in {}", kind.span(), searched(&store, &scope));
        return Err(Failure::No(format!("{why}: {what} some first")));
    }
    Ok(Answer::Done)
}
