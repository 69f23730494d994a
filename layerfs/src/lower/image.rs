//! Owns reading an image's merged tree: metadata from the mapped index, contents from it or from the store's objects.
//!
//! A page of the index that can't be read is zeros, from which any answer may come: "absent" and "not a directory", too.
//! So whoever calls these methods asks [`ImageTree::intact`] afterwards; `Lower` does, for all of them at one place.

use std::sync::Arc;

use super::entry::LowerEntry;
use super::error::LowerError;
use super::file::LowerFile;
use super::upper_number::UpperNumbers;
use crate::store::digest::Digest;
use crate::store::index::{self, Body, Index, IndexError, Inode, Ordinal, Target};
use crate::store::{Objects, Store, StoreError};
use crate::sys::change::StatVfs;
use crate::sys::xattr::Pair;
use crate::sys::{OwnedFd, SysError, file};
use crate::tree::{Attr, Ino, Kind, Name, Origin, marks};

/// What a directory's size is shown as; a mapped index has no blocks of it.
const DIRECTORY_BYTES: u64 = 4096;

/// An image's merged tree. All lookups cost the same, however many layers the image has.
#[derive(Debug)]
pub struct ImageTree {
    index: Arc<Index>,
    objects: Objects,
    pub(super) upper_numbers: UpperNumbers,
}

impl ImageTree {
    /// Opens the merged tree of that chain id. Nothing is read but the index's header: it costs the same for all images.
    pub fn open(store: &Store, chain_id: &Digest) -> Result<ImageTree, StoreError> {
        let index = store.tree(chain_id)?;
        // Read-only, so that nobody who is given one of them can write it.
        let objects = store.objects().and_then(Objects::shut).map_err(|source| {
            StoreError::Call { deed: "open the store's objects".into(), source }
        })?;
        let upper_numbers = UpperNumbers::default();
        Ok(ImageTree { index: Arc::new(index), objects, upper_numbers })
    }

    /// The chain id that names the tree.
    pub fn chain_id(&self) -> Digest {
        self.index.id()
    }

    /// Figures of the file system that the store's objects lie on.
    pub(super) fn filesystem(&self) -> Result<StatVfs, SysError> {
        self.objects.filesystem()
    }

    /// How many inodes the tree has: ordinals run from 0 to one less.
    pub fn inode_count(&self) -> u32 {
        self.index.inode_count()
    }

    /// The number of an inode: 1 for the root, else twice its ordinal. Odd numbers are the upper's.
    pub fn ino(ordinal: Ordinal) -> Ino {
        match ordinal.number() {
            0 => Ino(1),
            number => Ino(2 * u64::from(number)),
        }
    }

    /// The inode that [`ImageTree::ino`] gave that number; `None` for numbers that are the upper's or nobody's.
    pub fn ordinal_of(&self, ino: Ino) -> Option<Ordinal> {
        let number = match ino.0 {
            1 => 0,
            number if number != 0 && number % 2 == 0 => u32::try_from(number / 2).ok()?,
            _ => return None,
        };
        (number < self.index.inode_count()).then(|| Ordinal::from_number(number))
    }

    /// Whether all answers so far were made of what the index says.
    pub(super) fn intact(&self) -> Result<(), LowerError> {
        Ok(self.index.intact()?)
    }

    pub(super) fn lookup(&self, dir: Ordinal, name: &Name) -> Result<Option<Ordinal>, LowerError> {
        self.expect_directory(dir)?;
        Ok(match self.index.lookup(dir, name.as_bytes())? {
            Some(Target::Inode(ordinal, _)) => Some(ordinal),
            Some(Target::Whiteout) | None => None,
        })
    }

    pub(super) fn attr(&self, ordinal: Ordinal) -> Result<Attr, LowerError> {
        let inode = self.index.inode(ordinal)?;
        let kind = Kind::from_mode(inode.mode).ok_or(IndexError::Damaged("type of an inode"))?;
        let (size, blocks) = self.extent(&inode)?;
        // The one time that an index keeps stands for all three.
        Ok(Attr {
            kind,
            // Archives say all sorts of things of a symbolic link's permissions; Linux gives it all, always.
            permissions: if kind == Kind::Symlink { 0o777 } else { inode.mode & 0o7777 },
            nlink: inode.nlink,
            uid: inode.uid,
            gid: inode.gid,
            rdev: match inode.body {
                Body::Device { major, minor } => (major, minor),
                _ => (0, 0),
            },
            size,
            blocks,
            atime: inode.mtime,
            mtime: inode.mtime,
            ctime: inode.mtime,
        })
    }

    /// Bytes, and blocks of 512 bytes.
    fn extent(&self, inode: &Inode) -> Result<(u64, u64), LowerError> {
        Ok(match &inode.body {
            Body::Directory { .. } => (DIRECTORY_BYTES, DIRECTORY_BYTES / 512),
            Body::Inline => (inode.size, inode.size.div_ceil(512)),
            // What a file with holes takes on the disk, only the disk knows.
            Body::Object { digest, sparse: true } => {
                let object = self.object(digest, inode.size)?;
                let stat = file::stat(&object)
                    .map_err(|source| LowerError::Object { digest: *digest, source })?;
                (inode.size, u64::try_from(stat.st_blocks).unwrap_or(0))
            }
            Body::Object { sparse: false, .. } => (inode.size, inode.size.div_ceil(4096) * 8),
            Body::Symlink | Body::Device { .. } | Body::Special => (inode.size, 0),
        })
    }

