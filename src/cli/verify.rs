//! `tickflux verify`: every whole minute of the store against the exchange's own candle, or every trade of a day against the
//! daily file that the exchange publishes.

mod candles;
mod dump;
mod reading;
mod rows;

use std::path::PathBuf;

use clap::Args;

use self::candles::Candles;
use self::rows::{MinuteRow, Summary};
use super::caution::{say_passed_over, say_unsealed};
use super::report::{Format, print, print_one};
use super::settings::{Kind, QuestionArgs, default_exchange, endpoint, now, searched};
use super::stderr::{inform, notice};
use super::time::{Since, TimeArg};
use super::{Answer, Failure};
use crate::binance::DEFAULT_REST_URL;
use crate::binance::rest::Rest;
use crate::net::endpoint::{Service, UrlText};
use crate::store::{AnyStore, Scope};
use crate::trade::{Exchange, MINUTE_MS, Symbol, TradeId, TradeTime};
use crate::verify::{Edges, Verdict, judge};

/// So long after its end a minute is compared: its last trades may be on their way, and its candle on its.
const SETTLED_MS: i64 = 5_000;
/// What is nearer to the end of the retention may leave it while it is compared.
const LEAVING_MS: i64 = 60_000;
/// Minutes of so long are in memory at once, some 600 bytes each with their candles.
const SPAN_MAX_MS: i64 = 31 * 86_400_000;
/// So far behind the last minute the next trade is looked for in an archive, which may go on for years.
const NEXT_MS: i64 = 3_600_000;
/// Rows that are printed; what comes behind them is counted only.
const ROWS_MAX: usize = 20_000;

const EXAMPLES: &str = "\
Examples:
  tickflux verify
  tickflux verify BTCUSDT --since 1h --exact
  tickflux verify BTCUSDT --kline-file klines.json
  tickflux verify --dump BTCUSDT-trades-2026-11-29.zip

Exit codes:
  0  every minute agrees; with --dump: every trade that is kept still
  1  a minute differs or is missing, or there is no trade; with --dump: a trade, or the file is damaged
  2  wrong usage or settings
  3  the exchange or the store cannot be used";

/// Which symbols, which minutes, against which candles, in which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// Symbols such as BTCUSDT; every stored one if none is given
    symbols: Vec<Symbol>,
    /// How far back, 1s to 24h, or from when on, RFC 3339; minutes that began before are left out. An archive has older ones
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = Since::parse, allow_hyphen_values = true)]
    since: Since,
    /// Only minutes that end by then
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
    /// Base of the REST URL whose candles are compared, of --exchange (binance)
    #[arg(long, env = "TICKFLUX_REST_URL", hide_env_values = true, value_name = "URL", default_value = DEFAULT_REST_URL)]
    rest_url: UrlText,
    /// Read every trade, also where the store's own sums agree with the candle
    #[arg(long)]
    exact: bool,
    /// Compare with recorded answers of /api/v3/klines of one symbol instead of asking; may be given several times
    #[arg(long, value_name = "FILE")]
    kline_file: Vec<PathBuf>,
    /// Compare every trade of a day with the zip of it that the exchange publishes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["since", "until", "exact", "kline_file"])]
    dump: Option<PathBuf>,
    /// What the exchange publishes of --dump, its SHA-256; without it FILE.CHECKSUM, if that is there
    #[arg(long, value_name = "FILE", requires = "dump")]
    checksum: Option<PathBuf>,
    #[command(flatten)]
    question: QuestionArgs,
}

/// The minutes that are compared, by their begins.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: TradeTime,
    last: TradeTime,
}

/// What is asked of every series.
struct Verifying {
    store: AnyStore,
    kind: Kind,
    candles: Candles,
    span: Span,
    is_exact: bool,
    rows: Vec<MinuteRow>,
    summary: Summary,
}

pub(super) async fn run(args: VerifyArgs) -> Result<Answer, Failure> {
    let VerifyArgs { symbols, since, until, rest_url, exact, kline_file, dump, checksum, question } = args;
    if let Some(path) = dump {
        return dump::run(&path, checksum.as_deref(), &symbols, question).await;
    }
    let exchange = question.exchange.clone().map_or_else(default_exchange, Ok)?;
    let rest_url = endpoint(Service::Rest, rest_url.as_str())?;
    if !kline_file.is_empty() && symbols.len() != 1 {
        return Err(Failure::Usage(
            "a recorded answer does not say its symbol: name one beside --kline-file".to_owned(),
        ));
    }
    let (kind, asked) = (question.kind(), now());
    let since = since.within(kind, asked)?;
    let until = until.map(|until| until.within(kind, asked)).transpose()?;
    let settings = question.store.clone();
    let question = QuestionArgs { exchange: Some(exchange.clone()), ..question };
    let (store, scope, printing) = question.open(symbols)?;
    let candles = if kline_file.is_empty() {
        let rest = Rest::new(&rest_url, &settings.network()?);
        Candles::ask(rest.map_err(|error| Failure::Unusable(crate::error_chain(&error)))?).await?
    } else {
        Candles::read(&kline_file)?
    };
    let span = span(kind, since, until, candles.now())?;
    let newest = store.latest(&scope).await?;
    let mut verifying = Verifying {
        store: AnyStore::clone(&store),
        kind,
        candles,
        span,
        is_exact: exact,
        rows: Vec::new(),
        summary: Summary::default(),
    };
    let mut absent: Vec<_> = scope.symbols.clone();
    for trade in newest.iter().map(|stored| &stored.trade).filter(|trade| trade.time >= span.first) {
        absent.retain(|symbol| *symbol != trade.symbol);
        verifying.series(&exchange, &trade.symbol, trade.time).await?;
    }
    let Verifying { rows, summary, .. } = verifying;
    print(&rows, printing)?;
    match printing.format {
        Format::Csv => inform(summary.words()),
        format => print_one(&summary, &summary.words(), format)?,
    }
    say_passed_over(&store, &scope, span.first, None).await;
    say_unsealed(&store, &scope, span.first, Some(span.last.later_by(MINUTE_MS))).await?;
    if let Some(left) = summary.listed().checked_sub(rows.len() as u64).filter(|left| *left > 0) {
        notice(format!("{left} more minutes are not listed: name fewer symbols, or give a shorter --since"));
    }
    ended(&summary, &absent, &store, kind, &scope, span, !kline_file.is_empty())
}

