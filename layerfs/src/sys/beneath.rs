//! Opening below a held directory: never through a symlink, never up, never onto another mount.
//!
//! `openat2` says all of that in one call. Where it is missing (`ENOSYS`) or filtered (`EPERM`, old container
//! sandboxes), the path is walked name by name, and a change of the device stands for another mount.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::error::{SysError, call, shown};
use super::file;

/// What the descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A directory whose names are looked up; needs no right to list it.
    Walk,
    /// A directory to list.
    List,
    /// A file to read. Does not wait for the other end of a fifo and takes no terminal.
    Read,
}

impl Purpose {
    fn flags(self) -> OFlags {
        let wanted = match self {
            Purpose::Walk => OFlags::PATH | OFlags::DIRECTORY,
            Purpose::List => OFlags::RDONLY | OFlags::DIRECTORY,
            Purpose::Read => OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK,
        };
        wanted | OFlags::CLOEXEC | OFlags::NOFOLLOW
    }
}

/// Once seen missing, `openat2` stays missing: the answer never changes while the process lives.
static MISSING: AtomicBool = AtomicBool::new(false);

/// Opens `path`, relative and of names only, below `dir`. A symlink on the way is `ELOOP` or `ENOTDIR`, another mount
/// `EXDEV`. The path is at most `PATH_MAX` bytes: longer ones are opened in steps by the caller.
pub fn open(dir: impl AsFd, path: &[u8], purpose: Purpose) -> Result<OwnedFd, SysError> {
    if MISSING.load(Ordering::Relaxed) {
        return walk(dir, path, purpose);
    }
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let open = || rustix::fs::openat2(&dir, path, purpose.flags(), Mode::empty(), resolve);
    match call("openat2", || format!("{}, {purpose:?}", shown(path)), open) {
        Err(error) if matches!(error.errno(), Errno::NOSYS | Errno::PERM) => {
            // EPERM may be about this file and not about the call: what can be opened otherwise tells.
            let walked = walk(&dir, path, purpose)?;
            MISSING.store(true, Ordering::Relaxed);
            Ok(walked)
        }
        other => other,
    }
}

/// The same, one name at a time.
fn walk(dir: impl AsFd, path: &[u8], purpose: Purpose) -> Result<OwnedFd, SysError> {
    let device = file::stat(&dir)?.st_dev;
    let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let mut held: Option<OwnedFd> = None;
    for (at, name) in names.iter().enumerate() {
        let purpose = if at + 1 == names.len() { purpose } else { Purpose::Walk };
        let here = held.as_ref().map_or_else(|| dir.as_fd(), AsFd::as_fd);
        let next = open_one(here, name, purpose)?;
        if file::stat(&next)?.st_dev != device {
            return Err(SysError::new("openat", shown(path), Errno::XDEV));
        }
        held = Some(next);
    }
    held.ok_or_else(|| SysError::new("openat", shown(path), Errno::NOENT))
}

fn open_one(dir: impl AsFd, name: &[u8], purpose: Purpose) -> Result<OwnedFd, SysError> {
    if name == b".." {
        return Err(SysError::new("openat", shown(name), Errno::XDEV));
    }
    let open = || rustix::fs::openat(&dir, name, purpose.flags(), Mode::empty());
    call("openat", || format!("{}, {purpose:?}", shown(name)), open)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Open = fn(&OwnedFd, &[u8], Purpose) -> Result<OwnedFd, SysError>;

    const BOTH: [(&str, Open); 2] = [
        ("openat2", |dir, path, purpose| open(dir, path, purpose)),
        ("walk", |dir, path, purpose| walk(dir, path, purpose)),
    ];

    #[test]
    fn nothing_leads_out_of_the_directory() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(scratch.path().join("in/deep")).unwrap();
        std::fs::write(scratch.path().join("in/deep/file"), b"x").unwrap();
        std::fs::write(scratch.path().join("out"), b"x").unwrap();
        std::os::unix::fs::symlink("deep", scratch.path().join("in/link")).unwrap();
        std::os::unix::fs::symlink("deep/file", scratch.path().join("in/leaf")).unwrap();
        let dir = super::super::dir::open_path(scratch.path().join("in").as_path()).unwrap();
        for (how, open) in BOTH {
            open(&dir, b"deep/file", Purpose::Read).unwrap();
            open(&dir, b"deep", Purpose::List).unwrap();
            let refused = |path: &[u8]| open(&dir, path, Purpose::Read).unwrap_err().errno();
            assert_eq!(refused(b"../out"), Errno::XDEV, "{how}");
            assert!(matches!(refused(b"link/file"), Errno::LOOP | Errno::NOTDIR), "{how}");
            assert_eq!(refused(b"leaf"), Errno::LOOP, "{how}");
            assert_eq!(refused(b"none"), Errno::NOENT, "{how}");
        }
    }

    #[test]
    fn another_mount_is_not_entered() {
        let root = super::super::dir::open_path("/").unwrap();
        for (how, open) in BOTH {
            let error = open(&root, b"proc/self", Purpose::Walk).unwrap_err();
            assert!(matches!(error.errno(), Errno::XDEV | Errno::LOOP), "{how}: {error}");
        }
    }
}
