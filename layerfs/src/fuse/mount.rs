//! Mounting: the device opened, the mount made at a directory, told from others, and taken away.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::sys::fusermount::{self, HelperError};
use crate::sys::host::Rights;
use crate::sys::mount::{self as calls, MountFlags, Propagation};
use crate::sys::namespace::{self, MountNamespace};
use crate::sys::standing::MountId;
use crate::sys::{Errno, SysError, file};

/// Who makes and takes away the mounts of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The process itself.
    Itself,
    /// `fusermount3`, which does it for users who are not root.
    Helper,
}

impl By {
    /// Who does it for a process with these rights.
    pub fn of(rights: Rights) -> By {
        match rights {
            Rights::Root | Rights::Namespace(_) => By::Itself,
            Rights::User => By::Helper,
        }
    }
}

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
    /// Who makes the mount.
    pub by: By,
}

/// Why a mount could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The FUSE device can't be opened.
    #[error("{0}; cure: {cure}", cure = device_cure(.0.errno()))]
    Device(SysError),
    /// The kernel refused the mount.
    #[error("mount at `{}`: {source}{cure}", at.display(), cure = refusal_cure(source))]
    Refused {
        /// The mountpoint.
        at: PathBuf,
        /// The refused call.
        source: SysError,
    },
    /// `fusermount3` did not do it.
    #[error("mount at `{}`: {source}{cure}", at.display(), cure = helper_cure(source))]
    Helper {
        /// The mountpoint.
        at: PathBuf,
        /// Why not.
        source: HelperError,
    },
}

impl MountError {
    /// Whether the mount is one of another user namespace, which was there when this one's mounts began.
    pub fn is_locked(&self) -> bool {
        let is_invalid =
            matches!(self, MountError::Refused { source, .. } if source.errno() == Errno::INVAL);
        is_invalid && matches!(crate::sys::host::rights(), Ok(Rights::Namespace(_)))
    }

    /// Whether what was to be taken away is in use.
    pub fn is_busy(&self) -> bool {
        match self {
            MountError::Device(_) => false,
            MountError::Refused { source, .. } => source.errno() == Errno::BUSY,
            MountError::Helper { source, .. } => source.is_busy(),
        }
    }
}

/// What to do where the kernel refused to mount.
fn refusal_cure(refused: &SysError) -> &'static str {
    match (refused.errno(), crate::sys::host::rights()) {
        (Errno::PERM, Ok(Rights::Namespace(_))) => {
            "; the mounts here belong to another user namespace: have mounts of your own, with `unshare -Urm` or \
             `podman unshare`"
        }
        _ => "",
    }
}

/// What to do where the helper could not open the device.
fn helper_cure(refused: &HelperError) -> String {
    let HelperError::Refused(said) = refused else { return String::new() };
    let cure = match said {
        said if said.contains("device not found") => device_cure(Errno::NOENT),
        said if !said.contains("/dev/fuse") => return String::new(),
        said if said.ends_with("Permission denied") => device_cure(Errno::ACCESS),
        said if said.ends_with("Operation not permitted") => device_cure(Errno::PERM),
        said if said.ends_with("No such file or directory") => device_cure(Errno::NOENT),
        _ => return String::new(),
    };
    format!("; cure: {cure}")
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
    by: By,
    /// Where it stands, once this process has gone from there.
    left: Option<MountNamespace>,
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
    let device = match options.by {
        By::Itself => mount_itself(at, options)?,
        By::Helper => fusermount::mount(at, &helper_options(options)).map_err(by_helper(at))?,
    };
    let shared = options.propagation.map_or(Ok(()), |shared| calls::set_propagation(at, shared));
    match shared.and_then(|()| Mount::standing_at(at, options.by)) {
        Ok(mount) => Ok((mount, device)),
        Err(error) => {
            unmount(at, calls::UnmountHow::Lazy, options.by)?;
            Err(MountError::Refused { at: at.into(), source: error })
        }
    }
}

fn mount_itself(at: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
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
    Ok(device)
}

fn by_helper(at: &Path) -> impl Fn(HelperError) -> MountError {
    move |source| MountError::Helper { at: at.into(), source }
}

