//! Logs: which lines, and how they and what else goes to standard error look.

use std::env;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use clap::{Args, ValueEnum};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Failure;
use super::stderr::{self, lines, notice};

/// Which log lines, as `tracing-subscriber` reads it.
const FILTER: &str = "RUST_LOG";
/// Where systemd says which file is the journal: systemd.exec(5).
const JOURNAL: &str = "JOURNAL_STREAM";

/// What every command takes about standard error.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct LogArgs {
    /// Whether log lines are colored; auto: on a terminal, unless NO_COLOR or CLICOLOR say otherwise
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: When,
    /// Say only warnings and errors, and draw no status line
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Log more; RUST_LOG chooses more finely
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// How log lines look; under systemd text is without times and has priorities
    #[arg(long, global = true, env = "TICKFLUX_LOG_FORMAT", hide_env_values = true, value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
}

/// When there are colors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// How a line on standard error looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// For people.
    Text,
    /// An object a line.
    Json,
    /// For systemd's journal: a priority in front, no time, for the journal has it (sd-daemon(3)).
    Journal,
}

impl LogArgs {
    /// How lines look.
    pub(super) fn look(self) -> Look {
        match self.log_format {
            LogFormat::Json => Look::Json,
            LogFormat::Text if is_journal(env::var(JOURNAL).ok().as_deref()) => Look::Journal,
            LogFormat::Text => Look::Text,
        }
    }
}

impl Look {
    /// A line of its own, beside the log's.
    pub(super) fn line(self, level: Level, text: &str) -> String {
        match self {
            Self::Text => format!("tickflux: {text}"),
            Self::Json => {
                let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
                let line = serde_json::json!({"timestamp": time, "level": level.as_str(), "message": text});
                line.to_string()
            }
            Self::Journal => format!("<{}>{text}", priority(level)),
        }
    }
}

/// Logs from now on: as `-q` and `-v` say, then `RUST_LOG`, and where that is not set or empty, `default`.
pub(super) fn start_logs(default: &str) -> Result<(), Failure> {
    let settings = stderr::settings();
    let asked = match (settings.quiet, settings.verbose) {
        (true, _) => Some("tickflux=warn".to_owned()),
        (_, true) => Some("tickflux=debug".to_owned()),
        _ => asked(env::var_os(FILTER))?,
    };
    let filter = filter(asked.as_deref().unwrap_or(default))?;
    let Some(lines) = lines() else { return Ok(()) };
    let logs = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_target(false)
        .with_ansi(is_colored(settings.color, io::stderr().is_terminal(), |name| env::var(name).ok()))
        .log_internal_errors(false)
        .with_writer(|| lines.clone());
    // A second start, as in tests of one process, keeps the first.
    let _ = match settings.look() {
        Look::Text => logs.finish().with(filter).try_init(),
        Look::Json => {
            let logs = logs.json().flatten_event(true).with_current_span(false).with_span_list(false);
            logs.finish().with(filter).try_init()
        }
        Look::Journal => logs.with_ansi(false).event_format(Journal).finish().with(filter).try_init(),
    };
    if let Some(asked) = asked.filter(|asked| !asked.contains("off") && !asked.contains("tickflux"))
        && !tracing::enabled!(target: "tickflux", Level::ERROR)
    {
        notice(format!("{FILTER}={asked} lets no line of tickflux through: give a level such as {FILTER}={default}"));
    }
    Ok(())
}

/// Whether log lines are colored: as <https://no-color.org> and <https://bixense.com/clicolors> say.
pub(super) fn is_colored(when: When, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if is_set("NO_COLOR") => false,
        When::Auto if is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0") => true,
        When::Auto => is_terminal && variable("CLICOLOR").as_deref() != Some("0"),
    }
}

/// Whether standard error is the journal that the variable names as DEVICE:INODE.
fn is_journal(variable: Option<&str>) -> bool {
    let named = || {
        let (device, inode) = variable?.split_once(':')?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
        Some((stderr.dev(), stderr.ino()) == (device.parse().ok()?, inode.parse().ok()?))
    };
    named().unwrap_or(false)
}

/// Syslog's number of a level: sd-daemon(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Log lines as the journal wants them.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(to, "<{}>", priority(*event.metadata().level()))?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// What the variable asks for. Compose passes variables that are empty.
fn asked(variable: Option<OsString>) -> Result<Option<String>, Failure> {
    let Some(value) = variable else { return Ok(None) };
    let text = value.into_string().map_err(|value| unreadable(&value.to_string_lossy(), &"it is not UTF-8"))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn filter(text: &str) -> Result<Targets, Failure> {
    text.parse::<Targets>().map_err(|error| unreadable(text, &error))
}

fn unreadable(text: &str, why: &dyn Display) -> Failure {
    Failure::Usage(format!(
        "{FILTER}={text} cannot be read: {why}: give a level (error, warn, info, debug, trace, off) or targets with levels, such as \
         {FILTER}=tickflux=debug"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn colors_are_a_terminals_unless_someone_says_otherwise() {
        let colored = |when, is_terminal, set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
            is_colored(when, is_terminal, variable)
        };
        let auto = |is_terminal, set: &[(&str, &str)]| colored(When::Auto, is_terminal, set);
        assert!(auto(true, &[]) && !auto(false, &[]));
        assert!(auto(true, &[("NO_COLOR", "")]) && !auto(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(!auto(true, &[("CLICOLOR", "0")]) && auto(true, &[("CLICOLOR", "1")]));
        assert!(auto(false, &[("CLICOLOR_FORCE", "1")]) && !auto(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(colored(When::Always, false, &[("NO_COLOR", "1")]));
        assert!(!colored(When::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn the_journal_is_the_file_that_systemd_names() {
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().unwrap()).metadata().unwrap();
        assert!(is_journal(Some(&format!("{}:{}", stderr.dev(), stderr.ino()))));
        for other in [Some(format!("{}:{}", stderr.dev(), stderr.ino() + 1)), Some("8".to_owned()), None] {
            assert!(!is_journal(other.as_deref()), "{other:?}");
        }
        assert_eq!(Look::Journal.line(Level::WARN, "said"), "<4>said");
    }

    #[test]
    fn an_empty_filter_is_none_and_one_that_cannot_be_read_says_what_can() {
        let asked_for = |text: &str| asked(Some(OsString::from(text)));
        assert_eq!(asked(None), Ok(None));
        assert_eq!([asked_for(""), asked_for(" \n")], [Ok(None), Ok(None)]);
        assert_eq!(asked_for(" debug "), Ok(Some("debug".to_owned())));
        assert!(asked(Some(OsString::from_vec(vec![0xff]))).is_err());
        for text in ["debug", "tickflux=warn,hyper=off", "off", "info,tickflux::capture=trace"] {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in ["tickflux=loud", "tickflux==warn", "a=b=c"] {
            let failure = filter(text).unwrap_err();
            assert!(failure.code() == 2 && failure.to_string().contains("RUST_LOG=tickflux=debug"), "{failure}");
        }
    }
}
