//! Devices of the host's that a container is given.
//!
//! 1. Below `/dev`, a file system of ours, they are made, where that can be.
//! 2. Elsewhere nothing of the image is a device: they are shown there.
//! 3. Users of the container's own make none. The supervisor has, in a file system that is attached until each is shown at its
//!    place, and is seen by no program.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use layerfs_driver::sys::change::{self, Special};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{self, FileType};

use super::error::{Doing, SetupError};
use super::files;
use super::walk::Made;
use super::way::{self, End};
use crate::spec::{Device, DeviceKind, Users};
use crate::sys::mounts::{self, Attributes, Depth};
use crate::sys::{Errno, SysError, inside};

/// Where those of the supervisor are until they are shown.
const ASIDE: &str = ".layerfs";

/// Gives it each.
pub(super) fn give(devices: &[Device], made: &Made<'_>) -> Result<(), SetupError> {
    match made.given.spec.users {
        Users::Own(_) | Users::Callers(_) => show_all(devices, made),
        Users::Hosts => devices.iter().try_for_each(|device| match below_dev(device) {
            true => make(device, made),
            false => show(device, &found(device).doing(|| deed(device))?, made),
        }),
    }
}

/// A mount of it. Its name may have come to mean something else since it was looked at.
fn found(device: &Device) -> Result<OwnedFd, SysError> {
    let mount = mounts::clone_path(device.source.as_os_str())?;
    let stat = inside::stat(&mount)?;
    let kind = match device.kind {
        DeviceKind::Character => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
    };
    if (file::type_of(&stat), file::device_numbers(&stat)) != (kind, device.numbers) {
        return Err(SysError::of_deed("open_tree", "another file has taken its name; try again"));
    }
    Ok(mount)
}

fn deed(device: &Device) -> String {
    format!("give the container the device `{}`", device.source.display())
}

fn below_dev(device: &Device) -> bool {
    device.target.starts_with("/dev")
}

/// In the place of what stands there.
fn make(device: &Device, made: &Made<'_>) -> Result<(), SetupError> {
    let (parent, name) = (device.target.parent(), device.target.file_name());
    let (Some(parent), Some(name)) = (parent, name) else { return Ok(()) };
    let parent = way::find_or_make(made.root()?, parent, End::Directory)?;
    let doing = || deed(device);
    match make_node(&parent, name, device, device.owner) {
        Err(error) if error.errno() == Errno::EXIST => {}
        answer => return answer.doing(doing),
    }
    let there = inside::open_name(&parent, name).and_then(inside::stat).doing(doing)?;
    // Others hold what is there already.
    if file::device_numbers(&there) == device.numbers {
        return Ok(());
    }
    dir::unlink(&parent, name).doing(doing)?;
    make_node(&parent, name, device, device.owner).doing(doing)
}

/// Makes the node of a device, which whom its mode says may open.
pub(crate) fn make_node(
    dir: &OwnedFd,
    name: &OsStr,
    device: &Device,
    (user, group): (u32, u32),
) -> Result<(), SysError> {
    let (major, minor) = device.numbers;
    let special = match device.kind {
        DeviceKind::Character => Special::Character { major, minor },
        DeviceKind::Block => Special::Block { major, minor },
    };
    change::make_special(dir, name, special, device.mode)?;
    change::chown_at(dir, name, Some(user), Some(group))?;
    // Whatever this process's mask takes from it.
    change::chmod_at(dir, name, device.mode)
}

fn show_all(devices: &[Device], made: &Made<'_>) -> Result<(), SetupError> {
    let doing = || "give the container devices".to_owned();
    let dev = made.dev()?;
    inside::make_directory(dev, OsStr::new(ASIDE), 0o700).doing(doing)?;
    let place = inside::open_name(dev, ASIDE).doing(doing)?;
    let all = files::ask(made, doing)?;
    mounts::attach(&all, &place).doing(doing)?;
    for (device, number) in devices.iter().zip(0_u32..) {
        let doing = || deed(device);
        let node = inside::open_name(&all, number.to_string()).doing(doing)?;
        show(device, &mounts::clone_of(&node).doing(doing)?, made)?;
    }
    mounts::detach(&all).doing(doing)?;
    dir::remove(dev, Path::new(ASIDE)).doing(doing)
}

fn show(device: &Device, mount: &OwnedFd, made: &Made<'_>) -> Result<(), SetupError> {
    let doing = || deed(device);
    let place = way::find_or_make(made.root()?, &device.target, End::File)?;
    mounts::attach(mount, &place).doing(doing)?;
    let attributes = Attributes::NO_SUID.and(Attributes::NO_EXEC);
    super::walls::restrict(mount, attributes, Depth::One).doing(doing)
}