    pub(super) fn list(&self, dir: Ordinal) -> Result<Vec<LowerEntry>, LowerError> {
        let mut found = Vec::with_capacity(self.index.child_count(dir)?);
        self.list_from(dir, 0, &mut |entry| {
            found.push(entry);
            true
        })?;
        Ok(found)
    }

    pub(super) fn list_from(
        &self,
        dir: Ordinal,
        from: usize,
        take: &mut dyn FnMut(LowerEntry) -> bool,
    ) -> Result<(), LowerError> {
        self.expect_directory(dir)?;
        for child in self.index.children(dir, from)? {
            let child = child?;
            let Target::Inode(ordinal, number) = child.target else {
                return Err(IndexError::Damaged("whiteout in a merged tree").into());
            };
            let kind = Kind::from_dt(number).ok_or(IndexError::Damaged("type of an entry"))?;
            if !take(LowerEntry { name: name(child.name)?, kind, ino: ImageTree::ino(ordinal) }) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn child_count(&self, dir: Ordinal) -> Result<usize, LowerError> {
        self.expect_directory(dir)?;
        Ok(self.index.child_count(dir)?)
    }

    pub(super) fn read_link(&self, ordinal: Ordinal) -> Result<Box<[u8]>, LowerError> {
        if self.index.inode(ordinal)?.body != Body::Symlink {
            return Err(LowerError::NotALink);
        }
        Ok(self.index.link_target(ordinal)?.into())
    }

    pub(super) fn xattr(
        &self,
        ordinal: Ordinal,
        name: &[u8],
    ) -> Result<Option<Box<[u8]>>, LowerError> {
        if marks::is_overlay(name) {
            return Ok(None);
        }
        let pairs = self.index.xattrs(ordinal)?;
        Ok(pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    /// Marks that came in an archive are neither honoured nor shown, nor copied up, where they would be honoured.
    pub(super) fn xattrs(&self, ordinal: Ordinal) -> Result<Vec<Pair>, LowerError> {
        let pairs = self.index.xattrs(ordinal)?;
        let shown = pairs.into_iter().filter(|(name, _)| !marks::is_overlay(name));
        Ok(shown.map(|(name, value)| (name.into(), value.into())).collect())
    }

    pub(super) fn open_file(&self, ordinal: Ordinal) -> Result<LowerFile, LowerError> {
        let inode = self.index.inode(ordinal)?;
        match inode.body {
            Body::Inline => Ok(LowerFile::inline(self.index.clone(), ordinal, inode.size)),
            Body::Object { digest, .. } => {
                let object = self.object(&digest, inode.size)?;
                let file = LowerFile::real(object, inode.size, format!("object {digest}"));
                let is_shut = self.objects.are_shut();
                Ok(if is_shut { file.shut_in(inode.mode & 0o7777) } else { file })
            }
            Body::Directory { .. } | Body::Symlink | Body::Device { .. } | Body::Special => {
                Err(LowerError::NotAFile)
            }
        }
    }

    fn object(&self, digest: &Digest, expected: u64) -> Result<OwnedFd, LowerError> {
        let refused = |source| LowerError::Object { digest: *digest, source };
        let object = self.objects.open(digest).map_err(refused)?;
        let found = u64::try_from(file::stat(&object).map_err(refused)?.st_size).unwrap_or(0);
        if found != expected {
            return Err(LowerError::ObjectSize { digest: *digest, expected, found });
        }
        Ok(object)
    }

    pub(super) fn names(&self, ordinal: Ordinal) -> Result<Vec<(Ordinal, Name)>, LowerError> {
        if ordinal == Ordinal::ROOT {
            return Ok(Vec::new());
        }
        let places = self.index.names(ordinal)?;
        places.into_iter().map(|(dir, bytes)| Ok((dir, name(bytes)?))).collect()
    }

    pub(super) fn is_group(&self, ordinal: Ordinal) -> Result<bool, LowerError> {
        Ok(self.index.inode(ordinal)?.is_group)
    }

    /// The path by which the first name is reached.
    pub(super) fn path(&self, ordinal: Ordinal) -> Result<Vec<Name>, LowerError> {
        let mut path = Vec::new();
        let mut at = ordinal;
        while at != Ordinal::ROOT {
            let parent = self.index.inode(at)?.parent;
            // Directories are numbered parents first, but a link's first name may be in a later one. A damaged index
            // must not lead in circles.
            if path.len() as u64 > u64::from(self.index.inode_count()) {
                return Err(IndexError::Damaged("parents of an inode").into());
            }
            path.push(name(self.index.name(at)?)?);
            at = parent;
        }
        path.reverse();
        Ok(path)
    }

    pub(super) fn origin(&self, ordinal: Ordinal) -> Origin {
        Origin::Image {
            fold_version: index::VERSION,
            chain_id: self.index.id(),
            ordinal: ordinal.number(),
        }
    }

    pub(super) fn by_origin(&self, origin: &Origin) -> Option<Ordinal> {
        match origin {
            Origin::Image { fold_version: index::VERSION, chain_id, ordinal }
                if *chain_id == self.index.id() && *ordinal < self.index.inode_count() =>
            {
                Some(Ordinal::from_number(*ordinal))
            }
            Origin::Image { .. } | Origin::Directory { .. } => None,
        }
    }

    fn expect_directory(&self, ordinal: Ordinal) -> Result<(), LowerError> {
        match self.index.inode(ordinal)?.body {
            Body::Directory { .. } => Ok(()),
            _ => Err(LowerError::NotADirectory),
        }
    }
}

fn name(bytes: &[u8]) -> Result<Name, LowerError> {
    Name::new(bytes).map_err(|_| IndexError::Damaged("a name").into())
}
