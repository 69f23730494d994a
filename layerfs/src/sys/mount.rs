//! Mounts that are held by a descriptor and stand nowhere in a tree; what names a file system.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::error::{SysError, call};

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NODEV: u64 = 4;

/// A detached copy of the mount that holds `dir`, with `dir` as its root and without the mounts below it.
pub fn clone_tree(dir: impl AsFd) -> Result<OwnedFd, SysError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    call("open_tree", || "OPEN_TREE_CLONE".to_owned(), || rustix::mount::open_tree(&dir, "", flags))
}

/// Makes a detached mount read-only and private (what is mounted elsewhere never shows in it), its devices shut.
pub fn set_read_only_private(mount: impl AsFd) -> Result<(), SysError> {
    let attr = MountAttr {
        set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    let fd = mount.as_fd().as_raw_fd();
    call(
        "mount_setattr",
        || "RDONLY|NODEV, MS_PRIVATE".to_owned(),
        || {
            // SAFETY: the path is a C string, and `attr` is as long as the size that is passed with it; the kernel
            // keeps neither.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_mount_setattr,
                    fd,
                    c"".as_ptr(),
                    libc::AT_EMPTY_PATH,
                    &raw const attr,
                    size_of::<MountAttr>(),
                )
            };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        },
    )
}

/// A detached, private, read-only copy of the directory's mount; `None` where this process may not make one: without
/// `CAP_SYS_ADMIN` (`EPERM`), or where mounts below are locked to theirs (`EINVAL`), or on old kernels.
pub fn read_only_copy(dir: impl AsFd) -> Result<Option<OwnedFd>, SysError> {
    let may_not = |error: &SysError| {
        matches!(error.errno(), Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::ACCESS)
    };
    let copy = match clone_tree(dir) {
        Ok(copy) => copy,
        Err(error) if may_not(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    match set_read_only_private(&copy) {
        Ok(()) => Ok(Some(copy)),
        Err(error) if may_not(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// `struct fsuuid2` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct FsUuid {
    len: u8,
    uuid: [u8; 16],
}

const FS_IOC_GETFSUUID: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<FsUuid>(0x15, 0);

/// What names the file system that holds `dir`, over reboots where it can: its UUID, or (kernels before 6.9, file
/// systems without one) its `f_fsid`, or (where that is zero) its device number.
pub fn filesystem_id(dir: impl AsFd) -> Result<[u8; 16], SysError> {
    let asked = call(
        "ioctl",
        || "FS_IOC_GETFSUUID".to_owned(),
        || {
            // SAFETY: the kernel writes at most the 17 bytes of `struct fsuuid2` for this opcode, which holds their size.
            let getter = unsafe { rustix::ioctl::Getter::<FS_IOC_GETFSUUID, FsUuid>::new() };
            // SAFETY: `getter` carries its own output buffer, and the opcode has no other effect.
            unsafe { rustix::ioctl::ioctl(&dir, getter) }
        },
    );
    match asked {
        // A file system image made without one has a UUID of zeros, as has its neighbour.
        Ok(FsUuid { len: 16, uuid }) if uuid != [0; 16] => return Ok(uuid),
        Ok(_) => {}
        // No such call, no UUID, or a descriptor that takes no ioctl: then by what every file system has.
        Err(error)
            if matches!(
                error.errno(),
                Errno::NOTTY
                    | Errno::OPNOTSUPP
                    | Errno::BADF
                    | Errno::INVAL
                    | Errno::NOSYS
                    | Errno::PERM
                    | Errno::ACCESS
            ) => {}
        Err(error) => return Err(error),
    }
    let stat = call("fstatvfs", String::new, || rustix::fs::fstatvfs(&dir))?;
    let mut id = id_of_fsid(stat.f_fsid);
    if stat.f_fsid == 0 {
        id[8..].copy_from_slice(&super::file::stat(&dir)?.st_dev.to_le_bytes());
    }
    Ok(id)
}

/// The beginning of `struct btrfs_ioctl_fs_info_args` of `linux/btrfs.h`, and its length.
#[repr(C)]
struct BtrfsInfo {
    devices: [u64; 2],
    fsid: [u8; 16],
    rest: [u64; 124],
}

const BTRFS_IOC_FS_INFO: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<BtrfsInfo>(0x94, 31);

/// The UUID of the btrfs that holds `dir`, all of whose subvolumes have it. No right is needed.
pub fn btrfs_uuid(dir: impl AsFd) -> Result<[u8; 16], SysError> {
    let info = call(
        "ioctl",
        || "BTRFS_IOC_FS_INFO".to_owned(),
        || {
            // SAFETY: the kernel writes the 1024 bytes of the struct for this opcode, which holds their size.
            let getter = unsafe { rustix::ioctl::Getter::<BTRFS_IOC_FS_INFO, BtrfsInfo>::new() };
            // SAFETY: `getter` carries its own output buffer, and the opcode has no other effect.
            unsafe { rustix::ioctl::ioctl(&dir, getter) }
        },
    )?;
    Ok(info.fsid)
}

/// What names a file system, or a part of it, by its `f_fsid`.
pub fn id_of_fsid(fsid: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&fsid.to_le_bytes());
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{dir, host};

    #[test]
    fn a_clone_is_read_only_and_has_no_mounts_below() {
        if !host::is_root() {
            return println!("skipped: cloning a mount needs CAP_SYS_ADMIN");
        }
        let root = dir::open_path("/").unwrap();
        let clone = clone_tree(&root).unwrap();
        set_read_only_private(&clone).unwrap();
        let proc = dir::open(&clone, "proc", crate::sys::file::Symlinks::Stop).unwrap();
        assert!(dir::list(&proc).unwrap().is_empty(), "/proc is a mount, and no part of /");
        let error = dir::make(&clone, "layerfs-must-not-be", 0o700).unwrap_err();
        assert_eq!(error.errno(), Errno::ROFS);
    }

    #[test]
    fn a_file_system_has_one_id() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = |path: &std::path::Path| filesystem_id(dir::open_path(path).unwrap()).unwrap();
        assert_eq!(id(one.path()), id(two.path()));
        assert_ne!(id(one.path()), id(std::path::Path::new("/proc")));
        assert_ne!(id(one.path()), [0; 16]);
    }
}

/// Flags of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountFlags {
    /// Nothing below it can be changed.
    pub read_only: bool,
    /// Set-id bits and capabilities have no effect.
    pub no_suid: bool,
    /// Devices can't be opened.
    pub no_dev: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
    /// Reading leaves times of access as they are.
    pub no_atime: bool,
    /// Reading always changes times of access, as far as the file system knows them.
    pub strict_atime: bool,
    /// Reading a directory leaves its time of access as it is.
    pub no_dir_atime: bool,
    /// Times are written late.
    pub lazy_time: bool,
    /// Every write is synced.
    pub sync: bool,
    /// Symbolic links in paths are not followed.
    pub no_sym_follow: bool,
}

/// How a mount is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmountHow {
    /// Now; `EBUSY` where it is in use.
    Now,
    /// Out of the tree now, and ended with its last user.
    Lazy,
}

