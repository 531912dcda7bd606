//! `tickflux at`: the trade nearest to a time.

use clap::Args;

use super::caution::{refuse_unsealed, say_if_clocks_disagree, say_passed_over, with_newest};
use super::report::{TradeRow, print};
use super::settings::{Kind, QuestionArgs, now, searched};
use super::time::TimeArg;
use super::{Answer, Failure};
use crate::trade::{Symbol, TradeTime};

const EXAMPLES: &str = "\
Examples:
  tickflux at BTCUSDT -5m
  tickflux at BTCUSDT 12:00:05 --as-of --format json

Exit codes:
  0  the trade was found
  1  there is no such trade
  2  wrong usage or settings
  3  the store cannot be used";

/// Which symbol, when, in which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AtArgs {
    /// A symbol such as BTCUSDT
    symbol: Symbol,
    /// 2026-01-31T12:00:00Z (RFC 3339), 12:00:05 for the last time that it was so late in UTC, or -5m for five minutes ago; milliseconds count
    #[arg(value_parser = TimeArg::parse, allow_hyphen_values = true)]
    time: TimeArg,
    /// The last trade at or before the time, instead of the nearest
    #[arg(long)]
    as_of: bool,
    #[command(flatten)]
    question: QuestionArgs,
}

pub(super) async fn run(args: AtArgs) -> Result<Answer, Failure> {
    let kind = args.question.kind();
    let time = args.time.within(kind, now())?;
    let (store, scope, printing) = args.question.open(vec![args.symbol.clone()])?;
    refuse_unsealed(&store, &scope, time).await?;
    let trades = store.price_at(&scope, time, args.as_of);
    let (trades, newest) = with_newest(trades, args.time.is_relative() && kind == Kind::Store, &store, &scope).await?;
    let now = now();
    let rows: Vec<_> = trades.iter().map(|trade| TradeRow::new(trade, now, Some(time))).collect();
    print(&rows, printing)?;
    // What lies between the time and the answers.
    let times = || trades.iter().map(|stored| stored.trade.time).chain((!trades.is_empty()).then_some(time));
    let until = times().max().and_then(|time| TradeTime::from_ms(time.ms() + 1).ok());
    say_passed_over(&store, &scope, times().min().unwrap_or(TradeTime::EPOCH), until).await;
    say_if_clocks_disagree(newest, now);
    if rows.is_empty() {
        let which = if args.as_of { format!(" at or before {time}") } else { kind.span().to_owned() };
        let why = format!("no trade of {}{which} in {}", args.symbol, searched(&store, &scope));
        return Err(Failure::No(format!("{why}: {}", kind.advice())));
    }
    Ok(Answer::Done)
}
