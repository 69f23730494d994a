//! Owns a model's tree as a plain directory of the machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::posix::{set_times, timestamps};
use super::tame::real;
use super::tree::{Body, Inode, InodeId, Model, Moment};

/// Holes are made of whole blocks of zeros.
const BLOCK: usize = 4096;

/// Writes the tree into `root`, an empty directory, which takes the root's attributes.
pub fn write(model: &Model, root: &Path) {
    let mut first: BTreeMap<InodeId, PathBuf> = BTreeMap::new();
    let mut made: Vec<(PathBuf, InodeId)> = Vec::new();
    for (path, id) in model.paths() {
        let path = if path.is_root() { root.to_path_buf() } else { path.under(root) };
        match first.get(&id) {
            Some(other) => fs::hard_link(other, &path).unwrap(),
            None => {
                make(model.inode(id), &path, root);
                first.insert(id, path.clone());
                made.push((path, id));
            }
        }
    }
    // Directories come before their contents; the other way round, what is made in one no longer changes its times.
    for (path, id) in made.iter().rev() {
        describe(model.inode(*id), path);
    }
}

fn make(inode: &Inode, path: &Path, root: &Path) {
    let node = |kind, device| {
        rustix::fs::mknodat(CWD, path, kind, Mode::RUSR, device).unwrap();
    };
    match &inode.body {
        Body::Directory(_) if path == root => {}
        Body::Directory(_) => fs::create_dir(path).unwrap(),
        Body::File(bytes) => write_sparse(path, bytes),
        Body::Symlink(target) => rustix::fs::symlinkat(target.as_bytes(), CWD, path).unwrap(),
        Body::Fifo => node(FileType::Fifo, 0),
        Body::Socket => node(FileType::Socket, 0),
        Body::CharDevice { major, minor } => {
            node(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor));
        }
    }
}

fn write_sparse(path: &Path, bytes: &[u8]) {
    let file = File::create_new(path).unwrap();
    for (n, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, (n * BLOCK).try_into().unwrap()).unwrap();
        }
    }
    file.set_len(bytes.len().try_into().unwrap()).unwrap();
}

fn describe(inode: &Inode, path: &Path) {
    std::os::unix::fs::lchown(path, Some(real(inode.uid)), Some(real(inode.gid))).unwrap();
    for (name, value) in &inode.xattrs {
        rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty()).unwrap();
    }
    if !matches!(inode.body, Body::Symlink(_)) {
        fs::set_permissions(path, fs::Permissions::from_mode(inode.mode)).unwrap();
    }
    if let Moment::At(secs, nanos) = inode.mtime {
        set_times(path, &timestamps(secs, nanos.into())).unwrap();
    }
}
