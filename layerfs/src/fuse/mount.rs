//! Mounting: the device opened, the mount made at a directory, and taken away.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::sys::mount::{self as calls, MountFlags};
use crate::sys::{SysError, file};

/// Who may enter the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone, as permissions say.
    Everyone,
    /// The user that mounts, and no one else.
    Owner,
}

/// How a union is mounted.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// What `findmnt` shows as the source.
    pub source: String,
    /// Flags of the mount itself.
    pub flags: MountFlags,
    /// Who may enter.
    pub access: Access,
}

/// Why a mount could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The FUSE device can't be opened.
    #[error("{0}: load the kernel's module with `modprobe fuse`, or give this place /dev/fuse")]
    Device(SysError),
    /// The kernel refused the mount.
    #[error("mount at `{}`: {source}", at.display())]
    Refused {
        /// The mountpoint.
        at: PathBuf,
        /// The refused call.
        source: SysError,
    },
}

/// Mounts at `at`, and answers the device on which the kernel will ask. Nothing answers before it is served.
pub fn mount(at: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let device = file::open_device("/dev/fuse").map_err(MountError::Device)?;
    let refused = |source| MountError::Refused { at: at.into(), source };
    let access = match options.access {
        Access::Everyone => ",allow_other",
        Access::Owner => "",
    };
    calls::mount_fuse((at, &options.source), options.flags, &device, access).map_err(refused)?;
    Ok(device)
}

/// Takes the mount at `at` away. `Lazy` detaches it now, and ends it when nobody uses it any more.
pub fn unmount(at: &Path, how: calls::UnmountHow) -> Result<(), MountError> {
    calls::unmount(at, how).map_err(|source| MountError::Refused { at: at.into(), source })
}
