//! Directories: open, list, make, remove, rename, link.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RawDirEntry, RenameFlags};
use rustix::io::Errno;

use super::error::{SysError, call};
use super::file::Symlinks;
use super::name::AtPath;

/// One entry of a directory listing; never `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The name, as the file system gave it.
    pub name: Box<[u8]>,
    /// The inode number the listing gave.
    pub ino: u64,
    /// The type; `None` where the file system does not say.
    pub kind: Option<ListedKind>,
}

/// The type of a listed entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListedKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, a fifo or a socket.
    Special,
}

/// Opens a directory below `dir`.
pub fn open(dir: impl AsFd, name: impl AtPath, links: Symlinks) -> Result<OwnedFd, SysError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | links.open_flag();
    call(
        "openat",
        || format!("{}, O_DIRECTORY", name.shown()),
        || rustix::fs::openat(&dir, name, flags, Mode::empty()),
    )
}

/// Opens a directory of the user's, by a path from the current directory.
pub fn open_path(path: impl AtPath) -> Result<OwnedFd, SysError> {
    open(rustix::fs::CWD, path, Symlinks::Follow)
}

/// The path of an open directory as the kernel knows it: absolute, without links.
pub fn path_of(dir: impl AsFd) -> Result<std::path::PathBuf, SysError> {
    use std::os::unix::ffi::OsStringExt;
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir.as_fd()));
    let path = read_link(rustix::fs::CWD, link.as_str())?;
    Ok(std::ffi::OsString::from_vec(path.into_vec()).into())
}

/// Makes `path` the directory that relative paths begin at.
pub fn enter(path: impl AtPath) -> Result<(), SysError> {
    call("chdir", || path.shown(), || rustix::process::chdir(path))
}

/// Bytes that the kernel is given for one part of a listing.
const LIST_LEN: usize = 32 * 1024;

/// Everything in a directory but `.` and `..`, in the order the file system gives.
pub fn list(dir: impl AsFd) -> Result<Vec<Listed>, SysError> {
    // The position in a directory belongs to the open file, which others may list at the same time.
    let own = open(dir, ".", Symlinks::Stop)?;
    let mut buf = Vec::with_capacity(LIST_LEN);
    let mut parts = RawDir::new(&own, buf.spare_capacity_mut());
    let mut found = Vec::new();
    loop {
        let is_call = parts.is_buffer_empty();
        let mut next = || Ok(parts.next().transpose()?.map(|entry| listed(&entry)));
        let entry = match is_call {
            true => match call("getdents64", String::new, next) {
                // It was removed while it is open: there is nothing in it.
                Err(error) if error.is_absent() => None,
                entry => entry?,
            },
            false => next().map_err(|errno| SysError::new("getdents64", "", errno))?,
        };
        match entry {
            None => return Ok(found),
            Some(entry) if matches!(&*entry.name, b"." | b"..") => {}
            Some(entry) => found.push(entry),
        }
    }
}

fn listed(entry: &RawDirEntry<'_>) -> Listed {
    let name = entry.file_name().to_bytes().into();
    Listed { name, ino: entry.ino(), kind: kind_of(entry.file_type()) }
}

fn kind_of(kind: FileType) -> Option<ListedKind> {
    match kind {
        FileType::RegularFile => Some(ListedKind::File),
        FileType::Directory => Some(ListedKind::Directory),
        FileType::Symlink => Some(ListedKind::Symlink),
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => {
            Some(ListedKind::Special)
        }
        FileType::Unknown => None,
    }
}

/// Makes a directory. `mode` is cut by the umask.
pub fn make(dir: impl AsFd, name: impl AtPath, mode: u32) -> Result<(), SysError> {
    let mode = Mode::from_raw_mode(mode);
    call("mkdirat", || name.shown(), || rustix::fs::mkdirat(&dir, name, mode))
}

/// Makes a directory where there is none yet.
pub fn make_if_absent(dir: impl AsFd, name: impl AtPath, mode: u32) -> Result<(), SysError> {
    match make(dir, name, mode) {
        Err(error) if error.errno() == Errno::EXIST => Ok(()),
        other => other,
    }
}

/// Makes the directory at a path of the user's, whose parent is there.
pub fn make_path(path: &std::path::Path, mode: u32) -> Result<(), SysError> {
    make(rustix::fs::CWD, path, mode)
}