/// Mounts a FUSE connection of type `fuse.layerfs`, root and permissions kept by the kernel; `more` follows its options.
pub fn mount_fuse(
    (at, source): (&std::path::Path, &str),
    flags: MountFlags,
    device: &OwnedFd,
    more: &str,
) -> Result<(), SysError> {
    let bits = bits(flags);
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let fd = device.as_raw_fd();
    let data =
        format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid},default_permissions{more}");
    let data = std::ffi::CString::new(data)
        .map_err(|_| SysError::of_deed("mount", "a NUL in the options"))?;
    call(
        "mount",
        || format!("{source:?}, {at:?}, fuse.layerfs"),
        || rustix::mount::mount(source, at, "fuse.layerfs", bits, Some(data.as_c_str())),
    )
}

/// Gives the mount at `at` other flags, which may be those of its file system, too: read-only, synced and written late. Where
/// a file is open for writing, or open and without a name, it does not become read-only: `EBUSY`. What is written through
/// mappings is with the file system then.
pub fn remount(at: &std::path::Path, flags: MountFlags) -> Result<(), SysError> {
    use rustix::mount::MountFlags as Bits;
    // Without a word on times of access they would stay as they are.
    let said = flags.no_atime || flags.strict_atime;
    let bits = bits(flags) | if said { Bits::empty() } else { Bits::RELATIME };
    call(
        "mount",
        || format!("{at:?}, MS_REMOUNT, {bits:?}"),
        || rustix::mount::mount_remount(at, bits, ""),
    )
}

