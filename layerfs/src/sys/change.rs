//! Names that change: nodes made, linked, exchanged; owners, permissions and times set, by directory and name.
//!
//! Nothing here follows a symbolic link at the end of a name. Callers change directories that no one else changes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid};
pub use rustix::fs::{StatVfs, StatVfsMountFlags};
use rustix::io::Errno;

use super::error::{SysError, call};
use super::file;
use super::name::AtPath;
use super::signal::last_errno;

/// What `mknodat` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// A time to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// Left as it is.
    Keep,
    /// The present.
    Now,
    /// Seconds since 1970 and nanoseconds.
    At(i64, u32),
}

/// Makes a fifo, a socket or a device. `mode` is cut by the umask.
pub fn make_special(
    dir: impl AsFd,
    name: impl AtPath,
    special: Special,
    mode: u32,
) -> Result<(), SysError> {
    let (kind, device) = match special {
        Special::Fifo => (FileType::Fifo, 0),
        Special::Socket => (FileType::Socket, 0),
        Special::Character { major, minor } => {
            (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
        }
        Special::Block { major, minor } => {
            (FileType::BlockDevice, rustix::fs::makedev(major, minor))
        }
    };
    let mode = Mode::from_raw_mode(mode);
    call(
        "mknodat",
        || format!("{}, {special:?}", name.shown()),
        || rustix::fs::mknodat(&dir, name, kind, mode, device),
    )
}

/// Makes a symbolic link.
pub fn make_symlink(target: &[u8], dir: impl AsFd, name: impl AtPath) -> Result<(), SysError> {
    call("symlinkat", || name.shown(), || rustix::fs::symlinkat(target, &dir, name))
}

/// Gives a file one more name; `EEXIST` where the name is taken.
pub fn link(
    from: impl AsFd,
    name: impl AtPath,
    to: impl AsFd,
    new: impl AtPath,
) -> Result<(), SysError> {
    call(
        "linkat",
        || format!("{}, {}", name.shown(), new.shown()),
        || rustix::fs::linkat(&from, name, &to, new, AtFlags::empty()),
    )
}

/// Gives an open file a name, its first where it has none; `EEXIST` where the name is taken.
pub fn link_open(file: impl AsFd, to: impl AsFd, new: impl AtPath) -> Result<(), SysError> {
    use std::os::fd::AsRawFd;
    // Without a way through /proc the kernel wants a capability.
    let own = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let link = || {
        let flags = AtFlags::SYMLINK_FOLLOW;
        rustix::fs::linkat(rustix::fs::CWD, own.as_str(), &to, new, flags)
    };
    call("linkat", || format!("{own}, {}", new.shown()), link)
}

/// Exchanges what two names lead to.
pub fn exchange(
    from: impl AsFd,
    name: impl AtPath,
    to: impl AsFd,
    new: impl AtPath,
) -> Result<(), SysError> {
    renameat2(from, name, (to, new), RenameFlags::EXCHANGE)
}

/// Renames, replacing what stands at the new name, and leaves a character device 0:0 at the old one.
pub fn rename_whiteout(
    from: impl AsFd,
    name: impl AtPath,
    to: impl AsFd,
    new: impl AtPath,
) -> Result<(), SysError> {
    renameat2(from, name, (to, new), RenameFlags::WHITEOUT)
}

fn renameat2(
    from: impl AsFd,
    name: impl AtPath,
    (to, new): (impl AsFd, impl AtPath),
    flags: RenameFlags,
) -> Result<(), SysError> {
    let args = || format!("{}, {}, {flags:?}", name.shown(), new.shown());
    call("renameat2", args, || rustix::fs::renameat_with(&from, name, &to, new, flags))
}

/// How an existing file is opened for work on its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// Opens a regular file that exists.
pub fn open_file(dir: impl AsFd, name: impl AtPath, access: Access) -> Result<OwnedFd, SysError> {
    let access = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::RDWR,
    };
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    call(
        "openat",
        || format!("{}, {access:?}", name.shown()),
        || rustix::fs::openat(&dir, name, flags, Mode::empty()),
    )
}

