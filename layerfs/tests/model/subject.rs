//! Owns what a history asks of a file system, and how the model answers it.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ops::Op;
use super::tree::{Body, Inode, InodeId, Model, Moment};
use super::tree_path::TreePath;

/// A file system under a history.
pub trait Subject {
    /// Does one operation. `Op::Remount` comes as `remount`.
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno>;
    /// Everything that can be seen of the tree.
    fn snapshot(&mut self) -> Snapshot;
    /// Closes the held descriptors, unmounts and mounts again.
    fn remount(&mut self);
    /// Where it differs from the model by right.
    fn rules(&self) -> Rules;
    /// Why it can't be asked this operation, which then must change nothing in the model.
    fn passes_over(&self, _op: &Op) -> Option<&'static str> {
        None
    }
    /// The history is over. Answers what is left and must not be, a line each.
    fn end(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Differences by right, by name.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub directory_links: DirectoryLinks,
    pub hidden_names: HiddenNames,
    pub numbers: Numbers,
    pub listed_numbers: ListedNumbers,
    pub orphan_links: OrphanLinks,
}

/// What st_nlink of a directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryLinks {
    /// 2 and the subdirectories, as on tmpfs and ext4.
    Counted,
    /// 1 where nobody counted, as in merged directories of overlayfs and on btrfs; else the count of one layer.
    Unspecified,
}

/// Whether a hard link's names that a higher layer hides count in st_nlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenNames {
    Counted,
    NotCounted,
}

/// How long an inode keeps its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Over the whole history, through copy-up, rename and remount.
    Stable,
    /// As long as it is mounted.
    PerMount,
}

/// Whether d_ino is st_ino in every listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedNumbers {
    Exact,
    /// Overlayfs keeps the listing of a directory whose names were all made there; a hard link to a copied-up file that is
    /// added later stands in it with the upper file's number.
    Loose,
}

/// What fstat says of the links of an open file that has no name left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanLinks {
    None,
    /// Overlayfs shows a lower file that was never copied up as the lower has it.
    Unspecified,
}

/// What an operation that succeeds tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    Read { len: usize, sha256: String },
    Stat(Facts),
}

/// What fstat tells that needs no name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u64,
    /// Names in hidden parts of a layer; only the model knows them, a subject says 0.
    pub hidden: u64,
    /// Bytes of a file or of a link's target; 0 of everything else.
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Directory,
    File,
    Symlink,
    Fifo,
    Socket,
    Char { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
}

/// A whole tree, in the order of its paths, the root first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub entries: Vec<Entry>,
    /// What no tree may show: a name listed twice, a listed name that can't be found.
    pub disorder: Vec<String>,
    /// Names whose d_ino is not st_ino.
    pub listed_otherwise: Vec<String>,
}

/// One path of a tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub path: TreePath,
    pub facts: Facts,
    pub mtime: Moment,
    /// The SHA-256 of a file, the target of a link.
    pub contents: String,
    pub xattrs: Vec<(String, String)>,
    /// Paths with the same number are the same inode.
    pub number: u64,
    /// Tells inodes apart that have the same number one after the other while neither is forgotten.
    pub generation: Option<u64>,
}

/// In hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Subject for Model {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        match op {
            Op::Create { path, how, mode } => self.create(path, *how, *mode),
            Op::Mkdir { path, mode } => self.mkdir(path, *mode),
            Op::Symlink { path, target } => self.symlink(path, target),
            Op::Mknod { path, special, mode } => self.mknod(path, *special, *mode),
            Op::Link { from, to } => self.link(from, to),
            Op::Unlink { path } => self.unlink(path),
            Op::Rmdir { path } => self.rmdir(path),
            Op::Rename { from, to, flag } => self.rename(from, to, *flag),
            Op::Write { path, place, data } => self.write(path, *place, *data),
            Op::Truncate { path, len } => self.truncate(path, *len),
            Op::Fallocate { path, deed, offset, len } => self.fallocate(path, *deed, *offset, *len),
            Op::Chmod { path, mode } => self.chmod(path, *mode),
            Op::Chown { path, uid, gid } => self.chown(path, *uid, *gid),
            Op::Utimens { path, stamp } => self.utimens(path, *stamp),
            Op::SetXattr { path, name, value, how } => {
                self.set_xattr(path, *name, value.bytes(), *how)
            }
            Op::RemoveXattr { path, name } => self.remove_xattr(path, *name),
            Op::Open { slot, path, access } => self.open(*slot, path, *access),
            Op::HeldWrite { slot, offset, data } => self.held_write(*slot, *offset, *data),
            Op::HeldRead { slot, offset, len } => return self.held_read(*slot, *offset, *len),
            Op::HeldTruncate { slot, len } => self.held_truncate(*slot, *len),
            Op::HeldStat { slot } => return self.held_facts(*slot).map(Outcome::Stat),
            Op::Close { slot } => {
                self.close(*slot);
                Ok(())
            }
            Op::Remount => {
                self.remount();
                Ok(())
            }
        }
        .map(|()| Outcome::Done)
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut entries: Vec<Entry> =
            self.paths().into_iter().map(|(path, id)| self.entry(path, id)).collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Snapshot { entries, ..Snapshot::default() }
    }

    fn remount(&mut self) {
        for slot in 0..self.held.len() {
            self.close(slot);
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            directory_links: DirectoryLinks::Counted,
            hidden_names: HiddenNames::NotCounted,
            numbers: Numbers::Stable,
            listed_numbers: ListedNumbers::Exact,
            orphan_links: OrphanLinks::None,
        }
    }
}

impl Model {
    fn entry(&self, path: TreePath, id: InodeId) -> Entry {
        let inode = self.inode(id);
        let contents = match &inode.body {
            Body::File(bytes) => sha256(bytes),
            Body::Symlink(target) => hex(target.as_bytes()),
            _ => String::new(),
        };
        let xattrs = inode.xattrs.iter().map(|(n, v)| (n.as_str().to_string(), hex(v)));
        let mut xattrs: Vec<_> = xattrs.collect();
        xattrs.sort();
        let (facts, mtime, generation) = (self.facts(id), inode.mtime, None);
        Entry { path, facts, mtime, contents, xattrs, number: id, generation }
    }

    pub(super) fn facts(&self, id: InodeId) -> Facts {
        let inode = self.inode(id);
        let links = match &inode.body {
            Body::Directory(names) => {
                let below = names.values().filter(|child| self.inode(**child).is_directory());
                2 + u64::try_from(below.count()).expect("a usize has at most 64 bits")
            }
            _ => inode.links,
        };
        let Inode { mode, uid, gid, hidden, .. } = *inode;
        Facts { kind: kind(&inode.body), mode, uid, gid, links, hidden, size: size(&inode.body) }
    }
}

fn kind(body: &Body) -> Kind {
    match body {
        Body::Directory(_) => Kind::Directory,
        Body::File(_) => Kind::File,
        Body::Symlink(_) => Kind::Symlink,
        Body::Fifo => Kind::Fifo,
        Body::Socket => Kind::Socket,
        Body::CharDevice { major, minor } => Kind::Char { major: *major, minor: *minor },
    }
}

fn size(body: &Body) -> u64 {
    let len = match body {
        Body::File(bytes) => bytes.len(),
        Body::Symlink(target) => target.as_bytes().len(),
        _ => 0,
    };
    u64::try_from(len).expect("a usize has at most 64 bits")
}