/// Removes the empty directory at a path of the user's.
pub fn remove_path(path: &std::path::Path) -> Result<(), SysError> {
    remove(rustix::fs::CWD, path)
}

/// Makes the directory at a path of the user's, with the parents that are missing.
pub fn make_all(path: &std::path::Path, mode: u32) -> Result<(), SysError> {
    match make(rustix::fs::CWD, path, mode) {
        Err(error) if error.errno() == Errno::EXIST => Ok(()),
        Err(error) if error.is_absent() => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                make_all(parent, 0o755)?;
                make_if_absent(rustix::fs::CWD, path, mode)
            }
            _ => Err(error),
        },
        other => other,
    }
}

/// Removes a name that is not a directory.
pub fn unlink(dir: impl AsFd, name: impl AtPath) -> Result<(), SysError> {
    call("unlinkat", || name.shown(), || rustix::fs::unlinkat(&dir, name, AtFlags::empty()))
}

/// Removes an empty directory.
pub fn remove(dir: impl AsFd, name: impl AtPath) -> Result<(), SysError> {
    call(
        "unlinkat",
        || format!("{}, AT_REMOVEDIR", name.shown()),
        || rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR),
    )
}

/// Renames, replacing what stands at the new name.
pub fn rename(
    from: impl AsFd,
    name: impl AtPath,
    to: impl AsFd,
    new: impl AtPath,
) -> Result<(), SysError> {
    call("renameat", || two(name, new), || rustix::fs::renameat(&from, name, &to, new))
}

/// Renames unless the new name is taken (`EEXIST`).
pub fn rename_new(
    from: impl AsFd,
    name: impl AtPath,
    to: impl AsFd,
    new: impl AtPath,
) -> Result<(), SysError> {
    let flags = RenameFlags::NOREPLACE;
    call("renameat2", || two(name, new), || rustix::fs::renameat_with(&from, name, &to, new, flags))
}

/// The target of a symbolic link.
pub fn read_link(dir: impl AsFd, name: impl AtPath) -> Result<Box<[u8]>, SysError> {
    let target =
        call("readlinkat", || name.shown(), || rustix::fs::readlinkat(&dir, name, Vec::new()))?;
    Ok(target.into_bytes().into_boxed_slice())
}

fn two(name: impl AtPath, new: impl AtPath) -> String {
    format!("{}, {}", name.shown(), new.shown())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel gives a large directory in parts, by a call for each.
    #[test]
    fn a_directory_that_was_removed_while_it_is_open_is_empty() {
        let scratch = tempfile::tempdir().unwrap();
        let gone = scratch.path().join("gone");
        std::fs::create_dir(&gone).unwrap();
        let dir = open_path(gone.as_path()).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        assert_eq!(list(&dir).unwrap(), []);
    }

    #[cfg(feature = "fault")]
    #[test]
    fn each_part_of_a_listing_has_a_fault_point() {
        use crate::sys::fault::{Plan, with_plan};

        let scratch = tempfile::tempdir().unwrap();
        let dir = open_path(scratch.path()).unwrap();
        for number in 0..3000 {
            std::fs::write(scratch.path().join(format!("a name of some length {number}")), "")
                .unwrap();
        }
        for errno in [Errno::IO, Errno::INTR] {
            for n in 1.. {
                let plan = Plan::Fail { n, errno, call: Some("getdents64".into()) };
                let (listed, outcome) = with_plan(plan, || list(&dir));
                if outcome.fired && errno == Errno::IO {
                    assert_eq!(listed.unwrap_err().to_string(), "getdents64(): Input/output error");
                    continue;
                }
                let names: std::collections::BTreeSet<_> =
                    listed.unwrap().into_iter().map(|entry| entry.name).collect();
                assert_eq!(names.len(), 3000, "call {n} answers {errno}");
                if !outcome.fired {
                    // The last one answers that there is no more.
                    assert!(n > 4, "only {} calls have a fault point", n - 1);
                    break;
                }
            }
        }
    }

    #[test]
    fn errors_print_the_call_and_its_arguments() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = open_path(scratch.path()).unwrap();
        let error = unlink(&dir, b"no\xffsuch".as_slice()).unwrap_err();
        assert_eq!(error.to_string(), r#"unlinkat("no\xffsuch"): No such file or directory"#);
        assert!(error.is_absent());
    }
}
