//! Mounts by descriptor: made or copied aside, attached to an opened directory or file, never named by a path that
//! somebody else could change.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use layerfs_driver::sys::mount::standing;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::{Errno, SysError, call, last_errno};

/// What a mount refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(MountAttrFlags);

impl Attributes {
    /// Nothing.
    pub const NONE: Self = Attributes(MountAttrFlags::empty());
    /// Changes.
    pub const READ_ONLY: Self = Attributes(MountAttrFlags::MOUNT_ATTR_RDONLY);
    /// Set-id bits and capabilities of files.
    pub const NO_SUID: Self = Attributes(MountAttrFlags::MOUNT_ATTR_NOSUID);
    /// Devices.
    pub const NO_DEV: Self = Attributes(MountAttrFlags::MOUNT_ATTR_NODEV);
    /// Programs.
    pub const NO_EXEC: Self = Attributes(MountAttrFlags::MOUNT_ATTR_NOEXEC);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Attributes(self.0.union(other.0))
    }

    /// Whether all of `other` is refused.
    pub fn has(self, other: Self) -> bool {
        self.0.contains(other.0)
    }
}

/// Whether the mounts below are meant, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// This mount alone.
    One,
    /// This mount and all below it.
    All,
}

/// A new file system of `kind`, mounted nowhere yet.
pub fn new_filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: Attributes,
) -> Result<OwnedFd, SysError> {
    let open = || rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC);
    let context = call("fsopen", || kind.to_owned(), open)?;
    for (key, value) in options {
        let set = || match *value {
            "" => rustix::mount::fsconfig_set_flag(&context, *key),
            value => rustix::mount::fsconfig_set_string(&context, *key, value),
        };
        call("fsconfig", || format!("{kind}: {key}={value}"), set)?;
    }
    let create = || rustix::mount::fsconfig_create(&context);
    call("fsconfig", || format!("{kind}: create"), create)?;
    let mount = || rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes.0);
    call("fsmount", || kind.to_owned(), mount)
}

/// A copy of the mounts at and below `path`, links followed, mounted nowhere yet. What is mounted in the one is not in the other.
pub fn clone_path(path: &OsStr) -> Result<OwnedFd, SysError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let clone = || rustix::mount::open_tree(CWD, path, flags);
    let mount = call("open_tree", || format!("\"{}\"", path.display()), clone)?;
    make_private(&mount)?;
    Ok(mount)
}

/// The same where no name of `path` may be a link: whoever may change one of them since it was found leads nowhere else.
pub fn clone_found(path: &OsStr) -> Result<OwnedFd, SysError> {
    let open = |flags| {
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        let open =
            || rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        call("openat2", || format!("\"{}\"", path.display()), open)
    };
    // As a directory what automount(8) mounts there comes with it.
    match open(OFlags::DIRECTORY) {
        Err(error) if error.errno() == Errno::NOTDIR => clone_of(open(OFlags::empty())?),
        opened => clone_of(opened?),
    }
}

/// The same of what `object` is open on.
pub fn clone_of(object: impl AsFd) -> Result<OwnedFd, SysError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = || rustix::mount::open_tree(&object, "", flags);
    let mount = call("open_tree", String::new, clone)?;
    make_private(&mount)?;
    Ok(mount)
}

/// A copy of a mount that is shared would be one of those that share (`Documentation/filesystems/sharedsubtree.rst`).
fn make_private(mount: &OwnedFd) -> Result<(), SysError> {
    let attr = MountAttr { set: 0, clear: 0, propagation: PRIVATE, userns_fd: 0 };
    match set_attr(mount, &attr, Depth::All, || "MS_PRIVATE".to_owned()) {
        Err(error) if is_missing(&error) => {
            let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
            call("mount", || "MS_PRIVATE".to_owned(), || rustix::mount::mount_change(&*path, flags))
        }
        set => set,
    }
}

/// `MS_PRIVATE` of `linux/mount.h`.
const PRIVATE: u64 = 1 << 18;

/// Puts a mount on what `target` is open on.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), SysError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    call("move_mount", String::new, || rustix::mount::move_mount(&mount, "", &target, "", flags))
}

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Lets a mount refuse more, from here on. `ENOSYS` before Linux 5.12.
pub fn set(mount: impl AsFd, attributes: Attributes, depth: Depth) -> Result<(), SysError> {
    let attr =
        MountAttr { set: u64::from(attributes.0.bits()), clear: 0, propagation: 0, userns_fd: 0 };
    set_attr(mount, &attr, depth, || format!("{:?}, {depth:?}", attributes.0))
}

/// Lets mounts that are mounted nowhere yet show each id of the user namespace `users` for the same one on disk. `ENOSYS` before
/// Linux 5.12, `EINVAL` where a file system can't.
pub fn show_ids(mount: impl AsFd, users: impl AsFd) -> Result<(), SysError> {
    let userns_fd = u64::from(users.as_fd().as_raw_fd().unsigned_abs());
    let attr = MountAttr { set: IDMAP, clear: 0, propagation: 0, userns_fd };
    set_attr(mount, &attr, Depth::All, || "MOUNT_ATTR_IDMAP".to_owned())
}

/// `MOUNT_ATTR_IDMAP` of `linux/mount.h`.
const IDMAP: u64 = 0x0010_0000;

