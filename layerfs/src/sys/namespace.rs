//! The mount namespace of this process: left, so that it goes with those who work in it, and entered again for a moment.
//!
//! A namespace lives as long as a process is in it. One that serves a mount which it stands in itself would keep both for
//! good after everyone else has gone.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::error::{SysError, call};
use super::file::{self, Symlinks};
use super::mount::Standing;
use super::{dir, mount};

/// Of the calling thread: another one of the process may be elsewhere.
const OWN: &str = "/proc/thread-self/ns/mnt";

/// The number of the first mount namespace where it is fixed (`MNT_NS_INIT_INO` of `linux/nsfs.h`, Linux 6.18).
const FIRST: u64 = 0xefff_fff8;

/// What a process needs that has resolved all of its paths: /proc for links to descriptors, the others for the system log.
const KEPT: [&str; 6] = ["/", "/proc", "/dev", "/dev/log", "/run", "/sys"];

/// A mount namespace, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountNamespace(u64);

impl MountNamespace {
    /// That of this thread.
    pub fn own() -> Result<MountNamespace, SysError> {
        number(Path::new(OWN)).map(MountNamespace)
    }

    /// Whether it lives as long as everything that is seen from here: process 1 is in it. `None` where that one may not be
    /// looked at.
    pub fn is_of_first_process(self) -> Option<bool> {
        if self.0 == FIRST {
            return Some(true);
        }
        number(Path::new("/proc/1/ns/mnt")).ok().map(|first| first == self.0)
    }

    /// Does something in it, in a thread that ends with that. Some process must be in it still.
    pub fn within<T: Send + 'static>(
        self,
        deed: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SysError> {
        let namespace = self.find()?;
        let entered = std::thread::spawn(move || {
            // A thread has a current directory of its own before it may change its namespace.
            unshare(UnshareFlags::FS, "CLONE_FS")?;
            enter(&namespace)?;
            drop(namespace);
            Ok(deed())
        });
        entered.join().unwrap_or_else(|_| Err(SysError::of_deed("setns", "the thread died")))
    }

    fn find(self) -> Result<OwnedFd, SysError> {
        let proc = dir::open_path("/proc")?;
        let is_process = |name: &[u8]| name.iter().all(u8::is_ascii_digit);
        for entry in dir::list(&proc)?.iter().filter(|entry| is_process(&entry.name)) {
            // One that has ended, or may not be looked at, is passed over.
            let Ok(own) = dir::open(&proc, &*entry.name, Symlinks::Stop) else { continue };
            let Ok(found) = file::open_read(&own, "ns/mnt", Symlinks::Follow) else { continue };
            if file::stat(&found)?.st_ino == self.0 {
                return Ok(found);
            }
        }
        Err(SysError::of_deed(
            "setns",
            "no process is seen that is in the mount namespace of the mount",
        ))
    }
}

fn number(link: &Path) -> Result<u64, SysError> {
    Ok(file::stat_path(link)?.st_ino)
}

/// Moves this process, which has one thread, into a mount namespace of its own that has no part in the mount `standing`,
/// and as little of others as it can do with. Where that fails it is where it was.
pub fn leave(standing: &Standing) -> Result<(), SysError> {
    if !mount::standing()?.iter().any(|mount| mount.at == Path::new("/")) {
        return Err(SysError::of_deed("unshare", "the root directory is no mountpoint"));
    }
    let before = file::open_read_path(OWN)?;
    unshare(UnshareFlags::NEWNS, "CLONE_NEWNS")?;
    match detach(standing) {
        Ok(()) => Ok(()),
        Err(error) => {
            enter(&before)?;
            Err(error)
        }
    }
}

/// Takes the mounts out of this namespace's own tree, and no other's.
fn detach(standing: &Standing) -> Result<(), SysError> {
    let bits = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    call(
        "mount",
        || "\"/\", MS_REC|MS_SLAVE".to_owned(),
        || rustix::mount::mount_change("/", bits),
    )?;
    let mut gone: Vec<PathBuf> = Vec::new();
    for mount in mount::standing()? {
        let is_kept = KEPT.iter().any(|kept| mount.at == Path::new(kept));
        let is_below = gone.iter().any(|above| mount.at.starts_with(above));
        if is_below || (is_kept && mount.device != standing.device) {
            continue;
        }
        let flags = UnmountFlags::NOFOLLOW | UnmountFlags::DETACH;
        let shown = || format!("{:?}, MNT_DETACH", mount.at);
        match call("umount2", shown, || rustix::mount::unmount(&mount.at, flags)) {
            Ok(()) => gone.push(mount.at),
            // One of the user namespace above goes with others only.
            Err(error) => {
                tracing::debug!("it stays in the namespace of the serving process: {error}")
            }
        }
    }
    match mount::standing()?.iter().find(|mount| mount.device == standing.device) {
        None => Ok(()),
        Some(left) => Err(SysError::of_deed("umount2", format!("{:?} stays", left.at))),
    }
}

fn enter(namespace: impl AsFd) -> Result<(), SysError> {
    let kind = Some(LinkNameSpaceType::Mount);
    let moved = || rustix::thread::move_into_link_name_space(namespace.as_fd(), kind);
    call("setns", || "CLONE_NEWNS".to_owned(), moved)
}

fn unshare(flags: UnshareFlags, shown: &str) -> Result<(), SysError> {
    call(
        "unshare",
        || shown.to_owned(),
        || {
            // SAFETY: the table of descriptors stays shared: FILES is in no caller's flags.
            unsafe { rustix::thread::unshare_unsafe(flags) }
        },
    )
}

/// How many threads this process has.
pub fn threads() -> Result<usize, SysError> {
    Ok(dir::list(&dir::open_path("/proc/self/task")?)?.len())
}