fn bits(flags: MountFlags) -> rustix::mount::MountFlags {
    use rustix::mount::MountFlags as Bits;
    let mut bits = Bits::empty();
    bits.set(Bits::RDONLY, flags.read_only);
    bits.set(Bits::NOSUID, flags.no_suid);
    bits.set(Bits::NODEV, flags.no_dev);
    bits.set(Bits::NOEXEC, flags.no_exec);
    bits.set(Bits::NOATIME, flags.no_atime);
    bits.set(Bits::STRICTATIME, flags.strict_atime);
    bits.set(Bits::NODIRATIME, flags.no_dir_atime);
    bits.set(Bits::LAZYTIME, flags.lazy_time);
    bits.set(Bits::SYNCHRONOUS, flags.sync);
    bits.set(Bits::NOSYMFOLLOW, flags.no_sym_follow);
    bits
}

/// What of later mounts a mount shares with its copies in other places and namespaces (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// All.
    Shared,
    /// It gets theirs.
    Slave,
    /// Nothing.
    Private,
    /// Nothing, and it can't be copied.
    Unbindable,
}

/// Says what the mount at `at` shares.
pub fn set_propagation(at: &std::path::Path, propagation: Propagation) -> Result<(), SysError> {
    use rustix::mount::MountPropagationFlags as Bits;
    let bits = match propagation {
        Propagation::Shared => Bits::SHARED,
        Propagation::Slave => Bits::DOWNSTREAM,
        Propagation::Private => Bits::PRIVATE,
        Propagation::Unbindable => Bits::UNBINDABLE,
    };
    call("mount", || format!("{at:?}, {propagation:?}"), || rustix::mount::mount_change(at, bits))
}

/// Takes a mount away. The last component is not followed.
pub fn unmount(at: &std::path::Path, how: UnmountHow) -> Result<(), SysError> {
    use rustix::mount::UnmountFlags;
    let flags = match how {
        UnmountHow::Now => UnmountFlags::NOFOLLOW,
        UnmountHow::Lazy => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    call("umount2", || format!("{at:?}, {how:?}"), || rustix::mount::unmount(at, flags))
}

/// Takes the mount away whose root `root` is, whatever stands on its place by now: out of the tree at once, and ended
/// with its last user.
pub fn unmount_open(root: impl AsFd) -> Result<(), SysError> {
    // A link of /proc leads to what is open, and not to what is mounted over it.
    let path = format!("/proc/self/fd/{}", root.as_fd().as_raw_fd());
    let flags = rustix::mount::UnmountFlags::DETACH;
    call("umount2", || path.clone(), || rustix::mount::unmount(path.as_str(), flags))
}

/// One mount of this process's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// What it was mounted from.
    pub source: Vec<u8>,
    /// Where it stands.
    pub at: Vec<u8>,
    /// Whether the mount refuses changes.
    pub read_only: bool,
    /// Its flags, with those of its file system.
    pub flags: MountFlags,
    /// Of a FUSE mount: the user who made it.
    pub user: Option<u32>,
}

/// A table of mounts is no longer.
pub const TABLE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The mounts of a type, in the order they were made.
pub fn mounted(kind: &str) -> Result<Vec<Mounted>, SysError> {
    let table = table()?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(|line| parse_mount(line, kind)).collect())
}

/// Where a file system stands in a tree of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its number.
    pub id: u64,
    /// The number of the mount that it is mounted on.
    pub parent: u64,
    /// Its device as `mountinfo` writes it, `MAJOR:MINOR`.
    pub device: Vec<u8>,
    /// The mountpoint.
    pub at: std::path::PathBuf,
}

/// All mounts of the calling thread's namespace, in the order they were made.
pub fn standing() -> Result<Vec<Standing>, SysError> {
    let table = super::file::open_read_path("/proc/thread-self/mountinfo")?;
    let table = super::file::read_all(table, TABLE_MAX_BYTES)?;
    Ok(standing_in(&table))
}

