//! `tickflux high-low`: the extremes of a minute.

use clap::Args;

use super::caution::{refuse_unsealed, say_if_clocks_disagree, say_passed_over, with_newest};
use super::report::{HighLowRow, print};
use super::settings::{Kind, QuestionArgs, now, searched};
use super::time::TimeArg;
use super::{Answer, Failure};
use crate::trade::{MINUTE_MS, Symbol};

const EXAMPLES: &str = "\
Examples:
  tickflux high-low BTCUSDT 12:00
  tickflux high-low BTCUSDT -1m --format csv

Exit codes:
  0  the minute has a trade
  1  it has none
  2  wrong usage or settings
  3  the store cannot be used";

/// Which symbol, which minute, in which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HighLowArgs {
    /// A symbol such as BTCUSDT
    symbol: Symbol,
    /// Any time in the minute: 2026-01-31T12:00:00Z (RFC 3339), 12:00 for the last time that it was so late in UTC, or -5m for five minutes ago
    #[arg(value_parser = TimeArg::parse, allow_hyphen_values = true)]
    minute: TimeArg,
    #[command(flatten)]
    question: QuestionArgs,
}

pub(super) async fn run(args: HighLowArgs) -> Result<Answer, Failure> {
    let kind = args.question.kind();
    let time = args.minute.within(kind, now())?;
    let (store, scope, printing) = args.question.open(vec![args.symbol.clone()])?;
    refuse_unsealed(&store, &scope, time).await?;
    let answers = store.high_low(&scope, time);
    let (answers, newest) =
        with_newest(answers, args.minute.is_relative() && kind == Kind::Store, &store, &scope).await?;
    let now = now();
    let rows: Vec<_> = answers.iter().map(|answer| HighLowRow::new(answer, now)).collect();
    print(&rows, printing)?;
    let minute = time.minute();
    say_passed_over(&store, &scope, minute, Some(minute.later_by(MINUTE_MS))).await;
    say_if_clocks_disagree(newest, now);
    if rows.is_empty() {
        let why = format!("no trade of {} in the minute of {time} in {}", args.symbol, searched(&store, &scope));
        let which = if kind == Kind::Store { "captured" } else { "sealed" };
        return Err(Failure::No(format!("{why}: ask for a minute that was {which}")));
    }
    Ok(Answer::Done)
}