/// Sets owner and group, where they are given. The kernel may clear set-id bits and capabilities with it.
pub fn chown_at(
    dir: impl AsFd,
    name: impl AtPath,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<(), SysError> {
    let (owner, group) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    call(
        "fchownat",
        || format!("{}, {uid:?}:{gid:?}", name.shown()),
        || rustix::fs::chownat(&dir, name, owner, group, AtFlags::SYMLINK_NOFOLLOW),
    )
}

/// The same of what is held open, whatever stands at its name by now.
pub fn chown_held(held: impl AsFd, uid: Option<u32>, gid: Option<u32>) -> Result<(), SysError> {
    let (owner, group) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    let set = || rustix::fs::chownat(&held, "", owner, group, AtFlags::EMPTY_PATH);
    call("fchownat", || format!("what is held, {uid:?}:{gid:?}"), set)
}

/// Sets the permission bits of what is no symbolic link. A link is refused: `EOPNOTSUPP`, `ELOOP`.
pub fn chmod_at(dir: impl AsFd, name: impl AtPath, mode: u32) -> Result<(), SysError> {
    let set = || {
        name.into_with_c_str(|name| {
            let (dir, flags) = (dir.as_fd().as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
            // SAFETY: the kernel reads the name, which ends with a zero byte and outlives the call.
            let done = unsafe { libc::syscall(FCHMODAT2, dir, name.as_ptr(), mode, flags) };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        })
    };
    match call("fchmodat2", || format!("{}, {mode:#o}", name.shown()), set) {
        // A kernel, or a filter of system calls, that is older than the call.
        Err(error) if [Errno::NOSYS, Errno::PERM].contains(&error.errno()) => {
            chmod_held(file::hold(&dir, name)?, mode)
        }
        set => set,
    }
}

/// `fchmodat2` of Linux 6.6, the same on every machine.
const FCHMODAT2: libc::c_long = 452;

/// The same of what is held open, whatever stands at its name by now.
pub fn chmod_held(held: impl AsFd, mode: u32) -> Result<(), SysError> {
    let path = format!("/proc/self/fd/{}", held.as_fd().as_raw_fd());
    if file::type_of(&file::stat(&held)?) == FileType::Symlink {
        return Err(SysError::new("fchmodat", "a symbolic link", Errno::LOOP));
    }
    let set = || rustix::fs::chmod(&*path, Mode::from_raw_mode(mode));
    call("fchmodat", || format!("what is held, {mode:#o}"), set)
}

/// Sets access and change times.
pub fn set_times_at(
    dir: impl AsFd,
    name: impl AtPath,
    atime: SetTime,
    mtime: SetTime,
) -> Result<(), SysError> {
    let times = Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) };
    call(
        "utimensat",
        || name.shown(),
        || rustix::fs::utimensat(&dir, name, &times, AtFlags::SYMLINK_NOFOLLOW),
    )
}

/// Sets access and change times of an open file or directory.
pub fn set_times(file: impl AsFd, atime: SetTime, mtime: SetTime) -> Result<(), SysError> {
    let times = Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) };
    call("futimens", String::new, || rustix::fs::futimens(&file, &times))
}

fn timespec(time: SetTime) -> Timespec {
    match time {
        SetTime::Keep => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        SetTime::Now => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        SetTime::At(secs, nanos) => Timespec { tv_sec: secs, tv_nsec: nanos.into() },
    }
}

/// Allocates, punches or zeroes a range, as `fallocate(2)`; `mode` holds its flags.
pub fn allocate(file: impl AsFd, mode: u32, offset: u64, len_bytes: u64) -> Result<(), SysError> {
    let flags = rustix::fs::FallocateFlags::from_bits_retain(mode);
    call(
        "fallocate",
        || format!("{flags:?}, {offset}, {len_bytes}"),
        || rustix::fs::fallocate(&file, flags, offset, len_bytes),
    )
}

/// Copies within the kernel, where the file systems can; answers the bytes copied, 0 at the end of `from`.
pub fn copy_range(
    from: impl AsFd,
    from_offset: u64,
    to: impl AsFd,
    to_offset: u64,
    len: usize,
) -> Result<usize, SysError> {
    call(
        "copy_file_range",
        || format!("{from_offset} to {to_offset}, {len} bytes"),
        || {
            let (mut source, mut target) = (from_offset, to_offset);
            rustix::fs::copy_file_range(&from, Some(&mut source), &to, Some(&mut target), len)
        },
    )
}

/// Makes `to` share all blocks of `from`; `false` where the file systems can't.
pub fn reflink(to: impl AsFd, from: impl AsFd) -> Result<bool, SysError> {
    match call("ioctl", || "FICLONE".to_owned(), || rustix::fs::ioctl_ficlone(&to, &from)) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.errno(),
                Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Figures of the file system that holds `file`.
pub fn filesystem(file: impl AsFd) -> Result<StatVfs, SysError> {
    call("fstatfs", String::new, || rustix::fs::fstatvfs(&file))
}

/// The umask of this process; what is made gets the very permissions that are asked for once it is 0.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(mask)).as_raw_mode()
}

/// The path by which calls without an `at` form reach a name below a held directory.
pub(super) fn through_proc(dir: impl AsFd, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn permissions_are_not_set_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let held = std::fs::File::open(dir.path()).unwrap();
        let mode = |name: &str| {
            std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777
        };
        std::fs::write(dir.path().join("file"), b"").unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        make_special(&held, b"fifo".as_slice(), Special::Fifo, 0o600).unwrap();
        for (name, set) in [("file", 0o604), ("fifo", 0o1606)] {
            chmod_at(&held, name.as_bytes(), set).unwrap();
            assert_eq!(mode(name), set, "{name}");
            chmod_held(file::hold(&held, name.as_bytes()).unwrap(), 0o640).unwrap();
            assert_eq!(mode(name), 0o640, "{name}");
        }
        let refused = chmod_at(&held, b"link".as_slice(), 0o666).unwrap_err().errno();
        assert!([Errno::OPNOTSUPP, Errno::LOOP].contains(&refused), "{refused}");
        let link = file::hold(&held, b"link".as_slice()).unwrap();
        assert_eq!(chmod_held(&link, 0o666).unwrap_err().errno(), Errno::LOOP);
        assert_eq!(mode("file"), 0o640);
        // What it was opened on, whatever stands there now.
        let file = file::hold(&held, b"file".as_slice()).unwrap();
        std::fs::rename(dir.path().join("file"), dir.path().join("other")).unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let before = mode("file");
        chmod_held(&file, 0o600).unwrap();
        assert_eq!((mode("other"), mode("file")), (0o600, before));
    }
}
