//! /dev/fuse: there, a device, and openable.

use layerfs_driver::fuse::device_cure;
use layerfs_driver::sys::file::{self, FileType};
use layerfs_driver::sys::{Errno, SysError};

use super::facts;
use super::item::{Item, Need};

const DEVICE: &str = "/dev/fuse";

/// The device that every mount needs.
pub fn device() -> Result<Item, SysError> {
    let item = Item::ok(DEVICE, Need::Main, "openable");
    let Some(stat) = facts::stat(DEVICE)? else {
        return Ok(item.missing("not there", device_cure(Errno::NOENT)));
    };
    if file::type_of(&stat) != FileType::CharacterDevice {
        return Ok(
            item.missing("not a device", "`rm /dev/fuse && mknod -m 666 /dev/fuse c 10 229`")
        );
    }
    Ok(match file::open_read_path(DEVICE) {
        Ok(_) => item,
        Err(error) => {
            let cure = device_cure(error.errno());
            item.missing(error.to_string(), cure)
        }
    })
}