fn set_attr(
    mount: impl AsFd,
    attr: &MountAttr,
    depth: Depth,
    shown: impl FnOnce() -> String,
) -> Result<(), SysError> {
    let flags = match depth {
        Depth::One => libc::AT_EMPTY_PATH,
        Depth::All => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    let fd = mount.as_fd().as_raw_fd();
    call("mount_setattr", shown, || {
        // SAFETY: the path is a C string, and `attr` is as long as the size that is passed with it; the kernel
        // keeps neither.
        let done = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                fd,
                c"".as_ptr(),
                flags,
                std::ptr::from_ref(attr),
                size_of::<MountAttr>(),
            )
        };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    })
}

/// The same for one attached mount that `place` is the root of, on a kernel that has no `mount_setattr`. What it refuses already it
/// goes on to refuse.
pub fn set_by_remount(place: impl AsFd, attributes: Attributes) -> Result<(), SysError> {
    use rustix::fs::StatVfsMountFlags;
    use rustix::mount::MountFlags;
    let now = call("fstatvfs", String::new, || rustix::fs::fstatvfs(&place))?.f_flag;
    let mut flags = MountFlags::BIND;
    for (attribute, known, flag) in [
        (Attributes::READ_ONLY, StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (Attributes::NO_SUID, StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (Attributes::NO_DEV, StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (Attributes::NO_EXEC, StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ] {
        flags.set(flag, attributes.has(attribute) || now.contains(known));
    }
    let path = format!("/proc/self/fd/{}", place.as_fd().as_raw_fd());
    call(
        "mount",
        || format!("remount, {flags:?}"),
        || rustix::mount::mount_remount(&*path, flags, ""),
    )
}

/// The roots of all mounts below one that is attached, as far as they are not covered.
pub fn below(mount: impl AsFd) -> Result<Vec<OwnedFd>, SysError> {
    let all = standing()?;
    let mut ids = vec![id_of(mount)?];
    let mut known = 0;
    while let Some(above) = ids.get(known).copied() {
        ids.extend(all.iter().filter(|one| one.parent == above).map(|one| one.id));
        known += 1;
    }
    let mut places = Vec::new();
    for one in all.iter().filter(|one| ids[1..].contains(&one.id)) {
        let open = || {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat2(CWD, &*one.at, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        };
        let place = call("openat2", || one.at.display().to_string(), open)?;
        // Of a covered one nobody has anything.
        if id_of(&place)? == one.id {
            places.push(place);
        }
    }
    Ok(places)
}

/// The number of the mount that an object was opened in (`STATX_MNT_ID`, Linux 5.8).
fn id_of(object: impl AsFd) -> Result<u64, SysError> {
    let ask = || {
        let wanted = StatxFlags::from_bits_retain(MNT_ID);
        rustix::fs::statx(&object, "", AtFlags::EMPTY_PATH, wanted)
    };
    let stat = call("statx", || "STATX_MNT_ID".to_owned(), ask)?;
    match stat.stx_mask & MNT_ID {
        0 => Err(SysError::of_deed("statx", "an object without a mount")),
        _ => Ok(stat.stx_mnt_id),
    }
}

/// `STATX_MNT_ID` of `linux/stat.h`.
const MNT_ID: u32 = 0x1000;

/// Nothing that is mounted from here on shows elsewhere, nor the other way round.
pub fn make_all_private() -> Result<(), SysError> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    call("mount", || "/, private".to_owned(), || rustix::mount::mount_change("/", flags))
}

/// Makes the mount at `root` the root of this process, and lets go of everything that was mounted before.
pub fn pivot(root: impl AsFd) -> Result<(), SysError> {
    call("fchdir", || "new root".to_owned(), || rustix::process::fchdir(&root))?;
    call("pivot_root", || ".".to_owned(), || rustix::process::pivot_root(".", "."))?;
    // The old root lies on top of the new one now.
    let leave = || rustix::mount::unmount(".", UnmountFlags::DETACH);
    call("umount2", || "old root".to_owned(), leave)?;
    call("chdir", || "/".to_owned(), || rustix::process::chdir("/"))
}

/// Takes the attached mount away that `mount` is the root of.
pub fn detach(mount: impl AsFd) -> Result<(), SysError> {
    let path = format!("/proc/self/fd/{}", mount.as_fd().as_raw_fd());
    let leave = || rustix::mount::unmount(&*path, UnmountFlags::DETACH);
    call("umount2", || "a mount of ours".to_owned(), leave)
}

/// Whether the kernel is too old for a call, which something else stands in for.
pub fn is_missing(error: &SysError) -> bool {
    error.errno() == Errno::NOSYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_on_the_way_to_what_was_found_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("real/sub")).unwrap();
        std::os::unix::fs::symlink("real", dir.join("link")).unwrap();
        for way in ["link", "link/sub"] {
            let error = clone_found(dir.join(way).as_os_str()).unwrap_err();
            assert_eq!(error.errno(), Errno::LOOP, "{way}");
        }
        std::fs::write(dir.join("file"), b"").unwrap();
        // Root alone goes further.
        for way in ["real/sub", "file"] {
            if let Err(error) = clone_found(dir.join(way).as_os_str()) {
                assert_eq!(error.errno(), Errno::PERM, "{way}");
            }
        }
    }

    #[test]
    fn mounts_below_one_are_found_by_their_numbers() {
        // Of this process's own: the root has some below it, and of those one at least has none.
        let places = below(std::fs::File::open("/").unwrap()).unwrap();
        assert!(!places.is_empty());
        let proc = std::fs::File::open("/proc").unwrap();
        assert!(places.iter().any(|place| id_of(place).unwrap() == id_of(&proc).unwrap()));
        assert!(places.iter().any(|place| below(place).unwrap().is_empty()));
    }
}
