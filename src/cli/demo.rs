//! `tickflux demo`: all of it, offline, in seconds, leaving nothing behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::logs::start_logs;
use super::report::{HighLowRow, Printing, TradeRow, print, say};
use super::settings::{endpoint, now};
use super::signals::stop_on_signals;
use super::{Answer, Failure};
use crate::capture::machine::RunOutcome;
use crate::capture::settings::Progress;
use crate::net::Network;
use crate::net::endpoint::Service;
use crate::practice::{self, Config, Running, Source, Speed};
use crate::shell::run::run as run_capture;
use crate::shell::setup::Setup;
use crate::store::sqlite::Sqlite;
use crate::store::{AnyStore, Scope, StoredTrade};
use crate::trade::{Exchange, MINUTE_MS, Symbol, Trade, TradeTime};

/// Enough for every symbol to have some minutes.
const TRADES: u64 = 20_000;
const TRADES_PER_SECOND: f64 = 100.0;
/// The demo ends in any case.
const DURATION_MAX: Duration = Duration::from_secs(25);

/// Said below its help.
const WHAT: &str = "\
It captures 20,000 trades of the practice exchange into a SQLite file, asks the three questions, compares the answers \
with the exchange's own list, and leaves nothing behind. It needs no network.";

/// What to show.
#[derive(Debug, Args)]
#[command(after_help = WHAT)]
pub(super) struct DemoArgs {
    /// The same seed gives the same market
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) async fn run(args: DemoArgs) -> Result<Answer, Failure> {
    start_logs("tickflux=warn")?;
    let folder = Folder::create()?;
    let demo = Demo::start(args.seed).await?;
    let store = demo.capture(folder.path()).await?;
    let answer = demo.ask(&store).await;
    demo.exchange.shutdown().await;
    answer
}

struct Demo {
    exchange: Running,
    name: Exchange,
    symbols: Vec<Symbol>,
}

impl Demo {
    async fn start(seed: u64) -> Result<Self, Failure> {
        let name = |text: &str| text.parse().map_err(|error| Failure::Usage(format!("{error}")));
        let symbols = ["BTCUSDT", "ETHUSDT"].map(name).into_iter().collect::<Result<Vec<Symbol>, _>>()?;
        let source = Source::Market {
            symbols: symbols.clone(),
            seed,
            trades_per_second: TRADES_PER_SECOND,
            trades: Some(TRADES),
            speed: Speed::Max,
        };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let exchange = practice::start(listen, Config::new(source, now)).await.map_err(super::exchange::failure)?;
        let practice = "practice".parse().map_err(|error| Failure::Usage(format!("{error}")))?;
        Ok(Self { exchange, name: practice, symbols })
    }

    /// Captures everything that the exchange trades into an SQLite file in `folder`.
    async fn capture(&self, folder: &Path) -> Result<AnyStore, Failure> {
        let address = self.exchange.address();
        say(format!("A practice exchange trades at {address}. Capturing {TRADES} trades into SQLite ..."))?;
        let store: AnyStore = Arc::new(Sqlite::create(&folder.join("demo.db"), self.name.clone(), now)?);
        let network = Network::local().map_err(|error| Failure::Unusable(error.to_string()))?;
        let stream_url = endpoint(Service::Stream, &format!("ws://{address}"))?;
        let setup = Setup {
            symbols: self.symbols.clone(),
            exchange: self.name.clone(),
            stream_url,
            network,
            rest: None,
            repairs: false,
            verifies: false,
            backfill: None,
            connections: 1,
            idle_timeout: DURATION_MAX,
            outbox: folder.to_owned(),
            takes_over: false,
            outbox_limit: u64::MAX,
            count: Some(TRADES),
            duration: Some(DURATION_MAX),
            record: None,
            clock: now,
        };
        let (progress, _) = watch::channel(Progress::default());
        let stop = stop_on_signals()?;
        let capturing = run_capture(setup, AnyStore::clone(&store), Arc::default(), stop, progress, || {});
        let RunOutcome { summary, .. } = capturing.await.map_err(|error| Failure::Unusable(error.to_string()))?;
        say(format!("{} trades stored in {:.1} s.", summary.trades, summary.seconds))?;
        if summary.trades != TRADES || summary.holes_open > 0 || summary.dead_letters > 0 {
            return Err(Failure::Unusable(format!("the demo should have stored {TRADES} trades without a hole")));
        }
        Ok(store)
    }