/// Reads a whole `mountinfo` (proc(5)): lines of ID PARENT DEVICE ROOT AT …
pub fn standing_in(table: &[u8]) -> Vec<Standing> {
    let parse = |line: &[u8]| {
        let mut words = line.split(|byte| *byte == b' ');
        let mut number = || -> Option<u64> { str::from_utf8(words.next()?).ok()?.parse().ok() };
        let (id, parent) = (number()?, number()?);
        let (device, at) = (words.next()?.to_vec(), unescape(words.nth(1)?));
        Some(Standing { id, parent, device, at: std::ffi::OsString::from_vec(at).into() })
    };
    table.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// The table of this process's mount namespace, as proc(5) has it.
pub(super) fn table() -> Result<Vec<u8>, SysError> {
    let table = super::file::open_read_path("/proc/self/mountinfo")?;
    super::file::read_all(table, TABLE_MAX_BYTES)
}

/// Reads a line of `mountinfo` (proc(5)): ID PARENT DEVICE ROOT AT OPTIONS [TAGS] - KIND SOURCE OPTIONS.
fn parse_mount(line: &[u8], kind: &str) -> Option<Mounted> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = words.iter().position(|word| *word == b"-")?;
    if *words.get(dash + 1)? != kind.as_bytes() {
        return None;
    }
    let options = words.get(5)?;
    let of_filesystem = words.get(dash + 3).into_iter().flat_map(|words| words.split(is_comma));
    let flags = flags_of(options, of_filesystem.clone());
    let mut users = of_filesystem.filter_map(|word| word.strip_prefix(b"user_id="));
    Some(Mounted {
        source: unescape(words.get(dash + 2)?),
        at: unescape(words.get(4)?),
        read_only: options.split(is_comma).any(|option| option == b"ro"),
        flags,
        user: users.next().and_then(|id| std::str::from_utf8(id).ok()?.parse().ok()),
    })
}

/// The flags that a mount's own words and those of its file system say.
fn flags_of<'a>(own: &[u8], of_filesystem: impl Iterator<Item = &'a [u8]> + Clone) -> MountFlags {
    let has = |word: &str| own.split(is_comma).any(|option| option == word.as_bytes());
    let has_filesystem = |word: &str| of_filesystem.clone().any(|it| it == word.as_bytes());
    MountFlags {
        read_only: has("ro") || has_filesystem("ro"),
        no_suid: has("nosuid"),
        no_dev: has("nodev"),
        no_exec: has("noexec"),
        no_atime: has("noatime"),
        strict_atime: !has("noatime") && !has("relatime"),
        no_dir_atime: has("nodiratime"),
        lazy_time: has_filesystem("lazytime"),
        sync: has_filesystem("sync"),
        no_sym_follow: has("nosymfollow"),
    }
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

/// Turns `\040` and its like back: the kernel writes space, tab, newline and backslash so.
pub fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| {
            *first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        });
        let number =
            digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match number {
            Some(byte) => {
                plain.push(byte);
                rest = &tail[3..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod mount_tests {
    use super::*;

    #[test]
    fn mounts_stand_with_their_numbers_and_lines_without_are_none() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402/x rw,noatime master:1 - ext3 /dev/root rw\n36 x 98:0 / / rw\n";
        let one = Standing { id: 36, parent: 35, device: b"98:0".into(), at: "/mnt 2/x".into() };
        assert_eq!(standing_in(line), [one]);
    }

    #[test]
    fn a_line_of_mountinfo_is_read_with_its_escapes() {
        let line =
            br"36 35 0:41 / /mnt/a\040b ro,nosuid shared:1 - fuse.layerfs debian:12 rw,user_id=7,group_id=0";
        let line = String::from_utf8_lossy(line).replace(r"\\", r"\");
        let read = parse_mount(line.as_bytes(), "fuse.layerfs").unwrap();
        assert_eq!(
            (read.at.as_slice(), read.source.as_slice(), read.read_only, read.user),
            (&b"/mnt/a b"[..], &b"debian:12"[..], true, Some(7))
        );
        assert!(read.flags.no_suid && read.flags.read_only && read.flags.strict_atime);
        assert!(!read.flags.no_dev && !read.flags.sync && !read.flags.lazy_time);
        assert_eq!(parse_mount(line.as_bytes(), "ext4"), None);
        assert_eq!(parse_mount(b"", "ext4"), None);
        let line = b"1 2 0:4 / /m rw,nodev,noexec,noatime,nodiratime,nosymfollow - ext4 x ro,sync,lazytime";
        let flags = parse_mount(line, "ext4").unwrap().flags;
        assert!(flags.read_only && flags.no_dev && flags.no_exec && flags.no_atime);
        assert!(flags.no_dir_atime && flags.no_sym_follow && flags.sync && flags.lazy_time);
        assert!(!flags.no_suid && !flags.strict_atime);
    }
}
