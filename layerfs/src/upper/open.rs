//! Opening an upper: its directories, what its file system can do, the sweep of what a dead mount left.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::time::Duration;

use super::error::{During, UpperError};
use super::incompat;
use super::owners::Owners;
use super::partial::Partial;
use super::quota::Quota;
use super::unmarked::Unmarked;
use super::whiteout::{Format, Whiteouts};
use crate::sys::change::StatVfsMountFlags;
use crate::sys::file::Symlinks;
use crate::sys::lock::{self, Share};
use crate::sys::{Errno, change, deep, dir, file, host, overlays, xattr_at};
use crate::tree::{MarkSpace, Records, Redirects, WhNames, acl};

/// How long an upper that is in use is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// How an upper is opened.
#[derive(Clone, Copy, Debug)]
pub struct UpperOptions {
    /// Where its marks are.
    pub space: MarkSpace,
    /// Whether its redirects are followed, and written.
    pub redirects: Redirects,
    /// Whether what is acknowledged as durable is synced.
    pub durability: Durability,
    /// What names that begin with `.wh.` mean.
    pub wh_names: WhNames,
    /// What whiteouts are made as; those of every form are read.
    pub whiteouts: Whiteouts,
    /// Whether owners are recorded that objects can't have.
    pub records: Records,
    /// Whether files are made of which only metadata is copied up.
    pub partial: Partial,
}

/// Whether anything is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Copy-ups before they are installed, and whatever is asked for.
    Synced,
    /// Nothing ever: a crash may lose the upper.
    Volatile,
}

/// The writable layer of one mount.
#[derive(Debug)]
pub struct Upper {
    pub(super) root: OwnedFd,
    /// Things being made.
    pub(super) work: OwnedFd,
    /// Hard-link groups; made for the first entry.
    pub(super) index: OnceLock<OwnedFd>,
    pub(super) space: MarkSpace,
    pub(super) redirects: Redirects,
    /// Where the file system keeps no attributes.
    pub(super) unmarked: Option<Box<Unmarked>>,
    /// Of objects that can't be marked where others can.
    pub(super) remembered: Box<Unmarked>,
    pub(super) durability: Durability,
    pub(super) wh_names: WhNames,
    pub(super) whiteouts: Whiteouts,
    /// What whiteouts are made as, once one was made or what can be was tried.
    pub(super) format: OnceLock<Format>,
    pub(super) owners: Owners,
    /// User and group of what this process makes.
    pub(super) own: (u32, u32),
    pub(super) device: u64,
    /// Numbers the names in the work directories, for this mount.
    pub(super) next: AtomicU64,
    /// The root is marked: copies of hard-link groups were made. `false` where it was not looked at yet.
    pub(super) has_groups: AtomicBool,
    /// Directories may hide names by a mark: whiteouts are marked files, or were.
    pub(super) may_hide_names: AtomicBool,
    pub(super) partial: Partial,
    /// Whether files may be written block by block: what was found, or nothing yet.
    pub(super) holes: AtomicU8,
    /// The layer says that it has files without data of their own. `false` where this mount made none.
    pub(super) has_partial: AtomicBool,
    /// The books of a layer that is bounded.
    pub(super) quota: Option<Box<Quota>>,
    /// The kernel's index of hard links, where it made one.
    pub(super) kernel_index: Option<OwnedFd>,
    /// The directory of our records, locked for as long as the upper is mounted.
    pub(super) lock: OwnedFd,
}

