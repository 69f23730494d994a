//! Read-only mappings of files, of which a page that can't be read is an error and not the end of the process.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::error::{SysError, call};
use super::sigbus;

/// A whole file, mapped for reading.
///
/// A page that the file system can't give (an I/O error, a file cut short after it was mapped) reads as zeros and
/// sets the mark that [`Mapping::is_damaged`] tells: whoever has read must ask it before believing what was read.
#[derive(Debug)]
pub struct Mapping {
    map: memmap2::Mmap,
    damaged: Arc<AtomicBool>,
    watch: sigbus::Watch,
}

impl Mapping {
    /// Maps all of `file`, which must not be empty.
    pub fn new(file: impl AsFd) -> Result<Self, SysError> {
        sigbus::install()?;
        let fd = file.as_fd();
        // Asked by us: the crate would ask by a call that has no fault point.
        let size = super::file::stat(fd)?.st_size;
        let len = usize::try_from(size)
            .map_err(|_| SysError::new("mmap", format!("{size} bytes"), Errno::FBIG))?;
        let map = call(
            "mmap",
            || format!("{len} bytes"),
            || {
                // SAFETY: files that are mapped here are written once, aside, and renamed into place; no part of layerfs
                // writes to one afterwards, and a file cut short by others is caught by the SIGBUS watch below.
                let map = unsafe { memmap2::MmapOptions::new().len(len).map(&fd) };
                map.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOMEM))
            },
        )?;
        let damaged = Arc::new(AtomicBool::new(false));
        let watch = sigbus::Watch::new(&map, &damaged)
            .ok_or_else(|| SysError::new("mmap", "too many mappings are watched", Errno::MFILE))?;
        Ok(Mapping { map, damaged, watch })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether a page could not be read since the file was mapped. Answers for all that this thread has read before.
    pub fn is_damaged(&self) -> bool {
        // The bytes were read by plain loads: without the fence the mark might be looked at before them.
        std::sync::atomic::fence(Ordering::Acquire);
        self.damaged.load(Ordering::Acquire)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.watch.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_short_under_its_mapping_is_damaged_and_nothing_dies() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * 4096).unwrap();
        let map = Mapping::new(&file).unwrap();
        assert_eq!(map.bytes()[5000], 0);
        assert!(!map.is_damaged());
        file.set_len(100).unwrap();
        assert_eq!(map.bytes()[9000], 0);
        assert!(map.is_damaged());
    }

    #[test]
    fn damage_of_one_mapping_is_not_damage_of_another() {
        let (cut, whole) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        cut.set_len(8192).unwrap();
        whole.set_len(8192).unwrap();
        let (cut_map, whole_map) = (Mapping::new(&cut).unwrap(), Mapping::new(&whole).unwrap());
        cut.set_len(0).unwrap();
        assert_eq!(cut_map.bytes()[4096] + whole_map.bytes()[4096], 0);
        assert!(cut_map.is_damaged());
        assert!(!whole_map.is_damaged());
    }
}
