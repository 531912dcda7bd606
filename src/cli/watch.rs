//! `tickflux watch`: a store, and a running capture, live on a terminal.

mod asking;
mod columns;
mod history;
mod metrics;
mod model;
mod screen;
mod view;

use std::env;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use tokio::sync::oneshot;

use self::asking::{ask_capture, ask_store};
use self::model::{CaptureSide, Model, StoreSide};
use self::view::Palette;
use super::logs::is_colored;
use super::settings::{DEFAULT_SQLITE, Purpose, StoreArgs, now, searched};
use super::signals::stop_on_signals;
use super::stderr;
use super::{Answer, Failure};
use crate::net::Network;
use crate::store::Scope;
use crate::trade::{Exchange, Symbol};

/// How long the end waits for a terminal that takes nothing.
const END_WAIT: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  tickflux watch
  tickflux watch BTCUSDT --store http://127.0.0.1:8086 --token-file tickflux-tokens/people.token
  tickflux watch --capture 127.0.0.1:9184

Keys: q, Esc or Ctrl-C ends; up, down, page up, page down, home and end move. missing counts the ids of the last hour.

Exit codes:
  0  it was ended, by a key or a signal
  2  wrong usage or settings, or standard output is not a terminal
  3  the store cannot be opened, or the terminal cannot be used";

/// Which symbols, in which store, beside which capture.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WatchArgs {
    /// Symbols such as BTCUSDT; every stored one if none is given
    symbols: Vec<Symbol>,
    /// Only trades of this exchange
    #[arg(long)]
    exchange: Option<Exchange>,
    /// Also ask the running capture at this address, its --metrics-listen, for its outbox and latency; where no store is
    /// named and there is no tickflux.db, ask it alone
    #[arg(long, value_name = "ADDR")]
    capture: Option<SocketAddr>,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: WatchArgs) -> Result<Answer, Failure> {
    let WatchArgs { symbols, exchange, capture, store } = args;
    store.refuse_archive(
        "nothing is captured into an archive while it is watched: ask it with tickflux latest, candles or trades",
    )?;
    if !io::stdout().is_terminal() {
        let instead = "for programs there are tickflux latest --format json, and tickflux health";
        return Err(Failure::Usage(format!("watch draws on a terminal, and standard output is none: {instead}")));
    }
    let (tell, heard) = mpsc::channel();
    let mut model = Model::default();
    let mut asking = tokio::task::JoinSet::new();
    let is_alone = capture.is_some() && store.store.is_none() && !Path::new(DEFAULT_SQLITE).exists();
    if !is_alone {
        let store = store.open(Purpose::Questions)?;
        let scope = Scope { symbols, exchange };
        model.store = Some(StoreSide::new(searched(&store, &scope), scope.symbols.clone()));
        asking.spawn(ask_store(store, scope, now, tell.clone()));
    }
    if let Some(address) = capture {
        let unusable = |error: &dyn std::error::Error| Failure::Unusable(crate::error_chain(error));
        let client =
            Network::local().map_err(|error| unusable(&error))?.http().build().map_err(|error| unusable(&error))?;
        model.capture = Some(CaptureSide { name: address.to_string(), ..CaptureSide::default() });
        asking.spawn(ask_capture(client, address, tell));
    }
    let mut stop = stop_on_signals()?;
    let palette = Palette::new(is_colored(stderr::settings().color, true, |name| env::var(name).ok()));
    let (to_end, mut ended) = oneshot::channel();
    let stopped = stop.clone();
    // Drawing waits for the terminal, which may take nothing.
    let screen = move || to_end.send(screen::show(model, &heard, &stopped, now, palette));
    let started = thread::Builder::new().name("screen".to_owned()).spawn(screen);
    started.map_err(|error| Failure::Unusable(format!("cannot start: {error}")))?;
    let shown = tokio::select! {
        shown = &mut ended => shown,
        () = async { drop(stop.wait_for(|stop| *stop).await) } => {
            // A terminal that was closed cannot be drawn on; that is why there was a signal.
            if tokio::time::timeout(END_WAIT, ended).await.is_err() {
                screen::give_back();
            }
            return Ok(Answer::Done);
        }
    };
    match shown {
        Ok(Ok(())) => Ok(Answer::Done),
        Ok(Err(error)) => Err(Failure::Unusable(format!("cannot use the terminal: {error}"))),
        Err(_) => Err(Failure::Unusable("broke".to_owned())),
    }
}
