//! `tickflux completions`: completions for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::report::say_raw;
use super::{Answer, Cli, Failure};

const EXAMPLES: &str = "\
Examples:
  source <(tickflux completions bash)
  tickflux completions fish > ~/.config/fish/completions/tickflux.fish";

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Answer, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tickflux", &mut script);
    say_raw(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Answer::Done)
}
