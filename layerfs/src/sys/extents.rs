//! Which room of a file the disk has, and which of it was never written (`FS_IOC_FIEMAP`, `linux/fiemap.h`).

use std::ops::Range;
use std::os::fd::AsFd;

use super::{Errno, SysError, call, file};

/// Memory is given by pages of so many bytes, or more.
const PAGE_BYTES: u64 = 4096;
/// Extents that are asked for at once.
const AT_ONCE: usize = 64;
/// `FIEMAP_FLAG_SYNC`: what is in memory is written first.
const SYNC: u32 = 1;
/// `FIEMAP_EXTENT_LAST`.
const LAST: u32 = 1;
/// `FIEMAP_EXTENT_UNWRITTEN`.
const UNWRITTEN: u32 = 0x800;
/// `FS_IOC_FIEMAP`: the number speaks of the header alone.
const FS_IOC_FIEMAP: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<Header>(b'f', 11);

/// `struct fiemap` without its extents.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Query {
    header: Header,
    extents: [Extent; AT_ONCE],
}

/// The stretches before `until` that have room on the disk and were never written, in bytes: start and end. What is in memory is
/// written before. None where the file system does not tell.
pub fn unwritten(file: impl AsFd, until: u64) -> Result<Vec<(u64, u64)>, SysError> {
    let told = told(&file, 0..until, SYNC)?.unwrap_or_default();
    let unwritten = told.into_iter().filter(|extent| extent.flags & UNWRITTEN != 0);
    let found = unwritten
        .map(|extent| (extent.logical, extent.logical.saturating_add(extent.length).min(until)));
    Ok(found.filter(|(start, end)| start < end).collect())
}

/// The stretches within `range` that have room on the disk, or are to get it, in their order; they may reach beyond it. Where the file
/// system does not tell, as tmpfs, the pages that it calls data.
pub fn with_room(file: impl AsFd, range: Range<u64>) -> Result<Vec<Range<u64>>, SysError> {
    if let Some(told) = told(&file, range.clone(), 0)? {
        let stretch = |extent: Extent| extent.logical..extent.logical.saturating_add(extent.length);
        return Ok(told.into_iter().map(stretch).collect());
    }
    let (mut found, mut at) = (Vec::new(), range.start);
    while let Some(start) = file::seek_data(&file, at)?.filter(|start| *start < range.end) {
        at = file::seek_hole(&file, start)?;
        // The end of the file is a hole wherever it lies in its page.
        found.push(start..at.next_multiple_of(PAGE_BYTES));
        if at >= range.end {
            break;
        }
    }
    Ok(found)
}

/// What is told of a range; `None` where the file system tells nothing.
fn told(file: impl AsFd, range: Range<u64>, flags: u32) -> Result<Option<Vec<Extent>>, SysError> {
    let (mut found, mut start) = (Vec::new(), range.start);
    while start < range.end {
        let header = Header {
            start,
            length: range.end - start,
            flags,
            room: u32::try_from(AT_ONCE).unwrap_or(0),
            ..Header::default()
        };
        let mut query = Query { header, extents: [Extent::default(); AT_ONCE] };
        let asked = call(
            "ioctl",
            || format!("FS_IOC_FIEMAP {start}"),
            || {
                // SAFETY: the opcode takes a `struct fiemap` with room for as many extents as it says, which `Query` is.
                let updater =
                    unsafe { rustix::ioctl::Updater::<FS_IOC_FIEMAP, Query>::new(&mut query) };
                // SAFETY: the call writes within `query`.
                unsafe { rustix::ioctl::ioctl(&file, updater) }
            },
        );
        match asked {
            Err(error) if matches!(error.errno(), Errno::OPNOTSUPP | Errno::NOTTY) => {
                return Ok(None);
            }
            asked => asked?,
        }
        let mapped = usize::try_from(query.header.mapped).unwrap_or(0).min(AT_ONCE);
        let extents = &query.extents[..mapped];
        found.extend_from_slice(extents);
        match extents.last() {
            Some(last) if last.flags & LAST == 0 => {
                start = last.logical.saturating_add(last.length);
            }
            _ => break,
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{change, file};

    #[test]
    fn room_that_was_set_aside_is_told_and_what_was_written_in_it_is_not() {
        const KEEP_SIZE: u32 = 1;
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let dir = file::open_place(dir.path()).unwrap();
        let file = file::create_new(&dir, "file", 0o600).unwrap();
        file::truncate(&file, 1 << 20).unwrap();
        assert_eq!(unwritten(&file, 1 << 20).unwrap(), []);
        change::allocate(&file, KEEP_SIZE, 65536, 65536).unwrap();
        file::write_all_at(&file, &[1; 4096], 65536 + 8192).unwrap();
        let told = unwritten(&file, 1 << 20).unwrap();
        let is_in = |at: u64| told.iter().any(|(start, end)| (*start..*end).contains(&at));
        assert!(is_in(65536) && !is_in(65536 + 8192) && is_in(131_071), "{told:?}");
        assert!(!is_in(0) && !is_in(131_072), "{told:?}");
        assert_eq!(unwritten(&file, 65536).unwrap(), []);
    }

    #[test]
    fn what_has_room_is_told_on_a_disk_and_in_memory() {
        for place in ["/var/tmp", "/dev/shm"] {
            let dir = tempfile::tempdir_in(place).unwrap();
            let dir = file::open_place(dir.path()).unwrap();
            let file = file::create_new(&dir, "file", 0o600).unwrap();
            file::truncate(&file, 1 << 20).unwrap();
            assert_eq!(with_room(&file, 0..1 << 20).unwrap(), [], "{place}");
            file::write_all_at(&file, &[1; 8192], 65536).unwrap();
            file::write_all_at(&file, &[1; 4096], 131_072).unwrap();
            let is_in = |told: &[Range<u64>], at: u64| told.iter().any(|room| room.contains(&at));
            let told = with_room(&file, 0..1 << 20).unwrap();
            for at in [65536, 73727, 131_072] {
                assert!(is_in(&told, at), "{place}: {at}, {told:?}");
            }
            for at in [0, 73728, 135_168] {
                assert!(!is_in(&told, at), "{place}: {at}, {told:?}");
            }
            assert_eq!(with_room(&file, 0..65536).unwrap(), [], "{place}");
        }
    }
}
