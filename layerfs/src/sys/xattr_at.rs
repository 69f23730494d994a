//! Extended attributes of a name below a held directory, whatever it names, never following it.
//!
//! Linux 6.13 and newer have calls for that. On older ones the way through `/proc/self/fd` reaches the same inode, and takes three
//! times as long. Errors and fault points name the older calls, whichever is made.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::change::through_proc;
use super::error::{SysError, call, shown};
use super::xattr;

/// The largest value the kernel gives (`XATTR_SIZE_MAX`).
const LEN_MAX: usize = 64 * 1024;
/// Most values are far smaller, and this much costs no allocation.
const LEN_USUAL: usize = 256;

/// Whether an attribute may or must be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetHow {
    /// Made or replaced.
    Any,
    /// `EEXIST` where it is there.
    Create,
    /// `ENODATA` where it is not.
    Replace,
    /// Both: there is no way that it is set.
    CreateAndReplace,
}

/// The value of an attribute; `None` where it is not there, or the file system has no attributes of its kind.
pub fn get(dir: impl AsFd, name: &[u8], attribute: &[u8]) -> Result<Option<Box<[u8]>>, SysError> {
    let target = Target::new(dir.as_fd(), name)?;
    let attr = terminated("lgetxattr", attribute)?;
    let read = |buf: &mut [u8]| {
        call(
            "lgetxattr",
            || format!("{}, {}", shown(name), shown(attribute)),
            || target.get(&attr, &mut *buf),
        )
    };
    let mut usual = [0_u8; LEN_USUAL];
    let answer = match read(&mut usual) {
        Ok(len) => return Ok(Some(usual[..len].into())),
        Err(error) if error.errno() == Errno::RANGE => {
            let mut large = vec![0_u8; LEN_MAX];
            read(&mut large).map(|len| {
                large.truncate(len);
                large.into_boxed_slice()
            })
        }
        Err(error) => Err(error),
    };
    match answer {
        Err(error) if matches!(error.errno(), Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        other => other.map(Some),
    }
}

/// The names of all attributes.
pub fn names(dir: impl AsFd, name: &[u8]) -> Result<Vec<Box<[u8]>>, SysError> {
    let target = Target::new(dir.as_fd(), name)?;
    xattr::listed(|buf| call("llistxattr", || shown(name), || target.list(&mut *buf)))
}

/// Sets an attribute.
pub fn set(
    dir: impl AsFd,
    name: &[u8],
    (attribute, value): (&[u8], &[u8]),
    how: SetHow,
) -> Result<(), SysError> {
    let target = Target::new(dir.as_fd(), name)?;
    let attr = terminated("lsetxattr", attribute)?;
    let flags = match how {
        SetHow::Any => XattrFlags::empty(),
        SetHow::Create => XattrFlags::CREATE,
        SetHow::Replace => XattrFlags::REPLACE,
        SetHow::CreateAndReplace => XattrFlags::CREATE | XattrFlags::REPLACE,
    };
    call(
        "lsetxattr",
        || format!("{}, {}, {} bytes", shown(name), shown(attribute), value.len()),
        || target.set(&attr, value, flags),
    )
}

/// Removes an attribute; `ENODATA` where it is not there.
pub fn remove(dir: impl AsFd, name: &[u8], attribute: &[u8]) -> Result<(), SysError> {
    let target = Target::new(dir.as_fd(), name)?;
    let attr = terminated("lremovexattr", attribute)?;
    call(
        "lremovexattr",
        || format!("{}, {}", shown(name), shown(attribute)),
        || target.remove(&attr),
    )
}

/// With its NUL; names that hold one are no names.
fn terminated(deed: &'static str, name: &[u8]) -> Result<CString, SysError> {
    CString::new(name).map_err(|_| SysError::new(deed, shown(name), Errno::INVAL))
}

/// A name below a directory, for the calls that are there.
enum Target<'a> {
    Below(BorrowedFd<'a>, CString),
    ThroughProc(Vec<u8>),
}

impl<'a> Target<'a> {
    fn new(dir: BorrowedFd<'a>, name: &[u8]) -> Result<Self, SysError> {
        if has_at_calls() {
            return Ok(Target::Below(dir, terminated("openat", name)?));
        }
        Ok(Target::ThroughProc(through_proc(dir, name)))
    }

    fn get(&self, attr: &CStr, buf: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Target::Below(dir, name) => {
                let mut args = Args::new(buf.as_mut_ptr(), buf.len());
                // SAFETY: the kernel reads both names to their NULs and the arguments, of the size that is told, and writes into `buf`,
                // which they give with its length.
                let done = unsafe {
                    libc::syscall(
                        GETXATTRAT,
                        dir.as_raw_fd(),
                        name.as_ptr(),
                        libc::AT_SYMLINK_NOFOLLOW,
                        attr.as_ptr(),
                        &raw mut args,
                        size_of::<Args>(),
                    )
                };
                length(done)
            }
            Target::ThroughProc(path) => rustix::fs::lgetxattr(path.as_slice(), attr, buf),
        }
    }

    fn list(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Target::Below(dir, name) => {
                // SAFETY: the kernel reads the name to its NUL, and writes into `buf` no more than the length that is told.
                let done = unsafe {
                    libc::syscall(
                        LISTXATTRAT,
                        dir.as_raw_fd(),
                        name.as_ptr(),
                        libc::AT_SYMLINK_NOFOLLOW,
                        buf.as_mut_ptr(),
                        buf.len(),
                    )
                };
                length(done)
            }
            Target::ThroughProc(path) => rustix::fs::llistxattr(path.as_slice(), buf),
        }
    }

    fn set(&self, attr: &CStr, value: &[u8], flags: XattrFlags) -> Result<(), Errno> {
        match self {
            Target::Below(dir, name) => {
                let mut args = Args::new(value.as_ptr().cast_mut(), value.len());
                args.flags = flags.bits();
                // SAFETY: the kernel reads both names to their NULs and the arguments, of the size that is told, and from them
                // `value` and its length; it writes nothing.
                let done = unsafe {
                    libc::syscall(
                        SETXATTRAT,
                        dir.as_raw_fd(),
                        name.as_ptr(),
                        libc::AT_SYMLINK_NOFOLLOW,
                        attr.as_ptr(),
                        &raw const args,
                        size_of::<Args>(),
                    )
                };
                length(done).map(|_| ())
            }
            Target::ThroughProc(path) => rustix::fs::lsetxattr(path.as_slice(), attr, value, flags),
        }
    }

    fn remove(&self, attr: &CStr) -> Result<(), Errno> {
        match self {
            Target::Below(dir, name) => {
                // SAFETY: the kernel reads both names to their NULs.
                let done = unsafe {
                    libc::syscall(
                        REMOVEXATTRAT,
                        dir.as_raw_fd(),
                        name.as_ptr(),
                        libc::AT_SYMLINK_NOFOLLOW,
                        attr.as_ptr(),
                    )
                };
                length(done).map(|_| ())
            }
            Target::ThroughProc(path) => rustix::fs::lremovexattr(path.as_slice(), attr),
        }
    }
}

