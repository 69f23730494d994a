//! Owns the guess that whoever named an image that is not there meant to merge directories.

use std::path::Path;

use layerfs_driver::sys::dir;

/// What stands for the source in calls of mount(8) for the kernel's overlayfs and for fuse-overlayfs, where it says nothing.
const SOURCES: [&str; 7] =
    ["overlay", "overlayfs", "fuse-overlayfs", "layerfs", "fuse.layerfs", "none", "any"];

/// What is said instead of the way to get an image of that name; `None` where an image was meant.
pub fn directories(image: &str) -> Option<String> {
    if SOURCES.contains(&image) {
        return Some(format!(
            "no image `{image}` in the store, and no directories are named: say which with -o lowerdir=A:B"
        ));
    }
    let is_directory = dir::open_path(Path::new(image)).is_ok();
    is_directory.then(|| {
        format!(
            "no image `{image}` in the store, but a directory of that name here: to mount directories say \
             -o lowerdir={image}"
        )
    })
}
