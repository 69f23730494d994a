//! /dev/fuse: there, a device, and openable.

use layerfs_driver::sys::file::{self, FileType};
use layerfs_driver::sys::{Errno, SysError};

use super::facts;
use super::item::{Item, Need};

const DEVICE: &str = "/dev/fuse";

/// The device that every mount needs.
pub fn device() -> Result<Item, SysError> {
    let item = Item::ok(DEVICE, Need::Main, "openable");
    let Some(stat) = facts::stat(DEVICE)? else {
        return Ok(item.missing(
            "not there",
            "`modprobe fuse`; in a container start it with `--device /dev/fuse`",
        ));
    };
    if file::type_of(&stat) != FileType::CharacterDevice {
        return Ok(
            item.missing("not a device", "`rm /dev/fuse && mknod -m 666 /dev/fuse c 10 229`")
        );
    }
    Ok(match file::open_read_path(DEVICE) {
        Ok(_) => item,
        Err(error) => {
            let cure = cure_of(error.errno());
            item.missing(error.to_string(), cure)
        }
    })
}

fn cure_of(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS => {
            "`chmod 666 /dev/fuse` as root (the usual mode), or join the group that owns it"
        }
        Errno::PERM => {
            "the device cgroup forbids it: start the container with `--device /dev/fuse`"
        }
        Errno::NODEV | Errno::NXIO => {
            "the kernel has no FUSE: `modprobe fuse`, or a kernel with CONFIG_FUSE_FS"
        }
        _ => "see the error",
    }
}
