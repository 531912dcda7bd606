//! Standard error: log lines, notices and the last line. Whoever does not read it stops nothing.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use indicatif::ProgressBar;
use tracing::Level;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::telemetry::lines::LogLines;
use crate::text::one_line;

/// How long the end waits for who reads standard error.
const END_WAIT: Duration = Duration::from_secs(2);
/// Bytes of a notice, at most.
pub(super) const NOTICE_BYTES_MAX: usize = 2_000;
/// Which log lines, as `tracing-subscriber` reads it.
const FILTER: &str = "RUST_LOG";

/// One for the process, as standard error is; none if the system gave no thread for it.
static LINES: LazyLock<Option<LogLines>> = LazyLock::new(|| LogLines::start(AroundStatus).ok());
static STATUS: OnceLock<ProgressBar> = OnceLock::new();

/// From now on lines are written around this status line.
pub(super) fn write_around(status: ProgressBar) {
    // A second one, as in tests of one process, is not drawn around.
    let _ = STATUS.set(status);
}

/// Takes the status line off the screen; waits for a terminal that is stopped.
pub(super) fn clear_status() {
    STATUS.get().into_iter().for_each(ProgressBar::finish_and_clear);
}

/// Says something beside the answer.
pub(super) fn notice(text: impl Display) {
    line(&format!("tickflux: {}", one_line(text.to_string().trim(), NOTICE_BYTES_MAX)));
}

/// A line as it is.
pub(super) fn line(line: &str) {
    match &*LINES {
        Some(lines) => lines.push(line),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Writes the last line, and waits until all is written: two seconds at most.
pub(super) fn end(last: Option<&Failure>) {
    end_within(last, END_WAIT);
}

/// As [`end`], with another patience.
pub(super) fn end_within(last: Option<&Failure>, wait: Duration) {
    let last = last.map(Failure::to_string);
    match (&*LINES, last) {
        (Some(lines), last) => drop(lines.finish(last.as_deref(), wait)),
        (None, Some(last)) => line(&last),
        (None, None) => {}
    }
}

/// Logs from now on; `RUST_LOG` chooses the lines, and where it is not set or empty, `default` does.
pub(super) fn start_logs(default: &str) -> Result<(), Failure> {
    let asked = asked(env::var_os(FILTER))?;
    let filter = filter(asked.as_deref().unwrap_or(default))?;
    let Some(lines) = LINES.as_ref() else { return Ok(()) };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(is_colored(io::stderr().is_terminal(), |name| env::var(name).ok()))
        .log_internal_errors(false)
        .with_writer(|| lines.clone());
    // A second start, as in tests of one process, keeps the first.
    let _ = logs.try_init();
    if let Some(asked) = asked.filter(|asked| !asked.contains("off") && !asked.contains("tickflux"))
        && !tracing::enabled!(target: "tickflux", Level::ERROR)
    {
        notice(format!("{FILTER}={asked} lets no line of tickflux through: give a level such as {FILTER}={default}"));
    }
    Ok(())
}

/// Whether log lines are colored: as <https://no-color.org> and <https://bixense.com/clicolors> say.
pub(super) fn is_colored(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0") {
        return true;
    }
    is_terminal && variable("CLICOLOR").as_deref() != Some("0")
}

/// What the variable asks for. Compose passes variables that are empty.
fn asked(variable: Option<std::ffi::OsString>) -> Result<Option<String>, Failure> {
    let Some(value) = variable else { return Ok(None) };
    let text = value.into_string().map_err(|value| unreadable(&value.to_string_lossy(), &"it is not UTF-8"))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn filter(text: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::builder().parse(text).map_err(|error| unreadable(text, &error))
}

fn unreadable(text: &str, why: &dyn Display) -> Failure {
    Failure::Usage(format!(
        "{FILTER}={text} cannot be read: {why}: give a level (error, warn, info, debug, trace, off) or targets with levels, such as \
         {FILTER}=tickflux=debug"
    ))
}

/// Writes to standard error with the status line out of the way.
struct AroundStatus;

impl Write for AroundStatus {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write(bytes);
        STATUS.get().map_or_else(write, |status| status.suspend(write))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn colors_are_a_terminals_unless_someone_says_otherwise() {
        let colored = |is_terminal, set: &[(&str, &str)]| {
            is_colored(is_terminal, |name| set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(colored(true, &[]) && !colored(false, &[]));
        assert!(colored(true, &[("NO_COLOR", "")]) && !colored(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(!colored(true, &[("CLICOLOR", "0")]) && colored(true, &[("CLICOLOR", "1")]));
        assert!(colored(false, &[("CLICOLOR_FORCE", "1")]) && !colored(false, &[("CLICOLOR_FORCE", "0")]));
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
