//! `layerfs tag`: another name for an image.

use anyhow::{Result, bail};
use clap::Args;
use layerfs_driver::store::reference::Reference;

use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs tag debian:bookworm debian:12
  layerfs tag 3f2a9c registry.example.org/base/debian:stable

A name without a tag means `latest`. An image that has the name already loses it.";

/// The words of `layerfs tag`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct TagArgs {
    /// Name, id, or the beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The new name
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

/// Gives the image the name.
pub fn run(args: &TagArgs, session: &Session) -> Result<Outcome> {
    let name = new_name(&args.name)?;
    let store = session.store()?;
    let image = store.find(&args.image)?.image;
    store.tag(&image.id, &name)?;
    Ok(Outcome::Done)
}

/// Reads a name that is to be given to an image: with a tag, `latest` where none is said, and never with a digest.
pub fn new_name(words: &str) -> Result<Reference> {
    let name = Reference::parse(words)?;
    if name.digest().is_some() {
        bail!(
            "`{words}` has a digest, which only the image's manifest can give: leave out what follows `@`"
        );
    }
    Ok(name.with_default_tag())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_has_a_tag_and_no_digest() {
        assert_eq!(new_name("debian").unwrap().to_string(), "debian:latest");
        assert_eq!(new_name("debian:12").unwrap().to_string(), "debian:12");
        let digest = "0".repeat(64);
        let refused = new_name(&format!("debian@sha256:{digest}")).unwrap_err().to_string();
        assert!(refused.contains("leave out"), "{refused}");
    }
}
