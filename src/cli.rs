//! The command line: one file a subcommand.
//!
//! Names, flags, JSON keys and exit codes are a contract that scripts and
//! dashboards rely on.

mod at;
mod candles;
mod capture;
mod caution;
mod completions;
mod demo;
mod exchange;
mod faults;
mod gaps;
mod health;
mod high_low;
mod latest;
mod provision;
mod report;
mod settings;
mod signals;
mod time;

use std::fmt;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;

use crate::store::StoreError;

/// Captures every Binance trade, exactly and exactly once, into InfluxDB 2.x or SQLite.
#[derive(Debug, Parser)]
#[command(name = "tickflux", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Capture trades until SIGINT or SIGTERM, then drain and exit
    Capture(capture::CaptureArgs),
    /// Print the latest trade of each symbol
    Latest(latest::LatestArgs),
    /// Print the trade nearest to a time
    At(at::AtArgs),
    /// Print the highest and the lowest trade of a minute
    HighLow(high_low::HighLowArgs),
    /// Print open, high, low, close and volume of each minute, or of another interval
    Candles(candles::CandlesArgs),
    /// Say which trades are missing in the store
    Gaps(gaps::GapsArgs),
    /// Run the practice exchange: WebSocket and REST as Binance's
    Exchange(exchange::ExchangeArgs),
    /// Show it all offline: practice exchange, capture, the three questions
    Demo(demo::DemoArgs),
    /// Make or correct the bucket on an InfluxDB that already runs
    Provision(provision::ProvisionArgs),
    /// Ask a running capture whether it is well: exit 0 or 3
    Health(health::HealthArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// How a command ends when it did what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Exit code 0.
    Done,
    /// Exit code 1: the answer is no, and standard error or output says why.
    No,
}

/// How a command ends when it could not do what was asked: one line, and an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// Exit code 1: there is no such trade.
    No(String),
    /// Exit code 2: wrong usage or settings.
    Usage(String),
    /// Exit code 3: the exchange or the store cannot be used.
    Unusable(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::No(_) => 1,
            Self::Usage(_) => 2,
            Self::Unusable(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::No(line) | Self::Usage(line) | Self::Unusable(line)) = self;
        write!(f, "tickflux: {}", line.trim().replace(['\n', '\r'], " "))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Settings(line) => Self::Usage(line),
            StoreError::Unusable(line) => Self::Unusable(line),
        }
    }
}

/// Parses the arguments, runs the command, and gives the exit code.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprintln!("{}", error.render());
            return ExitCode::from(2);
        }
        Err(error) if error.use_stderr() => return fail(&usage(&error)),
        // Help and version go to standard output, which may be closed.
        Err(error) => return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
    };
    // One worker, and the command on it: waking each other cost several threads a sixth of a capture's CPU.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Unusable(format!("cannot start: {error}"))),
    };
    let run = runtime.spawn(run(command));
    match runtime.block_on(run).unwrap_or_else(|error| Err(Failure::Unusable(format!("broke: {error}")))) {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => fail(&failure),
    }
}

async fn run(command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Capture(args) => capture::run(args).await,
        Command::Latest(args) => latest::run(args).await,
        Command::At(args) => at::run(args).await,
        Command::HighLow(args) => high_low::run(args).await,
        Command::Candles(args) => candles::run(args).await,
        Command::Gaps(args) => gaps::run(args).await,
        Command::Exchange(args) => exchange::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Provision(args) => provision::run(args).await,
        Command::Health(args) => health::run(args).await,
        Command::Completions(args) => completions::run(&args),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{failure}\n"));
    ExitCode::from(failure.code())
}

/// clap's words up to its first empty line, as one line.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect::<Vec<_>>();
    let line = lines.join(" ").trim_start_matches("error: ").to_owned();
    Failure::Usage(format!("{line}: see tickflux --help"))
}

/// Logs go to standard error, around a status line where there is one; `RUST_LOG` chooses them.
fn start_logs(default: &str, status: ProgressBar) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(move || AroundStatus(status.clone()));
    // A second start, as in tests of one process, keeps the first.
    let _ = logs.try_init();
}

/// Writes to standard error with the status line out of the way.
struct AroundStatus(ProgressBar);

impl std::io::Write for AroundStatus {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_usage_error_is_one_line() {
        let error = Cli::try_parse_from(["tickflux", "at", "BTC/USDT", "-1m"]).unwrap_err();
        let line = usage(&error).to_string();
        assert!(!line.contains('\n') && line.contains("BTC/USDT") && line.contains("letters"), "{line}");
    }
}
