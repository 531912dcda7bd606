//! Settings that several commands share: store, token, symbols.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use clap::Args;
use clap::builder::OsStringValueParser;

use super::Failure;
use super::names::{check_bucket, check_org};
use super::report::{FormatArgs, Printing, Zone};
use super::stderr::notice;
use crate::net::Network;
use crate::net::endpoint::{Endpoint, Service, UrlText, shown};
use crate::store::archive::Archive;
use crate::store::influx::{Credentials, Influx, InfluxSettings, Token};
use crate::store::sqlite::Sqlite;
use crate::store::{AnyStore, RETENTION_MS, Scope, StoreError};
use crate::text::Excerpt;
use crate::trade::{Exchange, Symbol, TradeTime};

/// Where capture keeps what is not stored yet, and what it knows of the store.
pub(super) const DEFAULT_OUTBOX: &str = "tickflux-outbox";
/// The file that is meant unless a store is named.
pub(super) const DEFAULT_SQLITE: &str = "tickflux.db";
const DEFAULT_STORE: &str = "sqlite:tickflux.db";
/// It is said once, however often the store is opened.
static OVERHEARD: Once = Once::new();

/// Which store, and how to get in.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
    /// sqlite:PATH, http(s)://HOST:PORT of an InfluxDB 2.x, or for questions archive:DIR [default: sqlite:tickflux.db]
    #[arg(long, env = "TICKFLUX_STORE", hide_env_values = true, value_name = "STORE")]
    pub(super) store: Option<UrlText>,
    /// InfluxDB organization
    #[arg(long, env = "INFLUX_ORG", hide_env_values = true, default_value = "tickflux")]
    pub(super) org: String,
    /// InfluxDB bucket
    #[arg(long, env = "INFLUX_BUCKET_NAME", hide_env_values = true, default_value = DEFAULT_BUCKET)]
    pub(super) bucket: String,
    /// File that holds the InfluxDB token, for its owner only; without it INFLUX_TOKEN is used
    #[arg(long, env = "TICKFLUX_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// PEM file of certificates to trust beside the system's, for servers with TLS of their own
    // Set to nothing it is not set: so an empty line in an .env file has it.
    #[arg(long, env = "TICKFLUX_CA_FILE", hide_env_values = true, value_name = "FILE", value_parser = OsStringValueParser::new())]
    pub(super) ca_file: Option<OsString>,
}

/// What every question takes.
#[derive(Debug, Args)]
pub(super) struct QuestionArgs {
    /// Only trades of this exchange
    #[arg(long)]
    pub(super) exchange: Option<Exchange>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) output: FormatArgs,
    /// Print local times in tables, with their offset; JSON and CSV stay UTC
    #[arg(long)]
    pub(super) local: bool,
}

impl QuestionArgs {
    /// What kind of store is asked.
    pub(super) fn kind(&self) -> Kind {
        self.store.kind()
    }

    /// Opens the store, and says which series the question is about.
    pub(super) fn open(self, symbols: Vec<Symbol>) -> Result<(AnyStore, Scope, Printing), Failure> {
        let store = self.store.open(Purpose::Questions)?;
        let zone = if self.local { Zone::Local } else { Zone::Utc };
        let printing = Printing { format: self.output.format, zone };
        Ok((store, Scope { symbols, exchange: self.exchange }, printing))
    }
}

/// Where a question looked, in words for people.
pub(super) fn searched(store: &AnyStore, scope: &Scope) -> String {
    match &scope.exchange {
        Some(exchange) => format!("{}, exchange {exchange}", store.describe()),
        None => store.describe(),
    }
}

/// What kind of store is asked, as far as times and words depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One that is captured into, and keeps 24 h.
    Store,
    /// One that is sealed into, and keeps everything.
    Archive,
}

impl Kind {
    /// How long a trade is kept, in milliseconds, if not for good.
    pub(super) fn keeps_ms(self) -> Option<i64> {
        (self == Self::Store).then_some(RETENTION_MS)
    }

    /// Where a trade is looked for, if not everywhere.
    pub(super) fn span(self) -> &'static str {
        if self == Self::Store { " within 24 h" } else { "" }
    }

    /// What to do for trades that are not there.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Store => "capture it first",
            Self::Archive => "seal it first (tickflux archive --to), or ask for another time",
        }
    }
}

/// What a store is opened for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// To write trades of this exchange.
    Capture(Exchange),
    /// To ask.
    Questions,
}

