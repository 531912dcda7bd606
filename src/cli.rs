//! The command line: one file a subcommand.
//!
//! Names, flags, JSON keys and exit codes are a contract that scripts and
//! dashboards rely on.

mod archive;
mod at;
mod candles;
mod capture;
mod caution;
mod completions;
mod config;
mod demo;
mod doctor;
mod drawing;
mod dump;
mod exchange;
mod faults;
mod flux;
mod gaps;
mod health;
mod high_low;
mod latest;
mod logs;
mod man;
mod names;
mod provision;
mod report;
mod settings;
mod setup;
mod signals;
mod sizes;
mod status;
mod stderr;
mod time;
mod trades;
mod verify;
mod watch;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::stderr::NOTICE_BYTES_MAX;
use crate::net::endpoint::without_credentials;
use crate::store::StoreError;
use crate::text::one_line;

/// How long the end waits for what the system still does, such as a look-up of a name.
const THREADS_WAIT: Duration = Duration::from_secs(2);

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the answer is no: no such trade, a hole, not every trade is stored, a warning of the doctor
  2    wrong usage or settings, also what the store refuses at the start
  3    the exchange or the store cannot be used; trades were read and not stored
  130  interrupted twice

Times are UTC: 2026-01-31T12:00:00Z, 12:00:05, -5m. Durations: 30s, 1h30m. Sizes: 512MB, 2GiB.";

/// The version, and the commit where the build knew it.
fn version() -> String {
    let commit = option_env!("TICKFLUX_COMMIT").map(|commit| format!(" ({commit})")).unwrap_or_default();
    format!("{}{commit}", env!("CARGO_PKG_VERSION"))
}

/// Captures every Binance trade, exactly and exactly once, into InfluxDB 2.x or SQLite.
#[derive(Debug, Parser)]
#[command(name = "tickflux", version = version(), max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logs: logs::LogArgs,
    /// TOML file of settings, by the flags' names; flags and the environment win over it
    // It is read before the command line is.
    #[arg(long, global = true, env = config::VARIABLE, hide_env_values = true, value_name = "FILE")]
    #[arg(help_heading = "Options of every command")]
    config: Option<std::path::PathBuf>,
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
    /// Print the trades themselves, or write them into a file, as Parquet too
    Trades(trades::TradesArgs),
    /// Seal whole hours of trades as Parquet files that outlive the store, or check such files
    Archive(archive::ArchiveArgs),
    /// Watch a store, and a running capture, live on a terminal
    Watch(watch::WatchArgs),
    /// Say which trades are missing in the store
    Gaps(gaps::GapsArgs),
    /// Hold every minute of a store against the exchange's own candle
    Verify(verify::VerifyArgs),
    /// Run the practice exchange: WebSocket and REST as Binance's
    Exchange(exchange::ExchangeArgs),
    /// Show it all offline: practice exchange, capture, the three questions
    Demo(demo::DemoArgs),
    /// Make or correct the bucket, and the dashboard, on an InfluxDB that already runs
    Provision(provision::ProvisionArgs),
    /// Ask a running capture whether it is well: exit 0 or 3
    Health(health::HealthArgs),
    /// Look at all that a capture needs, changing nothing: exit 0, 1 for a warning, 3 for a fault
    Doctor(doctor::DoctorArgs),
    /// Print a bundled Flux file with its parameters set, for the influx CLI and the InfluxDB UI
    Flux(flux::FluxArgs),
    /// Print a manual page, to be read with man -l -
    Man(man::ManArgs),
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
        f.write_str(&one_line(line.trim(), NOTICE_BYTES_MAX))
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

/// From now on a panic, on whatever thread, ends the process, as a kill does: what was taken is in the outbox.
fn end_on_panic() {
    // The hook that is there would wait for whoever reads standard error.
    std::panic::set_hook(Box::new(|panic| {
        stderr::notice(panic);
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            trace.to_string().lines().for_each(stderr::line);
        }
        stderr::end(None);
        std::process::exit(3);
    }));
}

/// Parses the arguments, runs the command, and gives the exit code.
pub fn main() -> ExitCode {
    end_on_panic();
    let mut command = Cli::command();
    if let Some(path) = config::named(env::args_os(), env::var_os(config::VARIABLE)) {
        command = match config::under(command, &path) {
            Ok(command) => command,
            Err(error) => return fail(&Failure::Usage(error.to_string())),
        };
    }
    let parsed = command.try_get_matches_from_mut(env::args_os()).and_then(|matches| Cli::from_arg_matches(&matches));
    let command = match parsed {
        Ok(cli) => {
            stderr::set(cli.logs);
            cli.command
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.render().to_string().lines().for_each(stderr::line);
            return end(2, None);
        }
        Err(error) if error.use_stderr() => {
            let first = env::args_os().nth(1).and_then(|name| name.into_string().ok());
            return fail(&usage(&error, first.as_deref()));
        }
        // Help and version go to standard output, which may be closed.
        Err(error) => return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
    };
    // One worker, and the command on it: waking each other cost several threads a sixth of a capture's CPU.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Unusable(format!("cannot start: {error}"))),
    };
    let run = runtime.spawn(run(command));
    let result = runtime.block_on(run).unwrap_or_else(|error| Err(Failure::Unusable(format!("broke: {error}"))));
    runtime.shutdown_timeout(THREADS_WAIT);
    match result {
        Ok(Answer::Done) => end(0, None),
        Ok(Answer::No) => end(1, None),
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
        Command::Trades(args) => trades::run(args).await,
        Command::Archive(args) => archive::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Gaps(args) => gaps::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Exchange(args) => exchange::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Provision(args) => provision::run(args).await,
        Command::Health(args) => health::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Flux(args) => flux::run(args),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    end(failure.code(), Some(failure))
}

