//! How one image stands in tables: its id, its age, its repository and tag.

use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::image::Image;
use layerfs_driver::sys::host;

use crate::output::time;

/// What a table says where there is nothing.
pub const NONE: &str = "<none>";

/// Whether ids are shortened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The first twelve digits.
    Short,
    /// `sha256:` and all digits.
    Full,
}

/// An id or a digest as a table shows it.
pub fn id(digest: &Digest, ids: Ids) -> String {
    match ids {
        Ids::Short => digest.short(),
        Ids::Full => digest.to_string(),
    }
}

/// When the image was made, in seconds since 1970; `None` where its configuration does not say, or not clearly.
pub fn created_secs(image: &Image) -> Option<i64> {
    image.config.created.as_deref().and_then(time::parse_rfc3339)
}

/// An age as docker shows it; `N/A` where the time is not known.
pub fn age(created_secs: Option<i64>) -> String {
    let now = i64::try_from(host::now_secs()).unwrap_or(i64::MAX);
    created_secs.map_or_else(|| "N/A".into(), |created| time::ago(created, now))
}