impl StoreArgs {
    /// The way out to the network.
    pub(super) fn network(&self) -> Result<Network, Failure> {
        let ca_file = self.ca_file.as_ref().filter(|path| !path.is_empty()).map(Path::new);
        Network::from_env(ca_file).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// Opens the store.
    pub(super) fn open(&self, purpose: Purpose) -> Result<AnyStore, Failure> {
        self.open_through(purpose, None)
    }

    /// Opens the store; one that is no file is reached through `network`, or as the settings say.
    pub(super) fn open_through(&self, purpose: Purpose, network: Option<&Network>) -> Result<AnyStore, Failure> {
        self.say_if_influx_was_meant();
        if let Some(root) = self.archive_root() {
            if matches!(purpose, Purpose::Capture(_)) {
                self.refuse_archive_of_capture()?;
            }
            return Ok(Arc::new(Archive::open(root, now)?));
        }
        if let Some(path) = self.sqlite_path() {
            return Ok(Arc::new(open_sqlite(path, purpose)?));
        }
        let exchange = match purpose {
            Purpose::Capture(exchange) => exchange,
            Purpose::Questions => default_exchange()?,
        };
        Ok(Arc::new(self.influx(exchange, network)?))
    }

    /// `INFLUX_HOST` is the influx CLI's own.
    pub(super) fn say_if_influx_was_meant(&self) {
        if self.store.is_none() && env::var_os("INFLUX_HOST").is_some() {
            notice(format!("INFLUX_HOST is set but the store is {DEFAULT_STORE}: give --store for InfluxDB"));
        }
    }

    /// The path of the SQLite file that the settings name, unless they name an InfluxDB.
    pub(super) fn sqlite_path(&self) -> Option<&Path> {
        self.text().strip_prefix("sqlite:").map(Path::new)
    }

    /// The folder of the archive that the settings name, if they name one.
    pub(super) fn archive_root(&self) -> Option<&Path> {
        self.text().strip_prefix("archive:").map(Path::new)
    }

    /// What kind of store the settings name.
    pub(super) fn kind(&self) -> Kind {
        if self.archive_root().is_some() { Kind::Archive } else { Kind::Store }
    }

    /// Refuses an archive where only a store will do.
    pub(super) fn refuse_archive(&self, why: &str) -> Result<(), Failure> {
        match self.archive_root() {
            Some(root) => {
                Err(Failure::Usage(format!("--store archive:{}: {why}", Excerpt::of(&root.display().to_string()))))
            }
            None => Ok(()),
        }
    }

    /// Refuses an archive where trades are written.
    pub(super) fn refuse_archive_of_capture(&self) -> Result<(), Failure> {
        self.refuse_archive(
            "an archive takes no trades: capture into sqlite:PATH or an InfluxDB, and seal its hours with tickflux archive --to DIR",
        )
    }

    fn text(&self) -> &str {
        self.store.as_ref().map_or(DEFAULT_STORE, UrlText::as_str)
    }

    /// Where the InfluxDB is that the settings name.
    pub(super) fn influx_url(&self) -> Result<Endpoint, Failure> {
        let text = self.text();
        if !["http://", "https://"].iter().any(|scheme| text.to_ascii_lowercase().starts_with(scheme)) {
            let (given, store) = (shown(text), "it is sqlite:PATH, archive:DIR or http(s)://HOST:PORT");
            return Err(Failure::Usage(format!("--store {given} is not an InfluxDB: {store}")));
        }
        endpoint(Service::Influx, text)
    }

    /// The InfluxDB that the settings name.
    pub(super) fn influx(&self, exchange: Exchange, network: Option<&Network>) -> Result<Influx, Failure> {
        // What is wrong with the URL is said first.
        self.influx_url()?;
        let credentials = self.credentials()?;
        self.influx_with(credentials, exchange, network)
    }

    /// The same with this token.
    pub(super) fn influx_with(
        &self,
        credentials: Credentials,
        exchange: Exchange,
        network: Option<&Network>,
    ) -> Result<Influx, Failure> {
        let url = self.influx_url()?;
        if url.is_overheard() {
            OVERHEARD.call_once(|| {
                notice(format!("the token goes to {url} in clear text, for anyone on the way to read: use https://"));
            });
        }
        check_org(&self.org)?;
        check_bucket(&self.bucket)?;
        let network = network.cloned().map_or_else(|| self.network(), Ok)?;
        let settings = InfluxSettings { url, network, org: self.org.clone(), bucket: self.bucket.clone(), credentials };
        Ok(Influx::new(settings, exchange, now)?)
    }

    /// What to authenticate with.
    pub(super) fn credentials(&self) -> Result<Credentials, Failure> {
        match (&self.token_file, env::var("INFLUX_TOKEN")) {
            (Some(path), _) => Ok(Credentials::from_file(path)?),
            (None, Ok(text)) => Ok(Credentials::fixed(Token::new(&text)?)),
            (None, Err(_)) => {
                Err(Failure::Usage("no InfluxDB token: set INFLUX_TOKEN, or give --token-file".to_owned()))
            }
        }
    }
}

/// The base URL of a service.
pub(super) fn endpoint(service: Service, text: &str) -> Result<Endpoint, Failure> {
    Endpoint::new(service, text).map_err(|error| Failure::Usage(error.to_string()))
}

fn open_sqlite(path: &Path, purpose: Purpose) -> Result<Sqlite, StoreError> {
    match purpose {
        Purpose::Capture(exchange) => Sqlite::create(path, exchange, now),
        Purpose::Questions => {
            let exchange = default_exchange().map_err(|failure| StoreError::Settings(failure.to_string()))?;
            Sqlite::open(path, exchange, now)
        }
    }
}

/// The bucket that is meant unless told otherwise.
pub(super) const DEFAULT_BUCKET: &str = "ticks";

/// Trades are captured as of this exchange unless told otherwise.
pub(super) const DEFAULT_EXCHANGE: &str = "binance";

pub(super) fn default_exchange() -> Result<Exchange, Failure> {
    DEFAULT_EXCHANGE.parse().map_err(|error| Failure::Usage(format!("{error}")))
}

/// The wall clock.
pub(super) fn now() -> TradeTime {
    // A clock before 1970 or after 2262 is no clock; trades are then judged against 1970.
    let ms = chrono::Utc::now().timestamp_millis();
    TradeTime::from_ms(ms).unwrap_or(TradeTime::EPOCH)
}