/// `xattr_args` of the kernel's `include/uapi/linux/xattr.h`.
#[repr(C, align(8))]
struct Args {
    value: u64,
    size: u32,
    flags: u32,
}

impl Args {
    fn new(value: *mut u8, len: usize) -> Self {
        // Values are at most `LEN_MAX` long; a longer one is refused by its size.
        Args { value: value as u64, size: u32::try_from(len).unwrap_or(u32::MAX), flags: 0 }
    }
}

/// Numbers of the calls, the same on all processors that this runs on.
const SETXATTRAT: libc::c_long = 463;
const GETXATTRAT: libc::c_long = 464;
const LISTXATTRAT: libc::c_long = 465;
const REMOVEXATTRAT: libc::c_long = 466;

fn length(done: libc::c_long) -> Result<usize, Errno> {
    usize::try_from(done).map_err(|_| {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Errno::from_raw_os_error(errno)
    })
}

/// Asked once. A kernel that knows them refuses a descriptor that is none; others, and filters of calls, answer otherwise.
fn has_at_calls() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        // SAFETY: there is no such descriptor, and no pointer that is read is anything but a text with its NUL.
        let done =
            unsafe { libc::syscall(REMOVEXATTRAT, -1, c"x".as_ptr(), 0, c"user.x".as_ptr()) };
        matches!(length(done), Err(Errno::BADF))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways answer the same, on this kernel.
    #[test]
    fn both_ways_reach_the_same_attributes() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("f"), "").unwrap();
        std::os::unix::fs::symlink("f", scratch.path().join("l")).unwrap();
        let dir = std::fs::File::open(scratch.path()).unwrap();
        let new = Target::new(dir.as_fd(), b"f").unwrap();
        let old = Target::ThroughProc(through_proc(&dir, b"f"));
        let mut room = [0; 64];
        for (setter, getter) in [(&new, &old), (&old, &new)] {
            assert_eq!(setter.set(c"user.a", b"value", XattrFlags::empty()), Ok(()));
            assert_eq!(setter.set(c"user.a", b"value", XattrFlags::CREATE), Err(Errno::EXIST));
            assert_eq!(getter.get(c"user.a", &mut room), Ok(5));
            assert_eq!(&room[..5], b"value");
            assert_eq!(getter.get(c"user.a", &mut room[..2]), Err(Errno::RANGE));
            assert_eq!((new.list(&mut room), old.list(&mut [0; 64])), (Ok(7), Ok(7)));
            assert_eq!(getter.remove(c"user.a"), Ok(()));
            assert_eq!(setter.get(c"user.a", &mut room), Err(Errno::NODATA));
            assert_eq!(setter.remove(c"user.a"), Err(Errno::NODATA));
        }
        let link = Target::new(dir.as_fd(), b"l").unwrap();
        assert_eq!(
            link.set(c"user.a", b"x", XattrFlags::empty()),
            Err(Errno::PERM),
            "not followed"
        );
    }
}
