//! Extended attributes of a name below a held directory, whatever it names, never following it.
//!
//! The calls with an `at` form are too new (kernel 6.13); the way through `/proc/self/fd` reaches the same inode.

use std::os::fd::AsFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::change::through_proc;
use super::error::{SysError, call, shown};

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
    let path = through_proc(dir, name);
    let read = |buf: &mut [u8]| {
        call(
            "lgetxattr",
            || format!("{}, {}", shown(name), shown(attribute)),
            || rustix::fs::lgetxattr(path.as_slice(), attribute, &mut *buf),
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
    let path = through_proc(dir, name);
    let mut list = vec![0_u8; LEN_MAX];
    let answer = call(
        "llistxattr",
        || shown(name),
        || rustix::fs::llistxattr(path.as_slice(), &mut list[..]),
    );
    let len = match answer {
        Err(error) if error.errno() == Errno::OPNOTSUPP => 0,
        other => other?,
    };
    Ok(list[..len]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(Box::from)
        .collect())
}

/// Sets an attribute.
pub fn set(
    dir: impl AsFd,
    name: &[u8],
    (attribute, value): (&[u8], &[u8]),
    how: SetHow,
) -> Result<(), SysError> {
    let path = through_proc(dir, name);
    let flags = match how {
        SetHow::Any => XattrFlags::empty(),
        SetHow::Create => XattrFlags::CREATE,
        SetHow::Replace => XattrFlags::REPLACE,
        SetHow::CreateAndReplace => XattrFlags::CREATE | XattrFlags::REPLACE,
    };
    call(
        "lsetxattr",
        || format!("{}, {}, {} bytes", shown(name), shown(attribute), value.len()),
        || rustix::fs::lsetxattr(path.as_slice(), attribute, value, flags),
    )
}

/// Removes an attribute; `ENODATA` where it is not there.
pub fn remove(dir: impl AsFd, name: &[u8], attribute: &[u8]) -> Result<(), SysError> {
    let path = through_proc(dir, name);
    call(
        "lremovexattr",
        || format!("{}, {}", shown(name), shown(attribute)),
        || rustix::fs::lremovexattr(path.as_slice(), attribute),
    )
}