impl Upper {
    /// Opens the upper at `root` with its work directory, and empties what a dead mount left in that.
    pub fn open(root: OwnedFd, work: &OwnedFd, options: UpperOptions) -> Result<Self, UpperError> {
        let deed = "open the work directory";
        let device = file::stat(&root).during("look at the upper directory")?.st_dev;
        if file::stat(work).during(deed)?.st_dev != device {
            return Err(UpperError::TwoFilesystems);
        }
        let flags = change::filesystem(&root).during("look at the upper's file system")?.f_flag;
        if flags.contains(StatVfsMountFlags::RDONLY) {
            return Err(UpperError::ReadOnlyDisk);
        }
        // Before anything is made: the work directory of a busy upper may be another mount's, or nobody's.
        if !lock::try_take(&root, Share::Exclusive).during("lock the upper directory")? {
            return Err(UpperError::Busy("upper"));
        }
        // Before anything is made, too: what is refused is left as it is.
        refuse_in_kernel(&[&root, work])?;
        incompat::refuse(work)?;
        let private = made(work, "layerfs")?;
        // The process of an unmounted mount takes its time to end, and holds the lock until then.
        if !lock::wait_at_most(&private, Share::Exclusive, BUSY_WAIT).during(deed)? {
            return Err(UpperError::Busy("work"));
        }
        // Again: the mount that was waited for may have left its mark.
        incompat::refuse(work)?;
        let inner = made(work, "work")?;
        emptied(&inner)?;
        // Where earlier versions kept what is open without a name.
        deep::remove(&private, "orphans").during("sweep the work directory")?;
        let unmarked = Unmarked::where_needed(&inner, options.space)?.map(Box::new);
        let owners = match &unmarked {
            Some(_) => Owners::OfObjects,
            None => Upper::find_owners(&root, options.records)?,
        };
        let upper = Upper {
            index: OnceLock::new(),
            work: inner,
            space: options.space,
            // They are marks.
            redirects: if unmarked.is_some() { Redirects::Refuse } else { options.redirects },
            unmarked,
            remembered: Box::default(),
            durability: options.durability,
            wh_names: options.wh_names,
            whiteouts: options.whiteouts,
            format: OnceLock::new(),
            owners,
            own: host::own_ids(),
            device,
            next: AtomicU64::new(0),
            has_groups: AtomicBool::new(false),
            may_hide_names: AtomicBool::new(false),
            partial: options.partial,
            holes: AtomicU8::new(0),
            has_partial: AtomicBool::new(false),
            quota: None,
            root,
            kernel_index: Upper::find_kernel_index(work)?,
            lock: private,
        };
        upper.expect_whiteouts()?;
        upper.restore_incompat()?;
        upper.find_index()?;
        // Entries without counts mean nothing to a later mount.
        if let (Some(_), Some(index)) = (&upper.unmarked, upper.index_dir()) {
            emptied(index)?;
        }
        upper.forget_unmarked_groups()?;
        Ok(upper)
    }

    /// The layer's root directory.
    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// The device that the layer lies on, as `st_dev`.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Whether anything is synced.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Where the marks of this upper are.
    pub fn space(&self) -> MarkSpace {
        self.space
    }

    /// Whether the redirects of this upper are followed, and directories that need one can be renamed.
    pub fn redirects(&self) -> Redirects {
        self.redirects
    }

    /// Leaves the kernel's mark that changes were made here and nothing was synced. It stays when the mount goes: nobody
    /// knows when they will have reached the disk.
    pub fn mark_volatile(&self) -> Result<(), UpperError> {
        incompat::mark_volatile(&self.work)
    }

    /// Makes an open file's data and metadata durable, unless nothing is.
    pub fn sync(&self, file: &OwnedFd) -> Result<(), UpperError> {
        match self.durability {
            Durability::Synced => file::sync(file).during("sync"),
            Durability::Volatile => Ok(()),
        }
    }

    /// Figures of the file system that the layer lies on, as far as it may have of it.
    pub fn filesystem(&self) -> Result<crate::sys::change::StatVfs, UpperError> {
        let disk = change::filesystem(&self.root).during("look at the upper's file system")?;
        Ok(self.within_bounds(disk))
    }
}

impl Drop for Upper {
    /// The locks go now, not when the last child that was forked meanwhile has closed its copies of the descriptors.
    fn drop(&mut self) {
        for locked in [&self.lock, &self.root] {
            if let Err(error) = lock::release(locked) {
                tracing::warn!("the lock of an upper goes when its descriptor is closed: {error}");
            }
        }
    }
}

/// Refuses directories that the kernel's overlayfs has mounted, as far as that can be seen. It refuses ours with `index=on`,
/// and warns without.
pub(super) fn refuse_in_kernel(dirs: &[&OwnedFd]) -> Result<(), UpperError> {
    match overlays::with(dirs).during("look for mounts of the kernel's overlayfs")? {
        Some(at) => Err(UpperError::InKernel(at.display().to_string())),
        None => Ok(()),
    }
}

/// Removes all that a dead mount left in a directory of ours.
fn emptied(swept: &OwnedFd) -> Result<(), UpperError> {
    let deed = "sweep the work directory";
    for entry in dir::list(swept).during(deed)? {
        // The kernel leaves `incompat` in its work directory to keep older mounts away: it stays.
        if &*entry.name != incompat::DIRECTORY {
            deep::remove(swept, &*entry.name).during(deed)?;
        }
    }
    Ok(())
}

pub(super) fn made(parent: &OwnedFd, name: &str) -> Result<OwnedFd, UpperError> {
    match dir::make_if_absent(parent, name, 0o700) {
        Err(error) if matches!(error.errno(), Errno::ACCESS | Errno::PERM) => {
            return Err(UpperError::NotWritable(error));
        }
        tried => tried.during("make a work directory")?,
    }
    let made = dir::open(parent, name, Symlinks::Stop).during("open a work directory")?;
    // What is made in it would have the access control list that the user's work directory hands on, and be more open
    // than it is to be.
    for list in [acl::DEFAULT, acl::ACCESS] {
        match xattr_at::remove(&made, b".", list) {
            Err(error) if matches!(error.errno(), Errno::NODATA | Errno::OPNOTSUPP) => {}
            removed => removed.during("take the access control list from a work directory")?,
        }
    }
    Ok(made)
}
