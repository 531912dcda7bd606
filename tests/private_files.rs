//! The files of a capture are its owner's alone, and what somebody put in their place is neither followed nor waited for.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::trades::sqlite_trades;
use support::{minute_ago, practice, runtime, server, tickflux, trade};

const PRECIOUS: &str = "precious, and not to be touched\n";

/// What somebody plants in a file's place.
const TRAPS: [&str; 6] = ["link", "dangling", "hard link", "fifo", "folder", "socket"];

/// Plants a trap; gives the word that an error has for it.
fn plant(trap: &str, at: &Path, victim: &Path) -> &'static str {
    match trap {
        "link" => symlink(victim, at).map(|()| "symbolic link").unwrap(),
        "dangling" => symlink(victim.with_extension("absent"), at).map(|()| "symbolic link").unwrap(),
        "hard link" => fs::hard_link(victim, at).map(|()| "hard link").unwrap(),
        "fifo" => {
            assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
            "FIFO"
        }
        "folder" => fs::create_dir(at).map(|()| "folder").unwrap(),
        _ => {
            drop(UnixListener::bind(at).unwrap());
            "socket"
        }
    }
}

fn unplant(trap: &str, at: &Path) {
    if trap == "folder" { fs::remove_dir(at).unwrap() } else { fs::remove_file(at).unwrap() }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Captures what a stream sends once: a trade, and a message that becomes a dead letter.
fn capture(folder: &Path, stream: SocketAddr, more: &[&str]) -> Output {
    let (stream, rest) = (format!("ws://{stream}"), format!("http://{stream}"));
    let args = ["capture", "--store", "sqlite:trades.db", "--stream-url", &stream, "--rest-url", &rest, "--no-repair"];
    tickflux(folder, &[&args[..], &["--duration", "1s"], more].concat())
}

async fn stream() -> SocketAddr {
    server::send_once(vec![practice::message(&trade("BTCUSDT", 7, minute_ago(1), "5.10")), "no JSON".to_owned()]).await
}

#[test]
fn what_a_capture_makes_is_its_owners_alone() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let stream = runtime.block_on(stream());
    capture(folder.path(), stream, &["--outbox", "state/outbox", "--record", "session.txt"]);
    let at = |name: &str| folder.path().join(name);
    for name in ["state", "state/outbox", "state/outbox/dead-letters"] {
        assert_eq!(mode(&at(name)), 0o700, "{name}");
    }
    let outbox = [files_in(&at("state/outbox"), "db"), files_in(&at("state/outbox"), "lock")].concat();
    assert_eq!(outbox.len(), 2, "{outbox:?}");
    let others = ["state/outbox/dead-letters/messages.txt", "session.txt"].map(at);
    for path in outbox.iter().chain(&others) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    // The store is where others may look, as far as whoever captures lets them.
    fs::write(at("any"), "").unwrap();
    assert_eq!(mode(&at("trades.db")), mode(&at("any")));
    assert_eq!(sqlite_trades(&at("trades.db")).len(), 1);
}

#[test]
fn a_trap_in_place_of_the_lock_or_the_outbox_ends_with_2_and_is_left_alone() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let stream = runtime.block_on(stream());
    let victim = folder.path().join("victim");
    fs::write(&victim, PRECIOUS).unwrap();
    capture(folder.path(), stream, &[]);
    let outbox = folder.path().join("tickflux-outbox");
    for (extension, suffix) in [("lock", ""), ("db", ""), ("db", "-wal")] {
        let files = files_in(&outbox, extension);
        let [file] = &files[..] else { panic!("{files:?}") };
        let file = &PathBuf::from(format!("{}{suffix}", file.display()));
        // SQLite leaves nothing beside a file that was closed.
        assert_eq!(fs::remove_file(file).is_ok(), suffix.is_empty());
        for trap in TRAPS {
            let word = plant(trap, file, &victim);
            let output = capture(folder.path(), stream, &[]);
            let said = String::from_utf8(output.stderr).unwrap();
            let last = said.lines().last().unwrap();
            assert_eq!(output.status.code(), Some(2), "{trap} as {extension}{suffix}: {said}");
            for words in [word, "remove it", file.file_name().unwrap().to_str().unwrap()] {
                assert!(last.contains(words), "{trap} as {extension}{suffix}: {last}");
            }
            unplant(trap, file);
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), PRECIOUS);
        assert!(!victim.with_extension("absent").exists());
        // Without the trap it works again.
        capture(folder.path(), stream, &[]);
        assert_eq!(files_in(&outbox, extension).len(), 1);
    }
}

#[test]
fn a_trap_in_place_of_the_dead_letters_costs_the_letter_and_says_so() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let stream = runtime.block_on(stream());
    let (victim, outbox) = (folder.path().join("victim"), folder.path().join("tickflux-outbox"));
    fs::write(&victim, PRECIOUS).unwrap();
    fs::create_dir_all(outbox.join("dead-letters")).unwrap();
    let letters = outbox.join("dead-letters/messages.txt");
    let check = |at: &Path, trap: &str| {
        let word = plant(trap, at, &victim);
        let output = capture(folder.path(), stream, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        let lost = said.lines().find(|line| line.contains("A dead letter could not be kept")).unwrap_or(&said);
        assert!(lost.contains(word) && lost.contains("remove it") && lost.contains("messages.txt"), "{trap}: {lost}");
        unplant(trap, at);
        assert_eq!(fs::read_to_string(&victim).unwrap(), PRECIOUS);
    };
    TRAPS.iter().for_each(|trap| check(&letters, trap));
    fs::remove_dir(outbox.join("dead-letters")).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, outbox.join("dead-letters")).unwrap();
    let said = String::from_utf8(capture(folder.path(), stream, &[]).stderr).unwrap();
    assert!(said.contains("A dead letter could not be kept") && said.contains("a symbolic link"), "{said}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn a_trap_in_place_of_a_recording_ends_with_2_and_is_left_alone() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let stream = runtime.block_on(stream());
    let (victim, recording) = (folder.path().join("victim"), folder.path().join("session.txt"));
    fs::write(&victim, PRECIOUS).unwrap();
    for trap in TRAPS {
        plant(trap, &recording, &victim);
        let output = capture(folder.path(), stream, &["--record", "session.txt"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{trap}: {said}");
        assert!(
            said.lines().last().unwrap().contains("session.txt") && said.contains("name a new file"),
            "{trap}: {said}"
        );
        unplant(trap, &recording);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), PRECIOUS);
    assert!(!victim.with_extension("absent").exists());
}

#[test]
fn an_outbox_behind_a_link_that_the_user_named_is_used() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let stream = runtime.block_on(stream());
    fs::create_dir(folder.path().join("disk")).unwrap();
    symlink(folder.path().join("disk"), folder.path().join("tickflux-outbox")).unwrap();
    let output = capture(folder.path(), stream, &[]);
    assert_eq!(files_in(&folder.path().join("disk"), "db").len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
}
