//! The order of an index: one walk over a tree gives every inode its ordinal.
//!
//! The entries of one directory get consecutive ordinals, by name; directories are walked parent first, by name. So a
//! listing reads one stretch of records, and the ordinals depend on nothing but the tree: for a merged tree they are
//! a function of the chain id (DESIGN: a changed order is a new format version).

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::error::IndexError;
use super::format::{
    ENTRY_WHITEOUT, EntryRecord, InodeRecord, Kind, LinkRecord, Totals, flag, prefix_of,
};
use super::writer::IndexWriter;
use crate::store::archive::Timestamp;
use crate::store::digest::Digest;
use crate::sys::xattr;

/// A tree that can be walked: a layer being imported, or the fold of several.
pub trait Origin {
    /// What leads to the entries of a directory.
    type Dir;
    /// What names a hard-link group: equal for all its names, and for them alone.
    type Group: Eq + std::hash::Hash;

    /// The entries of a directory, sorted by name, no name twice.
    fn list(&mut self, dir: &Self::Dir) -> Result<Vec<Found<Self::Dir, Self::Group>>, IndexError>;

    /// The contents, `size` bytes, of a small file that [`FoundBody::Inline`] named.
    fn contents(&mut self, handle: u64, size: u64) -> Result<Vec<u8>, IndexError>;
}

/// One entry found.
pub struct Found<D, G> {
    /// The name.
    pub name: Box<[u8]>,
    /// What it leads to; `None` for a whiteout.
    pub node: Option<Node<D, G>>,
}

/// An inode found.
pub struct Node<D, G> {
    /// Owner, permissions, times, attributes.
    pub meta: Meta,
    /// Type and contents.
    pub body: FoundBody<D>,
    /// The hard-link group it may belong to, where it is one.
    pub group: Option<G>,
}

/// What is common to all types of inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, `0o7777`.
    pub permissions: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Last change.
    pub mtime: Timestamp,
    /// Extended attributes.
    pub xattrs: XattrSet,
}

/// A set of extended attributes, sorted by name. Inodes that are alike share one: an archive may give every entry the
/// same large set in a few bytes.
pub type XattrSet = Arc<[xattr::Pair]>;

/// Type and contents of an inode found.
pub enum FoundBody<D> {
    /// A directory.
    Directory {
        /// What leads to its entries.
        dir: D,
        /// It hides what lower layers have.
        opaque: bool,
        /// The layer does not describe it.
        implied: bool,
    },
    /// A small file.
    Inline {
        /// What [`Origin::contents`] takes.
        handle: u64,
        /// Bytes.
        size: u64,
    },
    /// A file whose contents are an object.
    Object {
        /// The object's digest.
        digest: Digest,
        /// Bytes.
        size: u64,
        /// It has holes.
        sparse: bool,
    },
    /// A symbolic link and its target.
    Symlink(Arc<[u8]>),
    /// A device.
    Device {
        /// Character or block.
        class: DeviceClass,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A fifo.
    Fifo,
    /// A socket.
    Socket,
}

/// Which of the two device types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceClass {
    /// A block device.
    Block,
    /// A character device.
    Character,
}

/// `st_mode` type bits.
mod mode {
    pub const FIFO: u16 = 0o010_000;
    pub const CHARACTER: u16 = 0o020_000;
    pub const DIRECTORY: u16 = 0o040_000;
    pub const BLOCK: u16 = 0o060_000;
    pub const FILE: u16 = 0o100_000;
    pub const SYMLINK: u16 = 0o120_000;
    pub const SOCKET: u16 = 0o140_000;
}

/// Writes the index of the tree below `root` to `file`, which is empty.
///
/// `root` is the root directory itself. Answers what was counted on the way. The file is not synced.
pub fn write_index<O: Origin>(
    origin: &mut O,
    root: Node<O::Dir, O::Group>,
    file: OwnedFd,
    (kind, id): (Kind, Digest),
) -> Result<Totals, IndexError> {
    let mut walk = Walk {
        out: IndexWriter::new(file),
        groups: HashMap::new(),
        order: Vec::new(),
        pending: Vec::new(),
    };
    walk.inode(origin, root, Place { parent: 0, name: 0, name_len: 0 })?;
    while let Some((ordinal, dir)) = walk.pending.pop() {
        walk.directory(origin, ordinal, &dir)?;
    }
    walk.link_records()?;
    let totals = walk.out.totals;
    walk.out.finish(kind, id)?;
    Ok(totals)
}

#[derive(Clone, Copy)]
struct Place {
    parent: u32,
    name: u32,
    name_len: u8,
}

struct Walk<D, G> {
    out: IndexWriter,
    /// The groups met, by what the origin calls them: the number in `order`.
    groups: HashMap<G, usize>,
    /// The groups in the order met: the inode and its places.
    order: Vec<(u32, Vec<Place>)>,
    /// Directories that have an ordinal and whose entries have none yet; the next one last.
    pending: Vec<(u32, D)>,
}

