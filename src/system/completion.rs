//! `layerfs completion`: what a shell needs to complete the words of layerfs.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::cli;
use crate::output::Results;
use crate::session::Outcome;

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs completion bash > /etc/bash_completion.d/layerfs
  layerfs completion zsh > \"${fpath[1]}/_layerfs\"
  layerfs completion fish > ~/.config/fish/completions/layerfs.fish";

/// The words of `layerfs completion`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// Prints the completions.
pub fn run(args: &CompletionArgs, results: &mut Results) -> Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut shown(), "layerfs", &mut text);
    results.bytes(&text)?;
    Ok(Outcome::Done)
}

/// The command without the verbs that no user says: some shells would offer them.
fn shown() -> clap::Command {
    let whole = cli::command();
    clap::Command::new("layerfs")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned())
}
