//! `layerfs rename`: another name for a container.

use anyhow::Result;
use clap::Args;

use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs rename brave_otter web";

/// The words of `layerfs rename`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RenameArgs {
    /// Its name, id, or the beginning of that
    container: String,
    /// The new name
    name: String,
}

/// Gives it the new name.
pub fn run(args: &RenameArgs, session: &Session) -> Result<Outcome> {
    let store = session.store()?;
    let container = store.find_container(&args.container)?;
    store.rename_container(&container, &args.name)?;
    Ok(Outcome::Done)
}