impl<D, G: Eq + std::hash::Hash> Walk<D, G> {
    fn directory<O: Origin<Dir = D, Group = G>>(
        &mut self,
        origin: &mut O,
        ordinal: u32,
        dir: &D,
    ) -> Result<(), IndexError> {
        let found = origin.list(dir)?;
        let first = self.out.entries.len() as u64;
        let first_pending = self.pending.len();
        self.out.totals.entries += found.len() as u64;
        let count = found.len() as u64;
        for Found { name, node } in found {
            let name_offset = self.out.name(&name)?;
            let name_len = u8::try_from(name.len()).map_err(|_| IndexError::TooLarge("a name"))?;
            let (inode, kind) = match node {
                None => (0, ENTRY_WHITEOUT),
                Some(node) => self.inode(
                    origin,
                    node,
                    Place { parent: ordinal, name: name_offset, name_len },
                )?,
            };
            self.out.entries.push(EntryRecord {
                prefix: prefix_of(&name),
                name: name_offset.into(),
                inode: inode.into(),
                name_len,
                kind,
                reserved: [0; 2],
            });
        }
        let subdirectories = self.pending.len() - first_pending;
        self.pending[first_pending..].reverse();
        let nlink =
            u32::try_from(subdirectories + 2).map_err(|_| IndexError::TooLarge("a directory"))?;
        if let Some(record) =
            usize::try_from(ordinal).ok().and_then(|at| self.out.inodes.get_mut(at))
        {
            record.content = first.into();
            record.size = count.into();
            record.nlink = nlink.into();
        }
        Ok(())
    }

    /// Gives the inode at `place` its ordinal, or, of a group met before, the one it has. Answers it with its `DT_*`.
    fn inode<O: Origin<Dir = D, Group = G>>(
        &mut self,
        origin: &mut O,
        node: Node<D, G>,
        place: Place,
    ) -> Result<(u32, u8), IndexError> {
        let type_bits = type_bits_of(&node.body);
        // The type bits of `st_mode`, above the permissions, are the `DT_*` number.
        let entry_kind = type_bits.to_be_bytes()[0] >> 4;
        let ordinal = self.out.next_ordinal()?;
        if let Some(group) = node.group {
            let fresh = self.order.len();
            let number = *self.groups.entry(group).or_insert(fresh);
            if number < fresh {
                let (known, places) = &mut self.order[number];
                places.push(place);
                return Ok((*known, entry_kind));
            }
            self.order.push((ordinal, vec![place]));
        }
        let (content, size, flags) = self.body(origin, node.body, ordinal)?;
        let permissions = u16::try_from(node.meta.permissions & 0o7777).unwrap_or(0);
        let xattrs = self.out.xattrs(&node.meta.xattrs)?;
        self.out.inodes.push(InodeRecord {
            mode: (type_bits | permissions).into(),
            flags,
            name_len: place.name_len,
            uid: node.meta.uid.into(),
            gid: node.meta.gid.into(),
            nlink: 1.into(),
            size: size.into(),
            mtime_secs: node.meta.mtime.secs.into(),
            mtime_nanos: node.meta.mtime.nanos.into(),
            parent: place.parent.into(),
            name: place.name.into(),
            content: content.into(),
            xattrs: xattrs.into(),
            links: 0.into(),
            reserved: [0; 4],
        });
        Ok((ordinal, entry_kind))
    }

    /// `content`, `size` and `flags` of an inode's record; the directory's are completed when it is listed.
    fn body<O: Origin<Dir = D, Group = G>>(
        &mut self,
        origin: &mut O,
        body: FoundBody<D>,
        ordinal: u32,
    ) -> Result<(u64, u64, u8), IndexError> {
        Ok(match body {
            FoundBody::Directory { dir, opaque, implied } => {
                self.pending.push((ordinal, dir));
                let opaque = if opaque { flag::OPAQUE } else { 0 };
                (0, 0, opaque | if implied { flag::IMPLIED } else { 0 })
            }
            FoundBody::Inline { handle, size } => {
                self.out.totals.content_bytes += size;
                let offset =
                    if size == 0 { 0 } else { self.out.data(&origin.contents(handle, size)?)? };
                (offset, size, flag::INLINE)
            }
            FoundBody::Object { digest, size, sparse } => {
                self.out.totals.content_bytes += size;
                (self.out.object(digest, size), size, if sparse { flag::SPARSE } else { 0 })
            }
            FoundBody::Symlink(target) => (self.out.name(&target)?.into(), target.len() as u64, 0),
            FoundBody::Device { major, minor, .. } => {
                (u64::from(major) << 32 | u64::from(minor), 0, 0)
            }
            FoundBody::Fifo | FoundBody::Socket => (0, 0, 0),
        })
    }

    /// Completes the inodes of groups with more than one name.
    fn link_records(&mut self) -> Result<(), IndexError> {
        for (ordinal, places) in self.order.iter().filter(|(_, places)| places.len() > 1) {
            let too_large = |_| IndexError::TooLarge("hard links");
            let first = u32::try_from(self.out.links.len()).map_err(too_large)?;
            let nlink = u32::try_from(places.len()).map_err(too_large)?;
            if let Some(record) =
                usize::try_from(*ordinal).ok().and_then(|at| self.out.inodes.get_mut(at))
            {
                record.nlink = nlink.into();
                record.links = first.into();
                record.flags |= flag::GROUP;
            }
            self.out.links.extend(places.iter().map(|place| LinkRecord {
                parent: place.parent.into(),
                name: place.name.into(),
                name_len: place.name_len,
                reserved: [0; 3],
            }));
        }
        Ok(())
    }
}

fn type_bits_of<D>(body: &FoundBody<D>) -> u16 {
    match body {
        FoundBody::Directory { .. } => mode::DIRECTORY,
        FoundBody::Inline { .. } | FoundBody::Object { .. } => mode::FILE,
        FoundBody::Symlink(_) => mode::SYMLINK,
        FoundBody::Device { class: DeviceClass::Block, .. } => mode::BLOCK,
        FoundBody::Device { class: DeviceClass::Character, .. } => mode::CHARACTER,
        FoundBody::Fifo => mode::FIFO,
        FoundBody::Socket => mode::SOCKET,
    }
}
