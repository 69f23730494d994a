//! A container's tree, for a process that has to work on its files as its root would: it goes where they are, and nowhere
//! else is reached from there.

use std::os::fd::AsFd;
use std::path::Path;

use layerfs_driver::sys::dir;

use crate::sys::join::{self, Others};
use crate::sys::{SysError, identity, inside, namespace, process};

/// Enters the tree of a container that runs, by its first process: its users and its mounts, not its processes, which
/// never see this one. The caller has one thread, and sees to it that the number is that process's.
pub fn enter_running(pid: u32, first: impl AsFd) -> Result<(), SysError> {
    process::hide()?;
    process::die_with_parent()?;
    let others = Others::of(pid)?.of_files();
    let (_, groups) = namespace::ids_of(pid)?;
    join::join(first, others)?;
    if others.have_users() {
        // Until then it is a user whom that namespace does not know.
        identity::become_user((0, 0), &[], groups)?;
        process::hide()?;
        // The change of ids has taken it back.
        process::die_with_parent()?;
    }
    dir::enter("/")
}

/// Makes a directory the root of this process.
pub fn enter_directory(path: &Path) -> Result<(), SysError> {
    inside::enter(dir::open_path(path)?)?;
    inside::make_root()?;
    dir::enter("/")
}