fn end(code: u8, last: Option<&Failure>) -> ExitCode {
    stderr::end(last);
    ExitCode::from(code)
}

/// clap's words up to its first empty line, what it thinks was meant, and whose help to see: one line. `first` is the first
/// argument, a subcommand perhaps.
fn usage(error: &clap::Error, first: Option<&str>) -> Failure {
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect::<Vec<_>>();
    // A value may be of any length and quote a password, and what to do stands behind it.
    let line = without_credentials(lines.join(" ").trim_start_matches("error: "));
    let line = one_line(&line, NOTICE_BYTES_MAX - 200);
    let meant = meant(error).map(|name| format!(", did you mean {name}?")).unwrap_or_default();
    let of = first.filter(|name| Cli::command().find_subcommand(name).is_some());
    let of = of.map(|name| format!(" {name}")).unwrap_or_default();
    Failure::Usage(format!("{line}{meant}: see tickflux{of} --help"))
}

/// The name that is nearest to what was typed.
fn meant(error: &clap::Error) -> Option<&str> {
    let kinds = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(name) => Some(name.as_str()),
        // The best one is the last.
        ContextValue::Strings(names) => names.last().map(String::as_str),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It runs itself in another process, which is to end.
    #[test]
    fn a_panic_on_whatever_thread_ends_the_process_with_3_and_is_said() {
        const IS_OTHER: &str = "TICKFLUX_TEST_PANIC";
        if env::var_os(IS_OTHER).is_some() {
            end_on_panic();
            let _ = std::thread::spawn(|| panic!("a part\nbroke")).join();
            return;
        }
        let name = "cli::tests::a_panic_on_whatever_thread_ends_the_process_with_3_and_is_said";
        let mut other = std::process::Command::new(env::current_exe().unwrap());
        let other = other.args(["--exact", name, "--nocapture"]).env(IS_OTHER, "1").env("RUST_BACKTRACE", "0");
        let output = other.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.starts_with("tickflux: panicked at ") && said.ends_with("a part\\nbroke\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_usage_error_is_one_line() {
        let error = Cli::try_parse_from(["tickflux", "at", "BTC/USDT", "-1m"]).unwrap_err();
        let line = usage(&error, Some("at")).to_string();
        assert!(!line.contains('\n') && line.contains("BTC/USDT") && line.contains("letters"), "{line}");
    }

    #[test]
    fn a_usage_error_says_what_was_meant_and_whose_help_to_see() {
        for (args, end) in [
            (&["latst"][..], "unrecognized subcommand 'latst', did you mean latest?: see tickflux --help"),
            (&["capture", "--symbls", "X"], "'--symbls' found, did you mean --symbols?: see tickflux capture --help"),
            (&["latest", "--format", "jsn"], "did you mean json?: see tickflux latest --help"),
            (&["at"], "<SYMBOL> <TIME>: see tickflux at --help"),
        ] {
            let error = Cli::try_parse_from([&["tickflux"], args].concat()).unwrap_err();
            let line = usage(&error, Some(args[0])).to_string();
            assert!(line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn a_last_line_is_one_line_of_bounded_length_that_no_terminal_obeys() {
        let said = format!("\n cannot\r\nread \u{1b}[2J\u{202e}\u{9b}{}", "x".repeat(1 << 20));
        let line = Failure::Unusable(said).to_string();
        assert!(line.starts_with(r"cannot\r\nread \u{1b}[2J\u{202e}\u{9b}xxx"), "{line:.80}");
        assert!(line.len() < 2_100, "{}", line.len());
        let asked = Cli::try_parse_from(["tickflux", "latest", "\u{1b}]0;title\u{7}"]).unwrap_err();
        let line = usage(&asked, Some("latest")).to_string();
        assert!(line.contains(r"\u{1b}]0;title\u{7}"), "{line}");
        let long = Cli::try_parse_from(["tickflux", "latest", &"/".repeat(1 << 20)]).unwrap_err();
        let line = usage(&long, Some("latest")).to_string();
        assert!(line.ends_with(": see tickflux latest --help"), "what to do is not cut");
    }
}
