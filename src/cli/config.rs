//! The configuration file: what flags are set to where neither the command line nor the environment sets them.
//!
//! Its settings are the flags by their long names: `metrics-listen = "127.0.0.1:9184"`. One file serves every command; a
//! command takes what it has a flag for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, Command};
use toml::{Table, Value};

use crate::small_file;
use crate::text::{EXCERPT_BYTES_MAX, one_line};

/// The variable that names the file, where no flag does.
pub(super) const VARIABLE: &str = "TICKFLUX_CONFIG";
const FLAG: &str = "--config";
/// Bytes of a file, at most.
const SIZE_MAX: usize = 64 << 10;
/// Commands that heed no file: the practice exchange's flags have names of their own, the others have no settings.
const WITHOUT: [&str; 4] = ["exchange", "demo", "man", "completions"];
/// What is no setting.
const NO_SETTINGS: [&str; 3] = ["config", "help", "version"];
/// How alike two names are at least, of which one may be meant: as clap has it.
const ALIKE: f64 = 0.7;

/// Why a configuration file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConfigError {
    /// There is none, or it is not to be read.
    #[error("cannot read the configuration file {path}: {why}")]
    Unreadable { path: String, why: String },
    /// It is not TOML.
    #[error("{path} is not TOML: {why}")]
    Syntax { path: String, why: String },
    /// No command has such a flag.
    #[error("{path}: there is no setting {key}{meant}: docs/configuration.md lists them")]
    Unknown { path: String, key: String, meant: String },
    /// A table, or a list in a list.
    #[error("{path}: {key} is neither a text, a number, true or false, nor a list of these")]
    Kind { path: String, key: String },
    /// The flag does not take it.
    #[error("{path}: {why}")]
    Value { path: String, why: String },
}

/// The file that the command line or the environment names.
pub(super) fn named(args: impl IntoIterator<Item = OsString>, variable: Option<OsString>) -> Option<PathBuf> {
    let mut args = args.into_iter().take_while(|arg| arg != "--");
    while let Some(arg) = args.next() {
        if arg == FLAG {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = arg.to_str().and_then(|arg| arg.strip_prefix(FLAG)?.strip_prefix('=')) {
            return Some(PathBuf::from(path));
        }
    }
    variable.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Gives `command` the settings of the file at `path` as its defaults.
///
/// # Errors
///
/// If the file cannot be read, or says what no flag takes.
pub(super) fn under(command: Command, path: &Path) -> Result<Command, ConfigError> {
    let settings = Settings::read(&command, path)?;
    settings.check(&command)?;
    let command = settings.as_defaults(command);
    Ok(command.mut_subcommands(|sub| if heeds(&sub) { settings.as_defaults(sub) } else { sub }))
}

/// Names of flags and what they are set to, as on a command line.
struct Settings {
    /// For messages.
    path: String,
    values: Vec<(String, String)>,
}

impl Settings {
    fn read(command: &Command, path: &Path) -> Result<Self, ConfigError> {
        let shown = one_line(&path.to_string_lossy(), EXCERPT_BYTES_MAX);
        let unreadable = |why: String| ConfigError::Unreadable { path: shown.clone(), why };
        let (bytes, _) = small_file::read(path, SIZE_MAX).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
            ConfigError::Syntax { path: shown.clone(), why: format!("{}{line}", error.message()) }
        })?;
        let known = known(command);
        let setting = |(key, value): (String, Value)| {
            if !known.contains(&key) {
                let meant = nearest(&key, &known).map(|name| format!(", did you mean {name}?")).unwrap_or_default();
                let key = one_line(&key, EXCERPT_BYTES_MAX);
                return Err(ConfigError::Unknown { path: shown.clone(), key, meant });
            }
            match text_of(&value) {
                Some(value) => Ok((key, value)),
                None => Err(ConfigError::Kind { path: shown.clone(), key }),
            }
        };
        let values = table.into_iter().map(setting).collect::<Result<_, _>>()?;
        Ok(Self { path: shown, values })
    }

    /// As if each command had them as flags: so the words about a wrong one are the same.
    fn check(&self, command: &Command) -> Result<(), ConfigError> {
        for sub in command.get_subcommands().filter(|sub| heeds(sub)) {
            let flag = |(key, value): &(String, String)| {
                let arg = flags(command).chain(flags(sub)).find(|arg| arg.get_long() == Some(key))?;
                match (arg.get_action(), value.as_str()) {
                    (ArgAction::SetTrue | ArgAction::Count, "true") => Some(format!("--{key}")),
                    (ArgAction::SetTrue | ArgAction::Count, "false") => None,
                    _ => Some(format!("--{key}={value}")),
                }
            };
            let given = ["tickflux".to_owned(), sub.get_name().to_owned()];
            let line = given.into_iter().chain(self.values.iter().filter_map(flag));
            if let Err(error) = command.clone().try_get_matches_from(line)
                // What else a command wants is for the command line to say.
                && !matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand)
            {
                let text = error.render().to_string();
                let why = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
                return Err(ConfigError::Value { path: self.path.clone(), why });
            }
        }
        Ok(())
    }

    fn as_defaults(&self, command: Command) -> Command {
        self.values.iter().fold(command, |command, (key, value)| {
            let id = flags(&command).find(|arg| arg.get_long() == Some(key)).map(|arg| arg.get_id().clone());
            match id {
                Some(id) => command.mut_arg(id, |arg| arg.default_value(value.clone())),
                None => command,
            }
        })
    }
}

