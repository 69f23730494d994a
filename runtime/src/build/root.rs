//! The root: a FUSE mount made by the container itself, whose device goes out to the process that serves it.
//!
//! The mount belongs to the container's mount namespace and ends with it; the serving process sees its device end.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use layerfs_driver::sys::{Errno, dir, file};

use super::error::{Doing, SetupError};
use super::walk::Made;
use crate::sys::channel;
use crate::sys::mounts::{self, Attributes};

/// Opens the device, which a container's groups deny it.
pub(crate) fn open_device() -> Result<OwnedFd, SetupError> {
    let opened = file::open_device("/dev/fuse");
    let cure = match &opened {
        Err(error) if [Errno::ACCESS, Errno::PERM].contains(&error.errno()) => {
            "`chmod 666 /dev/fuse` as root lets everybody; what a container is in may forbid it"
        }
        _ => "`modprobe fuse` gives the kernel its module",
    };
    opened.doing(|| format!("open the FUSE device ({cure})"))
}

/// Mounts the root at the place that was given for it, and sends its device out.
pub(super) fn mount(made: &mut Made<'_>) -> Result<(), SetupError> {
    let server = made.given.server.take().ok_or(SetupError::Order("a server"))?;
    let device = made.device.take().ok_or(SetupError::Order("its device"))?;
    let called = (made.given.spec.source.as_str(), super::walls::of_root(made.given.spec.gains));
    made.root = Some(mount_served(called, device, (&server, made.given.place))?);
    Ok(())
}

/// Mounts at `place` what the process at the other end of `server` serves, and sends that one the device.
pub(crate) fn mount_served(
    (source, attributes): (&str, Attributes),
    device: OwnedFd,
    (server, place): (&OwnedFd, &Path),
) -> Result<OwnedFd, SetupError> {
    let descriptor = device.as_raw_fd().to_string();
    let options = [
        ("source", source),
        ("subtype", "layerfs"),
        ("fd", descriptor.as_str()),
        ("rootmode", "40000"),
        ("user_id", "0"),
        ("group_id", "0"),
        ("default_permissions", ""),
        ("allow_other", ""),
    ];
    let root = mounts::new_filesystem("fuse", &options, attributes)
        .doing(|| "mount the root of the container".into())?;
    channel::send(server, b"device", Some(device.as_fd()))
        .doing(|| "hand the root's device to the process that serves it".into())?;
    // Only the server holds the device from here on: when it ends, the connection does, and nobody waits for ever.
    drop(device);
    let place = dir::open_path(place).doing(|| "find a place for the root".into())?;
    mounts::attach(&root, &place).doing(|| "attach the root of the container".into())?;
    Ok(root)
}
