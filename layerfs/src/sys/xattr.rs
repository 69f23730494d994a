//! Extended attributes of open files and of names that must not be followed.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use super::error::{SysError, call, shown};

/// An extended attribute: its full name (`security.capability`) and its value.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// The largest value and the largest list of names the kernel gives (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LEN_MAX: usize = 64 * 1024;

/// The most bytes of names that the kernel lists, each with a byte that ends it.
pub const LIST_MAX: usize = LEN_MAX;

/// All extended attributes of an open file, sorted by name. A file system without any has none.
pub fn all(file: impl AsFd) -> Result<Vec<Pair>, SysError> {
    let mut names = vec![0_u8; LEN_MAX];
    let listed = call("flistxattr", String::new, || rustix::fs::flistxattr(&file, &mut names[..]));
    let len = match listed {
        Err(error) if error.errno() == Errno::OPNOTSUPP => 0,
        other => other?,
    };
    let mut pairs = Vec::new();
    for name in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        pairs.push((name.into(), get(&file, name)?));
    }
    pairs.sort();
    Ok(pairs)
}

/// All extended attributes of a name that is not followed and need not be openable: a link, a device, a fifo.
pub fn all_at(dir: impl AsFd, name: &[u8]) -> Result<Vec<Pair>, SysError> {
    // There is no `llistxattrat` before kernel 6.13; the way through /proc reaches the same inode.
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let path = path.as_slice();
    let mut names = vec![0_u8; LEN_MAX];
    let listed =
        call("llistxattr", || shown(name), || rustix::fs::llistxattr(path, &mut names[..]));
    let len = match listed {
        Err(error) if error.errno() == Errno::OPNOTSUPP => 0,
        other => other?,
    };
    let mut pairs = Vec::new();
    for attribute in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; LEN_MAX];
        let get = || rustix::fs::lgetxattr(path, attribute, &mut value[..]);
        let len = call("lgetxattr", || shown(attribute), get)?;
        value.truncate(len);
        pairs.push((attribute.into(), value.into_boxed_slice()));
    }
    pairs.sort();
    Ok(pairs)
}

/// Bytes of all extended attributes of an open file, names and values; `E2BIG` where there are more than can be listed.
pub fn bytes_of(file: impl AsFd) -> Result<u64, SysError> {
    let list = |buf: &mut [u8]| {
        call("flistxattr", String::new, || rustix::fs::flistxattr(&file, &mut buf[..]))
    };
    sum_of(list, |name| {
        call("fgetxattr", || shown(name), || rustix::fs::fgetxattr_query(&file, name))
    })
}

/// The same of a name that is not followed.
pub fn bytes_at(dir: impl AsFd, name: &[u8]) -> Result<u64, SysError> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let path = path.as_slice();
    let list = |buf: &mut [u8]| {
        call("llistxattr", || shown(name), || rustix::fs::llistxattr(path, &mut buf[..]))
    };
    sum_of(list, |attribute| {
        let get = || rustix::fs::lgetxattr_query(path, attribute);
        call("lgetxattr", || shown(attribute), get)
    })
}

fn sum_of(
    mut list: impl FnMut(&mut [u8]) -> Result<usize, SysError>,
    mut value: impl FnMut(&[u8]) -> Result<usize, SysError>,
) -> Result<u64, SysError> {
    let mut names = vec![0_u8; 256];
    let listed = match list(&mut names) {
        Err(error) if error.errno() == Errno::RANGE => {
            names.resize(LEN_MAX, 0);
            list(&mut names)
        }
        listed => listed,
    };
    let len = match listed {
        Err(error) if error.errno() == Errno::OPNOTSUPP => 0,
        listed => listed?,
    };
    let mut bytes = 0;
    for name in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        match value(name) {
            Ok(len) => bytes += (name.len() + len) as u64,
            // It went meanwhile.
            Err(error) if error.errno() == Errno::NODATA => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

fn get(file: impl AsFd, name: &[u8]) -> Result<Box<[u8]>, SysError> {
    let mut value = vec![0_u8; LEN_MAX];
    let len =
        call("fgetxattr", || shown(name), || rustix::fs::fgetxattr(&file, name, &mut value[..]))?;
    value.truncate(len);
    Ok(value.into_boxed_slice())
}

/// One extended attribute of an open file; `None` where it has none of that name, or the file system has no attributes.
pub fn get_of(file: impl AsFd, name: &[u8]) -> Result<Option<Box<[u8]>>, SysError> {
    match get(file, name) {
        Err(error) if matches!(error.errno(), Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        value => value.map(Some),
    }
}

/// Removes an extended attribute of an open file; `ENODATA` where it is not there.
pub fn remove(file: impl AsFd, name: &[u8]) -> Result<(), SysError> {
    call("fremovexattr", || shown(name), || rustix::fs::fremovexattr(&file, name))
}

/// Sets an extended attribute of an open file, made or replaced.
pub fn set(file: impl AsFd, name: &[u8], value: &[u8]) -> Result<(), SysError> {
    let flags = rustix::fs::XattrFlags::empty();
    let args = || format!("{}, {} bytes", shown(name), value.len());
    call("fsetxattr", args, || rustix::fs::fsetxattr(&file, name, value, flags))
}

/// One extended attribute of a name that is not followed; `.` is the directory itself. `None` where it has none of that
/// name, or the file system has no attributes at all.
pub fn get_at(
    dir: impl AsFd,
    name: &[u8],
    attribute: &[u8],
) -> Result<Option<Box<[u8]>>, SysError> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let path = path.as_slice();
    let args = || format!("{}, {}", shown(name), shown(attribute));
    // Marks are short or absent: a small buffer first, the largest there can be where it does not fit.
    for len in [256, LEN_MAX] {
        let mut value = vec![0_u8; len];
        let get = || rustix::fs::lgetxattr(path, attribute, &mut value[..]);
        match call("lgetxattr", args, get) {
            Ok(len) => {
                value.truncate(len);
                return Ok(Some(value.into_boxed_slice()));
            }
            Err(error) if matches!(error.errno(), Errno::NODATA | Errno::OPNOTSUPP) => {
                return Ok(None);
            }
            Err(error) if error.errno() == Errno::RANGE && len < LEN_MAX => {}
            Err(error) => return Err(error),
        }
    }
    Err(SysError::new("lgetxattr", args(), Errno::RANGE))
}