fn heeds(command: &Command) -> bool {
    !WITHOUT.contains(&command.get_name())
}

fn flags(command: &Command) -> impl Iterator<Item = &clap::Arg> {
    command.get_arguments().filter(|arg| arg.get_long().is_some_and(|name| !NO_SETTINGS.contains(&name)))
}

/// The settings that there are.
fn known(command: &Command) -> Vec<String> {
    let commands = std::iter::once(command).chain(command.get_subcommands().filter(|sub| heeds(sub)));
    commands.flat_map(flags).filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let alike = known.iter().map(|name| (strsim::jaro_winkler(key, name), name.as_str()));
    alike.filter(|(alike, _)| *alike > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// A value as it stands on a command line; of a list with commas between.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        Value::Datetime(time) => Some(time.to_string()),
        Value::Array(values) if values.iter().all(|value| !value.is_array()) => {
            values.iter().map(text_of).collect::<Option<Vec<_>>>().map(|values| values.join(","))
        }
        Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    fn with(text: &str, args: &[&str]) -> Result<clap::ArgMatches, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickflux.toml");
        std::fs::write(&path, text).unwrap();
        let command = under(Cli::command(), &path)
            .map_err(|error| error.to_string().replace(&path.to_string_lossy().into_owned(), "FILE"))?;
        command.try_get_matches_from([&["tickflux"], args].concat()).map_err(|error| error.to_string())
    }

    fn raw<'a>(matches: &'a clap::ArgMatches, id: &str) -> Vec<&'a OsStr> {
        matches.subcommand().unwrap().1.get_raw(id).map(Iterator::collect).unwrap_or_default()
    }

    #[test]
    fn flags_win_over_the_file() {
        let text = "symbols = [\"BTCUSDT\", \"SOLUSDT\"]\nconnections = 2\nno-repair = true\nbucket = \"b\"\n";
        let matches = with(text, &["capture"]).unwrap();
        assert_eq!(raw(&matches, "symbols"), ["BTCUSDT", "SOLUSDT"]);
        assert_eq!(
            (raw(&matches, "connections"), raw(&matches, "bucket")),
            (vec![OsStr::new("2")], vec![OsStr::new("b")])
        );
        assert!(matches.subcommand().unwrap().1.get_flag("no_repair"));
        let matches = with(text, &["capture", "--connections", "3", "--symbols", "A,B"]).unwrap();
        assert_eq!((raw(&matches, "connections"), raw(&matches, "symbols").len()), (vec![OsStr::new("3")], 2));
        // The practice exchange has symbols of its own.
        assert!(raw(&with(text, &["exchange"]).unwrap(), "symbols") != ["BTCUSDT", "SOLUSDT"]);
        assert!(!with("no-repair = false", &["capture"]).unwrap().subcommand().unwrap().1.get_flag("no_repair"));
    }

    #[test]
    fn what_no_flag_takes_is_refused_with_what_was_meant() {
        for (text, said) in [
            ("metrics_listen = \"x\"", "FILE: there is no setting metrics_listen, did you mean metrics-listen?"),
            ("token = \"secret\"", "FILE: there is no setting token, did you mean token-file?"),
            ("zzz = 1", "FILE: there is no setting zzz: docs"),
            ("config = \"other\"", "FILE: there is no setting config"),
            ("seed = 4", "FILE: there is no setting seed"),
            ("[capture]\nsymbols = \"A\"", "FILE: capture is neither a text"),
            ("symbols = [[\"A\"]]", "FILE: symbols is neither"),
            ("connections = 99", "FILE: invalid value '99' for '--connections <CONNECTIONS>': 99 is not in 1..=8"),
            ("no-repair = \"perhaps\"", "FILE: unexpected value 'perhaps' for '--no-repair'"),
            (
                "no-repair = true\nbackfill = \"6h\"",
                "FILE: the argument '--backfill <DURATION>' cannot be used with '--no-repair'",
            ),
            ("connections = 1\n\nsymbols =", "FILE is not TOML: "),
        ] {
            let error = with(text, &["latest"]).unwrap_err();
            assert!(error.starts_with(said) && !error.contains('\n') && !error.contains("secret"), "{error}");
        }
        assert!(with("a = 1\nb =", &[]).unwrap_err().ends_with("(line 2)"));
        let error = under(Cli::command(), Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("more than 65536 bytes"), "{error}");
    }

    #[test]
    fn the_file_is_named_by_the_command_line_or_the_environment() {
        let of = |args: &[&str], variable: Option<&str>| {
            named(args.iter().map(OsString::from), variable.map(OsString::from)).map(|path| path.display().to_string())
        };
        assert_eq!(of(&["tickflux", "latest", "--config", "a"], Some("b")).as_deref(), Some("a"));
        assert_eq!(of(&["tickflux", "--config=a", "latest"], None).as_deref(), Some("a"));
        assert_eq!(of(&["tickflux", "latest"], Some("b")).as_deref(), Some("b"));
        assert_eq!(
            (of(&["tickflux", "--", "--config", "a"], Some("")), of(&["tickflux", "--config"], None)),
            (None, None)
        );
    }
}
