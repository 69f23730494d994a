//! `layerfs system`: the verbs on the store as a whole, by docker's longer words.

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use super::{df, info, prune, reset};
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs system df                   what the store takes on disk
  layerfs system prune                asks, then removes containers that do not run, and images without names
  layerfs system prune -af --volumes  and all images that nothing uses, and volumes that nobody named
  layerfs system reset                asks, then removes everything

Named volumes are never removed by `prune`: `layerfs volume prune -a` does.";

/// The words of `layerfs system`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SystemArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what the store takes on disk
    Df(df::DfArgs),
    /// Show where things are, and how many
    Info(info::InfoArgs),
    /// Remove containers that do not run, and images that nothing uses
    Prune(prune::PruneArgs),
    /// Remove all containers, running or not, all images and all volumes
    Reset(reset::ResetArgs),
}

/// Does what was said.
pub fn run(args: &SystemArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    match &args.verb {
        Verb::Df(args) => df::run(args, session, results),
        Verb::Info(args) => info::run(args, session, results),
        Verb::Prune(args) => prune::run(args, session, results),
        Verb::Reset(args) => reset::run(args, session, results),
    }
}

/// Asks the user whether something is to be done that can't be undone.
pub fn ask(what: &str) -> Result<()> {
    message::show(&format!("{what}\nContinue? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("read the answer")?;
    if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        bail!("nothing is removed: the answer was not y; --force asks nobody");
    }
    Ok(())
}
