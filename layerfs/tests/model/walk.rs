//! Owns the snapshot of a real directory tree.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;

use super::posix::facts;
use super::subject::{Entry, Kind, Snapshot, hex, sha256};
use super::tree::Moment;
use super::tree_path::TreePath;

/// The namespaces that belong to a tree; `security.*` and `system.*` depend on the machine.
const NAMESPACES: [&[u8]; 2] = [b"user.", b"trusted."];
const XATTRS_MAX: usize = 64 * 1024;

/// Everything below `root`, and `root` itself.
pub fn snapshot(root: &Path) -> Snapshot {
    let mut snapshot = Snapshot::default();
    visit(root, TreePath::root(), &mut snapshot);
    snapshot.entries.sort_by(|a, b| a.path.cmp(&b.path));
    snapshot
}

/// The number of the inode at `path`, if it can be seen at all. What can't be is part of the picture, not the end of it.
fn visit(root: &Path, path: TreePath, snapshot: &mut Snapshot) -> Option<u64> {
    let seen = entry(&path.under(root), &path);
    let entry = seen.map_err(|e| snapshot.disorder.push(format!("{path:?}: {e}"))).ok()?;
    let number = entry.number;
    let is_directory = entry.facts.kind == Kind::Directory;
    snapshot.entries.push(entry);
    if is_directory && let Err(e) = list(root, &path, snapshot) {
        snapshot.disorder.push(format!("{path:?}: list: {e}"));
    }
    Some(number)
}

fn list(root: &Path, directory: &TreePath, snapshot: &mut Snapshot) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    for item in fs::read_dir(directory.under(root))? {
        let item = item?;
        let path = directory.join(item.file_name().as_bytes());
        if !seen.insert(path.clone()) {
            snapshot.disorder.push(format!("{path:?} is listed twice"));
            continue;
        }
        let listed = item.ino();
        match visit(root, path.clone(), snapshot) {
            Some(number) if number != listed => {
                let what = format!("{path:?} is listed as {listed} and is {number}");
                snapshot.listed_otherwise.push(what);
            }
            _ => {}
        }
    }
    Ok(())
}

fn entry(place: &Path, path: &TreePath) -> io::Result<Entry> {
    let metadata = fs::symlink_metadata(place)?;
    let facts = facts(&metadata);
    let contents = match facts.kind {
        Kind::File => sha256(&fs::read(place)?),
        Kind::Symlink => hex(fs::read_link(place)?.as_os_str().as_bytes()),
        _ => String::new(),
    };
    let nanos = u32::try_from(metadata.mtime_nsec()).expect("nanoseconds are below 10^9");
    let mtime = Moment::At(metadata.mtime(), nanos);
    let (path, number) = (path.clone(), metadata.ino());
    let (xattrs, generation) = (xattrs(place)?, None);
    Ok(Entry { path, facts, mtime, contents, xattrs, number, generation })
}

fn xattrs(place: &Path) -> io::Result<Vec<(String, String)>> {
    let mut names = vec![0_u8; XATTRS_MAX];
    let len = rustix::fs::llistxattr(place, &mut names[..])?;
    let mut found = Vec::new();
    for name in names[..len].split(|byte| *byte == 0) {
        if !NAMESPACES.iter().any(|namespace| name.starts_with(namespace)) {
            continue;
        }
        let mut value = vec![0_u8; XATTRS_MAX];
        let len = rustix::fs::lgetxattr(place, name, &mut value[..])?;
        found.push((String::from_utf8_lossy(name).into_owned(), hex(&value[..len])));
    }
    found.sort();
    Ok(found)
}
