//! Tells the program of which commit it is: `TICKFLUX_COMMIT`, or what git says. Only a release asks git, for else every
//! commit would make everything anew.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=TICKFLUX_COMMIT");
    let named = std::env::var("TICKFLUX_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = named.or_else(|| {
        let commit = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]).filter(|_| is_release)?;
        let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
        println!("cargo:rerun-if-changed={log}\ncargo:rerun-if-changed=src");
        Some(commit)
    });
    if let Some(commit) = commit {
        println!("cargo:rustc-env=TICKFLUX_COMMIT={commit}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
