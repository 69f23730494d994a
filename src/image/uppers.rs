//! Uppers of the users' own that need an image: what was changed of it lies there, and data of it in the image.

use anyhow::{Context, Result};
use layerfs_driver::store::image::Image;
use layerfs_driver::store::{OwnUpper, Store};
use layerfs_driver::sys::dir;
use layerfs_driver::tree::Origin;
use layerfs_driver::upper::UpperReader;

/// An upper that needs an image.
#[derive(Debug)]
pub struct Needing {
    own: OwnUpper,
    /// The first object of it that has a part in the image, as messages have it.
    object: String,
}

impl Needing {
    /// Why the image, which the user calls so, is not removed, and what can be done.
    pub fn refusal(&self, image: &Image, called: &str) -> String {
        let shown = self.own.upper.display();
        format!(
            "image {} is needed by the upper directory `{shown}`: {} has a part in it; make that whole with `layerfs upper \
             normalize --image {called}{} {shown}`, or remove the directory, or the image all the same with --force",
            image.id.short(),
            self.object,
            work_of(&self.own)
        )
    }

    /// What is said where the image was removed all the same.
    pub fn farewell(&self, image: &Image) -> String {
        format!(
            "image {} was needed by the upper directory `{}`: {} has a part in it; the same image brought in again is as good",
            image.id.short(),
            self.own.upper.display(),
            self.object
        )
    }
}

/// An upper that has a part in the image; an error where that can't be known. Another image of the same layers is as good.
pub fn needing(store: &Store, image: &Image) -> Result<Option<Needing>> {
    let Some(chain) = image.chain_id() else { return Ok(None) };
    let is_same = |other: &Image| other.id != image.id && other.chain_id() == Some(chain);
    if store.listing(None)?.images.iter().any(is_same) {
        return Ok(None);
    }
    let id = image.id.short();
    let unknown = || format!("which upper directories need image {id} is not known");
    for own in store.uppers_over(&chain).with_context(unknown)? {
        let object = first_in_image(
            &own,
            |origin| matches!(origin, Origin::Image { chain_id, .. } if *chain_id == chain),
        );
        let object = object.with_context(|| {
            let shown = own.upper.display();
            format!("whether the upper directory `{shown}` needs image {id} is not known")
        })?;
        if let Some(object) = object {
            return Ok(Some(Needing { own, object }));
        }
    }
    Ok(None)
}

/// The first object of an upper that has a part in the image; `None` where there is none, or the upper is not there any more, or
/// another's.
fn first_in_image(own: &OwnUpper, is_of_image: impl Fn(&Origin) -> bool) -> Result<Option<String>> {
    if own.is_absent() {
        return Ok(None);
    }
    let upper = dir::open_path(own.upper.as_path())?;
    let work = match dir::open_path(own.work.as_path()) {
        Err(error) if error.is_absent() => None,
        opened => Some(opened?),
    };
    let reader = UpperReader::open(upper, work.as_ref())?;
    match reader.made_over() {
        Some(origin) if is_of_image(origin) => Ok(reader.first_that_leads_below()?),
        _ => Ok(None),
    }
}

/// How the work directory is named, where it must be.
fn work_of(own: &OwnUpper) -> String {
    let mut usual = own.upper.clone().into_os_string();
    usual.push(".work");
    match *own.work == *usual {
        true => String::new(),
        false => format!(" --work {}", own.work.display()),
    }
}
