//! `tickflux man`: manual pages, made from what `--help` says.

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::report::say_raw;
use super::{Answer, Cli, Failure};

/// Which page.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The page of this command, such as capture; without one that of tickflux
    command: Option<String>,
}

pub(super) fn run(args: &ManArgs) -> Result<Answer, Failure> {
    let mut tickflux = Cli::command();
    // Gives every command its whole name, `tickflux capture`, and the help that it inherits.
    tickflux.build();
    let page = match &args.command {
        None => Man::new(tickflux),
        Some(name) => {
            let command = tickflux
                .find_subcommand(name)
                .cloned()
                .ok_or_else(|| Failure::Usage(format!("there is no command {name:?}: see tickflux --help")))?;
            Man::new(command).title(format!("tickflux-{name}"))
        }
    };
    let mut roff = Vec::new();
    page.render(&mut roff).map_err(|error| Failure::Unusable(format!("cannot print the page: {error}")))?;
    say_raw(String::from_utf8_lossy(&roff).trim_end())?;
    Ok(Answer::Done)
}
