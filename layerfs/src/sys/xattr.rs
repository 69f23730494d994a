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
    let mut pairs = Vec::new();
    for name in names_of(&file)? {
        let value = get(&file, &name)?;
        pairs.push((name, value));
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
    let mut pairs = Vec::new();
    for attribute in names_at(path, name)? {
        let mut value = vec![0_u8; LEN_MAX];
        let get = || rustix::fs::lgetxattr(path, &*attribute, &mut value[..]);
        let len = call("lgetxattr", || shown(&attribute), get)?;
        value.truncate(len);
        pairs.push((attribute, value.into_boxed_slice()));
    }
    pairs.sort();
    Ok(pairs)
}

/// Bytes of all extended attributes of an open file, names and values; `E2BIG` where there are more than can be listed.
pub fn bytes_of(file: impl AsFd) -> Result<u64, SysError> {
    sum_of(names_of(&file)?, |name| {
        call("fgetxattr", || shown(name), || rustix::fs::fgetxattr_query(&file, name))
    })
}

/// The same of a name that is not followed.
pub fn bytes_at(dir: impl AsFd, name: &[u8]) -> Result<u64, SysError> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let path = path.as_slice();
    sum_of(names_at(path, name)?, |attribute| {
        let get = || rustix::fs::lgetxattr_query(path, attribute);
        call("lgetxattr", || shown(attribute), get)
    })
}

/// The names of all attributes, which `list` puts into a buffer: none where the file system has no attributes.
pub(super) fn listed(
    mut list: impl FnMut(&mut [u8]) -> Result<usize, SysError>,
) -> Result<Vec<Box<[u8]>>, SysError> {
    // Most have none, or few.
    let (mut usual, mut large) = ([0_u8; 256], Vec::new());
    let answer = match list(&mut usual) {
        Err(error) if error.errno() == Errno::RANGE => {
            large.resize(LEN_MAX, 0);
            list(&mut large)
        }
        answer => answer,
    };
    let len = match answer {
        Err(error) if error.errno() == Errno::OPNOTSUPP => 0,
        answer => answer?,
    };
    let names = if large.is_empty() { &usual[..] } else { &large };
    let names = names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(Box::from).collect())
}

fn names_of(file: impl AsFd) -> Result<Vec<Box<[u8]>>, SysError> {
    listed(|buf| call("flistxattr", String::new, || rustix::fs::flistxattr(&file, &mut buf[..])))
}

/// `name` is for messages.
fn names_at(path: &[u8], name: &[u8]) -> Result<Vec<Box<[u8]>>, SysError> {
    listed(|buf| call("llistxattr", || shown(name), || rustix::fs::llistxattr(path, &mut buf[..])))
}

fn sum_of(
    names: Vec<Box<[u8]>>,
    mut value: impl FnMut(&[u8]) -> Result<usize, SysError>,
) -> Result<u64, SysError> {
    let mut bytes = 0;
    for name in names {
        match value(&name) {
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
