//! What a capture will find: every part that it needs is looked at before it starts, or beside it while it runs.
//!
//! Nothing is opened for writing: no file, folder, lock, log or database is made or changed, and the write that a store is
//! tried with is empty. Each file does one kind of check; what it found is judged by a pure function beside it. Checks that
//! do not depend on each other run side by side, each with a time limit; one that depends on another that fails is skipped.

mod clock;
mod disk;
mod exchange;
mod finding;
mod metrics;
mod network;
mod outbox;
mod read_only;
mod store;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::disk::Wanted;
pub use self::finding::{Check, Finding, State};
use self::network::Way;
pub use self::read_only::forbid_writing;
use crate::net::Network;
use crate::net::endpoint::{Endpoint, Service};
use crate::outbox::Target;
use crate::store::influx::Influx;
use crate::store::{Scope, Store as _, sqlite};
use crate::trade::{Exchange, Symbol, TradeTime};

/// What is wanted of the folder of an SQLite file: room for a day of trades, some millions of a busy symbol.
const STORE: Wanted = Wanted { bytes: 1 << 30, is_made: false, flag: "--store sqlite:PATH" };
/// How long the store may take to tell its own id.
const ID_MAX: Duration = Duration::from_secs(10);

/// What a capture would be told.
#[derive(Debug)]
pub struct Setup {
    /// The way out to the network.
    pub network: Network,
    /// Whose trades.
    pub symbols: Vec<Symbol>,
    /// The exchange that they are captured from.
    pub exchange: Exchange,
    /// Base of the stream's URL.
    pub stream_url: Endpoint,
    /// Base of REST's URL.
    pub rest_url: Endpoint,
    /// Where trades go.
    pub store: StoreSetup,
    /// The folder of the outbox.
    pub outbox: PathBuf,
    /// Bytes of batches that the outbox may take.
    pub outbox_limit: u64,
    /// Where `/healthz` and `/metrics` are to be served.
    pub metrics_listen: Option<SocketAddr>,
    /// How long one trade of each symbol is waited for.
    pub wait: Duration,
    /// The wall clock, in milliseconds.
    pub clock: fn() -> TradeTime,
}

/// Where trades go.
#[derive(Debug)]
pub enum StoreSetup {
    /// An InfluxDB.
    Influx {
        /// Where it is.
        url: Endpoint,
        /// How to ask it, or why there is no token to ask with.
        client: Result<Box<Influx>, String>,
    },
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// Looks at everything. Gives a finding for each check that applies, in the order of [`Check`].
///
/// # Cancel safety
///
/// Safe: it changes nothing.
pub async fn examine(setup: &Setup) -> Vec<Finding> {
    let outbox = Wanted { bytes: setup.outbox_limit, is_made: true, flag: "--outbox" };
    let ((ways, exchange), (store_way, store), outbox, outbox_disk, metrics) = tokio::join!(
        examine_exchange(setup),
        examine_store(setup),
        examine_outbox(setup),
        disk::check(Check::OutboxDisk, &setup.outbox, outbox),
        metrics::check(setup.metrics_listen),
    );
    let ways: Vec<_> = ways.into_iter().chain(store_way).collect();
    let mut findings = vec![Finding::ok(Check::Version, concat!("tickflux ", env!("CARGO_PKG_VERSION")))];
    findings.extend(network::judge(&ways, setup.network.trusted()));
    findings.extend(exchange.into_iter().chain(store).chain([outbox, outbox_disk, metrics]));
    findings.sort_by_key(|finding| finding.check);
    findings
}

async fn examine_exchange(setup: &Setup) -> ([Way; 2], Vec<Finding>) {
    let listening = async {
        let way = network::go(Service::Stream, &setup.stream_url, &setup.network).await;
        let heard = match way.blocked_by() {
            None => Ok(exchange::listen(setup).await),
            Some(needs) => Err(needs),
        };
        (way, heard)
    };
    let asking = async {
        let way = network::go(Service::Rest, &setup.rest_url, &setup.network).await;
        let (rest, findings) = match way.blocked_by() {
            None => exchange::rest(setup).await,
            Some(needs) => (None, exchange::REST.map(|check| Finding::skipped(check, needs)).into()),
        };
        (way, rest, findings)
    };
    let ((stream_way, heard), (rest_way, rest, mut findings)) = tokio::join!(listening, asking);
    findings.push(match heard {
        Err(needs) => Finding::skipped(Check::Stream, needs),
        Ok(heard) => {
            let silent = heard.silent(&setup.symbols);
            let unlisted = match &rest {
                Some(rest) if !silent.is_empty() => exchange::unlisted(rest, &silent).await,
                _ => None,
            };
            exchange::judge_stream(setup, &heard, unlisted.as_ref())
        }
    });
    ([stream_way, rest_way], findings)
}

async fn examine_store(setup: &Setup) -> (Option<Way>, Vec<Finding>) {
    match &setup.store {
        StoreSetup::Sqlite(path) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let disk = disk::check(Check::StoreDisk, folder, STORE);
            let (store, disk) = tokio::join!(store::sqlite(path), disk);
            (None, vec![store, disk])
        }
        StoreSetup::Influx { url, client } => {
            let way = network::go(Service::Influx, url, &setup.network).await;
            let findings = match (way.blocked_by(), client) {
                (_, Err(why)) => store::without_token(why),
                (Some(needs), _) => store::INFLUX.map(|check| Finding::skipped(check, needs)).into(),
                (None, Ok(influx)) => {
                    let scope = Scope { symbols: setup.symbols.clone(), exchange: Some(setup.exchange.clone()) };
                    store::influx(influx, &scope, (setup.clock)()).await
                }
            };
            (Some(way), findings)
        }
    }
}

async fn examine_outbox(setup: &Setup) -> Finding {
    let exchange = setup.exchange.clone();
    match &setup.store {
        StoreSetup::Sqlite(path) => {
            let path = path.clone();
            let target =
                move || Target::located(sqlite::location(&path), &format!("sqlite:{}", path.display()), &exchange);
            outbox::check(&setup.outbox, target).await
        }
        StoreSetup::Influx { client: Err(_), .. } => Finding::skipped(Check::Outbox, Check::Token),
        StoreSetup::Influx { client: Ok(influx), .. } => {
            // The same store at another address is told by its own id.
            let store_id = within(ID_MAX, influx.id()).await.flatten();
            let target = Target { store_id, ..Target::located(influx.location(), &influx.describe(), &exchange) };
            outbox::check(&setup.outbox, move || target).await
        }
    }
}

/// What comes within `limit`.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}
