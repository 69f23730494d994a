//! The kernel's index of hard links, `<work>/index`: what its `index=on` copied up of files with several names is entered
//! into ours, so that the names which only the lower has lead to the copy, too.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::index::Group;
use super::open::Upper;
use crate::sys::file::{self, FileType, Symlinks};
use crate::sys::{Errno, SysError};
use crate::sys::{change, dir, xattr_at};
use crate::tree::{Attr, KernelHandle, Kind, Mark, MarkSpace, Origin};

/// The kernel's directory in the work directory.
const INDEX: &str = "index";

/// An entry of the kernel's index.
#[derive(Debug)]
pub struct KernelEntry {
    name: Box<[u8]>,
    /// Which lower object was copied up.
    pub handle: KernelHandle,
}

impl Upper {
    /// Opens the kernel's index below the work directory, where there is one.
    pub(super) fn find_kernel_index(work: &OwnedFd) -> Result<Option<OwnedFd>, UpperError> {
        match dir::open(work, INDEX, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(None),
            opened => opened.during("open the kernel's index").map(Some),
        }
    }

    /// The entries of the kernel's index that were not entered yet.
    pub fn kernel_entries(&self) -> Result<Vec<KernelEntry>, UpperError> {
        let deed = "read the kernel's index";
        let (Some(index), None, MarkSpace::Trusted) =
            (&self.kernel_index, &self.unmarked, self.space)
        else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for entry in dir::list(index).during(deed)? {
            let Some(handle) = KernelHandle::from_name(&entry.name) else { continue };
            let stat = file::stat_at(index, &*entry.name, Symlinks::Stop).during(deed)?;
            let is_whiteout = Attr::of_stat(&stat).is_whiteout_device();
            let is_known = || self.mark(index, &entry.name, Mark::Origin).map(|it| it.is_some());
            if file::type_of(&stat) != FileType::Directory && !is_whiteout && !is_known()? {
                entries.push(KernelEntry { name: entry.name, handle });
            }
        }
        Ok(entries)
    }

    /// Enters a copy of the kernel's into our index. The lower object has so many names.
    pub fn adopt(
        &self,
        entry: &KernelEntry,
        origin: &Origin,
        lower_links: u32,
    ) -> Result<(), UpperError> {
        let deed = "take over an entry of the kernel's index";
        let Some(from) = &self.kernel_index else { return Ok(()) };
        let stat = file::stat_at(from, &*entry.name, Symlinks::Stop).during(deed)?;
        let Some(kind) = Kind::from_mode(stat.st_mode) else { return Ok(()) };
        let stored = xattr_at::get(from, &entry.name, &self.kernel_count_mark()).during(deed)?;
        let own_links = u32::try_from(stat.st_nlink).unwrap_or(u32::MAX);
        let links = stored.and_then(|stored| union_links(&stored, own_links, lower_links));
        let group = Group { links: links.unwrap_or(lower_links).max(1), copied_up: true };
        let name = Self::group_name(origin);
        self.enter_foreign((from, &entry.name), &name, group)?;
        // Last: what has it is entered.
        self.set_origin(from, &entry.name, (kind, origin))
    }

    fn kernel_count_mark(&self) -> Vec<u8> {
        [self.space.prefix(), b"nlink"].concat()
    }
}

/// Gives an entry a further name; one that has it already is as good.
pub(super) fn link_once(from: (&OwnedFd, &[u8]), to: &OwnedFd, name: &str) -> Result<(), SysError> {
    match change::link(from.0, from.1, to, name) {
        Err(error) if error.errno() == Errno::EXIST => Ok(()),
        linked => linked,
    }
}

/// The names that the union shows: the kernel stores how they differ from the links of the upper (`U`) or lower (`L`) inode.
fn union_links(stored: &[u8], own: u32, lower: u32) -> Option<u32> {
    let (side, differs) = stored.split_first()?;
    let base = match side {
        b'U' => own,
        b'L' => lower,
        _ => return None,
    };
    let differs: i64 = std::str::from_utf8(differs).ok()?.parse().ok()?;
    u32::try_from(i64::from(base).checked_add(differs)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_counts_are_read() {
        assert_eq!(union_links(b"U+1", 2, 9), Some(3));
        assert_eq!(union_links(b"U-1", 3, 9), Some(2));
        assert_eq!(union_links(b"L-1", 3, 9), Some(8));
        let most = b"U+9223372036854775807";
        for bad in [&b""[..], b"X+1", b"U", b"Ux", b"L-10", most, b"L-9223372036854775808"] {
            assert_eq!(union_links(bad, 1, 1), None);
        }
    }
}
