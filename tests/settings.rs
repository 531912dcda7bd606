//! Settings from flags, the environment and a file, and how what is said on standard error looks.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use support::process::Capture;
use support::trades::{exchanges_list, sqlite_trades};
use support::{practice, runtime, summary, tickflux_in};

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(31, 300)));
    let file = format!(
        "stream-url = \"ws://{0}\"\nrest-url = \"http://{0}\"\nstore = \"sqlite:of-the-file.db\"\nexchange = \"of-the-file\"\n\
         symbols = [\"BTCUSDT\", \"ETHUSDT\"]\ncount = 300\nformat = \"json\"\n",
        exchange.address(),
    );
    std::fs::write(folder.path().join("tickflux.toml"), file).unwrap();
    let env = [("TICKFLUX_CONFIG", "tickflux.toml"), ("TICKFLUX_EXCHANGE", "of-the-environment")];
    let output = tickflux_in(folder.path(), &env, &["capture", "--store", "sqlite:of-the-flag.db"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(summary(&output)["trades"], 300);
    assert_eq!(sqlite_trades(&folder.path().join("of-the-flag.db")), exchanges_list(&exchange));
    assert!(!folder.path().join("of-the-file.db").exists());

    let args = ["latest", "BTCUSDT", "--config", "tickflux.toml", "--store", "sqlite:of-the-flag.db"];
    // A question asks for the file's exchange, of which there is no trade.
    let output = tickflux_in(folder.path(), &[], &args);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let output = tickflux_in(folder.path(), &[], &[&args[..], &["--exchange", "of-the-environment"]].concat());
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["exchange"], "of-the-environment");
}

#[test]
fn a_file_that_says_what_no_flag_takes_ends_with_two_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), "metrics-lissten = \"127.0.0.1:1\"\n").unwrap();
    for (path, said) in [("c.toml", "did you mean metrics-listen?"), ("absent.toml", "absent.toml")] {
        let output = tickflux_in(folder.path(), &[], &["capture", "--config", path]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.starts_with("tickflux: ") && stderr.contains(said), "{stderr}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["c.toml"]);
}

/// A capture of a small market with these flags; what it wrote to standard error.
fn said(args: &[&str], journal: impl Fn(&File) -> Option<String>) -> String {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(32, 200)));
    let (stream, rest) = (format!("ws://{}", exchange.address()), format!("http://{}", exchange.address()));
    let all = ["--stream-url", &stream, "--rest-url", &rest, "--count", "200"];
    let file = File::create(folder.path().join("stderr")).unwrap();
    let journal = journal(&file);
    let env: Vec<_> = journal.iter().map(|journal| ("JOURNAL_STREAM", journal.as_str())).collect();
    let capture = Capture::start_with(folder.path(), &[&all[..], args].concat(), &env, file.into());
    let output = capture.wait();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    stderr
}

#[test]
fn log_lines_are_for_people_for_programs_or_for_the_journal() {
    let text = said(&[], |_| None);
    assert!(text.contains("tickflux: capturing ") && text.contains(" INFO Stream connection opened."), "{text}");
    for line in said(&["--log-format", "json"], |_| None).lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(["timestamp", "level", "message"].iter().all(|key| object[key].is_string()), "{line}");
    }
    let journal = |file: &File| Some(format!("{}:{}", file.metadata().unwrap().dev(), file.metadata().unwrap().ino()));
    let lines = said(&[], journal);
    assert!(lines.contains("<6>Stream connection opened."), "{lines}");
    assert!(lines.lines().all(|line| line.starts_with('<') && line.as_bytes()[2] == b'>'), "{lines}");
    // Standard error is not what systemd gave: somebody sent it elsewhere.
    assert!(said(&[], |_| Some("1:1".to_owned())).contains(" INFO Stream"));
}

#[test]
fn quiet_is_without_what_is_well_and_colors_are_as_asked() {
    let quiet = said(&["-q"], |_| None);
    assert!(!quiet.contains("INFO") && !quiet.contains("capturing"), "{quiet}");
    assert!(said(&["--color", "always"], |_| None).contains("\u{1b}["));
    assert!(!said(&["--color", "never"], |_| None).contains('\u{1b}'));
}