    /// Asks the three questions, and checks each answer against the exchange's own list.
    async fn ask(&self, store: &AnyStore) -> Result<Answer, Failure> {
        let lists: Vec<_> = self.symbols.iter().map(|symbol| self.exchange.trades(symbol)).collect();
        let Some((symbol, list)) = self.symbols.first().zip(lists.first()) else { return Ok(Answer::No) };
        let middle = list.get(list.len() / 2).map_or_else(now, |trade| trade.time);
        let one = Scope { symbols: vec![symbol.clone()], exchange: None };

        say("\nThe latest price:   tickflux latest")?;
        let latest = store.latest(&Scope::default()).await?;
        print_trades(&latest, None)?;
        check(&latest, lists.iter().filter_map(|list| list.iter().max_by_key(|trade| (trade.time, trade.id))))?;

        say(format!("\nThe price at a second:   tickflux at {symbol} {middle}"))?;
        let at = store.price_at(&one, middle, false).await?;
        print_trades(&at, Some(middle))?;
        check(&at, nearest(list, middle))?;

        say(format!("\nHigh and low of a minute:   tickflux high-low {symbol} {middle}"))?;
        let extremes = store.high_low(&one, middle).await?;
        let rows: Vec<_> = extremes.iter().map(|answer| HighLowRow::new(answer, now())).collect();
        print(&rows, Printing::default())?;
        let (highs, lows): (Vec<_>, Vec<_>) = extremes.into_iter().map(|answer| (answer.high, answer.low)).unzip();
        let minute = || list.iter().filter(|trade| trade.time.ms() / MINUTE_MS == middle.ms() / MINUTE_MS);
        let price = |trade: &Trade| trade.price.to_decimal();
        check(&highs, minute().min_by_key(|trade| (-price(trade), trade.id)))?;
        check(&lows, minute().min_by_key(|trade| (price(trade), trade.id)))?;

        say("\nEvery answer is the one that the exchange's own list gives.")?;
        Ok(Answer::Done)
    }
}

fn check<'a>(answers: &[StoredTrade], expected: impl IntoIterator<Item = &'a Trade>) -> Result<(), Failure> {
    let expected: Vec<_> = expected.into_iter().collect();
    let is_right = answers.iter().map(|stored| &stored.trade).eq(expected.iter().copied());
    if is_right && !answers.is_empty() {
        return Ok(());
    }
    Err(Failure::Unusable(format!("the exchange's own list gives another answer: {expected:?}")))
}

/// By plain computation: the smallest distance; before it the highest id, else the lowest; the earlier of two.
fn nearest(list: &[Trade], time: TradeTime) -> Option<&Trade> {
    let rank = |trade: &&Trade| {
        let (distance, id) = (trade.time.ms() - time.ms(), trade.id.get().cast_signed());
        (distance.abs(), distance >= 0, if distance < 0 { -id } else { id })
    };
    list.iter().min_by_key(rank)
}

fn print_trades(trades: &[StoredTrade], asked: Option<TradeTime>) -> Result<(), Failure> {
    let rows: Vec<_> = trades.iter().map(|trade| TradeRow::new(trade, now(), asked)).collect();
    print(&rows, Printing::default())
}

/// A folder of its own, gone with its owner.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("tickflux-demo-{}", std::process::id()));
        std::fs::create_dir(&path)
            .map_err(|error| Failure::Unusable(format!("cannot make the folder {}: {error}", path.display())))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing of worth is in it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