/// The words for the helper, which adds `nosuid` and `nodev` itself.
fn helper_options(options: &MountOptions) -> OsString {
    let flags = options.flags;
    let rows = [
        (flags.read_only, "ro"),
        (flags.no_exec, "noexec"),
        (flags.no_atime, "noatime"),
        (flags.strict_atime, "strictatime"),
        (flags.no_dir_atime, "nodiratime"),
        (flags.lazy_time, "lazytime"),
        (flags.sync, "sync"),
        (options.access == Access::Everyone, "allow_other"),
    ];
    let mut words = String::from("default_permissions,nosuid,nodev,subtype=layerfs");
    for (_, word) in rows.iter().filter(|(holds, _)| *holds) {
        words.push(',');
        words.push_str(word);
    }
    words.push_str(",fsname=");
    for letter in options.source.chars() {
        if matches!(letter, ',' | '\\') {
            words.push('\\');
        }
        words.push(letter);
    }
    words.into()
}

impl Mount {
    fn standing_at(at: &Path, by: By) -> Result<Mount, SysError> {
        // By place only: the file system behind it answers nobody yet. Held no longer than this, since it is a use.
        Ok(Mount { at: at.into(), id: MountId::of(file::open_place(at)?)?, by, left: None })
    }

    /// Goes out of the mount's namespace, so that the mount ends with who works there, and not only when it is told to.
    /// Nothing is done where it can't be had: in the namespace that lives as long as the system, for users who are not
    /// root, and beside other threads.
    pub fn leave_namespace(&mut self) {
        match self.leave() {
            Ok(left) => self.left = left,
            Err(error) => {
                tracing::debug!("the serving process stays in the namespace of its mount: {error}");
            }
        }
    }

    fn leave(&self) -> Result<Option<MountNamespace>, SysError> {
        let namespace = MountNamespace::own()?;
        let goes = match (crate::sys::host::rights()?, namespace.is_of_first_process()) {
            // One of a user namespace does not live as long as the system.
            (Rights::Namespace(_), first) => first != Some(true),
            (Rights::Root, first) => first == Some(false),
            (Rights::User, _) => false,
        };
        if !goes || self.by != By::Itself || namespace::threads()? != 1 {
            return Ok(None);
        }
        let mounts = calls::standing()?;
        let Some(standing) = mounts.iter().rev().find(|mount| mount.at == self.at) else {
            return Ok(None);
        };
        namespace::leave(standing)?;
        Ok(Some(namespace))
    }

    /// Takes it out of the tree, unless another mount stands at its place.
    pub fn take_away(&self) -> Result<TakenAway, MountError> {
        let Some(namespace) = self.left else { return self.take_away_here() };
        let here = self.clone();
        let refused = |source| MountError::Refused { at: self.at.clone(), source };
        namespace.within(move || here.take_away_here()).map_err(refused)?
    }

    fn take_away_here(&self) -> Result<TakenAway, MountError> {
        let refused = |source| MountError::Refused { at: self.at.clone(), source };
        let root = file::open_place(self.at.as_path()).map_err(refused)?;
        if MountId::of(&root).map_err(refused)? != self.id {
            return Ok(TakenAway::Covered);
        }
        match self.by {
            By::Itself => calls::unmount_open(&root).map_err(refused)?,
            By::Helper => {
                drop(root); // it would be a use of the mount
                unmount(&self.at, calls::UnmountHow::Lazy, self.by)?;
            }
        }
        Ok(TakenAway::Yes)
    }
}

/// Takes the mount at `at` away. `Lazy` detaches it now, and ends it when nobody uses it any more.
pub fn unmount(at: &Path, how: calls::UnmountHow, by: By) -> Result<(), MountError> {
    match by {
        By::Itself => {
            calls::unmount(at, how).map_err(|source| MountError::Refused { at: at.into(), source })
        }
        By::Helper => fusermount::unmount(at, how).map_err(by_helper(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_is_told_the_flags_and_the_source_with_its_commas() {
        let flags = MountFlags {
            read_only: true,
            no_suid: true,
            no_dev: true,
            no_exec: false,
            no_atime: true,
            strict_atime: false,
            no_dir_atime: false,
            lazy_time: false,
            sync: false,
            no_sym_follow: false,
        };
        let source = r"a,b\c".to_owned();
        let (access, by) = (Access::Owner, By::Helper);
        let (propagation, labels) = (None, Vec::new());
        let options = MountOptions { source, flags, access, propagation, labels, by };
        let expected =
            r"default_permissions,nosuid,nodev,subtype=layerfs,ro,noatime,fsname=a\,b\\c";
        assert_eq!(helper_options(&options), expected);
    }
}
