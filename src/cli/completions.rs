//! `tickflux completions`: completions for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Answer, Cli, Failure};

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Answer, Failure> {
    clap_complete::generate(args.shell, &mut Cli::command(), "tickflux", &mut std::io::stdout());
    Ok(Answer::Done)
}
