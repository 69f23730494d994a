//! Bringing images into the store: what `pull` and `load` share.

use std::collections::HashSet;

use anyhow::{Result, bail};
use layerfs_driver::store::Store;
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::oci::Platform;
use layerfs_driver::store::reference::Reference;
use layerfs_driver::store::source::{Source, SourceImage, Wanted};

use super::tag::new_name;
use crate::output::progress::{self, Called, Show};

/// An image that is in the store now.
#[derive(Debug)]
pub struct Brought {
    /// Its id.
    pub id: Digest,
    /// The names it was given; none where neither its source nor the user named it.
    pub names: Vec<Reference>,
}

/// Imports one image, under the user's name for it or its own.
pub fn bring(
    store: &Store,
    source: &Source,
    image: &SourceImage,
    name: Option<&Reference>,
    show: Show,
) -> Result<Brought> {
    let names = match name {
        Some(name) => vec![name.clone()],
        None => own_names(image),
    };
    let progress = progress::of_import(show, Called::DiffId);
    let id = store.import_image(source, image, &names, progress.as_ref())?;
    Ok(Brought { id, names })
}

/// The names the source gives. Docker writes one name in two places, once short and once in full: the first counts.
fn own_names(image: &SourceImage) -> Vec<Reference> {
    let mut seen = HashSet::new();
    let names = image.names.iter().map(|name| name.clone().with_default_tag());
    names.filter(|name| seen.insert(name.to_string())).collect()
}

/// The name that `--name` gives, which can only be given to one image.
pub fn one_name(words: Option<&str>, images_len: usize) -> Result<Option<Reference>> {
    match words {
        Some(_) if images_len > 1 => {
            bail!(
                "--name names one image, and {images_len} are there: leave it out, or `layerfs pull` one of them"
            )
        }
        words => words.map(new_name).transpose(),
    }
}

/// The platform the user asked for, or this machine's.
pub fn wanted(platform: Option<&str>) -> Result<Wanted> {
    Ok(match platform {
        Some(words) => Wanted::Asked(Platform::parse(words)?),
        None => Wanted::Host,
    })
}
