//! `tickflux man`: manual pages, made from what `--help` says.

use std::io;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::report::say_raw;
use super::{Answer, Cli, Failure};

const EXAMPLES: &str = "\
Examples:
  tickflux man | man -l -
  tickflux man capture > tickflux-capture.1";

/// Which page.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArgs {
    /// The page of this command, such as capture; without one that of tickflux
    command: Option<String>,
}

pub(super) fn run(args: &ManArgs) -> Result<Answer, Failure> {
    let mut tickflux = Cli::command();
    // Gives every command its whole name, `tickflux capture`, and the help that it inherits.
    tickflux.build();
    let (command, title) = match &args.command {
        None => (tickflux, "tickflux".to_owned()),
        Some(name) => {
            let command = tickflux
                .find_subcommand(name)
                .cloned()
                .ok_or_else(|| Failure::Usage(format!("there is no command {name:?}: see tickflux --help")))?;
            (command, format!("tickflux-{name}"))
        }
    };
    let page = page(&command, title).map_err(|error| Failure::Unusable(format!("cannot print the page: {error}")))?;
    say_raw(String::from_utf8_lossy(&page).trim_end())?;
    Ok(Answer::Done)
}

/// A page; what stands below the help is in sections of the usual names, lists with their lines as they are.
fn page(command: &Command, title: String) -> io::Result<Vec<u8>> {
    let mut roff = Vec::new();
    let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    Man::new(command.clone().after_help(None::<&str>)).title(title).render(&mut roff)?;
    let mut sections = Roff::default();
    for block in below.split("\n\n").filter(|block| !block.is_empty()) {
        let (name, lines) = match block.split_once(":\n") {
            Some(("Examples", lines)) => ("EXAMPLES", lines),
            Some(("Exit codes", lines)) => ("EXIT STATUS", lines),
            _ => ("NOTES", block),
        };
        let is_list = name != "NOTES";
        sections.control("SH", [name]);
        if is_list {
            sections.control("nf", []);
        }
        for line in lines.lines() {
            sections.text([roman(line.trim_start())]);
        }
        if is_list {
            sections.control("fi", []);
        }
    }
    sections.to_writer(&mut roff)?;
    Ok(roff)
}
