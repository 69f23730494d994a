//! What lies below a group: a container that shows its groups to itself once more makes others there, as many and as deep
//! as it likes. One descriptor is held however deep they are, and a group that goes meanwhile is none.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use layerfs_driver::sys::dir::ListedKind;
use layerfs_driver::sys::file::Symlinks;
use layerfs_driver::sys::{Errno, SysError, dir};

use super::error::CgroupError;
use super::group::{Group, is_gone};
use super::v1::counted;
use crate::sys::control;

impl Group {
    /// The processes in it and below it. Dead ones that wait for their parents do not count.
    pub fn pids(&self) -> Result<BTreeSet<u32>, CgroupError> {
        let mut found = BTreeSet::new();
        let add = |dir: &OwnedFd| {
            // 0 stands for a process of a pid namespace that is not below ours.
            let text = text(dir, "cgroup.procs")?;
            found.extend(
                text.lines().filter_map(|line| line.parse().ok()).filter(|pid: &u32| *pid != 0),
            );
            Ok(())
        };
        self.walk(add, |_, _| Ok(()))
            .map_err(CgroupError::call("read processes of", self.path()))?;
        Ok(found)
    }

    /// The sum of the numbers after `key` in `file`, of it and of all below it.
    pub fn sum(&self, file: &str, key: &str) -> Result<u64, CgroupError> {
        let mut sum = 0_u64;
        let add = |dir: &OwnedFd| {
            sum = sum.saturating_add(counted(&text(dir, file)?, key).unwrap_or(0));
            Ok(())
        };
        self.walk(add, |_, _| Ok(())).map_err(CgroupError::call("count in", self.path()))?;
        Ok(sum)
    }

    /// Writes a command to it and to all below it.
    pub fn tell_all(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        let tell = |dir: &OwnedFd| control::write(dir, file, value);
        self.walk(tell, |_, _| Ok(())).map_err(CgroupError::call("write to", self.path()))
    }

    /// The names of the groups right below it.
    pub fn children(&self) -> Result<Vec<Box<[u8]>>, CgroupError> {
        names(&self.dir).map_err(CgroupError::call("list", self.path()))
    }

    /// Removes every group below it, the deepest first; all are empty.
    pub fn clear(&self) -> Result<(), SysError> {
        self.walk(
            |_| Ok(()),
            |above, name| match dir::remove(above, name) {
                Err(error) if is_gone(error.errno()) => Ok(()),
                removed => removed,
            },
        )
    }

    /// Goes through it and all below it: `enter` is given each before those below it, `leave` the name of each but the
    /// first, and the one that it lies in, after those below it.
    fn walk(
        &self,
        mut enter: impl FnMut(&OwnedFd) -> Result<(), SysError>,
        mut leave: impl FnMut(&OwnedFd, &[u8]) -> Result<(), SysError>,
    ) -> Result<(), SysError> {
        let Some(mut here) = unless_gone(dir::open(&self.dir, ".", Symlinks::Stop))? else {
            return Ok(());
        };
        unless_gone(enter(&here))?;
        let mut way = vec![(Box::<[u8]>::default(), names(&here)?)];
        while let Some((_, left)) = way.last_mut() {
            if let Some(name) = left.pop() {
                let opened = dir::open(&here, &*name, Symlinks::Stop);
                let Some(below) = unless_gone(opened)? else { continue };
                here = below;
                unless_gone(enter(&here))?;
                way.push((name, names(&here)?));
            } else if let Some((name, _)) = way.pop().filter(|_| !way.is_empty()) {
                // No group is ever moved to another: this is where it was opened.
                let Some(above) = unless_gone(dir::open(&here, "..", Symlinks::Stop))? else {
                    return Ok(());
                };
                here = above;
                leave(&here, &name)?;
            }
        }
        Ok(())
    }
}

/// The groups right below a directory.
fn names(dir: &OwnedFd) -> Result<Vec<Box<[u8]>>, SysError> {
    let listed = unless_gone(dir::list(dir))?.unwrap_or_default();
    let groups = listed.into_iter().filter(|entry| entry.kind == Some(ListedKind::Directory));
    Ok(groups.map(|entry| entry.name).collect())
}

/// A control file; empty where there is none. In a threaded group (version 2) the processes are those of the one above.
fn text(dir: &OwnedFd, file: &str) -> Result<String, SysError> {
    match control::read(dir, file) {
        Err(error) if is_gone(error.errno()) || error.errno() == Errno::OPNOTSUPP => {
            Ok(String::new())
        }
        text => text,
    }
}

fn unless_gone<T>(answer: Result<T, SysError>) -> Result<Option<T>, SysError> {
    match answer {
        Err(error) if is_gone(error.errno()) => Ok(None),
        answer => answer.map(Some),
    }
}
