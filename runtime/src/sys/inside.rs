//! Names inside a root that is not trusted: every link is resolved as if that root were `/`, and none leads out of it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use super::{Errno, SysError, call};

/// File systems whose files are the kernel's words, by their numbers (`linux/magic.h`, and the sources of those it leaves
/// out).
const KERNELS: [u32; 18] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0x4249_4e4d, // binfmt_misc
    0x1980_0202, // mqueue
    0x9584_58f6, // hugetlbfs
    0x6573_5543, // fusectl
];

/// `DEVPTS_SUPER_MAGIC` of `linux/magic.h`.
const TERMINALS: u32 = 0x1cd1;

/// Opens `path`, as it would resolve in a container whose root is `root`, as a place: to mount on, to ask what it is.
pub fn open(root: impl AsFd, path: &OsStr) -> Result<OwnedFd, SysError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = || rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve);
    again("openat2", || format!("\"{}\"", path.as_bytes().escape_ascii()), open)
}

/// Opens one name of `dir` as a place, a link not followed.
pub fn open_name(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd, SysError> {
    let (name, flags) = (name.as_ref(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC);
    let open = || rustix::fs::openat(&dir, name, flags, Mode::empty());
    call("openat", || format!("\"{}\", O_PATH", name.as_bytes().escape_ascii()), open)
}

/// Opens one name of `dir` for reading and writing: a device of ours.
pub fn open_device(dir: impl AsFd, name: &str) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(&dir, name, flags, Mode::empty());
    call("openat", || format!("{name:?}, O_RDWR"), open)
}

/// Opens for reading what `place` is open on, whatever stands at its name by now. `proc` is the root of a `/proc` that
/// shows this process.
pub fn open_again(proc: impl AsFd, place: impl AsFd) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let name = format!("self/fd/{}", place.as_fd().as_raw_fd());
    let open = || rustix::fs::openat(&proc, &*name, flags, Mode::empty());
    call("openat", || format!("{name:?}"), open)
}

/// The same for reading and writing: a device, which is known to be one that does nothing by that.
pub fn open_again_to_write(proc: impl AsFd, place: impl AsFd) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let name = format!("self/fd/{}", place.as_fd().as_raw_fd());
    let open = || rustix::fs::openat(&proc, &*name, flags, Mode::empty());
    call("openat", || format!("{name:?}, O_RDWR"), open)
}

/// Whether it lies in a file system of terminals.
pub fn is_of_terminals(object: impl AsFd) -> Result<bool, SysError> {
    let stat = call("fstatfs", String::new, || rustix::fs::fstatfs(&object))?;
    Ok(u32::try_from(stat.f_type) == Ok(TERMINALS))
}

/// Writes a setting of the kernel's below `sys` of `proc`, which is the root of a `/proc` of ours.
pub fn write_setting(proc: impl AsFd, path: &str, value: &str) -> Result<(), SysError> {
    let path = format!("sys/{path}");
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let open = || rustix::fs::openat2(&proc, &*path, flags, Mode::empty(), resolve);
    let setting = call("openat2", || format!("{path:?}, O_WRONLY"), open)?;
    let write = || rustix::io::write(&setting, value.as_bytes());
    call("write", || format!("{path:?}"), write).map(drop)
}

/// What stands behind a descriptor.
pub fn stat(object: impl AsFd) -> Result<Stat, SysError> {
    call("fstat", String::new, || rustix::fs::fstat(&object))
}

/// Whether it lies in a file system whose files are the kernel's words: reading one may wait, or take away what others
/// wait for, and a link of one may lead by itself.
pub fn is_kernels(object: impl AsFd) -> Result<bool, SysError> {
    let stat = call("fstatfs", String::new, || rustix::fs::fstatfs(&object))?;
    Ok(u32::try_from(stat.f_type).is_ok_and(|kind| KERNELS.contains(&kind)))
}

/// Makes a directory in `dir`; one that is there already is left as it is.
pub fn make_directory(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<(), SysError> {
    let mode = Mode::from_raw_mode(mode);
    match call(
        "mkdirat",
        || format!("\"{}\"", name.as_bytes().escape_ascii()),
        || rustix::fs::mkdirat(&dir, name, mode),
    ) {
        Err(error) if error.errno() == Errno::EXIST => Ok(()),
        made => made,
    }
}

/// Makes an empty file at `path`, or finds it there, links resolved inside `root`, the last one too.
pub fn create(root: impl AsFd, path: &OsStr, mode: u32) -> Result<(), SysError> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mode = Mode::from_raw_mode(mode);
    let make = || rustix::fs::openat2(&root, path, flags, mode, resolve).map(drop);
    again("openat2", || format!("\"{}\", O_CREAT", path.as_bytes().escape_ascii()), make)
}

/// Makes a character device.
pub fn make_device(dir: impl AsFd, name: &str, (major, minor): (u32, u32)) -> Result<(), SysError> {
    let device = rustix::fs::makedev(major, minor);
    let mode = Mode::from_raw_mode(0o666);
    let make = || rustix::fs::mknodat(&dir, name, FileType::CharacterDevice, mode, device);
    call("mknodat", || format!("{name:?}, {major}:{minor}"), make)
}

/// Makes a symbolic link.
pub fn make_link(target: &str, dir: impl AsFd, name: &str) -> Result<(), SysError> {
    call(
        "symlinkat",
        || format!("{target:?}, {name:?}"),
        || rustix::fs::symlinkat(target, &dir, name),
    )
}

/// Enters a directory, by its descriptor.
pub fn enter(dir: impl AsFd) -> Result<(), SysError> {
    call("fchdir", String::new, || rustix::process::fchdir(&dir))
}

/// Where this process is, as bytes of a path.
pub fn current() -> Result<Vec<u8>, SysError> {
    let ask = || rustix::process::getcwd(Vec::new());
    call("getcwd", String::new, ask).map(std::ffi::CString::into_bytes)
}

/// Whether this process may execute the file at `path`, as the kernel would say; a directory is `EISDIR`.
pub fn may_execute(path: &OsStr) -> Result<(), SysError> {
    use rustix::fs::{Access, CWD};
    let shown = || format!("\"{}\"", path.as_bytes().escape_ascii());
    let follow = AtFlags::empty();
    let stat = call("fstatat", shown, || rustix::fs::statat(CWD, path, follow))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(SysError::new("execve", shown(), Errno::ISDIR));
    }
    let ask = || rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS);
    call("faccessat2", shown, ask)
}

/// `openat2` answers `EAGAIN` when something is renamed while a `..` is resolved; asking again is the cure.
fn again<T>(
    name: &'static str,
    args: impl Fn() -> String,
    mut make: impl FnMut() -> Result<T, Errno>,
) -> Result<T, SysError> {
    const TRIES_MAX: u32 = 128;
    for _ in 0..TRIES_MAX {
        match call(name, &args, &mut make) {
            Err(error) if error.errno() == Errno::AGAIN => {}
            answer => return answer,
        }
    }
    Err(SysError::new(name, args(), Errno::AGAIN))
}
