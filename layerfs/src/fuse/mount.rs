//! Mounting: the device opened, the mount made at a directory, told from others, and taken away.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::sys::mount::{self as calls, MountFlags, Propagation};
use crate::sys::standing::MountId;
use crate::sys::{Errno, SysError, file};

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
    /// What of later mounts it shares; `None` leaves that to where it stands.
    pub propagation: Option<Propagation>,
    /// Further words for the kernel, as security modules read them: `context="…"`.
    pub labels: Vec<String>,
}

/// Why a mount could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The FUSE device can't be opened.
    #[error("{0}; cure: {cure}", cure = device_cure(.0.errno()))]
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

/// What to do where the FUSE device can't be opened.
pub fn device_cure(refused: Errno) -> &'static str {
    match refused {
        Errno::NOENT => "`modprobe fuse`; in a container start it with `--device /dev/fuse`",
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

/// A mount that this process made, told from others that may come to stand at the same place.
#[derive(Clone, Debug)]
pub struct Mount {
    at: PathBuf,
    id: MountId,
}

/// What became of a mount that was to be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenAway {
    /// It is out of the tree, and goes with its last user.
    Yes,
    /// Another mount stands at its place, and would go with it.
    Covered,
}

/// Mounts at `at`, and answers the mount with the device on which the kernel will ask. Nothing answers before it is
/// served.
pub fn mount(at: &Path, options: &MountOptions) -> Result<(Mount, OwnedFd), MountError> {
    let device = file::open_device("/dev/fuse").map_err(MountError::Device)?;
    let refused = |source| MountError::Refused { at: at.into(), source };
    let mut more = String::new();
    if options.access == Access::Everyone {
        more.push_str(",allow_other");
    }
    for label in &options.labels {
        more.push(',');
        more.push_str(label);
    }
    calls::mount_fuse((at, &options.source), options.flags, &device, &more).map_err(refused)?;
    let shared = options.propagation.map_or(Ok(()), |shared| calls::set_propagation(at, shared));
    match shared.and_then(|()| Mount::standing_at(at)) {
        Ok(mount) => Ok((mount, device)),
        Err(error) => {
            unmount(at, calls::UnmountHow::Lazy)?;
            Err(refused(error))
        }
    }
}

impl Mount {
    fn standing_at(at: &Path) -> Result<Mount, SysError> {
        // By place only: the file system behind it answers nobody yet. Held no longer than this, since it is a use.
        Ok(Mount { at: at.into(), id: MountId::of(file::open_place(at)?)? })
    }

    /// Takes it out of the tree, unless another mount stands at its place.
    pub fn take_away(&self) -> Result<TakenAway, MountError> {
        let refused = |source| MountError::Refused { at: self.at.clone(), source };
        let root = file::open_place(self.at.as_path()).map_err(refused)?;
        if MountId::of(&root).map_err(refused)? != self.id {
            return Ok(TakenAway::Covered);
        }
        calls::unmount_open(&root).map_err(refused)?;
        Ok(TakenAway::Yes)
    }
}

/// Takes the mount at `at` away. `Lazy` detaches it now, and ends it when nobody uses it any more.
pub fn unmount(at: &Path, how: calls::UnmountHow) -> Result<(), MountError> {
    calls::unmount(at, how).map_err(|source| MountError::Refused { at: at.into(), source })
}