/// The whole minutes of `since` that are over by the exchange's time and stay in the store while they are compared.
fn span(kind: Kind, since: TradeTime, until: Option<TradeTime>, exchange_now: TradeTime) -> Result<Span, Failure> {
    let first = since.later_by(MINUTE_MS - 1).minute().max(first_that_stays(kind, now()));
    let over = exchange_now.earlier_by(SETTLED_MS);
    let last = until.map_or(over, |until| until.min(over)).minute().earlier_by(MINUTE_MS);
    if first > last {
        let why = format!("no whole minute lies between {first} and {over}");
        return Err(Failure::No(format!("{why}: give a longer --since, or wait until one is over")));
    }
    if last.ms() - first.ms() >= SPAN_MAX_MS {
        let days = SPAN_MAX_MS / 86_400_000;
        let why = format!("the time from {first} to {last} is more than {days} days");
        return Err(Failure::Usage(format!(
            "{why}: give an --until that is nearer to --since, and verify it part by part"
        )));
    }
    Ok(Span { first, last })
}

/// The begin of the first minute that does not leave the retention within [`LEAVING_MS`].
fn first_that_stays(kind: Kind, now: TradeTime) -> TradeTime {
    kind.keeps_ms()
        .map_or(TradeTime::EPOCH, |keeps_ms| now.earlier_by(keeps_ms).later_by(LEAVING_MS + MINUTE_MS - 1).minute())
}

fn ended(
    summary: &Summary,
    absent: &[Symbol],
    store: &AnyStore,
    kind: Kind,
    scope: &Scope,
    span: Span,
    is_recorded: bool,
) -> Result<Answer, Failure> {
    if summary.is_no() {
        return Ok(Answer::No);
    }
    if summary.untold() > 0 && !is_recorded {
        return Err(Failure::Unusable(format!(
            "the exchange told no candle of {} minutes, which are not verified: ask again later",
            summary.untold()
        )));
    }
    let searched = searched(store, scope);
    if !absent.is_empty() {
        let names: Vec<_> = absent.iter().map(Symbol::as_str).collect();
        let why = format!("no trade of {} since {} in {searched}", names.join(", "), span.first);
        return Err(Failure::No(format!("{why}: {}", kind.advice())));
    }
    if summary.compared() == 0 {
        let why = format!("no whole minute from {} on is stored in {searched}", span.first);
        let advice = if kind == Kind::Store { "capture for some minutes first" } else { kind.advice() };
        return Err(Failure::No(format!("{why}: {advice}, or name another --exchange")));
    }
    Ok(Answer::Done)
}

impl Verifying {
    /// Compares the minutes of one series, whose newest trade happened at `newest`.
    async fn series(&mut self, exchange: &Exchange, symbol: &Symbol, newest: TradeTime) -> Result<(), Failure> {
        let Span { first, last } = self.span;
        // Others before it may have taken long.
        let first = first.max(first_that_stays(self.kind, now()));
        let series = (exchange, symbol);
        let scope = Scope::of(series);
        // The minute after the last one says whether ids are missing between the two.
        let until = newest.minute().min(last.later_by(self.kind.keeps_ms().unwrap_or(NEXT_MS))).later_by(MINUTE_MS);
        let mut minutes = self.store.minutes(&scope, first, until).await?;
        let before = self.store.price_at(&scope, first.earlier_by(1), true).await?;
        let before = before.first().map(|stored| stored.trade.id);
        let Some(begin) = minutes.first().map(|minute| if before.is_some() { first } else { minute.start }) else {
            return Ok(());
        };
        let told = self.candles.of(symbol, begin, last.min(newest.minute())).await?;
        let mut edges = Edges { first, last, before, newest };
        let doubtful = reading::wanted(&judge(edges, &minutes, &told), self.is_exact);
        reading::read(&self.store, series, &doubtful, &mut minutes, true).await?;
        let different = reading::still_doubtful(&doubtful, &judge(edges, &minutes, &told));
        reading::read(&self.store, series, &different, &mut minutes, false).await?;
        // What has left the retention meanwhile was not read as a whole.
        let oldest = self.kind.keeps_ms().map_or(TradeTime::EPOCH, |keeps_ms| now().earlier_by(keeps_ms));
        let gone = minutes.iter().take_while(|minute| minute.start < oldest).count();
        if let Some(last_gone) = minutes.drain(..gone).next_back() {
            edges.before = TradeId::new(last_gone.ids.last).ok();
            edges.first = last_gone.start.later_by(MINUTE_MS);
        }
        for judged in judge(edges, &minutes, &told) {
            self.summary.count(&judged);
            let is_listed = !matches!(judged.verdict, Verdict::Agrees | Verdict::Untold);
            if is_listed && self.rows.len() < ROWS_MAX {
                self.rows.push(MinuteRow::new(exchange, symbol, &judged));
            }
        }
        Ok(())
    }
}
