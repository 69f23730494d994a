//! One directory of a hierarchy, held open: its control files, its processes, its removal.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::lock::{self, Share};
use layerfs_driver::sys::{Errno, SysError, dir};

use super::error::CgroupError;
use crate::sys::control;

/// Two readings that differ by less are one: the kernel rounds memory down to its pages, of at most 64 KiB.
const ROUNDING_MAX: u64 = 64 * 1024;

/// Others may look at a group.
const OPEN: u32 = 0o755;
/// Others may pass through it, as a container on its way to what it sees, and not open it: who opens a directory can lock it.
const CLOSED: u32 = 0o711;

/// A cgroup directory.
#[derive(Debug)]
pub struct Group {
    pub(super) dir: OwnedFd,
    path: PathBuf,
}

impl Group {
    /// Opens the top of a hierarchy by its mount point.
    pub fn top(mount: &Path) -> Result<Group, CgroupError> {
        let dir = dir::open_path(mount).map_err(CgroupError::call("open cgroup", mount))?;
        Ok(Group { dir, path: mount.to_path_buf() })
    }

    /// Waits until this is the only one that has the group stopped: a lock of its directory, gone with who holds it.
    pub fn lock(&self) -> Result<(), CgroupError> {
        // One that an earlier version made is open to all. Of another owner's the lock is the more urgent.
        if let Err(error) = file::chmod(&self.dir, CLOSED) {
            tracing::debug!("others may hold the lock of {}: {error}", self.path.display());
        }
        lock::wait(&self.dir, Share::Exclusive).map_err(CgroupError::call("lock", &self.path))
    }

    /// Gives that up.
    pub fn unlock(&self) -> Result<(), CgroupError> {
        lock::release(&self.dir).map_err(CgroupError::call("unlock", &self.path))
    }

    /// Opens a group below this one; `None` where there is none.
    pub fn below(&self, name: &str) -> Result<Option<Group>, CgroupError> {
        let path = self.path.join(name);
        match dir::open(&self.dir, name, Symlinks::Stop) {
            Ok(dir) => Ok(Some(Group { dir, path })),
            Err(error) if is_gone(error.errno()) => Ok(None),
            Err(source) => Err(CgroupError::call("open cgroup", &path)(source)),
        }
    }

    /// Makes a group below this one, which must not be there. Fails with nothing made.
    pub fn make(&self, name: &str) -> Result<Group, CgroupError> {
        self.make_with(name, OPEN)
    }

    /// The same for one that is locked.
    pub fn make_closed(&self, name: &str) -> Result<Group, CgroupError> {
        self.make_with(name, CLOSED)
    }

    fn make_with(&self, name: &str, mode: u32) -> Result<Group, CgroupError> {
        let path = self.path.join(name);
        let failed = CgroupError::call("make cgroup", &path);
        dir::make(&self.dir, name, mode).map_err(&failed)?;
        match dir::open(&self.dir, name, Symlinks::Stop) {
            Ok(dir) => Ok(Group { dir, path }),
            Err(error) => {
                self.try_remove(name).map_err(&failed)?;
                Err(failed(error))
            }
        }
    }

    /// Makes a group below this one, or opens the one that is there. An error of one that another removes meanwhile is as [`is_gone`] has it.
    pub fn make_or_open(&self, name: &str) -> Result<Group, CgroupError> {
        match self.make(name) {
            Err(CgroupError::Call { source, .. }) if source.errno() == Errno::EXIST => {
                let gone = || SysError::new("openat", format!("{name:?}"), Errno::NOENT);
                let gone = || CgroupError::call("open cgroup", &self.path.join(name))(gone());
                self.below(name)?.ok_or_else(gone)
            }
            made => made,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a control file.
    pub fn read(&self, file: &str) -> Result<String, CgroupError> {
        control::read(&self.dir, file).map_err(self.failed("read", file))
    }

    /// The same; `None` where this kernel has no such file.
    pub fn read_if_there(&self, file: &str) -> Result<Option<String>, CgroupError> {
        match control::read(&self.dir, file) {
            Err(error) if error.is_absent() => Ok(None),
            text => text.map(Some).map_err(self.failed("read", file)),
        }
    }

    /// Writes a control file that does not read as it was written: a command to the kernel.
    pub fn tell(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        control::write(&self.dir, file, value).map_err(self.failed("write", file))
    }

    /// The same, with the kernel's bare answer for whoever decides by it.
    pub fn try_tell(&self, file: &str, value: &str) -> Result<(), SysError> {
        control::write(&self.dir, file, value)
    }

    /// Writes a limit and reads it back: rounded down to a page is kept, anything else is not.
    pub fn set(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        self.tell(file, value)?;
        let kept = self.read(file)?;
        let kept = kept.trim();
        let is_rounded = match (value.parse::<u64>(), kept.parse::<u64>()) {
            (Ok(asked), Ok(kept)) => {
                asked.checked_sub(kept).is_some_and(|less| less < ROUNDING_MAX)
            }
            _ => false,
        };
        if kept == value || is_rounded {
            return Ok(());
        }
        let file = self.path.join(file);
        Err(CgroupError::NotKept { file, asked: value.to_owned(), kept: kept.to_owned() })
    }

    /// The same where this kernel has the file; nothing otherwise.
    pub fn set_if_there(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        match self.set(file, value) {
            Err(CgroupError::Call { source, .. }) if source.is_absent() => Ok(()),
            other => other,
        }
    }

    /// Moves a process, with all its threads, into it.
    pub fn add(&self, pid: u32) -> Result<(), CgroupError> {
        self.tell("cgroup.procs", &pid.to_string())
    }

    /// Removes an empty group below this one. Absent is no error.
    pub fn try_remove(&self, name: &str) -> Result<(), SysError> {
        match dir::remove(&self.dir, name) {
            Err(error) if is_gone(error.errno()) => Ok(()),
            other => other,
        }
    }

    fn failed(&self, deed: &'static str, file: &str) -> impl Fn(SysError) -> CgroupError + use<> {
        CgroupError::call(deed, &self.path.join(file))
    }
}

/// Whether an answer says that a group is not there, or no longer: a removed one that is still held answers `ENODEV`.
pub fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}
