//! Proving a whole index: every checksum, and that the records make one tree.

use super::error::IndexError;
use super::format::{Kind, flag};
use super::inode::{Body, Ordinal, Target};
use super::reader::Index;

/// Checks every block, every record and every reference. The walk is over records, not over names, so its time and
/// memory are bounded by the file's size whatever the file says.
pub fn check(index: &Index) -> Result<(), IndexError> {
    index.check_blocks()?;
    let count = index.inode_count();
    let mut seen = vec![0_u32; usize::try_from(count).unwrap_or(0)];
    match seen.first_mut() {
        Some(root) => *root = 1,
        None => return Err(IndexError::Damaged("no root")),
    }
    for ordinal in (0..count).map(Ordinal) {
        check_inode(index, ordinal, &mut seen)?;
    }
    for (number, names) in (0..count).zip(&seen) {
        let inode = index.inode(Ordinal(number))?;
        let expected = if matches!(inode.body, Body::Directory { .. }) { 1 } else { inode.nlink };
        if *names != expected {
            return Err(IndexError::Damaged("number of names of an inode"));
        }
    }
    index.intact()
}

fn check_inode(index: &Index, ordinal: Ordinal, seen: &mut [u32]) -> Result<(), IndexError> {
    let record = index.inode_record(ordinal)?;
    if record.flags & !flag::ALL != 0 || record.mtime_nanos.get() >= 1_000_000_000 {
        return Err(IndexError::Damaged("fields of an inode"));
    }
    let inode = index.inode(ordinal)?;
    index.xattrs(ordinal)?;
    for (parent, name) in index.names(ordinal)? {
        if ordinal == Ordinal::ROOT {
            continue;
        }
        let found = index.lookup(parent, name)?;
        if !matches!(found, Some(Target::Inode(leads_to, _)) if leads_to == ordinal) {
            return Err(IndexError::Damaged("name of an inode"));
        }
    }
    match inode.body {
        Body::Directory { opaque, implied } => {
            if index.kind() == Kind::Tree && (opaque || implied) {
                return Err(IndexError::Damaged("layer marks in a merged tree"));
            }
            check_directory(index, ordinal, seen)?;
        }
        Body::Inline => {
            index.inline(ordinal)?;
        }
        Body::Symlink => {
            index.link_target(ordinal)?;
        }
        Body::Object { .. } | Body::Device { .. } | Body::Special => {}
    }
    Ok(())
}

fn check_directory(index: &Index, dir: Ordinal, seen: &mut [u32]) -> Result<(), IndexError> {
    let mut last: &[u8] = b"";
    for child in index.children(dir, 0)? {
        let child = child?;
        let is_name = !child.name.is_empty() && child.name != b"." && child.name != b"..";
        if !is_name || child.name <= last || child.name.iter().any(|byte| matches!(byte, b'/' | 0))
        {
            return Err(IndexError::Damaged("names of a directory"));
        }
        last = child.name;
        let Target::Inode(ordinal, kind) = child.target else { continue };
        let inode = index.inode(ordinal)?;
        if inode.mode >> 12 != u32::from(kind) || ordinal == Ordinal::ROOT {
            return Err(IndexError::Damaged("entry of a directory"));
        }
        // A directory's entries come after it, so no directory can be its own ancestor.
        if matches!(inode.body, Body::Directory { .. }) && (inode.parent != dir || ordinal <= dir) {
            return Err(IndexError::Damaged("parent of a directory"));
        }
        let names = usize::try_from(ordinal.0).ok().and_then(|at| seen.get_mut(at));
        *names.ok_or(IndexError::Damaged("inode number"))? += 1;
    }
    Ok(())
}
